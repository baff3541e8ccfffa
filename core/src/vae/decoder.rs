//! The decoder: from a latent to frames, as many at a time as memory allows.
//!
//! Ports `wan/modules/vae.py:426` (`Decoder3d`) and 600 (`WanVAE_.decode`).

use tch::Tensor;
use wan_alpha_take::counted::counted;

use super::LATENT_CHANNELS;
use super::blocks::{AttentionBlock, ResidualBlock, Upsample};
use super::cache::FeatureCache;
use super::conv::{CausalConv3d, NormConv};
use super::tiles::Trim;
use crate::pacer::Pacer;
use crate::watch::check;
use crate::weights::Weights;
use crate::{Error, Result, Stage, Watch};

/// Layers of the middle block.
const MIDDLE: usize = 3;

/// The decoder of a video autoencoder.
#[derive(Debug)]
pub struct Decoder {
    /// `conv2` of the autoencoder.
    post_quant: CausalConv3d,
    conv1: CausalConv3d,
    layers: Vec<Layer>,
    head: NormConv,
}

#[derive(Debug)]
enum Layer {
    Residual(ResidualBlock),
    Attention(AttentionBlock),
    Upsample(Upsample),
}

impl Decoder {
    /// Reads `conv2` and `decoder.*`; widths and layers follow from the tensors.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(weights: &Weights, watch: &dyn Watch) -> Result<Self> {
        let z = LATENT_CHANNELS;
        let decoder = weights.sub("decoder");
        decoder.read_ahead();
        let width = decoder.shape("conv1.weight")?.first().copied().unwrap_or(0);
        let mut layers = vec![
            Layer::Residual(ResidualBlock::load(&decoder.sub("middle.0"), width)?),
            Layer::Attention(AttentionBlock::load(&decoder.sub("middle.1"), width)?),
            Layer::Residual(ResidualBlock::load(&decoder.sub("middle.2"), width)?),
        ];
        let mut channels = width;
        for index in 0.. {
            check(watch, Stage::Load)?;
            let layer = decoder.sub(format!("upsamples.{index}"));
            if layer.contains("residual.2.weight") {
                let block = ResidualBlock::load(&layer, channels)?;
                channels = block.output();
                layers.push(Layer::Residual(block));
            } else if layer.contains("resample.1.weight") {
                let upsample = Upsample::load(&layer, channels)?;
                channels = upsample.output();
                layers.push(Layer::Upsample(upsample));
            } else {
                break;
            }
        }
        let doublings = layers.iter().filter(|layer| matches!(layer, Layer::Upsample(_))).count();
        if doublings != 3 {
            return Err(Error::Input(format!(
                "the autoencoder's decoder doubles its size {}, expected 3 times (8 pixels to a cell); \
                 it is of another kind",
                counted(doublings, "time")
            )));
        }
        Ok(Self {
            post_quant: CausalConv3d::load(&weights.sub("conv2"), z, z, [1, 1, 1])?,
            conv1: CausalConv3d::load(&decoder.sub("conv1"), z, width, [3, 3, 3])?,
            layers,
            head: NormConv::load(&decoder, "head.0", "head.2", channels, 3)?,
        })
    }

    /// Decodes the next latent frames `[b, t, h, w, 16]` of a film to `[b, t', 8·h, 8·w, 3]`, not
    /// clamped. The first latent frame of a film is one frame, every later one four.
    ///
    /// # Errors
    /// `watch` cancels (it is asked before every block), or memory runs out.
    pub fn forward(
        &self,
        latent: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        cache.rewind();
        let x = self.middle(latent, cache, watch)?;
        self.rest(x, &Trim::NONE, cache, watch)
    }

    /// The first half of [`Decoder::forward`], whose attention sees a frame as a whole: `[b, t, h, w,
    /// c]`, at the latent's size.
    pub(super) fn middle(
        &self,
        latent: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let x = self.post_quant.forward(latent, cache)?;
        let x = self.conv1.forward(&x, cache)?;
        Self::through(&self.layers[..MIDDLE], x, &[], cache, watch)
    }

    /// The second half, which sees no further than some cells; after each doubling `trims` are cut off.
    pub(super) fn rest(
        &self,
        x: Tensor,
        trims: &[Trim; 3],
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let x = Self::through(&self.layers[MIDDLE..], x, trims, cache, watch)?;
        check(watch, Stage::Decode)?;
        self.head.forward(&x, cache)
    }

    fn through(
        layers: &[Layer],
        mut x: Tensor,
        trims: &[Trim],
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let mut trims = trims.iter();
        let mut pacer = Pacer;
        for layer in layers {
            check(watch, Stage::Decode)?;
            x = match layer {
                Layer::Residual(block) => block.forward(&x, cache)?,
                Layer::Attention(block) => block.forward(&x)?,
                Layer::Upsample(block) => block.forward(&x, cache)?,
            };
            if matches!(layer, Layer::Upsample(_))
                && let Some(trim) = trims.next()
            {
                x = trim.cut(x)?;
            }
            pacer.queued(&x)?;
        }
        Ok(x)
    }
}
