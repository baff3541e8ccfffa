//! A mask drawn elsewhere: PNG or EXR images or a movie, read as numbers in \[0, 1\].
//!
//! Values are data: no transfer function is undone. The mask is alpha, unless every image is
//! opaque throughout; then it is luma (which for gray images is the gray), and that is said where there is
//! an alpha. The choice is made for the sequence, not per image, since a mask may well cover one whole frame.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;

use super::error::{self, MediaError};
use super::exr::{ExrChannel, ExrFile};
use super::file_kind::{self, not_an_image};
use super::png;
use super::reading::is_in_range;
use super::remarks::{PictureRemarks, about_layer, scale_remedy};
use super::sequence::{self, FrameNumbering, extension, is_image};
use super::video::{self, Samples, Video, VideoPicture};

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
    source: MaskFiles,
    /// The layer or channel of EXR files that is meant.
    layer: Option<String>,
}

#[derive(Debug, PartialEq)]
enum MaskFiles {
    Images(Vec<PathBuf>),
    Movie(PathBuf),
}

impl MaskSequence {
    /// Whether a path names images at all; the other form of mask is a tensor file.
    pub(crate) fn names_images(path: &Path) -> bool {
        /// What tensors are called; other files are tensors where they begin as those do.
        const TENSORS: [&str; 4] = ["pt", "pth", "bin", "ckpt"];
        if path.is_dir() || is_image(path) {
            return true;
        }
        let end = extension(path);
        if end.is_none() && !path.is_file() {
            return false;
        }
        let begins_as_tensor = || {
            let head = file_kind::head(path).unwrap_or_default();
            head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x80\x02")
        };
        end.is_none_or(|end| !TENSORS.contains(&end.as_str())) && !begins_as_tensor()
    }

    /// Whether a path is that of a text, which is no form of mask.
    pub(crate) fn names_text(path: &Path) -> bool {
        !is_image(path) && file_kind::is_plain_text(path)
    }

    /// Finds the files behind a folder, a pattern (`mask.####.exr`, `mask.%04d.png`) or one file;
    /// they may be numbered in steps of four, as latent frames are.
    pub(crate) fn find(path: &Path, layer: Option<&str>) -> error::Result<Self> {
        Self::of(&[path.to_owned()], "mask", FrameNumbering::LatentFrames, layer)
    }

    /// The files behind several paths, one after the other as they are given; `what` they are is
    /// for messages.
    pub(crate) fn find_all(
        paths: &[PathBuf],
        what: &str,
        layer: Option<&str>,
    ) -> error::Result<Self> {
        Self::of(paths, what, FrameNumbering::EveryFrame, layer)
    }

    fn of(
        paths: &[PathBuf],
        what: &str,
        numbering: FrameNumbering,
        layer: Option<&str>,
    ) -> error::Result<Self> {
        let source = match paths {
            [movie] if video::is_movie(movie) => MaskFiles::Movie(movie.clone()),
            several => {
                let mut all = Vec::new();
                for path in several {
                    all.append(&mut sequence::find(path, what, numbering)?);
                }
                MaskFiles::Images(all)
            }
        };
        Ok(Self { source, layer: layer.map(str::to_owned) })
    }

    /// The files, in order: images, or the one movie.
    pub(crate) fn files(&self) -> &[PathBuf] {
        match &self.source {
            MaskFiles::Images(files) => files,
            MaskFiles::Movie(path) => std::slice::from_ref(path),
        }
    }

    /// How many images there are; None of a movie, which has to be decoded to know.
    pub(crate) fn len(&self) -> Option<usize> {
        match &self.source {
            MaskFiles::Images(files) => Some(files.len()),
            MaskFiles::Movie(_) => None,
        }
    }

    /// Reads all images; they must be of one size. With them comes what is to be said of their files.
    pub(crate) fn read(&self) -> error::Result<(Vec<MaskImage>, Vec<String>)> {
        let mut images = Vec::new();
        let remarks = self.for_each(|image| {
            images.push(image);
            Ok::<_, MediaError>(())
        })?;
        Ok((images, remarks))
    }

    /// Reads the images one after the other, so that a long clip needs no more memory than a frame on
    /// each thread. What is to be said of their files is returned.
    pub(crate) fn for_each<E: From<MediaError>>(
        &self,
        mut take: impl FnMut(MaskImage) -> Result<(), E>,
    ) -> Result<Vec<String>, E> {
        let by_alpha = self.is_by_alpha()?;
        let mut first = None;
        let mut remarks = PictureRemarks::default();
        let mut each = |path: &Path, planes: Result<Planes>| -> Result<(), E> {
            let read = || {
                let planes = planes?;
                check_size(path, planes.size, &mut first)?;
                planes.tell(path, by_alpha, &mut remarks);
                planes.choose(path, by_alpha)
            };
            take(read().map_err(MediaError::Unreadable)?)
        };
        match &self.source {
            MaskFiles::Images(files) => {
                for some in files.chunks(rayon::current_num_threads().max(1)) {
                    let read: Vec<_> =
                        some.par_iter().map(|file| read(file, self.layer())).collect();
                    for (file, planes) in some.iter().zip(read) {
                        each(file, planes)?;
                    }
                }
            }
            MaskFiles::Movie(path) => {
                let mut video = Video::open(path, Samples::Gray, None)?;
                while let Some(picture) = video.next()? {
                    let mut planes = Planes::of_video(&picture, &video);
                    planes.remarks.extend(about_layer(self.layer()));
                    each(path, Ok(planes))?;
                }
                video.said().into_iter().for_each(|words| remarks.add(path, words));
            }
        }
        Ok(remarks.lines().to_vec())
    }

