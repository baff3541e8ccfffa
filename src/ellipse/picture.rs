//! A picture to look at a placement in: what is outside is dimmed as far as the mask says, the
//! outline is drawn on top. Display values throughout: this is a drawing, not a composite.

use anyhow::Result;
use image::{Rgb, RgbImage, RgbaImage};
use wan_alpha_take::{Ellipse, GridEllipse};

use crate::media::png::encode_plain;

/// How bright the farthest outside remains.
const DIMMEST: f32 = 0.3;
/// Half the width of a line, in pixels.
const HALF_LINE: f64 = 1.0;
const INK: [f32; 3] = [255.0, 176.0, 32.0];
const CHECKS: [u8; 2] = [112, 144];
/// Side of a square of the checkerboard.
const CHECK: u32 = 16;

/// Where a Gaussian has fallen to at its ellipse: exp(−½).
const RIM: f64 = 0.606_530_659_712_633_4;

pub(super) struct EllipsePicture {
    pixels: RgbImage,
}

impl EllipsePicture {
    pub(super) fn checker([width, height]: [usize; 2]) -> Self {
        let pixels = RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb([check(x, y); 3]));
        Self { pixels }
    }

    /// An image; where it is transparent the checkerboard shows.
    pub(super) fn over(image: &RgbaImage) -> Self {
        let pixels = RgbImage::from_fn(image.width(), image.height(), |x, y| {
            let [r, g, b, alpha] = image.get_pixel(x, y).0;
            let mix = |value: u8| {
                blend(f32::from(check(x, y)), f32::from(value), f32::from(alpha) / 255.0)
            };
            Rgb([mix(r), mix(g), mix(b)])
        });
        Self { pixels }
    }

    pub(super) fn size(&self) -> [usize; 2] {
        [self.pixels.width() as usize, self.pixels.height() as usize]
    }

    /// Dims every pixel by a mask on a grid of any size.
    pub(super) fn dim_outside(&mut self, mask: &[f32], grid: [usize; 2]) {
        let size = self.size();
        for (x, y, pixel) in self.pixels.enumerate_pixels_mut() {
            let inside = sample(mask, grid, size, f64::from(x), f64::from(y)) as f32;
            pixel.0 = pixel
                .0
                .map(|value| (f32::from(value) * (DIMMEST + (1.0 - DIMMEST) * inside)) as u8);
        }
    }

    /// Draws an ellipse's outline, smoothed at its edges.
    pub(super) fn outline(&mut self, ellipse: &Ellipse, opacity: f64) {
        let [width, height] = self.size();
        let GridEllipse { cx, cy, a, b, angle } = ellipse.on_grid(width, height);
        let (sin, cos) = angle.to_radians().sin_cos();
        self.ink(opacity, |x, y| {
            let (x, y) = (x - cx, y - cy);
            let (along, across) =
                ((x * cos + y * sin) / (a / 2.0), (y * cos - x * sin) / (b / 2.0));
            let value = along * along + across * across - 1.0;
            // The distance to the rim, to first order.
            value.abs() / (4.0 * (along / a).hypot(across / b))
        });
    }

    /// Inks each pixel by its distance to a line.
    fn ink(&mut self, opacity: f64, distance: impl Fn(f64, f64) -> f64) {
        for (x, y, pixel) in self.pixels.enumerate_pixels_mut() {
            let near = HALF_LINE + 0.5 - distance(f64::from(x), f64::from(y));
            // NaN, where a line has no distance, is no ink either.
            if near > 0.0 {
                let opacity = (near.min(1.0) * opacity) as f32;
                for (value, ink) in pixel.0.iter_mut().zip(INK) {
                    *value = blend(f32::from(*value), ink, opacity);
                }
            }
        }
    }

    pub(super) fn to_png(&self) -> Result<Vec<u8>> {
        Ok(encode_plain(&self.pixels)?)
    }
}

/// Draws where a mask is as far down as a Gaussian is at the rim of its ellipse.
pub(super) fn outline_of_mask(picture: &mut EllipsePicture, mask: &[f32], grid: [usize; 2]) {
    let size = picture.size();
    picture.ink(1.0, |x, y| {
        let at = |x, y| sample(mask, grid, size, x, y);
        let slope = (at(x + 0.5, y) - at(x - 0.5, y)).hypot(at(x, y + 0.5) - at(x, y - 0.5));
        (at(x, y) - RIM).abs() / slope
    });
}

