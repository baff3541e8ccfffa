//! What can be asked of a render, and what comes of it.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::told::Message;
use crate::images::memory::Stride;
use crate::images::rendering::Abort;
use crate::images::{Depth, Image, Rect};
use crate::rules::fail;
use crate::status::Status;

/// How a frame is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tiles {
    /// The frame is rendered in one piece.
    #[default]
    Whole,
    /// Tiles of at most this size, each an image of its own.
    Separate([i32; 2]),
    /// Tiles of at most this size of one image.
    Shared([i32; 2]),
}

/// A render to ask for, past every cache: `RenderAsk { depth: Depth::Byte, ..RenderAsk::at(7.0) }`.
#[derive(Clone, Debug)]
pub struct RenderAsk {
    /// The time of the frame, in frames.
    pub time: f64,
    /// Pixels per unit of canonical coordinates, across and up.
    pub scale: [f64; 2],
    /// How components are stored.
    pub depth: Depth,
    /// The pixels that the image has; those of the region of definition where none are given.
    pub bounds: Option<Rect>,
    /// The pixels that are wanted; all of them where none are given.
    pub window: Option<Rect>,
    /// How rows follow one another in memory.
    pub stride: Stride,
    /// How the window is cut up.
    pub tiles: Tiles,
    /// Renders tiles on so many threads, in no order.
    pub threads: usize,
    /// When it is given up.
    pub abort: Abort,
    /// Whether the artist waits for it.
    pub interactive: bool,
    /// Whether a rough picture will do.
    pub draft: bool,
    /// Whether it is for a thumbnail.
    pub thumbnail: bool,
    /// Width of a pixel by its height; the project's where none is given.
    pub pixel_aspect: Option<f64>,
    /// Whether the same picture is expected of the same state later on.
    pub remembered: bool,
}

impl RenderAsk {
    /// The whole frame at full size, in floating point.
    #[must_use]
    pub fn at(time: f64) -> Self {
        Self {
            time,
            scale: [1.0; 2],
            depth: Depth::Float,
            bounds: None,
            window: None,
            stride: Stride::Packed,
            tiles: Tiles::Whole,
            threads: 1,
            abort: Abort::Never,
            interactive: true,
            draft: false,
            thumbnail: false,
            pixel_aspect: None,
            remembered: true,
        }
    }

    /// The same at another scale.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        self.scale = [scale; 2];
        self
    }

    /// The same in another depth.
    #[must_use]
    pub fn in_depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Only a part of it.
    #[must_use]
    pub fn within(mut self, window: Rect) -> Self {
        self.window = Some(window);
        self
    }

    /// With rows in memory like that.
    #[must_use]
    pub fn with_stride(mut self, stride: Stride) -> Self {
        self.stride = stride;
        self
    }

    /// Cut up like that.
    #[must_use]
    pub fn in_tiles(mut self, tiles: Tiles) -> Self {
        self.tiles = tiles;
        self
    }

    /// On so many threads.
    #[must_use]
    pub fn on_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Given up like that.
    #[must_use]
    pub fn aborted(mut self, abort: Abort) -> Self {
        self.abort = abort;
        self
    }

    /// For a film, not for an artist.
    #[must_use]
    pub fn for_a_file(mut self) -> Self {
        self.interactive = false;
        self
    }
}

/// Where a frame comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// The plug-in has rendered it.
    Rendered,
    /// The host's cache in memory had it.
    FromMemory,
    /// The host's cache on disk had it.
    FromDisk,
    /// The plug-in says that it is the picture of a clip at a time.
    Same(String, f64),
}

/// What came of a render.
#[derive(Clone, Debug)]
pub struct Frame {
    /// How the plug-in answered.
    pub status: Status,
    /// Where it comes from.
    pub made: Made,
    /// Whether the plug-in was told to give up.
    pub aborted: bool,
    /// How often it asked.
    pub polls: u32,
    /// How long its render actions took, as [`Stopwatch`](crate::Stopwatch) counts.
    pub took: Duration,
    /// From the moment it was given up until the plug-in returned, without the time in which the
    /// machine had no processor for it.
    pub abort_took: Option<Duration>,
    /// The persistent message afterwards.
    pub message: Option<Message>,
    pub(crate) image: Option<Image>,
}

impl Frame {
    /// The picture; fails the test where there is none.
    #[must_use]
    #[track_caller]
    pub fn image(&self) -> &Image {
        match &self.image {
            Some(image) => image,
            None => {
                let said = self.message.as_ref().map_or("nothing", |message| &message.text);
                fail(&format!("there is no picture: {}, and it says: {said}", self.status));
            }
        }
    }

    /// The picture, where there is one.
    #[must_use]
    pub fn picture(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// A pixel of the picture; fails the test where there is none.
    #[must_use]
    #[track_caller]
    pub fn pixel(&self, x: i32, y: i32) -> [f32; 4] {
        self.image().pixel(x, y)
    }

    /// Whether the plug-in could not make a picture.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.image.is_none() && !self.aborted
    }

    /// What the plug-in says about it; empty where it says nothing.
    #[must_use]
    pub fn says(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.text)
    }
}
