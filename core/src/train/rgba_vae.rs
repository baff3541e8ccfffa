//! The RGBA autoencoder: a merge block behind the frozen encoder, and LoRAs in two copies of the
//! decoder, so that one latent holds colour and alpha.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use super::calibrate::{self, Scale};
use super::export::{Content, Export};
use super::flow::{Flow, TimeRounding};
use super::init;
use super::losses::{self, Bidirectional, Losses, Sum};
use super::parameters::Parameters;
use super::perceptual::Vgg;
use super::region::region_mask;
use super::step_rng::StepRng;
use super::task::{self, ComputeOptions, NewAdapter, Task};
use crate::dit::Dit;
use crate::vae::{
    Corner, Decoder, Encoder, FeatureCache, LATENT_CHANNELS, LATENT_MEAN, LATENT_STD, MergeBlock,
    hard_render, soft_render,
};
use crate::weights::{MemorySet, TensorFile, TensorSet};
use crate::{Error, Result, Unwatched, Watch};

/// How it is trained. The default is as released.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RgbaVaeSettings {
    /// Of the decoders' LoRAs, which count 1/rank.
    pub rank: i64,
    /// Where the merge block begins, if not with a checkpoint's numbers.
    pub merge: MergeStart,
    /// Whether the merge block stays as it is. Latents do too then, so that what a transformer has
    /// learnt of them holds, and the decoders alone learn.
    pub freeze_merge: bool,
    /// Whether the encoder sees colour over a flat background and the losses compare both renderings
    /// (paper, section 3.2); else colour is taken and compared as it is, which table 3 calls without
    /// rendering.
    pub rendering: bool,
    /// Whose alpha says, in the losses, where colour is seen under the hard rendering.
    pub hard: HardAlpha,
    /// Weight of the mean absolute errors.
    pub l1: f64,
    /// Weight of the mean squared errors, which no released run has: absolute ones alone leave a
    /// model that starts from nothing grey.
    pub l2: f64,
    /// Weight of the edge losses.
    pub edge: f64,
    /// Weight of the perceptual losses; nothing without VGG16's weights.
    pub perceptual: f64,
    /// Weight of the bidirectional loss; nothing without a transformer.
    pub bidirectional: f64,
    /// The bidirectional loss's form.
    pub form: Bidirectional,
    /// Whether its times are rounded.
    pub rounding: TimeRounding,
    /// Whether the transformer sees latents normalised as it was trained on them; the released
    /// trainer leaves them as they are.
    pub normalise: bool,
    /// Whether the transformer's blocks keep only what they were given.
    pub recompute: bool,
}

/// Where a merge block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeStart {
    /// With random numbers, as released.
    Random,
    /// As what comes after the base's encoder features, so that the merged latent is at first the
    /// base's own of the colour, and what the base has learnt of colour is not learnt again.
    Colour,
}

/// Whose alpha says where colour is seen under the hard rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardAlpha {
    /// Of each clip its own, as released. What is found is seldom exactly 0 where nothing is, and
    /// there its colour is held against a background that changes with every step: a decoder that is
    /// still far from its goal learns to be grey.
    Own,
    /// The true clip's for both, so that colour is compared where there is one.
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
            bidirectional: 0.1,
            form: Bidirectional::Released,
            rounding: TimeRounding::None,
            normalise: false,
            recompute: false,
        }
    }
}

/// A batch of RGBA clips, straight and display-referred, in [−1, 1].
#[derive(Debug)]
pub struct RgbaClips {
    /// `[b, t, h, w, 3]`, t = 4n+1
    pub colour: Tensor,
    /// `[b, t, h, w, 1]`, or three times the same
    pub alpha: Tensor,
}

/// The frozen transformer of the bidirectional loss, and what it is told (an empty prompt).
#[derive(Debug)]
pub struct FrozenDit {
    /// The transformer, in the run's kind.
    pub dit: Dit,
    /// `[tokens, text_dim]`
    pub context: Tensor,
}

/// What an RGBA autoencoder is trained beside.
#[derive(Debug, Default)]
pub struct AuxiliaryNetworks {
    /// VGG16, for the perceptual loss.
    pub vgg: Option<Vgg>,
    /// For the bidirectional loss.
    pub judge: Option<FrozenDit>,
}

/// Training of merge block and decoder LoRAs.
#[derive(Debug)]
pub struct RgbaVae {
    settings: RgbaVaeSettings,
    placement: ComputeOptions,
    encoder: Encoder,
    /// The base autoencoder; both decoders share its numbers.
    base: Arc<MemorySet>,
    merge: Arc<MemorySet>,
    /// Whether `conv2` of the base has been changed.
    base_changed: AtomicBool,
    colour: Arc<MemorySet>,
    alpha: Arc<MemorySet>,
    parameters: Parameters,
    /// A merge block that stays as it is.
    frozen: Parameters,
    flow: Flow,
    beside: AuxiliaryNetworks,
}

