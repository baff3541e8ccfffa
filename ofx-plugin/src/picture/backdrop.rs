//! The picture of a clip under a take.

#![forbid(unsafe_code)]

use super::pixel::{Pixel, pixel_of};
use crate::surface::PixelSource;

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
}
