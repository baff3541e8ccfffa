//! A pixel while it is worked on.

#![forbid(unsafe_code)]

/// Red, green, blue and alpha of a pixel.
pub(super) type Pixel = [f32; 4];

/// How a pixel carries its alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlphaMode {
    Premultiplied,
    Straight,
}
