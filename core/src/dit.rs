//! The diffusion transformer: from a noisy latent, a time and a prompt to a velocity.
//!
//! Names follow the checkpoint. The prompt's keys and values in every block and the rotations of
//! the grid stay the same from step to step: [`Prompt`] and [`Rope`] hold them for a take.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:374` (`WanModel_dora_lightx2v`, its `forward` at 565)
//! and, for the head, 322 (`Head`).

mod block;
mod config;
mod image;
mod kernel;
mod norm;
mod recompute;
mod rope;

use std::sync::Arc;

use tch::{Kind, Tensor};

pub use block::{Block, TextKeys};
pub use config::{CONDITION_CHANNELS, DitConfig, ImageWidths};
pub use image::ImagePrompt;
pub use kernel::AttentionKernel;
pub use recompute::Recomputed;
pub use rope::Rope;

use crate::blocks::{BlockPlacement, BlockSource, check_room_for_blocks, maps_blocks, place};
use crate::device::Device;
use crate::linear::Linear;
use crate::pacer::Pacer;
use crate::watch::check;
use crate::weights::{TensorSet, Weights};
use crate::{Error, Result, Stage, Watch, text};
pub(crate) use config::PATCH;
use image::ImageEmbedding;
use norm::Affine;

/// A diffusion transformer, its weights in memory.
#[derive(Debug)]
pub struct Dit {
    config: DitConfig,
    kind: Kind,
    /// The kind of the residual stream, of the time embedding and of the head: at least float32.
    float32_kind: Kind,
    device: Device,
    patch_embedding: Linear,
    time_embedding: [Linear; 2],
    time_projection: Linear,
    text_embedding: [Linear; 2],
    /// Of an image-to-video transformer.
    image_embedding: Option<ImageEmbedding>,
    blocks: Box<dyn BlockSource<Block>>,
    /// Keys and values of a prompt are computed once for a take, and not in every pass.
    keeps_text_keys: bool,
    head: Linear,
    /// Added to the time embedding, shift and scale of the head's norm: `[1, 2, dim]`.
    head_modulation: Tensor,
    /// The files that some of it is computed with where they are mapped.
    in_place: Option<Arc<TensorSet>>,
}

/// A prompt as the blocks see it, or one for each of a batch.
#[derive(Debug)]
pub struct Prompt {
    /// `[1, text, dim]`, or `[b, text, dim]`
    embedded: Tensor,
    /// Of each block, once it has been computed.
    keys: Vec<Option<TextKeys>>,
}

/// What the first block is given.
#[derive(Debug)]
struct Embedded {
    /// The latent's tokens: `[b, tokens, dim]`, float32.
    x: Tensor,
    /// The embedded time: `[b, dim]`, float32.
    time: Tensor,
    /// `[b, 6, dim]`, float32
    projected: Tensor,
}

impl Prompt {
    /// Forgets the keys and values, so that the next forward pass computes them again.
    pub fn forget(&mut self) {
        self.keys.iter_mut().for_each(|keys| *keys = None);
    }
}

