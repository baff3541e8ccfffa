//! What is to be seen of an alpha: how much, how much where nothing should be, and its holes.

use crate::ellipse::{Ellipse, GridEllipse};

/// What is at least this opaque belongs to the silhouette.
const SILHOUETTE: f32 = 0.5;

/// The ellipse outside which alpha is a leak is this many times the asked one.
const ENLARGED: f64 = 2.0;

/// A share of pixels: so much of so many.
#[derive(Clone, Copy, Debug, Default)]
pub struct PixelShare {
    part: f64,
    whole: f64,
}

impl PixelShare {
    /// So much more, of so many more.
    pub fn add(&mut self, part: f64, whole: f64) {
        self.part += part;
        self.whole += whole;
    }

    /// The share, none of nothing.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        (self.whole > 0.0).then(|| self.part / self.whole)
    }
}

/// Sums over the frames so far.
#[derive(Clone, Debug, Default)]
pub struct AlphaSums {
    covered: PixelShare,
    outside: PixelShare,
    holes: PixelShare,
    largest_hole: Option<f64>,
    /// Of the frame in the making; kept for its memory.
    background: Background,
}

impl AlphaSums {
    /// Takes the next frame's alpha, rows of `width` from the top; `asked` is where the subject was
    /// asked to be, if it was.
    pub fn push(&mut self, alpha: &[f32], width: usize, asked: Option<&Ellipse>) {
        let width = width.max(1);
        self.covered.add(alpha.chunks_exact(width).map(sum).sum(), alpha.len() as f64);
        if let Some(asked) = asked {
            let ellipse = asked.on_grid(width, alpha.len() / width);
            for (y, row) in alpha.chunks_exact(width).enumerate() {
                let (from, to) = inside_row(&ellipse, y as f64, ENLARGED, width);
                let outside = sum(&row[..from]) + sum(&row[to..]);
                self.outside.add(outside, (width - (to - from)) as f64);
            }
        }
        let silhouette = self.background.of(alpha, width);
        self.holes.add(silhouette.holes as f64, silhouette.pixels as f64);
        if silhouette.pixels > 0 {
            let share = silhouette.largest_hole as f64 / silhouette.pixels as f64;
            self.largest_hole = Some(self.largest_hole.map_or(share, |most| most.max(share)));
        }
    }

    /// The mean of alpha over all pixels of all frames; 0 where there are none.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.covered.value().unwrap_or(0.0)
    }

    /// Mean alpha outside the twice enlarged asked ellipse.
    #[must_use]
    pub fn leak(&self) -> Option<f64> {
        self.outside.value()
    }

    /// Of the silhouette with its holes filled, the share that is hole: less than half opaque and
    /// cut off from the frame's edge by what is more.
    #[must_use]
    pub fn holes(&self) -> Option<f64> {
        self.holes.value()
    }

    /// The greatest share that a single hole is of the filled silhouette of its frame.
    #[must_use]
    pub fn largest_hole(&self) -> Option<f64> {
        self.largest_hole
    }
}

/// In double precision, four sums side by side: a frame has half a million values.
fn sum(values: &[f32]) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0_f64; 4];
    for four in fours {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().copied().map(f64::from).sum::<f64>()
}

/// Whether a point lies within an ellipse that has been enlarged.
#[must_use]
pub fn contains(ellipse: &GridEllipse, x: f64, y: f64, enlarged: f64) -> bool {
    let (sin, cos) = ellipse.angle.to_radians().sin_cos();
    let (x, y) = (x - ellipse.cx, y - ellipse.cy);
    let along = (x * cos + y * sin) / (ellipse.a / 2.0);
    let across = (y * cos - x * sin) / (ellipse.b / 2.0);
    along * along + across * across <= enlarged * enlarged
}

/// The columns of a row that lie within an enlarged ellipse: from the first to behind the last.
fn inside_row(ellipse: &GridEllipse, y: f64, enlarged: f64, width: usize) -> (usize, usize) {
    let (sin, cos) = ellipse.angle.to_radians().sin_cos();
    let (a, b) = (ellipse.a / 2.0 * enlarged, ellipse.b / 2.0 * enlarged);
    let y = y - ellipse.cy;
    // ((x cos + y sin)/a)² + ((y cos − x sin)/b)² ≤ 1, ordered by powers of x.
    let square = (cos / a).powi(2) + (sin / b).powi(2);
    let half = y * sin * cos * (a.powi(-2) - b.powi(-2));
    let rest = (y * sin / a).powi(2) + (y * cos / b).powi(2) - 1.0;
    let root = half * half - square * rest;
    if root.is_nan() || root < 0.0 {
        return (0, 0);
    }
    let [from, to] = [-root.sqrt(), root.sqrt()].map(|way| ellipse.cx + (way - half) / square);
    // A number beyond what a place can be becomes the nearest that can.
    let from = (from.ceil().max(0.0) as usize).min(width);
    let to = ((to.floor() + 1.0).max(0.0) as usize).min(width);
    (from, to.max(from))
}

/// Pixels of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silhouette {
    /// Of the silhouette, its holes among them.
    pixels: usize,
    /// Of all its holes together.
    holes: usize,
    /// Of the hole that has most.
    largest_hole: usize,
}

/// What is not silhouette, as runs in rows that hang together where they touch from row to row.
#[derive(Clone, Debug, Default)]
struct Background {
    runs: Vec<AlphaRun>,
}

