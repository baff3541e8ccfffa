//! The one TOML file of a run: what is trained, on what, and how often something is kept of it.
//!
//! Paths count from the file's folder. What is left out is as released. A run that goes on must be
//! the run it was: all of this but [`Settings::steps`], [`Settings::optimizer`] and
//! [`Settings::every`] is compared.
//!
//! What stands here above a key stands in `docs/training-settings.md` too, which `reference` makes of
//! these types.

#![forbid(unsafe_code)]

#[cfg(test)]
mod reference;
mod task;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wan_alpha_core::Watch;
use wan_alpha_core::train::{OptimizerSettings, Schedule};
use wan_alpha_take::Precision;

use crate::args::ONE_GPU;
use crate::data::Window;
use crate::data::procedural::{DrawnSet, DrawnStream, Edition, Language};
use crate::text_file;
pub(crate) use task::{BaseVae, RgbaVae, Task, Transformer};

/// What other trainers call the number of GPUs, or how work is shared among them.
const SEVERAL_GPUS: [&str; 16] = [
    "accelerate",
    "ddp",
    "deepspeed",
    "device",
    "devices",
    "distributed",
    "fsdp",
    "gpu",
    "gpus",
    "n_gpus",
    "nodes",
    "nproc_per_node",
    "num_gpus",
    "num_nodes",
    "num_processes",
    "world_size",
];

/// A whole run, as its file says it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Seed of every random draw: of weights that start from nothing, of noise and times, of which
    /// clips come when.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Steps of the run in all, those before it was taken up again included.
    pub(crate) steps: u64,
    /// Clips that are computed at once; memory grows with it. Of `data.shapes`, clips of the first.
    #[serde(default = "one")]
    pub(crate) batch: usize,
    /// Batches whose gradients make one step: as much as a batch of `batch` × `accumulate` clips, or as
    /// that many GPUs with a batch each.
    #[serde(default = "one")]
    pub(crate) accumulate: usize,
    /// What networks compute with; `fp8` is not for training. What is trained, losses and optimizer
    /// are float32 all the same: `bf16` is mixed precision.
    #[serde(default = "f32")]
    pub(crate) precision: Precision,
    /// What is trained: its `kind`, and the settings of that kind.
    pub(crate) task: Task,
    /// What it is trained on.
    pub(crate) data: Data,
    /// How parameters are changed.
    #[serde(default, rename = "optimiser")]
    pub(crate) optimizer: Optimizer,
    /// How often something is kept, measured or drawn.
    #[serde(default)]
    pub(crate) every: Every,
}

/// What is trained on: a data set's clips, procedural clips, or what `data cache` has stored.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Data {
    /// A data set, for autoencoders: a folder with a table, or the table. Exactly one of `set`, `cache`
    /// and `procedural` is given.
    pub(crate) set: Option<PathBuf>,
    /// What `data cache` has stored, for transformers: its folder.
    pub(crate) cache: Option<PathBuf>,
    /// Clips without end, drawn from this seed.
    pub(crate) procedural: Option<u64>,
    /// How many procedural clips a transformer sees, again and again: each is encoded once. Without
    /// it every clip is a new one, and most of a small model's time goes into encoding.
    pub(crate) pool: Option<u64>,
    /// Which procedural clips: 1, of eight kinds of subject, with captions that say whether they are
    /// opaque; 2, of ten kinds, now and then two subjects, with captions that leave the ordinary out
    /// and vary their words. Left out, 1.
    pub(crate) edition: Option<u64>,
    /// The language of procedural clips' captions.
    pub(crate) language: Languages,
    /// Frames of a clip: 1, 5, 9, …. Frames, height and width must be given, but for a `cache`, whose
    /// clips have theirs, and for a tokenizer, which sees none.
    pub(crate) frames: usize,
    /// Rows of a clip in pixels, a multiple of 8.
    pub(crate) height: usize,
    /// Columns of a clip in pixels, a multiple of 8.
    pub(crate) width: usize,
    /// Several shapes in place of `frames`, `height` and `width`. A batch holds clips of one of them,
    /// each as likely, and of one that has other pixels than the first as many more or fewer clips as
    /// makes about the same number of pixels; at least one. A shape may be named twice.
    pub(crate) shapes: Vec<[usize; 3]>,
    /// Clips to measure with, at most; left out, 16. Of a set or a cache they are taken from the 5 % of
    /// its sources that are never trained on.
    pub(crate) held_out: Option<usize>,
}

/// Languages that captions are drawn in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Languages {
    #[default]
    En,
    Zh,
    Both,
}

impl Languages {
    pub(crate) fn all(self) -> Vec<Language> {
        match self {
            Self::En => vec![Language::English],
            Self::Zh => vec![Language::Chinese],
            Self::Both => vec![Language::English, Language::Chinese],
        }
    }
}

