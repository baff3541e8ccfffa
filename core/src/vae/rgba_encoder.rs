//! From an RGBA clip to the latent that both decoders share.

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::cache::FeatureCache;
use super::compose::{Corner, hard_render};
use super::encoder::Encoder;
use super::merge::MergeBlock;
use super::{LATENT_MEAN, LATENT_STD};
use crate::device::Device;
use crate::weights::{EncoderFiles, Weights};
use crate::{Result, Watch};

/// The base model's encoder and the merge block.
#[derive(Debug)]
pub struct RgbaEncoder {
    encoder: Encoder,
    merge: MergeBlock,
    kind: Kind,
    device: Device,
}

/// A film in the middle of being encoded.
#[derive(Debug, Default)]
pub struct RgbaFilm {
    color: FeatureCache,
    alpha: FeatureCache,
    merge: FeatureCache,
}

/// Latent frames as the merge block gives them.
#[derive(Debug)]
pub struct EncodedFrames {
    /// `[16, t, h/8, w/8]`, float32: what the decoders take before their `conv2`, and what the
    /// autoencoder is trained on.
    pub merged: Tensor,
}

impl RgbaEncoder {
    /// Reads the encoder and the merge block in `kind`.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(
        files: &EncoderFiles,
        kind: Kind,
        device: Device,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let weights = |set| Weights::new(Arc::clone(set), vec![], kind, device);
        let encoder = Encoder::load(&weights(&files.base), watch)?;
        let merge = MergeBlock::load(&weights(&files.merge), encoder.width())?;
        Ok(Self { encoder, merge, kind, device })
    }

    /// Encodes the next frames of a film, straight, display-referred RGBA `[t, h, w, 4]` in [0, 1],
    /// to `[16, t', h/8, w/8]`. A film begins with 4n+1 frames and goes on with 4n; one frame, then
    /// four at a time, needs the least memory.
    ///
    /// # Errors
    /// As [`Encoder::features`].
    pub fn encode(
        &self,
        rgba: &Tensor,
        background: Corner,
        film: &mut RgbaFilm,
        watch: &dyn Watch,
    ) -> Result<EncodedFrames> {
        let rgba = rgba.f_to_device(self.device.tch())?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        let alpha = rgba.f_narrow(-1, 3, 1)?;
        let color = hard_render(&rgba.f_narrow(-1, 0, 3)?, &alpha, background)?;
        let alpha = alpha.f_expand_as(&color)?;
        let features = |frames: &Tensor, cache: &mut FeatureCache| {
            let frames = frames.f_unsqueeze(0)?.f_to_kind(self.kind)?.f_contiguous()?;
            self.encoder.features(&frames, cache, watch)
        };
        let color = features(&color, &mut film.color)?;
        let alpha = features(&alpha, &mut film.alpha)?;
        let merged = self.merge.forward(&color, &alpha, &mut film.merge, watch)?;
        let merged = merged.f_squeeze_dim(0)?.f_permute([3, 0, 1, 2])?.f_to_kind(Kind::Float)?;
        Ok(EncodedFrames { merged: merged.f_contiguous()? })
    }
}

impl EncodedFrames {
    /// As the diffusion transformer and [`super::RgbaDecoder`] take latents, `[16, t, h/8, w/8]`:
    /// by the mean and deviation of the base model's, which are not those of merged ones.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn normalized(&self) -> Result<Tensor> {
        let each = |values: &[f32]| -> Result<Tensor> {
            let column = Tensor::f_from_slice(values)?.f_view([-1, 1, 1, 1])?;
            Ok(column.f_to_device(self.merged.device())?)
        };
        Ok(self.merged.f_sub(&each(&LATENT_MEAN)?)?.f_div(&each(&LATENT_STD)?)?)
    }
}
