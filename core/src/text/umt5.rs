//! The umT5 text encoder.
//!
//! Unlike T5, every layer owns a table of relative position biases. Attention is not scaled.
//! Layers are read, used and dropped one by one: a take encodes its prompts once, and the
//! encoder of the released model is 11 GB.
//!
//! Ports `wan/modules/t5.py:267` (`T5Encoder`), 69 (`T5Attention`), 123 (`T5FeedForward`), 53
//! (`T5LayerNorm`) and 245 (the buckets of relative positions).

use tch::Tensor;

use super::tokenizer::EMBEDDING;
use crate::blocks::{BlockSource, stream_once};
use crate::device::Device;
use crate::watch::check;
use crate::weights::{Weights, at_least_float32};
use crate::{Error, Result, Stage, Watch};

/// Buckets of relative distance, half of them for keys after the query.
const BUCKETS: i64 = 32;
/// Distances from here on share the last bucket.
const MAX_DISTANCE: f64 = 128.0;
const EPS: f64 = 1e-6;
/// Layers in memory at once, where there is room: one computes, one is read.
const SLOTS: usize = 2;

/// The text encoder of a model.
#[derive(Debug)]
pub struct Umt5 {
    weights: Weights,
    dim: i64,
    heads: i64,
    layers: usize,
    /// Layers in memory at once.
    slots: usize,
}

impl Umt5 {
    /// Reads the sizes from the shapes.
    ///
    /// # Errors
    /// A tensor is missing or of an impossible shape.
    pub fn new(weights: Weights) -> Result<Self> {
        let dim = dimension(&weights, EMBEDDING, 1)?;
        let layers =
            (0..).take_while(|i| weights.contains(&format!("blocks.{i}.norm1.weight"))).count();
        let heads = dimension(&weights, "blocks.0.pos_embedding.embedding.weight", 1)?;
        let inner = dimension(&weights, "blocks.0.attn.q.weight", 0)?;
        if heads < 1 || inner % heads != 0 {
            return Err(Error::Input(format!(
                "the text encoder has {heads} heads, which do not divide its {inner} attention channels"
            )));
        }
        Ok(Self { weights, dim, heads, layers, slots: SLOTS })
    }

    /// The same with so many layers in memory at once: with one, nothing is read while it computes.
    #[must_use]
    pub fn with_slots(self, slots: usize) -> Self {
        Self { slots: slots.max(1), ..self }
    }

    /// Width of the context.
    pub fn dim(&self) -> i64 {
        self.dim
    }

    /// Encodes several prompts in one pass over the layers: for each list of token ids
    /// the context `[tokens, dim]` in the working kind.
    ///
    /// Only real tokens are encoded. The released code pads to 512 and masks the padding, which
    /// gives the same rows.
    ///
    /// # Errors
    /// Weights are missing or damaged, memory runs out, or `watch` cancels.
    pub fn encode(&self, prompts: &[&[i64]], watch: &dyn Watch) -> Result<Vec<Tensor>> {
        let _guard = tch::no_grad_guard();
        self.forward(prompts, watch)
    }

    /// Like [`Umt5::encode`], with gradients where the weights need one.
    ///
    /// # Errors
    /// As [`Umt5::encode`].
    pub fn forward(&self, prompts: &[&[i64]], watch: &dyn Watch) -> Result<Vec<Tensor>> {
        watch.progress(Stage::Text, 0, self.layers);
        let mut states = prompts
            .iter()
            .map(|ids| self.weights.rows(EMBEDDING, ids))
            .collect::<Result<Vec<_>>>()?;
        if self.weights.is_in_files() {
            self.forward_streamed(&mut states, watch)?;
        } else {
            for index in 0..self.layers {
                check(watch, Stage::Text)?;
                let block = self.weights.sub(format!("blocks.{index}"));
                let block = Block::load(&block, self.dim, self.heads)?;
                block.advance(&mut states)?;
                watch.progress(Stage::Text, index + 1, self.layers);
            }
        }
        let norm = self.weights.get("norm.weight", &[self.dim])?;
        states.iter().map(|state| rms_norm(state, &norm)).collect()
    }
}

impl Umt5 {
    /// Takes states through all layers, each read while the one before it computes.
    fn forward_streamed(&self, states: &mut [Tensor], watch: &dyn Watch) -> Result<()> {
        let load = |block: &Weights| Block::load(block, self.dim, self.heads);
        let blocks = stream_once(&self.weights.sub("blocks"), self.layers, self.slots, &load)?;
        for index in 0..self.layers {
            check(watch, Stage::Text)?;
            blocks.with(index, &mut |block| block.advance(states))?;
            watch.progress(Stage::Text, index + 1, self.layers);
        }
        Ok(())
    }
}

fn dimension(weights: &Weights, name: &str, axis: usize) -> Result<i64> {
    let shape = weights.shape(name)?;
    shape.get(axis).copied().ok_or_else(|| {
        Error::Input(format!(
            "the text encoder's `{name}` has the shape {shape:?}, expected a matrix"
        ))
    })
}

#[derive(Debug)]
struct Block {
    heads: i64,
    norm1: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    position_bias: Tensor,
    norm2: Tensor,
    gate: Tensor,
    fc1: Tensor,
    fc2: Tensor,
}

