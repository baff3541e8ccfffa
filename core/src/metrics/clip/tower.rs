//! The transformer that both halves of CLIP are built of: norms come first, and nothing is rotated.

use tch::Tensor;

use super::config::{Activation, TowerConfig};
use crate::linear::Linear;
use crate::weights::Weights;
use crate::{Error, Result};

/// Layers of attention and MLP.
#[derive(Debug)]
pub(super) struct Tower(Vec<Layer>);

#[derive(Debug)]
struct Layer {
    before_attention: Norm,
    /// The layers that make query, key and value, in this order.
    ways_in: [Linear; 3],
    way_out: Linear,
    before_mlp: Norm,
    mlp: [Linear; 2],
    heads: i64,
    activation: Activation,
}

/// A layer norm over the channels, with weight and bias.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(super) fn load(weights: &Weights, width: i64, eps: f64) -> Result<Self> {
        let read = |name| weights.get(name, &[width]);
        Ok(Self { weight: read("weight")?, bias: read("bias")?, eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        Ok(x.f_layer_norm(self.weight.size(), weight, bias, self.eps, false)?)
    }
}

impl Tower {
    /// All layers that there are.
    pub(super) fn load(weights: &Weights, width: i64, config: &TowerConfig) -> Result<Self> {
        let TowerConfig { heads, .. } = *config;
        if heads < 1 || width % heads != 0 {
            return Err(Error::Input(format!(
                "CLIP's config.json says {heads} heads, which do not divide its {width} channels"
            )));
        }
        let there = |index: &usize| weights.contains(&format!("layers.{index}.mlp.fc1.weight"));
        (0..)
            .take_while(there)
            .map(|index| Layer::load(&weights.sub(format!("layers.{index}")), width, config))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// `[n, tokens, w]` → the same; `causal` where a token sees those before it alone.
    pub(super) fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, causal))
    }
}

impl Layer {
    fn load(weights: &Weights, width: i64, config: &TowerConfig) -> Result<Self> {
        let TowerConfig { heads, activation, eps } = *config;
        let hidden = weights.shape("mlp.fc1.weight")?.first().copied().unwrap_or_default();
        let square = |name: &str| Linear::load(&weights.sub(name), width, width);
        Ok(Self {
            before_attention: Norm::load(&weights.sub("layer_norm1"), width, eps)?,
            ways_in: [
                square("self_attn.q_proj")?,
                square("self_attn.k_proj")?,
                square("self_attn.v_proj")?,
            ],
            way_out: square("self_attn.out_proj")?,
            before_mlp: Norm::load(&weights.sub("layer_norm2"), width, eps)?,
            mlp: [
                Linear::load(&weights.sub("mlp.fc1"), width, hidden)?,
                Linear::load(&weights.sub("mlp.fc2"), hidden, width)?,
            ],
            heads,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        let x = x.f_add(&self.attention(&self.before_attention.forward(x)?, causal)?)?;
        let [up, down] = &self.mlp;
        let hidden = up.forward(&self.before_mlp.forward(&x)?)?;
        let hidden = match self.activation {
            Activation::Gelu => hidden.f_gelu("none")?,
            Activation::QuickGelu => hidden.f_mul(&hidden.f_mul_scalar(1.702)?.f_sigmoid()?)?,
        };
        Ok(x.f_add(&down.forward(&hidden)?)?)
    }

    fn attention(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        let size = x.size();
        // [n, tokens, heads·d] → [n, heads, tokens, d]
        let split = |way: &Linear| -> Result<Tensor> {
            let y = way.forward(x)?.f_view([size[0], size[1], self.heads, -1])?;
            Ok(y.f_transpose(1, 2)?)
        };
        let [q, k, v] = &self.ways_in;
        let (q, k, v) = (split(q)?, split(k)?, split(v)?);
        let mask = None::<&Tensor>;
        let y = Tensor::f_scaled_dot_product_attention(&q, &k, &v, mask, 0.0, causal, None, false)?;
        self.way_out.forward(&y.f_transpose(1, 2)?.f_reshape(&size[..])?)
    }
}
