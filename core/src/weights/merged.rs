//! A model's transformer in one file, adapters merged, tensors in the kinds they are computed with:
//! loading it is reading it.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use tch::Kind;
use wan_alpha_take::{Fingerprint, NUMERICS};

use super::file::TensorFile;
use super::memory::keeps_float32;
use super::model_files::ModelFiles;
use super::network::Network;
use super::set::TensorSet;
use crate::{Error, Result};

/// The remark in a merged file's header that has the fingerprint of the model it was made from.
pub const MERGED_SOURCE: &str = "wan-alpha.source";
/// The remark that has the numerics it was merged by.
pub const MERGED_NUMERICS: &str = "wan-alpha.numerics";

/// A merged copy that stands in for a transformer and its adapters.
#[derive(Clone, Debug)]
pub struct MergedTransformer {
    set: Arc<TensorSet>,
    kind: Kind,
}

impl MergedTransformer {
    /// Opens a copy that was made from `files`, whose fingerprint is `source`, with its matrices in
    /// `kind`. Reads headers only.
    ///
    /// # Errors
    /// It was made from another model or by other numerics, or is not whole.
    pub fn open(path: &Path, files: &ModelFiles, source: Fingerprint, kind: Kind) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let remark = |name: &str| file.metadata(name).unwrap_or("nothing").to_owned();
        let refuse = |what: &str, expected: &str, found: &str| {
            Error::file(
                path,
                format!("a merged copy of another {what}: expected {expected}, found {found}"),
            )
        };
        for (what, name, expected) in [
            ("model", MERGED_SOURCE, source.to_string()),
            ("numerics", MERGED_NUMERICS, NUMERICS.to_string()),
        ] {
            let found = remark(name);
            if found != expected {
                return Err(refuse(what, &expected, &found));
            }
        }
        let set = TensorSet::new(vec![Arc::new(file)], Network::Dit)?;
        for name in files.dit.names().filter(|name| !name.contains('#')) {
            let (entry, path, raw) = set.find(name)?;
            let expected = (
                if keeps_float32(name) { super::at_least_float32(kind) } else { kind },
                files.dit.shape(name)?,
            );
            if (entry.kind, &*entry.shape) != expected {
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name: raw.to_owned(),
                    expected: format!("{expected:?}, as the model has it"),
                    found: format!("{:?}", (entry.kind, &entry.shape)),
                });
            }
        }
        Ok(Self { set: Arc::new(set), kind })
    }

    /// The tensors of the merged copy.
    pub fn set(&self) -> &Arc<TensorSet> {
        &self.set
    }

    /// The kind that its matrices are stored in.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
