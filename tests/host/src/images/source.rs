//! The picture that is connected to an input: known at every pixel, and not the same upside down.

#![forbid(unsafe_code)]

use super::{Depth, Image, Rect, height, width};

/// What is connected to an input.
#[derive(Clone, Debug)]
pub struct Source {
    /// Left, bottom, right, top, in canonical coordinates.
    pub region: [f64; 4],
    /// Width of a pixel by its height.
    pub pixel_aspect: f64,
    /// First and last frame.
    pub frames: [f64; 2],
    /// The format that the host says the clip has, in pixels, where it says one.
    pub format: Option<Rect>,
    /// Whether the host has images of it.
    pub has_images: bool,
    /// What its images say of their alpha, where that is not what the effect prefers; their pixels follow.
    pub alpha: Option<&'static str>,
    /// The color space that a host which manages colors says it is in.
    pub colorspace: &'static str,
    /// What is to be seen, straight, at a place from 0 to 1 across and up and at a time; else what
    /// [`Source::pixel`] says.
    pub shows: Option<Shown>,
}

/// Straight RGBA at a place from 0 to 1 across and up, and at a time.
type Shown = fn(f64, f64, f64) -> [f32; 4];

impl Source {
    /// With square pixels, over this region.
    #[must_use]
    pub fn over(region: [f64; 4]) -> Self {
        Self {
            region,
            pixel_aspect: 1.0,
            frames: [1.0, 100.0],
            format: None,
            has_images: true,
            alpha: None,
            colorspace: "",
            shows: None,
        }
    }

    /// With pixels of this width by height.
    #[must_use]
    pub fn with_pixel_aspect(mut self, pixel_aspect: f64) -> Self {
        self.pixel_aspect = pixel_aspect;
        self
    }

    /// In a format of these pixels: left, bottom, right, top.
    #[must_use]
    pub fn with_format(mut self, format: Rect) -> Self {
        self.format = Some(format);
        self
    }

    /// Of which the host has no image at any time.
    #[must_use]
    pub fn without_images(mut self) -> Self {
        self.has_images = false;
        self
    }

    /// With images that say this of their alpha: `OfxImageOpaque`, `OfxImageAlphaPremultiplied` or
    /// `OfxImageAlphaUnPremultiplied`.
    #[must_use]
    pub fn with_alpha(mut self, alpha: &'static str) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// In this color space, as a host says that manages colors.
    #[must_use]
    pub fn in_colorspace(mut self, name: &'static str) -> Self {
        self.colorspace = name;
        self
    }

    /// That shows this, straight.
    #[must_use]
    pub fn showing(mut self, shows: Shown) -> Self {
        self.shows = Some(shows);
        self
    }

    /// That has these frames and no others.
    #[must_use]
    pub fn with_frames(mut self, frames: [f64; 2]) -> Self {
        self.frames = frames;
        self
    }

    /// Whether there is an image at a time: none of one that says so shows beyond its frames.
    #[must_use]
    pub fn has_frame(&self, time: f64) -> bool {
        self.shows.is_none() || (self.frames[0]..=self.frames[1]).contains(&time)
    }

    /// In pixels, at a scale.
    #[must_use]
    pub fn pixels(&self, scale: [f64; 2]) -> Rect {
        to_pixels(self.region, scale, self.pixel_aspect)
    }

    /// Red goes from left to right, green from bottom to top, blue with time; alpha has a corner.
    #[must_use]
    pub fn pixel(&self, x: f64, y: f64, time: f64) -> [f32; 4] {
        let [left, bottom, right, top] = self.region;
        let (u, v) = ((x - left) / (right - left), (y - bottom) / (top - bottom));
        if let Some(shows) = self.shows {
            let [r, g, b, alpha] = shows(u, v, time);
            let by = if self.alpha == Some("OfxImageAlphaPremultiplied") { alpha } else { 1.0 };
            return [r * by, g * by, b * by, alpha];
        }
        let alpha = if u < 0.25 && v < 0.25 { 0.5 } else { 1.0 };
        let blue = (time / 64.0).rem_euclid(1.0);
        [u * alpha, v * alpha, blue * alpha, alpha].map(|component| component as f32)
    }

    /// As an image of a part of it.
    #[must_use]
    pub fn image(&self, window: Rect, scale: [f64; 2], time: f64, depth: Depth) -> Image {
        let mut bytes = Vec::with_capacity(width(window) * height(window) * depth.pixel_bytes());
        for y in window[1]..window[3] {
            for x in window[0]..window[2] {
                let x = (f64::from(x) + 0.5) / scale[0] * self.pixel_aspect;
                let y = (f64::from(y) + 0.5) / scale[1];
                for component in self.pixel(x, y, time) {
                    depth.stored(component, &mut bytes);
                }
            }
        }
        Image { bounds: window, depth, bytes }
    }
}

/// A canonical rectangle in pixels, grown to whole ones.
pub(crate) fn to_pixels(region: [f64; 4], scale: [f64; 2], pixel_aspect: f64) -> Rect {
    // A hair of rounding must not add a row.
    let low = |value: f64| (value + 1e-6).floor() as i32;
    let high = |value: f64| (value - 1e-6).ceil() as i32;
    let [left, bottom, right, top] = region;
    let (x, y) = (scale[0] / pixel_aspect, scale[1]);
    [low(left * x), low(bottom * y), high(right * x), high(top * y)]
}
