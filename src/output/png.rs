//! PNG: a frame in 16 bits per channel, straight, values as generated; and the contact sheet's
//! 8 bits. Both say sRGB, and carry the recipe as UTF-8 text.

use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Compression, Encoder, SrgbRenderingIntent};

use super::Provenance;
use super::frame::{Frame, straight_16};

/// The keyword of the recipe's text chunk.
pub(crate) const RECIPE: &str = "wan-alpha recipe";

/// A frame's file. The bytes depend on nothing but the arguments.
pub(super) fn encode(frame: &Frame<'_>, provenance: &Provenance) -> Result<Vec<u8>> {
    let mut samples = Vec::with_capacity(frame.rgba.len() * 2);
    for pixel in frame.pixels() {
        // PNG is big-endian.
        samples.extend(straight_16(pixel).into_iter().flat_map(u16::to_be_bytes));
    }
    let kind = (ColorType::Rgba, BitDepth::Sixteen);
    pack(frame.width, frame.height, kind, &samples, provenance)
        .with_context(|| format!("frame {} cannot be made into a PNG file", frame.index))
}

/// The contact sheet's file, from 8-bit RGB.
pub(super) fn encode_sheet(
    width: usize,
    height: usize,
    rgb: &[u8],
    provenance: &Provenance,
) -> Result<Vec<u8>> {
    pack(width, height, (ColorType::Rgb, BitDepth::Eight), rgb, provenance)
        .context("the contact sheet cannot be made into a PNG file")
}

fn pack(
    width: usize,
    height: usize,
    (colour, depth): (ColorType, BitDepth),
    samples: &[u8],
    provenance: &Provenance,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(Compression::Fast);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    for (keyword, text) in [
        ("Software", &provenance.software),
        ("Description", &provenance.description),
        (RECIPE, &provenance.recipe),
    ] {
        if !text.is_empty() {
            encoder.add_itxt_chunk(keyword.to_owned(), text.clone())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(samples)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::{gradient, provenance};
    use std::io::Cursor;

    fn written() -> (Vec<f32>, Vec<u8>) {
        let rgba = gradient(19, 33, 2);
        let frame = Frame { index: 0, width: 19, height: 33, rgba: &rgba };
        let bytes = encode(&frame, &provenance()).unwrap();
        (rgba, bytes)
    }

    #[test]
    fn reads_back_straight_to_16_bit_rounding_with_black_under_transparency() {
        let (rgba, bytes) = written();
        let image::DynamicImage::ImageRgba16(read) = image::load_from_memory(&bytes).unwrap()
        else {
            panic!("not 16-bit RGBA");
        };
        assert_eq!(read.dimensions(), (19, 33));
        let mut transparent = 0;
        for (read, pixel) in read.pixels().zip(rgba.as_chunks::<4>().0) {
            if pixel[3] == 0.0 {
                assert_eq!(read.0, [0; 4]);
                transparent += 1;
                continue;
            }
            for (read, value) in read.0.into_iter().zip(pixel) {
                let error = f64::from(read) - f64::from(*value) * 65535.0;
                assert!(error.abs() <= 0.51, "{read} for {value}");
            }
        }
        assert!(transparent > 20, "the test picture must have transparent pixels");
    }

    #[test]
    fn says_srgb_and_carries_the_recipe() {
        let (_, bytes) = written();
        let reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let info = reader.info();
        assert!(info.srgb.is_some());
        let texts: Vec<_> = info
            .utf8_text
            .iter()
            .map(|chunk| (chunk.keyword.as_str(), chunk.get_text().unwrap()))
            .collect();
        let made = provenance();
        assert_eq!(texts[0], ("Software", made.software));
        assert_eq!(texts[1], ("Description", made.description));
        assert_eq!(texts[2], (RECIPE, made.recipe));
    }

    #[test]
    fn equal_frames_give_equal_bytes() {
        assert_eq!(written().1, written().1);
    }
}
