//! One candidate for each part of a model, and the errors where there are none or several.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::candidate::Candidate;
use super::passed_over::{PassedOver, likeliest};
use super::successor::SuccessorCheckpoint;
use crate::{Error, Result};

/// The only candidate for `part` of a model, or none; an error that lists them where there are
/// several.
pub(super) fn single(part: &str, mut candidates: Vec<Candidate>) -> Result<Option<Candidate>> {
    if candidates.len() > 1 {
        return Err(ambiguous(part, candidates.iter().map(Candidate::path).collect()));
    }
    Ok(candidates.pop())
}

/// The only tokenizer, or none. Image-to-video folders bring a second one; umT5's folder is named
/// for it.
pub(super) fn single_tokenizer(mut candidates: Vec<PathBuf>) -> Result<Option<PathBuf>> {
    if candidates.len() > 1 {
        let umt5 = |path: &PathBuf| {
            path.parent().is_some_and(|folder| folder.to_string_lossy().contains("umt5"))
        };
        let named: Vec<_> = candidates.iter().filter(|path| umt5(path)).cloned().collect();
        if named.len() != 1 {
            return Err(ambiguous("tokenizer", candidates));
        }
        candidates = named;
    }
    Ok(candidates.pop())
}

/// The error that lists several files for one part, and says where they are copies of one another.
pub(super) fn ambiguous(part: &str, candidates: Vec<PathBuf>) -> Error {
    let alike = candidates
        .split_first()
        .is_some_and(|(first, others)| others.iter().all(|other| are_alike(first, other)));
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(format!("{name} is {}", SuccessorCheckpoint::of(path)?))
    };
    let named: Vec<String> = candidates.iter().filter_map(named).collect();
    let part = match named.is_empty() {
        true => part.to_owned(),
        false => format!("{part} ({})", named.join(", ")),
    };
    Error::Ambiguous { part, candidates, alike }
}

/// Bytes that are compared at the beginning, in the middle and at the end of two files.
const COMPARED: u64 = 1 << 20;

/// Whether two files are as long as each other and have the same bytes in three places: of gigabytes not
/// all are read for a message.
fn are_alike(one: &Path, other: &Path) -> bool {
    let alike = || -> io::Result<bool> {
        let (mut one, mut other) = (File::open(one)?, File::open(other)?);
        let length = one.metadata()?.len();
        if other.metadata()?.len() != length {
            return Ok(false);
        }
        for from in [0, length / 2, length.saturating_sub(COMPARED)] {
            let part = |file: &mut File| -> io::Result<Vec<u8>> {
                file.seek(SeekFrom::Start(from))?;
                let mut bytes = Vec::new();
                file.take(COMPARED).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            if part(&mut one)? != part(&mut other)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    alike().unwrap_or(false)
}

/// The error that says which parts of a model were not among the files searched: that of a file which
/// would have been one of them, or what is missing and what was passed over.
pub(super) fn incomplete(
    missing: &[&str],
    searched: &[PathBuf],
    mut passed_over: Vec<PassedOver>,
) -> Error {
    if let Some(error) = missing.iter().find_map(|part| likeliest(&mut passed_over, part)) {
        return error;
    }
    Error::Incomplete {
        missing: missing.iter().map(|&part| part.to_owned()).collect(),
        searched: searched.to_vec(),
        passed_over: passed_over.iter().map(PassedOver::reason).collect(),
    }
}
