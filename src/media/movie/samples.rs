//! Frames as the encoders of ffmpeg take them: straight, color 0 where alpha is, values as generated.
//!
//! The conversion to Y'CbCr of Rec.709 is done here, in one way for all versions of ffmpeg. Where color is
//! kept for every second pixel only, pixels count by their alpha, so that no black of transparent pixels
//! gets into an edge.

use wan_alpha_take::color::straight_16;
use wan_alpha_take::frame::Frame;

use super::codec::PixelFormat;
use crate::media::png::straight_8;

/// The bytes of a frame.
pub(super) fn of(frame: &Frame<'_>, format: PixelFormat) -> Vec<u8> {
    match format {
        PixelFormat::Rgba64Be => frame
            .pixels()
            .iter()
            .flat_map(|pixel| straight_16(*pixel))
            .flat_map(u16::to_be_bytes)
            .collect(),
        PixelFormat::Bgra => {
            let pixels = frame.pixels().iter().map(|pixel| straight_8(*pixel));
            pixels.flat_map(|[r, g, b, a]| [b, g, r, a]).collect()
        }
        PixelFormat::Gbrap16 => {
            let pixels: Vec<[u16; 4]> =
                frame.pixels().iter().map(|pixel| straight_16(*pixel)).collect();
            let plane =
                |channel: usize| pixels.iter().flat_map(move |pixel| pixel[channel].to_le_bytes());
            [1, 2, 0, 3].into_iter().flat_map(plane).collect()
        }
        PixelFormat::Yuva444p10 => {
            let pixels: Vec<[f32; 4]> =
                frame.pixels().iter().map(|pixel| ycbcr(*pixel, 1023.0)).collect();
            let plane = |channel: usize| {
                let values = pixels.iter().map(move |pixel| match channel {
                    0 => 64.0 + 876.0 * pixel[0],
                    3 => 1023.0 * pixel[3],
                    _ => 512.0 + 896.0 * pixel[channel],
                });
                values.flat_map(|value| rounded(value, 1023.0).to_le_bytes())
            };
            (0..4).flat_map(plane).collect()
        }
        PixelFormat::Yuva420p => yuva420p(frame),
    }
}

fn rounded(value: f32, most: f32) -> u16 {
    (value + 0.5).clamp(0.0, most) as u16
}

/// Luma 0 to 1, both chromas -0.5 to 0.5, and alpha; a pixel whose alpha is 0 in steps up to `most` is
/// black.
fn ycbcr([r, g, b, a]: [f32; 4], most: f32) -> [f32; 4] {
    let alpha = a.clamp(0.0, 1.0);
    if rounded(alpha * most, most) == 0 {
        return [0.0; 4];
    }
    let [r, g, b] = [r, g, b].map(|value| value.clamp(0.0, 1.0));
    let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [luma, (b - luma) / 1.8556, (r - luma) / 1.5748, alpha]
}

/// Chroma lies at every second pixel from the left, between two rows, as MPEG has it.
fn yuva420p(frame: &Frame<'_>) -> Vec<u8> {
    let Frame { width, height, .. } = *frame;
    let pixels: Vec<[f32; 4]> = frame.pixels().iter().map(|pixel| ycbcr(*pixel, 255.0)).collect();
    let byte = |value: f32| rounded(value, 255.0) as u8;
    let mut bytes: Vec<u8> = pixels.iter().map(|pixel| byte(16.0 + 219.0 * pixel[0])).collect();
    for channel in [1, 2] {
        for row in (0..height).step_by(2) {
            for column in (0..width).step_by(2) {
                let (mut sum, mut weight) = (0.0, 0.0);
                for y in [row, (row + 1).min(height - 1)] {
                    let beside = [column.saturating_sub(1), column, (column + 1).min(width - 1)];
                    for (x, share) in beside.into_iter().zip([1.0, 2.0, 1.0]) {
                        let pixel = pixels[y * width + x];
                        sum += pixel[channel] * pixel[3] * share;
                        weight += pixel[3] * share;
                    }
                }
                let chroma = if weight > 0.0 { sum / weight } else { 0.0 };
                bytes.push(byte(128.0 + 224.0 * chroma));
            }
        }
    }
    bytes.extend(pixels.iter().map(|pixel| byte(255.0 * pixel[3])));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rgba: &[f32]) -> Frame<'_> {
        Frame { index: 0, width: rgba.len() / 8, height: 2, rgba }
    }

    /// Numbers of ITU-R BT.709: red is Y' 63, Cb 102, Cr 240 in 8 bits.
    #[test]
    fn red_white_and_black_are_those_of_rec_709() {
        let opaque = |color: [f32; 3]| [color[0], color[1], color[2], 1.0].repeat(4);
        for (color, expected) in [
            ([1.0, 0.0, 0.0], [63, 102, 240]),
            ([1.0, 1.0, 1.0], [235, 128, 128]),
            ([0.0, 0.0, 0.0], [16, 128, 128]),
            ([0.0, 0.0, 1.0], [32, 240, 118]),
        ] {
            let bytes = of(&frame(&opaque(color)), PixelFormat::Yuva420p);
            assert_eq!((bytes[0], bytes[4], bytes[5]), (expected[0], expected[1], expected[2]));
            assert_eq!(bytes[6..], [255; 4]);
            let words = of(&frame(&opaque(color)), PixelFormat::Yuva444p10);
            let words: Vec<u16> =
                words.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
            for (place, expected) in expected.into_iter().enumerate() {
                let found = words[place * 4];
                assert!(found.abs_diff(u16::from(expected) * 4) <= 2, "{found} for {expected}");
            }
            assert_eq!(words[12..], [1023; 4]);
        }
    }

    #[test]
    fn what_is_transparent_lends_no_color_to_its_neighbors() {
        // Red beside nothing, and beside almost nothing.
        let rgba = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0].repeat(2);
        let bytes = of(&frame(&rgba), PixelFormat::Yuva420p);
        assert_eq!(bytes, [63, 16, 63, 16, 102, 240, 255, 0, 255, 0]);
        let words = of(&frame(&rgba), PixelFormat::Gbrap16);
        let words: Vec<u16> =
            words.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        assert_eq!(words[8..12], [65535, 0, 65535, 0]);
        assert_eq!(words[12..], [65535, 0, 65535, 0]);
        assert_eq!(of(&frame(&rgba), PixelFormat::Bgra)[..8], [0, 0, 255, 255, 0, 0, 0, 0]);
    }

    #[test]
    fn alpha_is_rounded_to_the_nearest_step_at_both_ends_too() {
        let rgba = [0.5, 0.5, 0.5, 1.0 / 2047.0, 0.5, 0.5, 0.5, 1.0 - 1.0 / 2047.0].repeat(2);
        let words = of(&frame(&rgba), PixelFormat::Yuva444p10);
        let words: Vec<u16> =
            words.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        assert_eq!(words[12..14], [0, 1023]);
        assert_eq!(words[0], 64, "what alpha rounds to nothing is black");
    }
}
