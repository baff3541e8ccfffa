//! The picture of a clip under a take.

#![forbid(unsafe_code)]

use half::f16;

use super::pixel::Pixel;
use crate::surface::{Depth, PixelSource};

/// A picture of the host that lies under everything else, in the host's own color space.
#[derive(Clone, Copy, Debug)]
pub struct Backdrop<'a> {
    /// Its pixels, on the same grid as those that are drawn. Where it has none there is nothing.
    pub image: &'a dyn PixelSource,
    /// Whether its colors are not multiplied by its alpha.
    pub straight: bool,
}

impl Backdrop<'_> {
    /// Lays part of a row, from column `x` on, over the backdrop; `straight` is how it carries its alpha. Where nothing covers it, a backdrop
    /// that carries its alpha as the output does stays as it is, to the last bit.
    pub(super) fn lay_under(&self, y: i32, x: i32, pixels: &mut [Pixel], straight: bool) {
        let (first, bytes) = self.image.row(y);
        let depth = self.image.depth();
        let offset = i64::from(x) - i64::from(first);
        for (pixel, at) in pixels.iter_mut().zip(offset..) {
            let under = usize::try_from(at).ok().and_then(|at| {
                let begin = at.checked_mul(depth.pixel_bytes())?;
                bytes.get(begin..begin.checked_add(depth.pixel_bytes())?)
            });
            if let Some(under) = under {
                *pixel = over(*pixel, pixel_of(under, depth), self.straight, straight);
            }
        }
    }
}

/// A pixel as a host has it in memory; what is not a finite number counts as 0.
fn pixel_of(bytes: &[u8], depth: Depth) -> Pixel {
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

/// One pixel over another. `straight` is how the upper one and the result carry their alpha.
fn over(pixel: Pixel, under: Pixel, under_is_straight: bool, straight: bool) -> Pixel {
    let [alpha, under_alpha] = [pixel[3], under[3]];
    if alpha >= 1.0 || (alpha <= 0.0 && under_is_straight == straight) {
        return if alpha >= 1.0 { pixel } else { under };
    }
    let part = if straight { alpha } else { 1.0 };
    let rest = 1.0 - alpha;
    let under_part = rest * if under_is_straight { under_alpha } else { 1.0 };
    let together = alpha + under_alpha * rest;
    let whole = if !straight {
        1.0
    } else if together > 0.0 {
        together
    } else {
        return [0.0; 4];
    };
    let color = |channel: usize| (pixel[channel] * part + under[channel] * under_part) / whole;
    [color(0), color(1), color(2), together]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Pixel, expected: Pixel) -> bool {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
    }

    #[test]
    fn alpha_counts_as_it_is_carried() {
        let (red, blue) = ([1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.5]);
        // Half of red, and half of the half of blue: 3/4 in all.
        assert!(near(over(red, blue, true, true), [2.0 / 3.0, 0.0, 1.0 / 3.0, 0.75]));
        let multiplied = |[r, g, b, alpha]: Pixel| [r * alpha, g * alpha, b * alpha, alpha];
        let expected = [0.5, 0.0, 0.25, 0.75];
        assert!(near(over(multiplied(red), multiplied(blue), false, false), expected));
        assert!(near(over(multiplied(red), blue, true, false), expected));
        assert!(near(over(red, multiplied(blue), false, true), [2.0 / 3.0, 0.0, 1.0 / 3.0, 0.75]));
        assert_eq!(over([0.0; 4], [0.3, 0.2, 0.1, 0.0], true, true), [0.3, 0.2, 0.1, 0.0]);
        assert_eq!(over([0.0; 4], [0.0; 4], false, true), [0.0; 4]);
        assert_eq!(over([0.1, 0.2, 0.3, 1.0], blue, false, true), [0.1, 0.2, 0.3, 1.0]);
    }

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
