//! Pictures in another size by Pillow's Lanczos filter, in double precision and without rounding to 8
//! bits: three lobes, averaging where the picture becomes smaller.

use std::f64::consts::PI;
use std::ops::Range;

/// Lobes on either side.
const LOBES: f64 = 3.0;

/// Numbers `[height, width, channels]` of the size `from`, as width and height, in the size `to`. Every
/// channel is filtered by itself; the filter overshoots, and nothing is cut off.
pub(super) fn filtered<const CHANNELS: usize>(
    values: &[[f64; CHANNELS]],
    from: [usize; 2],
    to: [usize; 2],
) -> Vec<[f64; CHANNELS]> {
    let columns = taps(from[0], to[0]);
    let rows = taps(from[1], to[1]);
    let mut wide = Vec::with_capacity(to[0] * from[1]);
    for row in values.chunks_exact(from[0].max(1)) {
        wide.extend(columns.iter().map(|taps| taps.of(|place| row[place])));
    }
    let mut all = Vec::with_capacity(to[0] * to[1]);
    for taps in &rows {
        all.extend((0..to[0]).map(|column| taps.of(|place| wide[place * to[0] + column])));
    }
    all
}

/// The least and the most of the numbers `[height, width]` that lie under each number of the size `to`, or
/// beside it where the picture becomes larger: what a filter without lobes would stay between.
pub(super) fn bounds(values: &[f64], from: [usize; 2], to: [usize; 2]) -> Vec<[f64; 2]> {
    let [columns, rows] = [spans(from[0], to[0]), spans(from[1], to[1])];
    let wider = |[least, most]: [f64; 2], [low, high]: [f64; 2]| [least.min(low), most.max(high)];
    let nothing = [f64::INFINITY, f64::NEG_INFINITY];
    let mut wide = Vec::with_capacity(to[0] * from[1]);
    for row in values.chunks_exact(from[0].max(1)) {
        wide.extend(
            columns
                .iter()
                .map(|span| row[span.clone()].iter().map(|value| [*value; 2]).fold(nothing, wider)),
        );
    }
    let mut all = Vec::with_capacity(to[0] * to[1]);
    for span in &rows {
        all.extend(
            (0..to[0]).map(|column| {
                span.clone().map(|row| wide[row * to[0] + column]).fold(nothing, wider)
            }),
        );
    }
    all
}

/// The places nearer to each number of the result than the next.
fn spans(from: usize, to: usize) -> Vec<Range<usize>> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let near = |place: &usize| (*place as f64 + 0.5 - center).abs() < reach;
        let first = (center - reach).max(0.0) as usize;
        let end = ((center + reach).ceil() as usize).min(from);
        let mut places = (first..end).filter(near);
        let first = places.next().unwrap_or(first);
        first..places.next_back().unwrap_or(first) + 1
    };
    (0..to).map(of).collect()
}

/// What one number of the result is made of.
struct LanczosTaps {
    first: usize,
    /// Their sum is 1.
    weights: Vec<f64>,
}

impl LanczosTaps {
    fn of<const CHANNELS: usize>(
        &self,
        value: impl Fn(usize) -> [f64; CHANNELS],
    ) -> [f64; CHANNELS] {
        let mut sum = [0.0; CHANNELS];
        for (place, weight) in (self.first..).zip(&self.weights) {
            for (sum, value) in sum.iter_mut().zip(value(place)) {
                *sum += weight * value;
            }
        }
        sum
    }
}

fn taps(from: usize, to: usize) -> Vec<LanczosTaps> {
    let scale = from as f64 / to as f64;
    // Wider than its lobes where the picture becomes smaller.
    let width = scale.max(1.0);
    let reach = LOBES * width;
    let of = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5).max(0.0) as usize).min(from);
        let weight = |place: usize| lanczos((place as f64 - center + 0.5) / width);
        let mut weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        LanczosTaps { first, weights }
    };
    (0..to).map(of).collect()
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}
