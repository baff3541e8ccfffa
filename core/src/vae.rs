//! The video autoencoder: 8×8 pixels and up to four frames to a latent cell of 16 channels.
//!
//! A film is decoded latent frame by latent frame, and encoded in the same steps; every layer that
//! looks back in time keeps its last frames in a [`FeatureCache`], so that memory does not grow
//! with the film's length and the result is that of one piece. [`RgbaDecoder`] runs two decoders
//! side by side; [`RgbaEncoder`] runs one encoder on color and on alpha, and a [`MergeBlock`] on
//! what it sees.
//!
//! Ports `wan/modules/vae.py:674` (`WanVAE`, its `decode` at 734).

mod blocks;
mod cache;
mod compose;
mod conv;
mod decoder;
mod downsample;
mod encoder;
mod held;
mod merge;
mod rgba_encoder;
mod tiles;
mod winograd;

use tch::{Kind, Tensor};

pub use cache::FeatureCache;
pub use compose::{Corner, hard_render, soft_render};
pub(crate) use conv::channels_last;
pub use decoder::Decoder;
pub use encoder::{Encoder, FRAMES_PER_LATENT};
pub(crate) use held::{held_by_decoder, held_in_tiles};
pub use merge::MergeBlock;
pub use rgba_encoder::{EncodedFrames, RgbaEncoder, RgbaFilm};
pub(crate) use tiles::{Tile, largest_tile, tiles};

use crate::device::Device;
use crate::weights::{Decoders, Weights};
use crate::{Result, Watch};

/// Channels of a latent.
pub const LATENT_CHANNELS: i64 = 16;

/// Mean and standard deviation of each channel of the released autoencoder's latents.
pub const LATENT_MEAN: [f32; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517,
    -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
];
/// Standard deviation of each channel, beside [`LATENT_MEAN`].
pub const LATENT_STD: [f32; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
    1.6382, 1.1253, 2.8251, 1.9160,
];

/// The decoders of color and of alpha, which share a latent.
#[derive(Debug)]
pub struct RgbaDecoder {
    color: LatentDecoder,
    alpha: LatentDecoder,
}

/// What one of the two decoders gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedPart {
    /// Straight and display-referred.
    Color,
    /// The same three times or nearly so.
    Alpha,
}

/// One of the two decoders, for normalized latents.
#[derive(Debug)]
pub struct LatentDecoder {
    decoder: Decoder,
    kind: Kind,
    /// Mean and deviation of latents, float32: `[16]` each.
    mean: Tensor,
    std: Tensor,
}

/// Frames as the two decoders give them: `[t, h, w, 3]` in [−1, 1].
#[derive(Debug)]
pub struct DecodedFrames {
    /// Color, straight and display-referred.
    pub color: Tensor,
    /// Alpha, the same three times or nearly so.
    pub alpha: Tensor,
}

/// A film in the middle of being decoded.
#[derive(Debug, Default)]
pub struct Film {
    color: FeatureCache,
    alpha: FeatureCache,
}

