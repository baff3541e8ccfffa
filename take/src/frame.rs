//! One frame of a clip: the pixels that the decoders make, that files are written of, and that are
//! measured.
//!
//! Values are straight, display-referred (sRGB-like) RGBA in \[0, 1\], interleaved, row 0 on top. Color
//! under alpha 0 is arbitrary. The [`store`](crate::store) keeps the same frames in half floats, as
//! hosts draw them.

/// A frame whose pixels belong to someone else.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number of the frame in the clip, from 0 on.
    pub index: usize,
    /// Width of the frame in pixels.
    pub width: usize,
    /// Height of the frame in pixels.
    pub height: usize,
    /// Straight, display-referred RGBA, row 0 on top: `[height, width, 4]`.
    pub rgba: &'a [f32],
}

/// A frame with its pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedFrame {
    /// Number of the frame in the clip, from 0 on.
    pub index: usize,
    /// Width of the frame in pixels.
    pub width: usize,
    /// Height of the frame in pixels.
    pub height: usize,
    /// Straight, display-referred RGBA, row 0 on top: `[height, width, 4]`.
    pub rgba: Vec<f32>,
}

/// Why a frame should not get into any file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// It has more or fewer values than its size says.
    #[error(
        "frame {index} has {found} values where {width} × {height} RGBA needs {}",
        width * height * 4
    )]
    Length {
        /// Number of the frame in the clip, from 0 on.
        index: usize,
        /// Width of the frame in pixels.
        width: usize,
        /// Height of the frame in pixels.
        height: usize,
        /// How many values there are.
        found: usize,
    },

    /// A value is infinite or no number.
    #[error(
        "frame {index} holds {value} in channel {channel} at column {column}, row {row}: the model's \
         weights or its precision are at fault, nothing was written for this frame"
    )]
    NotFinite {
        /// Number of the frame in the clip, from 0 on.
        index: usize,
        /// The value that was found.
        value: f32,
        /// R, G, B or A.
        channel: &'static str,
        /// Column of the pixel, from 0 on the left.
        column: usize,
        /// Row of the pixel, from 0 on top.
        row: usize,
    },
}

impl<'a> Frame<'a> {
    /// Refuses a frame that no file should carry: one infinite or NaN pixel turns whole regions
    /// black or white as soon as a compositor filters the image.
    ///
    /// # Errors
    /// [`FrameError`], naming the first place that is wrong.
    pub fn check(&self) -> Result<(), FrameError> {
        let Self { index, width, height, rgba } = *self;
        if rgba.len() != width * height * 4 {
            return Err(FrameError::Length { index, width, height, found: rgba.len() });
        }
        match rgba.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => Err(FrameError::NotFinite {
                index,
                value: rgba[place],
                channel: ["R", "G", "B", "A"][place % 4],
                column: place / 4 % width,
                row: place / 4 / width,
            }),
        }
    }

    /// The pixels, row by row from the top.
    #[inline]
    #[must_use]
    pub fn pixels(&self) -> &'a [[f32; 4]] {
        self.rgba.as_chunks::<4>().0
    }
}

impl OwnedFrame {
    /// A frame of `width * height * 4` values.
    #[must_use]
    pub fn new(index: usize, width: usize, height: usize, rgba: Vec<f32>) -> Self {
        Self { index, width, height, rgba }
    }

    /// This frame, lent for as long as it lives.
    #[must_use]
    pub fn borrowed(&self) -> Frame<'_> {
        let Self { index, width, height, ref rgba } = *self;
        Frame { index, width, height, rgba }
    }

    /// The pixels, row by row from the top.
    #[inline]
    #[must_use]
    pub fn pixels(&self) -> &[[f32; 4]] {
        self.rgba.as_chunks::<4>().0
    }

    /// The alpha of every pixel, row by row from the top.
    #[must_use]
    pub fn alpha(&self) -> Vec<f32> {
        self.pixels().iter().map(|pixel| pixel[3]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_with_nan_or_the_wrong_length_is_refused_by_place() {
        let mut rgba = vec![0.5; 3 * 2 * 4];
        fn frame(rgba: &[f32]) -> Frame<'_> {
            Frame { index: 7, width: 3, height: 2, rgba }
        }
        assert!(frame(&rgba).check().is_ok());
        let text = frame(&rgba[4..]).check().unwrap_err().to_string();
        assert!(text.contains("frame 7 has 20 values") && text.contains("needs 24"), "{text}");
        rgba[(3 + 2) * 4 + 1] = f32::NAN;
        let text = frame(&rgba).check().unwrap_err().to_string();
        assert!(text.contains("NaN in channel G at column 2, row 1"), "{text}");
    }
}
