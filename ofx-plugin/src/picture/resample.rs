//! A take's frame in another size, row by row from the bottom.
//!
//! Rows of the take are filtered horizontally when an output row needs them, and kept until none
//! does any more. Only what the window needs is read: a tile costs what a tile is worth, and memory
//! does not grow with the height of the output.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::abort_check::{AbortCheck, Aborted};
use super::frame_fit::{Axis, FrameFit};
use super::source::{AlphaMode, Pixel, Source, read};
use super::taps::{Columns, TapPair, Taps};
use super::transfer::Transfer;
use super::vector::Vectors;

/// Makes output rows of a frame of a take, one after the other.
pub(super) struct Resampler<'a> {
    source: Source<'a>,
    transfer: Transfer,
    columns: Columns,
    rows: Axis,
    /// A row of the take, premultiplied, where it is touched.
    read: Vec<Pixel>,
    /// Rows of the take, filtered horizontally: row `r` lies in slot `r % slots`.
    filtered: Vec<Pixel>,
    row_in_slot: Vec<Option<usize>>,
    /// The taps of the current output row, with their weights.
    taps: Taps,
    weights: Vec<f32>,
}

impl<'a> Resampler<'a> {
    /// For output columns that all show something of the take.
    pub(super) fn new(
        source: Source<'a>,
        placement: &FrameFit,
        transfer: Transfer,
        outputs: Range<i32>,
    ) -> Self {
        let rows = placement.rows;
        let columns = Columns::new(&placement.columns, outputs);
        let slots = rows.most_taps();
        Self {
            source,
            transfer,
            rows,
            read: vec![[0.0; 4]; columns.touched.len()],
            filtered: vec![[0.0; 4]; slots * columns.outputs.len()],
            row_in_slot: vec![None; slots],
            columns,
            taps: Taps { first: 0, near: 0, coverage: 0.0 },
            weights: Vec::with_capacity(slots),
        }
    }

    /// Makes an output row the current one.
    pub(super) fn go_to(
        &mut self,
        y: i32,
        abort_check: &mut AbortCheck<'_>,
    ) -> Result<(), Aborted> {
        self.taps = self.rows.taps(y, &mut self.weights);
        let slots = self.row_in_slot.len().max(1);
        for row in self.taps.first..self.taps.first + self.weights.len() {
            let Some(row_in_slot) = self.row_in_slot.get_mut(row % slots) else { continue };
            if *row_in_slot != Some(row) {
                *row_in_slot = Some(row);
                abort_check.tick(self.columns.touched.len() + self.columns.weights.len())?;
                self.filter(row, row % slots);
            }
        }
        Ok(())
    }

    /// Reads a row of the take and filters it horizontally.
    fn filter(&mut self, row: usize, slot: usize) {
        let Columns { taps, weights, touched, outputs, pairs } = &self.columns;
        let from = self.source.row(row).get(touched.clone()).unwrap_or_default();
        read(from, self.transfer, AlphaMode::Premultiplied, &mut self.read);
        let begin = slot * outputs.len();
        let Some(filtered) = self.filtered.get_mut(begin..begin + outputs.len()) else { return };
        if let Some(pairs) = pairs {
            return mix_columns(filtered, &self.read, pairs);
        }
        for ((taps, at), filtered) in taps.iter().zip(filtered) {
            let near = pixel(&self.read, taps.near - touched.start);
            let others = self.read.get(taps.first - touched.start..).unwrap_or_default();
            let mut sum = near;
            for (&weight, other) in weights.get(at.clone()).unwrap_or_default().iter().zip(others) {
                for ((sum, near), other) in sum.iter_mut().zip(near).zip(other) {
                    *sum += (other - near) * weight;
                }
            }
            *filtered = sum.map(|sum| sum * taps.coverage);
        }
    }

