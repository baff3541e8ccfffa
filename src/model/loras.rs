//! LoRAs by name or file: those that are added, and those that a take is made with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::weights::{FurtherLora, lora_fingerprint};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{LoraRecord, ModelRoots, NamedLora, PartFile, check_name};
use wan_alpha_take::{Fingerprint, LoraSource, LoraWord, TakeRequest};

use super::{Fingerprints, name_of};
use crate::exit::{Exit, OrExit};

/// LoRAs that a take is made with beside the model's own, in the order they are merged.
#[derive(Default)]
pub(crate) struct ChosenLoras {
    /// What a request is made of.
    pub(crate) sources: Vec<LoraSource>,
    paths: HashMap<Fingerprint, PathBuf>,
}

impl ChosenLoras {
    /// Resolves `--lora`: an existing path means a file, anything else a name.
    pub(crate) fn of(
        words: &[String],
        environment: &Environment,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let mut chosen = Self::default();
        for word in words {
            let LoraWord { what, strength } = LoraWord::parse(word).or_exit(Exit::BadInput)?;
            let path = Path::new(&what);
            let (path, source) = if path.exists() {
                let cache = Fingerprints::in_folder(environment.cache.as_deref());
                let fingerprint = cache.of_lora(path, watch)?;
                let name = name_of(Some(&path.to_owned()));
                (path.to_owned(), LoraSource { name, fingerprint, strength })
            } else if check_name(&what).is_ok() {
                let lora = environment.models.find_lora(&what)?;
                (lora.path(), lora.source(strength))
            } else {
                return Err(anyhow!(
                    "--lora {what}: there is no such file; expected a file, or the name of a LoRA that \
                     was added with `wan-alpha model add --lora NAME FILE`"
                ))
                .or_exit(Exit::BadInput);
            };
            chosen.paths.insert(source.fingerprint, path);
            chosen.sources.push(source);
        }
        Ok(chosen)
    }

    /// What is opened for the request that was made of them: its strengths are rounded, and those of 0 are
    /// not in it.
    pub(crate) fn files(&self, request: &TakeRequest) -> Vec<FurtherLora> {
        let file = |LoraSource { fingerprint, strength, .. }: &LoraSource| {
            let path = self.paths.get(fingerprint)?.clone();
            Some(FurtherLora { path, strength: *strength })
        };
        request.loras.iter().filter_map(file).collect()
    }

    /// What is opened for the LoRAs of a request, in its order: each by its fingerprint, whatever it is
    /// called here.
    ///
    /// # Errors
    /// In words: which is not here, or has changed.
    pub(crate) fn files_of(
        sources: &[LoraSource],
        roots: &ModelRoots,
    ) -> std::result::Result<Vec<FurtherLora>, String> {
        let find = |LoraSource { name, fingerprint, strength }: &LoraSource| {
            let found = roots.lora_with_fingerprint(*fingerprint).ok_or_else(|| {
                format!("no LoRA here has the fingerprint {fingerprint} of `{name}`")
            })?;
            match found.changed() {
                None => Ok(FurtherLora { path: found.path(), strength: *strength }),
                Some(change) => Err(format!("LoRA `{}`: {change}", found.record.name)),
            }
        };
        sources.iter().map(find).collect()
    }
}

/// Records a LoRA under a name.
pub(super) fn add(
    name: &str,
    paths: &[PathBuf],
    roots: &ModelRoots,
    watch: &dyn Watch,
) -> Result<Vec<String>> {
    check_name(name)?;
    let [file] = paths else {
        return Err(anyhow!(
            "a LoRA is one file, and {} were named; give each a name of its own",
            paths.len()
        ))
        .or_exit(Exit::BadInput);
    };
    let part = PartFile::of(file)?;
    let fingerprint = lora_fingerprint(file, watch)?;
    let path = roots.add_lora(&LoraRecord::new(name, fingerprint, part))?;
    Ok(vec![
        format!("the LoRA {name} is recorded in {}", path.display()),
        format!("fingerprint {fingerprint}"),
        format!("use it: wan-alpha render --lora {name} …, or {name}:0.8 for less of it"),
    ])
}

/// Every LoRA with a name, in a line each.
pub(super) fn list(roots: &ModelRoots) -> Vec<String> {
    let line = |lora: NamedLora| {
        let state = lora.changed().map(|change| format!("; {change}")).unwrap_or_default();
        let fingerprint = lora.record.fingerprint.to_string();
        let short = fingerprint.get(..12).unwrap_or_default();
        format!("{}: a LoRA, {short}…{state}", lora.record.name)
    };
    roots.loras().into_iter().map(line).collect()
}

/// Whether the file of a LoRA is what it was when it was added: its tensors are read again.
pub(super) fn verify(lora: &NamedLora, watch: &dyn Watch) -> Result<String> {
    let name = &lora.record.name;
    let found = lora_fingerprint(&lora.path(), watch).with_context(|| format!("LoRA {name}"))?;
    if found == lora.record.fingerprint {
        return Ok(format!("{name} is what it was when it was added: {found}"));
    }
    Err(anyhow!(
        "{name} has changed: recorded as {}, now {found}. Fetch its file again, or add it anew",
        lora.record.fingerprint
    ))
    .or_exit(Exit::BadInput)
}
