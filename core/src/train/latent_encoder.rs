//! What makes latents of clips while a transformer is trained: an RGBA autoencoder's encoder, or
//! that of a base autoencoder, which sees color alone.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::task::ComputeOptions;
use crate::vae::{
    Corner, Encoder, FeatureCache, LATENT_MEAN, LATENT_STD, RgbaEncoder, RgbaFilm, soft_render,
};
use crate::weights::{EncoderFiles, TensorSet, Weights};
use crate::{Result, Unwatched, Watch};

/// A frozen encoder, and what it computes with.
#[derive(Debug)]
pub struct LatentEncoder {
    network: EncoderNetwork,
    compute: ComputeOptions,
}

/// Whose encoder it is.
#[derive(Debug)]
enum EncoderNetwork {
    /// That of an RGBA autoencoder, with its merge block.
    Rgba(Box<RgbaEncoder>),
    /// That of a base autoencoder, which sees color alone.
    Color(Encoder),
}

impl LatentEncoder {
    /// The encoder of an autoencoder with a merge block: latents hold color and alpha.
    ///
    /// # Errors
    /// As [`RgbaEncoder::load`].
    pub fn rgba(files: &EncoderFiles, compute: ComputeOptions, watch: &dyn Watch) -> Result<Self> {
        let encoder = RgbaEncoder::load(files, compute.kind, compute.device, watch)?;
        Ok(Self { network: EncoderNetwork::Rgba(Box::new(encoder)), compute })
    }

    /// The encoder of a base autoencoder: latents hold color over a background, and no alpha.
    ///
    /// # Errors
    /// As [`Encoder::load`].
    pub fn color(set: &Arc<TensorSet>, compute: ComputeOptions, watch: &dyn Watch) -> Result<Self> {
        let weights = Weights::new(Arc::clone(set), vec![], compute.kind, compute.device);
        Ok(Self { network: EncoderNetwork::Color(Encoder::load(&weights, watch)?), compute })
    }

    /// Whether latents hold alpha.
    pub fn has_alpha(&self) -> bool {
        matches!(self.network, EncoderNetwork::Rgba(_))
    }

    /// The normalized latent `[16, t', h/8, w/8]`, float32, of a straight RGBA clip `[t, h, w, 4]`
    /// in [0, 1] over a background.
    ///
    /// # Errors
    /// The clip has no shape that can be encoded, or memory runs out.
    pub fn latent(&self, rgba: &Tensor, background: Corner) -> Result<Tensor> {
        match &self.network {
            EncoderNetwork::Rgba(encoder) => {
                let mut film = RgbaFilm::default();
                encoder.encode(rgba, background, &mut film, &Unwatched)?.normalized()
            }
            EncoderNetwork::Color(encoder) => self.color_latent(encoder, rgba, background),
        }
    }

    /// [`LatentEncoder::latent`] of a base autoencoder.
    fn color_latent(&self, encoder: &Encoder, rgba: &Tensor, background: Corner) -> Result<Tensor> {
        let ComputeOptions { kind, device } = self.compute;
        let rgba = rgba.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        let (color, alpha) = (rgba.f_narrow(-1, 0, 3)?, rgba.f_narrow(-1, 3, 1)?);
        let seen = soft_render(&color, &alpha, background)?.f_unsqueeze(0)?;
        let seen = seen.f_to_device(device.tch())?.f_to_kind(kind)?;
        let cache = &mut FeatureCache::default();
        let z = encoder.forward(&seen.f_contiguous()?, cache, &Unwatched)?;
        let z = z.f_to_kind(Kind::Float)?;
        let row = |values: &[f32]| -> Result<Tensor> {
            Ok(device.tensor(values)?.f_to_device(device.tch())?)
        };
        let z = z.f_sub(&row(&LATENT_MEAN)?)?.f_div(&row(&LATENT_STD)?)?;
        // [1, t', h/8, w/8, 16] → [16, t', h/8, w/8]
        Ok(z.f_squeeze_dim(0)?.f_permute([3, 0, 1, 2])?.f_contiguous()?)
    }
}
