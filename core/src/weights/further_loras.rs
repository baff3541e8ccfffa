//! LoRAs that a request names beside its model: merged into the transformer after the model's own
//! adapters, in the request's order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter::{Adapter, AdapterKind};
use super::adapter_keys::{FileKind, recognize};
use super::distillation::check_generation;
use super::file::TensorFile;
use super::model_files::{ModelFiles, warn_of};
use crate::{Error, Result, Watch};

/// A LoRA that is to be merged, and how strongly; 1 is as trained.
#[derive(Clone, Debug, PartialEq)]
pub struct FurtherLora {
    /// The file that holds it.
    pub path: PathBuf,
    /// How strongly it is merged.
    pub strength: f64,
}

impl ModelFiles {
    /// Has these merged too, in their order, after the model's own adapters. They are no part of the
    /// model: its fingerprint stays. Reads headers only.
    ///
    /// # Errors
    /// One cannot be read, is no LoRA of a transformer, or of a transformer of other sizes.
    pub fn add_loras(&mut self, loras: &[FurtherLora], watch: &dyn Watch) -> Result<()> {
        for lora in loras {
            let file = open_lora(&lora.path)?.into_file();
            let adapter = Adapter::open(AdapterKind::Lora, file, lora.strength, &self.dit)?;
            warn_of(&adapter, watch)?;
            self.further.push(adapter);
        }
        Ok(())
    }
}

/// What a LoRA's file has, whichever model it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoraContent {
    /// Tensors of a transformer that it changes.
    pub tensors: usize,
    /// The least and the greatest rank of its pairs; none of one without pairs.
    pub ranks: Option<[i64; 2]>,
}

/// What is in a LoRA's file, by its header.
///
/// # Errors
/// It is none, or cannot be read.
pub fn lora_content(path: &Path) -> Result<LoraContent> {
    let adapter = open_lora(path)?;
    Ok(LoraContent { tensors: adapter.targets(), ranks: adapter.ranks() })
}

/// That a file is a LoRA that can be merged into a transformer that has its layers: its pairs are whole
/// and its numbers finite. Reads all of it.
///
/// # Errors
/// It is none, or cannot be.
pub fn check_lora(path: &Path) -> Result<()> {
    open_lora(path)?.check_alone()
}

/// The LoRA in a file, not yet held against a model.
pub(super) fn open_lora(path: &Path) -> Result<Adapter> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder, and a LoRA is one file: name the file in it"));
    }
    let file = TensorFile::open(path)?;
    let keys: Vec<&str> = file.names().collect();
    let what = match recognize(&keys) {
        Some(FileKind::Lora | FileKind::Dora) => None,
        Some(FileKind::Decoders) => Some("it changes the decoders, and belongs to a model"),
        None => Some("none of its tensors is a LoRA's"),
    };
    if let Some(what) = what {
        return Err(Error::file(path, format!("is no LoRA of a transformer: {what}")));
    }
    check_generation(&file)?;
    let adapter = Adapter::unchecked(AdapterKind::Lora, Arc::new(file), 1.0)?;
    if adapter.targets() == 0 {
        let key = adapter.unmatched().first().cloned().unwrap_or_default();
        let problem =
            format!("changes no tensor of a transformer of Wan; its first key is `{key}`");
        return Err(Error::file(path, problem));
    }
    Ok(adapter)
}
