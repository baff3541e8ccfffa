//! What is trained, as the file of a run says it: the `[task]` table.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    BaseVaeSettings, Bidirectional, DORA_TARGETS, HardAlpha, MergeStart, RgbaVaeSettings,
    TimeRounding, Trained, TransformerSettings, Umt5Config, VaeConfig,
};

/// Which of the trainings a run is, and its settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Pieces of words, from the captions of the steps' clips.
    Tokenizer(Pieces),
    /// A video autoencoder, of color and of alpha.
    BaseVae(BaseVae),
    /// Merge block and decoder LoRAs.
    RgbaVae(RgbaVae),
    /// A whole transformer, with its text encoder where one is given.
    Transformer(Transformer),
    /// A DoRA for a transformer.
    Dora(Transformer),
}

impl Task {
    /// What can be said of it without looking at a file.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Tokenizer(_) => {}
            Self::BaseVae(BaseVae { dim, start, .. }) => ensure!(
                dim.is_some() == start.is_empty(),
                "task: give either `dim`, to start from nothing, or `start`, files to go on from"
            ),
            Self::RgbaVae(task) => {
                ensure!(
                    !task.base.is_empty(),
                    "task.base: the base autoencoder's files are missing"
                );
                ensure!(task.rank > 0, "task.rank: expected at least 1, found {}", task.rank);
                ensure!(
                    task.latent_noise.is_finite() && task.latent_noise >= 0.0,
                    "task.latent_noise: expected 0 or more, found {}",
                    task.latent_noise
                );
                ensure!(
                    !task.freeze_merge || task.start.is_some(),
                    "task.freeze_merge: a merge block that stays as it is must come from somewhere; \
                     give `start`"
                );
                ensure!(
                    !task.freeze_merge || task.dit.is_empty(),
                    "task.dit: the bidirectional loss teaches latents, which `freeze_merge` keeps; \
                     leave one out"
                );
                ensure!(
                    !task.freeze_merge || task.calibrate == 0,
                    "task.calibrate: changes latents, which `freeze_merge` keeps; leave one out"
                );
                ensure!(
                    task.align == 0 || task.start.is_some(),
                    "task.align: brings latents back to those of `start`, which is missing"
                );
                ensure!(
                    task.align == 0 || (task.calibrate == 0 && !task.freeze_merge),
                    "task.align: brings latents back, where `calibrate` gives them another scale and \
                     `freeze_merge` keeps them; leave all but one out"
                );
            }
            Self::Transformer(task) => ensure!(
                task.dit.is_some() == task.base.is_empty(),
                "task: give either `dit`, sizes to start from nothing, or `base`, files"
            ),
            Self::Dora(task) => {
                ensure!(!task.base.is_empty(), "task.base: the transformer's files are missing");
                ensure!(task.rank > 0, "task.rank: expected at least 1, found {}", task.rank);
            }
        }
        if let Self::Transformer(task) | Self::Dora(task) = self {
            let trained_along = task.text.is_some() || !task.text_base.is_empty();
            ensure!(
                trained_along == task.tokenizer.is_some(),
                "task: a text encoder that is trained along and a tokenizer belong together"
            );
        }
        Ok(())
    }

    /// Every path in it.
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Tokenizer(_) => Vec::new(),
            Self::BaseVae(BaseVae { start, vgg, .. }) => start.iter_mut().chain(vgg).collect(),
            Self::RgbaVae(RgbaVae { base, start, dit, text, vgg, .. }) => {
                base.iter_mut().chain(start).chain(dit).chain(text).chain(vgg).collect()
            }
            Self::Transformer(task) | Self::Dora(task) => {
                let Transformer { base, start, text_base, tokenizer, .. } = task;
                let Transformer { text_frozen, encoder, image_encoder, decoders, .. } = task;
                let trained = base.iter_mut().chain(start).chain(text_base).chain(tokenizer);
                let drawn = text_frozen.iter_mut().chain(encoder).chain(image_encoder);
                trained.chain(drawn).chain(decoders).collect()
            }
        }
    }
}

