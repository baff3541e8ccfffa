//! What can go wrong with pictures.

use std::path::PathBuf;

/// The result of what reads and writes pictures.
pub(crate) type Result<T, E = MediaError> = std::result::Result<T, E>;

/// Why pictures cannot be read or written, in words that name the file and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    /// Pictures that a person gave cannot be used: not there, damaged, or not alike.
    #[error(transparent)]
    Unreadable(anyhow::Error),

    /// A picture cannot be made into the bytes of a file.
    #[error(transparent)]
    Unencodable(anyhow::Error),

    /// A file cannot be written.
    #[error("cannot write {}: {reason}; {remedy}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// What a person can do about it.
        remedy: &'static str,
    },
}

impl MediaError {
    /// Whether what a person gave is at fault.
    pub(crate) const fn is_bad_input(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }
}
