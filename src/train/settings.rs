//! The one TOML file of a run: what is trained, on what, and how often something is kept of it.
//!
//! Paths count from the file's folder. What is left out is as released. A run that goes on must be
//! the run it was: all of this but [`Settings::steps`] and [`Settings::every`] is compared.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    BaseVaeSettings, Bidirectional, DORA_TARGETS, MergeStart, OptimiserSettings, RgbaVaeSettings,
    Schedule, TimeRounding, Trained, TransformerSettings, Umt5Config, VaeConfig,
};
use wan_alpha_take::Precision;

use crate::data::Window;
use crate::data::procedural::Language;

/// A whole run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Of every random draw.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Steps in all.
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
    #[serde(default)]
    pub(crate) optimiser: Optimiser,
    #[serde(default)]
    pub(crate) every: Every,
}

/// What is trained.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Pieces of words, from the captions of the steps' clips.
    Tokenizer(Pieces),
    /// A video autoencoder, of colour and of alpha.
    BaseVae(BaseVae),
    /// Merge block and decoder LoRAs.
    RgbaVae(RgbaVae),
    /// A whole transformer, with its text encoder where one is given.
    Transformer(Transformer),
    /// A DoRA for a transformer.
    Dora(Transformer),
}

/// See [`wan_alpha_core::train::tokenizer`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pieces {
    /// How many, at most, special ones and bytes included.
    pub(crate) vocabulary: usize,
}

/// See [`wan_alpha_core::train::BaseVae`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BaseVae {
    /// Channels at full resolution, of one that starts from nothing.
    pub(crate) dim: Option<i64>,
    /// Files of one to go on from.
    pub(crate) start: Vec<PathBuf>,
    /// torchvision's VGG16.
    pub(crate) vgg: Option<PathBuf>,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) edge: f64,
    pub(crate) perceptual: f64,
    pub(crate) divergence: f64,
    /// Clips over which the latents' mean and deviation are measured and folded in at the end.
    pub(crate) calibrate: usize,
}

impl Default for BaseVae {
    fn default() -> Self {
        let BaseVaeSettings { l1, l2, edge, perceptual, divergence } = BaseVaeSettings::default();
        let (dim, start, vgg) = (None, Vec::new(), None);
        Self { dim, start, vgg, l1, l2, edge, perceptual, divergence, calibrate: 0 }
    }
}

/// See [`RgbaVaeSettings`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RgbaVae {
    /// The base autoencoder.
    pub(crate) base: Vec<PathBuf>,
    /// Merge block and LoRAs to go on from.
    pub(crate) start: Option<PathBuf>,
    /// The frozen transformer of the bidirectional loss.
    pub(crate) dit: Vec<PathBuf>,
    /// Its text encoder and tokenizer, for the empty prompt; without them the prompt is nothing at
    /// all: rows of zeros.
    pub(crate) text: Vec<PathBuf>,
    pub(crate) vgg: Option<PathBuf>,
    pub(crate) rank: i64,
    pub(crate) merge: Merge,
    pub(crate) rendering: bool,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) edge: f64,
    pub(crate) perceptual: f64,
    pub(crate) bidirectional: f64,
    pub(crate) form: Form,
    pub(crate) rounding: Rounding,
    pub(crate) normalise: bool,
    pub(crate) recompute: bool,
    /// Clips over which merged latents' mean and deviation are measured and folded in at the end;
    /// the base autoencoder is then among the results. For models that start from nothing.
    pub(crate) calibrate: usize,
}

impl Default for RgbaVae {
    fn default() -> Self {
        let RgbaVaeSettings {
            rank,
            rendering,
            l1,
            l2,
            edge,
            perceptual,
            bidirectional,
            normalise,
            recompute,
            ..
        } = RgbaVaeSettings::default();
        Self {
            base: Vec::new(),
            start: None,
            dit: Vec::new(),
            text: Vec::new(),
            vgg: None,
            rank,
            merge: Merge::Random,
            rendering,
            l1,
            l2,
            edge,
            perceptual,
            bidirectional,
            form: Form::Released,
            rounding: Rounding::None,
            normalise,
            recompute,
            calibrate: 0,
        }
    }
}

