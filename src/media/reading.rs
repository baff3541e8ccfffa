//! What a person may say of pictures that are given, where their files do not.

use super::color_space::ColorSpace;

/// How color and alpha of an image belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Association {
    /// Color is what it is, however transparent.
    Straight,
    /// Color has been multiplied by alpha.
    Premultiplied,
}

/// How pictures are to be understood. What is None is as the files say, or as their format has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PictureReading {
    pub(crate) alpha: Option<Association>,
    pub(crate) color: Option<ColorSpace>,
    /// The part or layer of EXR files that is the picture or, of a mask, a channel.
    pub(crate) layer: Option<String>,
}

/// By so much alpha, or a mask, may lie outside of 0 and 1 without anybody meaning it: what rounding
/// in a file of halves or 16 bits adds to 1.
pub(crate) const ROUNDING: f32 = 2e-3;

/// Whether a value is in \[0, 1\], but for rounding.
pub(crate) fn is_in_range(value: f32) -> bool {
    (-ROUNDING..=1.0 + ROUNDING).contains(&value)
}