impl Data {
    /// The shapes of clips: one at least.
    pub(crate) fn windows(&self) -> Result<Vec<Window>> {
        if self.shapes.is_empty() {
            let keys = ["data.frames", "data.height and data.width"];
            return Ok(vec![window([self.frames, self.height, self.width], keys)?]);
        }
        ensure!(
            [self.frames, self.height, self.width] == [0; 3],
            "data.shapes: stands in place of `frames`, `height` and `width`; leave those out"
        );
        let keys = ["data.shapes, frames", "data.shapes, height and width"];
        self.shapes.iter().map(|shape| window(*shape, keys)).collect()
    }

    /// The procedural clips of a stream, from the seed that is given, or else from `seed`.
    pub(crate) fn drawn(&self, stream: DrawnStream, seed: u64) -> Result<DrawnSet> {
        let number = self.edition.unwrap_or(1);
        let edition = Edition::of(number).with_context(|| {
            format!("data.edition: expected 1 to {}, found {number}", Edition::COUNT)
        })?;
        Ok(DrawnSet { edition, seed: self.procedural.unwrap_or(seed), stream })
    }

    /// Clips to measure with.
    pub(crate) fn held_out(&self) -> usize {
        self.held_out.unwrap_or(16)
    }
}

/// A shape, and the keys that it is given by: of its length and of its sides.
fn window([frames, height, width]: [usize; 3], [length, sides]: [&str; 2]) -> Result<Window> {
    ensure!(frames % 4 == 1, "{length}: expected 1, 5, 9, …, found {frames}");
    ensure!(
        height > 0 && height.is_multiple_of(8) && width > 0 && width.is_multiple_of(8),
        "{sides}: expected multiples of 8, found {height} and {width}"
    );
    Ok(Window { frames, height, width })
}

/// The `[optimiser]` table: what [`OptimizerSettings`] is made from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Optimizer {
    /// The learning rate of AdamW, before the schedule's factor.
    rate: f64,
    /// How the rate goes over the steps; left out, as released: `constant` for autoencoders, and for
    /// transformers `released`, which is a third of it for the first five steps. `cosine` rises over the
    /// first twentieth of the run and falls to a hundredth at its end, which serves short runs.
    schedule: Option<Warm>,
    /// Decay of the first and of the second moment, each from 0 to below 1.
    betas: [f64; 2],
    /// Added to the root of the second moment, above 0.
    eps: f64,
    /// What is taken off a parameter in each step, times the rate.
    weight_decay: f64,
    /// The largest length of all gradients together; longer ones are scaled down. Left out, none are.
    clip: Option<f64>,
    /// Decay of a moving average of the parameters, from 0 to below 1; results, samples and
    /// measurements are then of the average. Left out, none is kept.
    ema: Option<f64>,
}

impl Default for Optimizer {
    fn default() -> Self {
        let OptimizerSettings { rate, betas, eps, weight_decay, clip, ema, .. } =
            OptimizerSettings::default();
        Self { rate, schedule: None, betas, eps, weight_decay, clip, ema }
    }
}

/// How often, in steps; 0 is never. The end of a run counts as every one of them.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Every {
    /// Steps between two writings of the state, to go on from, and of the results so far.
    pub(crate) checkpoint: u64,
    /// How many states are kept, the newest; at least 1.
    pub(crate) keep: usize,
    /// Steps between two measurements of the losses on what is held out.
    pub(crate) evaluate: u64,
    /// Steps between two pictures of what the networks make of what is held out.
    pub(crate) sample: u64,
    /// Steps between two pictures of the loss curves.
    pub(crate) plot: u64,
}

impl Default for Every {
    fn default() -> Self {
        Self { checkpoint: 250, keep: 2, evaluate: 250, sample: 250, plot: 50 }
    }
}

/// The schedule of the learning rate by name, one of [`Schedule`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Warm {
    Constant,
    Released,
    Cosine,
}

impl Settings {
    /// Reads a run's file.
    pub(crate) fn read(path: &Path, watch: &dyn Watch) -> Result<Self> {
        let read = || -> Result<Self> {
            let text = text_file::read_text(path, watch)??;
            let mut settings: Self = toml::from_str(&text).map_err(explain)?;
            settings.check()?;
            let folder = path.parent().unwrap_or(Path::new(""));
            settings.paths().into_iter().for_each(|path| *path = folder.join(&*path));
            Ok(settings)
        };
        read().with_context(|| format!("cannot use the run's settings {}", path.display()))
    }

