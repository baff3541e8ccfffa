//! LoRAs by name: `wan-alpha-lora.json` files in the model roots, in folders of their names.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::{VERSION, check_version, read_record, write_record};
use super::names::LORA_FILE;
use super::{ModelError, ModelRoots, PartFile, Result, check_name};
use crate::digest::Fingerprint;
use crate::request::LoraSource;

/// What is recorded of a LoRA when it is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraRecord {
    /// The version of this form.
    pub version: u32,
    /// The name it goes by.
    pub name: String,
    /// What it does: a hash of its tensors.
    pub fingerprint: Fingerprint,
    /// Its file, with what a change of it shows by.
    pub file: PartFile,
}

/// A LoRA that a name stands for.
#[derive(Clone, Debug)]
pub struct NamedLora {
    /// What was recorded when it was added.
    pub record: LoraRecord,
    /// The folder of its record.
    pub folder: PathBuf,
}

impl NamedLora {
    /// The path of its file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.record.file.path)
    }

    /// What became of its file since it was added, in words.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.record.file.changed(&self.folder)
    }

    /// What a request says of it.
    #[must_use]
    pub fn source(&self, strength: f64) -> LoraSource {
        let LoraRecord { name, fingerprint, .. } = &self.record;
        LoraSource { name: name.clone(), fingerprint: *fingerprint, strength }
    }
}

impl LoraRecord {
    /// A record of the current version.
    #[must_use]
    pub fn new(name: &str, fingerprint: Fingerprint, file: PartFile) -> Self {
        Self { version: VERSION, name: name.to_owned(), fingerprint, file }
    }
}

impl ModelRoots {
    /// The LoRA of a name.
    ///
    /// # Errors
    /// The name is not one, is unknown, or its file has changed since it was added.
    pub fn find_lora(&self, name: &str) -> Result<NamedLora> {
        check_name(name)?;
        for root in &self.roots {
            if let Some(lora) = read(&root.join(name))? {
                return match lora.changed() {
                    None => Ok(lora),
                    Some(change) => Err(ModelError::LoraChanged { name: name.to_owned(), change }),
                };
            }
        }
        let known = self.loras().into_iter().map(|lora| lora.record.name).collect();
        let (name, searched) = (name.to_owned(), self.roots.clone());
        Err(ModelError::UnknownLora { name, known, searched })
    }

    /// The LoRA that a request names, by its fingerprint, whatever it is called here: one whose file is as
    /// it was added, where there is one.
    #[must_use]
    pub fn lora_with_fingerprint(&self, fingerprint: Fingerprint) -> Option<NamedLora> {
        let fits = |lora: &NamedLora| lora.record.fingerprint == fingerprint;
        let (whole, changed): (Vec<_>, Vec<_>) =
            self.loras().into_iter().filter(fits).partition(|lora| lora.changed().is_none());
        whole.into_iter().chain(changed).next()
    }

    /// Every named LoRA, in the order of names. What cannot be read is logged and passed over.
    #[must_use]
    pub fn loras(&self) -> Vec<NamedLora> {
        let mut loras: Vec<NamedLora> = Vec::new();
        for folder in
            self.roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten()
        {
            match read(&folder.path()) {
                // The first root counts, as for models.
                Ok(Some(lora)) if loras.iter().all(|l| l.record.name != lora.record.name) => {
                    loras.push(lora);
                }
                Ok(_) => {}
                Err(error) => log::warn!("{error}"),
            }
        }
        loras.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        loras
    }

    /// Records a LoRA under its name, in the first root that can be written to.
    ///
    /// # Errors
    /// The name is reserved, a model's or not one, or no root can be written to.
    pub fn add_lora(&self, record: &LoraRecord) -> Result<PathBuf> {
        self.check_lora_name(&record.name)?;
        let mut last = ModelError::NoRoot;
        for root in &self.roots {
            match write_record(record, &root.join(&record.name), LORA_FILE) {
                Ok(path) => return Ok(path),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Forgets a LoRA's name, whether its record can be read or not; its file stays. None where there is
    /// no LoRA of that name.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn remove_lora(&self, name: &str) -> Result<Option<PathBuf>> {
        check_name(name)?;
        let paths = self.roots.iter().map(|root| root.join(name).join(LORA_FILE));
        let Some(path) = paths.into_iter().find(|path| path.symlink_metadata().is_ok()) else {
            return Ok(None);
        };
        fs::remove_file(&path).map_err(ModelError::io("remove", &path))?;
        // Only an empty folder goes: a model of the same name, or weights, may lie in it.
        let _ = path.parent().map(fs::remove_dir);
        Ok(Some(path))
    }
}

fn read(folder: &Path) -> Result<Option<NamedLora>> {
    let Some((_, record)) = read_record::<LoraRecord>(folder, LORA_FILE)? else { return Ok(None) };
    check_version(&folder.join(LORA_FILE), record.version)?;
    Ok(Some(NamedLora { record, folder: folder.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lora_is_found_by_name_and_fingerprint_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("style.safetensors");
        fs::write(&file, b"x").unwrap();
        let roots =
            ModelRoots { roots: vec![folder.path().join("models")], ..ModelRoots::default() };
        let fingerprint = Fingerprint([7; 32]);
        let error = roots.find_lora("ink").unwrap_err().to_string();
        assert!(error.contains("no LoRA `ink`") && error.contains("model add --lora"), "{error}");
        let record = LoraRecord::new("ink", fingerprint, PartFile::of(&file).unwrap());
        roots.add_lora(&record).unwrap();
        assert_eq!(roots.find_lora("ink").unwrap().path(), file);
        assert_eq!(roots.lora_with_fingerprint(fingerprint).unwrap().record, record);
        assert!(roots.lora_with_fingerprint(Fingerprint([8; 32])).is_none());
        // It is no model, and in the way of none.
        assert!(roots.find("ink").is_err() && roots.list().unwrap().is_empty());
        fs::write(&file, b"longer").unwrap();
        assert!(matches!(roots.find_lora("ink"), Err(ModelError::LoraChanged { .. })));
        assert!(roots.lora_with_fingerprint(fingerprint).unwrap().changed().is_some());
        roots.remove_lora("ink").unwrap().unwrap();
        assert!(roots.remove_lora("ink").unwrap().is_none() && file.is_file());
        assert!(roots.loras().is_empty() && roots.find_lora("../ink").is_err());
    }
}
