//! Linear layers: one type for plain, quantized and adapted weights, so that inference, quantized
//! storage and training share every network.

mod product;

use tch::{Kind, Tensor};

use crate::Result;
use crate::shim::gradients_enabled;
use crate::weights::{LowRank, Weights};

/// y = x·Wᵀ + b over the last axis.
#[derive(Debug)]
pub enum Linear {
    /// A weight used as it is.
    Plain {
        /// The matrix W, `[out, in]`.
        weight: Tensor,
        /// The bias b, `[out]`, where the layer has one.
        bias: Option<Tensor>,
    },
    /// A weight kept in 16 bits as its file has it, brought into the input's wider kind when it is used.
    Narrow {
        /// The matrix W, `[out, in]`, bfloat16 or float16.
        weight: Tensor,
        /// The bias b, `[out]`, where the layer has one, in the kind that is computed with.
        bias: Option<Tensor>,
    },
    /// A weight stored in fp8 with its scale; multiplied out, in the input's kind, when used.
    Scaled {
        /// `[out, in]`, float8 e4m3
        weight: Tensor,
        /// `[out, 1]` or a single number, float32
        scale: Tensor,
        /// The bias, `[out]`, where the layer has one; never quantized.
        bias: Option<Tensor>,
    },
    /// A frozen layer with a low-rank adapter beside it, as trained.
    Adapted {
        /// The frozen layer that the adapter changes.
        base: Box<Linear>,
        /// The adapter, which gradients reach.
        adapter: LowRank,
    },
}

