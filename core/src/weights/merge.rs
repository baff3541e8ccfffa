//! Merging adapters into a tensor, and delivering it: one trip through memory.
//!
//! Rows do not meet in any of it, so that a tensor is taken in blocks of rows that stay in a
//! processor's cache from the file's map to the place where the result is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tch::{Device, Kind, Tensor};

use super::held_tensor::Held;
use super::stored_weight::StoredWeight;
use crate::{Result, parallel};

/// Numbers of a block that a processor's core works on: 2 MB in float32.
const CPU_BLOCK: i64 = 1 << 19;
/// Numbers of a block anywhere else: 64 MB in float32.
const DEVICE_BLOCK: i64 = 1 << 24;
/// Rows that a block has at least: with few, BLAS takes other kernels, which round otherwise.
const FEWEST_ROWS: i64 = 64;

/// What an adapter does to one tensor, seen as a matrix; float32.
pub(super) enum Merge {
    /// W + B·A, each row then brought to its magnitude where there is one.
    LowRank {
        /// A of the pair, float32: `[rank, in·taps]`.
        down: Held,
        /// B: `[out, rank]`, all scales multiplied in
        up: Held,
        /// The length that a DoRA gives each row.
        length: Option<RowLength>,
        /// How much of the way to that is gone: 1 is all of it.
        share: f64,
    },
    /// W + strength·difference, number by number.
    Difference {
        /// As many numbers as the tensor has.
        difference: Held,
        strength: f64,
    },
}

/// The length of each row of a matrix, as a DoRA has it; float32.
pub(super) enum RowLength {
    /// The length that rows are brought to: `[out, 1]`.
    Magnitude(Held),
    /// The same, and where what they were multiplied by is noted, for the next time.
    Noted { magnitude: Held, ratios: Held },
    /// What they are multiplied by, as it was noted: `[out, 1]`.
    Ratio(Held),
}

impl RowLength {
    /// What rows of the merged matrix are multiplied by, those of `block`, the first of which is `first`.
    fn ratio(&self, first: i64, block: &Tensor) -> Result<Tensor> {
        let rows = |held: &Held| held.tensor().f_narrow(0, first, block.size()[0]);
        let (magnitude, noted) = match self {
            Self::Ratio(ratios) => return Ok(rows(ratios)?),
            Self::Magnitude(magnitude) => (magnitude, None),
            Self::Noted { magnitude, ratios } => (magnitude, Some(ratios)),
        };
        let norm = block.f_norm_scalaropt_dim(2.0, 1i64, true)?.f_clamp_min(1e-8)?;
        let ratio = rows(magnitude)?.f_div(&norm)?;
        if let Some(noted) = noted {
            rows(noted)?.f_copy_(&ratio)?;
        }
        Ok(ratio)
    }
}

/// What rows are multiplied by, of each tensor and each adapter in their order: noted when one is merged
/// first, so that it is not computed again where the same is merged time and again.
#[derive(Debug, Default)]
pub(crate) struct RowRatios(BTreeMap<(String, usize), Tensor>);

impl RowRatios {
    /// Has the merges of a tensor multiply by what is known, and note the rest; what is to be
    /// [kept](Self::keep) once all of it is merged.
    pub(super) fn prepare(&self, name: &str, merges: &mut [Merge]) -> Result<Self> {
        let mut noted = Self::default();
        for (index, merge) in merges.iter_mut().enumerate() {
            let Merge::LowRank { length, .. } = merge else { continue };
            let key = (name.to_owned(), index);
            *length = match (self.0.get(&key), length.take()) {
                (Some(known), Some(_)) => Some(RowLength::Ratio(Held::new(known.shallow_clone()))),
                (None, Some(RowLength::Magnitude(magnitude))) => {
                    let ratios = magnitude.tensor().f_empty_like()?;
                    noted.0.insert(key, ratios.shallow_clone());
                    Some(RowLength::Noted { magnitude, ratios: Held::new(ratios) })
                }
                (_, other) => other,
            };
        }
        Ok(noted)
    }

    /// Keeps what was noted.
    pub(super) fn keep(&mut self, noted: Self) {
        self.0.extend(noted.0);
    }
}

impl Merge {
    /// Merges in place; `block` are the rows of the matrix from `first` on.
    pub(super) fn apply(&self, first: i64, block: &mut Tensor) -> Result<()> {
        let count = block.size()[0];
        let rows = |held: &Held| held.tensor().f_narrow(0, first, count);
        match self {
            Self::Difference { difference, strength } => {
                let difference = difference.tensor().f_reshape([-1, block.size()[1]])?;
                let difference = difference.f_narrow(0, first, count)?;
                let _ = block.f_add_(&difference.f_mul_scalar(*strength)?)?;
            }
            Self::LowRank { down, up, length, share } => {
                let before = if *share == 1.0 { None } else { Some(block.f_mul_scalar(1.0)?) };
                let _ = block.f_addmm_(&rows(up)?, &down.tensor())?;
                if let Some(length) = length {
                    let _ = block.f_mul_(&length.ratio(first, block)?)?;
                }
                if let Some(before) = before {
                    let way = block.f_sub(&before)?.f_mul_scalar(*share)?;
                    block.f_copy_(&before.f_add(&way)?)?;
                }
            }
        }
        Ok(())
    }
}

