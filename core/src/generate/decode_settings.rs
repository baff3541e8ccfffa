//! How a latent is decoded, as far as that changes pixels.

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};
use wan_alpha_take::{DecodePrecision, DecodeTiling, Precision, TakeRequest};

use crate::plan::TakeSizes;

/// How a latent is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeSettings {
    /// The request's: it says whether a GPU may multiply float32 as TF32
    /// ([`super::Pipeline::decodes_in_tf32`]).
    pub precision: Precision,
    /// What the decoders compute in.
    pub decode_precision: DecodePrecision,
    /// Frames are cut into tiles that overlap.
    pub tiled: bool,
}

impl DecodeSettings {
    /// The settings that a request has.
    pub fn of(request: &TakeRequest) -> Self {
        Self {
            precision: request.precision,
            decode_precision: request.decode_precision,
            tiled: request.decode_tiling == DecodeTiling::Tiled,
        }
    }

    /// In float32 and in one piece.
    pub fn whole(precision: Precision) -> Self {
        Self { precision, decode_precision: DecodePrecision::F32, tiled: false }
    }

    pub(super) fn kind(self) -> Kind {
        if self.decode_precision == DecodePrecision::F32 { Kind::Float } else { Kind::BFloat16 }
    }

    pub(super) fn sizes(self, latent: &Tensor) -> TakeSizes {
        TakeSizes::of_latent(latent, self.tiled, self.kind().elt_size_in_bytes() as u64)
    }
}
