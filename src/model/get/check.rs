//! Whether a released file lies in a folder, and is whole.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wan_alpha_core::weights::TensorFile;

use super::super::parts::size;
use super::releases::ReleasedFile;
use crate::exit::{Exit, OrExit};

/// What an unfinished download is called.
pub(super) const UNFINISHED: &str = "part";

/// Bytes that are read and hashed at once.
const BLOCK: usize = 1 << 20;

/// The end of a zip archive begins at most so far from its last byte.
const ZIP_END: u64 = (1 << 16) + 22;

/// What a look at a file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// It is nowhere in the folder.
    Missing,
    /// A download that was broken off, of so many bytes.
    Unfinished(u64),
    /// It is there; whether its hash is known, and the same.
    Whole { hashed: bool },
    /// Its end is missing, in words.
    Torn(String),
    /// It is another file, in words.
    Other(String),
}

impl FileState {
    /// Whether it can be used as it is.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "missing"),
            Self::Unfinished(bytes) => write!(f, "unfinished: {} are there", size(*bytes)),
            Self::Whole { hashed: true } => write!(f, "whole, and its SHA-256 is the known one"),
            Self::Whole { hashed: false } => write!(f, "whole as far as its form says"),
            Self::Torn(how) => write!(f, "torn: {how}"),
            Self::Other(how) => write!(f, "another file: {how}"),
        }
    }
}

/// A released file in a folder of models.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    /// Where it lies, or would be fetched to.
    pub(super) path: PathBuf,
    pub(super) state: FileState,
}

/// What is told while a file is read, with its bytes so far and in all; `false` ends the reading.
pub(super) type Told<'a> = &'a dyn Fn(u64, u64) -> bool;

/// Looks for a file: in the folder of its repository, where it would be fetched to, or where somebody has
/// put it by hand, below its own path or by its name alone.
pub(super) fn look(folder: &Path, file: &ReleasedFile, told: Told<'_>) -> Result<FoundFile> {
    let place = folder.join(file.place());
    let name = Path::new(&file.path).file_name().unwrap_or_default();
    let places = [place.clone(), folder.join(&file.path), folder.join(name)];
    for path in places {
        if path.is_file() {
            let state = judge(&path, file, told)?;
            // One of that name that is of another release does not count, but where it would be in the way.
            if path == place || !matches!(state, FileState::Other(_)) {
                return Ok(FoundFile { path, state });
            }
        }
    }
    let part = unfinished(&place).metadata().map(|about| about.len());
    let state = part.map_or(FileState::Missing, FileState::Unfinished);
    Ok(FoundFile { path: place, state })
}

/// The name of a file while it is fetched.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Compares a file that is there with all that is known of it: size, form, members, hash.
pub(super) fn judge(path: &Path, file: &ReleasedFile, told: Told<'_>) -> Result<FileState> {
    let bytes =
        path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.len();
    if let Some(expected) = file.bytes {
        let found = format!("{bytes} bytes, expected {expected}");
        if bytes < expected {
            return Ok(FileState::Torn(found));
        }
        if bytes > expected {
            return Ok(FileState::Other(found));
        }
    }
    if let Some(how) = torn(path, &file.path)? {
        return Ok(FileState::Torn(how));
    }
    if let Some(how) = says_otherwise(path, file)? {
        return Ok(FileState::Other(how));
    }
    let Some(expected) = &file.sha256 else {
        return Ok(FileState::Whole { hashed: false });
    };
    let found = sha256(path, told)?;
    if found == *expected {
        return Ok(FileState::Whole { hashed: true });
    }
    Ok(FileState::Other(format!("its SHA-256 is {found}, expected {expected}")))
}

/// The hash of a file's content, in hexadecimal.
pub(super) fn sha256(path: &Path, told: Told<'_>) -> Result<String> {
    let read = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(read)?;
    let all = file.metadata().with_context(read)?.len();
    let (mut hash, mut done) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        if !told(done, all) {
            return Err(anyhow!("cancelled while {} was read", path.display()))
                .or_exit(Exit::Cancelled);
        }
        let count = file.read(&mut block).with_context(read)?;
        if count == 0 {
            break;
        }
        hash.update(&block[..count]);
        done += count as u64;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a file's own form says of its end: nothing where it is whole, or where its form, which is told by
/// the name that it is released under, does not tell.
fn torn(path: &Path, released: &str) -> Result<Option<String>> {
    let read = || format!("cannot read {}", path.display());
    match Path::new(released).extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Ok(TensorFile::open(path).err().map(|error| error.to_string())),
        Some("json") => {
            let text = std::fs::read(path).with_context(read)?;
            let wrong = serde_json::from_slice::<Value>(&text).err();
            Ok(wrong.map(|error| format!("it is no whole JSON: {error}")))
        }
        Some("pth" | "pt" | "bin") => {
            let mut file = File::open(path).with_context(read)?;
            let mut begin = Vec::new();
            file.by_ref().take(4).read_to_end(&mut begin).with_context(read)?;
            if begin != *b"PK\x03\x04" {
                return Ok(None);
            }
            let bytes = file.metadata().with_context(read)?.len();
            file.seek(SeekFrom::Start(bytes.saturating_sub(ZIP_END))).with_context(read)?;
            let mut end = Vec::new();
            file.read_to_end(&mut end).with_context(read)?;
            let whole = end.windows(4).any(|bytes| bytes == b"PK\x05\x06");
            Ok((!whole).then(|| "its archive has no end".to_owned()))
        }
        _ => Ok(None),
    }
}

