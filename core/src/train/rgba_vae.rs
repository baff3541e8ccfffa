//! The RGBA autoencoder: a merge block behind the frozen encoder, and LoRAs in two copies of the
//! decoder, so that one latent holds color and alpha.
//!
//! Ports `Wan-Alpha-VAE-train/train_vae.py:182` (`training_step`).

#![forbid(unsafe_code)]

mod bidirectional;
mod settings;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Tensor;

use super::augment::RgbaClips;
use super::calibrate::{self, Scale};
use super::export::{Content, Export};
use super::flow::Flow;
use super::init;
use super::losses::{self, Losses, Sum};
use super::parameters::Parameters;
use super::perceptual::Vgg;
use super::step_rng::StepRng;
use super::task::{self, ComputeOptions, Task};
use crate::dit::Dit;
use crate::vae::{
    Corner, Decoder, Encoder, FeatureCache, LATENT_STD, MergeBlock, hard_render, soft_render,
};
use crate::weights::{MemorySet, TensorFile, TensorSet};
use crate::{Error, Result, Unwatched, Watch};
pub use settings::{HardAlpha, MergeStart, RgbaVaeSettings};
use start::{pass_color, with_loras};

/// The frozen transformer of the bidirectional loss, and what it is told (an empty prompt).
#[derive(Debug)]
pub struct FrozenDit {
    /// The transformer, in the run's kind.
    pub dit: Dit,
    /// The encoded empty prompt: `[tokens, text_dim]`.
    pub context: Tensor,
}

/// Frozen networks that losses of an RGBA autoencoder are computed with. Without one its loss
/// counts nothing.
#[derive(Debug, Default)]
pub struct AuxiliaryNetworks {
    /// VGG16, for the perceptual loss.
    pub vgg: Option<Vgg>,
    /// The transformer, for the bidirectional loss.
    pub frozen_dit: Option<FrozenDit>,
}

/// Training of merge block and decoder LoRAs.
#[derive(Debug)]
pub struct RgbaVae {
    settings: RgbaVaeSettings,
    compute: ComputeOptions,
    encoder: Encoder,
    /// The base autoencoder; both decoders share its numbers.
    base: Arc<MemorySet>,
    merge: Arc<MemorySet>,
    /// Whether `conv2` of the base has been changed.
    base_changed: AtomicBool,
    color: Arc<MemorySet>,
    alpha: Arc<MemorySet>,
    parameters: Parameters,
    /// A merge block that stays as it is.
    frozen: Parameters,
    flow: Flow,
    auxiliary: AuxiliaryNetworks,
}

/// Names of the losses of color over a flat background where the true alpha or its own says so.
const HARD: [&str; 6] =
    ["l1.hard", "l2.hard", "edge.hard", "perceptual.hard", "phases.hard", "borders.hard"];
/// Names of the losses of color blended over a flat background.
const SOFT: [&str; 6] =
    ["l1.soft", "l2.soft", "edge.soft", "perceptual.soft", "phases.soft", "borders.soft"];
/// Names of the losses of straight color.
const COLOR: [&str; 6] = [
    "l1.colour",
    "l2.colour",
    "edge.colour",
    "perceptual.colour",
    "phases.colour",
    "borders.colour",
];
/// Names of the losses of alpha.
const ALPHA: [&str; 6] =
    ["l1.alpha", "l2.alpha", "edge.alpha", "perceptual.alpha", "phases.alpha", "borders.alpha"];