/// The settings of [`wan_alpha_core::train::tokenizer`], by which pieces are learned.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pieces {
    /// How many pieces, at most, special ones and the 256 bytes included.
    pub(crate) vocabulary: usize,
}

/// The settings of [`wan_alpha_core::train::BaseVae`], and the files it begins with.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BaseVae {
    /// Channels at full resolution of an autoencoder that starts from nothing (Wan's has 96). Either
    /// this or `start`.
    pub(crate) dim: Option<i64>,
    /// Files of an autoencoder to go on from.
    pub(crate) start: Vec<PathBuf>,
    /// The weights of torchvision's VGG16, for the perceptual loss; without them it counts nothing.
    pub(crate) vgg: Option<PathBuf>,
    /// Weight of the mean absolute error.
    pub(crate) l1: f64,
    /// Weight of the mean squared error, which finds the colors of large flat areas.
    pub(crate) l2: f64,
    /// Weight of the difference of edges.
    pub(crate) edge: f64,
    /// Weight of the difference of VGG16's features.
    pub(crate) perceptual: f64,
    /// Weight of how unevenly wrong the steps between pixels are over a latent's cell: against a grid.
    pub(crate) phases: f64,
    /// Weight of how wrong a clip changes into the first frame of a latent frame: against jumps there.
    pub(crate) borders: f64,
    /// Weight of the divergence of the latents from the released latents' mean and deviation.
    pub(crate) divergence: f64,
    /// Clips over which the latents' mean and deviation are measured and folded in at the end, so that
    /// they are those that everything after the autoencoder divides by; 0 leaves them.
    pub(crate) calibrate: usize,
}

impl Default for BaseVae {
    fn default() -> Self {
        let usual = BaseVaeSettings::default();
        Self {
            dim: None,
            start: Vec::new(),
            vgg: None,
            l1: usual.l1,
            l2: usual.l2,
            edge: usual.edge,
            perceptual: usual.perceptual,
            phases: usual.phases,
            borders: usual.borders,
            divergence: usual.divergence,
            calibrate: 0,
        }
    }
}