/// Which member of a JSON file is not what this release has.
fn says_otherwise(path: &Path, file: &ReleasedFile) -> Result<Option<String>> {
    if file.must_say.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Value = serde_json::from_slice(&text).unwrap_or_default();
    let other = file.must_say.iter().find(|(name, value)| found[name.as_str()] != **value);
    Ok(other
        .map(|(name, value)| format!("its `{name}` is {}, expected {value}", found[name.as_str()])))
}

/// The files that an index names, each once and in order.
pub(super) fn shards_of(index: &Path, file: &ReleasedFile) -> Result<Vec<ReleasedFile>> {
    let read = || -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(index)?)?) };
    let text = read().with_context(|| format!("cannot read the index {}", index.display()))?;
    let map = text["weight_map"].as_object().filter(|map| !map.is_empty());
    let map =
        map.with_context(|| format!("{} names no files: it has no weight_map", index.display()));
    let mut names: Vec<&str> =
        map.or_exit(Exit::BadInput)?.values().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| file.shard(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(path: &str, bytes: Option<u64>, sha256: Option<&str>) -> ReleasedFile {
        ReleasedFile {
            key: "key".to_owned(),
            what: String::new(),
            repository: "owner/name".to_owned(),
            path: path.to_owned(),
            bytes,
            about_bytes: None,
            sha256: sha256.map(str::to_owned),
            license: String::new(),
            shards_about_bytes: None,
            must_say: serde_json::Map::new(),
        }
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_found_where_it_is_fetched_to_and_where_people_put_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = released("sub/x.txt", Some(3), Some(ABC));
        let found = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "abc").unwrap();
            let found = look(folder.path(), &file, &|_, _| true).unwrap();
            std::fs::remove_file(path).unwrap();
            (found.path, found.state)
        };
        for path in ["name/sub/x.txt", "sub/x.txt", "x.txt"] {
            let expected = (folder.path().join(path), FileState::Whole { hashed: true });
            assert_eq!(found(path), expected);
        }
        assert_eq!(found("y.txt").1, FileState::Missing);
        assert_eq!(found("name/sub/x.txt.part").1, FileState::Unfinished(3));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let state = |name: &str, content: &[u8], bytes, sha256| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            judge(&path, &released(name, bytes, sha256), &|_, _| true).unwrap().to_string()
        };
        assert!(state("a.bin", b"abc", Some(4), None).contains("torn: 3 bytes, expected 4"));
        assert!(state("a.bin", b"abc", Some(2), None).contains("another file: 3 bytes"));
        assert!(state("a.bin", b"abd", Some(3), Some(ABC)).contains(&format!("expected {ABC}")));
        assert!(state("a.json", b"{", None, None).contains("no whole JSON"));
        assert!(state("a.pth", b"PK\x03\x04 and so on", None, None).contains("has no end"));
        assert!(state("a.safetensors", &[9, 0, 0, 0, 0, 0, 0, 0], None, None).contains("torn"));
        assert!(state("a.pth", b"PK\x03\x04 PK\x05\x06", None, None).contains("whole as far"));
        let mut config = released("config.json", None, None);
        config.must_say.insert("dim".to_owned(), 5120.into());
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{\"dim\": 1536}").unwrap();
        let state = judge(&path, &config, &|_, _| true).unwrap();
        assert_eq!(state, FileState::Other("its `dim` is 1536, expected 5120".to_owned()));
        // In the place of another release it is passed over.
        assert_eq!(look(folder.path(), &config, &|_, _| true).unwrap().state, FileState::Missing);
    }

    #[test]
    fn an_index_names_each_of_its_shards_once() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("index.json");
        let file = released("deep/index.json", None, None);
        std::fs::write(&index, r#"{"weight_map": {"a": "2.st", "b": "1.st", "c": "2.st"}}"#)
            .unwrap();
        let shards = shards_of(&index, &file).unwrap();
        let paths: Vec<_> = shards.iter().map(|shard| shard.path.as_str()).collect();
        assert_eq!(paths, ["deep/1.st", "deep/2.st"]);
        std::fs::write(&index, r#"{"weight_map": {"a": "../2.st"}}"#).unwrap();
        assert!(shards_of(&index, &file).is_err());
        std::fs::write(&index, "{}").unwrap();
        assert!(format!("{:#}", shards_of(&index, &file).unwrap_err()).contains("weight_map"));
    }
}
