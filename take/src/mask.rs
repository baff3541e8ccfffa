//! The soft mask G that shifts the mean of the starting noise.
//!
//! G is near 1 where the subject goes and falls to 0 away from it; the noise gets (1 − G)·μ added.
//! (Eq. 19 of the paper writes G·μ; its Fig. 3, the released training and the released inference
//! all shift the mean of the transparent part, outside the ellipse.)

use std::ops::Deref;

use thiserror::Error;

use crate::counted::counted;
use crate::ellipse::{Ellipse, GridEllipse};
use crate::latent_grid::LatentGrid;

/// Standard deviations are at least this many cells.
const MIN_SIGMA: f64 = 0.01;

/// Exponents of the Gaussian are clipped here; beyond it, all is equally far away.
const MIN_EXPONENT: f64 = -50.0;

/// A frame whose values differ by less than this shows nothing of its ellipse, and becomes zero.
const MIN_RANGE: f64 = 1e-9;

/// The mask G of a take: 1 where the subject goes, 0 away from it; see [`LatentGrid`] for how its
/// values are laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask(LatentGrid);

/// What is wrong with the values of a mask.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum MaskError {
    /// The number of values does not fit the shape.
    #[error(
        "mask has {}: expected {} x {} x {}; give a mask of that shape",
        counted(*found, "value"),
        counted(*frames, "frame"),
        counted(*height, "row"),
        counted(*width, "column")
    )]
    Length {
        /// Frames of the shape.
        frames: usize,
        /// Rows of the shape.
        height: usize,
        /// Columns of the shape.
        width: usize,
        /// How many values there are.
        found: usize,
    },
    /// A value is NaN or outside [0, 1].
    #[error(
        "mask is {found} at frame {frame}, row {row}, column {column}: expected 0 to 1; 1 is \
         where the subject goes, 0 is away from it"
    )]
    Value {
        /// Frame of the value.
        frame: usize,
        /// Row of the value, from the top.
        row: usize,
        /// Column of the value, from the left.
        column: usize,
        /// The value that was given.
        found: f32,
    },
}

impl Mask {
    /// A mask from values that come from outside, such as a mask file.
    ///
    /// # Errors
    /// [`MaskError::Length`] if there are not frames × height × width values;
    /// [`MaskError::Value`] for the first one that is NaN or outside [0, 1].
    pub fn new(values: Vec<f32>, [frames, height, width]: [usize; 3]) -> Result<Self, MaskError> {
        let expected = frames.checked_mul(height).and_then(|rows| rows.checked_mul(width));
        if expected != Some(values.len()) {
            return Err(MaskError::Length { frames, height, width, found: values.len() });
        }
        if let Some(at) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            return Err(MaskError::Value {
                frame: at / (height * width),
                row: at / width % height,
                column: at % width,
                found: values[at],
            });
        }
        Ok(Self(LatentGrid::new(values, [frames, height, width])))
    }

    /// The mask of an artist's ellipse per latent frame, on a latent grid of `width` × `height`.
    ///
    /// Shape `[track.len(), height, width]`; see [`Mask::of_grid_ellipses`]. The ellipses must be
    /// valid ([`Ellipse::validate`]).
    #[must_use]
    pub fn gaussian(track: &[Ellipse], width: usize, height: usize) -> Self {
        let on_grid: Vec<_> = track.iter().map(|ellipse| ellipse.on_grid(width, height)).collect();
        Self::of_grid_ellipses(&on_grid, width, height)
    }

    /// The mask of an ellipse per frame that is already in cells, such as a fitted one.
    ///
    /// Per frame G = exp(−½·((x′/σx)² + (y′/σy)²)), where σ is half an axis and (x′, y′) is the
    /// cell minus the center, in the ellipse's own axes; then stretched to span [0, 1]. A frame
    /// that its ellipse does not reach is zero.
    #[must_use]
    pub fn of_grid_ellipses(track: &[GridEllipse], width: usize, height: usize) -> Self {
        let values = track
            .iter()
            .flat_map(|ellipse| stretched(&gaussian_frame(ellipse, width, height)))
            .collect();
        Self(LatentGrid::new(values, [track.len(), height, width]))
    }
}