fn check(x: u32, y: u32) -> u8 {
    CHECKS[((x / CHECK + y / CHECK) % 2) as usize]
}

fn blend(below: f32, above: f32, opacity: f32) -> u8 {
    (below + (above - below) * opacity).round() as u8
}

/// A grid's value at a pixel, linear between the centers of cells.
fn sample(values: &[f32], grid: [usize; 2], size: [usize; 2], x: f64, y: f64) -> f64 {
    let place = |at: f64, cells: usize, pixels: usize| {
        let at = (at + 0.5) / pixels as f64 * cells as f64 - 0.5;
        let at = at.clamp(0.0, (cells - 1) as f64);
        let low = at as usize;
        (low, (low + 1).min(cells - 1), at - low as f64)
    };
    let (left, right, fx) = place(x, grid[0], size[0]);
    let (top, bottom, fy) = place(y, grid[1], size[1]);
    let at = |row: usize, column: usize| f64::from(values[row * grid[0] + column]);
    let row = |row| at(row, left) * (1.0 - fx) + at(row, right) * fx;
    row(top) * (1.0 - fy) + row(bottom) * fy
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::Mask;

    fn inked(picture: &EllipsePicture, x: u32, y: u32) -> bool {
        let [r, _, b] = picture.pixels.get_pixel(x, y).0;
        r > b.saturating_add(60)
    }

    #[test]
    fn outline_passes_through_the_ends_of_the_axes() {
        let mut picture = EllipsePicture::checker([160, 96]);
        // Axes of 96 and 48 pixels about the middle, the long one upright.
        let ellipse = Ellipse { a: 0.5, b: 0.75, ..Ellipse::default() };
        picture.outline(&ellipse, 1.0);
        for (x, y) in [(80, 12), (80, 83), (56, 48), (103, 48)] {
            assert!(inked(&picture, x, y), "{x} {y}");
        }
        for (x, y) in [(80, 48), (80, 20), (70, 48), (10, 10)] {
            assert!(!inked(&picture, x, y), "{x} {y}");
        }
    }

    #[test]
    fn outline_of_a_mask_is_that_of_its_ellipse() {
        let ellipse = Ellipse { a: 0.6, b: 0.4, ..Ellipse::default() };
        let grid = [80, 48];
        let mask = Mask::gaussian(&[ellipse], grid[0], grid[1]);
        let mut picture = EllipsePicture::checker([320, 192]);
        outline_of_mask(&mut picture, mask.values(), grid);
        let row: Vec<u32> = (0..320).filter(|&x| inked(&picture, x, 96)).collect();
        // 0.3 heights either side of the middle, stretching of the mask aside.
        let middle = |xs: &[u32]| f64::from(xs.iter().sum::<u32>()) / xs.len() as f64;
        let (left, right): (Vec<u32>, Vec<u32>) = row.iter().partition(|&&x| x < 160);
        assert!(
            (middle(&left) - 102.0).abs() < 3.0 && (middle(&right) - 217.0).abs() < 3.0,
            "{row:?}"
        );
    }

    #[test]
    fn outside_is_dim_and_inside_is_not() {
        let mut picture = EllipsePicture::checker([32, 32]);
        picture.dim_outside(&[1.0, 1.0, 0.0, 0.0], [2, 2]);
        let (top, bottom) =
            (picture.pixels.get_pixel(0, 0)[0], picture.pixels.get_pixel(31, 31)[0]);
        assert_eq!((top, bottom), (CHECKS[0], (f32::from(CHECKS[0]) * DIMMEST) as u8));
    }

    #[test]
    fn transparency_shows_the_checkerboard() {
        let image = RgbaImage::from_fn(20, 20, |x, _| {
            image::Rgba([200, 10, 20, if x < 10 { 0 } else { 255 }])
        });
        let picture = EllipsePicture::over(&image);
        assert_eq!(picture.pixels.get_pixel(0, 0).0, [CHECKS[0]; 3]);
        assert_eq!(picture.pixels.get_pixel(19, 0).0, [200, 10, 20]);
    }
}
