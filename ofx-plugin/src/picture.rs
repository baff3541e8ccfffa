//! The picture: a frame of a take, or text in its place, as the pixels that a host wants.

#![forbid(unsafe_code)]

mod abort_check;
mod annotation;
mod content;
mod draw;
mod frame_fit;
mod quantize;
mod resample;
mod source;
mod taps;
mod transfer;

#[cfg(test)]
mod tests;

pub use crate::surface::{Depth, PixelCanvas, Window};
pub use content::{Annotation, FrameContent, OutputFormat, Tone};
pub use draw::{Drawn, draw};
pub use frame_fit::{Fit, FrameFit, OutputFrame};
pub use source::{SizeMismatch, Source};
pub use transfer::Transfer;