impl Deref for Mask {
    type Target = LatentGrid;

    fn deref(&self) -> &LatentGrid {
        &self.0
    }
}

/// The Gaussian of one ellipse, `[height, width]`.
fn gaussian_frame(ellipse: &GridEllipse, width: usize, height: usize) -> Vec<f64> {
    let (sin, cos) = ellipse.angle.to_radians().sin_cos();
    let sigma_x = (ellipse.a / 2.0).max(MIN_SIGMA);
    let sigma_y = (ellipse.b / 2.0).max(MIN_SIGMA);
    let mut values = Vec::with_capacity(width * height);
    for row in 0..height {
        let y = row as f64 - ellipse.cy;
        for column in 0..width {
            let x = column as f64 - ellipse.cx;
            let along = (x * cos + y * sin) / sigma_x;
            let across = (y * cos - x * sin) / sigma_y;
            let exponent = -0.5 * (along * along + across * across);
            values.push(exponent.max(MIN_EXPONENT).exp());
        }
    }
    values
}

/// The values mapped linearly so that they span [0, 1]; zeros if they are all alike.
fn stretched(values: &[f64]) -> Vec<f32> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = high - low;
    if range < MIN_RANGE {
        return vec![0.0; values.len()];
    }
    values.iter().map(|value| ((value - low) / range) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDTH: usize = 26;
    const HEIGHT: usize = 15;

    fn mask_of(ellipse: Ellipse) -> Vec<f32> {
        Mask::gaussian(&[ellipse], WIDTH, HEIGHT).values().to_vec()
    }

    /// The released fit of a disc of radii 200 × 150 pixels at (416, 240) in 832 × 480.
    #[test]
    fn disc_has_the_released_values() {
        let disc = GridEllipse { cx: 51.560, cy: 29.539, a: 49.043, b: 37.053, angle: -179.90 };
        let mask = Mask::of_grid_ellipses(&[disc], 104, 60);
        let at = |row: usize, column: usize| mask.values()[row * 104 + column];
        assert_eq!(at(30, 52), 1.0);
        assert!((at(30, 26) - 0.5676).abs() < 5e-5);
        assert!((at(10, 52) - 0.5600).abs() < 5e-5);
        let sum: f64 = mask.values().iter().copied().map(f64::from).sum();
        assert!((sum - 2348.05).abs() < 0.05, "{sum}");
    }

    #[test]
    fn positive_angle_turns_counter_clockwise_as_seen() {
        let wide = Ellipse { a: 1.6, b: 0.4, angle: 45.0, ..Ellipse::default() };
        let mask = Mask::gaussian(&[wide], 15, 15);
        let at = |row: usize, column: usize| mask.values()[row * 15 + column];
        let (top_right, top_left) = (at(3, 11), at(3, 3));
        assert!(top_right > 0.8 && top_left < 0.2, "{top_right} {top_left}");
    }

    #[test]
    fn out_of_reach_is_zero() {
        let away = Ellipse { x: 3.0, a: 0.002, b: 0.002, ..Ellipse::default() };
        let between_cells = Ellipse { a: 0.002, b: 0.002, ..Ellipse::default() };
        for ellipse in [away, between_cells] {
            assert!(Mask::gaussian(&[ellipse], 26, 16).values().iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn invalid_ellipse_gives_zero_not_nan() {
        for numbers in [[f64::NAN; 5], [f64::INFINITY; 5]] {
            assert!(mask_of(numbers.into()).iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn frames_follow_the_track() {
        let left = Ellipse { x: 0.2, ..Ellipse::default() };
        let right = Ellipse { x: 0.8, ..Ellipse::default() };
        let mask = Mask::gaussian(&[left, right], WIDTH, HEIGHT);
        assert_eq!(mask.shape(), [2, HEIGHT, WIDTH]);
        assert_eq!(mask.frame(0), Some(mask_of(left).as_slice()));
        assert_eq!(mask.frame(1), Some(mask_of(right).as_slice()));
        assert_eq!(mask.frame(2), None);
    }

    #[test]
    fn values_from_outside_are_checked() {
        assert!(Mask::new(vec![0.0, 0.5, 1.0, 1.0], [1, 2, 2]).is_ok());
        let error = Mask::new(vec![0.0; 5], [1, 2, 3]).unwrap_err().to_string();
        assert!(error.starts_with("mask has 5 values: expected 1 frame x 2 rows x 3"), "{error}");
        assert!(Mask::new(Vec::new(), [usize::MAX, 2, 3]).is_err());
        for bad in [f32::NAN, f32::INFINITY, -0.001, 1.001] {
            let mut values = vec![0.0; 12];
            values[9] = bad;
            let error = Mask::new(values, [2, 2, 3]).unwrap_err().to_string();
            let start = format!("mask is {bad} at frame 1, row 1, column 0: expected 0 to 1");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    prop_compose! {
        /// Within reach of the frame and wide enough to show on the small grid.
        fn ellipse()(
            x in 0.1..0.9, y in 0.1..0.9, a in 0.2..3.0, b in 0.2..3.0, angle in -360.0..360.0
        ) -> Ellipse {
            Ellipse { x, y, a, b, angle }
        }
    }

    fn close(left: &[f32], right: &[f32]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(l, r)| (l - r).abs() < 1e-6)
    }

    proptest! {
        #[test]
        fn spans_zero_to_one(ellipse in ellipse()) {
            let mask = mask_of(ellipse);
            prop_assert_eq!(mask.iter().copied().fold(f32::INFINITY, f32::min), 0.0);
            prop_assert_eq!(mask.iter().copied().fold(f32::NEG_INFINITY, f32::max), 1.0);
            prop_assert!(Mask::new(mask, [1, HEIGHT, WIDTH]).is_ok());
        }

        #[test]
        fn mirrored_ellipse_gives_mirrored_mask(ellipse in ellipse()) {
            let sideways = Ellipse { x: 1.0 - ellipse.x, angle: -ellipse.angle, ..ellipse };
            let upside_down = Ellipse { y: 1.0 - ellipse.y, angle: -ellipse.angle, ..ellipse };
            let rows = mask_of(ellipse);
            let rows = rows.chunks(WIDTH);
            let flopped: Vec<f32> =
                rows.clone().flat_map(|row| row.iter().rev()).copied().collect();
            let flipped: Vec<f32> = rows.rev().flatten().copied().collect();
            prop_assert!(close(&mask_of(sideways), &flopped));
            prop_assert!(close(&mask_of(upside_down), &flipped));
        }

        #[test]
        fn half_a_turn_changes_nothing(ellipse in ellipse()) {
            let turned = Ellipse { angle: ellipse.angle + 180.0, ..ellipse };
            prop_assert!(close(&mask_of(turned), &mask_of(ellipse)));
        }

        #[test]
        fn quarter_turn_swaps_the_axes(ellipse in ellipse()) {
            let (a, b) = (ellipse.b, ellipse.a);
            let turned = Ellipse { a, b, angle: ellipse.angle + 90.0, ..ellipse };
            prop_assert!(close(&mask_of(turned), &mask_of(ellipse)));
        }

        /// The drawn outline is the contour of one standard deviation: before stretching, G is
        /// exp(−½) all along it.
        #[test]
        fn outline_is_one_sigma(ellipse in ellipse(), turn in 0.0..360.0) {
            let grid = ellipse.on_grid(WIDTH, HEIGHT);
            let (sin, cos) = f64::to_radians(turn).sin_cos();
            let (along, across) = (cos * grid.a / 2.0, sin * grid.b / 2.0);
            let (sin, cos) = grid.angle.to_radians().sin_cos();
            let (x, y) = (along * cos - across * sin, along * sin + across * cos);
            // A grid of one cell, at (0, 0), which the outline passes through.
            let moved = GridEllipse { cx: -x, cy: -y, ..grid };
            let value = gaussian_frame(&moved, 1, 1)[0];
            prop_assert!((value - f64::exp(-0.5)).abs() < 1e-12, "{}", value);
        }
    }
}
