//! The motion between two frames, found by matching blocks from coarse to fine; what a frame
//! interpolation network does better, but the same everywhere and without weights.

/// A picture of one channel.
#[derive(Clone, Debug)]
pub(super) struct LumaPlane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

/// Side of the blocks that move as one.
const BLOCK: usize = 8;

/// Pixels around a block that are compared with it.
const MARGIN: usize = 2;

/// The coarsest picture has no side shorter than this.
const COARSEST: usize = 24;

/// The way between the two frames in the coarsest picture, in pixels along each axis.
const REACH: isize = 6;

/// The way that is looked at around a guess in each finer picture.
const NEAR: isize = 2;

/// What a pixel of motion must gain, in levels of 255: flat regions stand still.
const RELUCTANCE: f32 = 0.02;

/// Pixels from the first frame to the last: right, down.
type BlockStep = [isize; 2];

/// A step for each block of a picture.
#[derive(Debug)]
pub(super) struct Motion {
    width: usize,
    height: usize,
    /// Blocks in a row.
    columns: usize,
    steps: Vec<BlockStep>,
}

/// The motion of what lies in the middle between two frames of the same size, to half a pixel a
/// frame.
///
/// Blocks of each frame are sought in the other, and what is found is offered to the blocks in the
/// middle on their ways. They may not choose freely: before a flat background what is in front would
/// vanish, since there is always a way from nothing to nothing around it.
pub(super) fn motion_between(from: &LumaPlane, to: &LumaPlane) -> Motion {
    let forward = sought(from, to);
    let backward = sought(to, from);
    let (width, height, columns) = (forward.width, forward.height, forward.columns);
    let rows = height.div_ceil(BLOCK);
    let mut offers: Vec<Vec<BlockStep>> = vec![vec![[0, 0]]; columns * rows];
    for (motion, sign) in [(&forward, 1), (&backward, -1)] {
        for (block, &[right, down]) in motion.steps.iter().enumerate() {
            let size = BLOCK as isize;
            let halfway = |place: usize, way: isize| {
                (place as isize * size + way / 2 + size / 2).div_euclid(size)
            };
            let (column, row) = (halfway(block % columns, right), halfway(block / columns, down));
            let step = [sign * right, sign * down];
            for y in row - 1..=row + 1 {
                for x in column - 1..=column + 1 {
                    let inside =
                        (0..columns as isize).contains(&x) && (0..rows as isize).contains(&y);
                    if inside {
                        let offers = &mut offers[y as usize * columns + x as usize];
                        if !offers.contains(&step) {
                            offers.push(step);
                        }
                    }
                }
            }
        }
    }
    let chosen = |(block, offers): (usize, &Vec<BlockStep>)| {
        let at = [block % columns * BLOCK, block / columns * BLOCK];
        let costs = offers.iter().map(|step| (*step, cost([from, to], at, halves(*step), *step)));
        costs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or([0, 0], |(step, _)| step)
    };
    let steps = offers.iter().enumerate().map(chosen).collect();
    Motion { width, height, columns, steps }
}

/// The two halves of a step: back from the middle, and on from it.
fn halves([right, down]: BlockStep) -> [BlockStep; 2] {
    let back = [right.div_euclid(2), down.div_euclid(2)];
    [[-back[0], -back[1]], [right - back[0], down - back[1]]]
}

/// Where each block of `from` is in `to`, found from coarse to fine.
fn sought(from: &LumaPlane, to: &LumaPlane) -> Motion {
    let mut pyramid = vec![(from.clone(), to.clone())];
    while let Some((a, b)) = pyramid.last()
        && a.width.min(a.height) >= 2 * COARSEST
    {
        let halved = (a.halved(), b.halved());
        pyramid.push(halved);
    }
    let mut motion: Option<Motion> = None;
    while let Some((a, b)) = pyramid.pop() {
        motion = Some(refined(&a, &b, motion.as_ref()));
    }
    motion.unwrap_or(Motion { width: 0, height: 0, columns: 0, steps: Vec::new() })
}

fn refined(from: &LumaPlane, to: &LumaPlane, coarse: Option<&Motion>) -> Motion {
    let (width, height) = (from.width, from.height);
    let [columns, rows] = [width.div_ceil(BLOCK), height.div_ceil(BLOCK)];
    let mut steps = Vec::with_capacity(columns * rows);
    for block in 0..columns * rows {
        let at = [block % columns, block / columns];
        let cost = |step: BlockStep| cost([from, to], at.map(|p| p * BLOCK), [[0, 0], step], step);
        let mut best = ([0, 0], cost([0, 0]));
        let mut offer = |step: BlockStep| {
            let cost = cost(step);
            if cost < best.1 {
                best = (step, cost);
            }
            best.0
        };
        let (center, reach) = match coarse {
            None => ([0, 0], REACH),
            Some(coarse) => {
                (coarse.guesses(at).into_iter().map(&mut offer).last().unwrap_or([0, 0]), NEAR)
            }
        };
        for y in -reach..=reach {
            for x in -reach..=reach {
                offer([center[0] + x, center[1] + y]);
            }
        }
        steps.push(best.0);
    }
    Motion { width, height, columns, steps }
}

