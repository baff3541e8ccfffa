//! Latents as batches, from what `wan-alpha data cache` has stored; for transformers.
//!
//! A batch holds latents of one shape.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::train::{LatentBatch, StepRng, Texts};

use super::batch_source::BatchSource;
use super::batches_by_shape::BatchesByShape;
use super::settings::Settings;
use crate::data::cache::{CacheIndex, Entry};
use crate::data::split;

/// See the module's head.
pub(super) struct LatentFeed {
    cache: CacheIndex,
    tokenizer: Option<Tokenizer>,
    /// Tokens that the transformer attends to.
    text_length: usize,
    /// Whether latents begin with an image.
    with_images: bool,
    accumulate: u64,
    training: BatchesByShape,
    /// Batches to measure with.
    held_out: Vec<Vec<usize>>,
}

impl LatentFeed {
    /// Texts are contexts of the cache, or token ids where there is a tokenizer; none has more tokens than the
    /// transformer takes. The clips of an image-to-video transformer begin with their first frames.
    pub(super) fn open(
        opened: Device,
        settings: &Settings,
        tokenizer: Option<Tokenizer>,
        transformer: &DitConfig,
    ) -> Result<Self> {
        let with_images = transformer.is_image_to_video();
        let text_length = transformer.text_tokens();
        let Some(path) = &settings.data.cache else { bail!("data.cache is missing") };
        let cache = CacheIndex::open(opened, path)?;
        let kind = |image: bool| if image { "an image-to-video" } else { "a text-to-video" };
        if let Some(line) = cache.lines.iter().find(|line| line.image != with_images) {
            bail!(
                "{}: row {} is cached for {} transformer, and task.base is {} one: cache the set with that \
                 model",
                path.display(),
                line.row,
                kind(line.image),
                kind(with_images)
            );
        }
        match &tokenizer {
            Some(tokenizer) => {
                let captions = cache.lines.iter().flat_map(|line| &line.captions);
                for caption in captions.collect::<BTreeSet<_>>() {
                    tokenizer.encode_whole(caption, text_length)?;
                }
            }
            None => cache.check_contexts(text_length)?,
        }
        let sources: Vec<&str> = cache.lines.iter().map(|line| line.source.as_str()).collect();
        let split = split(&sources, settings.seed);
        ensure!(!split.training.is_empty(), "{}: nothing is left to train on", path.display());
        let by_shape = |rows: &[usize]| -> Vec<Vec<usize>> {
            let mut shapes: BTreeMap<[usize; 3], Vec<usize>> = BTreeMap::new();
            for &row in rows {
                let line = &cache.lines[row];
                shapes.entry([line.frames, line.height, line.width]).or_default().push(row);
            }
            shapes.into_values().collect()
        };
        let (seed, batch) = (settings.seed, settings.batch);
        let wanted = &split.held_out[..settings.data.held_out().min(split.held_out.len())];
        let held_out = by_shape(wanted);
        let held_out = held_out.iter().flat_map(|rows| rows.chunks(batch).map(<[usize]>::to_vec));
        let held_out = held_out.collect();
        let shapes = by_shape(&split.training).into_iter().map(|rows| (rows, batch)).collect();
        let training = BatchesByShape::new(seed, shapes);
        let accumulate = settings.accumulate as u64;
        Ok(Self { cache, tokenizer, text_length, with_images, accumulate, training, held_out })
    }

    fn read(&self, rows: &[usize]) -> Result<Vec<(usize, Entry)>> {
        rows.iter().map(|&row| Ok((row, self.cache.read(row)?))).collect()
    }
}

impl BatchSource for LatentFeed {
    type Raw = Vec<(usize, Entry)>;
    type Batch = LatentBatch;

    fn training(&self, step: u64, part: u64) -> Result<Self::Raw> {
        self.read(&self.training.get((step - 1) * self.accumulate + part))
    }

    fn eval_batches(&self) -> u64 {
        self.held_out.len() as u64
    }

    fn measure(&self, index: u64) -> Result<Self::Raw> {
        let batch = self.held_out.get(index as usize).context("there are not so many batches")?;
        self.read(batch)
    }

    fn batch(&self, raw: &Self::Raw, rng: &StepRng) -> Result<LatentBatch> {
        let texts = match &self.tokenizer {
            Some(tokenizer) => {
                let tokens = raw.iter().enumerate().map(|(place, (row, _))| {
                    let captions = &self.cache.lines[*row].captions;
                    let which = rng.index(&format!("caption {place}"), captions.len() as u64);
                    let caption = captions.get(which as usize).map_or("", String::as_str);
                    tokenizer.encode_whole(caption, self.text_length)
                });
                tokens.collect::<wan_alpha_core::Result<_>>().map(Texts::Tokens)
            }
            None => {
                // An entry has one at least.
                let contexts = raw.iter().enumerate().map(|(place, (_, entry))| {
                    let contexts = &entry.contexts;
                    let which = rng.index(&format!("caption {place}"), contexts.len() as u64);
                    contexts[which as usize].shallow_clone()
                });
                Ok(Texts::Contexts(contexts.collect()))
            }
        };
        let texts = texts?;
        let stack = |of: fn(&Entry) -> &Tensor| {
            let each: Vec<_> = raw.iter().map(|(_, entry)| of(entry)).collect();
            Tensor::f_stack(&each, 0).map_err(wan_alpha_core::Error::from)
        };
        let latents = stack(|entry| &entry.latent)?;
        let images = self.with_images.then(|| raw.iter().map(|(_, entry)| entry.image_condition()));
        let images = images.map(|images| images.collect::<Result<_>>()).transpose()?;
        Ok(LatentBatch { latents, masks: Some(stack(|entry| &entry.mask)?), texts, images })
    }
}