/// A stored tensor on its way to a layer.
pub(super) struct Delivery<'a> {
    pub(super) stored: StoredWeight<'a>,
    /// In the order they are merged.
    pub(super) merges: Vec<Merge>,
    pub(super) kind: Kind,
    pub(super) device: Device,
}

impl Delivery<'_> {
    /// The tensor, in its kind and on its device; none where a number is not finite.
    pub(super) fn deliver(self, scratch: &Scratch) -> Result<Option<Tensor>> {
        let _guard = tch::no_grad_guard();
        let result = Tensor::f_empty(self.stored.shape(), (self.kind, self.device))?;
        let finite = self.deliver_into(&result, true, scratch)?;
        Ok(finite.then_some(result))
    }

    /// Puts the tensor into `result`, of its shape, in its kind and on its device; whether all numbers are
    /// finite, which only `check` asks.
    pub(super) fn deliver_into(
        self,
        result: &Tensor,
        check: bool,
        scratch: &Scratch,
    ) -> Result<bool> {
        let Self { stored, merges, kind, device } = self;
        let [rows, width] = stored.matrix();
        if rows * width == 0 {
            return Ok(true);
        }
        let matrix = Held::new(result.f_view([rows, width])?);
        let stored = stored.for_device(device)?;
        let is_bare = merges.is_empty();
        // What is computed is computed as float32.
        let in_place = is_bare && (!stored.is_computed() || kind == Kind::Float);
        let finite = AtomicBool::new(true);
        let blocks = Blocks::of(rows, width, device);
        let piece = |index: usize| {
            let (first, count) = blocks.rows(index as i64);
            let mut to = matrix.tensor().f_narrow(0, first, count)?;
            let look = |numbers: &Tensor| -> Result<()> {
                if check {
                    finite.fetch_and(super::is_finite(numbers)?, Ordering::Relaxed);
                }
                Ok(())
            };
            if in_place {
                stored.rows_into(first, count, &mut to)?;
                return look(&to);
            }
            if is_bare
                && device == Device::Cpu
                && stored.rows_into_bfloat16(first, count, &mut to)?
            {
                return look(&to);
            }
            let memory = scratch.take(blocks.most() * width, device)?;
            let mut block = memory.f_narrow(0, 0, count * width)?.f_view([count, width])?;
            stored.rows_into(first, count, &mut block)?;
            for merge in &merges {
                merge.apply(first, &mut block)?;
            }
            look(&block)?;
            to.f_copy_(&block)?;
            scratch.give(memory);
            Ok(())
        };
        if device == Device::Cpu {
            parallel::for_each(blocks.count as usize, &piece)?;
        } else {
            (0..blocks.count as usize).try_for_each(piece)?;
        }
        Ok(finite.into_inner())
    }
}

/// A matrix's rows in blocks of about one size.
struct Blocks {
    rows: i64,
    count: i64,
}

impl Blocks {
    fn of(rows: i64, width: i64, device: Device) -> Self {
        let numbers = if device == Device::Cpu { CPU_BLOCK } else { DEVICE_BLOCK };
        let each = (numbers / width.max(1)).max(FEWEST_ROWS);
        Self { rows, count: (rows / each).max(1) }
    }

    /// First row and number of rows of a block.
    fn rows(&self, index: i64) -> (i64, i64) {
        let bound = |index: i64| self.rows * index / self.count;
        (bound(index), bound(index + 1) - bound(index))
    }

    /// Rows of the largest block.
    fn most(&self) -> i64 {
        (self.rows + self.count - 1) / self.count
    }
}

/// Memory for blocks, kept from tensor to tensor: fresh memory is zeroed by the system.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch(Arc<Mutex<Vec<Tensor>>>);

impl Scratch {
    /// At least so many float32 numbers, whatever they are.
    fn take(&self, numbers: i64, device: Device) -> Result<Tensor> {
        let found = {
            let mut free = self.0.lock();
            let fits = |memory: &Tensor| memory.numel() as i64 >= numbers;
            let found = free.iter().position(fits).map(|index| free.swap_remove(index));
            if found.is_none() {
                free.clear();
            }
            found
        };
        match found {
            Some(memory) => Ok(memory),
            None => Ok(Tensor::f_empty([numbers.max(CPU_BLOCK)], (Kind::Float, device))?),
        }
    }

    fn give(&self, memory: Tensor) {
        self.0.lock().push(memory);
    }
}

#[cfg(test)]
mod tests;
