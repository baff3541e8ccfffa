//! The denoising loop: from noise to a latent, for takes and for the samples of a training run.
//!
//! Ports `wan/text2video_dora_lightx2v.py:439` to 454.

use tch::Tensor;
use wan_alpha_take::{Solver, TakeRequest};

use super::{FrameSink, as_f32, emit};
use crate::dit::{Dit, Prompt};
use crate::image_condition::ImageCondition;
use crate::noise::ShiftedNoise;
use crate::sampler::Sampler;
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
    let steps = options.steps;
    let mut show = |name: &str, tensor: &Tensor| match &mut sink {
        Some(sink) => emit(&mut **sink, name, tensor),
        None => Ok(()),
    };
    let mut sampler = Sampler::new(options.solver, steps, options.shift);
    let schedule = sampler.schedule();
    show("timesteps", &as_f32(schedule.timesteps())?)?;
    show("sigmas", &as_f32(schedule.levels())?)?;

    let size = noise.first.size();
    let rope = dit.rope([size[1], size[2], size[3]])?;
    let mut prompt = dit.prompt(&contexts.prompt)?;
    let mut negative = contexts.negative.as_ref().map(|context| dit.prompt(context)).transpose()?;
    let image = contexts.image.as_ref();
    let mut image = image.map(|image| dit.image(&image.feature, &image.channels)).transpose()?;
    if let Some(image) = &image {
        show("image.tokens", image.tokens())?;
    }
    let to_batch = |noise: &Tensor| -> Result<Tensor> {
        Ok(noise.f_unsqueeze(0)?.f_to_device(dit.device().tch())?)
    };
    let mut x = sampler.start(&to_batch(&noise.first)?)?;
    watch.progress(Stage::Sample, 0, steps);
    let mut step = 0;
    while let Some(timestep) = sampler.timestep() {
        let timestep = [timestep];
        let mut at = |prompt: &mut Prompt| {
            dit.forward_from(&x, &timestep, prompt, image.as_mut(), &rope, watch)
        };
        let mut velocity = at(&mut prompt)?;
        let without = negative.as_mut().map(at).transpose()?;
        if step == 0 && contexts.image.is_some() {
            show("velocity.step0", &velocity.f_squeeze_dim(0)?)?;
            if let Some(without) = &without {
                show("velocity.negative.step0", &without.f_squeeze_dim(0)?)?;
            }
        }
        if let Some(without) = without {
            // v = v₋ + g·(v₊ − v₋)
            velocity = without.f_add(&velocity.f_sub(&without)?.f_mul_scalar(options.guidance)?)?;
        }
        check_finite(&velocity, step, steps)?;
        let fresh = match &mut noise.fresh {
            Some(fresh) if sampler.needs_noise() => {
                let drawn = fresh.draw()?;
                let fresh = fresh.raise(&drawn)?;
                show(&format!("noise.step{step}"), &drawn)?;
                Some(to_batch(&fresh)?)
            }
            _ => None,
        };
        x = sampler.step(&x, &velocity, fresh.as_ref())?;
        show(&format!("latent.step{step}"), &x.f_squeeze_dim(0)?)?;
        step += 1;
        watch.progress(Stage::Sample, step, steps);
    }
    Ok(x.f_squeeze_dim(0)?)
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
