//! Models by name: `wan-alpha.json` files in a list of folders, the model roots.
//!
//! A name stands for the files it was given when it was added, their fingerprint, and what the
//! model does where a request is silent. Names come from project files too, so a name is checked
//! before it touches a path.

mod defaults;
mod error;
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
pub use loras::{LoraRecord, NamedLora};
pub use made_for::MadeFor;
pub use manifest::{Manifest, MergedCopy, PartFile};
pub use names::check_name;
pub use preset::{ChosenPreset, LIGHTX2V, PRESETS, Preset, RCM, UNDISTILLED, WAN_ALPHA};

use crate::digest::Fingerprint;
use crate::request::Precision;

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

/// The first of a list whose files are as they were added; a copy in fewer bits, which somebody has made to
/// try it perhaps, only where there is nothing else.
fn first_whole(list: &[NamedModel]) -> Option<&NamedModel> {
    let whole = || list.iter().filter(|model| model.changed().is_none());
    whole().find(|model| model.manifest.quantized_from.is_none()).or_else(|| whole().next())
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
mod tests {
    use super::*;

    fn manifest(name: &str, file: &Path) -> Manifest {
        Manifest {
            version: manifest::VERSION,
            name: name.to_owned(),
            fingerprint: fingerprint(name),
            parts: vec![PartFile::of(file).unwrap()],
            defaults: Defaults::default(),
            parameters: 1,
            merged: None,
            made_for: MadeFor::default(),
            preset: None,
            images: None,
            quantized_from: None,
        }
    }

    fn fingerprint(name: &str) -> Fingerprint {
        Fingerprint(*blake3::hash(name.as_bytes()).as_bytes())
    }

    fn roots(folder: &Path) -> ModelRoots {
        ModelRoots { roots: vec![folder.join("a"), folder.join("b")], ..ModelRoots::default() }
    }

    #[test]
    fn a_model_is_found_by_name_fingerprint_and_auto() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let mut roots = roots(folder.path());
        assert!(matches!(roots.find(AUTO), Err(ModelError::Unknown { .. })));
        for name in ["one", "two"] {
            roots.add(&manifest(name, &weights)).unwrap();
        }
        assert_eq!(roots.find("one").unwrap().manifest.name, "one");
        assert_eq!(roots.find("one").unwrap().paths(), [weights.canonicalize().unwrap()]);
        let found = roots.with_fingerprint(fingerprint("two")).unwrap().unwrap();
        assert_eq!(found.manifest.name, "two");
        let among = |roots: &ModelRoots| {
            let list = roots.list().unwrap();
            roots.auto_among(&list).map(|model| model.manifest.name.clone())
        };
        assert_eq!(among(&roots), Some(roots.find(AUTO).unwrap().manifest.name));
        roots.preferred = Some("two".into());
        assert_eq!(roots.find(AUTO).unwrap().manifest.name, "two");
        assert_eq!(among(&roots).as_deref(), Some("two"));
        roots.preferred = Some("three".into());
        assert!(among(&roots).is_none() && roots.find(AUTO).is_err());
        roots.remove("two").unwrap();
        assert!(roots.find("two").is_err() && weights.is_file());
        let error = roots.find("two").unwrap_err().to_string();
        assert!(error.contains("models known: one") && error.contains("add one with"), "{error}");
    }

    #[test]
    fn what_ships_is_the_last_of_the_list_and_auto_where_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let ships = folder.path().join("draft-model");
        manifest(DRAFT, &weights).write(&ships).unwrap();
        let roots = ModelRoots { draft: vec![ships], ..roots(folder.path()) };
        let names = || -> Vec<_> {
            roots.list().unwrap().into_iter().map(|model| model.manifest.name).collect()
        };
        assert_eq!(names(), [DRAFT]);
        assert_eq!(roots.find(AUTO).unwrap().manifest.name, DRAFT);
        assert!(matches!(roots.remove(DRAFT), Err(ModelError::ComesAlong(_))));
        roots.add(&manifest("one", &weights)).unwrap();
        assert_eq!(names(), ["one", DRAFT]);
        assert_eq!(roots.find(AUTO).unwrap().manifest.name, "one");
        // A user's own of that name stands in its place.
        roots.add(&manifest(DRAFT, &weights)).unwrap();
        assert_eq!(names().len(), 2);
        assert!(roots.find(DRAFT).unwrap().folder.starts_with(folder.path().join("a")));
    }

    #[test]
    fn a_copy_in_fewer_bits_is_auto_only_where_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let ships = folder.path().join("draft-model");
        let mut roots = roots(folder.path());
        let autos = |roots: &ModelRoots| {
            let list = roots.list().unwrap();
            let among = roots.auto_among(&list).unwrap().manifest.name.clone();
            assert_eq!(roots.find(AUTO).unwrap().manifest.name, among);
            among
        };
        let copy = |of: &str| Manifest {
            quantized_from: Some(of.to_owned()),
            ..manifest(&format!("{of}-q4_k"), &weights)
        };
        roots.add(&copy("one")).unwrap();
        assert_eq!(autos(&roots), "one-q4_k");
        // Of the model that ships, which is the last of the list.
        manifest(DRAFT, &weights).write(&ships).unwrap();
        roots.draft = vec![ships];
        roots.add(&copy(DRAFT)).unwrap();
        assert_eq!(autos(&roots), DRAFT);
        roots.add(&manifest("one", &weights)).unwrap();
        roots.add(&copy("one")).unwrap();
        assert_eq!(autos(&roots), "one");
        // Whoever says so has it.
        roots.preferred = Some("one-q4_k".into());
        assert_eq!(autos(&roots), "one-q4_k");
        assert_eq!(roots.find("one-q4_k").unwrap().manifest, copy("one"));
    }

    #[test]
    fn of_two_names_for_one_model_the_whole_one_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let roots = roots(folder.path());
        for name in ["gone", "whole"] {
            let weights = folder.path().join(format!("{name}.safetensors"));
            fs::write(&weights, b"x").unwrap();
            let record = Manifest { fingerprint: fingerprint("one"), ..manifest(name, &weights) };
            roots.add(&record).unwrap();
        }
        // A root that is no folder stands in nobody's way.
        fs::write(folder.path().join("b"), b"x").unwrap();
        fs::remove_file(folder.path().join("gone.safetensors")).unwrap();
        let found = roots.with_fingerprint(fingerprint("one")).unwrap().unwrap();
        assert_eq!(found.manifest.name, "whole");
        fs::remove_file(folder.path().join("whole.safetensors")).unwrap();
        assert!(roots.with_fingerprint(fingerprint("one")).unwrap().unwrap().changed().is_some());
    }

    #[test]
    fn a_model_whose_files_changed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let roots = roots(folder.path());
        roots.add(&manifest("one", &weights)).unwrap();
        fs::write(&weights, b"longer").unwrap();
        let error = roots.find("one").unwrap_err().to_string();
        assert!(
            error.contains("weights.safetensors") && error.contains("model add one"),
            "{error}"
        );
        assert!(matches!(roots.find(AUTO), Err(ModelError::Unknown { .. })));
        fs::remove_file(&weights).unwrap();
        assert!(roots.find("one").unwrap_err().to_string().contains("is gone"));
    }

    #[test]
    fn a_merged_copy_lives_and_goes_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let roots = roots(folder.path());
        let plain = manifest("one", &weights);
        let record = roots.add(&plain).unwrap();
        assert_eq!(roots.find("one").unwrap().merged(), Ok(None));
        let copy = record.with_file_name(MergedCopy::file_name(Precision::Bf16));
        fs::write(&copy, b"merged").unwrap();
        let file =
            PartFile { path: copy.file_name().unwrap().into(), ..PartFile::of(&copy).unwrap() };
        let merged = Some(MergedCopy { file, precision: Precision::Bf16 });
        roots.add(&Manifest { merged, ..plain.clone() }).unwrap();
        let found = roots.find("one").unwrap().merged().unwrap();
        assert_eq!(found, Some((copy.clone(), Precision::Bf16)));

        fs::write(&copy, b"other bytes").unwrap();
        assert!(roots.find("one").unwrap().merged().unwrap_err().contains("has changed"));
        fs::remove_file(&copy).unwrap();
        assert!(roots.find("one").unwrap().merged().unwrap_err().contains("is gone"));

        // Added again without one, and removed.
        for end in [true, false] {
            fs::write(&copy, b"merged").unwrap();
            if end {
                roots.add(&plain).unwrap();
            } else {
                roots.remove("one").unwrap();
                assert!(!copy.parent().unwrap().exists());
            }
            assert!(!copy.exists() && weights.exists());
        }
    }

    #[test]
    fn a_name_never_leaves_its_root() {
        for name in ["", ".", "..", "a/b", "../x", "a\\b", ".hidden", "a\0", "a b"] {
            assert!(
                roots(Path::new("nowhere")).find(name).unwrap_err().to_string().contains("name")
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_record_is_as_open_to_others_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("weights.safetensors");
        fs::write(&weights, b"x").unwrap();
        let record = manifest("one", &weights).write(folder.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&record), mode(&weights));
    }

    #[test]
    fn a_damaged_record_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("a/one");
        fs::create_dir_all(&model).unwrap();
        fs::write(model.join(manifest::FILE), "{").unwrap();
        let error = roots(folder.path()).find("one").unwrap_err().to_string();
        assert!(error.contains(manifest::FILE), "{error}");
        // In a list the others still count.
        assert!(roots(folder.path()).list().unwrap().is_empty());
        // What cannot be read can be forgotten.
        assert_eq!(roots(folder.path()).remove("one").unwrap(), model.join(manifest::FILE));
        assert!(!model.exists());
    }
}
