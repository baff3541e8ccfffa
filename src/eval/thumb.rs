//! A few frames of a clip as small PNG pictures with alpha, for the page.

use anyhow::Result;
use image::imageops::{FilterType, resize};
use image::{ImageFormat, Rgba32FImage, RgbaImage};
use std::io::Cursor;

use super::clip::Frame;

/// The longer side of a thumbnail, at most.
const SIDE: usize = 160;

/// Frames of a clip that the page shows.
const FRAMES: usize = 4;

/// Frames beside each other.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// What they are of.
    pub(super) label: &'static str,
    pub(super) thumbs: Vec<Thumbnail>,
}

/// A small picture: straight RGBA in 8 bits.
#[derive(Clone, Debug)]
pub(super) struct Thumbnail {
    /// The frame it is of.
    pub(super) frame: usize,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) png: Vec<u8>,
}

/// Whether the page shows a frame.
pub(super) fn is_shown(frame: usize, frames: usize) -> bool {
    let gaps = FRAMES.min(frames).saturating_sub(1).max(1);
    (0..=gaps).any(|place| (place * frames.saturating_sub(1) + gaps / 2) / gaps == frame)
}

impl Thumbnail {
    pub(super) fn of(frame: &Frame) -> Result<Self> {
        let longer = frame.width.max(frame.height).max(1);
        let fit = |side: usize| if longer <= SIDE { side } else { (side * SIDE / longer).max(1) };
        let (width, height) = (fit(frame.width) as u32, fit(frame.height) as u32);
        // Premultiplied, the only form that can be filtered.
        let premultiplied: Vec<f32> =
            frame.pixels().iter().flat_map(|&[r, g, b, a]| [r * a, g * a, b * a, a]).collect();
        let full = Rgba32FImage::from_raw(frame.width as u32, frame.height as u32, premultiplied)
            .unwrap_or_default();
        let small = resize(&full, width, height, FilterType::Triangle);
        let eight = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        let bytes = small.pixels().flat_map(|pixel| {
            let [r, g, b, a] = pixel.0;
            let straight = |value: f32| if a > 0.0 { eight(value / a) } else { 0 };
            [straight(r), straight(g), straight(b), eight(a)]
        });
        let image = RgbaImage::from_raw(width, height, bytes.collect()).unwrap_or_default();
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png)?;
        Ok(Self { frame: frame.index, width, height, png: png.into_inner() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_frames_are_spread_from_first_to_last() {
        let shown =
            |frames: usize| (0..frames).filter(|&f| is_shown(f, frames)).collect::<Vec<_>>();
        assert_eq!(shown(81), [0, 27, 53, 80]);
        assert_eq!(shown(5), [0, 1, 3, 4]);
        assert_eq!(shown(2), [0, 1]);
        assert_eq!(shown(1), [0]);
    }

    #[test]
    fn small_pictures_keep_their_pixels_and_large_ones_their_colour_at_soft_edges() {
        let rgba: Vec<f32> = (0..400 * 2).flat_map(|i| [1.0, 0.0, 0.0, (i % 2) as f32]).collect();
        let thumb = Thumbnail::of(&Frame::new(3, 400, 2, rgba)).unwrap();
        assert_eq!((thumb.frame, thumb.width, thumb.height), (3, 160, 1));
        let image = image::load_from_memory(&thumb.png).unwrap().into_rgba8();
        // Colour under alpha 0 has not darkened it.
        let pixel = image.get_pixel(80, 0).0;
        assert_eq!(pixel[..3], [255, 0, 0]);
        assert!((100..156).contains(&pixel[3]));
        let exact = Thumbnail::of(&Frame::new(0, 1, 1, vec![0.2, 0.4, 0.6, 1.0])).unwrap();
        let image = image::load_from_memory(&exact.png).unwrap().into_rgba8();
        assert_eq!(image.get_pixel(0, 0).0, [51, 102, 153, 255]);
    }
}
