//! Whatever parts of a model lie among files, be they a whole model's or what one run has left: for
//! handing them on.

use std::path::PathBuf;
use std::sync::Arc;

use super::adapter::{Adapter, LowRankPair};
use super::candidate::{Candidate, Channel};
use super::decoder_files::Decoders;
use super::discover::Found;
use super::file::TensorFile;
use super::network::Network;
use super::set::TensorSet;
use super::single_candidate::{incomplete, single};
use crate::dit::DitConfig;
use crate::{Error, Result};

/// The parts that have been found; see [`FoundParts::among`].
#[derive(Debug)]
pub struct FoundParts {
    /// The transformer and its sizes.
    pub transformer: Option<(Arc<TensorSet>, DitConfig)>,
    /// The transparency DoRA: its file, and what it changes.
    pub dora: Option<(Arc<TensorFile>, Vec<LowRankPair>)>,
    /// The text encoder, all of its files.
    pub text: Option<Arc<TensorSet>>,
    /// The file of the tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// The base autoencoder, where no decoders of color and alpha were found.
    pub autoencoder: Option<Arc<TensorSet>>,
    /// The decoders of color and alpha.
    pub decoders: Option<Decoders>,
    /// Further parts, what they are called and their files: merge block, step distillation.
    pub others: Vec<(&'static str, PathBuf)>,
}

impl FoundParts {
    /// Recognizes what lies among `paths`; folders are searched. Reads headers only.
    ///
    /// # Errors
    /// Nothing is recognized, decoder LoRAs are without the autoencoder that they change
    /// ([`Error::Incomplete`]), a part has two candidates, or one is damaged.
    pub fn among(paths: &[PathBuf]) -> Result<Self> {
        let mut found = Found::among(paths)?;
        let tokenizer = found.tokenizer()?;
        let Found { dits, texts, vaes, doras, distills, loras, decoders, merges, .. } = found;
        let (mut configs, passed_over) = (found.configs, found.passed_over);
        let transformer = match single("diffusion transformer", dits)? {
            None => None,
            Some(dit) => {
                let config = dit.config().or_else(|| configs.pop());
                let set = Arc::new(TensorSet::new(dit.files, Network::Dit)?);
                let config = DitConfig::infer(&set, config.as_deref())?;
                Some((set, config))
            }
        };
        let set = |candidate: Candidate, network| TensorSet::new(candidate.files, network);
        let text = single("text encoder", texts)?.map(|text| set(text, Network::Umt5));
        let merge_blocks = merges.iter().map(|merge| ("merge block", merge.path()));
        let further = loras.iter().map(|lora| ("further LoRA", lora.path()));
        let distilled = distills.iter().map(|lora| ("step-distillation LoRA", lora.path()));
        let image_encoders = found.image_encoders.iter().map(|clip| ("image encoder", clip.path()));
        let others = merge_blocks.chain(distilled).chain(further).chain(image_encoders).collect();
        let is_rgba = !decoders.is_empty()
            || merges.iter().any(Candidate::has_decoders)
            || vaes.iter().any(|vae| vae.channel() != Channel::Base);
        let (mut autoencoder, mut rgba) = (None, None);
        if is_rgba {
            let mut missing = Vec::new();
            rgba = Decoders::choose(vaes, decoders, &merges, &mut missing)?;
            if rgba.is_none() {
                return Err(incomplete(&missing, paths, passed_over));
            }
        } else {
            let base = single("autoencoder", vaes)?;
            autoencoder = base.map(|base| set(base, Network::Vae)).transpose()?.map(Arc::new);
        }
        let parts = Self {
            transformer,
            dora: single("transparency DoRA", doras)?.map(pairs).transpose()?,
            text: text.transpose()?.map(Arc::new),
            tokenizer,
            autoencoder,
            decoders: rgba,
            others,
        };
        if parts.is_empty() {
            let missing = ["transformer, DoRA, autoencoder or text encoder"];
            return Err(incomplete(&missing, paths, passed_over));
        }
        Ok(parts)
    }

    fn is_empty(&self) -> bool {
        self.transformer.is_none()
            && self.dora.is_none()
            && self.text.is_none()
            && self.autoencoder.is_none()
            && self.decoders.is_none()
    }
}

/// What an adapter in one file changes.
fn pairs(candidate: Candidate) -> Result<(Arc<TensorFile>, Vec<LowRankPair>)> {
    let [file] = &candidate.files[..] else {
        let path = candidate.path();
        return Err(Error::file(&path, "an adapter in several files is not understood"));
    };
    let pairs = Adapter::pairs(file.clone())?;
    Ok((file.clone(), pairs))
}
