//! A clip as PNG or EXR images with alpha, read frame by frame as what the model speaks: straight,
//! display-referred RGBA in \[0, 1\].
//!
//! As in every output of ours, EXR is linear Rec.709 and premultiplied, PNG is sRGB and straight;
//! whether colour is multiplied by alpha can be said otherwise. Colour is unmultiplied in the space
//! of the file. What display-referred values cannot hold is clipped, and counted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use wan_alpha_core::encode::{ClipReader, ClipShape};
use wan_alpha_core::generate::SinkError;

use crate::exit::{Exit, OrExit};
use crate::mask_sequence::files::{self, extension};
use crate::mask_sequence::{ExrLayer, check_size};
use crate::output::to_display;

/// How colour and alpha of an image belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Association {
    /// Colour is what it is, however transparent
    Straight,
    /// Colour has been multiplied by alpha
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
    failed: Option<anyhow::Error>,
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
    pub(crate) fn find(paths: &[PathBuf], alpha: Option<Association>) -> Result<Self> {
        let open = || -> Result<Self> {
            let files = match paths {
                [one] => files::find(one, "clip")?,
                several => several.to_vec(),
            };
            let first = files.first().ok_or_else(|| anyhow!("the clip has no images"))?;
            let mut clipped = Clipped::default();
            let (size, rgba) = read(first, alpha, &mut clipped)?;
            let (next, failed) = (0, None);
            Ok(Self { files, alpha, size, first: Some(rgba), next, clipped, failed })
        };
        open().or_exit(Exit::BadInput)
    }

    /// Reads the next frame.
    pub(crate) fn read_next(&mut self) -> Result<Vec<f32>> {
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
        attempt().or_exit(Exit::BadInput)
    }

    /// What became of values outside \[0, 1\], in words.
    pub(crate) fn clipped(&self) -> Option<String> {
        self.clipped.in_words()
    }

    /// Why reading ended early; the model knows only that it did.
    pub(crate) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failed.take()
    }
}

impl ClipReader for RgbaSequence {
    fn shape(&self) -> ClipShape {
        ClipShape { frames: self.files.len(), width: self.size.0, height: self.size.1 }
    }

    fn frame(&mut self, rgba: &mut [f32]) -> Result<(), SinkError> {
        match self.read_next() {
            Ok(frame) => {
                rgba.copy_from_slice(&frame);
                Ok(())
            }
            Err(error) => {
                let text = format!("{error:#}");
                self.failed = Some(error);
                Err(text.into())
            }
        }
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
        image.display(alpha, clipped)
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
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let work = || match extension(file).as_deref() {
            Some("png") => read_png(file),
            Some("exr") => read_exr(file),
            _ => bail!("it is neither .png nor .exr"),
        };
        work().with_context(|| unread(file))
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
    ) -> Result<Vec<f32>> {
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
        clip(self.size.0, &mut self.rgba, clipped)?;
        Ok(self.rgba)
    }
}

fn read_png(file: &Path) -> Result<RgbaImage> {
    let mut reader = ImageReader::open(file)?;
    reader.set_format(ImageFormat::Png);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let no_alpha = (!decoder.color_type().has_alpha())
        .then(|| "it has no alpha channel: write it with one".to_owned());
    // 8 bits become 16 exactly, so nothing is lost on the way.
    let pixels = DynamicImage::from_decoder(decoder)?.into_rgba16();
    let rgba = pixels.into_raw().into_iter().map(|sample| f32::from(sample) / 65535.0).collect();
    Ok(RgbaImage { size: (width as usize, height as usize), rgba, exr: false, no_alpha })
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
