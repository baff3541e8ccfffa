//! A dark rounded box with text, a colored bar at its left.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::ink::Ink;
use super::text_layout::{LayoutLimits, TextLayout, reference_height};
use crate::picture::content::Annotation;
use crate::picture::source::Pixel;
use crate::picture::transfer::Transfer;

const PLACEHOLDER: LayoutLimits =
    LayoutLimits { lines_per_frame: 28.0, most: [0.86, 0.9], most_lines: 12 };
const BADGE: LayoutLimits =
    LayoutLimits { lines_per_frame: 36.0, most: [0.94, 0.4], most_lines: 3 };

/// How much the box covers what is behind it.
const BOX_ALPHA: f32 = 0.96;

/// A panel, laid out for an output frame.
#[derive(Debug)]
pub(super) struct Panel {
    /// Left, bottom, right, top; it may be larger than a tiny output frame.
    area: [i32; 4],
    /// What of that lies on the output frame.
    seen: [i32; 4],
    radius: f32,
    layout: TextLayout,
    box_ink: Ink,
    bar_ink: Ink,
    headline_ink: Ink,
    text_ink: Ink,
}

impl Panel {
    /// For an output frame in output pixels: left, bottom, right, top.
    #[expect(clippy::cast_possible_truncation, reason = "output frames are bounded")]
    pub(super) fn new(
        annotation: &Annotation<'_>,
        output_frame: [f64; 4],
        transfer: Transfer,
    ) -> Self {
        let [left, bottom, right, top] = output_frame;
        let room = [right - left, top - bottom];
        let (tone, layout) = match annotation {
            Annotation::Placeholder { tone, lines, .. } => {
                (tone, TextLayout::new(lines, &PLACEHOLDER, room))
            }
            Annotation::Badge { tone, text } => (tone, TextLayout::new(&[text], &BADGE, room)),
        };
        let [width, height] = layout.panel_size();
        let place = |from: f64, room: f64, panel: i32| match annotation {
            Annotation::Placeholder { .. } => {
                (from + (room - f64::from(panel)) / 2.0).round() as i32
            }
            Annotation::Badge { .. } => {
                (from + reference_height([right - left, top - bottom]) / 36.0).round() as i32
            }
        };
        let (x, y) = (place(left, room[0], width), place(bottom, room[1], height));
        let [left, bottom] = [left, bottom].map(|at| at.floor() as i32);
        let [right, top] = [right, top].map(|at| at.ceil() as i32);
        Self {
            area: [x, y, x + width, y + height],
            seen: [x.max(left), y.max(bottom), (x + width).min(right), (y + height).min(top)],
            radius: layout.padding as f32 * 0.75,
            layout,
            // As good as opaque: where light is added up, a fifth of white is brighter than the text.
            box_ink: Ink::new([0.075, 0.08, 0.09], BOX_ALPHA, transfer),
            bar_ink: Ink::new(tone.color(), 1.0, transfer),
            headline_ink: Ink::new([0.96; 3], 1.0, transfer),
            text_ink: Ink::new([0.72, 0.74, 0.77], 1.0, transfer),
        }
    }

    pub(super) fn rows(&self) -> Range<i32> {
        self.seen[1]..self.seen[3]
    }

    pub(super) fn contains(&self, x: i32, y: i32) -> bool {
        self.rows().contains(&y) && (self.seen[0]..self.seen[2]).contains(&x)
    }

    /// Draws one pixel of its area over what is there.
    pub(super) fn draw_over(&self, x: i32, y: i32, pixel: &mut Pixel) {
        let [left, _, _, top] = self.area;
        let TextLayout { lines, padding, bar, .. } = &self.layout;
        let inside = self.coverage(x, y);
        self.box_ink.over(pixel, inside);
        let (x, y) = (x - left, top - 1 - y);
        if x < *bar {
            self.bar_ink.over(pixel, inside);
        }
        let (x, y) = (x - bar - padding, y - padding);
        let started = lines.partition_point(|line| line.down <= y);
        if let Some(line) = started.checked_sub(1).and_then(|last| lines.get(last)) {
            let ink = if line.is_headline { self.headline_ink } else { self.text_ink };
            ink.over(pixel, line.text.coverage(x, y - line.down));
        }
    }

    /// How much of a pixel lies within the rounded corners.
    fn coverage(&self, x: i32, y: i32) -> f32 {
        let [left, bottom, right, top] = self.area;
        let into_corner = |at: i32, from: i32, to: i32| {
            let half = (to - from) as f32 / 2.0;
            (((at - from) as f32 + 0.5 - half).abs() - (half - self.radius)).max(0.0)
        };
        let (x, y) = (into_corner(x, left, right), into_corner(y, bottom, top));
        (self.radius + 0.5 - x.hypot(y)).clamp(0.0, 1.0)
    }
}