impl RgbaVae {
    /// Begins with a merge block by [`RgbaVaeSettings::merge`] and LoRAs that change nothing.
    ///
    /// # Errors
    /// `base` is no whole autoencoder, or memory runs out.
    pub fn new(
        base: &TensorSet,
        settings: RgbaVaeSettings,
        beside: AuxiliaryNetworks,
        seed: u64,
        placement: ComputeOptions,
    ) -> Result<Self> {
        let (kind, device) = (placement.wide(), placement.device);
        let base = Arc::new(MemorySet::read_all(base, kind, device)?);
        let encoder = Encoder::load(&placement.weights(&base), &Unwatched)?;
        let mut parameters = Parameters::default();
        let merge = init::merge_block(device, encoder.width(), seed)?;
        if settings.merge == MergeStart::Colour {
            pass_colour(&merge, &base)?;
        }
        let mut merge = merge.to(kind, device)?;
        let mut frozen = Parameters::default();
        let place = if settings.freeze_merge { &mut frozen } else { &mut parameters };
        task::train(&mut merge, "", |_| true, place)?;
        let mut adapted = |side: &str| {
            let set = with_loras(&base, side, settings.rank, seed, placement, &mut parameters)?;
            Ok::<_, Error>(Arc::new(set))
        };
        let (colour, alpha) = (adapted("vae_fgr")?, adapted("vae_pha")?);
        Ok(Self {
            flow: Flow::new(settings.rounding)?,
            merge: Arc::new(merge),
            settings,
            placement,
            encoder,
            base,
            base_changed: AtomicBool::new(false),
            colour,
            alpha,
            parameters,
            frozen,
            beside,
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
                parameters.set(name, &checkpoint.read(self.placement.device, name_there)?)?;
            }
        }
        Ok(())
    }

