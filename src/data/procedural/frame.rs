//! The frame that is drawn into, and arithmetic that all subjects share.
//!
//! Lengths are in frame heights, y down; a subject's own coordinates begin at its center.

use crate::data::clip::Window;

/// Where a subject is at a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
    /// Seconds since the clip began.
    pub(super) time: f32,
}

/// Straight RGBA, `[height, width, 4]`.
pub(super) struct DrawnFrame {
    width: usize,
    height: usize,
    rgba: Vec<f32>,
}

/// Less alpha than this is none: no display shows it.
const LEAST: f32 = 1.0 / 256.0;

impl DrawnFrame {
    /// Transparent, in the subject's color.
    pub(super) fn new(window: &Window, [r, g, b]: [f32; 3]) -> Self {
        let rgba = [r, g, b, 0.0].repeat(window.width * window.height);
        Self { width: window.width, height: window.height, rgba }
    }

    /// The size of a pixel.
    pub(super) fn pixel(&self) -> f32 {
        1.0 / self.height as f32
    }

    /// Asks `paint` for the pixels of a box of half sizes `reach` about a place that is `offset`
    /// from the subject's center; it is told where they are from there. What it says replaces what
    /// was.
    pub(super) fn paint(
        &mut self,
        pose: &Pose,
        reach: [f32; 2],
        paint: impl Fn(f32, f32) -> [f32; 4],
    ) {
        self.each(pose, reach, |x, y, pixel| {
            let [r, g, b, alpha] = paint(x, y);
            if alpha >= LEAST {
                *pixel = [r, g, b, alpha].map(|value| value.clamp(0.0, 1.0));
            }
        });
    }

    /// Visits the pixels about a line, whose ends are given from the subject's center: with how near each is
    /// to it, 1 on the line and 0 from `width` on, and how far along it, 0 to 1.
    pub(super) fn each_near_line(
        &mut self,
        pose: &Pose,
        [from, to]: [[f32; 2]; 2],
        width: f32,
        mut visit: impl FnMut(f32, f32, &mut [f32; 4]),
    ) {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = (dx * dx + dy * dy).max(1e-9);
        let middle = [0, 1].map(|axis| 0.5 * (from[axis] + to[axis]));
        let about = Pose { x: pose.x + middle[0], y: pose.y + middle[1], ..*pose };
        let reach = [0.5 * dx.abs() + width, 0.5 * dy.abs() + width];
        self.each(&about, reach, |x, y, pixel| {
            let (x, y) = (x + middle[0] - from[0], y + middle[1] - from[1]);
            let along = ((x * dx + y * dy) / length).clamp(0.0, 1.0);
            let (ox, oy) = (x - along * dx, y - along * dy);
            visit((1.0 - (ox * ox + oy * oy) / (width * width)).max(0.0), along, pixel);
        });
    }

    /// Visits the pixels of a box about the subject's center.
    pub(super) fn each(
        &mut self,
        pose: &Pose,
        reach: [f32; 2],
        mut visit: impl FnMut(f32, f32, &mut [f32; 4]),
    ) {
        let size = self.height as f32;
        let range = |center: f32, reach: f32, most: usize| {
            // Of a negative number or NaN, `as` makes 0.
            let low = ((center - reach) * size - 1.0).floor() as usize;
            let high = ((center + reach) * size + 1.0).ceil() as usize;
            low.min(most)..high.min(most)
        };
        let columns = range(pose.x, reach[0], self.width);
        for row in range(pose.y, reach[1], self.height) {
            let y = (row as f32 + 0.5) / size - pose.y;
            let start = row * self.width;
            let pixels = self.rgba.as_chunks_mut::<4>().0;
            let Some(pixels) = pixels.get_mut(start + columns.start..start + columns.end) else {
                return;
            };
            for (column, pixel) in columns.clone().zip(pixels) {
                visit((column as f32 + 0.5) / size - pose.x, y, pixel);
            }
        }
    }

    /// Lays a frame of the same size over this one. Where neither shows anything, the color is that of
    /// the frame on whose side of the column `middle`, in frame heights, a pixel is.
    pub(super) fn lay_over(&mut self, above: &Self, middle: f32) {
        let size = self.height as f32;
        let (below, above) = (self.rgba.as_chunks_mut::<4>().0, above.rgba.as_chunks::<4>().0);
        for (place, (below, above)) in below.iter_mut().zip(above).enumerate() {
            let alpha = above[3] + below[3] * (1.0 - above[3]);
            if alpha < LEAST {
                let column = ((place % self.width) as f32 + 0.5) / size;
                let color = if column > middle { *above } else { *below };
                *below = [color[0], color[1], color[2], 0.0];
                continue;
            }
            let share = above[3] / alpha;
            for channel in 0..3 {
                below[channel] = mix(below[channel], above[channel], share);
            }
            below[3] = alpha;
        }
    }

    pub(super) fn finished(&self) -> &[f32] {
        &self.rgba
    }
}

/// How much of a pixel lies inside, by its signed distance to the edge (inside is positive).
pub(super) fn inside(distance: f32, pixel: f32) -> f32 {
    (distance / pixel + 0.5).clamp(0.0, 1.0)
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(super) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

pub(super) fn mix3(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    [0, 1, 2].map(|channel| mix(from[channel], to[channel], share))
}

pub(super) fn scaled(color: [f32; 3], by: f32) -> [f32; 3] {
    color.map(|channel| (channel * by).min(1.0))
}

pub(super) const WHITE: [f32; 3] = [1.0; 3];

/// Rises and falls like a sine, once in every unit.
pub(super) fn wave(x: f32) -> f32 {
    let z = 2.0 * (x - x.floor()) - 1.0;
    -4.0 * z * (1.0 - z.abs())
}

/// x, turned counter-clockwise as seen (y is down).
pub(super) fn turned([x, y]: [f32; 2], degrees: f64) -> [f32; 2] {
    let turn = degrees.to_radians();
    let (sin, cos) = (libm::sin(turn) as f32, libm::cos(turn) as f32);
    [x * cos + y * sin, y * cos - x * sin]
}
