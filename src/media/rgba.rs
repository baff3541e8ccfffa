//! An image or a frame of a movie with its alpha, and how it becomes what the model speaks: straight,
//! display-referred RGBA in \[0, 1\].
//!
//! Without a tag that says otherwise EXR is linear Rec.709 and premultiplied, PNG sRGB and straight, as
//! in every output of ours. Color is unmultiplied in the space of the file. What display-referred
//! values cannot hold is clipped, and counted.

mod clip;
mod losses;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::color_space::ColorSpace;
use super::color_tag::{ColorTag, resolve};
use super::error::{self, MediaError};
use super::exr::ExrFile;
use super::file_kind::not_an_image;
use super::png;
use super::reading::{Association, PictureReading, ROUNDING};
use super::remarks::{PictureRemarks, about_layer, scale_remedy};
use super::sequence::{extension, is_image};
use super::video::{MovieTags, Video, VideoPicture};
pub(crate) use clip::RgbaSequence;
pub(crate) use losses::PictureLosses;

fn unread(file: &Path) -> String {
    format!("cannot read the frame {}", file.display())
}

/// An image as its file has it: `rgba` row by row from the top, alpha 1 where there is none.
pub(crate) struct RgbaImage {
    pub(crate) size: (usize, usize),
    pub(crate) rgba: Vec<f32>,
    /// What color is, before anything is done to it.
    space: ColorSpace,
    /// How color and alpha belong together in files of its format.
    association: Association,
    /// What the file calls its channels.
    names: [String; 4],
    /// Where there is no alpha, in words.
    pub(crate) no_alpha: Option<String>,
    /// What is to be said of the file.
    warnings: Vec<String>,
}

impl RgbaImage {
    /// Reads a file; one without alpha too, which `no_alpha` then says.
    pub(crate) fn read(file: &Path, reading: &PictureReading) -> error::Result<Self> {
        let work = || match extension(file).as_deref() {
            Some("png") => read_png(file, reading),
            Some("exr") => read_exr(file, reading),
            _ => bail!("{}", not_an_image(file)),
        };
        work().with_context(|| unread(file)).map_err(MediaError::Unreadable)
    }

    /// A frame of a movie.
    pub(crate) fn of_movie(
        picture: VideoPicture,
        video: &Video,
        reading: &PictureReading,
    ) -> error::Result<Self> {
        let VideoPicture { width, height, values } = picture;
        let about = video.about();
        let (space, warning) =
            resolve(about.color.as_ref(), ColorSpace::srgb(), reading.color.as_ref())
                .with_context(|| unread(video.path()))
                .map_err(MediaError::Unreadable)?;
        let opaque = || values.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 1.0);
        let no_alpha = (about.has_alpha == Some(false) && opaque()).then(|| {
            format!(
                "it has no alpha: its pixels are {}{}; write it with alpha (ProRes 4444, FFV1 or PNG)",
                about.pixel_format,
                about.about_alpha_layer()
            )
        });
        Ok(Self {
            size: (width, height),
            rgba: values,
            space: space.kept_on_rec_709_display(),
            association: about.association.unwrap_or(Association::Straight),
            names: channel_names(),
            no_alpha,
            warnings: warning
                .into_iter()
                .chain((about.names_no_matrix && reading.color.is_none()).then(matrix_is_guessed))
                .chain(about_layer(reading.layer.as_deref()))
                .chain(about.remarks.iter().cloned())
                .collect(),
        })
    }

    /// How its color and alpha belong together, unless a person says otherwise.
    pub(crate) fn association(&self, said: Option<Association>) -> Association {
        said.unwrap_or(self.association)
    }

    /// What is to be said of its file.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds what is to be said of it, of a file of this name.
    pub(crate) fn tell(&self, file: &Path, remarks: &mut PictureRemarks) {
        remarks.compare_space(file, &self.space);
        for words in &self.warnings {
            remarks.add(file, words.clone());
        }
    }

    /// Its pixels straight, display-referred and in \[0, 1\]; what that costs is added to `losses`.
    pub(crate) fn display(
        mut self,
        alpha: Option<Association>,
        losses: &mut PictureLosses,
    ) -> error::Result<Vec<f32>> {
        let premultiplied = self.association(alpha) == Association::Premultiplied;
        let work = self.display_in_place(premultiplied, losses);
        work.map_err(MediaError::Unreadable)?;
        Ok(self.rgba)
    }

    fn display_in_place(&mut self, premultiplied: bool, losses: &mut PictureLosses) -> Result<()> {
        for (place, pixel) in self.rgba.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            if *pixel == [0.0; 4] {
                continue;
            }
            let at = |channel: usize, value: f32| {
                let (column, row) = (place % self.size.0, place / self.size.0);
                format!("channel {} is {value} at column {column}, row {row}", self.names[channel])
            };
            // Nothing shows where alpha is 0; what is left of a division by 0 means nothing.
            if pixel[3] == 0.0 || (premultiplied && (-ROUNDING..0.0).contains(&pixel[3])) {
                if let Some(channel) = pixel[..3].iter().position(|value| !value.is_finite()) {
                    losses.hide_number(|| at(channel, pixel[channel]));
                    pixel[..3].fill(0.0);
                } else if premultiplied {
                    losses.leave_out(pixel[..3].iter().copied());
                    pixel[..3].fill(0.0);
                }
            }
            if let Some(channel) = pixel.iter().position(|value| !value.is_finite()) {
                bail!(
                    "{}: write it anew without, or give it a number",
                    at(channel, pixel[channel])
                );
            }
            let [r, g, b, alpha] = *pixel;
            let color = if premultiplied && alpha > 0.0 {
                [r / alpha, g / alpha, b / alpha]
            } else {
                [r, g, b]
            };
            pixel[..3].copy_from_slice(&self.space.to_srgb(color));
            for value in pixel {
                ensure!(value.is_finite(), "its color is too bright to be shown: clamp it");
                losses.clip(value);
            }
        }
        Ok(())
    }
}