impl LatentDecoder {
    /// Reads one decoder, its LoRA merged, in `kind`.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(
        decoders: &Decoders,
        part: DecodedPart,
        kind: Kind,
        device: Device,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let (set, adapters) = match decoders {
            Decoders::Adapted { base, color, alpha } => {
                let adapter = if part == DecodedPart::Color { color } else { alpha };
                (base, vec![adapter.clone()])
            }
            Decoders::Complete { color, alpha } => {
                (if part == DecodedPart::Color { color } else { alpha }, vec![])
            }
        };
        let weights = Weights::new(std::sync::Arc::clone(set), adapters, kind, device);
        Ok(Self {
            decoder: Decoder::load(&weights, watch)?,
            kind,
            mean: Tensor::f_from_slice(&LATENT_MEAN)?.f_to_device(device.tch())?,
            std: Tensor::f_from_slice(&LATENT_STD)?.f_to_device(device.tch())?,
        })
    }

    /// Decodes the next latent frames (`[16, t, h, w]`, normalized) of a film to `[t', 8·h, 8·w, 3]`,
    /// float32 in [−1, 1].
    ///
    /// # Errors
    /// `watch` cancels, or memory runs out.
    pub fn decode(
        &self,
        latent: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        finished(&self.decoder.forward(&self.z(latent)?, cache, watch)?)
    }

    /// The next latent frames of a film as far as every place sees every other: `[1, t, h, w, c]`.
    pub(crate) fn middle(
        &self,
        latent: &Tensor,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        cache.rewind();
        self.decoder.middle(&self.z(latent)?, cache, watch)
    }

    /// A tile of what [`LatentDecoder::middle`] gave on to frames, as [`LatentDecoder::decode`] gives
    /// them, without what the tile is larger than they are.
    pub(crate) fn rest(
        &self,
        middle: Tensor,
        tile: &Tile,
        cache: &mut FeatureCache,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        cache.rewind();
        let middle = middle.f_to_device(self.mean.device())?.f_to_kind(self.kind)?;
        finished(&self.decoder.rest(middle, &tile.trims(), cache, watch)?)
    }

    /// As the decoder takes it: `[1, t, h, w, 16]`.
    fn z(&self, latent: &Tensor) -> Result<Tensor> {
        let z = latent.f_to_device(self.mean.device())?.f_permute([1, 2, 3, 0])?.f_unsqueeze(0)?;
        let z = z.f_mul(&self.std)?.f_add(&self.mean)?.f_contiguous()?;
        Ok(z.f_to_kind(self.kind)?)
    }
}

/// `[1, t, h, w, 3]` → `[t, h, w, 3]`, float32 in [−1, 1].
fn finished(frames: &Tensor) -> Result<Tensor> {
    Ok(frames.f_squeeze_dim(0)?.f_to_kind(Kind::Float)?.f_clamp(-1.0, 1.0)?)
}

impl RgbaDecoder {
    /// Reads both decoders, LoRAs merged, in float32.
    ///
    /// # Errors
    /// As [`Weights::get`], or `watch` cancels.
    pub fn load(decoders: &Decoders, device: Device, watch: &dyn Watch) -> Result<Self> {
        Self::load_in(Kind::Float, decoders, device, watch)
    }

    /// The same in `kind`.
    ///
    /// # Errors
    /// As [`RgbaDecoder::load`].
    pub fn load_in(
        kind: Kind,
        decoders: &Decoders,
        device: Device,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let load = |part| LatentDecoder::load(decoders, part, kind, device, watch);
        Ok(Self { color: load(DecodedPart::Color)?, alpha: load(DecodedPart::Alpha)? })
    }

    /// What both compute in.
    pub(crate) fn kind(&self) -> Kind {
        self.color.kind
    }

    /// Decodes the next latent frames (`[16, t, h, w]`, normalized) of a film to
    /// `[t', 8·h, 8·w, 3]` of color and of alpha.
    ///
    /// # Errors
    /// `watch` cancels, or memory runs out.
    pub fn decode(
        &self,
        latent: &Tensor,
        film: &mut Film,
        watch: &dyn Watch,
    ) -> Result<DecodedFrames> {
        Ok(DecodedFrames {
            color: self.color.decode(latent, &mut film.color, watch)?,
            alpha: self.alpha.decode(latent, &mut film.alpha, watch)?,
        })
    }
}

impl DecodedFrames {
    /// Straight RGBA in [0, 1], `[t, h, w, 4]`: alpha is the mean of its three channels, and
    /// color under alpha 0 is whatever the decoder made of it.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn rgba(&self) -> Result<Tensor> {
        let unit = |x: &Tensor| -> Result<Tensor> { Ok(x.f_mul_scalar(0.5)?.f_add_scalar(0.5)?) };
        let alpha = unit(&self.alpha)?.f_mean_dim(-1i64, true, Kind::Float)?;
        Ok(Tensor::f_cat(&[unit(&self.color)?, alpha], -1)?)
    }
}
