//! Clips and pictures in memory, and what becomes of their pixels.
//!
//! All values are straight, display-referred RGBA in \[0, 1\], `[h, w, 4]` from the top left, which is
//! what the model's encoder takes.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgba};

/// A clip in memory: `rgba` is `[frames, height, width, 4]`, straight, in \[0, 1\].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RgbaClip {
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rgba: Vec<f32>,
}

/// One frame: `rgba` is `[height, width, 4]`, straight, in \[0, 1\].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Picture {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rgba: Vec<f32>,
}

/// What colour is where alpha is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    /// Somebody's choice, as of the released data: it is resized by itself.
    Chosen,
    /// Nobody's, and mostly black: resized by itself it would leave a dark fringe.
    Void,
}

/// The length and size of a clip that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl RgbaClip {
    /// An empty clip for so many frames of a window.
    pub(crate) fn with_capacity(Window { frames, height, width }: Window) -> Self {
        let rgba = Vec::with_capacity(frames * height * width * 4);
        Self { frames: 0, height, width, rgba }
    }

    /// Adds a frame of the clip's size.
    pub(crate) fn push(&mut self, frame: &[f32]) {
        debug_assert_eq!(frame.len(), self.height * self.width * 4);
        self.rgba.extend_from_slice(frame);
        self.frames += 1;
    }

    /// The pixels of a frame.
    pub(crate) fn frame(&self, index: usize) -> &[f32] {
        let length = self.height * self.width * 4;
        self.rgba.get(index * length..(index + 1) * length).unwrap_or_default()
    }

    /// The alpha of a frame, row by row.
    #[cfg(test)]
    pub(crate) fn alpha(&self, index: usize) -> Vec<f32> {
        self.frame(index).iter().skip(3).step_by(4).copied().collect()
    }
}

impl Picture {
    /// This picture in another size, as Pillow's filters of these names have it: averaging where it
    /// becomes smaller.
    pub(crate) fn resized(
        mut self,
        width: usize,
        height: usize,
        filter: FilterType,
        colour: Under,
    ) -> Self {
        if (width, height) == (self.width, self.height) {
            return self;
        }
        if colour == Under::Chosen {
            return self.filtered(width, height, filter);
        }
        let plain = self.clone().filtered(width, height, filter);
        for [r, g, b, alpha] in self.rgba.as_chunks_mut::<4>().0 {
            (*r, *g, *b) = (*r * *alpha, *g * *alpha, *b * *alpha);
        }
        let mut weighted = self.filtered(width, height, filter);
        let pixels = weighted.rgba.as_chunks_mut::<4>().0.iter_mut();
        for (pixel, plain) in pixels.zip(plain.rgba.as_chunks::<4>().0) {
            let alpha = pixel[3];
            for (channel, plain) in pixel[..3].iter_mut().zip(plain) {
                *channel = if alpha > 1e-4 { (*channel / alpha).min(1.0) } else { *plain };
            }
        }
        weighted
    }

    fn filtered(self, width: usize, height: usize, filter: FilterType) -> Self {
        let size = (self.width as u32, self.height as u32);
        let Some(image) = ImageBuffer::<Rgba<f32>, _>::from_raw(size.0, size.1, self.rgba) else {
            return Self::default();
        };
        let rgba = imageops::resize(&image, width as u32, height as u32, filter).into_raw();
        Self { height, width, rgba }
    }

    /// A part of this picture; what lies outside it is left out.
    pub(crate) fn cropped(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let (width, height) = (
            width.min(self.width.saturating_sub(left)),
            height.min(self.height.saturating_sub(top)),
        );
        let mut rgba = Vec::with_capacity(width * height * 4);
        for row in self.rgba.chunks_exact(self.width.max(1) * 4).skip(top).take(height) {
            rgba.extend_from_slice(&row[left * 4..(left + width) * 4]);
        }
        Self { height, width, rgba }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Picture {
        let at = |place: usize| [(place % width) as f32, (place / width) as f32, 0.0, 1.0];
        let scale = 1.0 / width.max(height) as f32;
        let rgba = (0..width * height).flat_map(|place| at(place).map(|v| v.min(64.0) * scale));
        Picture { height, width, rgba: rgba.collect() }
    }

    #[test]
    fn a_crop_is_a_part() {
        let picture = ramp(6, 4);
        let part = picture.cropped(2, 1, 3, 2);
        assert_eq!((part.width, part.height), (3, 2));
        for y in 0..2 {
            for x in 0..3 {
                let (here, there) = ((y * 3 + x) * 4, ((y + 1) * 6 + x + 2) * 4);
                assert_eq!(part.rgba[here..here + 4], picture.rgba[there..there + 4]);
            }
        }
    }

    #[test]
    fn halving_averages_and_a_ramp_stays_a_ramp() {
        for filter in [FilterType::Triangle, FilterType::Lanczos3] {
            let half = ramp(64, 32).resized(32, 16, filter, Under::Chosen);
            for x in 6..26 {
                let value = half.rgba[(8 * 32 + x) * 4];
                assert!((value - (2.0 * x as f32 + 0.5) / 64.0).abs() < 1e-3, "{x} {value}");
            }
        }
    }

    #[test]
    fn what_is_under_alpha_0_leaves_no_fringe_unless_it_is_meant() {
        let disc = |place: usize| {
            let (x, y) = ((place % 32) as f32 - 15.5, (place / 32) as f32 - 15.5);
            if x * x + y * y < 100.0 { [1.0, 0.25, 0.0, 1.0] } else { [0.0; 4] }
        };
        let rgba: Vec<f32> = (0..32 * 32).flat_map(disc).collect();
        let picture = Picture { height: 32, width: 32, rgba };
        for filter in [FilterType::Triangle, FilterType::Lanczos3] {
            let resized = |under| picture.clone().resized(48, 20, filter, under);
            let (void, chosen) = (resized(Under::Void), resized(Under::Chosen));
            let (mut seen, mut dark) = (0, 0);
            let both = void.rgba.as_chunks::<4>().0.iter().zip(chosen.rgba.as_chunks::<4>().0);
            for (void, chosen) in both {
                assert_eq!(void[3], chosen[3]);
                if void[3] > 0.02 {
                    seen += 1;
                    dark += usize::from(chosen[0] < 0.9);
                    // Lanczos overshoots, and is cut at 1 before it is divided.
                    assert!(void[0] > 0.97 && (void[1] - 0.25).abs() < 0.05, "{void:?}");
                }
            }
            assert!(seen > 250 && dark > 20, "{seen} {dark}");
        }
    }
}
