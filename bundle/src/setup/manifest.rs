//! What has been laid out, file by file: `.setup/manifest.json`.
//!
//! Every file has its size; libraries, which are few and large, also their hash. A part is in place
//! when its record has the fingerprint of today's pins and rules and no file differs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartManifest {
    format: u32,
    /// By the name of the part's folder.
    parts: BTreeMap<String, PartRecord>,
}

/// One part as it was laid out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// Of pins and rules together.
    pub(crate) fingerprint: String,
    pub(crate) rules: u32,
    pub(crate) sources: Vec<SourceRecord>,
}

/// What came from one wheel, or was made here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    /// As in the pins, or `made here`.
    pub(crate) name: String,
    /// The hash of the wheel; none of what was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    pub(crate) files: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Inside the part's folder, with `/`.
    pub(crate) path: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<String>,
    /// Where it points to, for a symbolic link; size and hash are then the target's affair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// One difference between record and disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileFault {
    pub(crate) path: String,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    Missing,
    Size { expected: u64, found: u64 },
    Contents,
    Link { expected: String },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.what {
            What::Missing => write!(f, "{path} is missing"),
            What::Size { expected, found } => {
                write!(f, "{path} has {found} bytes instead of {expected}")
            }
            What::Contents => write!(f, "{path} holds other bytes than were laid out"),
            What::Link { expected } => write!(f, "{path} is not a link to {expected}"),
        }
    }
}

impl PartManifest {
    /// An absent file, one of another format and a damaged one all mean: nothing is recorded.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        let manifest: Self = serde_json::from_slice(&text).unwrap_or_default();
        Ok(if manifest.format == FORMAT { manifest } else { Self::default() })
    }

    /// Replaces the file as a whole.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("json.new");
        let written = serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, path));
        written.with_context(|| format!("{} cannot be written", path.display()))
    }

    pub(crate) fn part(&self, folder: &str) -> Option<&PartRecord> {
        self.parts.get(folder)
    }

    pub(crate) fn record(&mut self, folder: &str, part: PartRecord) {
        self.format = FORMAT;
        self.parts.insert(folder.to_owned(), part);
    }
}

impl PartRecord {
    /// Every difference between the record and what lies in `folder`.
    pub(crate) fn faults(&self, folder: &Path) -> Vec<FileFault> {
        self.sources.iter().flat_map(|source| source.faults(folder)).collect()
    }

    /// The record of a wheel that was laid out under today's rules.
    pub(crate) fn wheel(&self, sha256: &str, rules: u32) -> Option<&SourceRecord> {
        let same = |source: &&SourceRecord| source.sha256.as_deref() == Some(sha256);
        self.sources.iter().filter(|_| self.rules == rules).find(same)
    }
}

impl SourceRecord {
    pub(crate) fn faults(&self, folder: &Path) -> Vec<FileFault> {
        let fault = |file: &FileRecord| {
            file.fault(folder).map(|what| FileFault { path: file.path.clone(), what })
        };
        self.files.iter().filter_map(fault).collect()
    }
}

impl FileRecord {
    /// A file that cannot be read counts as missing: laying it out anew is the remedy for both.
    fn fault(&self, folder: &Path) -> Option<What> {
        let path = folder.join(&self.path);
        if let Some(target) = &self.link {
            let points_there = fs::read_link(&path).is_ok_and(|found| found == Path::new(target));
            return (!points_there).then(|| What::Link { expected: target.clone() });
        }
        let Ok(found) = fs::symlink_metadata(&path) else {
            return Some(What::Missing);
        };
        if !found.is_file() {
            return Some(What::Missing);
        }
        if found.len() != self.size {
            return Some(What::Size { expected: self.size, found: found.len() });
        }
        let expected = self.blake3.as_ref()?;
        match hash(&path) {
            Ok(hash) => (hash != *expected).then_some(What::Contents),
            Err(_) => Some(What::Missing),
        }
    }
}

