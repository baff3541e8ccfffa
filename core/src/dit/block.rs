//! One transformer block: self-attention, cross-attention to the text, feed-forward.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:240` (`WanAttentionBlock`), 107 (`WanSelfAttention`)
//! and 164 (`WanT2VCrossAttention`).

use tch::{Kind, Tensor};

use super::config::DitConfig;
use super::norm::{Affine, RmsNorm};
use super::rope::Rope;
use crate::device::Device;
use crate::linear::Linear;
use crate::shim::gradients_enabled;
use crate::weights::Weights;
use crate::{Error, Result};

/// Numbers of the hidden layer that a processor holds at once: 16 MB in float32.
const CPU_HIDDEN: i64 = 1 << 22;
/// Numbers that a processor takes at once through what works on each by itself: 2 MB in float32.
const CPU_NUMBERS: i64 = 1 << 19;
/// Tokens that a GPU takes at once through either: enough to fill it.
const GPU_TOKENS: i64 = 8192;

/// A block of the diffusion transformer.
#[derive(Debug)]
pub struct Block {
    self_attn: Attention,
    cross_attn: Attention,
    /// Keys and values of an image, of an image-to-video transformer.
    image: Option<ImageAttention>,
    norm3: Affine,
    ffn_in: Linear,
    ffn_out: Linear,
    /// `[1, 6, dim]`, float32
    modulation: Tensor,
    /// Tokens that the feed-forward network takes at once.
    ffn_tokens: i64,
    /// Tokens that norms and rotations take at once.
    norm_tokens: i64,
    eps: f64,
}

/// Keys, normed and weighted for the queries too, and values of the text, or of an image, for one block:
/// `[1, heads, tokens, d]`, or one for each of a batch.
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
            image: config
                .image
                .is_some()
                .then(|| ImageAttention::load(&weights.sub("cross_attn"), config))
                .transpose()?,
            norm3: Affine::new(
                weights.get_float32("norm3.weight", &[dim])?,
                weights.get_float32("norm3.bias", &[dim])?,
                eps,
            )?,
            ffn_in: Linear::load(&weights.sub("ffn.0"), dim, ffn)?,
            ffn_out: Linear::load(&weights.sub("ffn.2"), ffn, dim)?,
            modulation: weights.get_float32("modulation", &[1, 6, dim])?,
            ffn_tokens: tokens_at_once(weights.device(), CPU_HIDDEN, ffn),
            norm_tokens: tokens_at_once(weights.device(), CPU_NUMBERS, dim),
            eps,
        })
    }

    /// Keys and values of `context` (`[b, text, dim]`), `[b, heads, text, d]` each, which stay the
    /// same in every step.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn text_keys(&self, context: &Tensor) -> Result<TextKeys> {
        let Attention { k, v, norm_k, .. } = &self.cross_attn;
        self.cross_attn.keys([k, v], norm_k, context)
    }

    /// Keys and values of an image's tokens (`[1, tokens, dim]`).
    ///
    /// # Errors
    /// The block is of a text-to-video transformer, or memory runs out.
    pub fn image_keys(&self, tokens: &Tensor) -> Result<TextKeys> {
        let Some(ImageAttention { k, v, norm_k }) = &self.image else {
            return Err(Error::Input("a text-to-video transformer has no keys of an image".into()));
        };
        self.cross_attn.keys([k, v], norm_k, tokens)
    }

    /// Takes `x` (`[b, tokens, dim]`, float32) through the block; `time`: `[b, 6, dim]`, float32;
    /// `image` in an image-to-video transformer.
    ///
    /// The residual stream, the norms, the modulation and the gates are float32; the matrices are
    /// of the model's kind.
    ///
    /// While gradients are recorded `x` becomes another tensor and all that was computed is kept for
    /// the way back. Otherwise what is added is added in the memory of `x`, and what has been used
    /// is let go of at once: in bfloat16 three and a half times that memory are held at most.
    ///
    /// # Errors
    /// Memory runs out; what `x` holds then is of no use.
    pub fn forward(
        &self,
        x: &mut Tensor,
        time: &Tensor,
        rope: &Rope,
        text: &TextKeys,
        image: Option<&TextKeys>,
    ) -> Result<()> {
        let modulation = self.modulation.f_add(time)?;
        // shift, scale and gate of self-attention, then of the feed-forward network: [b, 1, dim]
        let m = |i: i64| modulation.f_narrow(1, i, 1);

        let norm = Affine::modulated(&m(0)?, &m(1)?, self.eps)?;
        let y = norm.forward(x, self.self_attn.kind, self.norm_tokens)?;
        let y = self.self_attn.rotated(y, rope, self.norm_tokens)?;
        add_gated(x, &y, &m(2)?)?;
        drop(y);

        let y = self.norm3.forward(x, self.cross_attn.kind, self.norm_tokens)?;
        let y = self.cross_attn.to_context(y, text, image, self.norm_tokens)?;
        if gradients_enabled() {
            *x = x.f_add(&y)?;
        } else {
            let _ = x.f_add_(&y)?;
        }
        drop(y);

        let norm = Affine::modulated(&m(3)?, &m(4)?, self.eps)?;
        self.feed_forward(x, &norm, &m(5)?)
    }

    /// Adds to `x` what the feed-forward network makes of it.
    ///
    /// Tokens do not meet in it, so that its hidden layer, the widest tensor of a pass, need never
    /// exist whole: on a processor a part stays in cache and in memory that the allocator keeps,
    /// where the whole is mapped and zeroed anew for every block.
    fn feed_forward(&self, x: &mut Tensor, norm: &Affine, gate: &Tensor) -> Result<()> {
        let network = |x: &Tensor| -> Result<Tensor> {
            let y = norm.forward(x, self.self_attn.kind, self.norm_tokens)?;
            self.ffn_out.forward(&self.ffn_in.forward_gelu(&y)?)
        };
        if x.size()[1] <= self.ffn_tokens {
            let y = network(x)?;
            return add_gated(x, &y, gate);
        }
        let mut parts = x.f_split(self.ffn_tokens, 1)?;
        for part in &mut parts {
            let y = network(part)?;
            add_gated(part, &y, gate)?;
        }
        if gradients_enabled() {
            *x = Tensor::f_cat(&parts, 1)?;
        }
        Ok(())
    }
}

