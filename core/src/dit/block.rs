//! One transformer block: self-attention, cross-attention to the text, feed-forward.

use tch::{Kind, Tensor};

use super::config::DitConfig;
use super::rope::Rope;
use crate::Result;
use crate::device::Device;
use crate::linear::Linear;
use crate::weights::{Weights, wide};

/// Numbers of the hidden layer that a processor holds at once: 16 MB in float32.
const CPU_HIDDEN: i64 = 1 << 22;
/// Tokens that a GPU takes through the feed-forward network at once.
const GPU_TOKENS: i64 = 8192;

/// A block of the diffusion transformer.
#[derive(Debug)]
pub struct Block {
    self_attn: Attention,
    cross_attn: Attention,
    norm3: Norm,
    ffn_in: Linear,
    ffn_out: Linear,
    /// `[1, 6, dim]`, float32
    modulation: Tensor,
    /// Tokens that the feed-forward network takes at once.
    ffn_tokens: i64,
    dim: i64,
    eps: f64,
}

/// Keys and values of the text for one block: `[1, heads, text, d]`, or one for each of a batch.
#[derive(Debug)]
pub struct TextKeys {
    keys: Tensor,
    values: Tensor,
}

impl Block {
    /// Reads `blocks.N`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, config: &DitConfig) -> Result<Self> {
        let DitConfig { dim, ffn, eps, .. } = *config;
        Ok(Self {
            self_attn: Attention::load(&weights.sub("self_attn"), config)?,
            cross_attn: Attention::load(&weights.sub("cross_attn"), config)?,
            norm3: Norm {
                weight: weights.get_wide("norm3.weight", &[dim])?,
                bias: weights.get_wide("norm3.bias", &[dim])?,
            },
            ffn_in: Linear::load(&weights.sub("ffn.0"), dim, ffn)?,
            ffn_out: Linear::load(&weights.sub("ffn.2"), ffn, dim)?,
            modulation: weights.get_wide("modulation", &[1, 6, dim])?,
            ffn_tokens: ffn_tokens(weights.device(), ffn),
            dim,
            eps,
        })
    }

    /// Keys and values of `context` (`[b, text, dim]`), which stay the same in every step.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn text_keys(&self, context: &Tensor) -> Result<TextKeys> {
        let attention = &self.cross_attn;
        let keys = attention.norm_k.forward(&attention.k.forward(context)?)?;
        let values = attention.v.forward(context)?;
        Ok(TextKeys {
            keys: attention.split(&keys)?.f_transpose(1, 2)?,
            values: attention.split(&values)?.f_transpose(1, 2)?,
        })
    }

    /// `x`: `[b, tokens, dim]`, float32; `time`: `[b, 6, dim]`, float32.
    ///
    /// The residual stream, the norms, the modulation and the gates are float32; the matrices are
    /// of the model's kind.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn forward(
        &self,
        x: &Tensor,
        time: &Tensor,
        rope: &Rope,
        text: &TextKeys,
    ) -> Result<Tensor> {
        let modulation = self.modulation.f_add(time)?;
        // shift, scale and gate of self-attention, then of the feed-forward network: [b, 1, dim]
        let m = |i: i64| modulation.f_narrow(1, i, 1);
        let kind = self.self_attn.kind;

        let y = modulate(&self.layer_norm(x)?, &m(0)?, &m(1)?)?.f_to_kind(kind)?;
        let y = self.self_attn.rotated(&y, rope)?;
        let x = x.f_addcmul(&y, &m(2)?)?;

        let y = x.f_layer_norm(
            self.dim,
            Some(&self.norm3.weight),
            Some(&self.norm3.bias),
            self.eps,
            true,
        )?;
        let y = self.cross_attn.to_text(&y.f_to_kind(kind)?, text)?;
        let x = x.f_add(&y)?;

        let (shift, scale, gate) = (m(3)?, m(4)?, m(5)?);
        let feed_forward = |x: &Tensor| -> Result<Tensor> {
            let y = modulate(&self.layer_norm(x)?, &shift, &scale)?.f_to_kind(kind)?;
            let y = self.ffn_out.forward(&self.ffn_in.forward(&y)?.f_gelu("tanh")?)?;
            Ok(x.f_addcmul(&y, &gate)?)
        };
        if x.size()[1] <= self.ffn_tokens {
            return feed_forward(&x);
        }
        let parts = x.f_split(self.ffn_tokens, 1)?;
        let parts = parts.iter().map(feed_forward).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 1)?)
    }

    fn layer_norm(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_layer_norm(self.dim, None::<&Tensor>, None::<&Tensor>, self.eps, true)?)
    }
}

