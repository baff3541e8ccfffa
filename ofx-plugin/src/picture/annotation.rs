//! Placeholders in the place of a take, and badges on a take that is not the one asked for.
//!
//! Both are burnt in and unmistakable, and leave the rest of the picture transparent or as it is.
//! They depend on their text and on the output frame alone: no clock, no percentage; hosts keep what
//! they have once been given. Sizes follow from the frame's height in output pixels, places from the
//! frame, so that tiles agree and every render scale can be read.

#![forbid(unsafe_code)]

mod ink;
mod panel;
mod text;
mod text_layout;

use super::content::{Annotation, FrameContent, OutputFormat};
use super::frame_fit::FrameFit;
use super::source::Pixel;
use super::transfer::Transfer;
use ink::Ink;
use panel::Panel;

/// An annotation, laid out for an output frame.
#[derive(Debug)]
pub(super) struct AnnotationLayer {
    outline: Option<FrameOutline>,
    panel: Panel,
    straight: bool,
}

impl AnnotationLayer {
    /// `None` where the output frame has no area.
    pub(super) fn new(
        annotation: &Annotation<'_>,
        content: &FrameContent<'_>,
        format: OutputFormat,
    ) -> Option<Self> {
        let output_frame = content.output_frame.pixels()?;
        let panel = Panel::new(annotation, output_frame, format.transfer);
        let outline = match annotation {
            Annotation::Placeholder { size: Some(size), .. } => {
                FrameFit::new(&content.output_frame, content.fit, *size).map(|placement| {
                    FrameOutline::new(placement.visible(), output_frame, format.transfer)
                })
            }
            _ => None,
        };
        Some(Self { outline, panel, straight: format.straight })
    }

    /// Whether a row may hold anything of the annotation.
    pub(super) fn touches(&self, y: i32) -> bool {
        self.panel.rows().contains(&y)
            || self.outline.as_ref().is_some_and(|outline| outline.touches(y))
    }

    /// Blends part of a row over pixels, from column `x` on. Where the annotation has nothing, pixels
    /// stay as they are.
    pub(super) fn draw_over(&self, y: i32, x: i32, pixels: &mut [Pixel]) {
        for (x, pixel) in (x..).zip(pixels) {
            let edge = self.outline.as_ref().and_then(|outline| outline.ink(x, y));
            let on_panel = self.panel.contains(x, y);
            if edge.is_none() && !on_panel {
                continue;
            }
            let [r, g, b, alpha] = *pixel;
            if self.straight {
                *pixel = [r * alpha, g * alpha, b * alpha, alpha];
            }
            if let Some(ink) = edge {
                ink.over(pixel, 1.0);
            }
            if on_panel {
                self.panel.draw_over(x, y, pixel);
            }
            let [r, g, b, alpha] = *pixel;
            if self.straight && alpha > 0.0 {
                *pixel = [r / alpha, g / alpha, b / alpha, alpha];
            }
        }
    }
}

/// A thin light line along the inside of a frame, and a dark one inside that: it shows on anything.
#[derive(Debug)]
struct FrameOutline {
    /// The outermost pixels of the line: left, bottom, right, top.
    frame: [i32; 4],
    thickness: i32,
    light: Ink,
    dark: Ink,
}

impl FrameOutline {
    #[expect(clippy::cast_possible_truncation, reason = "placements are bounded")]
    fn new(frame: [f64; 4], [_, bottom, _, top]: [f64; 4], transfer: Transfer) -> Self {
        Self {
            frame: frame.map(|at| at.round() as i32),
            thickness: ((top - bottom) / 720.0).round().max(1.0) as i32,
            light: Ink::new([0.82; 3], 0.6, transfer),
            dark: Ink::new([0.05; 3], 0.35, transfer),
        }
    }

    fn touches(&self, y: i32) -> bool {
        (self.frame[1]..self.frame[3]).contains(&y)
    }

    fn ink(&self, x: i32, y: i32) -> Option<Ink> {
        let [x1, y1, x2, y2] = self.frame;
        let inside = (x - x1).min(y - y1).min(x2 - 1 - x).min(y2 - 1 - y);
        match inside {
            _ if inside < 0 => None,
            _ if inside < self.thickness => Some(self.light),
            _ if inside < 2 * self.thickness => Some(self.dark),
            _ => None,
        }
    }
}
