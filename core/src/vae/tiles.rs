//! How a frame is cut into tiles that overlap, and what each pixel of a tile counts for.

#![forbid(unsafe_code)]

use tch::{Device, Kind, Tensor};

use crate::Result;

/// The most cells of a tile across and down, of 8 pixels each, without what it shares with others.
const MOST: [i64; 2] = [36, 60];
/// How far a tile goes beyond its own pixels on a side where it has a neighbor: at an eighth of the
/// picture's resolution, and after it has doubled once, twice and three times. Every layer sees as many
/// pixels of its own resolution across, so that finer ones need less of the picture. In pixels of the
/// picture.
const BEYOND: [i64; 4] = [32, 24, 16, 12];
/// Of the last those at the tile's own edge that count for nothing: they have seen that edge.
const UNUSED: i64 = 7;

/// Pixels of a cell.
const CELL: i64 = 8;

/// A tile along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileSpan {
    /// Cells that are no other tile's: the first of them, and how many.
    own: [i64; 2],
    /// Whether another one lies before it and after it.
    neighbors: [bool; 2],
}

/// A tile of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) across: TileSpan,
    pub(crate) down: TileSpan,
}

/// What is cut off a tile once its picture has doubled, in pixels of that resolution: before and behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trim {
    rows: [i64; 2],
    columns: [i64; 2],
}

impl Trim {
    /// Nothing, at each doubling.
    pub(crate) const NONE: [Self; 3] = [Self { rows: [0; 2], columns: [0; 2] }; 3];

    /// How many rows and columns are cut off.
    pub(super) fn sums(&self) -> [u64; 2] {
        [self.rows, self.columns].map(|sides| sides.iter().sum::<i64>().unsigned_abs())
    }

    /// `[b, t, h, w, c]` without its outer rows and columns.
    pub(crate) fn cut(&self, x: Tensor) -> Result<Tensor> {
        if *self == Self::default() {
            return Ok(x);
        }
        let [top, bottom] = self.rows;
        let [left, right] = self.columns;
        let (height, width) = (x.size()[2], x.size()[3]);
        let inner = x.f_narrow(2, top, height - top - bottom)?;
        Ok(inner.f_narrow(3, left, width - left - right)?.f_contiguous()?)
    }
}

/// The tiles of a frame of `width` × `height` cells, by those sizes alone.
pub(crate) fn tiles(width: i64, height: i64) -> Vec<Tile> {
    let rows = spans(height, MOST[1]);
    let columns = spans(width, MOST[0]);
    let row = |down: TileSpan| columns.iter().map(move |&across| Tile { across, down });
    rows.into_iter().flat_map(row).collect()
}

/// Pixels of the picture that the largest tile of such a frame holds, at an eighth of the resolution and
/// after each doubling.
pub(crate) fn largest_tile(width: i64, height: i64) -> [u64; 4] {
    let pixels = |stage: usize| {
        let of = |tile: &Tile| tile.across.pixels(stage) * tile.down.pixels(stage);
        tiles(width, height).iter().map(of).max().unwrap_or(0).unsigned_abs()
    };
    [0, 1, 2, 3].map(pixels)
}

/// Cells in spans of nearly one length of at most `most`.
fn spans(cells: i64, most: i64) -> Vec<TileSpan> {
    let count = (cells + most - 1) / most;
    let edge = |index: i64| cells * index / count;
    (0..count)
        .map(|index| TileSpan {
            own: [edge(index), edge(index + 1) - edge(index)],
            neighbors: [index > 0, index + 1 < count],
        })
        .collect()
}

impl TileSpan {
    /// Pixels beyond its own on either side, before any doubling (0) or after one of them.
    fn beyond(&self, stage: usize) -> [i64; 2] {
        self.neighbors.map(|neighbor| if neighbor { BEYOND[stage] } else { 0 })
    }

    /// Its pixels, before any doubling (0) or after one of them.
    fn pixels(&self, stage: usize) -> i64 {
        self.own[1] * CELL + self.beyond(stage).iter().sum::<i64>()
    }