/// x + y·gate, in the memory of `x` unless gradients are recorded.
fn add_gated(x: &mut Tensor, y: &Tensor, gate: &Tensor) -> Result<()> {
    if gradients_enabled() {
        *x = x.f_addcmul(y, gate)?;
    } else {
        let _ = x.f_addcmul_(y, gate)?;
    }
    Ok(())
}

/// Tokens of `width` numbers each that are taken at once, where a processor takes `numbers`.
fn tokens_at_once(device: Device, numbers: i64, width: i64) -> i64 {
    if device.is_cuda() { GPU_TOKENS } else { (numbers / width).max(1) }
}

/// Layers that make keys and values of an image's tokens, and the keys' norm.
#[derive(Debug)]
struct ImageAttention {
    k: Linear,
    v: Linear,
    norm_k: RmsNorm,
}

impl ImageAttention {
    fn load(weights: &Weights, config: &DitConfig) -> Result<Self> {
        let DitConfig { dim, eps, .. } = *config;
        let linear = |name: &str| Linear::load(&weights.sub(name), dim, dim);
        let norm_k = RmsNorm::new(weights.get("norm_k_img.weight", &[dim])?, eps);
        Ok(Self { k: linear("k_img")?, v: linear("v_img")?, norm_k })
    }
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
        let norm =
            |name: &str| -> Result<RmsNorm> { Ok(RmsNorm::new(weights.get(name, &[dim])?, eps)) };
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
    fn rotated(&self, x: Tensor, rope: &Rope, tokens: i64) -> Result<Tensor> {
        let y = {
            let q = self.rotate(self.q.forward(&x)?, &self.norm_q, rope, tokens)?;
            let k = self.rotate(self.k.forward(&x)?, &self.norm_k, rope, tokens)?;
            let v = self.split(&self.v.forward(&x)?)?;
            drop(x);
            attend(&q.f_transpose(1, 2)?, &k.f_transpose(1, 2)?, &v.f_transpose(1, 2)?)?
        };
        self.join(&y)
    }

    /// Queries or keys `[b, tokens, heads·d]` normed and rotated: `[b, tokens, heads, d]`.
    fn rotate(&self, x: Tensor, norm: &RmsNorm, rope: &Rope, tokens: i64) -> Result<Tensor> {
        if gradients_enabled() {
            let factor = norm.factor(&x)?;
            return self.split(&rope.apply(&x, self.heads, &factor, norm.weight())?);
        }
        let mut first = 0;
        for part in &mut x.f_split(tokens, 1)? {
            let factor = norm.factor(part)?;
            rope.apply_in_place(part, self.heads, first, &factor, norm.weight())?;
            first += tokens;
        }
        self.split(&x)
    }

    /// Keys and values of `context` (`[b, tokens, dim]`) by two layers and the keys' norm.
    fn keys(&self, [k, v]: [&Linear; 2], norm_k: &RmsNorm, context: &Tensor) -> Result<TextKeys> {
        // The weight of the queries' norm meets the keys', once for a take.
        let keys = norm_k.forward_for(&k.forward(context)?, &self.norm_q)?;
        let values = v.forward(context)?;
        Ok(TextKeys {
            keys: self.split(&keys)?.f_transpose(1, 2)?,
            values: self.split(&values)?.f_transpose(1, 2)?,
        })
    }

    /// Every token attends to all rows of the text, padding included, since there is no mask; and, by
    /// a softmax of its own, to all of the image.
    fn to_context(
        &self,
        x: Tensor,
        text: &TextKeys,
        image: Option<&TextKeys>,
        tokens: i64,
    ) -> Result<Tensor> {
        let batch = x.size()[0];
        let y = {
            let q = self.norm_q.unweighted(self.q.forward(&x)?, tokens)?;
            drop(x);
            let q = self.split(&q)?.f_transpose(1, 2)?;
            // One prompt serves a whole batch.
            let expand = |y: &Tensor| y.f_expand([batch, -1, -1, -1], false);
            let to = |keys: &TextKeys| attend(&q, &expand(&keys.keys)?, &expand(&keys.values)?);
            match image {
                None => to(text)?,
                Some(image) => to(text)?.f_add(&to(image)?)?,
            }
        };
        self.join(&y)
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
