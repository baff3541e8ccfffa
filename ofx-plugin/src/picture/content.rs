//! What a picture is made of, and in which form the host wants it.

#![forbid(unsafe_code)]

use super::backdrop::Backdrop;
use super::frame_fit::{Fit, OutputFrame};
use super::source::Source;
use super::transfer::Transfer;

/// What is to be seen. Where there is nothing, the picture is transparent black.
#[derive(Clone, Copy, Debug)]
pub struct FrameContent<'a> {
    /// The frame that the take is fitted into.
    pub output_frame: OutputFrame,
    /// How the take is fitted into it.
    pub fit: Fit,
    /// A frame of the take, where there is one to show.
    pub take: Option<Source<'a>>,
    /// How the take is shown.
    pub view: View,
    /// What lies under the take, where that is part of the picture.
    pub backdrop: Option<Backdrop<'a>>,
    /// What is written over the take, or in its place.
    pub annotation: Option<Annotation<'a>>,
}

/// How colors and alpha are written for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFormat {
    /// The color space of what is written.
    pub transfer: Transfer,
    /// Whether colors are written without being multiplied by alpha.
    pub straight: bool,
}

/// How a take is shown. Whatever is no take stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// As it is.
    #[default]
    Rgba,
    /// Its alpha as an opaque gray, whose value alpha is.
    AlphaAsGray,
    /// Over an opaque checkerboard.
    OverChecker,
}

/// Text over a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotation<'a> {
    /// In place of a take: a panel in the middle, and the outline of the take's frame.
    Placeholder {
        /// What the text is about, as a color.
        tone: Tone,
        /// Lines of text, each wrapped. The first is the headline.
        lines: &'a [&'a str],
        /// Width and height of the take, where they are known.
        size: Option<[u32; 2]>,
    },
    /// Over a take: a small panel in the lower left corner.
    Badge {
        /// What the text is about, as a color.
        tone: Tone,
        /// The text, wrapped where it is long.
        text: &'a str,
    },
}

/// What an annotation is about, as a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing has been asked for: gray.
    Idle,
    /// The take is being made: amber.
    Working,
    /// There is no take, and none is on its way: red.
    Failed,
}

impl Tone {
    /// Red, green and blue, display-referred.
    pub(super) fn color(self) -> [f32; 3] {
        match self {
            Self::Idle => [0.56, 0.62, 0.70],
            Self::Working => [0.97, 0.70, 0.24],
            Self::Failed => [0.95, 0.35, 0.29],
        }
    }
}
