//! Where takes are kept: a list of folders, one file per take, written once and never changed.
//!
//! - [`Store::find`] looks a take up; [`Take::frame`] reads a frame of it and proves it whole.
//!   [`Store::look_at`] does so without its being used.
//! - [`Store::create`] begins a take; [`TakeWriter::publish`] makes it appear, whole, at once.
//! - [`Store::image`] and [`Store::keep_image`] are for what takes begin and end with.
//! - [`Store::claim`] keeps two machines from making the same take at the same time.
//! - [`Store::list`], [`Store::trim`], [`Store::remove`], [`Store::places`] are for housekeeping;
//!   [`Store::share`] prepares a folder for others.
//!
//! All folders are read, in order; the first one that can be written is published to. In a folder,
//! `KEY.take` is a take (`header` has its form), `KEY.claim` says who is making it, `HASH.image` is an image
//! that takes begin or end with, what begins with `.wan-alpha-` is being written, and `….damaged-…` was set aside. A later form of file gets
//! another extension, so that programs of two versions can share a folder.
//!
//! Invariants:
//! - A take appears whole or not at all, and the first publisher wins (`writer` tests).
//! - What does not match its checksums is never shown: it is set aside, or ignored and reported
//!   where that is impossible (`corruption_tests`).
//! - Only one's own files are removed, and never a take in use (`housekeeping` tests).
//! - Whom a folder's mode lets in can read what is put into it (`sharing` tests).
//! - Only hexadecimal keys become file names; nothing from a request does.

mod access;
mod cache;
mod claim;
mod error;
mod folder;
mod header;
mod housekeeping;
mod image;
mod sharing;
mod take;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::access::FolderAccess;
use self::cache::FrameCache;
pub use self::claim::{Claim, ClaimHolder, Claimant, Claiming};
pub use self::error::{Damage, StoreError};
use self::folder::Purpose;
pub use self::header::{Computed, Description, TakeOutcome};
pub use self::housekeeping::{Listing, OthersTakes, Place, TakeInfo, Trimmed};
pub use self::image::FoundImage;
pub use self::sharing::{DefaultAcl, Share, SharedFolder, barred};
pub use self::take::{Frame, Take};
pub use self::writer::{Published, TakeWriter};
use crate::key::TakeKey;

/// Folders of takes, and a cache of the frames last read from them. Making one touches no file;
/// clones share the cache.
#[derive(Clone, Debug)]
pub struct Store {
    folders: Arc<[PathBuf]>,
    cache: Arc<FrameCache>,
}

/// What a look-up brought to light.
#[derive(Debug)]
pub struct Found {
    /// The take, if one of the folders has it.
    pub take: Option<Take>,
    /// What stood in the way: damaged files, folders that cannot be read.
    pub problems: Vec<StoreError>,
}

impl Store {
    /// Memory for frames that have been verified.
    pub const CACHE_BYTES: usize = 128 << 20;

    /// A store in `folders`, which need not exist yet.
    #[must_use]
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::with_cache(folders, Self::CACHE_BYTES)
    }

    /// The same with another amount of memory for frames.
    #[must_use]
    pub fn with_cache(folders: impl IntoIterator<Item = PathBuf>, bytes: usize) -> Self {
        Self { folders: folders.into_iter().collect(), cache: Arc::new(FrameCache::new(bytes)) }
    }

    /// The folders, in the order in which they are searched.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Looks for a take in every folder, until one has it whole. Damaged files on the way are set
    /// aside where that is possible; frames are verified as they are read. The take counts as used now.
    #[must_use]
    pub fn find(&self, key: &TakeKey) -> Found {
        self.search(key, Purpose::Use)
    }

    /// The same for who only looks, at one take or at all: when the take was last used, by which
    /// [`Store::trim`] goes, stays as it is. Of others' files, the system may note it all the same.
    #[must_use]
    pub fn look_at(&self, key: &TakeKey) -> Found {
        self.search(key, Purpose::Look)
    }

    fn search(&self, key: &TakeKey, purpose: Purpose) -> Found {
        let mut problems = Vec::new();
        for folder in self.folders.iter() {
            match Take::open(&take_path(folder, key), Some(key), &self.cache, purpose) {
                Ok(Some(take)) => return Found { take: Some(take), problems },
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        Found { take: None, problems }
    }

    /// Opens the file of a take to use it; `None` if there is none.
    fn open(&self, path: &Path, key: &TakeKey) -> Result<Option<Take>, StoreError> {
        Take::open(path, Some(key), &self.cache, Purpose::Use)
    }
}

fn take_path(folder: &Path, key: &TakeKey) -> PathBuf {
    folder.join(format!("{key}.{TAKE}"))
}

/// Extension of a take.
const TAKE: &str = "take";

/// Extension of a claim.
const CLAIM: &str = "claim";

#[cfg(test)]
mod corruption_tests;
#[cfg(test)]
mod test_takes;
