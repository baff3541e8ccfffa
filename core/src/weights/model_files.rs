//! The parts of a model, one candidate for each, checked against each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wan_alpha_take::counted::{counted, verb};

use super::adapter::{Adapter, AdapterKind};
use super::candidate::Candidate;
use super::decoder_files::Decoders;
use super::discover::Found;
use super::encoder_files::EncoderFiles;
use super::file_bytes::{FileStamp, changed};
use super::image_names::is_image_to_video;
use super::image_parts;
use super::network::Network;
use super::passed_over::{PassedOver, likeliest};
use super::set::TensorSet;
use super::single_candidate::{incomplete, single};
use super::successor::SuccessorCheckpoint;
use crate::{Error, Result, Watch};

/// How strongly the adapters are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strengths {
    /// The transparency DoRA's ratio: 0 leaves of it the lengths that it gives to rows. None leaves all of
    /// it out.
    pub dora: Option<f64>,
    /// The step-distillation LoRA's strength; 0 leaves it out.
    pub distill: f64,
}

impl Default for Strengths {
    fn default() -> Self {
        Self { dora: Some(1.0), distill: 1.0 }
    }
}

/// The parts of a model that makes RGBA video from text, or from text and an image.
#[derive(Debug)]
pub struct ModelFiles {
    /// The tensors of the diffusion transformer.
    pub dit: Arc<TensorSet>,
    /// Its `config.json`, where there is one.
    pub config: Option<PathBuf>,
    /// The transparency DoRA, the step-distillation LoRA and other LoRAs that lie with them, in the order
    /// they are merged.
    pub adapters: Vec<Adapter>,
    /// LoRAs that are no part of the model, merged after its own: see [`ModelFiles::add_loras`].
    pub(super) further: Vec<Adapter>,
    /// The umT5 text encoder.
    pub text: Arc<TensorSet>,
    /// The file that the tokenizer lies in: `tokenizer.json`, `spiece.model` or the text encoder's.
    pub tokenizer: PathBuf,
    /// Where the decoders of color and of alpha come from.
    pub decoders: Decoders,
    /// What turns a clip into a latent, where the files bring it.
    pub encoder: Option<EncoderFiles>,
    /// What an image-to-video model sees an image with; nothing where it makes video from text alone.
    pub image_encoder: Option<Arc<TensorSet>>,
    /// The tokenizer's file as it was when the model was found.
    tokenizer_stamp: FileStamp,
}

impl ModelFiles {
    /// Recognizes the parts among `paths` (folders are searched) and checks that they fit
    /// together. Reads headers only.
    ///
    /// # Errors
    /// A part is missing ([`Error::Incomplete`]), has two candidates ([`Error::Ambiguous`]), is
    /// damaged, or belongs to another model.
    pub fn find(paths: &[PathBuf], strengths: Strengths, watch: &dyn Watch) -> Result<Self> {
        let mut found = Found::among(paths)?;
        let tokenizer = found.tokenizer()?;
        let warn = |path: &PathBuf, what: &str| watch.warn(&format!("{}: {what}", path.display()));
        found.unknown.iter().for_each(|path| warn(path, "no part of the model, left alone"));
        let Found { dits, texts, vaes, doras, distills, loras, decoders, merges, .. } = found;
        let image_encoders = found.image_encoders;
        let (mut configs, mut passed_over) = (found.configs, found.passed_over);

        let mut missing = Vec::new();
        let dit = single("diffusion transformer", dits)?;
        let text = single("text encoder", texts)?;
        for (is_there, part) in [
            (dit.is_some(), "diffusion transformer (diffusion_pytorch_model*.safetensors)"),
            (text.is_some(), "text encoder (models_t5_umt5-xxl-enc-bf16.pth)"),
            (
                tokenizer.is_some(),
                "tokenizer (google/umt5-xxl/tokenizer.json, or its spiece.model)",
            ),
        ] {
            missing.extend((!is_there).then_some(part));
        }
        let decoders = Decoders::choose(vaes, decoders, &merges, &mut missing)?;
        let (Some(dit), Some(text), Some(tokenizer), Some(decoders)) =
            (dit, text, tokenizer, decoders)
        else {
            return Err(incomplete(&missing, paths, passed_over));
        };

        let config = dit.config().or_else(|| configs.pop());
        let dit = known_set(dit, Network::Dit, watch)?;
        let text = known_set(text, Network::Umt5, watch)?;
        let adapters = AdapterFiles { doras, distills, loras };
        adapters.none_is_lost(strengths, &dit, &mut passed_over)?;
        passed_over.iter().for_each(|file| watch.warn(&format!("passed over: {}", file.reason())));
        let adapters = adapters.open(strengths, &dit, watch)?;
        let encoder = EncoderFiles::beside(&decoders, merges, &mut missing)?;
        let image_encoder = image_parts::image_encoder(&dit, image_encoders, &mut missing)?;
        if is_image_to_video(&dit) && !missing.is_empty() {
            return Err(incomplete(&missing, paths, passed_over));
        }
        image_parts::check(&dit, &adapters, encoder.as_ref(), watch)?;
        let tokenizer_stamp = FileStamp::at(&tokenizer)?;
        let files = Self {
            dit,
            config,
            adapters,
            further: Vec::new(),
            text,
            tokenizer,
            decoders,
            encoder,
            image_encoder,
            tokenizer_stamp,
        };
        files.warn_of_what_it_is(watch);
        Ok(files)
    }

