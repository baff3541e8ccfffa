//! Numbers from repeated runs.

use serde::Serialize;

/// Of several durations, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of some values; `None` where there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        Some(Self { min: *sorted.first()?, median: median(&sorted)?, max: *sorted.last()? })
    }
}

/// The median of ours / theirs over the pairs: a disturbance that meets both halves of a pair
/// cancels, and one that meets a single half moves one ratio of many.
pub(crate) fn ratio_of_pairs(pairs: &[(f64, f64)]) -> Option<f64> {
    let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
    median(&sorted(&ratios))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Of an even number, the mean of the middle two.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_odd_and_even_numbers_of_runs() {
        let odd = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(odd, Spread { min: 1.0, median: 2.0, max: 3.0 });
        let even = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(even, Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_ratio_is_taken_pair_by_pair() {
        // The machine slows down threefold half-way: pairs keep the ratio, medians would not.
        let pairs = [(1.0, 2.0), (1.0, 2.0), (1.0, 6.0), (3.0, 6.0), (3.0, 6.0)];
        assert_eq!(ratio_of_pairs(&pairs), Some(0.5));
        assert_eq!(ratio_of_pairs(&[(1.0, 2.0), (1.0, 1.0)]), Some(0.75));
        assert_eq!(ratio_of_pairs(&[]), None);
    }
}
