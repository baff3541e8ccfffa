//! The norms of a block: layer norm whose weight and bias carry the modulation, and RMS norm.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:75` (`WanRMSNorm`) and 94 (`WanLayerNorm`).

use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::shim::gradients_enabled;
use crate::weights::at_least_float32;

/// Layer norm in float32, times a weight, plus a bias: one pair for all, or one for each of a batch.
#[derive(Debug)]
pub(super) struct Affine {
    /// `[1 or b, 1, dim]`
    weight: Tensor,
    /// `[1 or b, 1, dim]`
    bias: Tensor,
    eps: f64,
}

impl Affine {
    /// Of a weight and a bias `[dim]`.
    pub(super) fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        Ok(Self { weight: weight.f_view([1, 1, -1])?, bias: bias.f_view([1, 1, -1])?, eps })
    }

    /// norm(x)·(1 + scale) + shift; `shift` and `scale`: `[1 or b, 1, dim]`.
    pub(super) fn modulated(shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Self> {
        Ok(Self { weight: scale.f_add_scalar(1.0)?, bias: shift.shallow_clone(), eps })
    }

    /// `x`: `[b, tokens, dim]`, in `kind`; `tokens` at once where that kind is narrower and no
    /// gradients are recorded, so that what is wider never exists whole.
    pub(super) fn forward(&self, x: &Tensor, kind: Kind, tokens: i64) -> Result<Tensor> {
        let samples = self.weight.size()[0];
        if gradients_enabled() || (samples == 1 && kind == x.kind()) {
            let y = match samples {
                1 => self.of_sample(x, 0)?,
                _ => self.bias.f_addcmul(&self.plain(x)?, &self.weight)?,
            };
            return Ok(y.f_to_kind(kind)?);
        }
        let y = Tensor::f_empty(x.size(), (kind, x.device()))?;
        for sample in 0..samples {
            let of_sample = |x: &Tensor| match samples {
                1 => Ok(x.shallow_clone()),
                _ => x.f_narrow(0, sample, 1),
            };
            let (x, y) = (of_sample(x)?, of_sample(&y)?);
            for (x, mut y) in x.f_split(tokens, 1)?.iter().zip(y.f_split(tokens, 1)?) {
                y.f_copy_(&self.of_sample(x, sample)?)?;
            }
        }
        Ok(y)
    }

    /// Every sample of `x` by the weight and bias of one.
    fn of_sample(&self, x: &Tensor, sample: i64) -> Result<Tensor> {
        let row = |y: &Tensor| y.f_narrow(0, sample, 1)?.f_view(-1);
        let (weight, bias) = (row(&self.weight)?, row(&self.bias)?);
        let dim = weight.size()[0];
        Ok(x.f_layer_norm(dim, Some(&weight), Some(&bias), self.eps, true)?)
    }

    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let dim = self.weight.size()[2];
        Ok(x.f_layer_norm(dim, None::<&Tensor>, None::<&Tensor>, self.eps, true)?)
    }
}

/// RMS norm over all heads together, before they are split.
#[derive(Debug)]
pub(super) struct RmsNorm {
    /// The factor of each channel: `[dim]`.
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    pub(super) fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// The factor of each channel, `[dim]`, for whoever multiplies it in elsewhere.
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The norm of `x`, times the weight of `other`; statistics in float32, rounded once.
    pub(super) fn forward_for(&self, x: &Tensor, other: &Self) -> Result<Tensor> {
        let float32 = at_least_float32(x.kind());
        let weight = self.weight.f_to_kind(float32)?.f_mul(&other.weight)?;
        Ok(x.f_to_kind(float32)?.f_mul(&self.factor(x)?)?.f_mul(&weight)?.f_to_kind(x.kind())?)
    }

    /// Without the weight, of a tensor that is not needed any more: in its memory, `tokens` at once,
    /// where no gradients are recorded.
    pub(super) fn unweighted(&self, x: Tensor, tokens: i64) -> Result<Tensor> {
        if gradients_enabled() {
            let scaled = x.f_to_kind(at_least_float32(x.kind()))?.f_mul(&self.factor(&x)?)?;
            return Ok(scaled.f_to_kind(x.kind())?);
        }
        if x.device() != Device::Cpu {
            return Ok(x.f_rms_norm([self.weight.size()[0]], None::<&Tensor>, self.eps)?);
        }
        for part in &mut x.f_split(tokens, 1)? {
            let factor = self.factor(part)?;
            let _ = part.f_mul_(&factor)?;
        }
        Ok(x)
    }

    /// What every number of a token is multiplied by: `[b, tokens, 1]`, at least float32.
    pub(super) fn factor(&self, x: &Tensor) -> Result<Tensor> {
        let dim = x.size().last().copied().unwrap_or(1);
        let norm = x.f_norm_scalaropt_dim_dtype(2.0, -1i64, true, at_least_float32(x.kind()))?;
        let mean = norm.f_square()?.f_div_scalar(dim)?;
        Ok(mean.f_add_scalar(self.eps)?.f_rsqrt()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        crate::noise::unseeded(shape, (Kind::Float, Device::Cpu))
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn pieces_and_samples_are_normed_as_the_whole_is() {
        for batch in [1, 3] {
            let (x, shift, scale) =
                (random(&[3, 7, 8]), random(&[batch, 1, 8]), random(&[batch, 1, 8]));
            let norm = Affine::modulated(&shift, &scale, 1e-6).unwrap();
            let expected = x.layer_norm(8, None::<&Tensor>, None::<&Tensor>, 1e-6, true)
                * (scale + 1.0)
                + shift;
            assert!(difference(&norm.forward(&x, Kind::Float, 2).unwrap(), &expected) < 1e-5);
            let _guard = tch::no_grad_guard();
            assert!(difference(&norm.forward(&x, Kind::Float, 2).unwrap(), &expected) < 1e-5);
            let narrow = norm.forward(&x, Kind::BFloat16, 2).unwrap();
            assert_eq!(narrow.kind(), Kind::BFloat16);
            assert!(difference(&narrow, &expected) < 5e-2);
        }
    }

    #[test]
    fn a_weight_may_stand_on_either_side_of_a_product() {
        for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-1)] {
            let norm = || RmsNorm::new(random(&[8]).to_kind(kind), 1e-6);
            let (query, key) = (norm(), norm());
            let (q, k) = (random(&[2, 7, 8]).to_kind(kind), random(&[2, 5, 8]).to_kind(kind));
            let product = |q: &Tensor, k: &Tensor| q.matmul(&k.transpose(1, 2));
            let normed = |norm: &RmsNorm, x: &Tensor| x.rms_norm([8], Some(norm.weight()), 1e-6);
            let expected = product(&normed(&query, &q), &normed(&key, &k));
            let weighted = key.forward_for(&k, &query).unwrap();
            let recorded = query.unweighted(q.copy(), 3).unwrap();
            let _guard = tch::no_grad_guard();
            let in_place = query.unweighted(q, 3).unwrap();
            assert_eq!(in_place, recorded);
            let scale = expected.abs().max().to_kind(Kind::Double).double_value(&[]);
            assert!(difference(&product(&in_place, &weighted), &expected) < tolerance * scale);
        }
    }
}