    fn check(&self) -> Result<()> {
        ensure!(self.steps > 0, "steps: expected at least 1, found 0");
        ensure!(self.batch > 0, "batch: expected at least 1, found 0");
        ensure!(self.accumulate > 0, "accumulate: expected at least 1, found 0");
        let Optimizer { rate, betas, eps, weight_decay, clip, ema, .. } = &self.optimizer;
        let unit = |value: f64| (0.0..1.0).contains(&value);
        ensure!(rate.is_finite() && *rate > 0.0, "optimiser.rate: must be above 0, found {rate}");
        ensure!(*eps > 0.0, "optimiser.eps: must be above 0, found {eps}");
        ensure!(*weight_decay >= 0.0, "optimiser.weight_decay: must not be below 0");
        ensure!(betas.iter().all(|beta| unit(*beta)), "optimiser.betas: each from 0 to below 1");
        ensure!(clip.is_none_or(|clip| clip > 0.0), "optimiser.clip: must be above 0");
        ensure!(ema.is_none_or(unit), "optimiser.ema: from 0 to below 1");
        ensure!(
            self.precision != Precision::Fp8,
            "precision: fp8 is not for training; give f32 or bf16"
        );
        ensure!(self.every.keep > 0, "every.keep: at least one state must be kept");
        if let Task::Tokenizer(_) = &self.task {
            ensure!(
                self.data.procedural.is_some(),
                "data.procedural: a tokenizer is learned from the captions of drawn clips"
            );
        }
        self.task.check()?;
        let sources = [self.data.set.is_some(), self.data.cache.is_some()];
        let sources = sources.iter().filter(|given| **given).count()
            + usize::from(self.data.procedural.is_some());
        ensure!(sources == 1, "data: give one of `set`, `cache` and `procedural`, found {sources}");
        ensure!(
            self.data.edition.is_none() || self.data.procedural.is_some(),
            "data.edition: says which procedural clips are drawn; give `procedural` too"
        );
        self.data.drawn(DrawnStream::Training, self.seed)?;
        let latents = matches!(self.task, Task::Transformer(_) | Task::Dora(_));
        ensure!(
            self.data.pool.is_none_or(|pool| pool > 0 && latents && self.data.procedural.is_some()),
            "data.pool: a number of drawn clips, at least 1, that a transformer is trained on; leave \
             it out otherwise"
        );
        if latents {
            ensure!(
                self.data.set.is_none(),
                "data.set: a transformer is trained on latents; make them with `wan-alpha data \
                 cache` and give `cache`"
            );
            if self.data.procedural.is_some() {
                self.data.windows()?;
            }
        } else {
            ensure!(
                self.data.cache.is_none(),
                "data.cache: an autoencoder is trained on clips; give `set` or `procedural`"
            );
            if !matches!(self.task, Task::Tokenizer(_)) {
                self.data.windows()?;
            }
        }
        Ok(())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let Data { set, cache, .. } = &mut self.data;
        let mut paths: Vec<&mut PathBuf> = set.iter_mut().chain(cache).collect();
        paths.extend(self.task.paths());
        paths
    }

    /// How parameters are changed.
    pub(crate) fn optimizer(&self) -> OptimizerSettings {
        let Optimizer { rate, schedule, betas, eps, weight_decay, clip, ema } = self.optimizer;
        let schedule = match (schedule, &self.task) {
            (Some(Warm::Constant), _) => Schedule::Constant,
            (Some(Warm::Released), _) => Schedule::Released,
            (Some(Warm::Cosine), _) => Schedule::Cosine { steps: self.steps },
            (None, Task::Transformer(_) | Task::Dora(_)) => Schedule::Released,
            (None, _) => Schedule::Constant,
        };
        OptimizerSettings { rate, schedule, betas, eps, weight_decay, clip, ema }
    }

    /// Clips to a step.
    pub(crate) fn clips_per_step(&self) -> u64 {
        (self.batch * self.accumulate) as u64
    }

    /// The fields in which a run that goes on differs from what it was.
    pub(crate) fn differences(&self, before: &Self) -> Result<Vec<String>> {
        let fixed = |settings: &Self| -> Result<serde_json::Value> {
            let mut value = serde_json::to_value(settings)?;
            if let Some(fields) = value.as_object_mut() {
                for free in ["steps", "optimiser", "every"] {
                    fields.remove(free);
                }
            }
            Ok(value)
        };
        let mut found = Vec::new();
        compare("", &fixed(before)?, &fixed(self)?, &mut found);
        Ok(found)
    }
}

/// Of a key that other trainers have for several GPUs, says what to do instead.
fn explain(error: toml::de::Error) -> anyhow::Error {
    let message = error.message();
    let key = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let asked = key.is_some_and(|key| SEVERAL_GPUS.contains(&key));
    let error = anyhow::Error::from(error);
    if asked { error.context(ONE_GPU) } else { error }
}

fn compare(
    place: &str,
    before: &serde_json::Value,
    now: &serde_json::Value,
    found: &mut Vec<String>,
) {
    if let (Some(a), Some(b)) = (before.as_object(), now.as_object()) {
        let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
        let nothing = serde_json::Value::Null;
        for name in names {
            let get = |fields: &serde_json::Map<_, _>| fields.get(name).cloned();
            let (a, b) = (get(a).unwrap_or(nothing.clone()), get(b).unwrap_or(nothing.clone()));
            let separator = if place.is_empty() { "" } else { "." };
            compare(&format!("{place}{separator}{name}"), &a, &b, found);
        }
    } else if before != now {
        found.push(format!("{place} was {before} and is {now}"));
    }
}

const fn f32() -> Precision {
    Precision::F32
}

const fn one() -> usize {
    1
}

#[cfg(test)]
mod tests;
