//! How a frame is cut into tiles that overlap, and what each pixel of a tile counts for.

#![forbid(unsafe_code)]

use tch::{Device, Kind, Tensor};

use crate::Result;

/// The most cells of a tile across and down, of 8 pixels each, without what it shares with others.
const MOST: [i64; 2] = [36, 60];
/// Cells that a tile shares with the next: what is seen across them is faint.
const SHARED: i64 = 6;
/// Of those the cells at a tile's own edge that count for nothing: they have seen that edge.
const UNUSED: i64 = 2;

/// Pixels of a cell.
const CELL: i64 = 8;

/// A tile along one axis, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileSpan {
    pub(crate) first: i64,
    pub(crate) count: i64,
    /// Whether another one lies before it and after it.
    neighbors: [bool; 2],
}

/// A tile of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) across: TileSpan,
    pub(crate) down: TileSpan,
}

/// The tiles of a frame of `width` × `height` cells, by those sizes alone.
pub(crate) fn tiles(width: i64, height: i64) -> Vec<Tile> {
    let rows = spans(height, MOST[1]);
    let columns = spans(width, MOST[0]);
    let row = |down: TileSpan| columns.iter().map(move |&across| Tile { across, down });
    rows.into_iter().flat_map(row).collect()
}

/// Cells of the largest tile of such a frame.
pub(crate) fn largest_tile(width: i64, height: i64) -> u64 {
    let cells = tiles(width, height).into_iter().map(|tile| tile.across.count * tile.down.count);
    cells.max().unwrap_or(0).unsigned_abs()
}

/// Cells in spans of nearly one length of at most `most`, each with half of what is shared on either side.
fn spans(cells: i64, most: i64) -> Vec<TileSpan> {
    let count = (cells + most - 1) / most;
    let edge = |index: i64| cells * index / count;
    (0..count)
        .map(|index| {
            let neighbors = [index > 0, index + 1 < count];
            let first = edge(index) - if neighbors[0] { SHARED / 2 } else { 0 };
            let last = edge(index + 1) + if neighbors[1] { SHARED / 2 } else { 0 };
            let (first, last) = (first.max(0), last.min(cells));
            TileSpan { first, count: last - first, neighbors }
        })
        .collect()
}

impl TileSpan {
    /// What each pixel counts for: 1 inside, and along what is shared a ramp that, with the neighbor's,
    /// makes 1.
    fn weights(&self) -> Vec<f32> {
        let pixels = self.count * CELL;
        let ramp = ((SHARED - 2 * UNUSED) * CELL) as f32;
        let from = |distance: i64| {
            let inside = (distance - UNUSED * CELL) as f32 + 0.5;
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
    /// What each pixel counts for: `[1, h, w, 1]`, float32.
    pub(crate) fn weights(&self, device: Device) -> Result<Tensor> {
        let axis = |span: &TileSpan| Tensor::f_from_slice(&span.weights());
        let rows = axis(&self.down)?.f_view([1, -1, 1, 1])?;
        let columns = axis(&self.across)?.f_view([1, 1, -1, 1])?;
        Ok(rows.f_mul(&columns)?.f_to_kind(Kind::Float)?.f_to_device(device)?)
    }

    /// Where its first pixel lies, down and across.
    pub(crate) fn first_pixel(&self) -> [i64; 2] {
        [self.down.first * CELL, self.across.first * CELL]
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
                assert!(
                    tile.across.count <= MOST[0] + SHARED && tile.down.count <= MOST[1] + SHARED
                );
            }
            let off = (whole - 1.0).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{width}×{height}: {off}");
            assert_eq!(all.len() == 1, width <= MOST[0] && height <= MOST[1]);
        }
    }
}
