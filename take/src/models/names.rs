//! Names of models and LoRAs: what can be one, and that each stands for one thing.

use super::{AUTO, DRAFT, ModelError, ModelRoots, Result, manifest};

/// What the record of a LoRA is called in the folder that has its name.
pub(super) const LORA_FILE: &str = "wan-alpha-lora.json";

/// A name is one path component of letters, digits and `-_.+`, not hidden.
///
/// # Errors
/// It is not.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
    if !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(allowed)
    {
        return Ok(());
    }
    Err(ModelError::Name { found: name.to_owned() })
}

impl ModelRoots {
    /// That a model can be recorded under a name, a record of that model before it or not.
    ///
    /// # Errors
    /// It is no name, is reserved, or is that of a LoRA.
    pub fn check_model_name(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if name == AUTO {
            return Err(ModelError::Reserved);
        }
        if self.has_lora(name) {
            return Err(ModelError::NameOfLora(name.to_owned()));
        }
        Ok(())
    }

    /// That a LoRA can be recorded under a name, a record of that LoRA before it or not.
    ///
    /// # Errors
    /// It is no name, is reserved, or is that of a model.
    pub fn check_lora_name(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if name == AUTO {
            return Err(ModelError::Reserved);
        }
        if name == DRAFT || self.has_record(name, manifest::FILE) {
            return Err(ModelError::NameOfModel(name.to_owned()));
        }
        Ok(())
    }

    /// Whether a LoRA of that name is recorded, readably or not.
    #[must_use]
    pub fn has_lora(&self, name: &str) -> bool {
        check_name(name).is_ok() && self.has_record(name, LORA_FILE)
    }

    fn has_record(&self, name: &str, file: &str) -> bool {
        let mut records = self.roots.iter().map(|root| root.join(name).join(file));
        records.any(|record| record.symlink_metadata().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::digest::Fingerprint;
    use crate::models::{Defaults, LoraRecord, Manifest, PartFile};

    #[test]
    fn one_name_stands_for_one_thing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.safetensors");
        fs::write(&file, b"x").unwrap();
        let roots =
            ModelRoots { roots: vec![folder.path().join("models")], ..ModelRoots::default() };
        let part = || PartFile::of(&file).unwrap();
        let fingerprint = Fingerprint([7; 32]);
        let lora = |name: &str| roots.add_lora(&LoraRecord::new(name, fingerprint, part()));
        let model = |name: &str| {
            let defaults = Defaults::default();
            roots.add(&Manifest::new(name, fingerprint, vec![part()], defaults, 1))
        };
        lora("ink").unwrap();
        model("wan").unwrap();
        assert!(roots.has_lora("ink") && !roots.has_lora("wan"));
        let error = model("ink").unwrap_err().to_string();
        assert!(error.contains("name of a LoRA") && error.contains("remove --lora ink"), "{error}");
        let error = lora("wan").unwrap_err().to_string();
        assert!(error.contains("name of a model") && error.contains("another name"), "{error}");
        assert!(matches!(lora(DRAFT), Err(ModelError::NameOfModel(_))));
        assert!(matches!(lora(AUTO), Err(ModelError::Reserved)));
        // What is there is replaced, and a name that is forgotten is free.
        lora("ink").unwrap();
        model("wan").unwrap();
        roots.remove_lora("ink").unwrap().unwrap();
        model("ink").unwrap();
    }
}