    /// The cells that it begins with: the first of them, and how many.
    pub(crate) fn cells(&self) -> [i64; 2] {
        [self.own[0] - self.beyond(0)[0] / CELL, self.pixels(0) / CELL]
    }

    /// What is cut off before and behind, after a doubling.
    fn trim(&self, stage: usize) -> [i64; 2] {
        // Pixels of the picture that one of this resolution stands for.
        let pixel = CELL >> stage;
        [0, 1].map(|side| (self.beyond(stage - 1)[side] - self.beyond(stage)[side]) / pixel)
    }

    /// What each pixel counts for: 1 inside, and along what is shared a ramp that, with the neighbor's,
    /// makes 1.
    fn weights(&self) -> Vec<f32> {
        let pixels = self.pixels(3);
        let ramp = (2 * (BEYOND[3] - UNUSED)) as f32;
        let from = |distance: i64| {
            let inside = (distance - UNUSED) as f32 + 0.5;
            (inside / ramp).clamp(0.0, 1.0)
        };
        let weight = |pixel: i64| {
            let before = if self.neighbors[0] { from(pixel) } else { 1.0 };
            let after = if self.neighbors[1] { from(pixels - 1 - pixel) } else { 1.0 };
            before.min(after)
        };
        (0..pixels).map(weight).collect()
    }
}

impl Tile {
    /// What is cut off it after each doubling.
    pub(crate) fn trims(&self) -> [Trim; 3] {
        [1, 2, 3]
            .map(|stage| Trim { rows: self.down.trim(stage), columns: self.across.trim(stage) })
    }

    /// What each pixel counts for: `[1, h, w, 1]`, float32.
    pub(crate) fn weights(&self, device: Device) -> Result<Tensor> {
        let axis = |span: &TileSpan| Tensor::f_from_slice(&span.weights());
        let rows = axis(&self.down)?.f_view([1, -1, 1, 1])?;
        let columns = axis(&self.across)?.f_view([1, 1, -1, 1])?;
        Ok(rows.f_mul(&columns)?.f_to_kind(Kind::Float)?.f_to_device(device)?)
    }

    /// Where the first pixel lies of those that are decoded, down and across.
    pub(crate) fn first_pixel(&self) -> [i64; 2] {
        [&self.down, &self.across].map(|span| span.own[0] * CELL - span.beyond(3)[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_all_tiles_make_one_at_every_pixel() {
        for (width, height) in [(6, 4), (104, 60), (60, 104), (160, 90), (37, 61), (74, 122)] {
            let whole =
                Tensor::zeros([1, height * CELL, width * CELL, 1], (Kind::Float, Device::Cpu));
            let all = tiles(width, height);
            for tile in &all {
                let weights = tile.weights(Device::Cpu).unwrap();
                let [row, column] = tile.first_pixel();
                let (rows, columns) = (weights.size()[1], weights.size()[2]);
                let _ = whole.narrow(1, row, rows).narrow(2, column, columns).g_add_(&weights);
                assert_eq!([rows, columns], [&tile.down, &tile.across].map(|span| span.pixels(3)));
                let [across, down] = [tile.across, tile.down].map(|span| span.cells());
                assert!(across[0] >= 0 && across[0] + across[1] <= width, "{tile:?}");
                assert!(down[0] >= 0 && down[0] + down[1] <= height, "{tile:?}");
            }
            let off = (whole - 1.0).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{width}×{height}: {off}");
            assert_eq!(all.len() == 1, width <= MOST[0] && height <= MOST[1]);
        }
    }

    #[test]
    fn what_is_cut_off_leaves_a_tile_of_the_pixels_that_are_weighed() {
        for tile in tiles(160, 90) {
            let [rows, columns] = [tile.down, tile.across].map(|span| span.cells()[1]);
            let mut x = Tensor::zeros([1, 1, rows, columns, 1], (Kind::Float, Device::Cpu));
            for trim in tile.trims() {
                x = x.repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None);
                x = trim.cut(x).unwrap();
            }
            let weights = tile.weights(Device::Cpu).unwrap();
            assert_eq!(x.size()[2..4], weights.size()[1..3]);
        }
    }
}
