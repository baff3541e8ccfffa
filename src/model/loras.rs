//! LoRAs by name or file: those that are added, and those that a take is made with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::weights::{FurtherLora, check_lora, lora_fingerprint};
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
    /// Resolves `--lora`: the name of a LoRA means that LoRA, whatever lies under it in the current folder;
    /// an existing path a file, anything else a name.
    pub(crate) fn of(
        words: &[String],
        environment: &Environment,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let mut chosen = Self::default();
        for word in words {
            let LoraWord { what, strength } = LoraWord::parse(word).or_exit(Exit::BadInput)?;
            let path = Path::new(&what);
            let (path, source) = if path.exists() && !environment.models.has_lora(&what) {
                let cache = Fingerprints::in_folder(environment.cache.as_deref());
                let fingerprint = cache.of_lora(path, watch)?;
                let name = name_of(Some(&path.to_owned()));
                (path.to_owned(), LoraSource { name, fingerprint, strength })
            } else if check_name(&what).is_ok() {
                let lora = environment.models.find_lora(&what)?;
                (lora.path(), lora.source(strength))
            } else {
                return Err(not_found(&what)).or_exit(Exit::BadInput);
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

/// Why a word of `--lora` is neither a file nor a name.
fn not_found(what: &str) -> anyhow::Error {
    if let Some((before, after)) = what.rsplit_once(':')
        && !after.contains(['/', '\\'])
        && (Path::new(before).exists() || check_name(before).is_ok())
    {
        return anyhow!(
            "--lora {what}: the strength `{after}` is no number; expected -10 to 10, such as {before}:0.8"
        );
    }
    anyhow!(
        "--lora {what}: there is no such file; expected a file, or the name of a LoRA that was added \
         with `wan-alpha model add --lora NAME FILE`"
    )
}

/// Records a LoRA under a name.
pub(super) fn add(
    name: &str,
    paths: &[PathBuf],
    roots: &ModelRoots,
    watch: &dyn Watch,
) -> Result<Vec<String>> {
    roots.check_lora_name(name)?;
    let [file] = paths else {
        return Err(anyhow!(
            "a LoRA is one file, and {} were named; give each a name of its own",
            paths.len()
        ))
        .or_exit(Exit::BadInput);
    };
    check_lora(file)?;
    let part = PartFile::of(file)?;
    let fingerprint = lora_fingerprint(file, watch)?;
    let before = roots.has_lora(name).then(|| in_place_of(name, fingerprint, roots));
    let path = roots.add_lora(&LoraRecord::new(name, fingerprint, part))?;
    let mut lines = vec![format!("the LoRA {name} is recorded in {}", path.display())];
    lines.extend(before);
    lines.push(format!("fingerprint {fingerprint}"));
    lines.push(format!("use it: wan-alpha render --lora {name} …, or {name}:0.8 for less of it"));
    Ok(lines)
}

/// What a name stood for before a LoRA of a fingerprint is recorded under it.
fn in_place_of(name: &str, fingerprint: Fingerprint, roots: &ModelRoots) -> String {
    let before = roots.loras().into_iter().find(|lora| lora.record.name == name);
    let Some(before) = before else {
        return "in place of one whose record could not be read".to_owned();
    };
    if before.record.fingerprint == fingerprint {
        return "it was recorded before, and does the same".to_owned();
    }
    let (path, before) = (before.path(), before.record.fingerprint);
    format!("in place of {}, fingerprint {before}: takes with it want its file", path.display())
}

/// Forgets the LoRA of a name.
pub(super) fn remove(name: &str, roots: &ModelRoots) -> Result<String> {
    match roots.remove_lora(name)? {
        Some(record) => Ok(format!(
            "the LoRA {name} is forgotten ({} is gone); its file stays",
            record.display()
        )),
        None => Err(roots.find_lora(name).map_or_else(anyhow::Error::from, |_| {
            anyhow!("the record of the LoRA {name} came back while it was removed; try again")
        })),
    }
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
    .or_exit(Exit::ModelIncomplete)
}
