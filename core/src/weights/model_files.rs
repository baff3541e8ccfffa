//! The parts of a model, one candidate for each, checked against each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter::{Adapter, AdapterKind};
use super::discover::{Candidate, Channel, Found};
use super::encoder_files::EncoderFiles;
use super::set::{Network, TensorSet};
use crate::{Error, Result, Watch};

/// How strongly the adapters are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strengths {
    /// The transparency DoRA's ratio; 0 leaves it out.
    pub dora: f64,
    /// The step-distillation LoRA's strength; 0 leaves it out.
    pub distill: f64,
}

impl Default for Strengths {
    fn default() -> Self {
        Self { dora: 1.0, distill: 1.0 }
    }
}

/// Where the two decoders come from.
#[derive(Debug)]
pub enum Decoders {
    /// One autoencoder and a LoRA for each decoder.
    Adapted {
        /// The base autoencoder.
        base: Arc<TensorSet>,
        /// Makes it decode colour.
        colour: Adapter,
        /// Makes it decode alpha.
        alpha: Adapter,
    },
    /// Two complete autoencoders, LoRAs merged.
    Complete {
        /// Decodes colour.
        colour: Arc<TensorSet>,
        /// Decodes alpha.
        alpha: Arc<TensorSet>,
    },
}

/// The parts of a model that makes RGBA video from text.
#[derive(Debug)]
pub struct ModelFiles {
    /// The diffusion transformer.
    pub dit: Arc<TensorSet>,
    /// Its `config.json`, where there is one.
    pub config: Option<PathBuf>,
    /// The transparency DoRA and the step-distillation LoRA, in the order they are merged.
    pub adapters: Vec<Adapter>,
    /// The umT5 text encoder.
    pub text: Arc<TensorSet>,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The two decoders.
    pub decoders: Decoders,
    /// What turns a clip into a latent, where the files bring it.
    pub encoder: Option<EncoderFiles>,
}

impl ModelFiles {
    /// Recognises the parts among `paths` (folders are searched) and checks that they fit
    /// together. Reads headers only.
    ///
    /// # Errors
    /// A part is missing ([`Error::Incomplete`]), has two candidates ([`Error::Ambiguous`]), is
    /// damaged, or belongs to another model.
    pub fn find(paths: &[PathBuf], strengths: Strengths, watch: &dyn Watch) -> Result<Self> {
        let found = Found::among(paths)?;
        for path in &found.unknown {
            watch.warn(&format!("{}: no part of the model, left alone", path.display()));
        }
        let Found {
            dits,
            texts,
            vaes,
            doras,
            distills,
            decoders,
            merges,
            tokenizers,
            mut configs,
            ..
        } = found;

        let mut missing = Vec::new();
        let dit = single("diffusion transformer", dits)?;
        if dit.is_none() {
            missing.push("diffusion transformer (diffusion_pytorch_model*.safetensors)");
        }
        let text = single("text encoder", texts)?;
        if text.is_none() {
            missing.push("text encoder (models_t5_umt5-xxl-enc-bf16.pth)");
        }
        let tokenizer = single_tokenizer(tokenizers)?;
        if tokenizer.is_none() {
            missing.push("tokenizer (google/umt5-xxl/tokenizer.json)");
        }
        let decoders = Decoders::choose(vaes, decoders, &merges, &mut missing)?;
        let (Some(dit), Some(text), Some(tokenizer), Some(decoders)) =
            (dit, text, tokenizer, decoders)
        else {
            return Err(incomplete(&missing, paths));
        };

        let config = dit.config().or_else(|| configs.pop());
        let dit = Arc::new(TensorSet::new(dit.files, Network::Dit)?);
        let text = Arc::new(TensorSet::new(text.files, Network::Umt5)?);
        for set in [&dit, &text] {
            warn_foreign(set, watch);
        }
        let mut adapters = Vec::new();
        match single("transparency DoRA", doras)? {
            Some(dora) if strengths.dora != 0.0 => {
                adapters.push(open(AdapterKind::Dora, dora, strengths.dora, &dit)?);
            }
            Some(_) => {}
            None if strengths.dora == 0.0 || merged(&dit, AdapterKind::Dora) => {}
            None => watch.warn(
                "no transparency DoRA among the files: unless it is merged into the transformer \
                 already, backgrounds will not be transparent",
            ),
        }
        if let Some(distill) = single("step-distillation LoRA", distills)?
            && strengths.distill != 0.0
        {
            adapters.push(open(AdapterKind::Distill, distill, strengths.distill, &dit)?);
        }
        for adapter in &adapters {
            warn_unmatched(adapter, watch);
            if let Some((name, scale)) = adapter.scaled()? {
                watch.warn(&format!(
                    "{}: its alpha scales `{name}` by {scale}, which the authors' loader ignores",
                    adapter.path().display()
                ));
            }
        }
        let encoder = EncoderFiles::beside(&decoders, merges)?;
        Ok(Self { dit, config, adapters, text, tokenizer, decoders, encoder })
    }

