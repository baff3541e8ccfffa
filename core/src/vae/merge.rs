//! The merge block: what makes one latent of what the encoder sees of color and of alpha.
//!
//! Ports `Wan-Alpha-VAE-train/wan_video_vae_new.py:533` (`BlockWCausal`) and 593 (`Mapping`).

use tch::Tensor;

use super::LATENT_CHANNELS;
use super::blocks::{AttentionBlock, ResidualBlock};
use super::cache::FeatureCache;
use super::conv::{CausalConv3d, NormConv};
use crate::watch::check;
use crate::weights::Weights;
use crate::{Result, Stage, Watch};

/// `middle.block` of a Wan-Alpha autoencoder.
#[derive(Debug)]
pub struct MergeBlock {
    conv1: CausalConv3d,
    residuals: [ResidualBlock; 3],
    attentions: [AttentionBlock; 2],
    head: NormConv,
}

impl MergeBlock {
    /// Reads `middle.block.*` for an encoder of `width` channels.
    ///
    /// # Errors
    /// As [`Weights::get`]: of another encoder, for one.
    pub fn load(weights: &Weights, width: i64) -> Result<Self> {
        let block = weights.sub("middle.block");
        let residual = |index| ResidualBlock::load(&block.sub(format!("middle.{index}")), width);
        let attention = |index| AttentionBlock::load(&block.sub(format!("middle.{index}")), width);
        Ok(Self {
            conv1: CausalConv3d::load(&block.sub("conv1"), 2 * width, width, [1, 1, 1])?,
            residuals: [residual(0)?, residual(2)?, residual(4)?],
            attentions: [attention(1)?, attention(3)?],
            head: NormConv::load(&block, "head.0", "head.2", width, LATENT_CHANNELS)?,
        })
    }

    /// The latent `[b, t, h, w, 16]`, not normalized, of the next features of a film, `[b, t, h,
    /// w, c]` each.
    ///
    /// # Errors
    /// `watch` cancels, or memory runs out.
    pub fn forward(
        &self,
        color: &Tensor,
        alpha: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        cache.rewind();
        let [first, middle, last] = &self.residuals;
        let mut x = self.conv1.forward(&Tensor::f_cat(&[color, alpha], -1)?, cache)?;
        for (residual, attention) in [first, middle].into_iter().zip(&self.attentions) {
            check(watch, Stage::Encode)?;
            x = attention.forward(&residual.forward(&x, cache)?)?;
        }
        check(watch, Stage::Encode)?;
        self.head.forward(&last.forward(&x, cache)?, cache)
    }
}
