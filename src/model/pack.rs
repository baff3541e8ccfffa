//! `wan-alpha model pack`: a whole model as one small folder that can be handed on: every file in
//! bfloat16 under its released name, and a record whose places are relative.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::train::{write_pickle, write_safetensors};
use wan_alpha_core::weights::{AdapterKind, MERGED, ModelFiles, Strengths, TensorFile};
use wan_alpha_core::{Stage, Watch};
use wan_alpha_take::Precision;
use wan_alpha_take::models::{ChosenPreset, Defaults, MadeFor, Manifest, PartFile, check_name};

use super::{Recorded, preview};
use crate::exit::{Exit, OrExit};
use crate::unique_json;
use crate::write_lock::WriteLock;

/// Where released models have it, and where it is looked for.
const TOKENIZER_FOLDER: &str = "google/umt5-xxl";

/// What is packed, and where it goes.
pub(super) struct Pack<'a> {
    /// What its record calls the model.
    pub(super) name: &'a str,
    pub(super) paths: &'a [PathBuf],
    /// What it does where a request is silent.
    pub(super) defaults: Option<&'a Path>,
    /// Its transformer does without a DoRA.
    pub(super) transparent: bool,
    /// The folder to write, new or empty.
    pub(super) out: &'a Path,
}

impl Pack<'_> {
    /// Writes the folder. Returns the record's path.
    pub(super) fn run(&self, watch: &dyn Watch) -> Result<PathBuf> {
        let Self { name, paths, defaults, transparent, out } = *self;
        check_name(name)?;
        let told = defaults.map(PackDefaults::read).transpose()?.unwrap_or_default();
        let Recorded { defaults, made_for, preset, .. } = Recorded::among(paths)?;
        let told = PackDefaults {
            preset: preset.filter(|_| !says_sampling(&told.defaults)),
            defaults: told.defaults.or(defaults),
            made_for: if told.made_for.is_silent() { made_for } else { told.made_for },
        };
        let strengths = Strengths {
            dora: Strengths::default().dora.filter(|_| !transparent),
            ..Strengths::default()
        };
        let files = ModelFiles::find(paths, strengths, watch)?;
        let _lock = WriteLock::of_empty_folder(out)?;
        let paths = files.paths();
        for (done, path) in paths.iter().enumerate() {
            if !watch.go_on() {
                return Err(anyhow!("cancelled while packing")).or_exit(Exit::Cancelled);
            }
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            // A tokenizer may lie in the text encoder's own file.
            let apart = *path == files.tokenizer && !files.text.paths().any(|text| text == path);
            let place = if apart { Path::new(TOKENIZER_FOLDER).join(name) } else { name };
            let to = out.join(place);
            ensure!(!to.exists(), "two files of the model are called {}; rename one", to.display());
            let adapters =
                files.dit.paths().any(|dit| dit == path.as_path()).then(|| self.merged(&files));
            write(path, &to, adapters.flatten())
                .with_context(|| format!("cannot pack {}", path.display()))?;
            watch.progress(Stage::Load, done + 1, paths.len());
        }
        record(name, told, out, watch)
    }

    /// The adapters that are in the transformer already.
    fn merged(&self, files: &ModelFiles) -> Option<String> {
        let known = files.dit.metadata(MERGED).filter(|list| !list.is_empty());
        let dora = AdapterKind::Dora.name();
        let mut list: Vec<&str> = known.into_iter().flat_map(|list| list.split(',')).collect();
        if self.transparent && !list.contains(&dora) {
            list.push(dora);
        }
        (!list.is_empty()).then(|| list.join(","))
    }
}

/// Describes what has been packed.
fn record(name: &str, told: PackDefaults, out: &Path, watch: &dyn Watch) -> Result<PathBuf> {
    let PackDefaults { defaults, made_for, preset } = told;
    // Recognized anew: what is recorded is what is there.
    let packed = ModelFiles::find(&[out.to_owned()], Strengths::default(), watch)?;
    let fingerprint = packed.fingerprint(watch)?;
    let root =
        std::path::absolute(out).with_context(|| format!("cannot find {}", out.display()))?;
    let part = |path: &PathBuf| -> Result<PartFile> {
        let PartFile { path, size, .. } = PartFile::of(path)?;
        let path = path.strip_prefix(&root).map(Path::to_owned).unwrap_or(path);
        Ok(PartFile { path, size, modified: None, modified_nanos: None })
    };
    let parts = packed.paths().iter().map(part).collect::<Result<_>>()?;
    let mut record = Manifest::new(name, fingerprint, parts, defaults, packed.dit.parameters());
    record.images = Some(DitConfig::infer(&packed.dit, packed.config.as_deref())?.images_needed());
    record.preview =
        preview::fitted((&packed.decoders, packed.encoder.as_ref()), Device::cpu(), watch)?;
    record.made_for = made_for;
    record.preset = preset;
    Ok(record.write(out)?)
}

