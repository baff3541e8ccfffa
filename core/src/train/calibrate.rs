//! Latents mapped without a change of what is decoded, by the convolution before the latent and the
//! 1×1 convolution after it: to the released scale, which everything downstream normalizes by, or
//! back to what they were before an autoencoder was trained on.

#![forbid(unsafe_code)]

use tch::{Device, Kind, Tensor};

use super::task::ComputeOptions;
use crate::vae::{LATENT_CHANNELS, LATENT_MEAN, LATENT_STD};
use crate::{Error, Result};

/// Mean and deviation of each channel: `[16]`, in the kind of what is trained.
pub(super) struct Scale {
    pub(super) mean: Tensor,
    pub(super) std: Tensor,
}

impl Scale {
    /// The mean and deviation that the released autoencoder's latents have.
    pub(super) fn released(compute: ComputeOptions) -> Result<Self> {
        let each = |values: &[f32]| compute.to_master(&Tensor::f_from_slice(values)?);
        Ok(Self { mean: each(&LATENT_MEAN)?, std: each(&LATENT_STD)? })
    }

    pub(super) fn measured(mean: &Tensor, std: &Tensor, compute: ComputeOptions) -> Result<Self> {
        let (mean, std) = (compute.to_master(mean)?, compute.to_master(std)?);
        if std.f_min()?.f_double_value(&[])? <= 0.0 {
            return Err(Error::Input(
                "a channel of the latents is constant and cannot be scaled; train longer".into(),
            ));
        }
        Ok(Self { mean, std })
    }

    /// Changes both convolutions in place, so that latents of this scale get that of `wanted`; see
    /// [`fold`]. Returns what the latent is multiplied by.
    ///
    /// # Errors
    /// Memory runs out.
    pub(super) fn fold(
        &self,
        wanted: &Self,
        before: [Tensor; 2],
        after: [Tensor; 2],
    ) -> Result<Tensor> {
        let factor = wanted.std.f_div(&self.std)?;
        let offset = wanted.mean.f_sub(&self.mean.f_mul(&factor)?)?;
        fold(&factor.f_diag(0)?, &offset, before, after)?;
        Ok(factor)
    }
}

/// Makes the latent z a latent M·z + s (`matrix` `[16, 16]`, `offset` `[16]`) without a change of
/// what is decoded, by changing two convolutions in place: `before` gives the latent (its first 16
/// rows), `after` takes it and has a kernel of one; weight and bias each.
///
/// # Errors
/// The matrix cannot be inverted, or memory runs out.
pub(super) fn fold(
    matrix: &Tensor,
    offset: &Tensor,
    before: [Tensor; 2],
    after: [Tensor; 2],
) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let z = LATENT_CHANNELS;
    let exact =
        |x: &Tensor| -> Result<Tensor> { Ok(x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?) };
    let (matrix, offset) = (exact(matrix)?, exact(offset)?);
    let inverse = Tensor::f_linalg_inv(&matrix).map_err(|_| {
        Error::Input("latents cannot be mapped: two channels would become one".into())
    })?;
    let [weight, bias] = before;
    let (mut weight, mut bias) = (weight.f_narrow(0, 0, z)?, bias.f_narrow(0, 0, z)?);
    let mixed = matrix.f_mm(&exact(&weight)?.f_reshape([z, -1])?)?;
    weight.f_copy_(&mixed.f_view(&weight.size()[..])?)?;
    bias.f_copy_(&matrix.f_mv(&exact(&bias)?)?.f_add(&offset)?)?;
    // And back: z = M⁻¹·(z′ − s).
    let [mut weight, mut bias] = after;
    let unmixed = exact(&weight)?.f_reshape([z, z])?.f_mm(&inverse)?;
    bias.f_copy_(&exact(&bias)?.f_sub(&unmixed.f_mv(&offset)?)?)?;
    weight.f_copy_(&unmixed.f_view(&weight.size()[..])?)?;
    Ok(())
}
