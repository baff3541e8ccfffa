//! The denoising loop: from noise to a latent, for takes and for the samples of a training run.
//!
//! Ports `wan/text2video_dora_lightx2v.py:439` to 454.

use tch::Tensor;
use wan_alpha_take::{Solver, TakeRequest};

use super::{FrameSink, as_f32, emit};
use crate::device::Device;
use crate::dit::{Dit, Prompt};
use crate::image_condition::ImageCondition;
use crate::noise::ShiftedNoise;
use crate::sampler::{Sampler, data_prediction};
use crate::weights::is_finite;
use crate::{Error, Result, Stage, Watch};

/// What the transformer attends to while it denoises.
#[derive(Debug)]
pub struct Contexts {
    /// The encoded prompt, `[tokens, text_dim]`.
    pub prompt: Tensor,
    /// The encoded negative prompt, `[tokens, text_dim]`: with guidance only.
    pub negative: Option<Tensor>,
    /// What an image-to-video transformer is given of an image.
    pub image: Option<ImageCondition>,
}

/// What a latent is denoised from: tensors `[16, frames, h, w]`, of any device.
#[derive(Debug)]
pub struct SamplingNoise {
    /// What it starts from.
    pub first: Tensor,
    /// Where solvers that add fresh noise have it from, continued after the first.
    pub fresh: Option<ShiftedNoise>,
}

/// How a latent is denoised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// What integrates the velocity.
    pub solver: Solver,
    /// How many times the transformer is asked for one.
    pub steps: usize,
    /// The shift of the schedule towards noise.
    pub shift: f64,
    /// How far the velocity goes from that of the negative prompt to that of the prompt, where
    /// there is a negative prompt.
    pub guidance: f64,
}

impl SamplingOptions {
    /// Those of a take.
    pub(super) fn of(request: &TakeRequest) -> Self {
        Self {
            solver: request.solver,
            steps: request.steps as usize,
            shift: request.shift,
            guidance: request.guidance,
        }
    }
}

/// Denoises `noise` to a normalized latent of the same shape, on the transformer's device. `sink` is
/// given the schedule, the latent after each step and the noise that was added to it, where it wants
/// tensors.
///
/// # Errors
/// The solver adds noise and there is none, the transformer gives numbers that are not finite, `watch`
/// cancels, or memory runs out.
pub fn sample(
    dit: &Dit,
    contexts: &Contexts,
    noise: &mut SamplingNoise,
    options: &SamplingOptions,
    mut sink: Option<&mut dyn FrameSink>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let mut latent = PartlyDenoised::begin(noise, options, dit.device())?;
    latent.show_schedule(&mut sink)?;
    latent.advance((dit, contexts), noise, &mut sink, watch, &|_| false)?;
    latent.finished()
}

/// A latent between two steps: all that the next one needs besides transformer, contexts and noise.
#[derive(Debug)]
pub struct PartlyDenoised {
    options: SamplingOptions,
    sampler: Sampler,
    /// `[1, 16, frames, h, w]`
    x: Tensor,
    /// How many are done.
    step: usize,
}

/// What is told of intermediate results.
type Sink<'a, 'b> = Option<&'a mut (dyn FrameSink + 'b)>;

