//! A clip as PNG or EXR images with alpha, read frame by frame as what the model speaks: straight,
//! display-referred RGBA in \[0, 1\].
//!
//! As in every output of ours, EXR is linear Rec.709 and premultiplied, PNG is sRGB and straight;
//! whether color is multiplied by alpha can be said otherwise. Color is unmultiplied in the space
//! of the file. What display-referred values cannot hold is clipped, and counted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wan_alpha_take::color::to_display;

use super::error::{self, MediaError};
use super::exr::ExrLayer;
use super::png;
use super::sequence::{self, extension};

/// How color and alpha of an image belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Association {
    /// Color is what it is, however transparent.
    Straight,
    /// Color has been multiplied by alpha.
    Premultiplied,
}

/// A clip of which the first frame has been looked at.
pub(crate) struct RgbaSequence {
    files: Vec<PathBuf>,
    /// None: each format's own.
    alpha: Option<Association>,
    size: (usize, usize),
    /// Read to learn the size, and not asked for yet.
    first: Option<Vec<f32>>,
    next: usize,
    clipped: Clipped,
}

/// Values that were brought into \[0, 1\].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Clipped {
    count: u64,
    least: f32,
    most: f32,
}

impl Clipped {
    /// What happened; None if nothing did.
    pub(crate) fn in_words(&self) -> Option<String> {
        let Self { count, least, most } = *self;
        (count > 0).then(|| {
            format!(
                "{count} values of the clip, from {least} to {most} on display, were clipped to 0 \
                 and 1, which is all the model knows"
            )
        })
    }
}

impl RgbaSequence {
    /// Finds the images behind one path (a folder, a pattern, a file), or takes several as they
    /// come, and reads the first.
    pub(crate) fn find(paths: &[PathBuf], alpha: Option<Association>) -> error::Result<Self> {
        let open = || -> Result<Self> {
            let files = match paths {
                [one] => sequence::find(one, "clip")?,
                several => several.to_vec(),
            };
            let first = files.first().ok_or_else(|| anyhow!("the clip has no images"))?;
            let mut clipped = Clipped::default();
            let (size, rgba) = read(first, alpha, &mut clipped)?;
            Ok(Self { files, alpha, size, first: Some(rgba), next: 0, clipped })
        };
        open().map_err(MediaError::Unreadable)
    }

    /// The images, in order.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Width and height of every frame, in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Reads the next frame: straight, display-referred, in \[0, 1\].
    pub(crate) fn read_next(&mut self) -> error::Result<Vec<f32>> {
        let index = self.next;
        self.next += 1;
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let mut attempt = || -> Result<Vec<f32>> {
            let file = self.files.get(index).ok_or_else(|| anyhow!("the clip has ended"))?;
            let (size, rgba) = read(file, self.alpha, &mut self.clipped)?;
            ensure!(
                size == self.size,
                "{} is {} × {}, but {} is {} × {}: all must be of one size",
                file.display(),
                size.0,
                size.1,
                self.files[0].display(),
                self.size.0,
                self.size.1
            );
            Ok(rgba)
        };
        attempt().map_err(MediaError::Unreadable)
    }

    /// What became of values outside \[0, 1\], in words.
    pub(crate) fn clipped(&self) -> Option<String> {
        self.clipped.in_words()
    }
}

/// An image's size, and its pixels row by row from the top.
fn read(
    file: &Path,
    alpha: Option<Association>,
    clipped: &mut Clipped,
) -> Result<((usize, usize), Vec<f32>)> {
    let image = RgbaImage::read(file)?;
    let size = image.size;
    let work = || {
        if let Some(text) = image.no_alpha {
            bail!(text);
        }
        Ok(image.display(alpha, clipped)?)
    };
    Ok((size, work().with_context(|| unread(file))?))
}

fn unread(file: &Path) -> String {
    format!("cannot read the frame {}", file.display())
}

