//! Where in the host's pixels a take comes to lie.
//!
//! Everything follows from the frame that the take is fitted into, never from the window that is
//! asked for, so that tiles and whole frames agree to the last bit.
//!
//! Beyond the edge of a take there is nothing. Its edge is drawn by how much of each output pixel
//! lies inside: one that falls between two pixels is smooth, one that falls on their border is sharp
//! and opaque to the last row, and nothing is smeared outwards.

#![forbid(unsafe_code)]

use std::ops::Range;

/// What is this close to a pixel's border lies on it: rounding must not make a sharp edge soft.
const SNAP: f64 = 1e-6;

/// Beyond this a coordinate is an error of whoever gave it; well within what `i32` and `f64` hold.
const FARTHEST: f64 = 1e8;

/// The frame that takes are fitted into, as the host wants it drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputFrame {
    /// Left, bottom, right, top in canonical coordinates.
    pub region: [f64; 4],
    /// Width of a pixel by its height.
    pub pixel_aspect: f64,
    /// The scale of the render, horizontal and vertical.
    pub scale: [f64; 2],
}

/// How a take is fitted into the output frame. It is always centerd, and cut off at the frame's
/// edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As large as it can be and still be seen whole.
    Whole,
    /// As small as it can be and still cover the output frame.
    Fill,
    /// Its sides become those of the output frame.
    Stretch,
    /// One pixel of it is one of the output at full resolution, whatever their shape.
    PixelForPixel,
}

/// Where a take of a certain size lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameFit {
    pub(super) columns: Axis,
    pub(super) rows: Axis,
}

/// One direction of a placement; positions in output pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    start: f64,
    end: f64,
    /// What of it the output frame shows.
    visible: [f64; 2],
    /// How many pixels the take has.
    pub(super) size: usize,
    /// Rows of a take run downwards, those of the host upwards.
    downwards: bool,
}

impl OutputFrame {
    /// Left, bottom, right, top in output pixels; `None` where it has no area or no bounds.
    #[must_use]
    pub fn pixels(&self) -> Option<[f64; 4]> {
        let [x1, y1, x2, y2] = self.region;
        let [sx, sy] = self.pixels_per_unit()?;
        let pixels = [x1 * sx, y1 * sy, x2 * sx, y2 * sy];
        let is_usable = pixels.iter().all(|at| at.abs() <= FARTHEST) && x2 > x1 && y2 > y1;
        is_usable.then_some(pixels.map(snapped))
    }

    /// Where a take of that size comes to lie: left, bottom, right, top in canonical coordinates,
    /// with what the output frame cuts off.
    #[must_use]
    pub fn fitted(&self, fit: Fit, size: [u32; 2]) -> [f64; 4] {
        let [x1, y1, x2, y2] = self.region;
        let [width, height] = size.map(f64::from);
        let (to_width, to_height) = ((x2 - x1) / width, (y2 - y1) / height);
        let centerd = |factor: f64| {
            let (half_width, half_height) = (width * factor / 2.0, height * factor / 2.0);
            let (x, y) = (f64::midpoint(x1, x2), f64::midpoint(y1, y2));
            [x - half_width, y - half_height, x + half_width, y + half_height]
        };
        match fit {
            Fit::Whole => centerd(to_width.min(to_height)),
            Fit::Fill => centerd(to_width.max(to_height)),
            Fit::Stretch => self.region,
            Fit::PixelForPixel => {
                // On whole pixels of the full resolution: nothing is blurred there.
                let aspect = self.pixel_aspect;
                let x = (f64::midpoint(x1, x2) / aspect - width / 2.0 + 0.5).floor();
                let y = (f64::midpoint(y1, y2) - height / 2.0 + 0.5).floor();
                [x * aspect, y, (x + width) * aspect, y + height]
            }
        }
    }

    /// Output pixels for one unit of canonical coordinates.
    fn pixels_per_unit(&self) -> Option<[f64; 2]> {
        let factors = [self.scale[0] / self.pixel_aspect, self.scale[1]];
        factors.iter().all(|factor| factor.is_finite() && *factor > 0.0).then_some(factors)
    }
}

impl FrameFit {
    /// `None` where nothing of the take is to be seen: the output frame has no area or no bounds, or
    /// the take has no pixels.
    #[must_use]
    pub fn new(output_frame: &OutputFrame, fit: Fit, size: [u32; 2]) -> Option<Self> {
        let [left, bottom, right, top] = output_frame.pixels()?;
        let [sx, sy] = output_frame.pixels_per_unit()?;
        if size.contains(&0) {
            return None;
        }
        let [start_x, start_y, end_x, end_y] = output_frame.fitted(fit, size);
        let columns = Axis::new([start_x * sx, end_x * sx], [left, right], size[0], false)?;
        let rows = Axis::new([start_y * sy, end_y * sy], [bottom, top], size[1], true)?;
        Some(Self { columns, rows })
    }

    /// The same place for a picture of so many pixels; `None` where it has none.
    pub(super) fn of_pixels(mut self, [width, height]: [u32; 2]) -> Option<Self> {
        if width == 0 || height == 0 {
            return None;
        }
        self.columns.size = usize::try_from(width).ok()?;
        self.rows.size = usize::try_from(height).ok()?;
        Some(self)
    }

    /// Left, bottom, right, top of what is seen of the take, in output pixels.
    pub(super) fn visible(&self) -> [f64; 4] {
        let ([x1, x2], [y1, y2]) = (self.columns.visible, self.rows.visible);
        [x1, y1, x2, y2]
    }

    /// Whether every output pixel is one of the take, unchanged.
    pub(super) fn is_pixel_for_pixel(&self) -> bool {
        self.columns.is_pixel_for_pixel() && self.rows.is_pixel_for_pixel()
    }
}

impl Axis {
    fn new(
        [start, end]: [f64; 2],
        [first, last]: [f64; 2],
        size: u32,
        downwards: bool,
    ) -> Option<Self> {
        let (start, end) = (snapped(start), snapped(end));
        let visible = [start.max(first), end.min(last)];
        let is_usable = visible[1] > visible[0] && start.abs() <= FARTHEST && end.abs() <= FARTHEST;
        let size = usize::try_from(size).ok()?;
        is_usable.then_some(Self { start, end, visible, size, downwards })
    }

    /// The output pixels that show something of the take.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by FARTHEST")]
    pub(super) fn covered(&self) -> Range<i32> {
        self.visible[0].floor() as i32..self.visible[1].ceil() as i32
    }

    /// How much of an output pixel shows the take.
    pub(super) fn coverage(&self, at: i32) -> f64 {
        let at = f64::from(at);
        (self.visible[1].min(at + 1.0) - self.visible[0].max(at)).clamp(0.0, 1.0)
    }

    /// How many pixels of the take there are for one output pixel.
    pub(super) fn ratio(&self) -> f64 {
        self.size as f64 / (self.end - self.start)
    }

    /// Where the middle of an output pixel lies in the take: 0 is the border of its first pixel.
    pub(super) fn position(&self, at: i32) -> f64 {
        let middle = f64::from(at) + 0.5;
        let along = if self.downwards { self.end - middle } else { middle - self.start };
        along * self.ratio()
    }

    fn is_pixel_for_pixel(&self) -> bool {
        let is_whole = |at: f64| at == at.floor();
        self.end - self.start == self.size as f64
            && is_whole(self.start)
            && self.visible.into_iter().all(is_whole)
    }
}

fn snapped(at: f64) -> f64 {
    let border = at.round();
    if (at - border).abs() < SNAP { border } else { at }
}