impl Linear {
    /// Reads `weight` (`[output, input]`) and, where there is one, `bias` (`[output]`); an adapter
    /// in training stays beside them.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, input: i64, output: i64) -> Result<Self> {
        let bias = weights.contains("bias").then(|| weights.get("bias", &[output])).transpose()?;
        if let Some((weight, adapter)) = weights.get_adapted("weight", &[output, input])? {
            return Ok(Self::Adapted { base: Box::new(Self::Plain { weight, bias }), adapter });
        }
        Ok(Self::Plain { weight: weights.get("weight", &[output, input])?, bias })
    }

    /// Like [`Linear::load`], computed in [`Weights::float32_kind`]; a weight that its file has in 16 bits,
    /// and that nothing changes, is kept in them.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load_float32(weights: &Weights, input: i64, output: i64) -> Result<Self> {
        let weight = weights.get_for_float32("weight", &[output, input])?;
        let bias =
            weights.contains("bias").then(|| weights.get_float32("bias", &[output])).transpose()?;
        if weight.kind() == weights.float32_kind() {
            return Ok(Self::Plain { weight, bias });
        }
        Ok(Self::Narrow { weight, bias })
    }

    /// `x`: `[…, in]` → `[…, out]`.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain { weight, bias } => product::linear(x, weight, bias.as_ref()),
            Self::Narrow { bias, .. } | Self::Scaled { bias, .. } => {
                product::linear(x, &self.weight(x.kind())?, bias.as_ref())
            }
            Self::Adapted { base, adapter } => {
                let low = product::linear(x, &adapter.down, None)?;
                let low = product::linear(&low, &adapter.scaled_up()?, None)?;
                let Some(magnitude) = &adapter.magnitude else {
                    return Ok(base.forward(x)?.f_add(&low)?);
                };
                let weight = base.weight(x.kind())?;
                let y = product::linear(x, &weight, None)?.f_add(&low)?;
                let ratio = magnitude.f_div(&adapter.norm(&weight)?)?;
                match base.bias() {
                    Some(bias) => Ok(bias.f_addcmul(&y, &ratio)?),
                    None => Ok(y.f_mul(&ratio)?),
                }
            }
        }
    }

    /// [`Linear::forward`], `[…, in]` → `[…, out]`, then the tanh form of GELU, in one pass where
    /// there is one for it.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        if let Self::Plain { weight, bias } = self
            && product::has_gelu(x, weight, bias.as_ref())
        {
            return product::linear_gelu(x, weight, bias.as_ref());
        }
        let mut y = self.forward(x)?;
        if gradients_enabled() {
            return Ok(y.f_gelu("tanh")?);
        }
        Ok(y.f_gelu_("tanh")?)
    }

    /// The weight as a matrix of `kind`, without adapters.
    fn weight(&self, kind: Kind) -> Result<Tensor> {
        match self {
            Self::Plain { weight, .. } | Self::Narrow { weight, .. } => Ok(weight.f_to_kind(kind)?),
            Self::Scaled { weight, scale, .. } => {
                Ok(weight.f_to_kind(Kind::Float)?.f_mul(scale)?.f_to_kind(kind)?)
            }
            Self::Adapted { base, .. } => base.weight(kind),
        }
    }

    /// Channels that it gives.
    pub(crate) fn outputs(&self) -> i64 {
        match self {
            Self::Plain { weight, .. }
            | Self::Narrow { weight, .. }
            | Self::Scaled { weight, .. } => weight.size()[0],
            Self::Adapted { base, .. } => base.outputs(),
        }
    }

    fn bias(&self) -> Option<&Tensor> {
        match self {
            Self::Plain { bias, .. } | Self::Narrow { bias, .. } | Self::Scaled { bias, .. } => {
                bias.as_ref()
            }
            Self::Adapted { base, .. } => base.bias(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        crate::noise::unseeded(shape, (Kind::Float, Device::Cpu))
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[])
    }

    #[test]
    fn an_adapted_layer_computes_what_its_merged_weight_computes() {
        let (x, weight, bias) = (random(&[5, 6]), random(&[7, 6]), random(&[7]));
        let (down, up, magnitude) = (random(&[2, 6]), random(&[7, 2]), random(&[7]));
        for magnitude in [None, Some(magnitude)] {
            let merged = &weight + up.matmul(&down) * 0.5;
            let merged = match &magnitude {
                None => merged,
                Some(m) => {
                    &merged
                        * (m.unsqueeze(1)
                            / merged.square().sum_dim_intlist(1i64, true, Kind::Float).sqrt())
                }
            };
            let adapter = LowRank { down: down.copy(), up: up.copy(), magnitude, scale: 0.5 };
            let base = Linear::Plain { weight: weight.copy(), bias: Some(bias.copy()) };
            let layer = Linear::Adapted { base: Box::new(base), adapter };
            let expected = x.linear(&merged, Some(&bias));
            assert!(difference(&layer.forward(&x).unwrap(), &expected) < 1e-6);
        }
    }

    #[test]
    fn a_scaled_layer_multiplies_its_scale_out() {
        let (x, scale) = (random(&[3, 4]), random(&[5, 1]).abs());
        let weight = random(&[5, 4]).to_kind(Kind::Float8e4m3fn);
        let expected = x.linear(&(weight.to_kind(Kind::Float) * &scale), None::<&Tensor>);
        let layer = Linear::Scaled { weight, scale, bias: None };
        assert!(difference(&layer.forward(&x).unwrap(), &expected) < 1e-6);
    }

    #[test]
    fn gradients_reach_the_adapter_and_the_input_but_not_through_the_norm() {
        let x = random(&[3, 4]).set_requires_grad(true);
        let down = random(&[2, 4]).set_requires_grad(true);
        let adapter = LowRank {
            down: down.shallow_clone(),
            up: random(&[5, 2]),
            magnitude: Some(random(&[5])),
            scale: 1.0,
        };
        let norm = adapter.norm(&random(&[5, 4])).unwrap();
        assert!(!norm.requires_grad());
        let base = Linear::Plain { weight: random(&[5, 4]), bias: None };
        let layer = Linear::Adapted { base: Box::new(base), adapter };
        layer.forward(&x).unwrap().sum(Kind::Float).backward();
        assert!(x.grad().defined() && down.grad().defined());
    }
}