/// See [`TransformerSettings`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Transformer {
    /// Sizes of a transformer that starts from nothing.
    pub(crate) dit: Option<Dit>,
    /// Files of one there is.
    pub(crate) base: Vec<PathBuf>,
    /// A DoRA to go on from.
    pub(crate) start: Option<PathBuf>,
    /// Sizes of a text encoder that starts from nothing and is trained along.
    pub(crate) text: Option<Text>,
    /// Files of a text encoder that is trained along.
    pub(crate) text_base: Vec<PathBuf>,
    /// Of the text encoder that is trained along.
    pub(crate) tokenizer: Option<PathBuf>,
    /// Text encoder and tokenizer of drawn clips' captions, where none is trained along.
    pub(crate) text_frozen: Vec<PathBuf>,
    /// What makes latents of drawn clips: an autoencoder, with its merge block where they are RGBA.
    pub(crate) encoder: Vec<PathBuf>,
    pub(crate) rank: i64,
    pub(crate) targets: Vec<String>,
    pub(crate) mu: f64,
    pub(crate) rounding: Rounding,
    pub(crate) recompute: bool,
    /// Decoders to look at samples with: files of a model.
    pub(crate) decoders: Vec<PathBuf>,
}

impl Default for Transformer {
    fn default() -> Self {
        let TransformerSettings { mu, recompute, .. } = TransformerSettings::default();
        Self {
            dit: None,
            base: Vec::new(),
            start: None,
            text: None,
            text_base: Vec::new(),
            tokenizer: None,
            text_frozen: Vec::new(),
            encoder: Vec::new(),
            rank: 32,
            targets: DORA_TARGETS.map(str::to_owned).into(),
            mu,
            rounding: Rounding::None,
            recompute,
            decoders: Vec::new(),
        }
    }
}

/// Sizes of a transformer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dit {
    dim: i64,
    heads: i64,
    layers: usize,
    ffn: i64,
    #[serde(default = "freq_dim")]
    freq_dim: i64,
    text_dim: i64,
    #[serde(default = "text_length")]
    text_length: i64,
}

impl Dit {
    pub(crate) fn config(&self) -> DitConfig {
        let Self { dim, heads, layers, ffn, freq_dim, text_dim, text_length } = *self;
        DitConfig {
            dim,
            heads,
            layers,
            ffn,
            freq_dim,
            text_dim,
            in_channels: 16,
            out_channels: 16,
            text_length,
            eps: 1e-6,
        }
    }
}

/// Sizes of a text encoder.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    vocabulary: i64,
    dim: i64,
    /// Channels of all heads together [default: dim].
    attention: Option<i64>,
    heads: i64,
    ffn: i64,
    layers: usize,
}

impl Text {
    pub(crate) fn config(&self) -> Umt5Config {
        let Self { vocabulary, dim, attention, heads, ffn, layers } = *self;
        Umt5Config { vocabulary, dim, attention: attention.unwrap_or(dim), heads, ffn, layers }
    }
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

/// Languages of captions.
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

/// See [`OptimiserSettings`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Optimiser {
    rate: f64,
    /// As released if left out: constant for autoencoders, a third for five steps for transformers.
    schedule: Option<Warm>,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    clip: Option<f64>,
    ema: Option<f64>,
}

impl Default for Optimiser {
    fn default() -> Self {
        let OptimiserSettings { rate, betas, eps, weight_decay, clip, ema, .. } =
            OptimiserSettings::default();
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
    /// The curves.
    pub(crate) plot: u64,
}

impl Default for Every {
    fn default() -> Self {
        Self { checkpoint: 250, keep: 2, evaluate: 250, sample: 250, plot: 50 }
    }
}

/// See [`Bidirectional`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    Released,
    Paper,
    Clamped,
}

/// See [`MergeStart`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Merge {
    Random,
    Colour,
}

/// See [`TimeRounding`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rounding {
    None,
    Bf16,
}

