//! How an RGBA autoencoder is trained.

#![forbid(unsafe_code)]

use crate::train::flow::TimeRounding;
use crate::train::losses::Bidirectional;

/// How an RGBA autoencoder is trained. The default is as released.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RgbaVaeSettings {
    /// Of the decoders' LoRAs, which count 1/rank.
    pub rank: i64,
    /// Where the merge block begins, if not with a checkpoint's numbers.
    pub merge: MergeStart,
    /// Whether the merge block stays as it is. Latents do too then, so that what a transformer has
    /// learned of them holds, and the decoders alone learn.
    pub freeze_merge: bool,
    /// Whether the encoder sees color over a flat background and the losses compare both
    /// renderings (paper, section 3.2); else color is taken and compared as it is, which table 3
    /// calls without rendering.
    pub rendering: bool,
    /// Whose alpha says, in the losses, where color is seen under the hard rendering.
    pub hard: HardAlpha,
    /// Weight of the mean absolute errors.
    pub l1: f64,
    /// Weight of the mean squared errors, which no released run has: absolute ones alone leave a
    /// model that starts from nothing gray.
    pub l2: f64,
    /// Weight of the edge losses.
    pub edge: f64,
    /// Weight of the perceptual losses; nothing without VGG16's weights.
    pub perceptual: f64,
    /// Weight of how wrong the steps between pixels are, and how unevenly over a latent's cell
    /// (`stride_losses::phases`), which no released run has.
    pub phases: f64,
    /// Weight of how wrong a clip changes from one latent frame to the next (`stride_losses::borders`),
    /// which no released run has.
    pub borders: f64,
    /// The most noise that latents get before they are decoded, in deviations of the released latents:
    /// of each clip drawn from 0 to this, so that decoders make the same of latents that a transformer
    /// is a little wrong about. Nothing is added when losses are measured.
    pub latent_noise: f64,
    /// Weight of the bidirectional loss; nothing without a transformer.
    pub bidirectional: f64,
    /// The bidirectional loss's form.
    pub form: Bidirectional,
    /// Whether its times are rounded.
    pub rounding: TimeRounding,
    /// Whether the transformer sees latents normalized as it was trained on them; the released
    /// trainer leaves them as they are.
    pub normalize: bool,
    /// Whether the transformer's blocks keep only what they were given.
    pub recompute: bool,
}

/// Where a merge block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeStart {
    /// With random numbers, as released.
    Random,
    /// As what comes after the base's encoder features, so that the merged latent is at first the
    /// base's own of the color, and what the base has learned of color is not learned again.
    Color,
}

/// Whose alpha says where color is seen under the hard rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardAlpha {
    /// Of each clip its own, as released. What is found is seldom exactly 0 where nothing is, and
    /// there its color is held against a background that changes with every step: a decoder that
    /// is still far from its goal learns to be gray.
    Own,
    /// The true clip's for both, so that color is compared where there is one.
    Truth,
}

impl Default for RgbaVaeSettings {
    fn default() -> Self {
        Self {
            rank: 128,
            merge: MergeStart::Random,
            freeze_merge: false,
            rendering: true,
            hard: HardAlpha::Own,
            l1: 1.0,
            l2: 0.0,
            edge: 1.0,
            perceptual: 1.0,
            phases: 0.0,
            borders: 0.0,
            latent_noise: 0.0,
            bidirectional: 0.1,
            form: Bidirectional::Released,
            rounding: TimeRounding::None,
            normalize: false,
            recompute: false,
        }
    }
}
