//! PNG, both ways.
//!
//! Written: a frame in 16 bits per channel, straight, values as generated; and the contact sheet's
//! 8 bits. Both say sRGB, and carry the recipe as UTF-8 text. Read (`read`): any kind, as RGBA.

mod color_chunks;
mod read;

use std::io::Cursor;

use anyhow::{Context, Result};
use image::{EncodableLayout, ImageBuffer, ImageFormat, Pixel, PixelWithColorType};
use png::{BitDepth, ColorType, Compression, Encoder, SrgbRenderingIntent};
use wan_alpha_take::color::straight_16;
use wan_alpha_take::frame::Frame;

use super::contact_sheet::ContactSheet;
use super::error::{self, MediaError};
use super::provenance::Provenance;
pub(super) use read::{PngImage, color_of, read};

/// The keyword of the recipe's text chunk.
pub(crate) const RECIPE: &str = "wan-alpha recipe";

/// The bytes of a frame's file. They depend on nothing but the arguments.
pub(crate) fn encode(frame: &Frame<'_>, provenance: &Provenance) -> error::Result<Vec<u8>> {
    let mut samples = Vec::with_capacity(frame.rgba.len() * 2);
    for pixel in frame.pixels() {
        // PNG is big-endian.
        samples.extend(straight_16(*pixel).into_iter().flat_map(u16::to_be_bytes));
    }
    let kind = (ColorType::Rgba, BitDepth::Sixteen);
    pack(frame.width, frame.height, kind, &samples, provenance)
        .with_context(|| format!("frame {} cannot be made into a PNG file", frame.index))
        .map_err(MediaError::Unencodable)
}

/// The bytes of a contact sheet's file.
pub(crate) fn encode_sheet(
    sheet: &ContactSheet,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let (width, height, rgb) = sheet.draw();
    pack(width, height, (ColorType::Rgb, BitDepth::Eight), &rgb, provenance)
        .context("the contact sheet cannot be made into a PNG file")
        .map_err(MediaError::Unencodable)
}

/// A contact sheet of frames of one size that are no take, as the bytes of its file.
pub(crate) fn encode_sheet_of<'a>(
    frames: impl ExactSizeIterator<Item = Frame<'a>>,
) -> Result<Vec<u8>> {
    let mut frames = frames.peekable();
    let (count, first) = (frames.len(), frames.peek().copied());
    let (width, height) = first.map_or((1, 1), |frame| (frame.width, frame.height));
    let mut sheet = ContactSheet::new(count, width, height);
    for frame in frames {
        frame.check()?;
        sheet.offer(&frame);
    }
    Ok(encode_sheet(&sheet, &Provenance::none())?)
}

/// The bytes of a picture's file that nobody composites, with nothing said about it.
pub(crate) fn encode_plain<P>(picture: &ImageBuffer<P, Vec<P::Subpixel>>) -> error::Result<Vec<u8>>
where
    P: Pixel + PixelWithColorType,
    [P::Subpixel]: EncodableLayout,
{
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| MediaError::Unencodable(error.into()))?;
    Ok(bytes.into_inner())
}

fn pack(
    width: usize,
    height: usize,
    (color, depth): (ColorType, BitDepth),
    samples: &[u8],
    provenance: &Provenance,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(color);
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
    use crate::media::sample::{gradient, provenance};

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