    fn layer(&self) -> Option<&str> {
        self.layer.as_deref()
    }

    /// Whether any image has an alpha that is not opaque throughout, which is then the mask; mostly the first
    /// one has.
    pub(crate) fn is_by_alpha(&self) -> error::Result<bool> {
        match &self.source {
            MaskFiles::Images(files) => {
                let Some((first, others)) = files.split_first() else {
                    return Ok(false);
                };
                let has = |file: &PathBuf| Ok(read(file, self.layer())?.alpha.is_some());
                if has(first).map_err(MediaError::Unreadable)? {
                    return Ok(true);
                }
                // What cannot be read is told in its turn.
                Ok(others.par_iter().any(|file| has(file).unwrap_or(false)))
            }
            MaskFiles::Movie(path) => {
                let mut video = Video::open(path, Samples::Gray, None)?;
                if !video.about().can_have_alpha() {
                    return Ok(false);
                }
                while let Some(picture) = video.next()? {
                    if Planes::of_video(&picture, &video).alpha.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

fn check_size(
    path: &Path,
    found: (usize, usize),
    first: &mut Option<((usize, usize), PathBuf)>,
) -> Result<()> {
    let (size, of) = first.get_or_insert_with(|| (found, path.to_owned()));
    ensure!(
        found == *size,
        "the mask {} is {} × {}, but {} is {} × {}: all must be of one size",
        path.display(),
        found.0,
        found.1,
        of.display(),
        size.0,
        size.1,
    );
    Ok(())
}

/// What may turn out to be the mask.
struct Planes {
    size: (usize, usize),
    /// Whether the file has an alpha at all.
    has_alpha: bool,
    /// None where all is opaque.
    alpha: Option<Plane>,
    /// Gray, or red, green and blue; empty where there is nothing but alpha.
    luma: Vec<Plane>,
    /// What is said of the file where its brightness is the mask though another thing may have been meant.
    without_alpha: Option<String>,
    /// What is to be said of the file.
    remarks: Vec<String>,
}

/// The values of a channel, row by row from the top.
struct Plane {
    name: String,
    values: Vec<f32>,
    /// Whether they are of a kind that has whole numbers alone.
    is_whole: bool,
}

impl Plane {
    fn new(name: &str, values: Vec<f32>) -> Self {
        Self { name: name.to_owned(), values, is_whole: false }
    }
}

/// What is said of an image without alpha among others with one.
const NO_ALPHA: &str =
    "it has no alpha channel, as others of its sequence have: it is taken for opaque throughout";

/// What is said of an alpha that says nothing.
const OPAQUE_ALPHA: &str =
    "its alpha is 1 everywhere, in every frame: its brightness is taken for it";

impl Planes {
    fn new(size: (usize, usize), alpha: Option<Plane>, luma: Vec<Plane>) -> Self {
        let opaque =
            |plane: &Plane| plane.values.iter().all(|&value| value >= 1.0 && is_in_range(value));
        let has_alpha = alpha.is_some();
        let alpha = alpha.filter(|plane| !opaque(plane));
        let without_alpha = (has_alpha && !luma.is_empty()).then(|| OPAQUE_ALPHA.to_owned());
        Self { size, has_alpha, alpha, luma, without_alpha, remarks: Vec::new() }
    }

    fn tell(&self, path: &Path, by_alpha: bool, remarks: &mut PictureRemarks) {
        self.remarks.iter().for_each(|words| remarks.add(path, words.as_str()));
        if by_alpha && !self.has_alpha {
            remarks.add(path, NO_ALPHA);
        }
        if let Some(words) = self.without_alpha.as_ref().filter(|_| !by_alpha) {
            remarks.add(path, words.as_str());
        }
    }

    fn of_video(picture: &VideoPicture, video: &Video) -> Self {
        let [gray, alpha] = picture.gray_and_alpha();
        let size = (picture.width, picture.height);
        let about = video.about();
        let alpha = about.can_have_alpha().then(|| Plane::new("alpha", alpha));
        let mut planes = Self::new(size, alpha, vec![Plane::new("gray", gray)]);
        if about.has_alpha == Some(false) {
            let layer = about.about_alpha_layer();
            planes.without_alpha =
                Some(format!("it has no alpha{layer}: its brightness is taken for it"));
        }
        Self { remarks: about.remarks.clone(), ..planes }
    }

    fn choose(self, path: &Path, by_alpha: bool) -> Result<MaskImage> {
        let (width, height) = self.size;
        let planes = if by_alpha { self.alpha.into_iter().collect() } else { self.luma };
        for plane in &planes {
            check(path, plane, width, |value| value.is_finite())?;
        }
        let mut planes = planes.into_iter();
        let mut plane = match (planes.next(), planes.next(), planes.next()) {
            (Some(mut red), Some(green), Some(blue)) => {
                let others = green.values.iter().zip(&blue.values);
                for (red, (green, blue)) in red.values.iter_mut().zip(others) {
                    *red = luma([*red, *green, *blue]);
                }
                Plane { name: "luma".to_owned(), ..red }
            }
            (Some(only), ..) => only,
            // Of an alpha that is 1 everywhere, and nothing else.
            (None, ..) => Plane::new("A", vec![1.0; width * height]),
        };
        check(path, &plane, width, is_in_range)?;
        plane.values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        Ok(MaskImage { width, height, values: plane.values })
    }
}

/// Reads one image by its alpha or by its luma. What is to be said of the file goes to `remarks`.
pub(crate) fn read_image(
    file: &Path,
    by_alpha: bool,
    remarks: &mut PictureRemarks,
) -> error::Result<MaskImage> {
    let mut read = || {
        let planes = read(file, None)?;
        planes.tell(file, by_alpha, remarks);
        planes.choose(file, by_alpha)
    };
    read().map_err(MediaError::Unreadable)
}

/// A frame of a matte in a video of its own, as [`read_image`] has it.
pub(crate) fn of_video(
    picture: &VideoPicture,
    video: &Video,
    by_alpha: bool,
    remarks: &mut PictureRemarks,
) -> error::Result<MaskImage> {
    let mut planes = Planes::of_video(picture, video);
    if video.about().has_alpha == Some(false) {
        // As mattes beside their color mostly are.
        planes.without_alpha = None;
    }
    planes.tell(video.path(), by_alpha, remarks);
    planes.choose(video.path(), by_alpha).map_err(MediaError::Unreadable)
}

fn check(file: &Path, plane: &Plane, width: usize, good: impl Fn(f32) -> bool) -> Result<()> {
    let Some(place) = plane.values.iter().position(|value| !good(*value)) else {
        return Ok(());
    };
    let finite = plane.values.iter().copied().filter(|value| value.is_finite());
    let most = finite.fold(0.0, f32::max);
    bail!(
        "the mask {} holds {} at column {}, row {} of channel {}: a mask is 0 to 1 everywhere ({})",
        file.display(),
        plane.values[place],
        place % width,
        place / width,
        plane.name,
        scale_remedy(most, plane.is_whole),
    )
}

fn read(file: &Path, layer: Option<&str>) -> Result<Planes> {
    let planes = match extension(file).as_deref() {
        Some("png") => read_png(file, layer),
        Some("exr") => read_exr(file, layer),
        _ => Err(anyhow!(not_an_image(file))),
    };
    planes.with_context(|| format!("cannot read the mask {}", file.display()))
}

fn read_png(file: &Path, layer: Option<&str>) -> Result<Planes> {
    let png::PngImage { width, height, rgba, has_alpha, remarks, .. } = png::read(file)?;
    let remarks = remarks.into_iter().chain(about_layer(layer)).collect();
    let pixels = rgba.as_chunks::<4>().0;
    let alpha = pixels.iter().map(|pixel| pixel[3]).collect();
    let luma = pixels.iter().map(|[r, g, b, _]| luma([*r, *g, *b])).collect();
    let (alpha, luma) = (Plane::new("A", alpha), Plane::new("luma", luma));
    let alpha = has_alpha.then_some(alpha);
    Ok(Planes { remarks, ..Planes::new((width, height), alpha, vec![luma]) })
}

/// Rec.709 weights; a gray stays exactly what it is.
fn luma([r, g, b]: [f32; 3]) -> f32 {
    if r == g && g == b { r } else { 0.2126 * r + 0.7152 * g + 0.0722 * b }
}

/// Alpha and luma of an EXR layer, as far as it has them.
fn read_exr(file: &Path, layer: Option<&str>) -> Result<Planes> {
    let exr = ExrFile::open(file)?;
    let channels = exr.mask(layer)?;
    let wanted: Vec<&ExrChannel> = channels.alpha.iter().chain(&channels.luma).collect();
    let part = wanted.first().map_or(0, |channel| channel.part);
    let size = exr.size(part);
    let pixels = exr.pixels(&wanted.iter().map(|channel| Some(*channel)).collect::<Vec<_>>())?;
    let mut planes = wanted.iter().enumerate().map(|(place, channel)| {
        let values = pixels.iter().skip(place).step_by(wanted.len()).copied().collect();
        Plane { is_whole: exr.is_whole_numbers(channel), ..Plane::new(&channel.name, values) }
    });
    let alpha = if channels.alpha.is_some() { planes.next() } else { None };
    let remarks = channels.others.into_iter().chain(exr.remarks(part)).collect();
    Ok(Planes { remarks, ..Planes::new(size, alpha, planes.collect()) })
}

#[cfg(test)]
mod tests;
