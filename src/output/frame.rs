//! One decoded frame, and its colour on the way to a file.
//!
//! The decoders give display-referred (sRGB-like) straight RGBA whose colour under alpha 0 is
//! unconstrained. The order of work is that of every output of this project: colour := 0 where
//! alpha is 0, transfer, premultiply, clamp alpha, quantise.

use anyhow::{Result, ensure};

/// A borrowed frame: straight display-referred RGBA in \[0, 1\], interleaved, first row on top.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Counts the take's frames from 0.
    pub(crate) index: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgba: &'a [f32],
}

impl Frame<'_> {
    /// Refuses a frame that no file should carry: one infinite or NaN pixel turns whole regions
    /// black or white as soon as a compositor filters the image.
    pub(crate) fn check(&self) -> Result<()> {
        let expected = self.width * self.height * 4;
        ensure!(
            self.rgba.len() == expected,
            "frame {} has {} values where {} × {} RGBA needs {expected}",
            self.index,
            self.rgba.len(),
            self.width,
            self.height,
        );
        if let Some(place) = self.rgba.iter().position(|value| !value.is_finite()) {
            let pixel = place / 4;
            anyhow::bail!(
                "frame {} holds {} in channel {} at column {}, row {}: the model's weights or its \
                 precision are at fault, nothing was written for this frame",
                self.index,
                self.rgba[place],
                ["R", "G", "B", "A"][place % 4],
                pixel % self.width,
                pixel / self.width,
            );
        }
        Ok(())
    }

    /// The pixels, row by row from the top.
    pub(crate) fn pixels(&self) -> impl ExactSizeIterator<Item = [f32; 4]> + '_ {
        self.rgba.as_chunks::<4>().0.iter().copied()
    }
}

/// The sRGB transfer function, display value to linear light, piecewise as in IEC 61966-2-1.
pub(crate) fn to_linear(display: f32) -> f32 {
    if display <= 0.04045 { display / 12.92 } else { ((display + 0.055) / 1.055).powf(2.4) }
}

/// The inverse of [`to_linear`].
pub(crate) fn to_display(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// What a compositor works in: linear light with Rec.709 primaries, premultiplied.
pub(crate) fn linear_premultiplied([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    let alpha = a.clamp(0.0, 1.0);
    // Not left to the multiplication: −0 would survive it.
    if alpha == 0.0 {
        return [0.0; 4];
    }
    [to_linear(r) * alpha, to_linear(g) * alpha, to_linear(b) * alpha, alpha]
}

/// The values as generated, straight, in 16 bits. Colour is 0 wherever the *file's* alpha is 0, so
/// that no reader ever finds garbage under full transparency.
pub(crate) fn straight_16([r, g, b, a]: [f32; 4]) -> [u16; 4] {
    match quantise_16(a) {
        0 => [0; 4],
        alpha => [quantise_16(r), quantise_16(g), quantise_16(b), alpha],
    }
}

fn quantise_16(value: f32) -> u16 {
    // `as` saturates, so rounding cannot wrap.
    (value.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16
}

/// A display value in 8 bits.
pub(crate) fn quantise_8(value: f32) -> u8 {
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
    fn colour_under_transparency_is_zeroed_and_the_rest_premultiplied() {
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
    fn a_frame_with_nan_or_the_wrong_length_is_refused_by_place() {
        let mut rgba = vec![0.5; 3 * 2 * 4];
        fn frame(rgba: &[f32]) -> Frame<'_> {
            Frame { index: 7, width: 3, height: 2, rgba }
        }
        assert!(frame(&rgba).check().is_ok());
        let text = frame(&rgba[4..]).check().unwrap_err().to_string();
        assert!(text.contains("frame 7 has 20 values") && text.contains("needs 24"), "{text}");
        rgba[(3 + 2) * 4 + 1] = f32::NAN;
        let text = frame(&rgba).check().unwrap_err().to_string();
        assert!(text.contains("NaN in channel G at column 2, row 1"), "{text}");
    }
}
