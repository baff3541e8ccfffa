//! The transformer that both halves of CLIP are built of: norms come first, and nothing is rotated.
//!
//! CLIP scores pictures ([`crate::metrics`]), and its half that sees is what an image-to-video model sees
//! with ([`crate::image_encoder`]).

use tch::Tensor;

use serde::Deserialize;

use crate::linear::Linear;
use crate::weights::Weights;
use crate::{Error, Result};

/// Mean and deviation of what CLIP was trained on, for colors in [0, 1].
pub(crate) const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub(crate) const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Between the two layers of an MLP.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Activation {
    /// x·σ(1.702·x), OpenAI's approximation of GELU.
    QuickGelu,
    /// GELU by the error function, exact.
    Gelu,
}

/// What a tower needs to know.
pub(crate) struct TowerConfig {
    pub(crate) heads: i64,
    pub(crate) activation: Activation,
    pub(crate) eps: f64,
}

/// Layers of attention and MLP.
#[derive(Debug)]
pub(crate) struct Tower(Vec<Layer>);

/// A layer of attention and MLP.
#[derive(Debug)]
pub(crate) struct Layer {
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
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(crate) fn load(weights: &Weights, width: i64, eps: f64) -> Result<Self> {
        let read = |name| weights.get(name, &[width]);
        Ok(Self { weight: read("weight")?, bias: read("bias")?, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        Ok(x.f_layer_norm(self.weight.size(), weight, bias, self.eps, false)?)
    }
}

impl Tower {
    /// All layers that there are.
    pub(crate) fn load(weights: &Weights, width: i64, config: &TowerConfig) -> Result<Self> {
        let TowerConfig { heads, .. } = *config;
        if heads < 1 || width % heads != 0 {
            return Err(Error::Input(format!(
                "CLIP's config.json says {heads} heads, which do not divide its {width} channels"
            )));
        }
        (0..Layer::count(weights))
            .map(|index| Layer::load(&weights.sub(format!("layers.{index}")), width, config))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// `[n, tokens, w]` → the same; `causal` where a token sees those before it alone.
    pub(crate) fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, causal))
    }
}

impl Layer {
    /// How many there are.
    pub(crate) fn count(weights: &Weights) -> usize {
        let there = |index: &usize| weights.contains(&format!("layers.{index}.mlp.fc1.weight"));
        (0..).take_while(there).count()
    }

    /// Reads `layers.N`; query, key and value may lie apart or, as in the original release, in one.
    pub(crate) fn load(weights: &Weights, width: i64, config: &TowerConfig) -> Result<Self> {
        let TowerConfig { heads, activation, eps } = *config;
        let hidden = weights.shape("mlp.fc1.weight")?.first().copied().unwrap_or_default();
        let square = |name: &str| biased(&weights.sub(name), width, width);
        Ok(Self {
            before_attention: Norm::load(&weights.sub("layer_norm1"), width, eps)?,
            ways_in: match weights.contains("self_attn.qkv_proj.weight") {
                true => joined(&weights.sub("self_attn.qkv_proj"), width)?,
                false => [
                    square("self_attn.q_proj")?,
                    square("self_attn.k_proj")?,
                    square("self_attn.v_proj")?,
                ],
            },
            way_out: square("self_attn.out_proj")?,
            before_mlp: Norm::load(&weights.sub("layer_norm2"), width, eps)?,
            mlp: [
                biased(&weights.sub("mlp.fc1"), width, hidden)?,
                biased(&weights.sub("mlp.fc2"), hidden, width)?,
            ],
            heads,
            activation,
        })
    }

    /// `[n, tokens, w]` → the same; `causal` where a token sees those before it alone.
    pub(crate) fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
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

/// A layer that has a bias, as all of CLIP's have: a file without it is cut short.
fn biased(weights: &Weights, input: i64, output: i64) -> Result<Linear> {
    weights.shape("bias")?;
    Linear::load(weights, input, output)
}

/// The three layers that lie in one, query first.
fn joined(weights: &Weights, width: i64) -> Result<[Linear; 3]> {
    let weight = weights.get("weight", &[3 * width, width])?;
    let bias = weights.get("bias", &[3 * width])?;
    let part = |index: i64| -> Result<Linear> {
        let rows = |tensor: &Tensor| tensor.f_narrow(0, index * width, width);
        Ok(Linear::Plain { weight: rows(&weight)?, bias: Some(rows(&bias)?) })
    };
    Ok([part(0)?, part(1)?, part(2)?])
}
