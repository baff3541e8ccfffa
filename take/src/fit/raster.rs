//! A filled ellipse in cells, exactly as OpenCV's `ellipse` draws it (thickness −1, 8-connected,
//! no subpixel shift): a polygon with corners at whole degrees, its outline, and the rows between.
//!
//! Coordinates are fixed-point, 1/65536 of a cell, cell centers at whole numbers. Each rounding
//! here decides about cells on the rim, and a cell may decide about the size of a fit.

use crate::ellipse::GridEllipse;

const SHIFT: u32 = 16;
const ONE: i64 = 1 << SHIFT;
const HALF: i64 = ONE / 2;

#[derive(Clone, Copy, Debug, PartialEq)]
struct GridPoint {
    x: i64,
    y: i64,
}

/// Which cells of a grid belong to the ellipse, row by row. Center, half axes and angle are
/// rounded to whole numbers, halves to even.
pub(super) fn filled_ellipse(ellipse: &GridEllipse, width: usize, height: usize) -> Vec<bool> {
    let whole = |value: f64| value.round_ties_even() as i64;
    let corners = corners(
        GridPoint { x: whole(ellipse.cx), y: whole(ellipse.cy) },
        [whole(ellipse.a / 2.0), whole(ellipse.b / 2.0)],
        whole(ellipse.angle),
    );
    let mut canvas = Bitmap::new(width, height);
    let before = corners.iter().cycle().skip(corners.len() - 1);
    for (from, to) in before.zip(&corners) {
        canvas.line(*from, *to);
    }
    canvas.fill(&corners);
    canvas.cells
}

/// The corners of the polygon. The last is the first again, and no two neighbors are the same.
fn corners(center: GridPoint, [a, b]: [i64; 2], angle: i64) -> Vec<GridPoint> {
    let step = match a.max(b) {
        ..3 => 90,
        3..10 => 30,
        10..15 => 18,
        _ => 5,
    };
    let (sin, cos) = (sine(angle), sine(angle + 90));
    let mut corners: Vec<GridPoint> = (0..=360 / step)
        .map(|i| i * step)
        .map(|degrees| {
            let x = (a * ONE) as f64 * sine(degrees + 90);
            let y = (b * ONE) as f64 * sine(degrees);
            GridPoint {
                x: ((center.x * ONE) as f64 + x * cos - y * sin).round_ties_even() as i64,
                y: ((center.y * ONE) as f64 + x * sin + y * cos).round_ties_even() as i64,
            }
        })
        .collect();
    corners.dedup();
    corners
}

/// The sine of whole degrees as OpenCV tabulates it: seven decimals, in single precision.
fn sine(degrees: i64) -> f64 {
    let exact = (degrees.rem_euclid(360) as f64).to_radians().sin();
    f64::from(((exact * 1e7).round() / 1e7) as f32)
}

/// The row or column of cells nearest to a coordinate.
const fn nearest(coordinate: i64) -> i64 {
    (coordinate + HALF) >> SHIFT
}

struct Bitmap {
    width: i64,
    height: i64,
    cells: Vec<bool>,
}

impl Bitmap {
    fn new(width: usize, height: usize) -> Self {
        Self { width: width as i64, height: height as i64, cells: vec![false; width * height] }
    }

    /// Sets the cells `from` to `to` of a row, as far as they exist.
    fn row(&mut self, y: i64, from: i64, to: i64) {
        if (0..self.height).contains(&y) {
            let (from, to) = (from.max(0), to.min(self.width - 1));
            for x in from..=to {
                self.cells[(y * self.width + x) as usize] = true;
            }
        }
    }

    fn point(&mut self, x: i64, y: i64) {
        self.row(y, x, x);
    }

    /// One cell per column or, of a steep line, per row.
    fn line(&mut self, from: GridPoint, to: GridPoint) {
        let Some((mut from, mut to)) = self.clip(from, to) else {
            return;
        };
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let steep = dx.abs() <= dy.abs();
        if (if steep { dy } else { dx }) < 0 {
            (from, to) = (to, from);
        }
        self.point(nearest(to.x), nearest(to.y));
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        if steep {
            let step = dx * ONE / (dy | 1);
            let mut x = from.x + HALF;
            for y in 0..=dy >> SHIFT {
                self.point(x >> SHIFT, nearest(from.y) + y);
                x += step;
            }
        } else {
            let step = dy * ONE / (dx | 1);
            let mut y = from.y + HALF;
            for x in 0..=dx >> SHIFT {
                self.point(nearest(from.x) + x, y >> SHIFT);
                y += step;
            }
        }
    }

