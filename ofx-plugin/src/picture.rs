//! The picture: a frame of a take, or words in its place, as the pixels that a host wants.

#![forbid(unsafe_code)]

mod canvas;
mod draw;
mod mark;
mod patience;
mod placement;
mod quantise;
mod resample;
mod source;
mod taps;
mod transfer;

#[cfg(test)]
mod tests;

pub use canvas::{Canvas, Depth, Window};
pub use draw::{Drawn, OutputFormat, FrameContent, draw};
pub use mark::{Annotation, Tone};
pub use placement::{Fit, FrameFit, OutputFrame};
pub use source::{SizeMismatch, Source};
pub use transfer::Transfer;
