//! The one TOML file of a run: what is trained, on what, and how often something is kept of it.
//!
//! Paths count from the file's folder. What is left out is as released. A run that goes on must be
//! the run it was: all of this but [`Settings::steps`] and [`Settings::every`] is compared.

#![forbid(unsafe_code)]

mod task;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wan_alpha_core::train::{OptimizerSettings, Schedule};
use wan_alpha_take::Precision;

use crate::data::Window;
use crate::data::procedural::Language;
pub(crate) use task::{BaseVae, RgbaVae, Task, Transformer};

/// A whole run, as its file says it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Of every random draw.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Steps of the run in all, those before it was taken up again included.
    pub(crate) steps: u64,
    /// Clips of a batch.
    #[serde(default = "one")]
    pub(crate) batch: usize,
    /// Batches to a step.
    #[serde(default = "one")]
    pub(crate) accumulate: usize,
    /// What networks compute with. What is trained and the losses are float32 all the same: bf16 is
    /// mixed precision.
    #[serde(default = "f32")]
    pub(crate) precision: Precision,
    pub(crate) task: Task,
    pub(crate) data: Data,
    #[serde(default, rename = "optimiser")]
    pub(crate) optimizer: Optimizer,
    #[serde(default)]
    pub(crate) every: Every,
}

/// What is trained on: a data set's clips, procedural clips, or what `data cache` has stored.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Data {
    /// A folder with a table, or the table.
    pub(crate) set: Option<PathBuf>,
    /// The folder of a cache.
    pub(crate) cache: Option<PathBuf>,
    /// Clips without end, drawn from this seed.
    pub(crate) procedural: Option<u64>,
    /// How many procedural clips a transformer sees, again and again: each is encoded once. Without
    /// it every clip is a new one, and most of a small model's time goes into encoding.
    pub(crate) pool: Option<u64>,
    /// Of procedural clips' captions.
    pub(crate) language: Languages,
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Clips, at most, to measure with.
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
    pub(crate) fn window(&self) -> Result<Window> {
        let Self { frames, height, width, .. } = *self;
        ensure!(frames % 4 == 1, "data.frames: expected 1, 5, 9, …, found {frames}");
        ensure!(
            height > 0 && height.is_multiple_of(8) && width > 0 && width.is_multiple_of(8),
            "data.height and data.width: expected multiples of 8, found {height} and {width}"
        );
        Ok(Window { frames, height, width })
    }

    /// Clips to measure with.
    pub(crate) fn held_out(&self) -> usize {
        self.held_out.unwrap_or(16)
    }
}

/// The `[optimizer]` table: what [`OptimizerSettings`] is made from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Optimizer {
    rate: f64,
    /// As released if left out: constant for autoencoders, a third for five steps for transformers.
    schedule: Option<Warm>,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    clip: Option<f64>,
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
    /// The state, to go on from, and the results so far.
    pub(crate) checkpoint: u64,
    /// How many states are kept.
    pub(crate) keep: usize,
    /// Losses on what is held out.
    pub(crate) evaluate: u64,
    /// Pictures of what the networks make.
    pub(crate) sample: u64,
    /// The picture of the loss curves.
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
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let text = std::fs::read_to_string(path)?;
            let mut settings: Self = toml::from_str(&text)?;
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
                self.data.window()?;
            }
        } else {
            ensure!(
                self.data.cache.is_none(),
                "data.cache: an autoencoder is trained on clips; give `set` or `procedural`"
            );
            self.data.window()?;
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
