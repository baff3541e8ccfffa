//! The bidirectional diffusion loss: what a frozen transformer thinks of merged latents.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::{FrozenDit, RgbaVae};
use crate::train::losses::{self, Sum};
use crate::train::region::region_mask;
use crate::train::step_rng::StepRng;
use crate::vae::{LATENT_MEAN, LATENT_STD};
use crate::{Result, Watch};

impl RgbaVae {
    /// Adds the bidirectional loss of a latent `[b, t', h/8, w/8, 16]` and its alpha
    /// `[b, t, h, w, 3]`, where it counts and there is a transformer for it. Its gradient goes back
    /// to the latent at once, before the decoders need memory, through the noisy latent and through
    /// the target.
    pub(super) fn add_bidirectional_loss(
        &self,
        latent: &Tensor,
        alpha: &Tensor,
        rng: &StepRng,
        sum: &mut Sum,
        watch: &dyn Watch,
    ) -> Result<()> {
        let weight = self.settings.bidirectional;
        let Some(FrozenDit { dit, context }) = self.auxiliary.frozen_dit.as_ref() else {
            return Ok(());
        };
        if weight == 0.0 {
            return Ok(());
        }
        let graph = latent.requires_grad();
        // [b, 16, t, h, w]
        let outer = self.as_seen(&latent.f_permute([0, 4, 1, 2, 3])?)?;
        let clean = outer.f_detach()?.f_set_requires_grad(graph)?;
        let noise = self.compute.normal(rng, "noise", &clean.size())?;
        let time = self.flow.draw(rng, "time");
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
            let pass = dit.recomputed(&noisy, &timesteps, &prompt, None, &rope, watch)?;
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

    /// A latent `[b, 16, t', h/8, w/8]` as the transformer is shown it: of the same shape.
    fn as_seen(&self, latent: &Tensor) -> Result<Tensor> {
        if !self.settings.normalize {
            return Ok(latent.shallow_clone());
        }
        let each = |values: &[f32]| -> Result<Tensor> {
            Ok(self.compute.to_master(&Tensor::f_from_slice(values)?)?.f_view([1, -1, 1, 1, 1])?)
        };
        Ok(latent.f_sub(&each(&LATENT_MEAN)?)?.f_div(&each(&LATENT_STD)?)?)
    }
}
