//! PNG of any kind as numbers from 0 to 1, and what it says of its color and its pixels.
//!
//! tRNS is alpha. Of a narrow range (cICP) black and white are brought to 0 and 1, alpha is full. sBIT, how
//! exact values once were, changes nothing.

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Reader, Transformations};

use super::color_chunks::{self, readable};
use super::palette;
use crate::media::color_tag::ColorTag;
use crate::media::file_kind::not_what_it_is_called;
use crate::media::frame::check_size;
use crate::media::guarded::guarded;
use crate::media::remarks::{about_orientation, about_pixel_aspect};

/// An image as its file has it.
pub(in crate::media) struct PngImage {
    pub(in crate::media) width: usize,
    pub(in crate::media) height: usize,
    /// Row by row from the top, 0 to 1; alpha is 1 where the file has none.
    pub(in crate::media) rgba: Vec<f32>,
    pub(in crate::media) has_alpha: bool,
    /// What it says of its color; None where it says nothing, or sRGB.
    pub(in crate::media) color: Option<ColorTag>,
    /// What is to be said of its pixels.
    pub(in crate::media) remarks: Vec<String>,
}

/// What a file says of its color, without its picture.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::media) struct PngColor {
    /// As [`PngImage::color`] has it.
    pub(in crate::media) tag: Option<ColorTag>,
    /// Whether black and white are 16 and 235 of 255, as video has them.
    pub(in crate::media) is_narrow: bool,
}

/// The bytes that every PNG file begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Where the header begins, which comes first, with its name and the size, and the kind of its pixels.
const HEADER: usize = 12;
const COLOR_TYPE: usize = 25;
/// So many bytes may come of one: deflate cannot do more.
const MOST_PER_BYTE: usize = 1032;

/// Reads a file, after a look at the size that it claims.
pub(in crate::media) fn read(file: &Path) -> Result<PngImage> {
    let bytes = fs::read(file)?;
    guarded(|| read_bytes(&bytes))
}

fn read_bytes(bytes: &[u8]) -> Result<PngImage> {
    let changed = readable(bytes);
    let mut reader = open(&changed)?;
    let color = color_chunks::tag_of(bytes, reader.info());
    let is_narrow = is_narrow(reader.info());
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| anyhow!("it is too large"))?;
    let mut raw = vec![0; size];
    reader.next_frame(&mut raw).map_err(explain)?;
    // What is cut off after the picture is damaged all the same.
    reader.finish().map_err(explain)?;
    let remarks = remarks(reader.info());
    let (kind, depth) = reader.output_color_type();
    let mut has_alpha = matches!(kind, ColorType::Rgba | ColorType::GrayscaleAlpha);
    let mut rgba = vec![1.0; width * height * 4];
    match depth {
        _ if kind == ColorType::Indexed => {
            has_alpha = reader.info().trns.is_some();
            palette::spread(&mut rgba, &raw, reader.info())?;
        }
        BitDepth::Sixteen => {
            let value = |high: u8, low: u8| f32::from(u16::from_be_bytes([high, low])) / 65535.0;
            spread(&mut rgba, raw.as_chunks::<2>().0, kind, |&[high, low]| value(high, low));
        }
        _ => spread(&mut rgba, &raw, kind, |byte| f32::from(*byte) / 255.0),
    }
    if is_narrow {
        widen(&mut rgba, depth);
    }
    Ok(PngImage { width, height, rgba, has_alpha, color, remarks })
}

fn is_narrow(info: &Info<'_>) -> bool {
    info.coding_independent_code_points.is_some_and(|cicp| !cicp.is_video_full_range_image)
}

/// Brings what video calls black and white to 0 and 1.
fn widen(rgba: &mut [f32], depth: BitDepth) {
    // 16 and 235 in 8 bits, 256 times that in 16.
    let [most, step] = if depth == BitDepth::Sixteen { [65535.0, 256.0] } else { [255.0, 1.0] };
    for pixel in rgba.as_chunks_mut::<4>().0 {
        for value in &mut pixel[..3] {
            *value = (*value * most - 16.0 * step) / (219.0 * step);
        }
    }
}

/// What is to be said of the pixels, once the whole file has been read.
fn remarks(info: &Info<'_>) -> Vec<String> {
    let aspect = info
        .pixel_dims
        .and_then(|dims| about_pixel_aspect(f64::from(dims.yppu) / f64::from(dims.xppu), "pHYs"));
    let orientation = info.exif_metadata.as_deref().and_then(about_orientation);
    aspect.into_iter().chain(orientation).collect()
}