/// What [`RgbaVaeSettings`] is made from, and the files that the run begins with.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RgbaVae {
    /// The files of the base autoencoder; must be given.
    pub(crate) base: Vec<PathBuf>,
    /// A merge block with LoRAs to go on from, such as `Wan-Alpha-VAE.bin`.
    pub(crate) start: Option<PathBuf>,
    /// The frozen transformer of the bidirectional loss; without one that counts nothing.
    pub(crate) dit: Vec<PathBuf>,
    /// Its text encoder and tokenizer, for the empty prompt; without them the prompt is nothing at
    /// all: rows of zeros.
    pub(crate) text: Vec<PathBuf>,
    /// The weights of torchvision's VGG16, for the perceptual loss; without them it counts nothing.
    pub(crate) vgg: Option<PathBuf>,
    /// Rank of the decoders' LoRAs; their alpha is 1, as released.
    pub(crate) rank: i64,
    /// What the merge block begins as: `random` as released, or `colour`, which passes the base's own
    /// latent of the color on, for models that start from nothing.
    pub(crate) merge: Merge,
    /// Whether the merge block stays as `start` has it, and the decoders alone are trained.
    pub(crate) freeze_merge: bool,
    /// Whether color is compared by the hard and the soft rendering over drawn colors, or else as it is.
    pub(crate) rendering: bool,
    /// Whose alpha cuts the hard rendering of what is predicted: its `own`, as released, or the `truth`.
    pub(crate) hard: Hard,
    /// Weight of the mean absolute error.
    pub(crate) l1: f64,
    /// Weight of the mean squared error, which the released training does not have.
    pub(crate) l2: f64,
    /// Weight of the difference of edges.
    pub(crate) edge: f64,
    /// Weight of the difference of VGG16's features.
    pub(crate) perceptual: f64,
    /// Weight of how unevenly wrong the steps between pixels are over a latent's cell: against a grid.
    pub(crate) phases: f64,
    /// Weight of how wrong a clip changes into the first frame of a latent frame: against jumps there.
    pub(crate) borders: f64,
    /// The most noise that a clip's latent gets before it is decoded in training, in deviations of
    /// latents: decoders learn to make the same of latents that a transformer is a little wrong about.
    pub(crate) latent_noise: f64,
    /// Weight of the bidirectional loss through the frozen transformer.
    pub(crate) bidirectional: f64,
    /// The form of the bidirectional loss: `released`, where what pushes away is clamped to nothing;
    /// `paper`, its equation 3; `clamped`, the same within bounds.
    pub(crate) form: Form,
    /// How the times of the bidirectional loss are rounded: not, or to `bf16` as the released trainer
    /// does.
    pub(crate) rounding: Rounding,
    /// Whether latents are normalized before the transformer sees them; the released training does not.
    #[serde(rename = "normalise")]
    pub(crate) normalize: bool,
    /// Whether the transformer's blocks keep only their inputs and compute the rest once more: less
    /// memory, more time.
    pub(crate) recompute: bool,
    /// Clips over which merged latents' mean and deviation are measured and folded in at the end;
    /// the base autoencoder is then among the results. For models that start from nothing; 0 leaves
    /// them.
    pub(crate) calibrate: usize,
    /// Clips over which merged latents are brought back at the end, by a linear map, to those that
    /// `start` makes of them, so that little is new to a transformer that has learned those; the base
    /// autoencoder is then among the results. 0 leaves them.
    pub(crate) align: usize,
}

impl Default for RgbaVae {
    fn default() -> Self {
        let usual = RgbaVaeSettings::default();
        Self {
            base: Vec::new(),
            start: None,
            dit: Vec::new(),
            text: Vec::new(),
            vgg: None,
            rank: usual.rank,
            merge: Merge::Random,
            freeze_merge: usual.freeze_merge,
            rendering: usual.rendering,
            hard: Hard::Own,
            l1: usual.l1,
            l2: usual.l2,
            edge: usual.edge,
            perceptual: usual.perceptual,
            phases: usual.phases,
            borders: usual.borders,
            latent_noise: usual.latent_noise,
            bidirectional: usual.bidirectional,
            form: Form::Released,
            rounding: Rounding::None,
            normalize: usual.normalize,
            recompute: usual.recompute,
            calibrate: 0,
            align: 0,
        }
    }
}

