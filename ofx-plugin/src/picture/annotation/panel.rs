//! A dark rounded box with words, a coloured bar at its left.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::setting::{Setting, Sheet, measure};
use super::{Annotation, Ink};
use crate::picture::source::Pixel;
use crate::picture::transfer::Transfer;

const PLACEHOLDER: Sheet = Sheet { lines_per_stage: 28.0, most: [0.86, 0.9], most_lines: 12 };
const CORNER: Sheet = Sheet { lines_per_stage: 36.0, most: [0.94, 0.4], most_lines: 3 };

#[derive(Debug)]
pub(super) struct Panel {
    /// Left, bottom, right, top; it may be larger than a tiny stage.
    area: [i32; 4],
    /// What of it is on the stage.
    seen: [i32; 4],
    radius: f32,
    setting: Setting,
    box_ink: Ink,
    bar_ink: Ink,
    head_ink: Ink,
    text_ink: Ink,
}

impl Panel {
    /// For a stage in output pixels: left, bottom, right, top.
    #[expect(clippy::cast_possible_truncation, reason = "stages are bounded")]
    pub(super) fn new(mark: &Annotation<'_>, stage: [f64; 4], transfer: Transfer) -> Self {
        let [left, bottom, right, top] = stage;
        let room = [right - left, top - bottom];
        let (tone, setting) = match mark {
            Annotation::Placeholder { tone, lines, .. } => {
                (tone, Setting::new(lines, &PLACEHOLDER, room))
            }
            Annotation::Corner { tone, line } => (tone, Setting::new(&[line], &CORNER, room)),
        };
        let [width, height] = setting.outer();
        let place = |from: f64, room: f64, panel: i32| match mark {
            Annotation::Placeholder { .. } => {
                (from + (room - f64::from(panel)) / 2.0).round() as i32
            }
            Annotation::Corner { .. } => {
                (from + measure([right - left, top - bottom]) / 36.0).round() as i32
            }
        };
        let (x, y) = (place(left, room[0], width), place(bottom, room[1], height));
        let [left, bottom] = [left, bottom].map(|at| at.floor() as i32);
        let [right, top] = [right, top].map(|at| at.ceil() as i32);
        Self {
            area: [x, y, x + width, y + height],
            seen: [x.max(left), y.max(bottom), (x + width).min(right), (y + height).min(top)],
            radius: setting.padding as f32 * 0.75,
            setting,
            box_ink: Ink::new([0.075, 0.08, 0.09], 0.8, transfer),
            bar_ink: Ink::new(tone.colour(), 1.0, transfer),
            head_ink: Ink::new([0.96; 3], 1.0, transfer),
            text_ink: Ink::new([0.72, 0.74, 0.77], 1.0, transfer),
        }
    }

    pub(super) fn rows(&self) -> Range<i32> {
        self.seen[1]..self.seen[3]
    }

    pub(super) fn contains(&self, x: i32, y: i32) -> bool {
        self.rows().contains(&y) && (self.seen[0]..self.seen[2]).contains(&x)
    }

    /// A pixel of its area.
    pub(super) fn draw_over(&self, x: i32, y: i32, pixel: &mut Pixel) {
        let [left, _, _, top] = self.area;
        let Setting { lines, padding, bar, .. } = &self.setting;
        let inside = self.coverage(x, y);
        self.box_ink.over(pixel, inside);
        let (x, y) = (x - left, top - 1 - y);
        if x < *bar {
            self.bar_ink.over(pixel, inside);
        }
        let (x, y) = (x - bar - padding, y - padding);
        let begun = lines.partition_point(|set| set.down <= y);
        if let Some(set) = begun.checked_sub(1).and_then(|last| lines.get(last)) {
            let ink = if set.is_head { self.head_ink } else { self.text_ink };
            ink.over(pixel, set.line.coverage(x, y - set.down));
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
