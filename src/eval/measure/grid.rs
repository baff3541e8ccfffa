//! The grid that a decoder of cells leaves: steps from pixel to pixel at the borders of cells, beside
//! those within.

use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::report::PixelShare;

/// Pixels of a cell of a latent, across and down.
const CELL: usize = 8;

/// Sums over the frames so far.
#[derive(Default)]
pub(super) struct GridMeter {
    borders: PixelShare,
    within: PixelShare,
}

impl GridMeter {
    pub(super) fn push(&mut self, frame: &OwnedFrame) {
        let (pixels, width) = (frame.pixels(), frame.width);
        let seen = |[r, g, b, a]: [f32; 4]| [r * a, g * a, b * a, a];
        for (place, pixel) in pixels.iter().enumerate() {
            let (x, y) = (place % width, place / width);
            if x > 0 {
                self.add(x, seen(*pixel), seen(pixels[place - 1]));
            }
            if y > 0 {
                self.add(y, seen(*pixel), seen(pixels[place - width]));
            }
        }
    }

    fn add(&mut self, place: usize, here: [f32; 4], before: [f32; 4]) {
        let steps = here.iter().zip(before).map(|(here, before)| f64::from(here - before).powi(2));
        let steps = steps.sum();
        if place.is_multiple_of(CELL) {
            self.borders.add(steps, 1.0);
        } else {
            self.within.add(steps, 1.0);
        }
    }

    /// Mean squared step of premultiplied color and alpha at the borders of cells, as a share of that
    /// within; 1 is no grid. None of a clip that is the same everywhere.
    pub(super) fn ratio(&self) -> Option<f64> {
        let (borders, within) = (self.borders.value()?, self.within.value()?);
        (within > 0.0).then(|| borders / within)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, disc, measure};

    #[test]
    fn a_grid_of_eight_pixels_is_seen_and_a_subject_anywhere_has_none() {
        let checker = |side: usize| {
            let frames = clip([2, 64, 64], move |_, x, y| {
                let odd = (x / side + y / side) % 2 == 1;
                [0.5, 0.5, 0.5, if odd { 0.6 } else { 0.5 }]
            });
            measure(&frames, None).grid
        };
        // All steps are at borders.
        assert_eq!(checker(8), None);
        // A fourth of them are, of an eighth of the places.
        assert!(checker(2).unwrap() > 1.9);
        assert!((checker(1).unwrap() - 1.0).abs() < 1e-6);
        // One disc may have its flat sides at borders by chance, many have not.
        let discs = clip([24, 96, 96], |t, x, y| {
            let middle = [30.3 + (t * 37 % 41) as f64 * 0.83, 31.1 + (t * 23 % 37) as f64 * 0.91];
            [0.9, 0.1, 0.1, disc(x, y, middle, 21.0)]
        });
        let found = measure(&discs, None).grid.unwrap();
        assert!((0.85..1.15).contains(&found), "{found}");
    }
}
