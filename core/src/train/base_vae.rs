//! A base autoencoder from scratch, for models that start from nothing: color and alpha (three
//! times) are films like any other to it.
//!
//! From nothing it learns at a rate of 1e-3 with betas 0.9 and 0.95 and gradients clipped to 1.
//! A batch of one background only teaches that background.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::Tensor;

use super::calibrate::Scale;
use super::export::{Content, Export};
use super::init::{self, VaeConfig};
use super::losses::{self, Losses, Sum};
use super::parameters::Parameters;
use super::perceptual::Vgg;
use super::step_rng::StepRng;
use super::task::{self, ComputeOptions, Origin, Task};
use crate::vae::{Decoder, Encoder, FeatureCache, LATENT_CHANNELS};
use crate::weights::MemorySet;
use crate::{Result, Unwatched, Watch};

/// How much each loss counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaseVaeSettings {
    /// Weight of the mean absolute error.
    pub l1: f64,
    /// Mean squared error, which finds the colors of large flat areas, where the absolute error
    /// rests on whatever is most frequent.
    pub l2: f64,
    /// Weight of the difference of edges.
    pub edge: f64,
    /// VGG16's features; nothing without its weights.
    pub perceptual: f64,
    /// How wrong the steps between pixels are, and how unevenly over a latent's cell
    /// (`stride_losses::phases`).
    pub phases: f64,
    /// How wrong a clip changes from one latent frame to the next (`stride_losses::borders`).
    pub borders: f64,
    /// Divergence of the latent from the released latents' mean and deviation, channel by channel.
    pub divergence: f64,
}

impl Default for BaseVaeSettings {
    fn default() -> Self {
        Self {
            l1: 1.0,
            l2: 1.0,
            edge: 1.0,
            perceptual: 1.0,
            phases: 0.0,
            borders: 0.0,
            divergence: 1e-4,
        }
    }
}

/// Training of encoder and decoder. A batch is `[b, t, h, w, 3]` in [−1, 1], t = 4n+1 (one for
/// stills), h and w multiples of 8.
#[derive(Debug)]
pub struct BaseVae {
    settings: BaseVaeSettings,
    compute: ComputeOptions,
    set: Arc<MemorySet>,
    parameters: Parameters,
    vgg: Option<Vgg>,
}

impl BaseVae {
    /// Begins, or goes on with weights there are.
    ///
    /// # Errors
    /// Weights are missing or damaged, or memory runs out.
    pub fn new(
        origin: &Origin<VaeConfig>,
        settings: BaseVaeSettings,
        vgg: Option<Vgg>,
        compute: ComputeOptions,
    ) -> Result<Self> {
        let (kind, device) = (compute.master_dtype(), compute.device);
        let mut set = match origin {
            Origin::Files(set) => MemorySet::read_all(set, kind, device)?,
            Origin::Nothing { config, seed } => {
                init::vae(device, config, *seed)?.to(kind, device)?
            }
        };
        let mut parameters = Parameters::default();
        task::train(&mut set, "vae.", |_| true, &mut parameters)?;
        let task = Self { settings, compute, set: Arc::new(set), parameters, vgg };
        // Weights of another kind are found out before the first batch.
        task.encoder(&Unwatched)?;
        task.decoder(&Unwatched)?;
        Ok(task)
    }

    /// The latent's mean of a batch `[b, t, h, w, 3]`: `[b, t', h/8, w/8, 16]`, not normalized.
    ///
    /// # Errors
    /// As [`Task::step`].
    pub fn latent(&self, batch: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let batch = self.compute.to_compute(&self.compute.to_master(batch)?)?;
        let latent = self.encoder(watch)?.forward(&batch, &mut FeatureCache::default(), watch)?;
        self.compute.to_master(&latent)
    }

    /// The encoder as it stands.
    ///
    /// # Errors
    /// As [`Encoder::load`].
    pub fn encoder(&self, watch: &dyn Watch) -> Result<Encoder> {
        Encoder::load(&self.compute.weights(&self.set), watch)
    }

    fn decoder(&self, watch: &dyn Watch) -> Result<Decoder> {
        Decoder::load(&self.compute.weights(&self.set), watch)
    }

