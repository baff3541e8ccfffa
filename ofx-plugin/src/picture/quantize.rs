//! From single precision to the depth of the host's image.

#![forbid(unsafe_code)]

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::source::Pixel;
use crate::surface::Depth;

/// Pixels that are worked on at a time: they stay in the processor's nearest cache.
pub(super) const CHUNK: usize = 256;

/// Writes pixels as the host has them; at most [`CHUNK`]. Integers are rounded to nearest and
/// clamped; floats keep what lies outside \[0, 1\], half-floats up to their greatest number.
pub(super) fn write(pixels: &[Pixel], depth: Depth, to: &mut [u8]) {
    let values = pixels.as_flattened();
    match depth {
        Depth::Float => copy(bytemuck::cast_slice(values), to),
        Depth::Half => {
            let mut finite = [0.0_f32; CHUNK * 4];
            let mut halves = [f16::ZERO; CHUNK * 4];
            for (finite, value) in finite.iter_mut().zip(values) {
                *finite = value.clamp(f16::MIN.to_f32_const(), f16::MAX.to_f32_const());
            }
            halves.convert_from_f32_slice(&finite);
            copy(bytemuck::cast_slice(&halves), to);
        }
        Depth::Short => {
            for (to, value) in to.as_chunks_mut().0.iter_mut().zip(values) {
                *to = short(*value).to_ne_bytes();
            }
        }
        Depth::Byte => {
            for (to, value) in to.iter_mut().zip(values) {
                *to = byte(*value);
            }
        }
    }
}

fn copy(from: &[u8], to: &mut [u8]) {
    let length = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) {
        to.copy_from_slice(from);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn short(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}
