//! Low-rank adapters (LoRA and DoRA): their tensors, and what becomes of a weight beside one.

use tch::{Kind, Tensor};

use super::at_least_float32;
use crate::Result;

/// A LoRA, or a DoRA where there is a magnitude.
#[derive(Debug)]
pub struct LowRank {
    /// A: `[rank, in]`, or a kernel `[rank, in, …]`.
    pub down: Tensor,
    /// B: `[out, rank]`, or a kernel `[out, rank, 1, …]`.
    pub up: Tensor,
    /// The length that a DoRA gives each output row: `[out]`.
    pub magnitude: Option<Tensor>,
    /// What B·A counts: the alpha it was trained with, over its rank.
    pub scale: f64,
}

impl LowRank {
    /// The same adapter, its tensors converted to `kind`.
    pub(crate) fn to_kind(&self, kind: Kind) -> Result<Self> {
        let magnitude = self.magnitude.as_ref().map(|magnitude| magnitude.f_to_kind(kind));
        Ok(Self {
            down: self.down.f_to_kind(kind)?,
            up: self.up.f_to_kind(kind)?,
            magnitude: magnitude.transpose()?,
            scale: self.scale,
        })
    }

    /// `weight` (`[out, …]`) with the adapter merged, of the same shape and in the adapter's kind;
    /// the norm of a DoRA is a constant in the backward pass.
    pub(crate) fn merged(&self, weight: &Tensor) -> Result<Tensor> {
        let shape = weight.size();
        let rank = self.down.size()[0];
        let down = self.down.f_reshape([rank, -1])?;
        let up = self.up.f_reshape([-1, rank])?.f_mul_scalar(self.scale)?;
        let matrix = weight.f_to_kind(down.kind())?.f_reshape([shape[0], -1])?;
        let merged = matrix.f_addmm(&up, &down)?;
        let merged = match &self.magnitude {
            Some(magnitude) => {
                let norm = row_norms(&merged.f_detach()?)?;
                merged.f_mul(&magnitude.f_div(&norm)?.f_unsqueeze(1)?)?
            }
            None => merged,
        };
        Ok(merged.f_view(&shape[..])?)
    }

    /// scale·B, `[out, rank]`: smaller than what it would otherwise scale.
    pub(crate) fn scaled_up(&self) -> Result<Tensor> {
        if self.scale == 1.0 {
            return Ok(self.up.shallow_clone());
        }
        Ok(self.up.f_mul_scalar(self.scale)?)
    }

    /// ‖W + scale·B·A‖ of each output row, `[out]`, for a frozen weight W `[out, in]`; a constant
    /// in the backward pass, as in peft.
    pub(crate) fn norm(&self, weight: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        row_norms(&weight.f_addmm(&self.scaled_up()?, &self.down)?)
    }
}

/// The length of each row of `[out, in]`: `[out]`, computed in at least float32, in the matrix's
/// kind.
fn row_norms(matrix: &Tensor) -> Result<Tensor> {
    let norm = matrix
        .f_to_kind(at_least_float32(matrix.kind()))?
        .f_norm_scalaropt_dim(2.0, 1i64, false)?;
    Ok(norm.f_clamp_min(1e-8)?.f_to_kind(matrix.kind())?)
}