    /// The part of a line within the canvas, whose first cell begins at coordinate 0 here.
    fn clip(&self, mut from: GridPoint, mut to: GridPoint) -> Option<(GridPoint, GridPoint)> {
        let (right, bottom) = (self.width * ONE - 1, self.height * ONE - 1);
        let outside = |at: i64, last: i64| at < 0 || at > last;
        let apart =
            |from: i64, to: i64, last: i64| (from < 0 && to < 0) || (from > last && to > last);
        if apart(from.x, to.x, right) || apart(from.y, to.y, bottom) {
            return None;
        }
        for turn in 0..2 {
            let (end, other) = if turn == 0 { (&mut from, to) } else { (&mut to, from) };
            if outside(end.y, bottom) {
                let edge = end.y.clamp(0, bottom);
                end.x += share(edge - end.y, other.x - end.x, other.y - end.y);
                end.y = edge;
            }
        }
        if apart(from.x, to.x, right) {
            return None;
        }
        for turn in 0..2 {
            let (end, other) = if turn == 0 { (&mut from, to) } else { (&mut to, from) };
            if outside(end.x, right) {
                let edge = end.x.clamp(0, right);
                end.y += share(edge - end.x, other.y - end.y, other.x - end.x);
                end.x = edge;
            }
        }
        Some((from, to))
    }

    /// The rows between the two chains of edges that lead down from the topmost corner.
    fn fill(&mut self, corners: &[GridPoint]) {
        let rows = corners.iter().map(|corner| corner.y);
        let (Some(top), Some(bottom)) = (rows.clone().min(), rows.max()) else {
            return;
        };
        if corners.len() < 3 {
            return;
        }
        let at = corners.iter().position(|corner| corner.y == top).unwrap_or_default();
        let top = nearest(top);
        let chain = |step| Chain { at, step, until: top, x: -ONE, dx: 0 };
        let mut chains = [chain(1), chain(corners.len() - 1)];
        let mut edges_left = corners.len();
        for y in top..=nearest(bottom).min(self.height - 1) {
            for chain in &mut chains {
                if y >= chain.until && !chain.advance(corners, y, &mut edges_left) {
                    return;
                }
            }
            let [one, other] = chains.each_ref().map(|chain| chain.x);
            self.row(y, nearest(one.min(other)), nearest(one.max(other)));
            for chain in &mut chains {
                chain.x += chain.dx;
            }
        }
    }
}

/// The part of `length` that `part` is of `whole`; toward zero.
fn share(part: i64, length: i64, whole: i64) -> i64 {
    (part as f64 * length as f64 / whole as f64) as i64
}

/// One side of the polygon on its way down.
struct Chain {
    /// The corner where the present edge ends, and how many corners on the next one is.
    at: usize,
    step: usize,
    /// The row where the present edge ends.
    until: i64,
    /// Where it crosses the present row, and by how much that moves per row.
    x: i64,
    dx: i64,
}

impl Chain {
    /// Goes on to the edge that leads below row `y`. False when all edges are used up.
    fn advance(&mut self, corners: &[GridPoint], y: i64, edges_left: &mut usize) -> bool {
        let mut from = self.at;
        while *edges_left > 0 {
            *edges_left -= 1;
            let to = (from + self.step) % corners.len();
            let row = nearest(corners[to].y);
            if row > y {
                let rows = row - y;
                self.x = corners[from].x;
                self.dx = ((corners[to].x - self.x) * 2 + rows) / (2 * rows);
                (self.at, self.until) = (to, row);
                return true;
            }
            from = to;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// `tests/fit/opencv.py sample` drew these.
    #[derive(Deserialize)]
    struct Drawn {
        width: usize,
        height: usize,
        /// cx, cy, a, b, angle.
        ellipse: [f64; 5],
        /// First and last cell of each row that has any.
        rows: Vec<[usize; 3]>,
    }

    #[derive(Deserialize)]
    struct Sample {
        drawn: Vec<Drawn>,
    }

    #[test]
    fn every_cell_is_as_opencv_draws_it() {
        let text = include_str!("../../tests/data/fit/sample.json");
        let sample: Sample = serde_json::from_str(text).unwrap();
        assert!(sample.drawn.len() >= 200);
        for Drawn { width, height, ellipse, rows } in sample.drawn {
            let [cx, cy, a, b, angle] = ellipse;
            let ellipse = GridEllipse { cx, cy, a, b, angle };
            let found = filled_ellipse(&ellipse, width, height);
            let mut expected = vec![false; width * height];
            for [y, first, last] in rows {
                expected[y * width..][first..=last].fill(true);
            }
            assert_eq!(found, expected, "{ellipse:?} on {width} x {height}");
        }
    }

    #[test]
    fn ellipses_out_of_sight_draw_nothing_and_tiny_ones_a_cell() {
        let at = |cx, cy, axis| GridEllipse { cx, cy, a: axis, b: axis, angle: 0.0 };
        let count = |ellipse| filled_ellipse(&ellipse, 9, 9).iter().filter(|cell| **cell).count();
        assert_eq!(count(at(40.0, 4.0, 6.0)), 0);
        assert_eq!(count(at(4.0, -40.0, 6.0)), 0);
        assert_eq!(count(at(4.0, 4.0, 2.0)), 5);
        assert_eq!(count(at(4.0, 4.0, 200.0)), 81);
    }
}