impl Dit {
    /// Reads the whole transformer into memory, adapters merged.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(weights: &Weights, config: DitConfig, watch: &dyn Watch) -> Result<Self> {
        Self::load_placed(weights, config, &BlockPlacement::RESIDENT, watch)
    }

    /// The same, its blocks where `placement` says: what it computes is the same to the bit.
    ///
    /// # Errors
    /// As [`Dit::load`] and [`place`].
    pub fn load_placed(
        weights: &Weights,
        config: DitConfig,
        placement: &BlockPlacement,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let DitConfig { dim, layers, .. } = config;
        watch.progress(Stage::Load, 0, layers);
        let blocks = weights.sub("blocks");
        check(watch, Stage::Load)?;
        blocks.sub(0).read_ahead();
        let load = |block: &Weights| Block::load(block, &config);
        let blocks = place(&blocks, layers, placement, &load, &mut |done, of| {
            watch.progress(Stage::Load, done, of);
            if done + 1 == of {
                for rest in ["time_projection", "text_embedding"] {
                    weights.sub(rest).read_ahead();
                }
            }
            check(watch, Stage::Load)
        })?;
        let patch = PATCH.iter().product::<i64>();
        // Where blocks are used where they lie, the rest is too.
        let in_place = placement.is_by_cache(layers) && !weights.device().is_cuda();
        let weights = &if in_place { weights.in_place() } else { weights.clone() };
        let float32 =
            |name: &str, input, output| Linear::load_float32(&weights.sub(name), input, output);
        let linear = |name: &str, input, output| Linear::load(&weights.sub(name), input, output);
        Ok(Self {
            kind: weights.kind(),
            float32_kind: weights.float32_kind(),
            device: weights.device(),
            patch_embedding: load_patch_embedding(&weights.sub("patch_embedding"), &config)?,
            time_embedding: [
                float32("time_embedding.0", config.freq_dim, dim)?,
                float32("time_embedding.2", dim, dim)?,
            ],
            time_projection: float32("time_projection.1", dim, 6 * dim)?,
            text_embedding: [
                linear("text_embedding.0", config.text_dim, dim)?,
                linear("text_embedding.2", dim, dim)?,
            ],
            image_embedding: config
                .image
                .as_ref()
                .map(|widths| ImageEmbedding::load(&weights.sub("img_emb"), widths, dim))
                .transpose()?,
            blocks,
            keeps_text_keys: true,
            head: float32("head.head", dim, config.out_channels * patch)?,
            head_modulation: weights.get_float32("head.modulation", &[1, 2, dim])?,
            in_place: weights.files().filter(|_| in_place).cloned(),
            config,
        })
    }

    /// Whether there is room on disk for what [`Dit::load_placed`] would write there; nothing is read.
    ///
    /// # Errors
    /// There is none, with the numbers.
    pub fn check_room(
        weights: &Weights,
        config: &DitConfig,
        placement: &BlockPlacement,
    ) -> Result<()> {
        let load = |block: &Weights| Block::load(block, config);
        check_room_for_blocks(&weights.sub("blocks"), config.layers, placement, &load)
    }

    /// Whether blocks that come by a file which the system keeps in its cache are computed with where that is
    /// mapped, and take no slots; nothing is read.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub(crate) fn maps_blocks(weights: &Weights, config: &DitConfig) -> Result<bool> {
        let load = |block: &Weights| Block::load(block, config);
        maps_blocks(&weights.sub("blocks"), config.layers, &load)
    }

    /// The sizes that its weights have.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// Whether a prompt's keys and values are kept from pass to pass, which takes memory for each block,
    /// or computed in every one, which gives the same.
    pub fn keep_text_keys(&mut self, keep: bool) {
        self.keeps_text_keys = keep;
    }

    /// The device that its weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Prepares a context `[tokens, text_dim]` for attention. It is padded with zero rows, which
    /// take part like any other.
    ///
    /// # Errors
    /// The context is of another width or has too many tokens, or memory runs out.
    pub fn prompt(&self, context: &Tensor) -> Result<Prompt> {
        self.prompts(&[context])
    }

    /// Prepares a context `[tokens, text_dim]` for each of a batch, or one for all of it.
    ///
    /// # Errors
    /// As [`Dit::prompt`].
    pub fn prompts(&self, contexts: &[&Tensor]) -> Result<Prompt> {
        let padded = contexts
            .iter()
            .map(|context| {
                let (tokens, width) = context.size2()?;
                if tokens > self.config.text_length {
                    return Err(Error::Input(format!(
                        "a text has {tokens} tokens, the transformer takes {} at most \
                         (`text_len` of its config.json): shorten it",
                        self.config.text_length
                    )));
                }
                if width != self.config.text_dim {
                    return Err(Error::Input(format!(
                        "the text encoder gives {width} channels, the transformer expects {}; they \
                         are of different models",
                        self.config.text_dim
                    )));
                }
                text::pad(context, self.config.text_length, self.device)
            })
            .collect::<Result<Vec<_>>>()?;
        let [first, second] = &self.text_embedding;
        let padded = Tensor::f_stack(&padded, 0)?.f_to_kind(self.kind)?;
        let embedded = second.forward(&first.forward(&padded)?.f_gelu("tanh")?)?;
        let keys = (0..self.blocks.len()).map(|_| None).collect();
        self.unchanged()?;
        Ok(Prompt { embedded, keys })
    }

    /// The rotations for latents of `frames` × `height` × `width` cells.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn rope(&self, [frames, height, width]: [i64; 3]) -> Result<Rope> {
        let grid = [frames / PATCH[0], height / PATCH[1], width / PATCH[2]];
        Rope::new(grid, self.config.head_dim(), self.float32_kind, self.device)
    }

    /// The velocity ε − x₀ at `latent` (`[b, 16, frames, height, width]`) and `timesteps`
    /// (0…1000, one for each of the batch): of the shape of `latent`, float32.
    ///
    /// # Errors
    /// The transformer needs an image, `watch` cancels (it is asked before every block), or memory runs
    /// out.
    pub fn forward(
        &self,
        latent: &Tensor,
        timesteps: &[f64],
        prompt: &mut Prompt,
        rope: &Rope,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        self.forward_from(latent, timesteps, prompt, None, rope, watch)
    }

    /// Like [`Dit::forward`], for a take that begins with an image where there is one.
    ///
    /// # Errors
    /// As [`Dit::forward`]; or there is an image, and the transformer is one of text alone.
    pub fn forward_from(
        &self,
        latent: &Tensor,
        timesteps: &[f64],
        prompt: &mut Prompt,
        mut image: Option<&mut ImagePrompt>,
        rope: &Rope,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let joined = self.joined(latent, image.as_deref())?;
        let Embedded { mut x, time, projected } = self.embed(&joined, timesteps)?;
        let mut pacer = Pacer;
        for index in 0..self.blocks.len() {
            check(watch, Stage::Sample)?;
            let mut keys = prompt.keys[index].take();
            self.blocks.with(index, &mut |block| {
                let keys = match keys.take() {
                    Some(keys) => keys,
                    None => block.text_keys(&prompt.embedded)?,
                };
                let of_image = image.as_deref_mut().map(|image| {
                    let kept = image.keys[index].take();
                    kept.map_or_else(|| block.image_keys(image.tokens()), Ok)
                });
                let of_image = of_image.transpose()?;
                block.forward(&mut x, &projected, rope, &keys, of_image.as_ref())?;
                if self.keeps_text_keys {
                    prompt.keys[index] = Some(keys);
                    if let Some(image) = image.as_deref_mut() {
                        image.keys[index] = of_image;
                    }
                }
                pacer.queued(&x)
            })?;
        }
        let y = self.project(&x, &time)?;
        self.unchanged()?;
        unpatchify(&y, &latent.size())
    }

    /// Whether what was computed with where files are mapped is what they had when they were opened.
    fn unchanged(&self) -> Result<()> {
        self.in_place.as_ref().map_or(Ok(()), |files| files.unchanged())
    }

    fn embed(&self, latent: &Tensor, timesteps: &[f64]) -> Result<Embedded> {
        let time = self.embed_time(timesteps)?;
        let projected = self.time_projection.forward(&time.f_silu()?)?;
        let projected = projected.f_view([timesteps.len() as i64, 6, self.config.dim])?;
        let patches = patchify(&latent.f_to_device(self.device.tch())?)?.f_to_kind(self.kind)?;
        let x = self.patch_embedding.forward(&patches)?.f_to_kind(self.float32_kind)?;
        Ok(Embedded { x, time, projected })
    }

    /// The time embedding of each timestep: `[b, dim]`, float32.
    fn embed_time(&self, timesteps: &[f64]) -> Result<Tensor> {
        let sinusoid = sinusoid(timesteps, self.config.freq_dim)?;
        let sinusoid = sinusoid.f_to_kind(self.float32_kind)?.f_to_device(self.device.tch())?;
        let [first, second] = &self.time_embedding;
        second.forward(&first.forward(&sinusoid)?.f_silu()?)
    }

    /// The head, in float32; it is modulated by the time embedding itself.
    fn project(&self, x: &Tensor, time: &Tensor) -> Result<Tensor> {
        let modulation = self.head_modulation.f_add(&time.f_unsqueeze(1)?)?;
        let (shift, scale) = (modulation.f_narrow(1, 0, 1)?, modulation.f_narrow(1, 1, 1)?);
        let norm = Affine::modulated(&shift, &scale, self.config.eps)?;
        self.head.forward(&norm.forward(x, x.kind(), x.size()[1])?)
    }
}

