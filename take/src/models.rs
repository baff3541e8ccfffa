//! Models by name: `wan-alpha.json` files in a list of folders, the model roots.
//!
//! A name stands for the files it was given when it was added, their fingerprint, and what the
//! model does where a request is silent. Names come from project files too, so a name is checked
//! before it touches a path.

mod defaults;
mod error;
mod latent_preview;
mod loras;
mod made_for;
mod manifest;
mod names;
mod preset;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use defaults::Defaults;
pub use error::ModelError;
pub use latent_preview::LatentPreview;
pub use loras::{LoraRecord, NamedLora};
pub use made_for::MadeFor;
pub use manifest::{Manifest, MergedCopy, PartFile};
pub use names::check_name;
pub use preset::{ChosenPreset, LIGHTX2V, PRESETS, Preset, RCM, UNDISTILLED, WAN_ALPHA};

use crate::digest::Fingerprint;
use crate::request::{Precision, RequestDraft};

type Result<T> = std::result::Result<T, ModelError>;

/// The name that means "whatever there is".
pub const AUTO: &str = "auto";

/// The model that ships.
pub const DRAFT: &str = "draft";

/// Where models are looked up, in order.
#[derive(Clone, Debug, Default)]
pub struct ModelRoots {
    /// Folders of named models; the first that can be written to takes new ones.
    pub roots: Vec<PathBuf>,
    /// What `auto` means, where the user has said.
    pub preferred: Option<String>,
    /// Folders that may hold the draft model, after the roots.
    pub draft: Vec<PathBuf>,
}

/// A model that a name stands for.
#[derive(Clone, Debug)]
pub struct NamedModel {
    /// What was recorded when it was added.
    pub manifest: Manifest,
    /// The folder of its `wan-alpha.json`.
    pub folder: PathBuf,
}

impl NamedModel {
    /// The model whose record lies in `folder`, a packed one for example; none without a record.
    ///
    /// # Errors
    /// The record is damaged, or files have changed since it was written.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let Some((_, model)) = read(folder)? else { return Ok(None) };
        match model.changed() {
            None => Ok(Some(model)),
            Some(change) => {
                let record = model.folder.join(manifest::FILE);
                Err(ModelError::FolderChanged { folder: model.folder, record, change })
            }
        }
    }

    /// The paths of its files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.manifest.parts.iter().map(|part| self.folder.join(&part.path)).collect()
    }

    /// Its transformer with the adapters merged, where there is a copy: the file, and the precision of
    /// its matrices.
    ///
    /// # Errors
    /// The copy is gone or is no longer what was written, in words.
    pub fn merged(&self) -> std::result::Result<Option<(PathBuf, Precision)>, String> {
        let Some(copy) = &self.manifest.merged else { return Ok(None) };
        match copy.file.changed(&self.folder) {
            None => Ok(Some((self.folder.join(&copy.file.path), copy.precision))),
            Some(change) => Err(change),
        }
    }

    /// The first file that is gone or is no longer what it was, in words.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.manifest.parts.iter().find_map(|part| part.changed(&self.folder))
    }
}

impl ModelRoots {
    /// The model of a name, `auto` and `draft` included.
    ///
    /// # Errors
    /// The name is not one, is unknown, or its files have changed since it was added.
    pub fn find(&self, name: &str) -> Result<NamedModel> {
        check_name(name)?;
        let found = match name {
            AUTO => self.auto()?,
            DRAFT => self.named(DRAFT)?.or(self.shipped()?),
            _ => self.named(name)?,
        };
        let model = found.ok_or_else(|| self.unknown(name))?;
        match model.changed() {
            None => Ok(model),
            Some(change) => Err(ModelError::Changed { name: model.manifest.name, change }),
        }
    }

    /// The model of a fingerprint, whatever its name: one whose files are as they were added, where
    /// there is one. Roots that cannot be read are logged and passed over.
    ///
    /// # Errors
    /// The record of the model that ships is damaged.
    pub fn with_fingerprint(&self, fingerprint: Fingerprint) -> Result<Option<NamedModel>> {
        let mut found = None;
        let roots = self.roots.iter().flat_map(|root| {
            models_in(root).unwrap_or_else(|error| {
                log::warn!("{error}");
                Vec::new()
            })
        });
        let fits = |model: &NamedModel| model.manifest.fingerprint == fingerprint;
        for model in roots.map(|(_, model)| model).chain(self.shipped()?).filter(fits) {
            if model.changed().is_none() {
                return Ok(Some(model));
            }
            found.get_or_insert(model);
        }
        Ok(found)
    }

