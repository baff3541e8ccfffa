//! Monotone cubic interpolation of one number in time.
//!
//! F. N. Fritsch and R. E. Carlson, "Monotone Piecewise Cubic Interpolation", SIAM Journal on
//! Numerical Analysis 17 (1980), 238–246: a cubic Hermite curve through the keys that rises where
//! they rise, falls where they fall and is flat at their peaks, so that it never overshoots.

/// The slopes of the curve at its keys, one per key. `times` increases strictly; `values` has the
/// same length.
pub(super) fn monotone_slopes(times: &[f64], values: &[f64]) -> Vec<f64> {
    let secants: Vec<f64> = times
        .windows(2)
        .zip(values.windows(2))
        .map(|(time, value)| (value[1] - value[0]) / (time[1] - time[0]))
        .collect();
    let (Some(&first), Some(&last)) = (secants.first(), secants.last()) else {
        return vec![0.0; values.len()];
    };

    // One-sided at the ends, the mean of both sides between, flat where the direction changes.
    let mut slopes = vec![first];
    slopes.extend(
        secants
            .windows(2)
            .map(|pair| if pair[0] * pair[1] > 0.0 { (pair[0] + pair[1]) / 2.0 } else { 0.0 }),
    );
    slopes.push(last);

    // A segment is monotone if its slopes, in units of its secant, lie in the circle of radius 3.
    for (segment, secant) in secants.iter().enumerate() {
        let steepness = slopes[segment].hypot(slopes[segment + 1]);
        let limit = 3.0 * secant.abs();
        if steepness > limit {
            slopes[segment] *= limit / steepness;
            slopes[segment + 1] *= limit / steepness;
        }
    }
    slopes
}

/// The cubic at fraction `s` in [0, 1] of a segment of length `duration` that goes from value and
/// slope `from` to value and slope `to`. Exactly the first value at 0.
pub(super) fn hermite(s: f64, duration: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    let rise = (to.0 - from.0) * s * s * (3.0 - 2.0 * s);
    let bend = duration * s * (1.0 - s) * ((1.0 - s) * from.1 - s * to.1);
    from.0 + rise + bend
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(times: &[f64], values: &[f64], time: f64) -> f64 {
        let slopes = monotone_slopes(times, values);
        let i = times.partition_point(|&key| key <= time).clamp(1, times.len() - 1) - 1;
        let duration = times[i + 1] - times[i];
        let s = (time - times[i]) / duration;
        hermite(s, duration, (values[i], slopes[i]), (values[i + 1], slopes[i + 1]))
    }

    /// Secants 1, 4, 4, 0: means 2.5 and 4, then flat where the rise ends; nothing is too steep.
    #[test]
    fn slopes_by_hand() {
        let slopes = monotone_slopes(&[0.0, 1.0, 2.0, 3.0, 4.0], &[0.0, 1.0, 5.0, 9.0, 9.0]);
        assert_eq!(slopes, [1.0, 2.5, 4.0, 0.0, 0.0]);
    }

    /// Secants 1 and 9 give the slopes 1, 5, 9; (1, 5) is √26 long and shrinks to 3.
    #[test]
    fn steep_slopes_shrink_to_the_circle() {
        let slopes = monotone_slopes(&[0.0, 1.0, 2.0], &[0.0, 1.0, 10.0]);
        let shrink = 3.0 / 26.0_f64.sqrt();
        for (slope, expected) in slopes.iter().zip([shrink, 5.0 * shrink, 9.0]) {
            assert!((slope - expected).abs() < 1e-15, "{slopes:?}");
        }
    }

    #[test]
    fn a_single_key_is_flat() {
        assert_eq!(monotone_slopes(&[3.0], &[0.7]), [0.0]);
    }

    #[test]
    fn hermite_has_the_slopes_it_was_given() {
        let value = |s| hermite(s, 2.0, (1.0, -0.5), (3.0, 4.0));
        let step = 1e-6;
        assert!((value(0.0) - 1.0).abs() < 1e-15 && (value(1.0) - 3.0).abs() < 1e-15);
        assert!(((value(step) - value(0.0)) / (2.0 * step) + 0.5).abs() < 1e-4);
        assert!(((value(1.0) - value(1.0 - step)) / (2.0 * step) - 4.0).abs() < 1e-4);
    }

    prop_compose! {
        fn curve()(
            pairs in prop::collection::vec((0.1..20.0, -5.0..5.0), 2..8)
        ) -> (Vec<f64>, Vec<f64>) {
            let mut time = 0.0;
            pairs.into_iter().map(|(gap, value)| { time += gap; (time, value) }).unzip()
        }
    }

    proptest! {
        /// Between two keys the curve only rises or only falls, and so stays between them.
        #[test]
        fn is_monotone_between_keys((times, values) in curve()) {
            for (time, value) in times.windows(2).zip(values.windows(2)) {
                let samples: Vec<f64> = (0..=50)
                    .map(|i| at(&times, &values, time[0] + (time[1] - time[0]) * f64::from(i) / 50.0))
                    .collect();
                let direction = (value[1] - value[0]).signum();
                for pair in samples.windows(2) {
                    prop_assert!((pair[1] - pair[0]) * direction >= -1e-12);
                }
            }
        }

        #[test]
        fn two_keys_make_a_straight_line(
            gap in 0.1..100.0, from in -5.0..5.0, to in -5.0..5.0, s in 0.0..=1.0
        ) {
            let distance = at(&[0.0, gap], &[from, to], gap * s) - (from + (to - from) * s);
            prop_assert!(f64::abs(distance) < 1e-13, "{}", distance);
        }

        #[test]
        fn keys_on_a_line_make_that_line((times, _) in curve(), rate in -3.0..3.0, s in 0.0..=1.0) {
            let values: Vec<f64> = times.iter().map(|time| rate * time).collect();
            let time = times[0] + (times[times.len() - 1] - times[0]) * s;
            let distance = at(&times, &values, time) - rate * time;
            prop_assert!(f64::abs(distance) < 1e-10, "{}", distance);
        }
    }
}