impl PartlyDenoised {
    /// Before the first step, on a device.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn begin(noise: &SamplingNoise, options: &SamplingOptions, device: Device) -> Result<Self> {
        let sampler = Sampler::new(options.solver, options.steps, options.shift);
        let x = sampler.start(&noise.first.f_unsqueeze(0)?.f_to_device(device.tch())?)?;
        Ok(Self { options: *options, sampler, x, step: 0 })
    }

    /// Shows when the transformer will be asked.
    pub(super) fn show_schedule(&self, sink: &mut Sink<'_, '_>) -> Result<()> {
        let schedule = self.sampler.schedule();
        show(sink, "timesteps", &as_f32(schedule.timesteps())?)?;
        show(sink, "sigmas", &as_f32(schedule.levels())?)
    }

    /// Takes steps until none is left, or until `pauses`, asked before each with how many are done, says
    /// so. Steps taken after a pause give the bits of those without one.
    ///
    /// # Errors
    /// As [`sample`].
    pub fn advance(
        &mut self,
        (dit, contexts): (&Dit, &Contexts),
        noise: &mut SamplingNoise,
        sink: &mut Sink<'_, '_>,
        watch: &dyn Watch,
        pauses: &dyn Fn(usize) -> bool,
    ) -> Result<()> {
        let size = self.x.size();
        let rope = dit.rope([size[2], size[3], size[4]])?;
        let mut prompt = dit.prompt(&contexts.prompt)?;
        let mut negative =
            contexts.negative.as_ref().map(|context| dit.prompt(context)).transpose()?;
        let image = contexts.image.as_ref();
        let mut image =
            image.map(|image| dit.image(&image.feature, &image.channels)).transpose()?;
        if let Some(image) = image.as_ref().filter(|_| self.step == 0) {
            show(sink, "image.tokens", image.tokens())?;
        }
        let steps = self.options.steps;
        watch.progress(Stage::Sample, self.step, steps);
        while let Some(timestep) = self.sampler.timestep() {
            if pauses(self.step) {
                break;
            }
            let timestep = [timestep];
            let mut at = |prompt: &mut Prompt| {
                dit.forward_from(&self.x, &timestep, prompt, image.as_mut(), &rope, watch)
            };
            let velocity = at(&mut prompt)?;
            let without = negative.as_mut().map(at).transpose()?;
            let velocity = self.guided(velocity, without, image.is_some(), sink)?;
            if watch.wants_prediction() {
                watch.prediction(&self.prediction(&velocity)?);
            }
            self.take_step(&velocity, noise, sink)?;
            watch.progress(Stage::Sample, self.step, steps);
        }
        Ok(())
    }

    /// The velocity of a step, of those that the transformer has given with the prompt, and without.
    fn guided(
        &self,
        mut velocity: Tensor,
        without: Option<Tensor>,
        shows_velocity: bool,
        sink: &mut Sink<'_, '_>,
    ) -> Result<Tensor> {
        let step = self.step;
        if step == 0 && shows_velocity {
            show(sink, "velocity.step0", &velocity.f_squeeze_dim(0)?)?;
            if let Some(without) = &without {
                show(sink, "velocity.negative.step0", &without.f_squeeze_dim(0)?)?;
            }
        }
        if let Some(without) = without {
            // v = v₋ + g·(v₊ − v₋)
            let guidance = self.options.guidance;
            velocity = without.f_add(&velocity.f_sub(&without)?.f_mul_scalar(guidance)?)?;
        }
        check_finite(&velocity, step, self.options.steps)?;
        Ok(velocity)
    }

    /// The latent `[16, frames, h, w]` that a step of this velocity leads to.
    fn prediction(&self, velocity: &Tensor) -> Result<Tensor> {
        let sigma = self.sampler.schedule().levels()[self.step];
        Ok(data_prediction(&self.x, velocity, sigma)?.f_squeeze_dim(0)?)
    }

    /// One step along a velocity.
    fn take_step(
        &mut self,
        velocity: &Tensor,
        noise: &mut SamplingNoise,
        sink: &mut Sink<'_, '_>,
    ) -> Result<()> {
        let step = self.step;
        let fresh = match &mut noise.fresh {
            Some(fresh) if self.sampler.needs_noise() => {
                let drawn = fresh.draw()?;
                let fresh = fresh.raise(&drawn)?;
                show(sink, &format!("noise.step{step}"), &drawn)?;
                Some(fresh.f_unsqueeze(0)?.f_to_device(self.x.device())?)
            }
            _ => None,
        };
        self.x = self.sampler.step(&self.x, velocity, fresh.as_ref())?;
        show(sink, &format!("latent.step{step}"), &self.x.f_squeeze_dim(0)?)?;
        self.step += 1;
        Ok(())
    }

    /// Whether no step is left.
    pub fn is_finished(&self) -> bool {
        self.sampler.timestep().is_none()
    }

    /// How many steps are done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Moves it to another device; the numbers stay.
    ///
    /// # Errors
    /// Memory runs out, or a device has failed.
    pub fn to_device(&mut self, device: tch::Device) -> Result<()> {
        self.x = self.x.f_to_device(device)?;
        self.sampler.to_device(device)
    }

    /// The latent after the last step, `[16, frames, h, w]`.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn finished(self) -> Result<Tensor> {
        Ok(self.x.f_squeeze_dim(0)?)
    }
}

fn show(sink: &mut Sink<'_, '_>, name: &str, tensor: &Tensor) -> Result<()> {
    match sink {
        Some(sink) => emit(&mut **sink, name, tensor),
        None => Ok(()),
    }
}

/// That a velocity of a step, of which there are `steps`, is of numbers.
fn check_finite(velocity: &Tensor, step: usize, steps: usize) -> Result<()> {
    if is_finite(velocity)? {
        return Ok(());
    }
    Err(Error::Torch {
        doing: format!("sampling, step {} of {steps}", step + 1),
        detail: "the transformer gave numbers that are not finite; with --dtype f32 it may not"
            .into(),
    })
}