    fn warn_of_what_it_is(&self, watch: &dyn Watch) {
        self.warn_of_sparse_attention(watch);
        self.warn_of_successor(watch);
    }

    fn warn_of_sparse_attention(&self, watch: &dyn Watch) {
        if let Some(path) = self.sparse_attention() {
            watch.warn(&format!(
                "{}: was trained with TurboDiffusion's sparse attention, whose own weights (`proj_l`) are \
                 left alone: attention is computed in full",
                path.display()
            ));
        }
    }

    /// The authors' successor's checkpoint that the transformer or one of its adapters is, by their names.
    pub fn successor(&self) -> Option<SuccessorCheckpoint> {
        let adapters = self.adapters.iter().map(Adapter::path);
        adapters.chain(self.dit.paths()).find_map(SuccessorCheckpoint::of)
    }

    fn warn_of_successor(&self, watch: &dyn Watch) {
        if let Some(checkpoint) = self.successor() {
            watch.warn(&format!(
                "by its name the model is {checkpoint}, which nobody here has seen: its parts are taken for \
                 what their keys say, and made takes with as those of Wan-Alpha"
            ));
        }
    }

    /// Whether takes begin with an image.
    pub fn is_image_to_video(&self) -> bool {
        self.image_encoder.is_some()
    }

    /// Every file of the model, each once, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let sets = match &self.decoders {
            Decoders::Adapted { base, .. } => vec![&self.dit, &self.text, base],
            Decoders::Complete { color, alpha } => vec![&self.dit, &self.text, color, alpha],
        };
        let decoders = match &self.decoders {
            Decoders::Adapted { color, .. } => Some(color),
            Decoders::Complete { .. } => None,
        };
        let adapters = self.adapters.iter().chain(decoders).map(Adapter::path);
        let merge = self.encoder.iter().map(|encoder| &encoder.merge);
        let files = sets
            .into_iter()
            .chain(merge)
            .chain(&self.image_encoder)
            .flat_map(|set| set.paths())
            .chain(adapters);
        let others = self.config.iter().chain([&self.tokenizer]).map(PathBuf::as_path);
        let unique: BTreeSet<_> = files.chain(others).map(Path::to_owned).collect();
        unique.into_iter().collect()
    }

    /// Whether the tokenizer's file is still what it was when the model was found.
    ///
    /// # Errors
    /// It is not.
    pub fn tokenizer_unchanged(&self) -> Result<()> {
        if FileStamp::at(&self.tokenizer)? == self.tokenizer_stamp {
            return Ok(());
        }
        Err(changed(&self.tokenizer))
    }

    /// Whether every file that is read for takes is still what it was when the model was found.
    ///
    /// # Errors
    /// One is not.
    pub fn unchanged(&self) -> Result<()> {
        let sets = match &self.decoders {
            Decoders::Adapted { base, .. } => vec![base],
            Decoders::Complete { color, alpha } => vec![color, alpha],
        };
        let decoder = match &self.decoders {
            Decoders::Adapted { color, .. } => Some(color),
            Decoders::Complete { .. } => None,
        };
        let sets = [&self.dit, &self.text].into_iter().chain(sets).chain(&self.image_encoder);
        let merge = self.encoder.iter().filter(|_| self.is_image_to_video());
        let mut sets = sets.chain(merge.map(|encoder| &encoder.merge));
        sets.try_for_each(|set| set.unchanged())?;
        let mut adapters = self.adapters.iter().chain(&self.further).chain(decoder);
        adapters.try_for_each(|adapter| adapter.file().unchanged())?;
        self.tokenizer_unchanged()
    }

    /// All that is merged into the transformer, in order.
    pub fn merged_adapters(&self) -> Vec<Adapter> {
        self.adapters.iter().chain(&self.further).cloned().collect()
    }

    /// Whether LoRAs are merged that are no part of the model.
    pub fn has_further_loras(&self) -> bool {
        !self.further.is_empty()
    }
}

