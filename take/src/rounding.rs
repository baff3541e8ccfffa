//! The grid of 1e-6 on which a request keeps its real numbers.

/// From here up (2^32) doubles lie about 1e-6 apart or more, and scaling could move one to its
/// neighbor: such numbers stay as they are.
const ALREADY_COARSE: f64 = 4_294_967_296.0;

/// `value` rounded to the nearest multiple of 1e-6; halves go away from zero, −0 becomes 0, and
/// NaN and infinities stay. Rounding twice equals rounding once, bit for bit.
#[must_use]
pub fn to_millionths(value: f64) -> f64 {
    if value.abs() < ALREADY_COARSE { (value * 1e6).round() / 1e6 + 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::to_millionths;
    use proptest::prelude::*;

    #[test]
    fn rounds_to_the_nearest_millionth() {
        assert_eq!(to_millionths(1.0 / 3.0), 0.333_333);
        assert_eq!(to_millionths(-2.0 / 3.0), -0.666_667);
        assert_eq!(to_millionths(0.05), 0.05);
        assert_eq!(to_millionths(f64::INFINITY), f64::INFINITY);
        assert_eq!(to_millionths(1e300), 1e300);
        assert!(to_millionths(f64::NAN).is_nan());
    }

    #[test]
    fn has_one_zero() {
        assert!(to_millionths(-1e-9).is_sign_positive());
        assert!(to_millionths(-0.0).is_sign_positive());
    }

    proptest! {
        #[test]
        fn rounding_twice_is_rounding_once(
            value in prop_oneof![-1e2..1e2, -1e10..1e10, prop::num::f64::NORMAL]
        ) {
            let once = to_millionths(value);
            prop_assert_eq!(to_millionths(once).to_bits(), once.to_bits());
            // Half a step, and what doubles of this size cannot tell apart.
            prop_assert!((once - value).abs() <= 0.5e-6 + value.abs() * f64::EPSILON);
        }
    }
}