/// BLAKE3 of a file's contents, in hex.
pub(crate) fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a hashed library, an unhashed header and a link, and the record of it.
    fn laid_out() -> (tempfile::TempDir, PartRecord) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("lib")).unwrap();
        fs::write(at("lib/a.so"), b"library").unwrap();
        fs::write(at("header.h"), b"header").unwrap();
        std::os::unix::fs::symlink("../elsewhere.so", at("lib/b.so")).unwrap();
        let file = |path: &str, size, blake3, link: Option<&str>| FileRecord {
            path: path.to_owned(),
            size,
            blake3,
            link: link.map(str::to_owned),
        };
        let wheel = SourceRecord {
            name: "torch==1".to_owned(),
            sha256: Some("abc".to_owned()),
            files: vec![
                file("lib/a.so", 7, Some(hash(&at("lib/a.so")).unwrap()), None),
                file("header.h", 6, None, None),
            ],
        };
        let own = SourceRecord {
            name: "made here".to_owned(),
            sha256: None,
            files: vec![file("lib/b.so", 0, None, Some("../elsewhere.so"))],
        };
        let record =
            PartRecord { fingerprint: "f".to_owned(), rules: 3, sources: vec![wheel, own] };
        (folder, record)
    }

    fn told(record: &PartRecord, folder: &Path) -> Vec<String> {
        record.faults(folder).iter().map(FileFault::to_string).collect()
    }

    #[test]
    fn what_was_laid_out_has_no_faults() {
        let (folder, record) = laid_out();
        assert_eq!(record.faults(folder.path()), []);
    }

    #[test]
    fn each_kind_of_damage_is_found_and_named() {
        let (folder, record) = laid_out();
        fs::write(folder.path().join("lib/a.so"), b"Library").unwrap();
        fs::write(folder.path().join("header.h"), b"head").unwrap();
        fs::remove_file(folder.path().join("lib/b.so")).unwrap();
        std::os::unix::fs::symlink("../other.so", folder.path().join("lib/b.so")).unwrap();
        let expected = [
            "lib/a.so holds other bytes than were laid out",
            "header.h has 4 bytes instead of 6",
            "lib/b.so is not a link to ../elsewhere.so",
        ];
        assert_eq!(told(&record, folder.path()), expected);

        fs::remove_file(folder.path().join("lib/a.so")).unwrap();
        fs::remove_file(folder.path().join("header.h")).unwrap();
        fs::create_dir(folder.path().join("header.h")).unwrap();
        let told = told(&record, folder.path());
        assert_eq!(told[..2], ["lib/a.so is missing", "header.h is missing"]);
    }

    #[test]
    fn a_wheel_is_found_by_contents_and_rules() {
        let (_folder, record) = laid_out();
        assert_eq!(record.wheel("abc", 3).unwrap().name, "torch==1");
        assert!(record.wheel("abd", 3).is_none());
        assert!(record.wheel("abc", 4).is_none());
    }

    #[test]
    fn the_manifest_returns_what_was_saved_and_nothing_where_it_is_damaged() {
        let (folder, record) = laid_out();
        let path = folder.path().join("manifest.json");
        assert!(PartManifest::load(&path).unwrap().part("libtorch").is_none());

        let mut manifest = PartManifest::default();
        manifest.record("libtorch", record.clone());
        manifest.save(&path).unwrap();
        let loaded = PartManifest::load(&path).unwrap();
        assert_eq!(loaded.part("libtorch").unwrap().sources[0].files, record.sources[0].files);
        assert!(loaded.part("libtorch-cuda").is_none());

        let text = fs::read_to_string(&path).unwrap();
        for damaged in [&text[..text.len() / 2], &text.replace("\"format\":1", "\"format\":2")] {
            fs::write(&path, damaged).unwrap();
            assert!(PartManifest::load(&path).unwrap().part("libtorch").is_none());
        }
    }
}