/// An image as its file has it: `rgba` row by row from the top, alpha 1 where there is none.
pub(crate) struct RgbaImage {
    pub(crate) size: (usize, usize),
    pub(crate) rgba: Vec<f32>,
    /// EXR is linear and premultiplied, PNG neither.
    exr: bool,
    /// Where there is no alpha, in words.
    pub(crate) no_alpha: Option<String>,
}

impl RgbaImage {
    /// Reads a file; one without alpha too, which `no_alpha` then says.
    pub(crate) fn read(file: &Path) -> error::Result<Self> {
        let work = || match extension(file).as_deref() {
            Some("png") => read_png(file),
            Some("exr") => read_exr(file),
            _ => bail!("it is neither .png nor .exr"),
        };
        work().with_context(|| unread(file)).map_err(MediaError::Unreadable)
    }

    /// A frame of a video: as it is on display.
    pub(crate) fn of_display(size: (usize, usize), rgba: Vec<f32>) -> Self {
        Self { size, rgba, exr: false, no_alpha: None }
    }

    /// Its pixels straight, display-referred and in \[0, 1\].
    pub(crate) fn display(
        mut self,
        alpha: Option<Association>,
        clipped: &mut Clipped,
    ) -> error::Result<Vec<f32>> {
        let own = if self.exr { Association::Premultiplied } else { Association::Straight };
        for pixel in self.rgba.as_chunks_mut::<4>().0 {
            if alpha.unwrap_or(own) == Association::Premultiplied {
                unmultiply(pixel);
            }
            if self.exr {
                for channel in &mut pixel[..3] {
                    *channel = to_display(*channel);
                }
            }
        }
        clip(self.size.0, &mut self.rgba, clipped).map_err(MediaError::Unreadable)?;
        Ok(self.rgba)
    }
}

fn read_png(file: &Path) -> Result<RgbaImage> {
    let png::PngImage { width, height, rgba, has_alpha } = png::read(file)?;
    let no_alpha = (!has_alpha).then(|| "it has no alpha channel: write it with one".to_owned());
    Ok(RgbaImage { size: (width, height), rgba, exr: false, no_alpha })
}

fn read_exr(file: &Path) -> Result<RgbaImage> {
    let layer = ExrLayer::open(file)?;
    let (width, height) = layer.size();
    let mut rgba = vec![1.0; width * height * 4];
    let mut no_alpha = None;
    for (place, name) in ["R", "G", "B", "A"].into_iter().enumerate() {
        let Some(plane) = layer.plane(name)? else {
            let names = layer.names().join(", ");
            ensure!(name == "A", "it has no channel {name}, only {names}: write it as R, G, B, A");
            no_alpha = Some(format!("it has no alpha channel, only {names}: write it with one"));
            continue;
        };
        for (pixel, value) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(plane) {
            pixel[place] = value;
        }
    }
    Ok(RgbaImage { size: (width, height), rgba, exr: true, no_alpha })
}

/// Nothing shows where alpha is 0; light without it (a glow) is more than the model can hold.
fn unmultiply(pixel: &mut [f32; 4]) {
    let alpha = pixel[3];
    for channel in &mut pixel[..3] {
        *channel = if alpha == 0.0 { 0.0 } else { *channel / alpha };
    }
}

fn clip(width: usize, rgba: &mut [f32], clipped: &mut Clipped) -> Result<()> {
    // What rounding in a file of halves or 16 bits may add to 1.
    const SLACK: f32 = 2e-3;
    for (place, value) in rgba.iter_mut().enumerate() {
        ensure!(
            value.is_finite(),
            "channel {} is {value} at column {}, row {}",
            ["R", "G", "B", "A"][place % 4],
            place / 4 % width,
            place / 4 / width
        );
        if !(-SLACK..=1.0 + SLACK).contains(value) {
            clipped.count += 1;
            clipped.least = clipped.least.min(*value);
            clipped.most = clipped.most.max(*value);
        }
        *value = value.clamp(0.0, 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
