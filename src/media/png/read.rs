//! PNG of any kind as numbers from 0 to 1, and what it says of its color.
//!
//! Of several tags the one counts that PNG's third edition puts first: cICP, then iCCP, sRGB, and
//! gAMA with cHRM.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use png::{BitDepth, ColorType, Decoder, Info, Reader, ScaledFloat, Transformations};

use crate::media::color_space::TransferCurve;
use crate::media::color_tag::{ColorTag, TagMeaning};
use crate::media::frame::check_size;
use crate::media::icc;

/// An image as its file has it.
pub(in crate::media) struct PngImage {
    pub(in crate::media) width: usize,
    pub(in crate::media) height: usize,
    /// Row by row from the top, 0 to 1; alpha is 1 where the file has none.
    pub(in crate::media) rgba: Vec<f32>,
    pub(in crate::media) has_alpha: bool,
    /// What it says of its color; None where it says nothing, or sRGB.
    pub(in crate::media) color: Option<ColorTag>,
}

/// So many bytes may come of one: deflate cannot do more.
const MOST_PER_BYTE: usize = 1032;

/// Reads a file, after a look at the size that it claims.
pub(in crate::media) fn read(file: &Path) -> Result<PngImage> {
    let bytes = fs::read(file)?;
    let mut reader = open(&bytes)?;
    let color = tag_of(reader.info());
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| anyhow!("it is too large"))?;
    let mut raw = vec![0; size];
    reader.next_frame(&mut raw)?;
    // What is cut off after the picture is damaged all the same.
    reader.finish()?;
    let (kind, depth) = reader.output_color_type();
    let has_alpha = matches!(kind, ColorType::Rgba | ColorType::GrayscaleAlpha);
    let mut rgba = vec![1.0; width * height * 4];
    match depth {
        BitDepth::Sixteen => {
            let value = |high: u8, low: u8| f32::from(u16::from_be_bytes([high, low])) / 65535.0;
            spread(&mut rgba, raw.as_chunks::<2>().0, kind, |&[high, low]| value(high, low));
        }
        _ => spread(&mut rgba, &raw, kind, |byte| f32::from(*byte) / 255.0),
    }
    Ok(PngImage { width, height, rgba, has_alpha, color })
}

/// What a file says of its color, without its picture.
pub(in crate::media) fn color_of(file: &Path) -> Result<Option<ColorTag>> {
    let bytes = fs::read(file)?;
    Ok(tag_of(open(&bytes)?.info()))
}

/// Reads up to the picture, and refuses what cannot be one.
fn open(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    let reader = decoder.read_info()?;
    let info = reader.info();
    check_size(info.width as usize, info.height as usize)?;
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
            "it is an animated PNG of {} frames: write each as a PNG of its own (`ffmpeg -i \
             FILE.png frame.%04d.png`)",
            animation.num_frames
        );
    }
    Ok(reader)
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
        // A palette has become colors by now.
        ColorType::Grayscale | ColorType::Indexed => {
            for (pixel, gray) in pixels.zip(samples) {
                pixel[..3].fill(value(gray));
            }
        }
    }
}

fn tag_of(info: &Info<'_>) -> Option<ColorTag> {
    if let Some(cicp) = info.coding_independent_code_points {
        let (primaries, transfer) = (cicp.color_primaries, cicp.transfer_function);
        if !cicp.is_video_full_range_image || cicp.matrix_coefficients != 0 {
            let words = format!(
                "cICP {primaries}/{transfer}/{}/{}",
                cicp.matrix_coefficients,
                u8::from(cicp.is_video_full_range_image)
            );
            return Some(ColorTag::new(words, TagMeaning::Unknown));
        }
        return ColorTag::of_code_points("cICP", primaries, transfer);
    }
    if let Some(profile) = &info.icc_profile {
        return icc::tag_of(profile);
    }
    if info.srgb.is_some() {
        return None;
    }
    let gamma = info.gama_chunk.map(ScaledFloat::into_value);
    let curve = match gamma {
        None => TransferCurve::Srgb,
        Some(0.0) => return Some(ColorTag::new("gAMA 0", TagMeaning::Unknown)),
        Some(gamma) => TransferCurve::of_png_gamma(gamma),
    };
    let gamma = gamma.map(|gamma| format!("gAMA {gamma}"));
    match info.chrm_chunk {
        Some(chrm) => {
            let pair =
                |(x, y): (ScaledFloat, ScaledFloat)| [x, y].map(|z| f64::from(z.into_value()));
            let all = [chrm.red, chrm.green, chrm.blue, chrm.white].map(pair);
            let words =
                gamma.map_or_else(|| "cHRM".to_owned(), |gamma| format!("{gamma} and cHRM"));
            Some(ColorTag::of_chromaticities(&words, all, curve))
        }
        None => Some(ColorTag::of_curve(gamma?, curve)),
    }
}