    /// Every file of the model, each once, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let sets = match &self.decoders {
            Decoders::Adapted { base, .. } => vec![&self.dit, &self.text, base],
            Decoders::Complete { colour, alpha } => vec![&self.dit, &self.text, colour, alpha],
        };
        let decoders = match &self.decoders {
            Decoders::Adapted { colour, .. } => Some(colour),
            Decoders::Complete { .. } => None,
        };
        let adapters = self.adapters.iter().chain(decoders).map(Adapter::path);
        let merge = self.encoder.iter().map(|encoder| &encoder.merge);
        let files = sets.into_iter().chain(merge).flat_map(|set| set.paths()).chain(adapters);
        let others = self.config.iter().chain([&self.tokenizer]).map(PathBuf::as_path);
        let unique: BTreeSet<_> = files.chain(others).map(Path::to_owned).collect();
        unique.into_iter().collect()
    }

    /// Whether a step-distillation LoRA will be merged: 4 steps without guidance are then enough.
    pub fn is_distilled(&self) -> bool {
        self.adapters.iter().any(|adapter| adapter.kind() == AdapterKind::Distill)
            || merged(&self.dit, AdapterKind::Distill)
    }
}

/// The remark in a merged transformer's header that lists the adapters merged into it.
pub const MERGED: &str = "wan-alpha.merged";

fn merged(dit: &TensorSet, kind: AdapterKind) -> bool {
    dit.metadata(MERGED).is_some_and(|list| list.split(',').any(|one| one == kind.name()))
}

pub(super) fn single(part: &str, mut candidates: Vec<Candidate>) -> Result<Option<Candidate>> {
    if candidates.len() > 1 {
        return Err(Error::Ambiguous {
            part: part.to_owned(),
            candidates: candidates.iter().map(Candidate::path).collect(),
        });
    }
    Ok(candidates.pop())
}

/// Image-to-video folders bring a second tokenizer; umT5's folder is named for it.
pub(super) fn single_tokenizer(mut candidates: Vec<PathBuf>) -> Result<Option<PathBuf>> {
    if candidates.len() > 1 {
        let umt5 = |path: &PathBuf| {
            path.parent().is_some_and(|folder| folder.to_string_lossy().contains("umt5"))
        };
        let named: Vec<_> = candidates.iter().filter(|path| umt5(path)).cloned().collect();
        if named.len() != 1 {
            return Err(Error::Ambiguous { part: "tokenizer".into(), candidates });
        }
        candidates = named;
    }
    Ok(candidates.pop())
}

impl Decoders {
    /// Recognises the decoders among `paths`, whatever else is there.
    ///
    /// # Errors
    /// As [`ModelFiles::find`].
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        let Found { vaes, decoders, merges, .. } = Found::among(paths)?;
        let mut missing = Vec::new();
        Self::choose(vaes, decoders, &merges, &mut missing)?
            .ok_or_else(|| incomplete(&missing, paths))
    }

    /// A training checkpoint's LoRAs count where no other file brings decoders.
    fn choose(
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

pub(super) fn incomplete(missing: &[&str], searched: &[PathBuf]) -> Error {
    Error::Incomplete {
        missing: missing.iter().map(|&part| part.to_owned()).collect(),
        searched: searched.to_vec(),
    }
}

fn find_decoders(
    vaes: Vec<Candidate>,
    loras: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Decoders>> {
    let (mut base, mut colour, mut alpha) = (Vec::new(), Vec::new(), Vec::new());
    for vae in vaes {
        match vae.channel() {
            Channel::Base => base.push(vae),
            Channel::Colour => colour.push(vae),
            Channel::Alpha => alpha.push(vae),
        }
    }
    let complete = !colour.is_empty() || !alpha.is_empty();
    if complete && !loras.is_empty() {
        let all = loras.iter().chain(&colour).chain(&alpha);
        return Err(Error::Ambiguous {
            part: "RGBA decoders".into(),
            candidates: all.map(Candidate::path).collect(),
        });
    }
    let set = |vae: Candidate| TensorSet::new(vae.files, Network::Vae).map(Arc::new);
    if complete {
        return match (single("colour autoencoder", colour)?, single("alpha autoencoder", alpha)?) {
            (Some(colour), Some(alpha)) => {
                Ok(Some(Decoders::Complete { colour: set(colour)?, alpha: set(alpha)? }))
            }
            (colour, _) => {
                missing.push(if colour.is_none() {
                    "colour autoencoder (…rgb_channel.safetensors)"
                } else {
                    "alpha autoencoder (…alpha_channel.safetensors)"
                });
                Ok(None)
            }
        };
    }
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
    let base = set(base)?;
    let open = |kind| {
        let [file] = &lora.files[..] else {
            return Err(Error::file(&lora.path(), "an adapter in several files is not understood"));
        };
        Adapter::open(kind, file.clone(), 1.0, &base)
    };
    let (colour, alpha) = (open(AdapterKind::ColourDecoder)?, open(AdapterKind::AlphaDecoder)?);
    Ok(Some(Decoders::Adapted { base, colour, alpha }))
}

fn open(
    kind: AdapterKind,
    candidate: Candidate,
    strength: f64,
    base: &TensorSet,
) -> Result<Adapter> {
    let path = candidate.path();
    let mut files = candidate.files;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Adapter::open(kind, file, strength, base),
        _ => Err(Error::file(&path, "an adapter in several files is not understood")),
    }
}

fn warn_foreign(set: &TensorSet, watch: &dyn Watch) {
    if let Some((path, key)) = set.foreign().first() {
        watch.warn(&format!(
            "{}: {} keys are not of this network, the first is `{key}`; they are left alone",
            path.display(),
            set.foreign().len()
        ));
    }
}

fn warn_unmatched(adapter: &Adapter, watch: &dyn Watch) {
    if let Some(key) = adapter.unmatched().first() {
        watch.warn(&format!(
            "{}: {} keys match nothing in this model (of {} tensors it changes), the first is `{key}`",
            adapter.path().display(),
            adapter.unmatched().len(),
            adapter.targets()
        ));
    }
}
