//! The picture: a frame of a take, or words in its place, as the pixels that a host wants.

#![forbid(unsafe_code)]

mod abort_check;
mod annotation;
mod canvas;
mod draw;
mod frame_fit;
mod quantise;
mod resample;
mod source;
mod taps;
mod transfer;

#[cfg(test)]
mod tests;

pub use annotation::{Annotation, Tone};
pub use canvas::{Canvas, Depth, Window};
pub use draw::{Drawn, FrameContent, OutputFormat, draw};
pub use frame_fit::{Fit, FrameFit, OutputFrame};
pub use source::{SizeMismatch, Source};
pub use transfer::Transfer;