/// The kernel that computes self-attention in a transformer of `kind` for latents of `frames` × `height`
/// × `width` cells. The transformer need not be loaded.
///
/// # Errors
/// On a GPU only the quadratic one would do it, and there are too many tokens for that; or memory runs
/// out.
pub(crate) fn attention_kernel(
    config: &DitConfig,
    [frames, height, width]: [i64; 3],
    kind: Kind,
    device: Device,
) -> Result<AttentionKernel> {
    let asked = kernel::KernelQuery {
        tokens: (frames / PATCH[0]) * (height / PATCH[1]) * (width / PATCH[2]),
        heads: config.heads,
        head_dim: config.head_dim(),
        kind,
        device: device.tch(),
    };
    asked.kernel()
}

/// The patch embedding is a convolution whose kernel equals its stride: a linear layer on patches, and
/// stored as one by some.
fn load_patch_embedding(weights: &Weights, config: &DitConfig) -> Result<Linear> {
    let [t, h, w] = PATCH;
    let kernel = [config.dim, config.in_channels, t, h, w];
    let matrix = [config.dim, config.in_channels * t * h * w];
    let is_matrix = weights.shape("weight")?.len() == matrix.len();
    let weight = weights.get("weight", if is_matrix { &matrix } else { &kernel })?;
    Ok(Linear::Plain {
        weight: weight.f_view([config.dim, -1])?,
        bias: Some(weights.get("bias", &[config.dim])?),
    })
}

