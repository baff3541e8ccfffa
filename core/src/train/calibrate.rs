//! Latents brought to the released scale, which everything downstream normalises by, without a change
//! of what is decoded: the convolution before the latent and the 1×1 convolution after it are scaled.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::task::Placement;
use crate::vae::{LATENT_CHANNELS, LATENT_MEAN, LATENT_STD};
use crate::{Error, Result};

/// Mean and deviation of each channel: `[16]`, in the kind of what is trained.
pub(super) struct Scale {
    pub(super) mean: Tensor,
    pub(super) std: Tensor,
}

impl Scale {
    /// The released latents'.
    pub(super) fn released(placement: Placement) -> Result<Self> {
        let each = |values: &[f32]| placement.take(&Tensor::f_from_slice(values)?);
        Ok(Self { mean: each(&LATENT_MEAN)?, std: each(&LATENT_STD)? })
    }

    pub(super) fn measured(mean: &Tensor, std: &Tensor, placement: Placement) -> Result<Self> {
        let (mean, std) = (placement.take(mean)?, placement.take(std)?);
        if std.f_min()?.f_double_value(&[])? <= 0.0 {
            return Err(Error::Input(
                "a channel of the latents is constant and cannot be scaled; train longer".into(),
            ));
        }
        Ok(Self { mean, std })
    }

    /// Changes both convolutions in place, so that latents of this scale get that of `wanted`.
    /// `before` gives the latent (its first 16 rows), `after` takes it; weight and bias each.
    /// Returns what the latent is multiplied by.
    ///
    /// # Errors
    /// Memory runs out.
    pub(super) fn fold(
        &self,
        wanted: &Self,
        before: [Tensor; 2],
        after: [Tensor; 2],
    ) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let z = LATENT_CHANNELS;
        let factor = wanted.std.f_div(&self.std)?;
        let [weight, bias] = before;
        let _ = weight.f_narrow(0, 0, z)?.f_mul_(&factor.f_view([z, 1, 1, 1, 1])?)?;
        let moved = bias.f_narrow(0, 0, z)?.f_sub(&self.mean)?.f_mul(&factor)?;
        bias.f_narrow(0, 0, z)?.f_copy_(&moved.f_add(&wanted.mean)?)?;
        // And back: z = (z′ − wanted)/factor + mean.
        let [mut weight, mut bias] = after;
        let offset = self.mean.f_sub(&wanted.mean.f_div(&factor)?)?;
        let _ = bias.f_add_(&weight.f_view([z, z])?.f_mv(&offset)?)?;
        let _ = weight.f_div_(&factor.f_view([1, z, 1, 1, 1])?)?;
        Ok(factor)
    }
}
