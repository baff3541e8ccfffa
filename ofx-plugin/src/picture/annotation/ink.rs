//! A color to draw with.

#![forbid(unsafe_code)]

use crate::picture::source::Pixel;
use crate::picture::transfer::Transfer;

/// A color as the picture is blended in: in the host's transfer, premultiplied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink(Pixel);

impl Ink {
    /// The color of display-referred values.
    pub(super) fn new(display: [f32; 3], alpha: f32, transfer: Transfer) -> Self {
        let [r, g, b] = transfer.of_display(display).map(|value| value * alpha);
        Self([r, g, b, alpha])
    }

    /// Blends it over a pixel of which it covers so much.
    pub(super) fn over(self, pixel: &mut Pixel, coverage: f32) {
        let rest = 1.0 - self.0[3] * coverage;
        for (value, ink) in pixel.iter_mut().zip(self.0) {
            *value = *value * rest + ink * coverage;
        }
    }
}
