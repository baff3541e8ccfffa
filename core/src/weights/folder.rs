//! The files of a model's folders.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::file_bytes::FileStamp;
use crate::{Error, Result};

/// How deep below a given folder parts are looked for (`text_encoder/`, `google/umt5-xxl/`).
const DEPTH: usize = 4;

/// Endings of files of weights.
const ENDINGS: [&str; 7] = ["safetensors", "sft", "gguf", "pth", "bin", "pt", "ckpt"];

/// A tokenizer as Hugging Face's programs write it.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// A tokenizer as SentencePiece writes it.
pub(super) const SENTENCE_PIECE: &str = "spiece.model";

/// A file that may be a part.
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Named by whoever asks, not found in a folder.
    pub(super) named: bool,
}

/// The files of `paths`, in order, folders searched; a file that several paths lead to counts once.
///
/// # Errors
/// A path leads nowhere, or a folder cannot be listed.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<Listed>> {
    let mut files = BTreeMap::new();
    for path in paths {
        collect(path, DEPTH, true, &mut files)?;
    }
    let mut places = BTreeSet::new();
    let mut listed: Vec<Listed> = Vec::new();
    // What is named comes first, so that it stays what it is where a folder has it too.
    for named in [true, false] {
        for (path, _) in files.iter().filter(|(_, asked)| **asked == named) {
            let first = match FileStamp::at(path)?.place() {
                Some(place) => places.insert(place),
                None => true,
            };
            if first {
                listed.push(Listed { path: path.clone(), named });
            }
        }
    }
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listed)
}

/// Files of weights and tokenizers in `path`.
fn collect(
    path: &Path,
    depth: usize,
    named: bool,
    files: &mut BTreeMap<PathBuf, bool>,
) -> Result<()> {
    let kind = fs::metadata(path).map_err(Error::io("open", path))?;
    if !kind.is_dir() {
        *files.entry(path.to_owned()).or_default() |= named;
        return Ok(());
    }
    let mut entries = fs::read_dir(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(Error::io("list", path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // A dangling link is nobody's part; what it points to is judged, not the link.
        let Ok(kind) = fs::metadata(&path) else {
            continue;
        };
        let folder = kind.is_dir() && depth > 0;
        if !hidden && (folder || (kind.is_file() && is_part(&path))) {
            collect(&path, depth - usize::from(folder), false, files)?;
        }
    }
    Ok(())
}

fn is_part(path: &Path) -> bool {
    [TOKENIZER, SENTENCE_PIECE].iter().any(|name| path.file_name() == Some(OsStr::new(name)))
        || path.extension().is_some_and(|kind| ENDINGS.iter().any(|known| kind == *known))
}
