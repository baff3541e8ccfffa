//! Color on its way between what displays show and linear light, and into whole numbers.
//!
//! The one sRGB transfer function of this project (IEC 61966-2-1), in two forms whose results differ
//! in the last bits, so that neither may stand in for the other: in single precision for the files of
//! the command, and in double precision, mirrored below 0, for the images of hosts.
//!
//! The order of work is that of every output of this project: color := 0 where alpha is 0, transfer,
//! premultiply, clamp alpha, quantize.

/// Up to this display value the curve is a straight line.
const LINE_ENDS_AT_DISPLAY: f64 = 0.040_45;
/// The same place of the curve, as the standard rounds it in linear light.
const LINE_ENDS_AT_LINEAR: f64 = 0.003_130_8;
/// The slope of the straight line, display values over linear light.
const LINE_SLOPE: f64 = 12.92;
/// How far the power curve is shifted, in display values.
const CURVE_OFFSET: f64 = 0.055;
/// By how much the power curve is stretched.
const CURVE_SCALE: f64 = 1.055;
/// The exponent of the power curve, from display values to linear light.
const CURVE_EXPONENT: f64 = 2.4;

/// The constants above in single precision: each the number nearest to its decimal digits.
mod single {
    pub(super) const LINE_ENDS_AT_DISPLAY: f32 = super::LINE_ENDS_AT_DISPLAY as f32;
    pub(super) const LINE_ENDS_AT_LINEAR: f32 = super::LINE_ENDS_AT_LINEAR as f32;
    pub(super) const LINE_SLOPE: f32 = super::LINE_SLOPE as f32;
    pub(super) const CURVE_OFFSET: f32 = super::CURVE_OFFSET as f32;
    pub(super) const CURVE_SCALE: f32 = super::CURVE_SCALE as f32;
    pub(super) const CURVE_EXPONENT: f32 = super::CURVE_EXPONENT as f32;
}

/// A display value in linear light, computed in single precision. Below 0 the straight line goes on.
#[inline]
#[must_use]
pub fn to_linear(display: f32) -> f32 {
    use single::{CURVE_EXPONENT, CURVE_OFFSET, CURVE_SCALE, LINE_ENDS_AT_DISPLAY, LINE_SLOPE};
    if display <= LINE_ENDS_AT_DISPLAY {
        display / LINE_SLOPE
    } else {
        ((display + CURVE_OFFSET) / CURVE_SCALE).powf(CURVE_EXPONENT)
    }
}

/// The inverse of [`to_linear`], linear light as a display value, in single precision.
#[inline]
#[must_use]
pub fn to_display(linear: f32) -> f32 {
    use single::{CURVE_EXPONENT, CURVE_OFFSET, CURVE_SCALE, LINE_ENDS_AT_LINEAR, LINE_SLOPE};
    if linear <= LINE_ENDS_AT_LINEAR {
        linear * LINE_SLOPE
    } else {
        CURVE_SCALE * linear.powf(1.0 / CURVE_EXPONENT) - CURVE_OFFSET
    }
}

/// A display value in linear light, computed in double precision. Above 1 the curve goes on as it is;
/// below 0 it is that above, turned about the origin.
#[inline]
#[must_use]
pub fn to_linear_mirrored(display: f32) -> f32 {
    let value = f64::from(display.abs());
    let linear = if value <= LINE_ENDS_AT_DISPLAY {
        value / LINE_SLOPE
    } else {
        ((value + CURVE_OFFSET) / CURVE_SCALE).powf(CURVE_EXPONENT)
    };
    (linear as f32).copysign(display)
}

/// What a compositor works in: linear light with Rec.709 primaries, premultiplied. Made of a straight
/// display-referred pixel.
#[inline]
#[must_use]
pub fn linear_premultiplied([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    let alpha = a.clamp(0.0, 1.0);
    // Not left to the multiplication: −0 would survive it.
    if alpha == 0.0 {
        return [0.0; 4];
    }
    [to_linear(r) * alpha, to_linear(g) * alpha, to_linear(b) * alpha, alpha]
}

/// The values as generated, straight, in 16 bits. Color is 0 wherever the *file's* alpha is 0, so
/// that no reader ever finds garbage under full transparency.
#[inline]
#[must_use]
pub fn straight_16([r, g, b, a]: [f32; 4]) -> [u16; 4] {
    match quantize_16(a) {
        0 => [0; 4],
        alpha => [quantize_16(r), quantize_16(g), quantize_16(b), alpha],
    }
}

fn quantize_16(value: f32) -> u16 {
    // `as` saturates, so rounding cannot wrap.
    (value.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16
}

/// A display value in 8 bits, clamped to \[0, 1\] and rounded to the nearest.
#[inline]
#[must_use]
pub fn quantize_8(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the standard's formula, worked out to 30 digits.
    #[test]
    fn transfer_matches_the_standard() {
        let known = [
            (0.0, 0.0),
            (0.02, 0.001_547_987_6),
            (0.040_45, 0.003_130_805),
            (0.041, 0.003_174_278_7),
            (0.2, 0.033_104_767),
            (0.5, 0.214_041_14),
            (0.8, 0.603_827_34),
            (1.0, 1.0),
        ];
        for (display, linear) in known {
            assert!(
                (to_linear(display) - linear).abs() < 2e-7,
                "{display} → {}",
                to_linear(display)
            );
            assert!(
                (to_display(linear) - display).abs() < 2e-6,
                "{linear} → {}",
                to_display(linear)
            );
        }
        assert_eq!(to_linear(1.0), 1.0);
    }

    #[test]
    fn color_under_transparency_is_zeroed_and_the_rest_premultiplied() {
        assert_eq!(linear_premultiplied([1.0, 0.7, 0.3, 0.0]), [0.0; 4]);
        assert_eq!(linear_premultiplied([-0.5, 0.7, 0.3, -0.0]).map(f32::to_bits), [0; 4]);
        let [r, g, b, a] = linear_premultiplied([1.0, 0.5, 0.0, 0.25]);
        assert_eq!((r, b, a), (0.25, 0.0, 0.25));
        assert!((g - 0.214_041_14 * 0.25).abs() < 1e-7);
        assert_eq!(linear_premultiplied([1.0, 1.0, 1.0, 1.5]), [1.0; 4]);
    }

    #[test]
    fn straight_16_rounds_to_nearest_and_zeroes_by_the_file_s_alpha() {
        assert_eq!(straight_16([0.5, 1.0, 0.0, 1.0]), [32768, 65535, 0, 65535]);
        assert_eq!(straight_16([1.1, -0.1, 0.25, 0.5]), [65535, 0, 16384, 32768]);
        assert_eq!(straight_16([1.0, 1.0, 1.0, 0.0]), [0; 4]);
        assert_eq!(straight_16([1.0, 1.0, 1.0, 0.4 / 65535.0]), [0; 4]);
        assert_eq!(straight_16([1.0, 1.0, 1.0, 0.6 / 65535.0])[3], 1);
    }

    #[test]
    fn both_precisions_are_one_curve_and_only_one_is_mirrored() {
        for step in 0..=1000 {
            let display = step as f32 / 1000.0;
            let (single, double) = (to_linear(display), to_linear_mirrored(display));
            assert!((single - double).abs() < 2e-7, "{display}: {single} and {double}");
            assert_eq!(to_linear_mirrored(-display).to_bits(), (-double).to_bits());
        }
        assert_eq!(to_linear(-1.292), -0.1);
    }
}