#[derive(Clone, Copy, Debug)]
struct AlphaRun {
    from: usize,
    to: usize,
    /// The run that speaks for all it hangs together with: itself, or one before it.
    root: usize,
    /// Pixels of all that it speaks for.
    pixels: usize,
    /// Whether any of that reaches the frame's edge.
    open: bool,
}

impl Background {
    fn of(&mut self, alpha: &[f32], width: usize) -> Silhouette {
        self.runs.clear();
        let height = alpha.len() / width;
        let mut above = 0..0;
        let mut shown = 0;
        for (y, row) in alpha.chunks_exact(width).enumerate() {
            let begin = self.runs.len();
            shown += self.add_row(row, y == 0 || y + 1 == height);
            self.join(above, begin..self.runs.len());
            above = begin..self.runs.len();
        }
        let (mut holes, mut largest_hole) = (0, 0);
        for (at, run) in self.runs.iter().enumerate() {
            if run.root == at && !run.open {
                holes += run.pixels;
                largest_hole = largest_hole.max(run.pixels);
            }
        }
        Silhouette { pixels: shown + holes, holes, largest_hole }
    }

    /// The runs of a row; returns how many pixels are silhouette.
    fn add_row(&mut self, row: &[f32], edge: bool) -> usize {
        let mut shown = 0;
        let mut from = None;
        for (x, value) in row.iter().enumerate() {
            if *value >= SILHOUETTE {
                shown += 1;
                if let Some(from) = from.take() {
                    self.add(from, x, edge || from == 0);
                }
            } else {
                from.get_or_insert(x);
            }
        }
        if let Some(from) = from {
            self.add(from, row.len(), true);
        }
        shown
    }

    fn add(&mut self, from: usize, to: usize, open: bool) {
        let root = self.runs.len();
        self.runs.push(AlphaRun { from, to, root, pixels: to - from, open });
    }

    /// Joins the runs of a row to those that they touch in the row above.
    fn join(&mut self, above: std::ops::Range<usize>, row: std::ops::Range<usize>) {
        let (mut upper, mut lower) = (above.start, row.start);
        while upper < above.end && lower < row.end {
            let (a, b) = (self.runs[upper], self.runs[lower]);
            if a.from < b.to && b.from < a.to {
                self.unite(upper, lower);
            }
            if a.to < b.to {
                upper += 1;
            } else {
                lower += 1;
            }
        }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.runs[at].root != at {
            let next = self.runs[at].root;
            self.runs[at].root = self.runs[next].root;
            at = next;
        }
        at
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let (first, second) = (a.min(b), a.max(b));
        let AlphaRun { pixels, open, .. } = self.runs[second];
        self.runs[second].root = first;
        self.runs[first].pixels += pixels;
        self.runs[first].open |= open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By flooding from the edges, pixel by pixel.
    fn flooded(alpha: &[f32], width: usize) -> Silhouette {
        let height = alpha.len() / width;
        let mut seen: Vec<bool> = alpha.iter().map(|value| *value >= SILHOUETTE).collect();
        let (mut holes, mut largest_hole) = (0, 0);
        for start in 0..alpha.len() {
            let (mut open, mut pixels, mut stack) = (false, 0, vec![start]);
            while let Some(place) = stack.pop() {
                if std::mem::replace(&mut seen[place], true) {
                    continue;
                }
                let (x, y) = (place % width, place / width);
                pixels += 1;
                let edge = [x == 0, y == 0, x + 1 == width, y + 1 == height];
                open |= edge.contains(&true);
                let next =
                    [place.wrapping_sub(1), place.wrapping_sub(width), place + 1, place + width];
                stack
                    .extend(next.into_iter().zip(edge).filter(|(_, edge)| !edge).map(|(at, _)| at));
            }
            if pixels > 0 && !open {
                holes += pixels;
                largest_hole = largest_hole.max(pixels);
            }
        }
        let shown = alpha.iter().filter(|value| **value >= SILHOUETTE).count();
        Silhouette { pixels: shown + holes, holes, largest_hole }
    }

    proptest! {
        #[test]
        fn holes_are_those_that_flooding_from_the_edge_does_not_reach(
            width in 1_usize..14, cells in prop::collection::vec(0_u8..3, 1..200)
        ) {
            let rows = (cells.len() / width).max(1);
            let alpha: Vec<f32> =
                (0..rows * width).map(|i| f32::from(cells.get(i).copied().unwrap_or(0)) / 2.0).collect();
            let found = Background::default().of(&alpha, width);
            prop_assert_eq!(found, flooded(&alpha, width));
        }

        #[test]
        fn the_columns_within_an_ellipse_are_those_that_it_contains(
            cx in -40.0..80.0_f64, cy in -40.0..80.0_f64, a in 0.5..90.0_f64, b in 0.5..90.0_f64,
            angle in -400.0..400.0_f64, row in 0_usize..40
        ) {
            let ellipse = GridEllipse { cx, cy, a, b, angle };
            let (from, to) = inside_row(&ellipse, row as f64, 2.0, 40);
            for x in 0..40 {
                // On the very edge rounding decides.
                let margins = [1.999_999, 2.0, 2.000_001]
                    .map(|enlarged| contains(&ellipse, x as f64, row as f64, enlarged));
                if margins[0] == margins[2] {
                    prop_assert_eq!((from..to).contains(&x), margins[1], "{}", x);
                }
            }
        }
    }
}