/// See [`Schedule`].
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
        let Optimiser { rate, betas, eps, weight_decay, clip, ema, .. } = &self.optimiser;
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
        match &self.task {
            Task::Tokenizer(_) => ensure!(
                self.data.procedural.is_some(),
                "data.procedural: a tokenizer is learnt from the captions of drawn clips"
            ),
            Task::BaseVae(BaseVae { dim, start, .. }) => ensure!(
                dim.is_some() == start.is_empty(),
                "task: give either `dim`, to start from nothing, or `start`, files to go on from"
            ),
            Task::RgbaVae(task) => {
                ensure!(
                    !task.base.is_empty(),
                    "task.base: the base autoencoder's files are missing"
                );
                ensure!(task.rank > 0, "task.rank: expected at least 1, found {}", task.rank);
            }
            Task::Transformer(task) => ensure!(
                task.dit.is_some() == task.base.is_empty(),
                "task: give either `dit`, sizes to start from nothing, or `base`, files"
            ),
            Task::Dora(task) => {
                ensure!(!task.base.is_empty(), "task.base: the transformer's files are missing");
                ensure!(task.rank > 0, "task.rank: expected at least 1, found {}", task.rank);
            }
        }
        if let Task::Transformer(task) | Task::Dora(task) = &self.task {
            let trained_along = task.text.is_some() || !task.text_base.is_empty();
            ensure!(
                trained_along == task.tokenizer.is_some(),
                "task: a text encoder that is trained along and a tokenizer belong together"
            );
        }
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
        match &mut self.task {
            Task::Tokenizer(_) => {}
            Task::BaseVae(BaseVae { start, vgg, .. }) => paths.extend(start.iter_mut().chain(vgg)),
            Task::RgbaVae(RgbaVae { base, start, dit, text, vgg, .. }) => {
                paths.extend(base.iter_mut().chain(start).chain(dit).chain(text).chain(vgg));
            }
            Task::Transformer(task) | Task::Dora(task) => {
                let Transformer { base, start, text_base, tokenizer, .. } = task;
                paths.extend(base.iter_mut().chain(start).chain(text_base).chain(tokenizer));
                let Transformer { text_frozen, encoder, decoders, .. } = task;
                paths.extend(text_frozen.iter_mut().chain(encoder).chain(decoders));
            }
        }
        paths
    }

    /// How parameters are changed.
    pub(crate) fn optimiser(&self) -> OptimiserSettings {
        let Optimiser { rate, schedule, betas, eps, weight_decay, clip, ema } = self.optimiser;
        let schedule = match (schedule, &self.task) {
            (Some(Warm::Constant), _) => Schedule::Constant,
            (Some(Warm::Released), _) => Schedule::Released,
            (Some(Warm::Cosine), _) => Schedule::Cosine { steps: self.steps },
            (None, Task::Transformer(_) | Task::Dora(_)) => Schedule::Released,
            (None, _) => Schedule::Constant,
        };
        OptimiserSettings { rate, schedule, betas, eps, weight_decay, clip, ema }
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

impl BaseVae {
    pub(crate) fn settings(&self) -> BaseVaeSettings {
        let Self { l1, l2, edge, perceptual, divergence, .. } = *self;
        BaseVaeSettings { l1, l2, edge, perceptual, divergence }
    }

    pub(crate) fn config(&self) -> Option<VaeConfig> {
        self.dim.map(|dim| VaeConfig { dim })
    }
}

impl RgbaVae {
    pub(crate) fn settings(&self) -> RgbaVaeSettings {
        let Self { rank, rendering, l1, l2, edge, perceptual, .. } = *self;
        let Self { bidirectional, normalise, recompute, .. } = *self;
        RgbaVaeSettings {
            rank,
            merge: match self.merge {
                Merge::Random => MergeStart::Random,
                Merge::Colour => MergeStart::Colour,
            },
            rendering,
            l1,
            l2,
            edge,
            perceptual,
            bidirectional,
            form: match self.form {
                Form::Released => Bidirectional::Released,
                Form::Paper => Bidirectional::Paper,
                Form::Clamped => Bidirectional::Clamped,
            },
            rounding: self.rounding.settings(),
            normalise,
            recompute,
        }
    }
}

impl Transformer {
    pub(crate) fn settings(&self, whole: bool) -> TransformerSettings {
        let Self { rank, ref targets, mu, rounding, recompute, .. } = *self;
        let trained =
            if whole { Trained::Whole } else { Trained::Dora { rank, targets: targets.clone() } };
        TransformerSettings { trained, mu, rounding: rounding.settings(), recompute }
    }
}

impl Rounding {
    fn settings(self) -> TimeRounding {
        match self {
            Self::None => TimeRounding::None,
            Self::Bf16 => TimeRounding::BFloat16,
        }
    }
}

const fn f32() -> Precision {
    Precision::F32
}

const fn one() -> usize {
    1
}

const fn freq_dim() -> i64 {
    256
}

const fn text_length() -> i64 {
    512
}

#[cfg(test)]
mod tests;
