//! RGBA clips as batches, of a data set or drawn without end; for autoencoders.

#![forbid(unsafe_code)]

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::train::{RgbaClips, StepRng, color_and_alpha_films};

use super::batch_source::BatchSource;
use super::clip_shapes::ClipShapes;
use super::settings::Settings;
use crate::data::procedural::{DrawnClip, DrawnSet, DrawnStream};
use crate::data::{DataRng, RgbaClip, Set, Split, Window};

/// Clips by their number: any number to train on, a few to measure with.
pub(super) struct Clips {
    source: ClipSource,
    seed: u64,
    shapes: ClipShapes,
    accumulate: u64,
    /// The batches to measure with: their shape, and the numbers of their clips.
    held_out: Vec<(Window, Range<u64>)>,
}

enum ClipSource {
    Set { set: Box<Set>, split: Split, order: EpochShuffle },
    Procedural { training: DrawnSet, held_out: DrawnSet },
}

impl Clips {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let shapes = ClipShapes::of(settings)?;
        let mut held_out = settings.data.held_out();
        let source = match &settings.data.set {
            Some(path) => {
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
            None => ClipSource::Procedural {
                training: settings.data.drawn(DrawnStream::Training, settings.seed)?,
                held_out: settings.data.drawn(DrawnStream::HeldOut, settings.seed)?,
            },
        };
        let held_out = shapes.held_out(held_out as u64);
        let accumulate = settings.accumulate as u64;
        Ok(Self { source, seed: settings.seed, shapes, accumulate, held_out })
    }

    fn training_clips(&self, step: u64, part: u64) -> Result<Vec<RgbaClip>> {
        let (window, clips) = self.shapes.training((step - 1) * self.accumulate + part);
        clips
            .map(|number| match &self.source {
                ClipSource::Set { set, split, order } => {
                    let row = order.row(&split.training, number);
                    set.clip(row, &window, &mut DataRng::new(self.seed, "clip", &[number]))
                }
                ClipSource::Procedural { training, .. } => {
                    Ok(DrawnClip::draw(training, number, &window).frames)
                }
            })
            .collect()
    }

    fn measures(&self) -> u64 {
        self.held_out.len() as u64
    }

    fn held_out_clips(&self, index: u64) -> Result<Vec<RgbaClip>> {
        let (window, clips) =
            self.held_out.get(index as usize).context("there are not so many batches")?;
        clips
            .clone()
            .map(|number| match &self.source {
                ClipSource::Set { set, split, .. } => {
                    let draw = &mut DataRng::new(self.seed, "held out", &[number]);
                    set.clip(split.held_out[number as usize], window, draw)
                }
                ClipSource::Procedural { held_out, .. } => {
                    Ok(DrawnClip::draw(held_out, number, window).frames)
                }
            })
            .collect()
    }
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