/// A network's tensors; what has no place in it is warned of.
fn known_set(part: Candidate, network: Network, watch: &dyn Watch) -> Result<Arc<TensorSet>> {
    let set = Arc::new(TensorSet::new(part.files, network)?);
    warn_foreign(&set, watch);
    Ok(set)
}

/// The remark in a merged transformer's header that lists the adapters merged into it.
pub const MERGED: &str = "wan-alpha.merged";

/// Whether the adapter of that kind is merged into the transformer already.
pub(super) fn merged(dit: &TensorSet, kind: AdapterKind) -> bool {
    dit.metadata(MERGED).is_some_and(|list| list.split(',').any(|one| one == kind.name()))
}

/// The transformer's adapters among the files.
struct AdapterFiles {
    doras: Vec<Candidate>,
    distills: Vec<Candidate>,
    /// LoRAs that nothing says to be step distillation.
    loras: Vec<Candidate>,
}

impl AdapterFiles {
    /// Whether a file that could not be read would have been an adapter that the model then lacks.
    fn none_is_lost(
        &self,
        strengths: Strengths,
        dit: &TensorSet,
        passed_over: &mut Vec<PassedOver>,
    ) -> Result<()> {
        let (dora, distill) = (strengths.dora.is_some(), strengths.distill != 0.0);
        let wanted = [
            ("transparency DoRA", &self.doras, dora, AdapterKind::Dora),
            ("step-distillation LoRA", &self.distills, distill, AdapterKind::Distill),
        ];
        for (part, there, wanted, kind) in wanted {
            if there.is_empty()
                && wanted
                && !merged(dit, kind)
                && let Some(error) = likeliest(passed_over, part)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The adapters in the order they are merged: DoRA, step distillation, then the others. Of one that
    /// is missing, or does not fit, `watch` is told.
    fn open(
        self,
        strengths: Strengths,
        dit: &TensorSet,
        watch: &dyn Watch,
    ) -> Result<Vec<Adapter>> {
        let mut adapters = Vec::new();
        match (single("transparency DoRA", self.doras)?, strengths.dora) {
            (Some(dora), Some(strength)) => {
                adapters.push(open(AdapterKind::Dora, dora, strength, dit)?);
            }
            (_, None) => {}
            (None, _) if merged(dit, AdapterKind::Dora) => {}
            (None, _) => watch.warn(
                "no transparency DoRA among the files: unless it is merged into the transformer \
                 already, backgrounds will not be transparent",
            ),
        }
        let distill = single("step-distillation LoRA", self.distills)?;
        let is_distilled = distill.is_some() || merged(dit, AdapterKind::Distill);
        if let Some(distill) = distill
            && strengths.distill != 0.0
        {
            adapters.push(open(AdapterKind::Distill, distill, strengths.distill, dit)?);
        }
        for lora in self.loras {
            if !is_distilled {
                watch.warn(&format!(
                    "{}: merged as any other LoRA: neither its name nor remarks or keys in it say that it \
                     is step distillation, so that steps and guidance stay the model's. If it is, put \
                     `distill` into its name",
                    lora.path().display()
                ));
            }
            adapters.push(open(AdapterKind::Lora, lora, 1.0, dit)?);
        }
        adapters.iter().try_for_each(|adapter| warn_of(adapter, watch))?;
        Ok(adapters)
    }
}

/// Tells what of an adapter changes nothing, or counts otherwise than elsewhere.
pub(super) fn warn_of(adapter: &Adapter, watch: &dyn Watch) -> Result<()> {
    warn_unmatched(adapter, watch);
    if adapter.kind() != AdapterKind::Lora
        && let Some((name, scale)) = adapter.scaled()?
    {
        watch.warn(&format!(
            "{}: its alpha scales `{name}` by {scale}, which the authors' loader ignores",
            adapter.path().display()
        ));
    }
    Ok(())
}

/// Opens an adapter, which is one file, for the transformer `base`.
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

/// Tells of keys that a network has no place for.
fn warn_foreign(set: &TensorSet, watch: &dyn Watch) {
    if let Some((path, key)) = set.foreign().first() {
        watch.warn(&format!(
            "{}: {} {} not of this network, the first is `{key}`; left alone",
            path.display(),
            counted(set.foreign().len(), "key"),
            verb(set.foreign().len(), "is", "are")
        ));
    }
}

/// Tells of keys of an adapter that change nothing.
fn warn_unmatched(adapter: &Adapter, watch: &dyn Watch) {
    if let Some(key) = adapter.unmatched().first() {
        watch.warn(&format!(
            "{}: {} {} nothing in this model (it changes {}), the first is `{key}`",
            adapter.path().display(),
            counted(adapter.unmatched().len(), "key"),
            verb(adapter.unmatched().len(), "matches", "match"),
            counted(adapter.targets(), "tensor")
        ));
    }
}