impl RgbaVae {
    /// Begins with a merge block by [`RgbaVaeSettings::merge`] and LoRAs that change nothing.
    ///
    /// # Errors
    /// `base` is no whole autoencoder, or memory runs out.
    pub fn new(
        base: &TensorSet,
        settings: RgbaVaeSettings,
        auxiliary: AuxiliaryNetworks,
        seed: u64,
        compute: ComputeOptions,
    ) -> Result<Self> {
        let (kind, device) = (compute.master_dtype(), compute.device);
        let base = Arc::new(MemorySet::read_all(base, kind, device)?);
        let encoder = Encoder::load(&compute.weights(&base), &Unwatched)?;
        let mut parameters = Parameters::default();
        let merge = init::merge_block(device, encoder.width(), seed)?;
        if settings.merge == MergeStart::Color {
            pass_color(&merge, &base)?;
        }
        let mut merge = merge.to(kind, device)?;
        let mut frozen = Parameters::default();
        let place = if settings.freeze_merge { &mut frozen } else { &mut parameters };
        task::train(&mut merge, "", |_| true, place)?;
        let mut adapted = |side: &str| {
            let set = with_loras(&base, side, settings.rank, seed, compute, &mut parameters)?;
            Ok::<_, Error>(Arc::new(set))
        };
        let (color, alpha) = (adapted("vae_fgr")?, adapted("vae_pha")?);
        Ok(Self {
            flow: Flow::new(settings.rounding)?,
            merge: Arc::new(merge),
            settings,
            compute,
            encoder,
            base,
            base_changed: AtomicBool::new(false),
            color,
            alpha,
            parameters,
            frozen,
            auxiliary,
        })
    }