/// The mean difference of two frames around a block, each moved by its own way, and what a step
/// costs.
fn cost(
    [from, to]: [&LumaPlane; 2],
    [left, top]: [usize; 2],
    [back, on]: [BlockStep; 2],
    step: BlockStep,
) -> f32 {
    let columns = left.saturating_sub(MARGIN)..(left + BLOCK + MARGIN).min(from.width);
    let rows = top.saturating_sub(MARGIN)..(top + BLOCK + MARGIN).min(from.height);
    let count = (columns.len() * rows.len()) as f32;
    let mut sum = 0.0;
    for y in rows {
        let (first, last) = (from.row(y as isize + back[1]), to.row(y as isize + on[1]));
        for x in columns.clone() {
            let x = x as isize;
            sum += (first[from.column(x + back[0])] - last[to.column(x + on[0])]).abs();
        }
    }
    sum / count + RELUCTANCE * (step[0].abs() + step[1].abs()) as f32
}

impl LumaPlane {
    fn row(&self, y: isize) -> &[f32] {
        let y = y.clamp(0, self.height as isize - 1) as usize;
        &self.values[y * self.width..][..self.width]
    }

    fn column(&self, x: isize) -> usize {
        x.clamp(0, self.width as isize - 1) as usize
    }

    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let pixel = |place: usize| {
            let (x, y) = (place % width * 2, place / width * 2);
            let at = |x: usize, y: usize| self.values[y * self.width + x];
            (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0
        };
        Self { width, height, values: (0..width * height).map(pixel).collect() }
    }
}

impl Motion {
    /// What this coarser motion says of a block of the next finer picture, and of those around it.
    fn guesses(&self, [column, row]: [usize; 2]) -> Vec<BlockStep> {
        let rows = self.steps.len() / self.columns.max(1);
        let (column, row) = (column as isize / 2, row as isize / 2);
        let near = [[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]];
        let steps = near.iter().filter_map(|[x, y]| {
            let (x, y) = (column + x, row + y);
            let inside = (0..self.columns as isize).contains(&x) && (0..rows as isize).contains(&y);
            let at = y * self.columns as isize + x;
            inside.then(|| self.steps.get(at as usize)).flatten()
        });
        steps.map(|[x, y]| [2 * x, 2 * y]).collect()
    }

    /// For each pixel of the frame in the middle: its place, where it comes from in the first frame,
    /// and where it goes in the last.
    pub(super) fn for_each(&self, mut see: impl FnMut(usize, usize, usize)) {
        let place = |x: isize, y: isize| {
            let x = x.clamp(0, self.width as isize - 1);
            let y = y.clamp(0, self.height as isize - 1);
            y as usize * self.width + x as usize
        };
        for y in 0..self.height {
            for x in 0..self.width {
                let [back, on] = halves(self.steps[y / BLOCK * self.columns + x / BLOCK]);
                let (x, y) = (x as isize, y as isize);
                let (from, to) = (place(x + back[0], y + back[1]), place(x + on[0], y + on[1]));
                see(place(x, y), from, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern without repetition, moved.
    fn pattern([right, down]: BlockStep) -> LumaPlane {
        let value = |x: isize, y: isize| {
            let (x, y) = ((x - right) as f32, (y - down) as f32);
            128.0 + 60.0 * (x * 0.21 + (y * 0.13).sin()).sin() + 50.0 * (y * 0.17 - x * 0.05).cos()
        };
        let values = (0..96).flat_map(|y| (0..128).map(move |x| value(x, y))).collect();
        LumaPlane { width: 128, height: 96, values }
    }

    #[test]
    fn a_moved_pattern_is_followed_however_it_moves() {
        for step in [[0, 0], [2, 0], [-5, 3], [18, -12]] {
            let motion = motion_between(&pattern([0, 0]), &pattern(step));
            let inner = (3..9).flat_map(|row| (3..13).map(move |column| row * 16 + column));
            let right = inner.clone().filter(|&block| motion.steps[block] == step).count();
            assert!(right == inner.count(), "{step:?}: {:?}", motion.steps);
        }
    }

    #[test]
    fn what_is_flat_stands_still() {
        let flat = LumaPlane { width: 30, height: 50, values: vec![7.0; 1500] };
        assert!(motion_between(&flat, &flat).steps.iter().all(|step| *step == [0, 0]));
    }
}
