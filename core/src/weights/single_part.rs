//! One part of a model among files, for those who need no whole model: training, caching.

use std::path::PathBuf;
use std::sync::Arc;

use super::candidate::Channel;
use super::discover::Found;
use super::network::Network;
use super::set::TensorSet;
use super::single_candidate::{incomplete, single};
use crate::Result;
use crate::dit::DitConfig;

/// The diffusion transformer among `paths`, and its sizes. Reads headers only.
///
/// # Errors
/// It is missing ([`crate::Error::Incomplete`]), has two candidates, or is of impossible shapes.
pub fn find_transformer(paths: &[PathBuf]) -> Result<(Arc<TensorSet>, DitConfig)> {
    let Found { dits, mut configs, passed_over, .. } = Found::among(paths)?;
    let Some(dit) = single("diffusion transformer", dits)? else {
        return Err(incomplete(
            &["diffusion transformer (diffusion_pytorch_model*.safetensors)"],
            paths,
            passed_over,
        ));
    };
    let config = dit.config().or_else(|| configs.pop());
    let set = Arc::new(TensorSet::new(dit.files, Network::Dit)?);
    let config = DitConfig::infer(&set, config.as_deref())?;
    Ok((set, config))
}

/// The text encoder among `paths`. Reads headers only.
///
/// # Errors
/// As [`find_transformer`].
pub fn find_text_encoder(paths: &[PathBuf]) -> Result<Arc<TensorSet>> {
    let found = Found::among(paths)?;
    let Some(text) = single("text encoder", found.texts)? else {
        return Err(incomplete(
            &["text encoder (models_t5_umt5-xxl-enc-bf16.pth)"],
            paths,
            found.passed_over,
        ));
    };
    Ok(Arc::new(TensorSet::new(text.files, Network::Umt5)?))
}

/// The image encoder of an image-to-video model among `paths`. Reads headers only.
///
/// # Errors
/// As [`find_transformer`].
pub fn find_image_encoder(paths: &[PathBuf]) -> Result<Arc<TensorSet>> {
    let found = Found::among(paths)?;
    let Some(encoder) = single("image encoder", found.image_encoders)? else {
        let part = "image encoder (models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth)";
        return Err(incomplete(&[part], paths, found.passed_over));
    };
    Ok(Arc::new(TensorSet::new(encoder.files, Network::Clip)?))
}

/// The tokenizer among `paths`.
///
/// # Errors
/// As [`find_transformer`].
pub fn find_tokenizer(paths: &[PathBuf]) -> Result<PathBuf> {
    let mut found = Found::among(paths)?;
    found.tokenizer()?.ok_or_else(|| {
        incomplete(&["tokenizer (google/umt5-xxl/tokenizer.json)"], paths, found.passed_over)
    })
}

/// The base autoencoder among `paths`: encoder and decoder, no LoRA merged. Reads headers only.
///
/// # Errors
/// As [`find_transformer`].
pub fn find_base_autoencoder(paths: &[PathBuf]) -> Result<Arc<TensorSet>> {
    let found = Found::among(paths)?;
    let base = found.vaes.into_iter().filter(|vae| vae.channel() == Channel::Base).collect();
    let Some(base) = single("autoencoder", base)? else {
        return Err(incomplete(&["autoencoder (Wan2.1_VAE.pth)"], paths, found.passed_over));
    };
    Ok(Arc::new(TensorSet::new(base.files, Network::Vae)?))
}
