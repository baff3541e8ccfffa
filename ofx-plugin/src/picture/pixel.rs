//! A pixel while it is worked on.

#![forbid(unsafe_code)]

use half::f16;

use crate::surface::Depth;

/// Red, green, blue and alpha of a pixel.
pub(super) type Pixel = [f32; 4];

/// How a pixel carries its alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlphaMode {
    Premultiplied,
    Straight,
}

/// A pixel as a host has it in memory; what is not a finite number counts as 0.
pub(super) fn pixel_of(bytes: &[u8], depth: Depth) -> Pixel {
    let channel = |at: usize| match depth {
        Depth::Byte => bytes.get(at).map(|&byte| f32::from(byte) / 255.0),
        Depth::Short => of_bytes(bytes, at).map(|two| f32::from(u16::from_ne_bytes(two)) / 65535.0),
        Depth::Half => of_bytes(bytes, at).map(|two| f16::from_ne_bytes(two).to_f32()),
        Depth::Float => of_bytes(bytes, at).map(f32::from_ne_bytes),
    };
    [0, 1, 2, 3].map(|at| channel(at).filter(|value| value.is_finite()).unwrap_or_default())
}

fn of_bytes<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.as_chunks().0.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_in_a_clip_does_not_get_out() {
        let floats = [f32::NAN, f32::INFINITY, 0.5, 1.0].map(f32::to_ne_bytes);
        assert_eq!(pixel_of(floats.as_flattened(), Depth::Float), [0.0, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn pixels_are_read_in_every_depth() {
        let expected = [0.0, 1.0, 0.5, 1.0];
        let bytes = [0_u8, 255, 128, 255];
        let shorts = [0_u16, 65535, 32768, 65535].map(u16::to_ne_bytes);
        let halves = expected.map(|value| f16::from_f32(value).to_ne_bytes());
        let floats = expected.map(f32::to_ne_bytes);
        for (bytes, depth) in [
            (&bytes[..], Depth::Byte),
            (shorts.as_flattened(), Depth::Short),
            (halves.as_flattened(), Depth::Half),
            (floats.as_flattened(), Depth::Float),
        ] {
            let found = pixel_of(bytes, depth);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.003), "{depth:?}");
        }
    }
}
