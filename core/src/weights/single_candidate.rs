//! One candidate for each part of a model, and the errors where there are none or several.

use std::path::PathBuf;

use super::discover::Candidate;
use super::passed_over::{PassedOver, likeliest};
use crate::{Error, Result};

/// The only candidate for `part` of a model, or none; an error that lists them where there are
/// several.
pub(super) fn single(part: &str, mut candidates: Vec<Candidate>) -> Result<Option<Candidate>> {
    if candidates.len() > 1 {
        return Err(Error::Ambiguous {
            part: part.to_owned(),
            candidates: candidates.iter().map(Candidate::path).collect(),
        });
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
            return Err(Error::Ambiguous { part: "tokenizer".into(), candidates });
        }
        candidates = named;
    }
    Ok(candidates.pop())
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
