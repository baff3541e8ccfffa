//! PNG, both ways.
//!
//! Written: a frame in 16 or 8 bits per channel, straight, values as generated; and the contact sheet's
//! 8 bits. All say sRGB, and carry recipe and marks of origin as UTF-8 text. Read (`read`): any kind, as
//! RGBA.

mod color_chunks;
mod palette;
mod read;

use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use image::{EncodableLayout, ImageBuffer, ImageFormat, Pixel, PixelWithColorType};
use png::chunk::ChunkType;
use png::{BitDepth, ColorType, Compression, Encoder, SrgbRenderingIntent};
use wan_alpha_take::color::{quantize_8, straight_16};
use wan_alpha_take::frame::Frame;

use super::contact_sheet::ContactSheet;
use super::error::{self, MediaError};
use super::provenance::{Provenance, xmp};
use super::variant_sheet::VariantSheet;
pub(super) use read::{PngImage, color_of, read};

/// The keyword of the recipe's text chunk.
pub(crate) const RECIPE: &str = "wan-alpha recipe";

/// The keyword of an XMP packet's text chunk.
pub(crate) const XMP: &str = "XML:com.adobe.xmp";

/// What a file says that its color is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PngTag {
    /// sRGB by the chunk of that name, and by gAMA and cHRM for older readers
    #[default]
    Srgb,
    /// sRGB by numbers of ITU-T H.273 (1, 13), as newer readers and video have it
    Cicp,
}

/// How PNG files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PngSettings {
    /// Whether a channel has 8 bits, not 16.
    pub(crate) is_8_bit: bool,
    pub(crate) color: PngTag,
}

impl PngSettings {
    /// As frames are written unless told otherwise.
    #[cfg(test)]
    pub(crate) const SIXTEEN_BITS: Self = Self { is_8_bit: false, color: PngTag::Srgb };

    fn depth(self) -> BitDepth {
        if self.is_8_bit { BitDepth::Eight } else { BitDepth::Sixteen }
    }
}

/// The bytes of a frame's file. They depend on nothing but the arguments.
pub(crate) fn encode(
    frame: &Frame<'_>,
    settings: PngSettings,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let samples = samples(frame, settings);
    let layout =
        Layout { color: ColorType::Rgba, depth: settings.depth(), says: Some(settings.color) };
    pack(frame.width, frame.height, layout, &samples, provenance)
        .with_context(|| not_made(frame))
        .map_err(MediaError::Unencodable)
}

/// The same of alpha alone, as gray, which is no color: nothing is said of it.
pub(crate) fn encode_alpha(
    frame: &Frame<'_>,
    settings: PngSettings,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let alpha = frame.pixels().iter().map(|pixel| pixel[3]);
    let samples: Vec<u8> = if settings.is_8_bit {
        alpha.map(quantize_8).collect()
    } else {
        // Of an opaque pixel, whose color alpha is then.
        alpha.flat_map(|alpha| straight_16([alpha, 0.0, 0.0, 1.0])[0].to_be_bytes()).collect()
    };
    let layout = Layout { color: ColorType::Grayscale, depth: settings.depth(), says: None };
    pack(frame.width, frame.height, layout, &samples, provenance)
        .with_context(|| not_made(frame))
        .map_err(MediaError::Unencodable)
}

fn not_made(frame: &Frame<'_>) -> String {
    format!("frame {} cannot be made into a PNG file", frame.index)
}

/// Straight samples row by row; color is 0 where the file's own alpha is 0.
pub(super) fn samples(frame: &Frame<'_>, settings: PngSettings) -> Vec<u8> {
    if settings.is_8_bit {
        return frame.pixels().iter().flat_map(|pixel| straight_8(*pixel)).collect();
    }
    // PNG is big-endian.
    let words = frame.pixels().iter().flat_map(|pixel| straight_16(*pixel));
    words.flat_map(u16::to_be_bytes).collect()
}

/// A pixel as generated, straight, in 8 bits.
pub(crate) fn straight_8([r, g, b, a]: [f32; 4]) -> [u8; 4] {
    match quantize_8(a) {
        0 => [0; 4],
        alpha => [quantize_8(r), quantize_8(g), quantize_8(b), alpha],
    }
}

/// The bytes of a contact sheet's file.
pub(crate) fn encode_sheet(
    sheet: &ContactSheet,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    encode_drawn(sheet.draw(), provenance)
}

/// The bytes of the file of a picture of several takes.
pub(crate) fn encode_variants(
    sheet: &VariantSheet,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    encode_drawn(sheet.draw(), provenance)
}

/// The bytes of a drawn sheet's file.
fn encode_drawn(
    (width, height, rgb): (usize, usize, Vec<u8>),
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let layout = Layout { color: ColorType::Rgb, depth: BitDepth::Eight, says: Some(PngTag::Srgb) };
    pack(width, height, layout, &rgb, provenance)
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

/// What the samples of a file are.
#[derive(Clone, Copy)]
struct Layout {
    color: ColorType,
    depth: BitDepth,
    /// None of what is no color.
    says: Option<PngTag>,
}

fn pack(
    width: usize,
    height: usize,
    layout: Layout,
    samples: &[u8],
    provenance: &Provenance,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(layout.color);
    encoder.set_depth(layout.depth);
    encoder.set_compression(Compression::Fast);
    if layout.says == Some(PngTag::Srgb) {
        encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    }
    say(&mut encoder, provenance)?;
    let mut writer = encoder.write_header()?;
    if layout.says == Some(PngTag::Cicp) {
        // Primaries of Rec.709, sRGB's curve, no matrix, full range.
        writer.write_chunk(ChunkType(*b"cICP"), &[1, 13, 0, 1])?;
    }
    writer.write_image_data(samples)?;
    writer.finish()?;
    Ok(bytes)
}

/// Has a file say where it is from.
pub(super) fn say<W: Write>(encoder: &mut Encoder<'_, W>, provenance: &Provenance) -> Result<()> {
    for (keyword, text) in [
        ("Software", &provenance.software),
        ("Description", &provenance.description),
        ("Copyright", &provenance.owner),
        (RECIPE, &provenance.recipe),
        (XMP, &xmp::packet(provenance, false)),
    ] {
        if !text.is_empty() {
            encoder.add_itxt_chunk(keyword.to_owned(), text.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{gradient, provenance};

    fn written() -> (Vec<f32>, Vec<u8>) {
        let rgba = gradient(19, 33, 2);
        let frame = Frame { index: 0, width: 19, height: 33, rgba: &rgba };
        let bytes = encode(&frame, PngSettings::SIXTEEN_BITS, &provenance()).unwrap();
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
