//! The frames of a row: color and alpha, together or apart, from images or a video, one at a time.
//!
//! Alpha apart is the alpha channel of its images unless all of them are opaque throughout, which are then
//! taken as gray; color is then straight unless the row says otherwise.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wan_alpha_take::counted::counted;
use wan_alpha_take::frame::OwnedFrame;

use super::table::Row;
use crate::media::color_space::ColorSpace;
use crate::media::mask::{self, MaskImage, MaskSequence, read_image};
use crate::media::reading::{Association, PictureReading};
use crate::media::remarks::PictureRemarks;
use crate::media::resize::HiddenColor;
use crate::media::rgba::{PictureLosses, RgbaImage};
use crate::media::sequence::{self, FrameNumbering};
use crate::media::video::{Samples, Video, is_movie};

/// The frames of a row, read one after the other.
pub(crate) struct Reader {
    color: Source,
    alpha: Option<Source>,
    reading: PictureReading,
    /// The place of alpha apart.
    alpha_path: Option<PathBuf>,
    /// Of alpha apart: its alpha channel, or gray; not known before the first frame.
    by_alpha: Option<bool>,
    next: usize,
    size: Option<(usize, usize)>,
    /// What could not be kept of them.
    pub(crate) losses: PictureLosses,
    /// What is to be said of its files.
    pub(crate) remarks: PictureRemarks,
    /// Whether color is read as what it is, however transparent.
    pub(crate) straight: bool,
    /// Why color has no alpha of its own, where it should have.
    pub(crate) no_alpha: Option<String>,
}

enum Source {
    Images(Vec<PathBuf>),
    Video(Box<Video>),
}

impl Source {
    /// `color` is what a person says that the colors of a movie are.
    fn open(path: &Path, what: &str, samples: Samples, color: Option<&ColorSpace>) -> Result<Self> {
        if is_movie(path) {
            return Ok(Self::Video(Box::new(Video::open(path, samples, color)?)));
        }
        Ok(Self::Images(sequence::find(path, what, FrameNumbering::EveryFrame)?))
    }

    /// None of a video, which has to be read to its end to know.
    fn frames(&self) -> Option<usize> {
        match self {
            Self::Images(files) => Some(files.len()),
            Self::Video(_) => None,
        }
    }
}

/// Straight or multiplied, but in the file's own space.
struct Color {
    image: RgbaImage,
    of: String,
}

impl Reader {
    /// Finds the files of a row; images are not read before they are asked for.
    pub(crate) fn open(row: &Row) -> Result<Self> {
        row.check_paths()?;
        let mut reading = row.reading();
        let said = reading.color.as_ref();
        let color = Source::open(&row.color_path(), "colour", Samples::Rgba, said)?;
        let alpha_path = row.alpha_path();
        let open = |path: &PathBuf| Source::open(path, "alpha", Samples::Gray, None);
        let alpha = alpha_path.as_ref().map(open).transpose()?;
        let frames = |source: &Source| source.frames();
        if let (Some(colors), Some(alphas)) = (frames(&color), alpha.as_ref().and_then(frames)) {
            ensure!(
                colors == alphas,
                "color {} has {}, but alpha {} has {alphas}",
                row.color,
                counted(colors, "frame"),
                row.alpha
            );
        }
        if alpha.is_some() {
            reading.alpha.get_or_insert(Association::Straight);
        }
        Ok(Self {
            color,
            alpha,
            reading,
            alpha_path,
            by_alpha: None,
            next: 0,
            size: None,
            losses: PictureLosses::default(),
            remarks: PictureRemarks::default(),
            straight: true,
            no_alpha: None,
        })
    }

    /// How many frames there are, where that is known before they are read.
    pub(crate) fn frames(&self) -> Option<usize> {
        self.color.frames().or_else(|| self.alpha.as_ref()?.frames())
    }

    /// What color is where alpha is 0.
    pub(crate) fn hidden_color(&self) -> HiddenColor {
        if self.alpha.is_some() { HiddenColor::Chosen } else { HiddenColor::Arbitrary }
    }