/// What a file says of its color, without its picture.
pub(in crate::media) fn color_of(file: &Path) -> Result<PngColor> {
    let bytes = fs::read(file)?;
    guarded(|| {
        let changed = readable(&bytes);
        let reader = open(&changed)?;
        let tag = color_chunks::tag_of(&bytes, reader.info());
        Ok(PngColor { tag, is_narrow: is_narrow(reader.info()) })
    })
}

/// Reads up to the picture, and refuses what cannot be one.
fn open(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>> {
    ensure!(bytes.starts_with(SIGNATURE), "{}", not_what_it_is_called(bytes, "png"));
    // Before rows of that size are made room for.
    if let Some((b"IHDR", sizes)) = bytes.get(HEADER..).and_then(<[u8]>::split_first_chunk) {
        let size = |place: usize| {
            let digits = sizes.get(place..place + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(digits) as usize)
        };
        check_size(size(0).unwrap_or(0), size(4).unwrap_or(0))?;
    }
    let mut decoder = Decoder::new(Cursor::new(bytes));
    // Of a palette places that it does not have would become black.
    let is_indexed = bytes.get(COLOR_TYPE) == Some(&(ColorType::Indexed as u8));
    decoder.set_transformations(if is_indexed {
        Transformations::IDENTITY
    } else {
        Transformations::EXPAND
    });
    decoder.set_ignore_text_chunk(true);
    let reader = decoder.read_info().map_err(explain)?;
    let info = reader.info();
    let stored = info.raw_bytes().saturating_sub(info.height as usize);
    ensure!(
        stored / MOST_PER_BYTE <= bytes.len(),
        "it claims {} × {} pixels, more than its {} bytes can hold: it is damaged",
        info.width,
        info.height,
        bytes.len()
    );
    if let Some(animation) = info.animation_control
        && animation.num_frames > 1
    {
        bail!(
            "it is an animated PNG of {} frames: call it .apng, for ffmpeg to read it as a movie, or \
             write each as a PNG of its own (`ffmpeg -i FILE.png frame.%04d.png`)",
            animation.num_frames
        );
    }
    Ok(reader)
}

fn explain(error: DecodingError) -> anyhow::Error {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            anyhow!("it is cut off: its last part is missing; copy or write it again")
        }
        DecodingError::LimitsExceeded => anyhow!(
            "one of its parts besides the picture is larger than 64 MB, a profile or a text: write it \
             again without"
        ),
        error => anyhow!(
            "it is damaged, or no whole PNG file: copy or write it again (reason: {})",
            error.to_string().lines().next().unwrap_or_default()
        ),
    }
}

/// Samples as RGBA; gray is every color, and where there is no alpha it stays as it is.
fn spread<T>(rgba: &mut [f32], samples: &[T], kind: ColorType, value: impl Fn(&T) -> f32) {
    let pixels = rgba.as_chunks_mut::<4>().0.iter_mut();
    match kind {
        ColorType::Rgba => {
            for (channel, sample) in pixels.flatten().zip(samples) {
                *channel = value(sample);
            }
        }
        ColorType::Rgb => {
            for (pixel, sample) in pixels.zip(samples.as_chunks::<3>().0) {
                pixel[..3].copy_from_slice(&sample.each_ref().map(&value));
            }
        }
        ColorType::GrayscaleAlpha => {
            for (pixel, [gray, alpha]) in pixels.zip(samples.as_chunks::<2>().0) {
                pixel[..3].fill(value(gray));
                pixel[3] = value(alpha);
            }
        }
        // A palette is spread elsewhere.
        ColorType::Grayscale | ColorType::Indexed => {
            for (pixel, gray) in pixels.zip(samples) {
                pixel[..3].fill(value(gray));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_told_with_its_size() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures/srgb.png");
        let mut bytes = fs::read(path).unwrap();
        for [width, height] in [[20_000, 4], [4, 70_000], [60_000_000, 60_000_000]] {
            bytes[16..20].copy_from_slice(&u32::to_be_bytes(width));
            bytes[20..24].copy_from_slice(&u32::to_be_bytes(height));
            let said = read_bytes(&bytes).err().unwrap().to_string();
            let words = format!("it is {width} × {height}; more than 16384 on a side is not read");
            assert_eq!(said, words);
        }
    }
}
