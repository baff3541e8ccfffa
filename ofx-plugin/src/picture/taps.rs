//! Which pixels of a take make up an output pixel, and with what weights.
//!
//! The filter is a triangle: linear interpolation where a take is enlarged, as wide as two output
//! pixels where it is reduced. It is never negative, so nothing rings, and it grows with the
//! reduction, so nothing flickers. Both directions are filtered one after the other.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::frame_fit::Axis;

/// Weights below this are rounding errors of the position.
const LEAST: f64 = 1e-7;

/// What one output pixel is made of, in one direction.
///
/// The sum is formed as `near + Σ weight · (tap − near)`: where all taps are equal, so is the
/// result, exactly. The nearest tap has the greatest weight, so that this costs no precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taps {
    /// The first pixel of the take with a weight.
    pub(super) first: usize,
    pub(super) near: usize,
    /// How much of the output pixel shows the take.
    pub(super) coverage: f32,
}

impl Axis {
    /// Replaces `weights` by those of the output pixel's taps. Pixels beyond the take's ends have
    /// none; the edge is a matter of coverage.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions are clamped to the take; weights are rounded to single precision"
    )]
    pub(super) fn taps(&self, at: i32, weights: &mut Vec<f32>) -> Taps {
        weights.clear();
        let last = self.size.saturating_sub(1);
        let radius = self.ratio().max(1.0);
        let center = self.position(at).clamp(0.0, self.size as f64) - 0.5;
        let weight = |tap: usize| (1.0 - (tap as f64 - center).abs() / radius).max(0.0);
        let begin = (center - radius).ceil().max(0.0) as usize;
        let end = ((center + radius).floor().max(0.0) as usize).min(last);
        let sum: f64 = (begin..=end).map(weight).sum();
        let matters = |tap: &usize| weight(*tap) > LEAST * sum;
        let first = (begin..=end).find(matters).unwrap_or(begin);
        let end = (first..=end).rev().find(matters).unwrap_or(first);
        weights.extend((first..=end).map(|tap| (weight(tap) / sum) as f32));
        let near = (center.round().max(0.0) as usize).clamp(first, end);
        Taps { first, near, coverage: self.coverage(at) as f32 }
    }

    /// No output pixel has more taps.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the ratio is positive, and `as` saturates"
    )]
    pub(super) fn most_taps(&self) -> usize {
        ((2.0 * self.ratio().max(1.0)).ceil() as usize).saturating_add(1).min(self.size)
    }
}

/// The taps of several output pixels side by side.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) outputs: Range<i32>,
    pub(super) taps: Vec<(Taps, Range<usize>)>,
    pub(super) weights: Vec<f32>,
    /// The pixels of the take that any of them needs.
    pub(super) touched: Range<usize>,
    /// The same, where no output pixel has more than two taps: as where a take is enlarged.
    pub(super) pairs: Option<Vec<TapPair>>,
}

/// The two taps of an output pixel; one of them twice where it has but one.
#[derive(Clone, Copy, Debug)]
pub(super) struct TapPair {
    /// The nearest tap and the other one, counted from the first pixel that any output pixel needs.
    pub(super) places: [u32; 2],
    /// Of the other one.
    pub(super) weight: f32,
    pub(super) coverage: f32,
}

impl Columns {
    pub(super) fn new(axis: &Axis, outputs: Range<i32>) -> Self {
        let (mut taps, mut weights) = (Vec::with_capacity(outputs.len()), Vec::new());
        let mut touched = axis.size..0;
        let mut of_one = Vec::new();
        for at in outputs.clone() {
            let one = axis.taps(at, &mut of_one);
            let begin = weights.len();
            weights.extend_from_slice(&of_one);
            taps.push((one, begin..weights.len()));
            touched.start = touched.start.min(one.first);
            touched.end = touched.end.max(one.first + of_one.len());
        }
        let pairs = pairs(&taps, &weights, touched.start);
        Self { outputs, taps, weights, touched, pairs }
    }
}

fn pairs(taps: &[(Taps, Range<usize>)], weights: &[f32], start: usize) -> Option<Vec<TapPair>> {
    let place = |tap: usize| u32::try_from(tap - start).ok();
    let pair = |(taps, at): &(Taps, Range<usize>)| {
        let Taps { first, near, coverage } = *taps;
        let (other, weight) = match weights.get(at.clone())? {
            [_] => (near, 0.0),
            [_, second] if near == first => (first + 1, *second),
            [weight, _] => (first, *weight),
            _ => return None,
        };
        Some(TapPair { places: [place(near)?, place(other)?], weight, coverage })
    };
    taps.iter().map(pair).collect()
}