    /// The merged latent, `[b, t', h/8, w/8, 16]`, not normalised, of clips seen over `background`.
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
        self.latent(&self.take(clips)?, background, watch)
    }

    /// Colour and alpha, `[b, t, h, w, 3]` each, not clamped, of clips seen over `background`.
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
        let latent = self.latent(&self.take(clips)?, background, watch)?;
        self.decode(&latent, watch)
    }

    /// Gives merged latents the mean and deviation, channel by channel, that the transformer's
    /// latents are normalised by, without changing what is decoded: scales the merge block's last
    /// convolution and the base's `conv2`, which [`Task::export`] then leaves as well. `mean` and
    /// `std` (`[16]`) are what has been measured over many latents of [`RgbaVae::encode`].
    ///
    /// # Errors
    /// A deviation is 0, or memory runs out.
    pub fn calibrate(&self, mean: &Tensor, std: &Tensor) -> Result<()> {
        let measured = Scale::measured(mean, std, self.placement)?;
        let [before, after] = self.around_latents()?;
        let _ = measured.fold(&Scale::released(self.placement)?, before, after)?;
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

    fn take(&self, clips: &RgbaClips) -> Result<RgbaClips> {
        let colour = self.placement.take(&clips.colour)?;
        let alpha = self.placement.take(&clips.alpha)?.f_expand_as(&colour)?;
        Ok(RgbaClips { colour, alpha })
    }

    fn latent(&self, clips: &RgbaClips, background: Corner, watch: &dyn Watch) -> Result<Tensor> {
        let RgbaClips { colour, alpha } = clips;
        let features = {
            let _guard = tch::no_grad_guard();
            let seen = if self.settings.rendering {
                hard_render(colour, alpha, background)?
            } else {
                colour.shallow_clone()
            };
            let both = self.placement.narrow(&Tensor::f_cat(&[&seen, alpha], 0)?)?;
            self.encoder.features(&both, &mut FeatureCache::default(), watch)?.f_chunk(2, 0)?
        };
        let _guard = self.settings.freeze_merge.then(tch::no_grad_guard);
        let merge = MergeBlock::load(&self.placement.weights(&self.merge), self.encoder.width())?;
        let cache = &mut FeatureCache::default();
        self.placement.widen(&merge.forward(&features[0], &features[1], cache, watch)?)
    }

    fn decode(&self, latent: &Tensor, watch: &dyn Watch) -> Result<(Tensor, Tensor)> {
        let latent = self.placement.narrow(latent)?;
        let decode = |set: &Arc<MemorySet>| {
            let decoder = Decoder::load(&self.placement.weights(set), watch)?;
            let frames = decoder.forward(&latent, &mut FeatureCache::default(), watch)?;
            self.placement.widen(&frames)
        };
        Ok((decode(&self.colour)?, decode(&self.alpha)?))
    }

    fn losses(&self, clips: &RgbaClips, draws: &StepRng, watch: &dyn Watch) -> Result<Sum> {
        let clips = self.take(clips)?;
        let RgbaClips { colour, alpha } = &clips;
        let latent = self.latent(&clips, draws.corner("encode"), watch)?;
        let mut sum = Sum::default();
        if let Some(judge) = self.beside.judge.as_ref().filter(|_| self.judges()) {
            self.judge(judge, &latent, alpha, draws, &mut sum, watch)?;
        }
        let (y_colour, y_alpha) = self.decode(&latent, watch)?;
        if self.settings.rendering {
            let (hard, soft) = (draws.corner("hard"), draws.corner("soft"));
            let seen = match self.settings.hard {
                HardAlpha::Own => &y_alpha,
                HardAlpha::Truth => alpha,
            };
            self.compare(
                ["l1.hard", "l2.hard", "edge.hard", "perceptual.hard"],
                &hard_render(&y_colour, seen, hard)?,
                &hard_render(colour, alpha, hard)?,
                &mut sum,
            )?;
            self.compare(
                ["l1.soft", "l2.soft", "edge.soft", "perceptual.soft"],
                &soft_render(&y_colour, &y_alpha, soft)?,
                &soft_render(colour, alpha, soft)?,
                &mut sum,
            )?;
        } else {
            let names = ["l1.colour", "l2.colour", "edge.colour", "perceptual.colour"];
            self.compare(names, &y_colour, colour, &mut sum)?;
        }
        let names = ["l1.alpha", "l2.alpha", "edge.alpha", "perceptual.alpha"];
        self.compare(names, &y_alpha, alpha, &mut sum)?;
        Ok(sum)
    }

    /// The reconstruction losses of one modality.
    fn compare(
        &self,
        names: [&'static str; 4],
        x: &Tensor,
        y: &Tensor,
        sum: &mut Sum,
    ) -> Result<()> {
        let RgbaVaeSettings { l1, l2, edge, perceptual, .. } = self.settings;
        let [name_l1, name_l2, name_edge, name_perceptual] = names;
        sum.add(name_l1, losses::l1(x, y)?, l1)?;
        if l2 != 0.0 {
            sum.add(name_l2, losses::l2(x, y)?, l2)?;
        }
        if edge != 0.0 {
            sum.add(name_edge, losses::edge(x, y)?, edge)?;
        }
        if let Some(vgg) = self.beside.vgg.as_ref().filter(|_| perceptual != 0.0) {
            sum.add(name_perceptual, vgg.loss(x, y)?, perceptual)?;
        }
        Ok(())
    }

    fn judges(&self) -> bool {
        self.settings.bidirectional != 0.0
    }

    /// The bidirectional loss. Its gradient goes back to the latent at once, before the decoders
    /// need memory, through the noisy latent and through the target.
    fn judge(
        &self,
        judge: &FrozenDit,
        latent: &Tensor,
        alpha: &Tensor,
        draws: &StepRng,
        sum: &mut Sum,
        watch: &dyn Watch,
    ) -> Result<()> {
        let FrozenDit { dit, context } = judge;
        let weight = self.settings.bidirectional;
        let graph = latent.requires_grad();
        // [b, 16, t, h, w]
        let outer = self.as_seen(&latent.f_permute([0, 4, 1, 2, 3])?)?;
        let clean = outer.f_detach()?.f_set_requires_grad(graph)?;
        let noise = self.placement.normal(draws, "noise", &clean.size())?;
        let time = self.flow.draw(draws, "time");
        let noisy = time.noisy(&clean, &noise)?;
        let target = noise.f_sub(&clean)?;
        let mask = region_mask(&alpha.f_select(-1, 0)?)?;
        let size = clean.size();
        let rope = dit.rope([size[2], size[3], size[4]])?;
        let mut prompt = dit.prompt(context)?;
        // One time serves the whole batch.
        let timesteps = vec![time.timestep; size[0] as usize];
        let form = self.settings.form;
        let value =
            |velocity: &Tensor| losses::bidirectional(velocity, &target, &mask, time.weight, form);
        let value = if graph && self.settings.recompute {
            let pass = dit.recomputed(&noisy, &timesteps, &prompt, &rope, watch)?;
            let value = value(pass.velocity())?;
            value.f_mul_scalar(weight)?.f_backward()?;
            pass.backward(watch)?;
            value
        } else {
            let value = value(&dit.forward(&noisy, &timesteps, &mut prompt, &rope, watch)?)?;
            if graph {
                value.f_mul_scalar(weight)?.f_backward()?;
            }
            value
        };
        if graph {
            sum.carry(outer.f_mul(&clean.f_grad()?)?.f_sum(outer.kind())?)?;
        }
        sum.note("bidirectional", value.f_detach()?, weight);
        Ok(())
    }

    /// A latent `[b, 16, t, h, w]` as the transformer is shown it.
    fn as_seen(&self, latent: &Tensor) -> Result<Tensor> {
        if !self.settings.normalise {
            return Ok(latent.shallow_clone());
        }
        let each = |values: &[f32]| -> Result<Tensor> {
            Ok(self.placement.take(&Tensor::f_from_slice(values)?)?.f_view([1, -1, 1, 1, 1])?)
        };
        Ok(latent.f_sub(&each(&LATENT_MEAN)?)?.f_div(&each(&LATENT_STD)?)?)
    }
}

/// Makes a merge block what the base has behind its encoder's features: their normalisation, the
/// last convolution, and the mean's rows of `conv1`. Its own residual blocks add nothing at first.
fn pass_colour(merge: &MemorySet, base: &MemorySet) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let numbers = |set: &MemorySet, name: &str| -> Result<Tensor> {
        Ok(set.get(name)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?)
    };
    let write = |name: &str, tensor: &Tensor| -> Result<()> {
        merge.get(&format!("middle.block.{name}"))?.f_copy_(tensor)?;
        Ok(())
    };
    let z = LATENT_CHANNELS;
    // [2z, 2z]: mean and logarithm of the variance, of which only the mean's rows count.
    let mean = numbers(base, "conv1.weight")?.f_narrow(0, 0, z)?.f_view([z, -1])?;
    let weight = numbers(base, "encoder.head.2.weight")?;
    let mut shape = weight.size();
    let composed = mean.f_mm(&weight.f_flatten(1, -1)?)?;
    shape[0] = z;
    write("head.0.gamma", &numbers(base, "encoder.head.0.gamma")?)?;
    write("head.2.weight", &composed.f_view(&shape[..])?)?;
    let bias = mean.f_mv(&numbers(base, "encoder.head.2.bias")?)?;
    write("head.2.bias", &bias.f_add(&numbers(base, "conv1.bias")?.f_narrow(0, 0, z)?)?)?;
    // All that attention adds at first.
    for attention in ["middle.1", "middle.3"] {
        let _ = merge.get(&format!("middle.block.{attention}.proj.bias"))?.f_zero_()?;
    }
    // Colour's features, and nothing of alpha's.
    let width = shape[1];
    let eye = Tensor::f_eye(width, (Kind::Float, Device::Cpu))?;
    let conv1 = Tensor::f_cat(&[&eye, &eye.f_zeros_like()?], 1)?;
    write("conv1.weight", &conv1.f_view([width, 2 * width, 1, 1, 1])?)
}

