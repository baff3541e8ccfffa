//! The picture: a frame of a take, or text in its place, as the pixels that a host wants.

#![deny(unsafe_code)]

mod abort_check;
mod annotation;
mod backdrop;
mod captured;
mod content;
mod draw;
mod frame_fit;
mod pixel;
mod quantize;
mod resample;
mod source;
mod taps;
mod transfer;
#[cfg_attr(not(target_arch = "x86_64"), path = "picture/no_vectors.rs")]
mod vector;
mod viewed;

#[cfg(test)]
mod tests;

pub use crate::surface::{ClipAlpha, Depth, PixelCanvas, PixelSource, Window};
pub use backdrop::Backdrop;
pub use captured::{Captured, captured};
pub use content::{Annotation, FrameContent, OutputFormat, Tone, View};
pub use draw::{Drawn, draw};
pub use frame_fit::{Fit, FrameFit, OutputFrame};
pub use source::{SizeMismatch, Source};
pub use transfer::Transfer;