    /// Takes the merge block and the LoRAs of a checkpoint (`Wan-Alpha-v2-VAE.bin`, or one of this
    /// program's) as the first numbers.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn start_from(&self, checkpoint: &TensorFile) -> Result<()> {
        for parameters in [&self.frozen, &self.parameters] {
            for (name, _) in parameters.iter() {
                let short = name.replace(".default.", ".");
                let name_there = if checkpoint.entry(name).is_some() { name } else { &short };
                parameters.set(name, &checkpoint.read(self.compute.device, name_there)?)?;
            }
        }
        Ok(())
    }

    /// The merged latent, `[b, t', h/8, w/8, 16]`, not normalized, of clips seen over `background`.
    ///
    /// # Errors
    /// As [`Task::step`].
    pub fn encode(
        &self,
        clips: &RgbaClips,
        background: Corner,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        self.latent(&self.to_master(clips)?, background, watch)
    }

    /// Color and alpha, `[b, t, h, w, 3]` each, not clamped, of clips seen over `background`.
    ///
    /// # Errors
    /// As [`Task::step`].
    pub fn reconstruct(
        &self,
        clips: &RgbaClips,
        background: Corner,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Tensor)> {
        let _guard = tch::no_grad_guard();
        let latent = self.latent(&self.to_master(clips)?, background, watch)?;
        self.decode(&latent, watch)
    }

    /// Gives merged latents the mean and deviation, channel by channel, that the transformer's
    /// latents are normalized by, without changing what is decoded: scales the merge block's last
    /// convolution and the base's `conv2`, which [`Task::export`] then leaves as well. `mean` and
    /// `std` (`[16]`) are what has been measured over many latents of [`RgbaVae::encode`].
    ///
    /// # Errors
    /// A deviation is 0, or memory runs out.
    pub fn calibrate(&self, mean: &Tensor, std: &Tensor) -> Result<()> {
        let measured = Scale::measured(mean, std, self.compute)?;
        let [before, after] = self.around_latents()?;
        let _ = measured.fold(&Scale::released(self.compute)?, before, after)?;
        self.base_changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the merged latent z a latent M·z + s, without changing what is decoded: as
    /// [`RgbaVae::calibrate`], with a `matrix` M `[16, 16]` and an `offset` s `[16]`.
    ///
    /// # Errors
    /// The matrix cannot be inverted, or memory runs out.
    pub fn map_latents(&self, matrix: &Tensor, offset: &Tensor) -> Result<()> {
        let [before, after] = self.around_latents()?;
        calibrate::fold(matrix, offset, before, after)?;
        self.base_changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Weight and bias of the convolutions before and after the merged latent.
    fn around_latents(&self) -> Result<[[Tensor; 2]; 2]> {
        let merge = |name: &str| self.merge.get(&format!("middle.block.head.2.{name}"));
        let base = |name: &str| self.base.get(&format!("conv2.{name}"));
        Ok([[merge("weight")?, merge("bias")?], [base("weight")?, base("bias")?]])
    }

    /// Clips as losses take them, alpha three times.
    fn to_master(&self, clips: &RgbaClips) -> Result<RgbaClips> {
        let color = self.compute.to_master(&clips.color)?;
        let alpha = self.compute.to_master(&clips.alpha)?.f_expand_as(&color)?;
        Ok(RgbaClips { color, alpha })
    }

    /// The merged latent `[b, t', h/8, w/8, 16]` of clips `[b, t, h, w, 3]`, with a way back to the
    /// merge block unless that is frozen.
    fn latent(&self, clips: &RgbaClips, background: Corner, watch: &dyn Watch) -> Result<Tensor> {
        let RgbaClips { color, alpha } = clips;
        let features = {
            let _guard = tch::no_grad_guard();
            let seen = if self.settings.rendering {
                hard_render(color, alpha, background)?
            } else {
                color.shallow_clone()
            };
            let both = self.compute.to_compute(&Tensor::f_cat(&[&seen, alpha], 0)?)?;
            self.encoder.features(&both, &mut FeatureCache::default(), watch)?.f_chunk(2, 0)?
        };
        let _guard = self.settings.freeze_merge.then(tch::no_grad_guard);
        let merge = MergeBlock::load(&self.compute.weights(&self.merge), self.encoder.width())?;
        let cache = &mut FeatureCache::default();
        self.compute.to_master(&merge.forward(&features[0], &features[1], cache, watch)?)
    }

    /// Color and alpha, `[b, t, h, w, 3]` each, of a latent `[b, t', h/8, w/8, 16]`.
    fn decode(&self, latent: &Tensor, watch: &dyn Watch) -> Result<(Tensor, Tensor)> {
        let latent = self.compute.to_compute(latent)?;
        let decode = |set: &Arc<MemorySet>| {
            let decoder = Decoder::load(&self.compute.weights(set), watch)?;
            let frames = decoder.forward(&latent, &mut FeatureCache::default(), watch)?;
            self.compute.to_master(&frames)
        };
        Ok((decode(&self.color)?, decode(&self.alpha)?))
    }

    /// A latent `[b, t', h/8, w/8, 16]` as decoders learn from it: each clip's with noise of a strength
    /// of its own, as far as any is asked for.
    fn with_noise(&self, latent: Tensor, rng: &StepRng) -> Result<Tensor> {
        let most = self.settings.latent_noise;
        if most == 0.0 {
            return Ok(latent);
        }
        let (size, device) = (latent.size(), self.compute.device);
        let strength =
            rng.uniform(device, "latent noise strength", &[size[0], 1, 1, 1, 1], most)?;
        let strength = self.compute.to_master(&strength)?;
        let noise = self.compute.normal(rng, "latent noise", &size)?;
        let deviation = self.compute.to_master(&Tensor::f_from_slice(&LATENT_STD)?)?;
        Ok(latent.f_add(&noise.f_mul(&strength)?.f_mul(&deviation)?)?)
    }

    /// All losses of a batch; that of the bidirectional loss has gone back already. `learning` is
    /// whether decoders are to learn from them.
    fn losses(
        &self,
        clips: &RgbaClips,
        rng: &StepRng,
        learning: bool,
        watch: &dyn Watch,
    ) -> Result<Sum> {
        let clips = self.to_master(clips)?;
        let RgbaClips { color, alpha } = &clips;
        let latent = self.latent(&clips, rng.corner("encode"), watch)?;
        let mut sum = Sum::default();
        self.add_bidirectional_loss(&latent, alpha, rng, &mut sum, watch)?;
        let latent = if learning { self.with_noise(latent, rng)? } else { latent };
        let (y_color, y_alpha) = self.decode(&latent, watch)?;
        if self.settings.rendering {
            let (hard, soft) = (rng.corner("hard"), rng.corner("soft"));
            let seen = match self.settings.hard {
                HardAlpha::Own => &y_alpha,
                HardAlpha::Truth => alpha,
            };
            self.compare(
                HARD,
                &hard_render(&y_color, seen, hard)?,
                &hard_render(color, alpha, hard)?,
                &mut sum,
            )?;
            self.compare(
                SOFT,
                &soft_render(&y_color, &y_alpha, soft)?,
                &soft_render(color, alpha, soft)?,
                &mut sum,
            )?;
        } else {
            self.compare(COLOR, &y_color, color, &mut sum)?;
        }
        self.compare(ALPHA, &y_alpha, alpha, &mut sum)?;
        Ok(sum)
    }

    /// Adds the reconstruction losses of one modality: of what is found `x` and what is true `y`,
    /// `[b, t, h, w, 3]` each.
    fn compare(
        &self,
        names: [&'static str; 6],
        x: &Tensor,
        y: &Tensor,
        sum: &mut Sum,
    ) -> Result<()> {
        let RgbaVaeSettings { l1, l2, edge, perceptual, phases, borders, .. } = self.settings;
        let [name_l1, name_l2, name_edge, name_perceptual, name_phases, name_borders] = names;
        sum.add(name_l1, losses::l1(x, y)?, l1)?;
        if l2 != 0.0 {
            sum.add(name_l2, losses::l2(x, y)?, l2)?;
        }
        if edge != 0.0 {
            sum.add(name_edge, losses::edge(x, y)?, edge)?;
        }
        if let Some(vgg) = self.auxiliary.vgg.as_ref().filter(|_| perceptual != 0.0) {
            sum.add(name_perceptual, vgg.loss(x, y)?, perceptual)?;
        }
        sum.add_strides([name_phases, name_borders], [x, y], [phases, borders])
    }
}

impl Task for RgbaVae {
    type Batch = RgbaClips;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn step(
        &self,
        batch: &RgbaClips,
        rng: &StepRng,
        loss_scale: f64,
        watch: &dyn Watch,
    ) -> Result<Losses> {
        self.losses(batch, rng, true, watch)?.backward(loss_scale)
    }

    fn evaluate(&self, batch: &RgbaClips, rng: &StepRng, watch: &dyn Watch) -> Result<Losses> {
        let _guard = tch::no_grad_guard();
        self.losses(batch, rng, false, watch)?.values()
    }

    /// `decoder.bin`, what decoding needs, and `Wan-Alpha-VAE.bin`, the merge block and the same
    /// LoRAs, what encoding and further training need; after [`RgbaVae::calibrate`] or
    /// [`RgbaVae::map_latents`] also the base, `Wan2.1_VAE.pth`.
    fn export(&self) -> Result<Vec<Export>> {
        let mut all = super::export::stripped(&self.frozen, "")?;
        all.extend(super::export::stripped(&self.parameters, "")?);
        let is_lora = |(name, _): &&(String, Tensor)| name.starts_with("vae_");
        let loras = all.iter().filter(is_lora).map(|(n, t)| (n.clone(), t.shallow_clone()));
        let loras = loras.collect();
        let mut exports = vec![
            Export { file: "decoder.bin", content: Content::Pickle(loras) },
            Export { file: "Wan-Alpha-VAE.bin", content: Content::Pickle(all) },
        ];
        if self.base_changed.load(Ordering::Relaxed) {
            let base = self.base.names().map(|name| Ok((name.to_owned(), self.base.get(name)?)));
            let content = Content::Pickle(base.collect::<Result<_>>()?);
            exports.push(Export { file: "Wan2.1_VAE.pth", content });
        }
        Ok(exports)
    }
}
