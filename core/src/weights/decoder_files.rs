//! The two decoders of a model, in either of the forms that they are released in.

use std::path::PathBuf;
use std::sync::Arc;

use super::adapter::{Adapter, AdapterKind};
use super::candidate::{Candidate, Channel};
use super::discover::Found;
use super::network::Network;
use super::set::TensorSet;
use super::single_candidate::{ambiguous, incomplete, single};
use crate::{Error, Result};

/// Where the two decoders come from.
#[derive(Debug)]
pub enum Decoders {
    /// One autoencoder and a LoRA for each decoder.
    Adapted {
        /// The base autoencoder, which both LoRAs change.
        base: Arc<TensorSet>,
        /// Makes it decode color.
        color: Adapter,
        /// Makes it decode alpha.
        alpha: Adapter,
    },
    /// Two complete autoencoders, LoRAs merged.
    Complete {
        /// The autoencoder that decodes color.
        color: Arc<TensorSet>,
        /// The autoencoder that decodes alpha.
        alpha: Arc<TensorSet>,
    },
}

impl Decoders {
    /// Recognizes the decoders among `paths`, whatever else is there.
    ///
    /// # Errors
    /// One of them is missing ([`Error::Incomplete`]), has two candidates ([`Error::Ambiguous`]),
    /// or is damaged.
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        let Found { vaes, decoders, merges, passed_over, .. } = Found::among(paths)?;
        let mut missing = Vec::new();
        Self::choose(vaes, decoders, &merges, &mut missing)?
            .ok_or_else(|| incomplete(&missing, paths, passed_over))
    }

    /// Channels where they are widest; 0 of a damaged file, which is refused when it is loaded.
    pub fn width(&self) -> i64 {
        let set = match self {
            Self::Adapted { base, .. } => base,
            Self::Complete { color, .. } => color,
        };
        let shape = set.shape("decoder.conv1.weight");
        shape.ok().and_then(|shape| shape.first().copied()).unwrap_or(0)
    }

    /// The decoders among what has been found; where one is missing it is added to `missing`. A
    /// training checkpoint's LoRAs count where no other file brings decoders.
    pub(super) fn choose(
        vaes: Vec<Candidate>,
        loras: Vec<Candidate>,
        checkpoints: &[Candidate],
        missing: &mut Vec<&str>,
    ) -> Result<Option<Self>> {
        let complete = vaes.iter().any(|vae| vae.channel() != Channel::Base);
        let loras = if loras.is_empty() && !complete {
            checkpoints.iter().filter(|file| file.has_decoders()).cloned().collect()
        } else {
            loras
        };
        find_decoders(vaes, loras, missing)
    }
}

/// The decoders that autoencoders and LoRAs make, or nothing where one is added to `missing`.
fn find_decoders(
    vaes: Vec<Candidate>,
    loras: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Decoders>> {
    let (mut base, mut color, mut alpha) = (Vec::new(), Vec::new(), Vec::new());
    for vae in vaes {
        match vae.channel() {
            Channel::Base => base.push(vae),
            Channel::Color => color.push(vae),
            Channel::Alpha => alpha.push(vae),
        }
    }
    if color.is_empty() && alpha.is_empty() {
        return adapted(base, loras, missing);
    }
    if !loras.is_empty() {
        let all = loras.iter().chain(&color).chain(&alpha);
        return Err(ambiguous("RGBA decoders", all.map(Candidate::path).collect()));
    }
    complete(color, alpha, missing)
}

/// Two complete autoencoders, or nothing where one is missing.
fn complete(
    color: Vec<Candidate>,
    alpha: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Decoders>> {
    match (single("color autoencoder", color)?, single("alpha autoencoder", alpha)?) {
        (Some(color), Some(alpha)) => {
            Ok(Some(Decoders::Complete { color: vae_set(color)?, alpha: vae_set(alpha)? }))
        }
        (color, _) => {
            missing.push(if color.is_none() {
                "color autoencoder (…rgb_channel.safetensors)"
            } else {
                "alpha autoencoder (…alpha_channel.safetensors)"
            });
            Ok(None)
        }
    }
}

/// The base autoencoder and a LoRA for each decoder, or nothing where one is missing.
fn adapted(
    base: Vec<Candidate>,
    loras: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Decoders>> {
    let base = single("autoencoder", base)?;
    let lora = single("decoder LoRA", loras)?;
    if base.is_none() {
        missing.push("autoencoder (Wan2.1_VAE.pth)");
    }
    if lora.is_none() {
        missing.push("decoder LoRAs (decoder.bin)");
    }
    let (Some(base), Some(lora)) = (base, lora) else {
        return Ok(None);
    };
    let base = vae_set(base)?;
    let open = |kind| {
        let [file] = &lora.files[..] else {
            return Err(Error::file(&lora.path(), "an adapter in several files is not understood"));
        };
        Adapter::open(kind, file.clone(), 1.0, &base)
    };
    let (color, alpha) = (open(AdapterKind::ColorDecoder)?, open(AdapterKind::AlphaDecoder)?);
    Ok(Some(Decoders::Adapted { base, color, alpha }))
}

/// The tensors of an autoencoder's files.
fn vae_set(vae: Candidate) -> Result<Arc<TensorSet>> {
    TensorSet::new(vae.files, Network::Vae).map(Arc::new)
}