/// `[cos | sin]` of t·10000^(−i/half): `[b, width]`, float64.
fn sinusoid(timesteps: &[f64], width: i64) -> Result<Tensor> {
    let half = width / 2;
    let frequencies: Vec<f64> =
        (0..half).map(|i| 10_000f64.powf(-(i as f64) / half as f64)).collect();
    let angles = Tensor::f_from_slice(timesteps)?
        .f_unsqueeze(1)?
        .f_mul(&Tensor::f_from_slice(&frequencies)?)?;
    Ok(Tensor::f_cat(&[angles.f_cos()?, angles.f_sin()?], 1)?)
}

/// `[b, c, t, h, w]` → `[b, tokens, c·patch]`, tokens by frame, row, column; a patch's numbers by
/// channel, row, column, as the convolution's kernel has them.
fn patchify(latent: &Tensor) -> Result<Tensor> {
    let [_, ph, pw] = PATCH;
    let &[b, c, t, h, w] = &latent.size()[..] else {
        return Err(Error::Input(format!("a latent has 5 axes, found {:?}", latent.size())));
    };
    let patches =
        latent.f_view(&[b, c, t, h / ph, ph, w / pw, pw][..])?.f_permute([0, 2, 3, 5, 1, 4, 6])?;
    Ok(patches.f_reshape([b, t * (h / ph) * (w / pw), c * ph * pw])?)
}

/// `[b, tokens, patch·c]` → `[b, c, t, h, w]`; here the channel runs fastest.
fn unpatchify(tokens: &Tensor, size: &[i64]) -> Result<Tensor> {
    let [_, ph, pw] = PATCH;
    let (b, t, h, w) = (size[0], size[2], size[3], size[4]);
    let y =
        tokens.f_view(&[b, t, h / ph, w / pw, ph, pw, -1][..])?.f_permute([0, 6, 1, 2, 4, 3, 5])?;
    Ok(y.f_reshape([b, -1, t, h, w])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_sinusoid_is_cosines_then_sines() {
        let values: Vec<f64> = sinusoid(&[999.0], 256).unwrap().view([-1]).try_into().unwrap();
        for (index, expected) in [
            (0, 0.999_649_85),
            (1, 0.963_782_48),
            (2, -0.398_991_76),
            (128, -0.026_460_75),
            (129, -0.266_689_58),
            (130, -0.916_954_51),
        ] {
            assert!((values[index] - expected).abs() < 1e-6, "{index}: {}", values[index]);
        }
    }

    #[test]
    fn a_token_returns_to_its_place() {
        // Grid (2, 3, 4); token (f 1, h 2, w 3), row 1, column 0, channel 5 of 16.
        let tokens = Tensor::zeros([1, 24, 64], (Kind::Float, tch::Device::Cpu));
        let (token, number) = ((3 + 2) * 4 + 3, 2 * 16 + 5);
        let _ = tokens.get(0).get(token).get(number).fill_(1.0);
        let y = unpatchify(&tokens, &[1, 16, 2, 6, 8]).unwrap();
        assert_eq!(y.double_value(&[0, 5, 1, 5, 6]), 1.0);
    }
}