/// What the file of `--defaults` says of a model.
#[derive(Default)]
struct PackDefaults {
    defaults: Defaults,
    made_for: MadeFor,
    /// Of the record that was packed.
    preset: Option<ChosenPreset>,
}

/// Whether these say how a model is sampled: no preset does then.
fn says_sampling(defaults: &Defaults) -> bool {
    let Defaults { steps, shift, guidance, solver, mu_scale, .. } = defaults;
    let numbers = [shift, guidance, mu_scale].iter().any(|number| number.is_some());
    steps.is_some() || solver.is_some() || numbers
}

impl PackDefaults {
    fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let mut given: Map<String, Value> = unique_json::from_str(&fs::read_to_string(path)?)?;
            let made_for = given.remove("made_for").map(serde_json::from_value).transpose()?;
            let made_for = made_for.unwrap_or_default();
            Ok(Self { made_for, defaults: checked(given)?, preset: None })
        };
        read()
            .with_context(|| format!("cannot use the defaults {}", path.display()))
            .or_exit(Exit::BadInput)
    }
}

/// Defaults that are what a request may say, and nothing else: what is wrong in a record would come out
/// with the first take, or never.
fn checked(given: Map<String, Value>) -> Result<Defaults> {
    let known = serde_json::to_value(Defaults::default())?;
    if let Some(other) = given.keys().find(|name| known.get(name.as_str()).is_none()) {
        let names: Vec<_> = known.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        bail!("`{other}` is no default of a model: expected {}", names.join(", "));
    }
    let defaults: Defaults = serde_json::from_value(Value::Object(given))?;
    // What the defaults leave open the packed model says by itself.
    let silent = Defaults {
        steps: Some(1),
        guidance: Some(1.0),
        precision: Some(Precision::F32),
        ..Defaults::default()
    };
    super::check_defaults("the packed model", &defaults.clone().or(silent))?;
    Ok(defaults)
}

/// A file of tensors in bfloat16, in the format it has; any other as it is. A transformer's header
/// keeps the list of what is merged into it.
fn write(from: &Path, to: &Path, merged: Option<String>) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let extension = from.extension().and_then(|extension| extension.to_str());
    let pickle = match extension {
        Some("safetensors") => false,
        Some("pth" | "pt" | "bin") => true,
        _ => {
            fs::copy(from, to)?;
            return Ok(());
        }
    };
    let file = TensorFile::open(from)?;
    let read = |name: &str| -> wan_alpha_core::Result<(String, Tensor)> {
        let tensor = file.read(Device::cpu(), name)?;
        let narrow = matches!(tensor.kind(), Kind::Float | Kind::Half | Kind::Double);
        let tensor = if narrow { tensor.f_to_kind(Kind::BFloat16)? } else { tensor };
        Ok((name.to_owned(), tensor))
    };
    let tensors = file.names().map(read).collect::<wan_alpha_core::Result<Vec<_>>>();
    let tensors = tensors?;
    let written = if pickle {
        write_pickle(to, &tensors)
    } else {
        let remarks: BTreeMap<_, _> =
            merged.into_iter().map(|list| (MERGED.to_owned(), list)).collect();
        write_safetensors(to, &tensors, &remarks)
    };
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_a_request_may_say() {
        let of = |text: &str| -> Result<Defaults> { checked(serde_json::from_str(text)?) };
        let refused = |text: &str, words: &str| {
            let error = format!("{:#}", of(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        };
        refused(r#"{"step": 4}"#, "`step` is no default of a model: expected");
        refused(r#"{"width": 100}"#, "width is 100");
        refused(r#"{"frames": 16}"#, "16 frames");
        refused(r#"{"steps": 0}"#, "steps is 0");
        refused(r#"{"steps": "four"}"#, "invalid type");
        refused("[]", "invalid type");
        let good = of(r#"{"width": 96, "height": 96, "frames": 17, "steps": 8}"#).unwrap();
        assert_eq!((good.width, good.steps, good.guidance), (Some(96), Some(8), None));
        assert_eq!(of("{}").unwrap(), Defaults::default());
    }
}
