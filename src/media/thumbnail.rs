//! A few frames of a clip as small PNG pictures with alpha, for pages.

use fast_image_resize::{FilterType, ResizeAlg};
use image::RgbaImage;
use wan_alpha_take::frame::OwnedFrame;

use super::error::Result;
use super::png::encode_plain;
use super::resize::{filtered, premultiply};

/// The longer side of a thumbnail, at most.
const SIDE: usize = 160;

/// Frames of a clip that the page shows.
const FRAMES: usize = 4;

/// Frames beside each other.
#[derive(Clone, Debug)]
pub(crate) struct Strip {
    /// What they are of.
    pub(crate) label: &'static str,
    pub(crate) thumbs: Vec<Thumbnail>,
}

/// A small picture: straight RGBA in 8 bits.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnail {
    /// The frame it is of.
    pub(crate) frame: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) png: Vec<u8>,
}

/// Whether the page shows a frame.
pub(crate) fn is_shown(frame: usize, frames: usize) -> bool {
    let gaps = FRAMES.min(frames).saturating_sub(1).max(1);
    (0..=gaps).any(|place| (place * frames.saturating_sub(1) + gaps / 2) / gaps == frame)
}

impl Thumbnail {
    /// A frame in a size that a page has room for.
    pub(crate) fn of(frame: &OwnedFrame) -> Result<Self> {
        let image = small(frame, SIDE);
        let (width, height) = image.dimensions();
        Ok(Self { frame: frame.index, width, height, png: encode_plain(&image)? })
    }
}

/// A frame of which neither side has more than `most` pixels, straight in 8 bits.
pub(crate) fn small(frame: &OwnedFrame, most: usize) -> RgbaImage {
    let longer = frame.width.max(frame.height).max(1);
    let fit = |side: usize| if longer <= most { side } else { (side * most / longer).max(1) };
    let (width, height) = (fit(frame.width), fit(frame.height));
    let mut rgba = frame.rgba.clone();
    premultiply(&mut rgba);
    let from = [frame.width, frame.height];
    let algorithm = ResizeAlg::Convolution(FilterType::Bilinear);
    let small = filtered(&rgba, from, [width, height], algorithm);
    let eight = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let bytes = small.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, a]| {
        let straight = |value: f32| if a > 0.0 { eight(value / a) } else { 0 };
        [straight(r), straight(g), straight(b), eight(a)]
    });
    let (width, height) = (width as u32, height as u32);
    RgbaImage::from_raw(width, height, bytes.collect()).unwrap_or_default()
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
    fn small_pictures_keep_their_pixels_and_large_ones_their_color_at_soft_edges() {
        let rgba: Vec<f32> = (0..400 * 2).flat_map(|i| [1.0, 0.0, 0.0, (i % 2) as f32]).collect();
        let thumb = Thumbnail::of(&OwnedFrame::new(3, 400, 2, rgba)).unwrap();
        assert_eq!((thumb.frame, thumb.width, thumb.height), (3, 160, 1));
        let image = image::load_from_memory(&thumb.png).unwrap().into_rgba8();
        // Color under alpha 0 has not darkened it.
        let pixel = image.get_pixel(80, 0).0;
        assert_eq!(pixel[..3], [255, 0, 0]);
        assert!((100..156).contains(&pixel[3]));
        let exact = Thumbnail::of(&OwnedFrame::new(0, 1, 1, vec![0.2, 0.4, 0.6, 1.0])).unwrap();
        let image = image::load_from_memory(&exact.png).unwrap().into_rgba8();
        assert_eq!(image.get_pixel(0, 0).0, [51, 102, 153, 255]);
    }
}
