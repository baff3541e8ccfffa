//! The networks that are read by name.

#![forbid(unsafe_code)]

use super::{clip_names, names};

/// The networks that are read by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The diffusion transformer, `blocks.*` and what stands around them.
    Dit,
    /// The text encoder, umT5 without its decoder.
    Umt5,
    /// The video autoencoder, `encoder.*` and `decoder.*`.
    Vae,
    /// The merge block of an RGBA autoencoder.
    Merge,
    /// The model that scores pictures, or the half of it that an image-to-video model sees with.
    Clip,
}

impl Network {
    /// The original name of a tensor of this network.
    pub(crate) fn original(self, key: &str) -> Option<String> {
        // Optimum's Quanto puts a quantized weight's numbers one level down.
        let key = key.strip_suffix("._data").unwrap_or(key);
        match self {
            Self::Dit => names::dit(key),
            Self::Umt5 => names::umt5(key),
            Self::Vae => names::vae(key),
            Self::Merge => names::merge(key),
            Self::Clip => clip_names::clip(key),
        }
    }

    /// The original name of the weight of a module of this network.
    pub(super) fn weight_of(self, module: &str) -> Option<String> {
        self.original(&format!("{module}.weight"))
    }
}