    /// Every named model, newest first, and then the one that ships.
    ///
    /// # Errors
    /// A root cannot be read. A manifest that cannot be read is logged and passed over.
    pub fn list(&self) -> Result<Vec<NamedModel>> {
        let mut models: Vec<(SystemTime, NamedModel)> = Vec::new();
        for root in &self.roots {
            for (added, model) in models_in(root)? {
                let folder = model.folder.file_name();
                if !models.iter().any(|(_, known)| known.folder.file_name() == folder) {
                    models.push((added, model));
                }
            }
        }
        models.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.folder.cmp(&y.folder)));
        let mut models: Vec<_> = models.into_iter().map(|(_, model)| model).collect();
        let shipped = self.shipped().unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        });
        models.extend(shipped.filter(|ships| {
            !models.iter().any(|model| model.manifest.name == ships.manifest.name)
        }));
        Ok(models)
    }

    /// Records a model under its name, in the first root that can be written to. Copies that an
    /// earlier record there has had made go, unless this one names them.
    ///
    /// # Errors
    /// The name is reserved, a LoRA's or not one, or no root can be written to.
    pub fn add(&self, manifest: &Manifest) -> Result<PathBuf> {
        self.check_model_name(&manifest.name)?;
        let mut last = ModelError::NoRoot;
        for root in &self.roots {
            match manifest.write(&root.join(&manifest.name)) {
                Ok(path) => {
                    let folder = root.join(&manifest.name);
                    MergedCopy::remove_from(&folder, manifest.merged.as_ref());
                    return Ok(path);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Bytes that are free where the next record is written, as far as the system tells.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let there = self.roots.first()?.ancestors().find(|folder| folder.is_dir())?;
        crate::disk_space::available(there).ok()
    }

    /// Forgets a name, whether its record can be read or not. The weights stay where they are; a merged
    /// copy goes.
    ///
    /// # Errors
    /// The name is unknown, or its record cannot be removed.
    pub fn remove(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        let mut folders = self.roots.iter().map(|root| root.join(name));
        let folder = folders.find(|folder| folder.join(manifest::FILE).symlink_metadata().is_ok());
        let folder = folder.ok_or_else(|| match self.find(name) {
            Ok(_) => ModelError::ComesAlong(name.to_owned()),
            Err(_) => self.unknown(name),
        })?;
        let path = folder.join(manifest::FILE);
        fs::remove_file(&path).map_err(ModelError::io("remove", &path))?;
        MergedCopy::remove_from(&folder, None);
        // Only an empty folder goes: weights may lie beside the record.
        let _ = fs::remove_dir(&folder);
        Ok(path)
    }

    /// Which of the models of [`ModelRoots::list`] `auto` means: for who has the list, and would have
    /// what is wrong in the roots told again by [`ModelRoots::find`].
    #[must_use]
    pub fn auto_among<'a>(&self, list: &'a [NamedModel]) -> Option<&'a NamedModel> {
        match self.preferred() {
            Some(name) => {
                let named = list.iter().find(|model| model.manifest.name == name);
                named.filter(|model| model.changed().is_none())
            }
            None => first_whole(list),
        }
    }

    /// The name that the user has said `auto` to mean.
    fn preferred(&self) -> Option<&str> {
        self.preferred.as_deref().filter(|name| *name != AUTO)
    }

    fn auto(&self) -> Result<Option<NamedModel>> {
        if let Some(name) = self.preferred() {
            return self.find(name).map(Some);
        }
        let list = self.list()?;
        match first_whole(&list) {
            Some(model) => Ok(Some(model.clone())),
            None => self.shipped(),
        }
    }

    fn named(&self, name: &str) -> Result<Option<NamedModel>> {
        for root in &self.roots {
            if let Some((_, model)) = read(&root.join(name))? {
                return Ok(Some(model));
            }
        }
        Ok(None)
    }

    fn shipped(&self) -> Result<Option<NamedModel>> {
        for folder in &self.draft {
            if let Some((_, model)) = read(folder)? {
                return Ok(Some(model));
            }
        }
        Ok(None)
    }

    fn unknown(&self, name: &str) -> ModelError {
        let known = self.list().unwrap_or_default();
        let draft = if matches!(name, AUTO | DRAFT) { &self.draft[..] } else { &[] };
        ModelError::Unknown {
            name: name.to_owned(),
            known: known.into_iter().map(|model| model.manifest.name).collect(),
            searched: self.roots.iter().chain(draft).cloned().collect(),
        }
    }
}

/// The first of a list whose files are as they were added, and which does what its record says; a copy in
/// fewer bits, which somebody has made to try it perhaps, only where there is nothing else.
fn first_whole(list: &[NamedModel]) -> Option<&NamedModel> {
    let whole = || list.iter().filter(|model| model.changed().is_none() && can_run(model));
    whole().find(|model| model.manifest.quantized_from.is_none()).or_else(|| whole().next())
}

/// Whether a take that leaves all to the model can be made of what its record says; what that is silent
/// about its files tell.
fn can_run(model: &NamedModel) -> bool {
    let Manifest { name, defaults, .. } = &model.manifest;
    let told_by_files = Defaults {
        steps: Some(4),
        guidance: Some(1.0),
        precision: Some(Precision::F32),
        ..Defaults::default()
    };
    let checked = RequestDraft::check_defaults(name, &defaults.clone().or(told_by_files));
    if let Err(error) = &checked {
        log::warn!("model `{name}` does not become `{AUTO}`: {error}");
    }
    checked.is_ok()
}

/// The models of one root, which need not exist, and when each was added.
fn models_in(root: &Path) -> Result<Vec<(SystemTime, NamedModel)>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ModelError::io("list", root)(error)),
    };
    let folders = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let known = folders.filter_map(|folder| {
        read(&folder).unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        })
    });
    Ok(known.collect())
}

fn read(folder: &Path) -> Result<Option<(SystemTime, NamedModel)>> {
    let Some((added, manifest)) = Manifest::read(folder)? else { return Ok(None) };
    Ok(Some((added, NamedModel { manifest, folder: folder.to_owned() })))
}

#[cfg(test)]
mod tests;
