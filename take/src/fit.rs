//! The ellipse of an alpha: where the subject of a clip is, as the model was told in training.
//!
//! [`Compressor`] takes a clip's alpha frame by frame and leaves its [`Coverage`], how much of each
//! latent cell the subject covers; [`Coverage::fit`] finds an ellipse per latent frame. The way
//! back to the artist's ellipse is [`GridEllipse::on_frame`], and to the mask
//! [`Mask::of_grid_ellipses`](crate::Mask::of_grid_ellipses).
//!
//! Invariant: the ellipse is the released one, to the number of times it was enlarged. One round
//! more is an ellipse 12 % larger, and whether there is one hangs on single cells; so the ellipse
//! is drawn as OpenCV draws it (`raster`).
//!
//! The paper resizes alpha first and binarises it at 0.5; the released code binarises first, and
//! takes extent and orientation from two different sets of cells. This follows the code.

mod axes;
mod compress;
mod raster;

use crate::ellipse::GridEllipse;
use axes::{Bounds, Moments};

pub use compress::{Compressor, Coverage, FitError};

/// Cells more covered than this give center and extent.
const SHAPE: f32 = 0.2;

/// Cells more covered than this give the orientation: the solid part of the subject.
const SOLID: f32 = 0.9;

/// From so many cells on, axes are taken from their moments; of fewer, from their bounds.
const ENOUGH: usize = 5;

/// Axes are at least this long, in cells.
const MIN_AXIS: f64 = 2.0;

/// An ellipse that covers this share of the shape is large enough.
const COVERED: f64 = 0.98;

/// One that does not grows by this factor.
const GROWTH: f64 = 1.12;

/// What a fit depends on besides the alpha.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitSettings {
    /// Alpha above this is subject, below is not; alpha is 0 to 1.
    pub threshold: f64,
    /// How many sizes of an ellipse are tried.
    pub rounds: u32,
}

impl FitSettings {
    /// Those of the authors' tool, by which masks for rendering are made.
    pub const RELEASED: Self = Self { threshold: 0.1, rounds: 10 };

    /// Those of the authors' training, which has alpha in [−1, 1] and its threshold at 0.5 there.
    pub const TRAINING: Self = Self { threshold: 0.75, rounds: 8 };
}

impl Default for FitSettings {
    fn default() -> Self {
        Self::RELEASED
    }
}

/// The ellipse of one latent frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The ellipse, on the grid of latent cells.
    pub ellipse: GridEllipse,
    /// How often it was enlarged, by 12 % each time.
    pub enlargements: u32,
    /// The share of the shape's cells that it covers.
    pub covered: f64,
}

impl Coverage {
    /// The ellipse of each latent frame, of at most `rounds` sizes; None where the frame is empty.
    #[must_use]
    pub fn fit(&self, rounds: u32) -> Vec<Option<Fit>> {
        let [frames, ..] = self.shape();
        (0..frames).map(|frame| self.fit_frame(frame, rounds)).collect()
    }

    fn fit_frame(&self, frame: usize, rounds: u32) -> Option<Fit> {
        let [_, height, width] = self.shape();
        let shape = self.cells_above(frame, SHAPE);
        let start = first_guess(&shape, &self.cells_above(frame, SOLID))?;
        Some(enlarged(start, &shape, [width, height], rounds))
    }

    /// The cells (x, y) of a frame that are covered more than `level`.
    fn cells_above(&self, frame: usize, level: f32) -> Vec<(usize, usize)> {
        let [_, _, width] = self.shape();
        let cells = self.frame(frame).unwrap_or_default().iter().enumerate();
        cells.filter(|(_, value)| **value > level).map(|(i, _)| (i % width, i / width)).collect()
    }
}

/// Center and extent of `shape` along its own axes, turned like `solid` if there is enough of it.
/// A few cells have no axes to speak of: they get the ellipse of their bounds.
fn first_guess(shape: &[(usize, usize)], solid: &[(usize, usize)]) -> Option<GridEllipse> {
    let bounds = Bounds::of(shape)?;
    if shape.len() < ENOUGH {
        let (cx, cy) = bounds.center();
        let (a, b) = bounds.extent();
        return Some(GridEllipse { cx, cy, a: a.max(MIN_AXIS), b: b.max(MIN_AXIS), angle: 0.0 });
    }
    let moments = Moments::of(shape);
    let leading = moments.leading();
    let extent = |direction| moments.extent(shape, direction).max(MIN_AXIS);
    let turned = if solid.len() >= ENOUGH { Moments::of(solid).leading() } else { leading };
    let (cx, cy) = moments.center();
    Some(GridEllipse {
        cx,
        cy,
        a: extent(leading),
        b: extent((-leading.1, leading.0)),
        angle: turned.1.atan2(turned.0).to_degrees(),
    })
}

/// Of `rounds` sizes of an ellipse, each larger than the one before, the first that covers enough
/// of `shape`; else the one that covers most.
fn enlarged(
    start: GridEllipse,
    shape: &[(usize, usize)],
    [width, height]: [usize; 2],
    rounds: u32,
) -> Fit {
    let mut best = Fit { ellipse: start, enlargements: 0, covered: -1.0 };
    let mut ellipse = start;
    for enlargements in 0..rounds.max(1) {
        let drawn = raster::filled_ellipse(&ellipse, width, height);
        let inside = shape.iter().filter(|(x, y)| drawn[y * width + x]).count();
        let covered = inside as f64 / shape.len() as f64;
        if covered > best.covered {
            best = Fit { ellipse, enlargements, covered };
        }
        if covered >= COVERED {
            break;
        }
        ellipse.a *= GROWTH;
        ellipse.b *= GROWTH;
    }
    best
}

#[cfg(test)]
mod tests;
