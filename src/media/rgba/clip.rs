//! A clip as PNG or EXR images with alpha, or as a movie, read frame by frame.
//!
//! Images are read some at a time, one on each thread; what is wrong with one is told when its turn
//! comes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;

use super::{PictureLosses, RgbaImage, unread};
use crate::media::color_space::ColorSpace;
use crate::media::error::{self, MediaError};
use crate::media::reading::PictureReading;
use crate::media::remarks::PictureRemarks;
use crate::media::sequence::{self, FrameNumbering};
use crate::media::video::{self, Samples, Video};

/// A clip of which the first frame has been looked at.
pub(crate) struct RgbaSequence {
    source: ClipFiles,
    frames: usize,
    reading: PictureReading,
    size: (usize, usize),
    /// Read, and not asked for yet.
    ready: VecDeque<Result<ClipPicture>>,
    /// The frame that is read next.
    next: usize,
    losses: PictureLosses,
    remarks: PictureRemarks,
}

enum ClipFiles {
    Images(Vec<PathBuf>),
    Movie(Box<Video>),
}

/// A frame, straight and display-referred, and what is to be said of it.
struct ClipPicture {
    path: PathBuf,
    size: (usize, usize),
    /// What it was read as.
    space: ColorSpace,
    rgba: Vec<f32>,
    losses: PictureLosses,
    warnings: Vec<String>,
}

/// The most memory that frames may take which have been read ahead, in bytes.
const AHEAD: usize = 1 << 28;

impl RgbaSequence {
    /// Finds the images behind one path (a folder, a pattern, a file) or a movie, or takes several
    /// images as they come, and reads the first frame. A movie is decoded once to count its frames.
    pub(crate) fn find(paths: &[PathBuf], reading: &PictureReading) -> error::Result<Self> {
        let open = || -> Result<Self> {
            let mut remarks = PictureRemarks::default();
            let (source, frames) = match paths {
                [one] if video::is_movie(one) => {
                    let (frames, said) = video::count(one)?;
                    said.into_iter().for_each(|words| remarks.add(one, words));
                    let video = Video::open(one, Samples::Rgba, reading.color.as_ref())?;
                    (ClipFiles::Movie(Box::new(video)), frames)
                }
                [one] => {
                    let files = sequence::find(one, "clip", FrameNumbering::EveryFrame)?;
                    let frames = files.len();
                    (ClipFiles::Images(files), frames)
                }
                several => {
                    several.iter().try_for_each(|file| sequence::check_file(file, "clip"))?;
                    (ClipFiles::Images(several.to_vec()), several.len())
                }
            };
            ensure!(frames > 0, "the clip has no images");
            let mut clip = Self {
                source,
                frames,
                reading: reading.clone(),
                size: (0, 0),
                ready: VecDeque::new(),
                next: 0,
                losses: PictureLosses::default(),
                remarks,
            };
            clip.read_ahead(1);
            let first =
                clip.ready.pop_front().ok_or_else(|| anyhow!("the clip has no images"))??;
            clip.size = first.size;
            clip.ready.push_front(Ok(first));
            Ok(clip)
        };
        open().map_err(MediaError::Unreadable)
    }

    /// The files, in order: images, or the one movie.
    pub(crate) fn files(&self) -> &[PathBuf] {
        self.source.files()
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames
    }

    /// Width and height of every frame, in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Reads the next frame: straight, display-referred, in \[0, 1\].
    pub(crate) fn read_next(&mut self) -> error::Result<Vec<f32>> {
        if self.ready.is_empty() {
            let bytes = self.size.0 * self.size.1 * 4 * size_of::<f32>();
            let threads = rayon::current_num_threads();
            self.read_ahead(threads.min(AHEAD / bytes.max(1)).max(1));
        }
        let frame = self.ready.pop_front().unwrap_or_else(|| Err(anyhow!("the clip has ended")));
        let attempt = frame.and_then(|frame| {
            let ClipPicture { path, size, space, rgba, losses, warnings } = frame;
            ensure!(
                size == self.size,
                "{} is {} × {}, but {} is {} × {}: all must be of one size",
                path.display(),
                size.0,
                size.1,
                self.source.first().display(),
                self.size.0,
                self.size.1
            );
            self.losses.add(losses);
            self.remarks.compare_space(&path, &space);
            for words in warnings {
                self.remarks.add(&path, words);
            }
            Ok(rgba)
        });
        attempt.map_err(MediaError::Unreadable)
    }

    /// What is to be said of the frames that were read: tags that are not obeyed, other pictures in
    /// the same files, pixels that are not square, values that could not be kept.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.remarks.lines().iter().cloned().chain(self.losses.lines()).collect()
    }

    fn read_ahead(&mut self, count: usize) {
        let reading = &self.reading;
        match &mut self.source {
            ClipFiles::Images(files) => {
                let end = (self.next + count).min(files.len());
                let some = files.get(self.next..end).unwrap_or_default();
                let read: Vec<_> = some
                    .par_iter()
                    .map(|file| {
                        let image = RgbaImage::read(file, reading)?;
                        finish(file, image, reading)
                    })
                    .collect();
                self.next = end;
                self.ready.extend(read);
            }
            ClipFiles::Movie(video) => {
                let frame = video.next().map_err(anyhow::Error::from).and_then(|picture| {
                    let picture = picture.ok_or_else(|| anyhow!("the clip has ended"))?;
                    let image = RgbaImage::of_movie(picture, video, reading)?;
                    finish(video.path(), image, reading)
                });
                self.next += 1;
                self.ready.push_back(frame);
            }
        }
    }
}

impl ClipFiles {
    fn files(&self) -> &[PathBuf] {
        match self {
            Self::Images(files) => files,
            Self::Movie(video) => std::slice::from_ref(video.path()),
        }
    }

    fn first(&self) -> &Path {
        self.files().first().map_or(Path::new(""), PathBuf::as_path)
    }
}

fn finish(path: &Path, image: RgbaImage, reading: &PictureReading) -> Result<ClipPicture> {
    let (size, space, warnings) = (image.size, image.space.clone(), image.warnings.clone());
    let mut losses = PictureLosses::default();
    let work = || {
        if let Some(text) = &image.no_alpha {
            bail!("{text}");
        }
        Ok(image.display(reading.alpha, &mut losses)?)
    };
    let rgba = work().with_context(|| unread(path))?;
    Ok(ClipPicture { path: path.to_owned(), size, space, rgba, losses, warnings })
}
