//! A mask drawn elsewhere: PNG or EXR images, one per latent frame, read as numbers in \[0, 1\].
//!
//! Values are data: no transfer function is undone. The mask is alpha, unless every image is
//! opaque throughout; then it is luma (which for gray images is the gray). The choice is made for
//! the sequence, not per image, since a mask may well cover one whole frame.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::error::{self, MediaError};
use super::exr::ExrLayer;
use super::png;
use super::sequence::{self, extension, is_image};
use super::video::VideoPicture;

/// One image of a mask, row by row from the top.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MaskImage {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
}

/// The files of a mask, in order; found first and read later, so that a sequence of the wrong
/// length is refused before gigabytes of it are read.
#[derive(Debug, PartialEq)]
pub(crate) struct MaskSequence {
    files: Vec<PathBuf>,
}

impl MaskSequence {
    /// Whether a path names images at all; the other form of mask is a tensor file.
    pub(crate) fn names_images(path: &Path) -> bool {
        path.is_dir() || is_image(path)
    }

    /// Finds the files behind a folder, a pattern (`mask.####.exr`, `mask.%04d.png`) or one file.
    pub(crate) fn find(path: &Path) -> error::Result<Self> {
        let files = sequence::find(path, "mask")?;
        Ok(Self { files })
    }

    /// The files behind several paths, one after the other as they are given; `what` they are is
    /// for messages.
    pub(crate) fn find_all(paths: &[PathBuf], what: &str) -> error::Result<Self> {
        let mut all = Vec::new();
        for path in paths {
            all.append(&mut sequence::find(path, what)?);
        }
        Ok(Self { files: all })
    }

    /// The images, in order.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many images there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Reads all images; they must be of one size.
    pub(crate) fn read(&self) -> error::Result<Vec<MaskImage>> {
        let mut images = Vec::with_capacity(self.files.len());
        self.for_each(|image| {
            images.push(image);
            Ok::<_, MediaError>(())
        })?;
        Ok(images)
    }

    /// Reads the images one after the other, so that a long clip needs no more memory than a frame.
    pub(crate) fn for_each<E: From<MediaError>>(
        &self,
        mut take: impl FnMut(MaskImage) -> Result<(), E>,
    ) -> Result<(), E> {
        let by_alpha = self.has_alpha().map_err(MediaError::Unreadable)?;
        let mut first = None;
        for file in &self.files {
            take(self.read_one(file, by_alpha, &mut first).map_err(MediaError::Unreadable)?)?;
        }
        Ok(())
    }

    /// Reads an image, which must be of the size of the first.
    fn read_one(
        &self,
        file: &Path,
        by_alpha: bool,
        first: &mut Option<(usize, usize)>,
    ) -> Result<MaskImage> {
        let image = read(file)?;
        let size = *first.get_or_insert(image.size);
        ensure!(
            image.size == size,
            "the mask {} is {} × {}, but {} is {} × {}: all must be of one size",
            file.display(),
            image.size.0,
            image.size.1,
            self.files[0].display(),
            size.0,
            size.1,
        );
        let mask = image.choose(by_alpha);
        check(file, &mask)?;
        Ok(mask)
    }

