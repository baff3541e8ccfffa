//! RGBA clips as batches, of a data set or drawn without end; for autoencoders.

#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::train::{RgbaClips, StepRng, color_and_alpha_films};

use super::batch_source::BatchSource;
use super::settings::Settings;
use crate::data::procedural::{DrawnClip, DrawnStream};
use crate::data::{DataRng, RgbaClip, Set, Split, Window};

/// Clips by their number: any number to train on, a few to measure with.
pub(super) struct Clips {
    source: ClipSource,
    seed: u64,
    window: Window,
    batch: usize,
    accumulate: u64,
    /// Clips to measure with.
    held_out: usize,
}

enum ClipSource {
    Set { set: Box<Set>, split: Split, order: EpochShuffle },
    Procedural(u64),
}

impl Clips {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let window = settings.data.window()?;
        let mut held_out = settings.data.held_out();
        let source = match (&settings.data.set, settings.data.procedural) {
            (Some(path), _) => {
                let set = Box::new(Set::open(path)?);
                let split = set.split(settings.seed);
                ensure!(
                    !split.training.is_empty(),
                    "{}: nothing is left to train on",
                    set.table.display()
                );
                held_out = held_out.min(split.held_out.len());
                ClipSource::Set { set, split, order: EpochShuffle::new(settings.seed) }
            }
            (None, seed) => ClipSource::Procedural(seed.unwrap_or(settings.seed)),
        };
        let (seed, batch) = (settings.seed, settings.batch);
        let accumulate = settings.accumulate as u64;
        Ok(Self { source, seed, window, batch, accumulate, held_out })
    }

    fn training_clips(&self, step: u64, part: u64) -> Result<Vec<RgbaClip>> {
        let first = ((step - 1) * self.accumulate + part) * self.batch as u64;
        (first..first + self.batch as u64)
            .map(|number| match &self.source {
                ClipSource::Set { set, split, order } => {
                    let row = order.row(&split.training, number);
                    set.clip(row, &self.window, &mut DataRng::new(self.seed, "clip", &[number]))
                }
                ClipSource::Procedural(seed) => {
                    drawn(*seed, DrawnStream::Training, number, self.window)
                }
            })
            .collect()
    }

    fn measures(&self) -> u64 {
        self.held_out.div_ceil(self.batch) as u64
    }

    fn held_out_clips(&self, index: u64) -> Result<Vec<RgbaClip>> {
        let first = index as usize * self.batch;
        (first..self.held_out.min(first + self.batch))
            .map(|number| match &self.source {
                ClipSource::Set { set, split, .. } => {
                    let draw = &mut DataRng::new(self.seed, "held out", &[number as u64]);
                    set.clip(split.held_out[number], &self.window, draw)
                }
                ClipSource::Procedural(seed) => {
                    drawn(*seed, DrawnStream::HeldOut, number as u64, self.window)
                }
            })
            .collect()
    }
}

fn drawn(seed: u64, stream: DrawnStream, index: u64, window: Window) -> Result<RgbaClip> {
    Ok(DrawnClip::draw(seed, stream, index, &window).frames)
}

/// Clips of one shape as a batch.
fn tensors(clips: &[RgbaClip]) -> wan_alpha_core::Result<RgbaClips> {
    let each = clips.iter().map(|clip| {
        let shape = [clip.frames, clip.height, clip.width, 4].map(|size| size as i64);
        Ok(Tensor::f_from_slice(&clip.rgba)?.f_view(shape)?)
    });
    let each = each.collect::<wan_alpha_core::Result<Vec<_>>>()?;
    RgbaClips::of_unit_rgba(&Tensor::f_stack(&each, 0)?)
}

/// Clips as one kind of batch.
pub(super) struct ClipFeed<B> {
    clips: Clips,
    batch: fn(&[RgbaClip], &StepRng) -> Result<B>,
}

impl ClipFeed<RgbaClips> {
    /// For the RGBA autoencoder.
    pub(super) fn rgba(clips: Clips) -> Self {
        Self { clips, batch: |raw, _| Ok(tensors(raw)?) }
    }
}

impl ClipFeed<Tensor> {
    /// For the base autoencoder, to which color and alpha are films of their own.
    pub(super) fn films(clips: Clips) -> Self {
        Self { clips, batch: |raw, rng| Ok(color_and_alpha_films(&tensors(raw)?, rng)?) }
    }
}

impl<B> BatchSource for ClipFeed<B> {
    type Raw = Vec<RgbaClip>;
    type Batch = B;

    fn training(&self, step: u64, part: u64) -> Result<Self::Raw> {
        self.clips.training_clips(step, part)
    }

    fn eval_batches(&self) -> u64 {
        self.clips.measures()
    }

    fn measure(&self, index: u64) -> Result<Self::Raw> {
        self.clips.held_out_clips(index)
    }

    fn batch(&self, raw: &Self::Raw, rng: &StepRng) -> Result<B> {
        (self.batch)(raw, rng)
    }
}

/// The order in which rows are seen: all of them once, then all again in another order.
pub(super) struct EpochShuffle {
    seed: u64,
    /// The order of the epoch that was asked for last.
    known: Mutex<Option<(u64, Vec<usize>)>>,
}

impl EpochShuffle {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, known: Mutex::new(None) }
    }

    /// The row that comes at `number`. There is at least one.
    pub(super) fn row(&self, rows: &[usize], number: u64) -> usize {
        let (epoch, place) = (number / rows.len() as u64, (number % rows.len() as u64) as usize);
        let mut known = self.known.lock();
        match &*known {
            Some((of, order)) if *of == epoch => order[place],
            _ => {
                let mut order = rows.to_vec();
                let mut draw = DataRng::new(self.seed, "order", &[epoch]);
                for last in (1..order.len()).rev() {
                    order.swap(last, draw.below(last + 1));
                }
                let row = order[place];
                *known = Some((epoch, order));
                row
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_seen_once_in_each_epoch_in_orders_that_differ() {
        let rows: Vec<usize> = (10..30).collect();
        let order = EpochShuffle::new(3);
        let epoch = |epoch: u64| -> Vec<usize> {
            (0..20).map(|place| order.row(&rows, epoch * 20 + place)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        for seen in [&first, &second] {
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, rows);
        }
        assert_ne!(first, second);
        assert_ne!(first, rows);
        // Whoever comes later, in the middle, sees the same.
        assert_eq!(EpochShuffle::new(3).row(&rows, 27), second[7]);
    }
}
