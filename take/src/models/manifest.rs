//! `wan-alpha.json`: what is recorded of a model when it is added.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ChosenPreset, Defaults, LatentPreview, MadeFor, ModelError, Result};
use crate::digest::Fingerprint;
use crate::request::Precision;

/// The record's file name.
pub(super) const FILE: &str = "wan-alpha.json";

/// The version of the record.
pub(super) const VERSION: u32 = 1;

/// What is recorded of a model when it is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The name it goes by.
    pub name: String,
    /// What it computes with, a hash of every tensor that is used.
    pub fingerprint: Fingerprint,
    /// Its files, each with what a change of it shows by.
    pub parts: Vec<PartFile>,
    /// What it does where a request is silent.
    #[serde(default)]
    pub defaults: Defaults,
    /// Parameters of its transformer.
    pub parameters: u64,
    /// Its transformer with the adapters merged, made when it was added so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedCopy>,
    /// What it was made for, as far as is known.
    #[serde(default, skip_serializing_if = "MadeFor::is_silent")]
    pub made_for: MadeFor,
    /// Whose settings its defaults are, where they are of the table of presets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<ChosenPreset>,
    /// With how many images its takes begin and end: none, the first, or first and last. Records of
    /// before November 2026 do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u8>,
    /// The name of the model that this one is a copy of in fewer bits. `auto` means such a copy only where
    /// there is no other model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantized_from: Option<String>,
    /// What its latents look like before they are decoded, where it could be fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<LatentPreview>,
}

/// A copy of a model's transformer with its adapters merged, in the record's folder. It is no part of
/// the model: takes are the same without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedCopy {
    /// The file, relative to the record's folder.
    pub file: PartFile,
    /// The number format of its matrices.
    pub precision: Precision,
}

impl MergedCopy {
    /// The name of its file, which is none that weights are looked for under: the copy is never taken
    /// for a second transformer.
    #[must_use]
    pub fn file_name(precision: Precision) -> &'static str {
        match precision {
            Precision::F32 => "merged-transformer.f32",
            _ => "merged-transformer.bf16",
        }
    }

    /// Takes away what copies there are in a record's folder.
    pub(super) fn remove_from(folder: &Path, but: Option<&Self>) {
        for precision in [Precision::F32, Precision::Bf16] {
            if but.is_some_and(|kept| kept.precision == precision) {
                continue;
            }
            let path = folder.join(Self::file_name(precision));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    log::warn!("{} cannot be removed: {error}", path.display());
                }
                _ => {}
            }
        }
    }
}

/// A file of a model, and by what a change of it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// Absolute, or relative to the record's folder.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub size: u64,
    /// Seconds since 1970; of a file that ships with the program, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
    /// Nanoseconds after those seconds; records of before December 2026 do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_nanos: Option<u32>,
}

impl PartFile {
    /// Describes a file as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        // Links stay: what they lead to may have a name that says nothing, in a cache of downloads.
        let path = std::path::absolute(path).map_err(ModelError::io("open", path))?;
        let about = fs::metadata(&path).map_err(ModelError::io("open", &path))?;
        let since = about.modified().ok().map(since_1970);
        let (modified, modified_nanos) =
            (since.map(|since| since.as_secs()), since.map(|since| since.subsec_nanos()));
        Ok(Self { path, size: about.len(), modified, modified_nanos })
    }

    pub(super) fn changed(&self, folder: &Path) -> Option<String> {
        let path = folder.join(&self.path);
        let Ok(about) = fs::metadata(&path) else {
            return Some(format!("{} is gone", path.display()));
        };
        let since = about.modified().ok().map(since_1970);
        let same_second = self.modified.is_none() || self.modified == since.map(|s| s.as_secs());
        let same_time = match (self.modified_nanos, since) {
            (Some(recorded), Some(since)) => is_same_moment(recorded, since.subsec_nanos()),
            _ => true,
        };
        let same = about.len() == self.size && same_second && same_time;
        (!same).then(|| format!("{} has changed since it was added", path.display()))
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether two numbers of nanoseconds are one moment: a folder that is reached over a network, or was copied,
/// may keep the first digits of them alone.
fn is_same_moment(one: u32, other: u32) -> bool {
    let cut = |nanos: u32, digits: u32| nanos / 10u32.pow(digits) * 10u32.pow(digits);
    (0..=9).any(|digits| cut(one, digits) == other || cut(other, digits) == one)
}

impl Manifest {
    /// A record of the current version.
    #[must_use]
    pub fn new(
        name: &str,
        fingerprint: Fingerprint,
        parts: Vec<PartFile>,
        defaults: Defaults,
        parameters: u64,
    ) -> Self {
        let name = name.to_owned();
        Self {
            version: VERSION,
            name,
            fingerprint,
            parts,
            defaults,
            parameters,
            merged: None,
            made_for: MadeFor::default(),
            preset: None,
            images: None,
            quantized_from: None,
            preview: None,
        }
    }

    /// The record in `folder` and when it was written; `None` where there is none.
    ///
    /// # Errors
    /// The record is damaged or of a newer version.
    pub(super) fn read(folder: &Path) -> Result<Option<(SystemTime, Self)>> {
        let Some((written, record)) = read_record::<Self>(folder, FILE)? else { return Ok(None) };
        check_version(&folder.join(FILE), record.version)?;
        Ok(Some((written, record)))
    }

    /// Writes the record into `folder`, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        write_record(self, folder, FILE)
    }
}

/// A record in `folder` and when it was written; `None` where there is none.
pub(super) fn read_record<T: DeserializeOwned>(
    folder: &Path,
    file: &str,
) -> Result<Option<(SystemTime, T)>> {
    let path = folder.join(file);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(ModelError::io("read", &path)(error)),
    };
    let record = serde_json::from_str(&text)
        .map_err(|source| ModelError::Record { path: path.clone(), reason: source })?;
    let written = fs::metadata(&path).and_then(|about| about.modified()).unwrap_or(UNIX_EPOCH);
    Ok(Some((written, record)))
}

pub(super) fn check_version(path: &Path, found: u32) -> Result<()> {
    if found == VERSION {
        return Ok(());
    }
    Err(ModelError::Version { path: path.to_owned(), found, expected: VERSION })
}

/// Writes a record into `folder`, whole or not at all.
pub(super) fn write_record<T: Serialize>(record: &T, folder: &Path, file: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(ModelError::io("make", folder))?;
    let path = folder.join(file);
    let text = serde_json::to_string_pretty(record)
        .map_err(|source| ModelError::Record { path: path.clone(), reason: source })?;
    let mut builder = tempfile::Builder::new();
    // As the user's mask has it: models are shared, and temporary files are closed to others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(ModelError::io("write to", folder))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.as_file().sync_all())
        .map_err(ModelError::io("write", &path))?;
    file.persist(&path).map_err(|error| ModelError::io("write", &path)(error.error))?;
    Ok(path)
}