    /// Whether any image is not opaque throughout; mostly the first one is not.
    fn has_alpha(&self) -> Result<bool> {
        for file in &self.files {
            if read(file)?.alpha.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What may turn out to be the mask.
struct Planes {
    size: (usize, usize),
    /// None where all is opaque.
    alpha: Option<Vec<f32>>,
    /// None where there is nothing but alpha.
    luma: Option<Vec<f32>>,
}

impl Planes {
    fn new(size: (usize, usize), alpha: Option<Vec<f32>>, luma: Option<Vec<f32>>) -> Self {
        let opaque = |plane: &Vec<f32>| plane.iter().all(|&value| value == 1.0);
        Self { size, alpha: alpha.filter(|plane| !opaque(plane)), luma }
    }

    /// The mask by alpha or luma as asked or, where nothing is asked, by alpha unless it is opaque.
    fn choose_or_find(self, by_alpha: Option<bool>) -> (MaskImage, bool) {
        let by_alpha = by_alpha.unwrap_or(self.alpha.is_some());
        (self.choose(by_alpha), by_alpha)
    }

    fn choose(self, by_alpha: bool) -> MaskImage {
        let (width, height) = self.size;
        let plane = if by_alpha { self.alpha } else { self.luma };
        MaskImage { width, height, values: plane.unwrap_or_else(|| vec![1.0; width * height]) }
    }
}

/// Reads one image, and by what: alpha or luma as asked or, where nothing is asked, alpha unless
/// this image is opaque throughout.
pub(crate) fn read_image(file: &Path, by_alpha: Option<bool>) -> error::Result<(MaskImage, bool)> {
    let read = || {
        let (mask, by_alpha) = read(file)?.choose_or_find(by_alpha);
        check(file, &mask)?;
        Ok((mask, by_alpha))
    };
    read().map_err(MediaError::Unreadable)
}

/// A frame of a video as a mask, and by what, as [`read_image`] has it.
pub(crate) fn of_video(picture: &VideoPicture, by_alpha: Option<bool>) -> (MaskImage, bool) {
    let [gray, alpha] = picture.gray_and_alpha();
    Planes::new((picture.width, picture.height), Some(alpha), Some(gray)).choose_or_find(by_alpha)
}

fn check(file: &Path, mask: &MaskImage) -> Result<()> {
    match mask.values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        None => Ok(()),
        Some(place) => bail!(
            "the mask {} holds {} at column {}, row {}: a mask is 0 to 1 everywhere (clamp it)",
            file.display(),
            mask.values[place],
            place % mask.width,
            place / mask.width,
        ),
    }
}

fn read(file: &Path) -> Result<Planes> {
    let planes = match extension(file).as_deref() {
        Some("png") => read_png(file),
        Some("exr") => read_exr(file),
        _ => Err(anyhow!("it is neither .png nor .exr")),
    };
    planes.with_context(|| format!("cannot read the mask {}", file.display()))
}

fn read_png(file: &Path) -> Result<Planes> {
    let png::PngImage { width, height, rgba, .. } = png::read(file)?;
    let pixels = rgba.as_chunks::<4>().0;
    let alpha = pixels.iter().map(|pixel| pixel[3]).collect();
    let luma = pixels.iter().map(|[r, g, b, _]| luma([*r, *g, *b])).collect();
    Ok(Planes::new((width, height), Some(alpha), Some(luma)))
}

/// Rec.709 weights; a gray stays exactly what it is.
fn luma([r, g, b]: [f32; 3]) -> f32 {
    if r == g && g == b { r } else { 0.2126 * r + 0.7152 * g + 0.0722 * b }
}

/// Alpha and luma of an EXR layer, as far as it has them.
fn read_exr(file: &Path) -> Result<Planes> {
    let layer = ExrLayer::open(file)?;
    let (alpha, luma) = (layer.plane("A")?, exr_luma(&layer)?);
    if alpha.is_some() || luma.is_some() {
        return Ok(Planes::new(layer.size(), alpha, luma));
    }
    // A matte alone, whatever it is called.
    match layer.only_plane()? {
        Some(only) => Ok(Planes::new(layer.size(), None, Some(only))),
        None => {
            bail!("it has none of the channels A, Y and R, only {}", layer.names().join(", "))
        }
    }
}

/// Luma of an EXR layer: its channel of that name, or made of its colors, or red alone.
fn exr_luma(layer: &ExrLayer) -> Result<Option<Vec<f32>>> {
    if let Some(luma) = layer.plane("Y")? {
        return Ok(Some(luma));
    }
    let Some(red) = layer.plane("R")? else {
        return Ok(None);
    };
    if !(layer.has("G") && layer.has("B")) {
        return Ok(Some(red));
    }
    let (Some(green), Some(blue)) = (layer.plane("G")?, layer.plane("B")?) else {
        return Ok(Some(red));
    };
    Ok(Some(red.iter().zip(green).zip(blue).map(|((r, g), b)| luma([*r, g, b])).collect()))
}

#[cfg(test)]
mod tests;
