//! What of a frame is written: all of it, its alpha alone, or the frame over something.
//!
//! Composited in linear light, as compositors do and the contact sheet does.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result};
use wan_alpha_take::StillImage;
use wan_alpha_take::color::{to_display, to_linear};
use wan_alpha_take::frame::Frame;

use super::reading::PictureReading;
use super::rgba::{PictureLosses, RgbaImage};

/// What of a frame is written.
#[derive(Clone, Debug, Default)]
pub(crate) enum FrameLook {
    /// Color and alpha.
    #[default]
    Whole,
    /// Alpha alone, as data.
    AlphaOnly,
    /// The frame over a color or a picture.
    Over(FrameBackdrop),
}

/// What a frame is put over.
#[derive(Clone, Debug)]
pub(crate) enum FrameBackdrop {
    /// A display value for red, green and blue.
    Color([f32; 3]),
    /// A picture, of the frame's size once it is fitted.
    Picture(StillImage),
}

impl FrameBackdrop {
    /// Reads a picture of any size, PNG or EXR.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let image = RgbaImage::read(file, &PictureReading::default())?;
        let (width, height) = image.size;
        let rgba = image.display(None, &mut PictureLosses::default())?;
        let picture = StillImage::new(u32::try_from(width)?, u32::try_from(height)?, rgba);
        Ok(Self::Picture(picture.with_context(|| file.display().to_string())?))
    }
}

/// Colors that have a name on the command line.
const NAMED: [(&str, [u8; 3]); 9] = [
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("gray", [128, 128, 128]),
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
    ("yellow", [255, 255, 0]),
];

/// The color that a text names, `#RRGGBB`, `#RGB` or one of the usual names, as display values. None of
/// what is no color.
pub(crate) fn color_of(text: &str) -> Option<[f32; 3]> {
    let bytes = match text.strip_prefix('#') {
        None => NAMED.iter().find(|(name, _)| *name == text)?.1,
        Some(digits) if digits.is_ascii() && [3, 6].contains(&digits.len()) => {
            let step = digits.len() / 3;
            let of = |channel: usize| {
                let value = u8::from_str_radix(&digits[channel * step..][..step], 16).ok()?;
                Some(if step == 1 { value * 17 } else { value })
            };
            [of(0)?, of(1)?, of(2)?]
        }
        Some(_) => return None,
    };
    Some(bytes.map(|byte| f32::from(byte) / 255.0))
}

impl FrameLook {
    /// The same for frames of a size: a picture under them is scaled, and cropped around its middle.
    pub(crate) fn fitted(self, width: usize, height: usize) -> Result<Self> {
        Ok(match self {
            Self::Over(FrameBackdrop::Picture(picture)) => {
                let (fitted, _) = picture.fitted(u32::try_from(width)?, u32::try_from(height)?);
                Self::Over(FrameBackdrop::Picture(fitted))
            }
            other => other,
        })
    }

    /// The frame's pixels, straight and display-referred, as they are seen: alpha alone is gray and opaque.
    pub(crate) fn pixels<'a>(&self, frame: &Frame<'a>) -> Cow<'a, [f32]> {
        let seen = |pixel: &dyn Fn(usize, [f32; 4]) -> [f32; 4]| {
            let pixels = frame.pixels().iter().enumerate();
            Cow::Owned(pixels.flat_map(|(place, at)| pixel(place, *at)).collect())
        };
        match self {
            Self::Whole => Cow::Borrowed(frame.rgba),
            Self::AlphaOnly => seen(&|_, [.., alpha]| [alpha, alpha, alpha, 1.0]),
            Self::Over(FrameBackdrop::Color([r, g, b])) => {
                seen(&|_, pixel| over(pixel, [*r, *g, *b, 1.0]))
            }
            Self::Over(FrameBackdrop::Picture(picture)) => {
                let behind = picture.pixels();
                seen(&|place, pixel| over(pixel, behind.get(place).copied().unwrap_or_default()))
            }
        }
    }
}

/// One straight display-referred pixel over another.
fn over(front: [f32; 4], behind: [f32; 4]) -> [f32; 4] {
    let alpha = front[3].clamp(0.0, 1.0);
    let rest = behind[3].clamp(0.0, 1.0) * (1.0 - alpha);
    let both = alpha + rest;
    if both == 0.0 {
        return [0.0; 4];
    }
    // What shows of one alone is not sent through the curve and back.
    let channel = |place: usize| match () {
        () if rest == 0.0 => front[place],
        () if alpha == 0.0 => behind[place],
        () => {
            to_display((to_linear(front[place]) * alpha + to_linear(behind[place]) * rest) / both)
        }
    };
    [channel(0), channel(1), channel(2), both]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_over_red_and_cyan_is_mixed_in_linear_light_and_opaque() {
        let rgba = [1.0, 1.0, 1.0, 0.5, 0.3, 0.2, 0.1, 1.0, 0.9, 0.9, 0.9, 0.0];
        let frame = Frame { index: 0, width: 3, height: 1, rgba: &rgba };
        let look = FrameLook::Over(FrameBackdrop::Color(color_of("red").unwrap()));
        let seen = look.pixels(&frame);
        // Half of the light of white and of red: (1, 0.5, 0.5), which displays show as 0.7353….
        let expected = [1.0, 0.735_36, 0.735_36, 1.0];
        assert!(seen[..4].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{seen:?}");
        assert_eq!(seen[4..], [0.3, 0.2, 0.1, 1.0, 1.0, 0.0, 0.0, 1.0]);
        let cyan = FrameLook::Over(FrameBackdrop::Color(color_of("#0ff").unwrap())).pixels(&frame);
        assert_eq!(cyan[8..], [0.0, 1.0, 1.0, 1.0]);
        let none =
            FrameLook::Over(FrameBackdrop::Picture(StillImage::new(6, 2, vec![0.5; 48]).unwrap()));
        let none = none.fitted(3, 1).unwrap();
        let none = none.pixels(&frame);
        assert!((none[3] - 0.75).abs() < 1e-3 && (none[11] - 0.5).abs() < 1e-3, "{none:?}");
        assert_eq!(FrameLook::AlphaOnly.pixels(&frame)[..4], [0.5, 0.5, 0.5, 1.0]);
        assert_eq!(*FrameLook::Whole.pixels(&frame), rgba);
    }

    #[test]
    fn colors_are_named_or_written_in_hexadecimal() {
        assert_eq!(color_of("#ff8000"), Some([1.0, 128.0 / 255.0, 0.0]));
        assert_eq!(color_of("#f80"), Some([1.0, 136.0 / 255.0, 0.0]));
        for none in ["", "#", "#ff80", "#gg0000", "redd", "#ééé", "plate.png"] {
            assert_eq!(color_of(none), None, "{none}");
        }
    }
}