impl Block {
    fn load(weights: &Weights, dim: i64, heads: i64) -> Result<Self> {
        let inner = dimension(weights, "attn.q.weight", 0)?;
        let ffn = dimension(weights, "ffn.fc1.weight", 0)?;
        Ok(Self {
            heads,
            norm1: weights.get("norm1.weight", &[dim])?,
            q: weights.get("attn.q.weight", &[inner, dim])?,
            k: weights.get("attn.k.weight", &[inner, dim])?,
            v: weights.get("attn.v.weight", &[inner, dim])?,
            o: weights.get("attn.o.weight", &[dim, inner])?,
            position_bias: weights.get("pos_embedding.embedding.weight", &[BUCKETS, heads])?,
            norm2: weights.get("norm2.weight", &[dim])?,
            gate: weights.get("ffn.gate.0.weight", &[ffn, dim])?,
            fc1: weights.get("ffn.fc1.weight", &[ffn, dim])?,
            fc2: weights.get("ffn.fc2.weight", &[dim, ffn])?,
        })
    }

    /// Takes each of the states through it.
    fn advance(&self, states: &mut [Tensor]) -> Result<()> {
        for state in states {
            *state = self.forward(state)?;
        }
        Ok(())
    }

    /// Attention and feed-forward network, each added to `x` `[tokens, dim]`: of the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_add(&self.attention(&rms_norm(x, &self.norm1)?)?)?;
        let y = rms_norm(&x, &self.norm2)?;
        let gate = linear(&y, &self.gate)?.f_gelu("tanh")?;
        let y = linear(&linear(&y, &self.fc1)?.f_mul(&gate)?, &self.fc2)?;
        Ok(x.f_add(&y)?)
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let tokens = x.size()[0];
        // [tokens, heads·d] → [heads, tokens, d]
        let split = |y: Tensor| y.f_view([tokens, self.heads, -1])?.f_transpose(0, 1);
        let q = split(linear(x, &self.q)?)?;
        let k = split(linear(x, &self.k)?)?;
        let v = split(linear(x, &self.v)?)?;
        let logits = q.f_matmul(&k.f_transpose(1, 2)?)?.f_add(&self.bias(tokens)?)?;
        // The softmax is float32, whatever the weights are.
        let weights = logits.f_softmax(-1, at_least_float32(logits.kind()))?.f_to_kind(v.kind())?;
        let y = weights.f_matmul(&v)?.f_transpose(0, 1)?.f_reshape([tokens, -1])?;
        linear(&y, &self.o)
    }

    /// `[heads, tokens, tokens]`: the bias of key − query.
    fn bias(&self, tokens: i64) -> Result<Tensor> {
        let buckets: Vec<i64> =
            (0..tokens).flat_map(|query| (0..tokens).map(move |key| bucket(key - query))).collect();
        let buckets = Tensor::f_from_slice(&buckets)?.f_to_device(self.position_bias.device())?;
        let bias = self.position_bias.f_index_select(0, &buckets)?;
        Ok(bias.f_view([tokens, tokens, self.heads])?.f_permute([2, 0, 1])?)
    }
}

/// T5's bucket of a relative position: exact up to 7, logarithmic up to 128.
fn bucket(relative: i64) -> i64 {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let side = if relative > 0 { half } else { 0 };
    let distance = relative.abs();
    if distance < exact {
        return side + distance;
    }
    // float32, as in the released code: the boundary cases are decided by its rounding.
    let ratio = (distance as f32 / exact as f32).ln() / (MAX_DISTANCE / exact as f64).ln() as f32;
    let logarithmic = exact + (ratio * (half - exact) as f32) as i64;
    side + logarithmic.min(half - 1)
}

/// Statistics in float32, the product rounded to the weight's kind before the weight multiplies.
fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let x = x.f_to_kind(at_least_float32(x.kind()))?;
    let mean = x.f_square()?.f_mean_dim(-1i64, true, x.kind())?;
    let scaled = x.f_mul(&mean.f_add_scalar(EPS)?.f_rsqrt()?)?.f_to_kind(weight.kind())?;
    Ok(scaled.f_mul(weight)?)
}

fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    Ok(x.f_linear(weight, None::<&Tensor>)?)
}

/// A context padded with zero rows to the length the transformer attends to: `[length, dim]`.
///
/// The rows take part in attention (there is no key mask), so they are part of the model.
pub(crate) fn pad(context: &Tensor, length: i64, device: Device) -> Result<Tensor> {
    let missing = length - context.size()[0];
    Ok(context.f_to_device(device.tch())?.f_constant_pad_nd([0, 0, 0, missing.max(0)])?)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_of_relative_positions() {
        for (relative, expected) in [
            (-200, 15),
            (-127, 15),
            (-64, 14),
            (-16, 10),
            (-8, 8),
            (-1, 1),
            (0, 0),
            (1, 17),
            (7, 23),
            (8, 24),
            (16, 26),
            (64, 30),
            (127, 31),
            (200, 31),
        ] {
            assert_eq!(bucket(relative), expected, "{relative}");
        }
    }
}