/// Tokens that a feed-forward network of `width` hidden channels takes at once. Tokens do not meet
/// in it, so that its hidden layer, the widest tensor of a pass, need never exist whole: on a
/// processor a part stays in cache and in memory that the allocator keeps, where the whole is
/// mapped and zeroed anew for every block; a GPU wants parts large enough to fill it.
fn ffn_tokens(device: Device, width: i64) -> i64 {
    if device.is_cuda() { GPU_TOKENS } else { (CPU_HIDDEN / width).max(1) }
}

/// y·(1 + scale) + shift
pub(super) fn modulate(y: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    Ok(shift.f_addcmul(y, &scale.f_add_scalar(1.0)?)?)
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
    heads: i64,
    kind: Kind,
}

impl Attention {
    fn load(weights: &Weights, config: &DitConfig) -> Result<Self> {
        let DitConfig { dim, heads, eps, .. } = *config;
        let linear = |name: &str| Linear::load(&weights.sub(name), dim, dim);
        let norm = |name: &str| -> Result<RmsNorm> {
            Ok(RmsNorm { weight: weights.get(name, &[dim])?, eps })
        };
        Ok(Self {
            q: linear("q")?,
            k: linear("k")?,
            v: linear("v")?,
            o: linear("o")?,
            norm_q: norm("norm_q.weight")?,
            norm_k: norm("norm_k.weight")?,
            heads,
            kind: weights.kind(),
        })
    }

    /// Every token attends to every token, positions rotated.
    fn rotated(&self, x: &Tensor, rope: &Rope) -> Result<Tensor> {
        let q = rope.apply(&self.split(&self.norm_q.forward(&self.q.forward(x)?)?)?)?;
        let k = rope.apply(&self.split(&self.norm_k.forward(&self.k.forward(x)?)?)?)?;
        let v = self.split(&self.v.forward(x)?)?;
        self.join(&attend(&q.f_transpose(1, 2)?, &k.f_transpose(1, 2)?, &v.f_transpose(1, 2)?)?)
    }

    /// Every token attends to all rows of the text, padding included: there is no mask.
    fn to_text(&self, x: &Tensor, text: &TextKeys) -> Result<Tensor> {
        let q = self.split(&self.norm_q.forward(&self.q.forward(x)?)?)?.f_transpose(1, 2)?;
        let batch = x.size()[0];
        // One prompt serves a whole batch.
        let expand = |y: &Tensor| y.f_expand([batch, -1, -1, -1], false);
        self.join(&attend(&q, &expand(&text.keys)?, &expand(&text.values)?)?)
    }

    /// `[b, tokens, heads·d]` → `[b, tokens, heads, d]`
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        Ok(x.f_view([size[0], size[1], self.heads, -1])?)
    }

    /// `[b, heads, tokens, d]` → `[b, tokens, heads·d]`, projected.
    fn join(&self, y: &Tensor) -> Result<Tensor> {
        let y = y.f_transpose(1, 2)?;
        let size = y.size();
        self.o.forward(&y.f_reshape([size[0], size[1], -1])?)
    }
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, false, None, false)?)
}

/// RMS norm over all heads together, before they are split.
#[derive(Debug)]
struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Statistics in float32; the product is rounded to the working kind before the weight.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dim = x.size().last().copied().unwrap_or(1);
        let wide = x.f_to_kind(wide(x.kind()))?;
        let norm = wide.f_norm_scalaropt_dim(2.0, -1i64, true)?;
        let mean = norm.f_square()?.f_div_scalar(dim)?;
        let scaled = wide.f_mul(&mean.f_add_scalar(self.eps)?.f_rsqrt()?)?;
        Ok(scaled.f_to_kind(x.kind())?.f_mul(&self.weight)?)
    }
}