    /// What the autoencoder makes of a batch `[b, t, h, w, 3]`, of the latent's mean: of that
    /// shape, not clamped.
    ///
    /// # Errors
    /// As [`Task::step`].
    pub fn reconstruct(&self, batch: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        self.decode(&self.latent(batch, watch)?, watch)
    }

    /// Gives the latents the mean and deviation, channel by channel, that the released ones have and
    /// that everything downstream normalizes by, without changing what is decoded: scales the 1×1
    /// convolutions on both sides of the latent. `mean` and `std` (`[16]`) are what has been measured
    /// over many latents of [`Encoder::forward`].
    ///
    /// # Errors
    /// A deviation is 0, or memory runs out.
    pub fn calibrate(&self, mean: &Tensor, std: &Tensor) -> Result<()> {
        let measured = Scale::measured(mean, std, self.compute)?;
        let get = |name: &str| self.set.get(name);
        let [before, after] = [
            [get("conv1.weight")?, get("conv1.bias")?],
            [get("conv2.weight")?, get("conv2.bias")?],
        ];
        let rows = before[1].shallow_clone();
        let factor = measured.fold(&Scale::released(self.compute)?, before, after)?;
        // The logarithm of the variance is given by the rows after the mean's.
        let _guard = tch::no_grad_guard();
        let rows = rows.f_narrow(0, LATENT_CHANNELS, LATENT_CHANNELS)?;
        let _ = { rows }.f_add_(&factor.f_log()?.f_mul_scalar(2.0)?)?;
        Ok(())
    }

    fn decode(&self, latent: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let latent = self.compute.to_compute(latent)?;
        let frames = self.decoder(watch)?.forward(&latent, &mut FeatureCache::default(), watch)?;
        self.compute.to_master(&frames)
    }

    fn losses(&self, batch: &Tensor, rng: &StepRng, watch: &dyn Watch) -> Result<Sum> {
        let frames = self.compute.to_master(batch)?;
        let encoder = self.encoder(watch)?;
        let seen = self.compute.to_compute(&frames)?;
        let moments = encoder.moments(&seen, &mut FeatureCache::default(), watch)?;
        let moments = self.compute.to_master(&moments)?;
        let halves = moments.f_chunk(2, -1)?;
        let noise = self.compute.normal(rng, "latent", &halves[0].size())?;
        let deviation = halves[1].f_clamp(-30.0, 20.0)?.f_mul_scalar(0.5)?.f_exp()?;
        let latent = halves[0].f_add(&deviation.f_mul(&noise)?)?;
        let y = self.decode(&latent, watch)?;

        let BaseVaeSettings { l1, l2, edge, perceptual, phases, borders, divergence } =
            self.settings;
        let mut sum = Sum::default();
        sum.add("l1", losses::l1(&y, &frames)?, l1)?;
        if l2 != 0.0 {
            sum.add("l2", losses::l2(&y, &frames)?, l2)?;
        }
        if edge != 0.0 {
            sum.add("edge", losses::edge(&y, &frames)?, edge)?;
        }
        if let Some(vgg) = self.vgg.as_ref().filter(|_| perceptual != 0.0) {
            sum.add("perceptual", vgg.loss(&y, &frames)?, perceptual)?;
        }
        sum.add_strides(["phases", "borders"], [&y, &frames], [phases, borders])?;
        let Scale { mean, std } = Scale::released(self.compute)?;
        sum.add("divergence", losses::divergence(&moments, &mean, &std)?, divergence)?;
        Ok(sum)
    }
}

impl Task for BaseVae {
    type Batch = Tensor;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn step(
        &self,
        batch: &Tensor,
        rng: &StepRng,
        loss_scale: f64,
        watch: &dyn Watch,
    ) -> Result<Losses> {
        self.losses(batch, rng, watch)?.backward(loss_scale)
    }

    fn evaluate(&self, batch: &Tensor, rng: &StepRng, watch: &dyn Watch) -> Result<Losses> {
        let _guard = tch::no_grad_guard();
        self.losses(batch, rng, watch)?.values()
    }

    /// The trained autoencoder as `Wan2.1_VAE.pth`, under the released names.
    fn export(&self) -> Result<Vec<Export>> {
        let tensors = super::export::stripped(&self.parameters, "vae.")?;
        Ok(vec![Export { file: "Wan2.1_VAE.pth", content: Content::Pickle(tensors) }])
    }
}
