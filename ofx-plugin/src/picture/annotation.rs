//! What stands in the place of a take, and what stands on one that is not the one asked for.
//!
//! Both are burnt in and unmistakable, and leave the rest of the picture transparent or as it is. A
//! mark is a pure function of its words and of the stage: no clock, no percentage; hosts keep what
//! they have once been given. Sizes follow from the stage's height in output pixels, places from the
//! stage, so that tiles agree and every render scale can be read.

#![forbid(unsafe_code)]

mod panel;
mod setting;
mod text;

use super::draw::{FrameContent, OutputFormat};
use super::frame_fit::FrameFit;
use super::source::Pixel;
use super::transfer::Transfer;
use panel::Panel;

/// Words over a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotation<'a> {
    /// In place of a take: a panel in the middle, and the outline of the take's frame.
    Placeholder {
        /// How things stand.
        tone: Tone,
        /// The first is the headline. They are wrapped.
        lines: &'a [&'a str],
        /// Of the take, where it is known.
        size: Option<[u32; 2]>,
    },
    /// Over a take: a small panel in the lower left corner.
    Corner {
        /// How things stand.
        tone: Tone,
        /// Wrapped where it is long.
        line: &'a str,
    },
}

/// How things stand, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing has been asked for: grey.
    Idle,
    /// It is being made: amber.
    Working,
    /// It went wrong: red.
    Failed,
}

impl Tone {
    /// Display-referred.
    fn colour(self) -> [f32; 3] {
        match self {
            Self::Idle => [0.56, 0.62, 0.70],
            Self::Working => [0.97, 0.70, 0.24],
            Self::Failed => [0.95, 0.35, 0.29],
        }
    }
}

/// A colour as the picture is blended in: in the host's transfer, premultiplied.
#[derive(Clone, Copy, Debug)]
struct Ink(Pixel);

impl Ink {
    fn new(display: [f32; 3], alpha: f32, transfer: Transfer) -> Self {
        let [r, g, b] = transfer.of_display(display).map(|value| value * alpha);
        Self([r, g, b, alpha])
    }

    fn over(self, pixel: &mut Pixel, coverage: f32) {
        let rest = 1.0 - self.0[3] * coverage;
        for (value, ink) in pixel.iter_mut().zip(self.0) {
            *value = *value * rest + ink * coverage;
        }
    }
}

/// A mark, laid out for a stage.
#[derive(Debug)]
pub(super) struct Drawing {
    outline: Option<Outline>,
    panel: Panel,
    straight: bool,
}

impl Drawing {
    /// `None` where the stage has no area.
    pub(super) fn new(
        mark: &Annotation<'_>,
        scene: &FrameContent<'_>,
        look: OutputFormat,
    ) -> Option<Self> {
        let stage = scene.stage.pixels()?;
        let panel = Panel::new(mark, stage, look.transfer);
        let outline = match mark {
            Annotation::Placeholder { size: Some(size), .. } => {
                FrameFit::new(&scene.stage, scene.fit, *size)
                    .map(|placement| Outline::new(placement.visible(), stage, look.transfer))
            }
            _ => None,
        };
        Some(Self { outline, panel, straight: look.straight })
    }

    /// Whether a row may hold anything of the mark.
    pub(super) fn touches(&self, y: i32) -> bool {
        self.panel.rows().contains(&y)
            || self.outline.as_ref().is_some_and(|outline| outline.touches(y))
    }

    /// Blends part of a row over pixels, from column `x` on. Where the mark has nothing, pixels stay
    /// as they are.
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
struct Outline {
    /// Left, bottom, right, top.
    frame: [i32; 4],
    thickness: i32,
    light: Ink,
    dark: Ink,
}

impl Outline {
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
