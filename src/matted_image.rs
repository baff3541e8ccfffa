//! An image that a take begins or ends with, as a file: read with its own alpha, that of a second picture,
//! or as opaque.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_core::Watch;
use wan_alpha_take::StillImage;

use crate::console::Console;
use crate::media::mask::MaskSequence;
use crate::media::reading::PictureReading;
use crate::media::rgba::{PictureLosses, RgbaImage};

/// The file of an image, and where its alpha comes from.
pub(crate) struct MattedImage<'a> {
    /// A PNG or EXR.
    pub(crate) file: &'a Path,
    /// A picture of the same size that is the alpha, in place of the image's own.
    pub(crate) matte: Option<&'a Path>,
    /// The part or layer of an EXR file that is the image; its main one otherwise.
    pub(crate) layer: Option<&'a str>,
    /// Whether an image without alpha is opaque; else it is refused.
    pub(crate) opaque: bool,
    /// How image and matte are called in errors.
    pub(crate) flags: [&'a str; 2],
}

impl MattedImage<'_> {
    /// Reads it; `console` is told what is lost of its colors.
    pub(crate) fn read(&self, console: &Console<'_>) -> Result<StillImage> {
        let Self { file, matte, layer, opaque, flags: [flag, matte_flag] } = *self;
        // A pipe or a device might never end.
        let about =
            file.metadata().with_context(|| format!("cannot read {flag} {}", file.display()))?;
        ensure!(about.is_file(), "{flag} {} is no file: expected a PNG or EXR", file.display());
        let layer = layer.map(str::to_owned);
        let reading = PictureReading { layer, ..PictureReading::default() };
        let image = RgbaImage::read(file, &reading)?;
        for words in image.warnings() {
            console.warn(&format!("{}: {words}", file.display()));
        }
        if let Some(no_alpha) = image.no_alpha.as_ref().filter(|_| matte.is_none() && !opaque) {
            let reason = no_alpha.split(':').next().unwrap_or(no_alpha);
            return Err(anyhow!(
                "{flag} {}: {reason}; give its alpha as a second picture with {matte_flag} FILE, or take it as \
                 opaque with --opaque",
                file.display()
            ));
        }
        let (width, height) = image.size;
        let mut losses = PictureLosses::default();
        let mut rgba = image.display(None, &mut losses)?;
        for words in losses.lines() {
            console.warn(&format!("{}: {words}", file.display()));
        }
        if let Some(matte) = matte {
            let alpha = read_matte(matte, (width, height), matte_flag, console)?;
            for (pixel, alpha) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(alpha) {
                pixel[3] = alpha;
            }
        }
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        StillImage::new(side(width), side(height), rgba)
            .with_context(|| format!("{flag} {}", file.display()))
    }
}

/// The alpha of a second picture, or its brightness where it has none.
fn read_matte(
    file: &Path,
    (width, height): (usize, usize),
    flag: &str,
    console: &Console<'_>,
) -> Result<Vec<f32>> {
    let sequence = MaskSequence::find_all(std::slice::from_ref(&file.to_owned()), "matte", None)?;
    let (mut images, remarks) = sequence.read()?;
    for words in &remarks {
        console.warn(words);
    }
    let (Some(image), 0) = (images.pop(), images.len()) else {
        return Err(anyhow!("{flag} {} is not one picture", file.display()));
    };
    ensure!(
        (image.width, image.height) == (width, height),
        "{flag} {} is {} × {}, the image {width} × {height}: expected the same size",
        file.display(),
        image.width,
        image.height
    );
    Ok(image.values)
}
