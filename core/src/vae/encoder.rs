//! The encoder: from frames to a latent, in the chunks that memory allows.
//!
//! Ports `wan/modules/vae.py:322` (`Encoder3d`) and 573 (`WanVAE_.encode`).

use tch::Tensor;
use wan_alpha_take::counted::counted;

use super::LATENT_CHANNELS;
use super::blocks::{AttentionBlock, ResidualBlock};
use super::cache::FeatureCache;
use super::conv::{CausalConv3d, NormConv};
use super::downsample::Downsample;
use crate::pacer::Pacer;
use crate::watch::check;
use crate::weights::Weights;
use crate::{Error, Result, Stage, Watch};

/// Frames of video that one latent frame stands for, except the first, which stands for one.
pub const FRAMES_PER_LATENT: i64 = 4;

/// The encoder of a video autoencoder.
#[derive(Debug)]
pub struct Encoder {
    conv1: CausalConv3d,
    layers: Vec<Layer>,
    width: i64,
    head: NormConv,
    /// `conv1` of the autoencoder.
    quant: CausalConv3d,
}

#[derive(Debug)]
enum Layer {
    Residual(ResidualBlock),
    Attention(AttentionBlock),
    Downsample(Downsample),
}

impl Encoder {
    /// Reads `encoder.*` and `conv1`; widths and layers follow from the tensors.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(weights: &Weights, watch: &dyn Watch) -> Result<Self> {
        let z = 2 * LATENT_CHANNELS;
        let encoder = weights.sub("encoder");
        let mut channels = encoder.shape("conv1.weight")?.first().copied().unwrap_or(0);
        let conv1 = CausalConv3d::load(&encoder.sub("conv1"), 3, channels, [3, 3, 3])?;
        let mut layers = Vec::new();
        for index in 0.. {
            check(watch, Stage::Load)?;
            let layer = encoder.sub(format!("downsamples.{index}"));
            if layer.contains("residual.2.weight") {
                let block = ResidualBlock::load(&layer, channels)?;
                channels = block.output();
                layers.push(Layer::Residual(block));
            } else if layer.contains("resample.1.weight") {
                layers.push(Layer::Downsample(Downsample::load(&layer, channels)?));
            } else {
                break;
            }
        }
        check_halvings(&layers)?;
        layers.extend([
            Layer::Residual(ResidualBlock::load(&encoder.sub("middle.0"), channels)?),
            Layer::Attention(AttentionBlock::load(&encoder.sub("middle.1"), channels)?),
            Layer::Residual(ResidualBlock::load(&encoder.sub("middle.2"), channels)?),
        ]);
        Ok(Self {
            conv1,
            layers,
            width: channels,
            head: NormConv::load(&encoder, "head.0", "head.2", channels, z)?,
            quant: CausalConv3d::load(&weights.sub("conv1"), z, z, [1, 1, 1])?,
        })
    }

    /// How many channels [`Encoder::features`] has.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// What the layers before the head make of the next frames `[b, t, h, w, 3]` of a film, in
    /// [−1, 1]: `[b, t', h/8, w/8, width]`. A film begins with 4n+1 frames and goes on with 4n.
    ///
    /// # Errors
    /// Another number of frames, or a size that is no multiple of 8; `watch` cancels (it is asked
    /// before every block), or memory runs out.
    pub fn features(
        &self,
        frames: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        check_frames(&frames.size(), cache.is_fresh())?;
        cache.rewind();
        let mut x = self.conv1.forward(frames, cache)?;
        let mut pacer = Pacer;
        for layer in &self.layers {
            check(watch, Stage::Encode)?;
            x = match layer {
                Layer::Residual(block) => block.forward(&x, cache)?,
                Layer::Attention(block) => block.forward(&x)?,
                Layer::Downsample(block) => block.forward(&x, cache)?,
            };
            pacer.queued(&x)?;
        }
        Ok(x)
    }

    /// The base model's latent of the next frames, `[b, t', h/8, w/8, 16]`, not normalized: the
    /// mean, never a sample.
    ///
    /// # Errors
    /// As [`Encoder::features`].
    pub fn forward(
        &self,
        frames: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        Ok(self.moments(frames, cache, watch)?.f_narrow(-1, 0, LATENT_CHANNELS)?)
    }

    /// Mean and logarithm of the variance of each latent number, `[b, t', h/8, w/8, 32]`: what an
    /// autoencoder in training draws its latent from.
    ///
    /// # Errors
    /// As [`Encoder::features`].
    pub fn moments(
        &self,
        frames: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let x = self.features(frames, cache, watch)?;
        check(watch, Stage::Encode)?;
        self.quant.forward(&self.head.forward(&x, cache)?, cache)
    }
}

fn check_halvings(layers: &[Layer]) -> Result<()> {
    let halvings = layers.iter().filter_map(|layer| match layer {
        Layer::Downsample(block) => Some(block.in_both()),
        _ => None,
    });
    let (space, time) = halvings.fold((0, 0), |(n, m), both| (n + 1, m + u32::from(both)));
    if (space, time) == (3, 2) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "the autoencoder's encoder halves its size {} and its frames {}, expected 3 and 2 (8 pixels and \
         4 frames to a cell); it is of another kind",
        counted(space, "time"),
        counted(time, "time")
    )))
}

fn check_frames(size: &[i64], first: bool) -> Result<()> {
    let &[_, frames, height, width, 3] = size else {
        return Err(Error::Input(format!("frames to encode are [b, t, h, w, 3], not {size:?}")));
    };
    let rest = if first { frames - 1 } else { frames };
    if rest < 0 || (frames == 0) || rest % FRAMES_PER_LATENT != 0 {
        let expected = if first { "4n+1 frames" } else { "4n frames after the first" };
        return Err(Error::Input(format!(
            "{} cannot be encoded: a film begins with 4n+1 frames and goes on with 4n; here {expected} \
             are due",
            counted(frames, "frame")
        )));
    }
    if height % 8 != 0 || width % 8 != 0 {
        return Err(Error::Input(format!(
            "frames of {width} × {height} cannot be encoded: both must be multiples of 8"
        )));
    }
    Ok(())
}