    /// Part of the current row, from the given column on: premultiplied, alpha within \[0, 1\].
    pub(super) fn fill(&self, from: i32, to: &mut [Pixel]) {
        let skip = usize::try_from(i64::from(from) - i64::from(self.columns.outputs.start));
        let Ok(skip) = skip else { return };
        let count = to.len();
        let row = |row: usize| {
            let begin = (row % self.row_in_slot.len().max(1)) * self.columns.outputs.len() + skip;
            self.filtered.get(begin..begin + count).unwrap_or_default()
        };
        let (near, coverage) = (row(self.taps.near), self.taps.coverage);
        let others = (self.taps.first..).zip(&self.weights);
        let mut others = others.filter(|(tap, _)| *tap != self.taps.near);
        match [others.next(), others.next()] {
            // One pass where a take is enlarged.
            [None, _] => mix_rows(to, [near, near], 0.0, coverage),
            [Some((tap, &weight)), None] => mix_rows(to, [near, row(tap)], weight, coverage),
            [first, second] => {
                to.iter_mut().zip(near).for_each(|(to, near)| *to = *near);
                for (tap, &weight) in [first, second].into_iter().flatten().chain(others) {
                    let tap = row(tap).as_flattened();
                    add(to.as_flattened_mut(), tap, near.as_flattened(), weight);
                }
                for pixel in to {
                    *pixel = finished(*pixel, coverage);
                }
            }
        }
    }
}

/// Two rows, one of them by a weight, and what is made of a sum at its end.
fn mix_rows(to: &mut [Pixel], [near, tap]: [&[Pixel]; 2], weight: f32, coverage: f32) {
    if let Some(vectors) = Vectors::here() {
        return vectors.mix_rows(to, [near, tap], weight, coverage);
    }
    for ((to, near), tap) in to.iter_mut().zip(near).zip(tap) {
        *to = finished(mixed(*near, *tap, weight), coverage);
    }
}

/// Two pixels of a row, one of them by a weight, for each output column.
fn mix_columns(to: &mut [Pixel], row: &[Pixel], pairs: &[TapPair]) {
    if let Some(vectors) = Vectors::here() {
        return vectors.mix_columns(to, row, pairs);
    }
    for (to, pair) in to.iter_mut().zip(pairs) {
        let [near, tap] = pair.places.map(|at| row.get(at as usize).copied().unwrap_or_default());
        *to = mixed(near, tap, pair.weight).map(|sum| sum * pair.coverage);
    }
}

#[inline(always)]
fn mixed(near: Pixel, tap: Pixel, weight: f32) -> Pixel {
    [0, 1, 2, 3].map(|channel| near[channel] + (tap[channel] - near[channel]) * weight)
}

#[inline(always)]
fn finished(sum: Pixel, coverage: f32) -> Pixel {
    let [r, g, b, alpha] = sum.map(|value| value * coverage);
    [r, g, b, alpha.clamp(0.0, 1.0)]
}

fn add(to: &mut [f32], tap: &[f32], near: &[f32], weight: f32) {
    for ((to, tap), near) in to.iter_mut().zip(tap).zip(near) {
        *to += (tap - near) * weight;
    }
}

fn pixel(of: &[Pixel], at: usize) -> Pixel {
    of.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_plain_sums_make_the_same_bits() {
        let pixel = |at: usize| [0, 1, 2, 3].map(|n| ((at * 7 + n * 13) % 97) as f32 / 48.0 - 0.5);
        for width in [1, 2, 7, 64] {
            let rows: [Vec<Pixel>; 2] =
                [0, 40].map(|from| (from..from + width).map(pixel).collect());
            let [near, tap] = [&rows[0][..], &rows[1]];
            let mut found = vec![[9.0; 4]; width];
            mix_rows(&mut found, [near, tap], 0.3, 0.75);
            let plain =
                near.iter().zip(tap).map(|(near, tap)| finished(mixed(*near, *tap, 0.3), 0.75));
            assert!(found.iter().copied().eq(plain));
            let pair = |at: usize| {
                let places = [at, (at * 5 + 1) % width].map(|at| at as u32);
                TapPair { places, weight: at as f32 / 99.0, coverage: 0.5 }
            };
            let pairs: Vec<TapPair> = (0..width).map(pair).collect();
            mix_columns(&mut found, near, &pairs);
            for (found, pair) in found.iter().zip(&pairs) {
                let [near, tap] = pair.places.map(|at| near[at as usize]);
                assert_eq!(*found, mixed(near, tap, pair.weight).map(|sum| sum * pair.coverage));
            }
        }
    }
}