/// A frozen decoder with a LoRA beside each of its convolutions, named as released.
fn with_loras(
    base: &MemorySet,
    side: &str,
    rank: i64,
    seed: u64,
    placement: ComputeOptions,
    parameters: &mut Parameters,
) -> Result<MemorySet> {
    let mut set = MemorySet::default();
    for name in
        base.names().filter(|name| name.starts_with("decoder.") || name.starts_with("conv2."))
    {
        set.insert(name, base.get(name)?);
    }
    for name in base.names().filter(|name| name.starts_with("decoder.")) {
        let Some(module) = name.strip_suffix(".weight") else { continue };
        // A causal convolution is a module around its convolution.
        let inner = if base.shape(name)?.len() == 5 { ".conv3D" } else { "" };
        let key = format!("{side}.{module}{inner}");
        let scale = 1.0 / rank as f64;
        let draws = StepRng::new(seed, 0);
        let opened = placement.device;
        let adapter = NewAdapter { key: &key, rank, scale, magnitude: false, draws, opened };
        set.adapt(name, adapter.make(&base.get(name)?, placement.wide(), parameters)?);
    }
    Ok(set)
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
        draws: &StepRng,
        share: f64,
        watch: &dyn Watch,
    ) -> Result<Losses> {
        self.losses(batch, draws, watch)?.backward(share)
    }

    fn evaluate(&self, batch: &RgbaClips, draws: &StepRng, watch: &dyn Watch) -> Result<Losses> {
        let _guard = tch::no_grad_guard();
        self.losses(batch, draws, watch)?.values()
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
