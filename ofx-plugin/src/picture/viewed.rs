//! The take as an artist looks at it: its alpha, or what it is over something.

#![forbid(unsafe_code)]

use super::content::{FrameContent, OutputFormat, View};
use super::source::Pixel;

/// How many squares of the checkerboard the output frame is high.
const SQUARES: f64 = 24.0;

/// Display-referred grays of the checkerboard.
const GRAYS: [f32; 2] = [0.35, 0.6];

/// How the frame of a take becomes what is looked at.
#[derive(Debug)]
pub(super) struct ViewLayer {
    view: View,
    /// Left and bottom of the output frame, in output pixels.
    corner: [i32; 2],
    /// The size of a square in output pixels.
    square: i32,
    /// The colors of the squares, in the space of the picture.
    colors: [[f32; 3]; 2],
    straight: bool,
}

impl ViewLayer {
    /// `None` where the take is shown as it is, and where the output frame has no area.
    #[expect(clippy::cast_possible_truncation, reason = "output frames are bounded")]
    pub(super) fn new(content: &FrameContent<'_>, format: OutputFormat) -> Option<Self> {
        if content.view == View::Rgba || content.take.is_none() {
            return None;
        }
        let [left, bottom, _, top] = content.output_frame.pixels()?;
        Some(Self {
            view: content.view,
            corner: [left, bottom].map(|at| at.floor() as i32),
            square: ((top - bottom) / SQUARES).round().max(1.0) as i32,
            colors: GRAYS.map(|gray| format.transfer.of_display([gray; 3])),
            straight: format.straight,
        })
    }

    /// Changes part of a row, from column `x` on.
    pub(super) fn change(&self, y: i32, x: i32, pixels: &mut [Pixel]) {
        for (x, pixel) in (x..).zip(pixels) {
            let [r, g, b, alpha] = *pixel;
            *pixel = match self.view {
                View::Rgba => *pixel,
                View::AlphaAsGray => [alpha, alpha, alpha, 1.0],
                View::OverChecker => {
                    let part = if self.straight { alpha } else { 1.0 };
                    let [under_r, under_g, under_b] = self.color(x, y);
                    let over = |value: f32, under: f32| value * part + under * (1.0 - alpha);
                    [over(r, under_r), over(g, under_g), over(b, under_b), 1.0]
                }
            };
        }
    }

    fn color(&self, x: i32, y: i32) -> [f32; 3] {
        let [left, bottom] = self.corner;
        let column = x.saturating_sub(left).div_euclid(self.square);
        let row = y.saturating_sub(bottom).div_euclid(self.square);
        self.colors[usize::from(column.wrapping_add(row).rem_euclid(2) == 1)]
    }
}