/// What [`TransformerSettings`] is made from, and the files that the run begins with.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Transformer {
    /// Sizes of a transformer that starts from nothing, for the kind `transformer`. Either this or
    /// `base`.
    pub(crate) dit: Option<Dit>,
    /// Files of a transformer: to go on with, or what a DoRA is for.
    pub(crate) base: Vec<PathBuf>,
    /// A DoRA to go on from.
    pub(crate) start: Option<PathBuf>,
    /// Sizes of a text encoder that starts from nothing and is trained along.
    pub(crate) text: Option<Text>,
    /// Files of a text encoder that is trained along.
    pub(crate) text_base: Vec<PathBuf>,
    /// The `tokenizer.json` of a text encoder that is trained along.
    pub(crate) tokenizer: Option<PathBuf>,
    /// Text encoder and tokenizer of drawn clips' captions, where none is trained along.
    pub(crate) text_frozen: Vec<PathBuf>,
    /// What makes latents of drawn clips: an autoencoder, with its merge block where they are RGBA.
    pub(crate) encoder: Vec<PathBuf>,
    /// What an image-to-video `base` sees the first frames of drawn clips with: its image encoder.
    pub(crate) image_encoder: Vec<PathBuf>,
    /// Rank of a DoRA; its alpha is its rank, as released.
    pub(crate) rank: i64,
    /// Ends of the names of the layers of the blocks that a DoRA changes.
    pub(crate) targets: Vec<String>,
    /// How much the mean of the noise is raised where the mask of the ellipse is 0; 0 does without
    /// ellipses.
    pub(crate) mu: f64,
    /// How times are rounded: not, or to `bf16` as the released trainer does.
    pub(crate) rounding: Rounding,
    /// Whether blocks keep only their inputs and compute the rest once more: less memory, more time.
    pub(crate) recompute: bool,
    /// Decoders to look at samples with: files of a model. Without them there are no samples.
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
            image_encoder: Vec::new(),
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
    /// Channels, a multiple of `heads`.
    dim: i64,
    /// Heads of attention.
    heads: i64,
    /// How many blocks.
    layers: usize,
    /// Channels between the two layers of a feed-forward part.
    ffn: i64,
    /// Channels of the sines and cosines that stand for a time.
    #[serde(default = "freq_dim")]
    freq_dim: i64,
    /// Channels of the text encoder's contexts.
    text_dim: i64,
    /// Tokens of a context, filled up with zeros.
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
            image: None,
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
    /// How many different tokens there are, as many as the tokenizer's.
    vocabulary: i64,
    /// Channels, which are the transformer's `text_dim`.
    dim: i64,
    /// Channels of all heads together; left out, `dim`.
    attention: Option<i64>,
    /// Heads of attention.
    heads: i64,
    /// Channels between the two layers of a feed-forward part.
    ffn: i64,
    /// How many blocks.
    layers: usize,
}

impl Text {
    pub(crate) fn config(&self) -> Umt5Config {
        let Self { vocabulary, dim, attention, heads, ffn, layers } = *self;
        Umt5Config { vocabulary, dim, attention: attention.unwrap_or(dim), heads, ffn, layers }
    }
}

/// The form of the bidirectional loss by name, one of [`Bidirectional`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    Released,
    Paper,
    Clamped,
}

/// What a merge block begins as, by name: one of [`MergeStart`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Merge {
    Random,
    #[serde(rename = "colour")]
    Color,
}

/// Whose alpha the hard rendering takes, by name: one of [`HardAlpha`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hard {
    Own,
    Truth,
}

/// How times are rounded, by name: one of [`TimeRounding`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rounding {
    None,
    Bf16,
}

impl BaseVae {
    pub(crate) fn settings(&self) -> BaseVaeSettings {
        let Self { l1, l2, edge, perceptual, phases, borders, divergence, .. } = *self;
        BaseVaeSettings { l1, l2, edge, perceptual, phases, borders, divergence }
    }

    pub(crate) fn config(&self) -> Option<VaeConfig> {
        self.dim.map(|dim| VaeConfig { dim })
    }
}

impl RgbaVae {
    pub(crate) fn settings(&self) -> RgbaVaeSettings {
        let Self { rank, freeze_merge, rendering, l1, l2, edge, perceptual, .. } = *self;
        let Self { phases, borders, latent_noise, bidirectional, normalize, recompute, .. } = *self;
        RgbaVaeSettings {
            rank,
            merge: match self.merge {
                Merge::Random => MergeStart::Random,
                Merge::Color => MergeStart::Color,
            },
            freeze_merge,
            rendering,
            hard: match self.hard {
                Hard::Own => HardAlpha::Own,
                Hard::Truth => HardAlpha::Truth,
            },
            l1,
            l2,
            edge,
            perceptual,
            phases,
            borders,
            latent_noise,
            bidirectional,
            form: match self.form {
                Form::Released => Bidirectional::Released,
                Form::Paper => Bidirectional::Paper,
                Form::Clamped => Bidirectional::Clamped,
            },
            rounding: self.rounding.settings(),
            normalize,
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

const fn freq_dim() -> i64 {
    256
}

const fn text_length() -> i64 {
    512
}