    /// What is to be said of the frames that were read.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.remarks.lines().iter().cloned().chain(self.losses.lines()).collect()
    }

    /// Whether it is one image.
    pub(crate) fn is_image(&self) -> bool {
        self.frames() == Some(1)
    }

    /// The index of the frame that comes next.
    pub(crate) fn next_frame(&self) -> usize {
        self.next
    }

    /// Leaves out frames; of a video they are decoded all the same.
    pub(crate) fn skip(&mut self, count: usize) -> Result<()> {
        for source in [Some(&mut self.color), self.alpha.as_mut()].into_iter().flatten() {
            if let Source::Video(video) = source {
                for _ in 0..count {
                    if video.next()?.is_none() {
                        let path = video.path().display();
                        bail!("{path} ended before frame {}", self.next + count);
                    }
                }
            }
        }
        self.next += count;
        Ok(())
    }

    /// The next frame: straight, display-referred, in \[0, 1\]. None after the last.
    pub(crate) fn next(&mut self) -> Result<Option<OwnedFrame>> {
        let index = self.next;
        let color = self.next_color()?;
        let picture = match (color, self.next_alpha()?) {
            (None, None | Some(None)) => return Ok(None),
            (Some(Color { image, .. }), None) => {
                if let Some(text) = &image.no_alpha {
                    self.no_alpha.get_or_insert(text.clone());
                }
                self.finish(image)?
            }
            (Some(Color { mut image, of }), Some(Some(alpha))) => {
                let MaskImage { width, height, values } = alpha;
                ensure!(
                    image.size == (width, height),
                    "{of} is {} × {}, but frame {index} of the alpha is {width} × {height}",
                    image.size.0,
                    image.size.1
                );
                for (pixel, alpha) in image.rgba.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    pixel[3] = alpha;
                }
                self.finish(image)?
            }
            (Some(_), Some(None)) => bail!("the alpha ends before frame {index} of the color"),
            (None, Some(Some(_))) => bail!("the color ends before frame {index} of the alpha"),
        };
        let found = (picture.width, picture.height);
        let size = *self.size.get_or_insert(found);
        ensure!(
            found == size,
            "frame {index} is {} × {}, the frames before it are {} × {}",
            found.0,
            found.1,
            size.0,
            size.1
        );
        self.next += 1;
        Ok(Some(picture))
    }

    fn finish(&mut self, image: RgbaImage) -> Result<OwnedFrame> {
        let (width, height) = image.size;
        let index = self.next;
        self.straight = image.association(self.reading.alpha) == Association::Straight;
        let rgba = image
            .display(self.reading.alpha, &mut self.losses)
            .with_context(|| format!("frame {index}"))?;
        Ok(OwnedFrame::new(index, width, height, rgba))
    }

    fn next_color(&mut self) -> Result<Option<Color>> {
        match &mut self.color {
            Source::Images(files) => {
                let Some(file) = files.get(self.next) else {
                    return Ok(None);
                };
                let image = RgbaImage::read(file, &self.reading)?;
                image.tell(file, &mut self.remarks);
                Ok(Some(Color { image, of: file.display().to_string() }))
            }
            Source::Video(video) => {
                let Some(picture) = video.next()? else {
                    let path = video.path().clone();
                    video.said().into_iter().for_each(|words| self.remarks.add(&path, words));
                    return Ok(None);
                };
                let image = RgbaImage::of_movie(picture, video, &self.reading)?;
                image.tell(video.path(), &mut self.remarks);
                let of = format!("frame {} of {}", self.next, video.path().display());
                Ok(Some(Color { image, of }))
            }
        }
    }

    /// None where alpha is not apart.
    fn next_alpha(&mut self) -> Result<Option<Option<MaskImage>>> {
        let Some(source) = &mut self.alpha else {
            return Ok(None);
        };
        let by_alpha = match self.by_alpha {
            Some(known) => known,
            None => {
                let paths: Vec<PathBuf> = self.alpha_path.iter().cloned().collect();
                MaskSequence::find_all(&paths, "alpha", None)?.is_by_alpha()?
            }
        };
        self.by_alpha = Some(by_alpha);
        match source {
            Source::Images(files) => {
                let Some(file) = files.get(self.next) else {
                    return Ok(Some(None));
                };
                Ok(Some(Some(read_image(file, by_alpha, &mut self.remarks)?)))
            }
            Source::Video(video) => {
                let Some(picture) = video.next()? else {
                    let path = video.path().clone();
                    video.said().into_iter().for_each(|words| self.remarks.add(&path, words));
                    return Ok(Some(None));
                };
                Ok(Some(Some(mask::of_video(&picture, video, by_alpha, &mut self.remarks)?)))
            }
        }
    }
}
