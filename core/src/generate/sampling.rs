//! The denoising loop.

use tch::Tensor;
use wan_alpha_take::TakeRequest;

use super::prompt::Contexts;
use super::{Sink, as_f32, emit};
use crate::dit::Dit;
use crate::sampler::Sampler;
use crate::weights::is_finite;
use crate::{Error, Result, Stage, Watch};

/// From noise to a latent `[16, frames, h, w]`.
pub(super) fn sample(
    dit: &Dit,
    request: &TakeRequest,
    contexts: &Contexts,
    noise: &Tensor,
    sink: &mut dyn Sink,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let steps = request.steps as usize;
    let mut sampler = Sampler::new(request.solver, steps, request.shift);
    let schedule = sampler.schedule();
    emit(sink, "timesteps", &as_f32(schedule.timesteps())?)?;
    emit(sink, "sigmas", &as_f32(schedule.levels())?)?;

    let size = noise.size();
    let rope = dit.rope([size[1], size[2], size[3]])?;
    let mut prompt = dit.prompt(&contexts.prompt)?;
    let mut negative = contexts.negative.as_ref().map(|context| dit.prompt(context)).transpose()?;
    let mut x = noise.f_unsqueeze(0)?.f_to_device(dit.device().tch())?;
    watch.progress(Stage::Sample, 0, steps);
    let mut step = 0;
    while let Some(timestep) = sampler.timestep() {
        let mut velocity = dit.forward(&x, &[timestep], &mut prompt, &rope, watch)?;
        if let Some(negative) = &mut negative {
            // v = v₋ + g·(v₊ − v₋)
            let without = dit.forward(&x, &[timestep], negative, &rope, watch)?;
            velocity = without.f_add(&velocity.f_sub(&without)?.f_mul_scalar(request.guidance)?)?;
        }
        if !is_finite(&velocity)? {
            return Err(Error::Torch {
                doing: format!("sampling, step {} of {steps}", step + 1),
                detail:
                    "the transformer gave numbers that are not finite; with --dtype f32 it may not"
                        .into(),
            });
        }
        x = sampler.step(&x, &velocity)?;
        emit(sink, &format!("latent.step{step}"), &x.f_squeeze_dim(0)?)?;
        step += 1;
        watch.progress(Stage::Sample, step, steps);
    }
    Ok(x.f_squeeze_dim(0)?)
}
