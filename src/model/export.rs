//! `wan-alpha model export`: what was trained, in the layouts of Diffusers and of ComfyUI.
//!
//! | part | Diffusers, below DIR | ComfyUI, FILE or beside it |
//! |---|---|---|
//! | transformer | `transformer/` | original names |
//! | DoRA | `pytorch_lora_weights.safetensors` | `lora_A`, `lora_B` and `dora_scale` |
//! | base autoencoder | `vae/` | original names |
//! | decoders of color and alpha | `vae_rgb/` and `vae_alpha/`, two complete autoencoders | the same |
//! | text encoder | `text_encoder/`, and `tokenizer/tokenizer.json` | |
//!
//! Merge block and step distillation have no place in either, which is said.

#![forbid(unsafe_code)]

mod comfyui;
mod diffusers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::weights::{
    Adapter, Decoders, FoundParts, MERGED, TensorFile, TensorSet, Weights,
};

use super::tensor_stream::{self, TensorHead};
use crate::exit::{Exit, OrExit};
use crate::write_lock::WriteLock;

/// A file of tensors in another program's layout, not written yet.
struct ExportedFile {
    path: PathBuf,
    heads: Vec<TensorHead>,
    source: TensorSource,
    /// `config.json` beside it.
    config: Option<Value>,
}

/// Where the tensors of a file come from.
enum TensorSource {
    /// A network by original names, adapters merged.
    Network { set: Arc<TensorSet>, adapters: Vec<Adapter>, originals: Vec<String> },
    /// A file by its own names.
    File { file: Arc<TensorFile>, raw: Vec<String> },
}

/// Writes what lies among `paths`. Returns what there is to say, a line for each file.
pub(super) fn run(
    paths: &[PathBuf],
    (folder, file): (Option<&Path>, Option<&Path>),
    watch: &dyn Watch,
) -> Result<Vec<String>> {
    let parts = FoundParts::among(paths)?;
    let mut files = Vec::new();
    let mut lines = Vec::new();
    let mut locks = Vec::new();
    if let Some(file) = file {
        let beside = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        beside.map_or(Ok(()), make_folder)?;
        locks.push(WriteLock::of_file(file)?);
        files.extend(comfyui::files(&parts, file).or_exit(Exit::BadInput)?);
        for warning in comfyui::left_out(&parts) {
            watch.warn(&warning);
        }
    }
    if let Some(folder) = folder {
        locks.push(WriteLock::of_empty_folder(folder)?);
        files.extend(diffusers::files(&parts, folder)?);
        if let Some(tokenizer) = parts.tokenizer.as_ref().filter(|_| parts.text.is_some()) {
            let to = folder.join("tokenizer/tokenizer.json");
            write_tokenizer(tokenizer, &to)?;
            lines.push(to.display().to_string());
        }
    }
    for (what, path) in &parts.others {
        watch.warn(&format!(
            "the {what} in {} is left out: these layouts have no place for it, or it is released in \
             them",
            path.display()
        ));
    }
    for file in &files {
        file.write(watch)?;
        lines.push(file.path.display().to_string());
    }
    Ok(lines)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))
        .or_exit(Exit::BadInput)
}

/// Copies a `tokenizer.json`; any other form is written as one.
fn write_tokenizer(from: &Path, to: &Path) -> Result<()> {
    let work = || -> Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
        if from.file_name() == to.file_name() {
            fs::copy(from, to)?;
        } else {
            fs::write(to, Tokenizer::open(from)?.to_json()?)?;
        }
        Ok(())
    };
    work().with_context(|| format!("cannot write {} as {}", from.display(), to.display()))
}

impl ExportedFile {
    /// All tensors of a network under other names, and the adapters merged.
    fn network(
        path: PathBuf,
        set: &Arc<TensorSet>,
        adapters: Vec<Adapter>,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let (mut heads, mut originals) = (Vec::new(), Vec::new());
        // Scales of quantized weights go with their weights.
        for original in set.names().filter(|name| !name.contains('#')) {
            let (entry, from, raw) = set.find(original)?;
            let name = rename(original);
            let name = name.with_context(|| {
                format!("{}: `{raw}` has no name in the other layout", from.display())
            });
            let kind = match entry.kind {
                kind @ (Kind::Float | Kind::Half | Kind::BFloat16) => kind,
                _ => Kind::BFloat16,
            };
            let shape = entry.shape.clone();
            heads.push(TensorHead { name: name.or_exit(Exit::BadInput)?, kind, shape });
            originals.push(original.to_owned());
        }
        let source = TensorSource::Network { set: Arc::clone(set), adapters, originals };
        Ok(Self { path, heads, source, config: None })
    }

    /// Tensors of a file: the name there, the new one, and another shape of as many numbers.
    fn of_file(
        path: PathBuf,
        file: &Arc<TensorFile>,
        tensors: Vec<(String, String, Option<Vec<i64>>)>,
    ) -> Result<Self> {
        let (mut heads, mut names) = (Vec::new(), Vec::new());
        for (raw, name, shape) in tensors {
            let entry = file.entry(&raw).with_context(|| format!("there is no tensor `{raw}`"))?;
            let shape = shape.unwrap_or_else(|| entry.shape.clone());
            heads.push(TensorHead { name, kind: entry.kind, shape });
            names.push(raw);
        }
        let source = TensorSource::File { file: Arc::clone(file), raw: names };
        Ok(Self { path, heads, source, config: None })
    }

    fn with_config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    fn write(&self, watch: &dyn Watch) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), make_folder)?;
        if let Some(config) = &self.config {
            let path = self.path.with_file_name("config.json");
            let text = format!("{config:#}\n");
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut remarks = BTreeMap::new();
        let about = ("exporting", watch);
        match &self.source {
            TensorSource::Network { set, adapters, originals } => {
                remarks.extend(set.metadata(MERGED).map(|list| (MERGED, list.to_owned())));
                let adapters: Arc<[Adapter]> = adapters.clone().into();
                let read = |index: usize| -> Result<Tensor> {
                    let TensorHead { kind, shape, .. } = &self.heads[index];
                    let weights =
                        Weights::new(Arc::clone(set), Arc::clone(&adapters), *kind, Device::cpu());
                    Ok(weights.get(&originals[index], shape)?)
                };
                tensor_stream::write(&self.path, &self.heads, &remarks, about, &read)
            }
            TensorSource::File { file, raw } => {
                let read = |index: usize| -> Result<Tensor> {
                    let tensor = file.read(Device::cpu(), &raw[index])?;
                    Ok(tensor.f_reshape(&self.heads[index].shape[..])?)
                };
                tensor_stream::write(&self.path, &self.heads, &remarks, about, &read)
            }
        }
    }
}

/// Color and alpha as autoencoders: the tensors of each, and the LoRA that is merged into it.
fn channels(decoders: &Decoders) -> [(&Arc<TensorSet>, Vec<Adapter>); 2] {
    match decoders {
        Decoders::Adapted { base, color, alpha } => {
            [(base, vec![color.clone()]), (base, vec![alpha.clone()])]
        }
        Decoders::Complete { color, alpha } => [(color, vec![]), (alpha, vec![])],
    }
}

/// The size of an axis of a network's tensor.
fn size(set: &TensorSet, name: &str, axis: usize) -> Result<i64> {
    let shape = set.shape(name)?;
    shape.get(axis).copied().ok_or_else(|| anyhow!("`{name}` is {shape:?}: expected more axes"))
}