/// What is said of a movie that names no matrix.
fn matrix_is_guessed() -> String {
    "it does not say by which matrix its YUV was made of RGB: that of BT.601 is taken, as ffmpeg does in \
     writing and reading; if it was that of BT.709, as most other programs have it in HD, say --color rec709"
        .to_owned()
}

/// How the color of an image or a movie is read, where it is not its format's own way: what tells a file
/// from one of the same bytes that was read before tags counted, or that a person said other things of.
pub(crate) fn unusual_reading(
    file: &Path,
    reading: &PictureReading,
) -> error::Result<Option<String>> {
    let work = || -> Result<Option<String>> {
        let mut more = Vec::new();
        let (tag, usual) = match extension(file).as_deref() {
            Some("exr") => {
                let exr = ExrFile::open(file)?;
                let channels = exr.color(reading.layer.as_deref())?;
                (exr.color_tag(channels.color[0].part), ColorSpace::linear_rec_709())
            }
            Some("png") => {
                let color = png::color_of(file)?;
                more.extend(color.is_narrow.then_some("narrow"));
                (color.tag, ColorSpace::srgb())
            }
            _ => {
                let about = MovieTags::of(file)?;
                let premultiplied = about.association == Some(Association::Premultiplied);
                more.extend(premultiplied.then_some("premultiplied"));
                more.extend(about.matrix_as_said(reading.color.as_ref()));
                (about.color, ColorSpace::srgb())
            }
        };
        let (space, _) = resolve(tag.as_ref(), usual.clone(), reading.color.as_ref())?;
        let space = if is_image(file) { space } else { space.kept_on_rec_709_display() };
        let words = (!space.shows_as(&usual)).then(|| space.to_string());
        let words: Vec<_> = words.iter().map(String::as_str).chain(more).collect();
        Ok((!words.is_empty()).then(|| words.join(", ")))
    };
    work().with_context(|| unread(file)).map_err(MediaError::Unreadable)
}

fn channel_names() -> [String; 4] {
    ["R", "G", "B", "A"].map(str::to_owned)
}

fn in_space(
    tag: Option<&ColorTag>,
    usual: ColorSpace,
    reading: &PictureReading,
) -> Result<(ColorSpace, Vec<String>)> {
    let (space, warning) = resolve(tag, usual, reading.color.as_ref())?;
    Ok((space, warning.into_iter().collect()))
}

fn read_png(file: &Path, reading: &PictureReading) -> Result<RgbaImage> {
    let png::PngImage { width, height, rgba, has_alpha, color, remarks } = png::read(file)?;
    let no_alpha = (!has_alpha).then(|| "it has no alpha channel: write it with one".to_owned());
    let (space, mut warnings) = in_space(color.as_ref(), ColorSpace::srgb(), reading)?;
    warnings.extend(remarks.into_iter().chain(about_layer(reading.layer.as_deref())));
    Ok(RgbaImage {
        size: (width, height),
        rgba,
        space,
        association: Association::Straight,
        names: channel_names(),
        no_alpha,
        warnings,
    })
}

fn read_exr(file: &Path, reading: &PictureReading) -> Result<RgbaImage> {
    let exr = ExrFile::open(file)?;
    let channels = exr.color(reading.layer.as_deref())?;
    let [red, green, blue] = &channels.color;
    let alpha = channels.alpha.as_ref();
    let tag = exr.color_tag(red.part);
    let (space, mut warnings) = in_space(tag.as_ref(), ColorSpace::linear_rec_709(), reading)?;
    warnings.extend(channels.others.clone());
    warnings.extend(exr.remarks(red.part));
    let no_alpha = alpha
        .is_none()
        .then(|| format!("it has no alpha channel, only {}: write it with one", exr.in_words()));
    let name = |channel: Option<&super::exr::ExrChannel>| {
        channel.map(|channel| channel.name.clone()).unwrap_or_default()
    };
    let wanted = [Some(red), Some(green), Some(blue), alpha];
    let rgba = exr.pixels(&wanted)?;
    for (place, channel) in wanted.iter().enumerate() {
        let Some(channel) = channel.filter(|channel| exr.is_whole_numbers(channel)) else {
            continue;
        };
        let most = rgba.iter().skip(place).step_by(wanted.len()).copied().fold(0.0, f32::max);
        ensure!(
            most <= 1.0,
            "channel {} goes up to {most}: {}",
            channel.name,
            scale_remedy(most, true)
        );
    }
    Ok(RgbaImage {
        size: exr.size(red.part),
        rgba,
        space,
        association: Association::Premultiplied,
        names: wanted.map(name),
        no_alpha,
        warnings,
    })
}

#[cfg(test)]
mod tests;
