//! The bytes of an open file, and whether they are still those that it was opened with.
//!
//! They are read, not mapped: of a mapped file that somebody makes shorter, the system would end the
//! process. Who computes with them where they lie does so by a map that is guarded against it.
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

#[cfg(unix)]
use memmap2::{Advice, Mmap};

use crate::direct_read::{open_direct, read_exact_at, read_past_cache};
use crate::guarded_map::GuardedMap;
use crate::{Error, Result};

/// What tells that a file is still the one that was opened, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Device and number on it; nothing where the system does not tell.
    place: Option<(u64, u64)>,
}

impl FileStamp {
    /// Of the file that a path leads to now.
    pub(super) fn at(path: &Path) -> Result<Self> {
        std::fs::metadata(path).map(|found| Self::of(&found)).map_err(Error::io("open", path))
    }

    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            Some((found.dev(), found.ino()))
        };
        #[cfg(not(unix))]
        let place = None;
        Self { bytes: found.len(), modified: found.modified().ok(), place }
    }

    /// Device and number on it, which two paths of one file share.
    pub(super) fn place(&self) -> Option<(u64, u64)> {
        self.place
    }
}

/// Where a file is no longer what a model was opened with.
pub(super) fn changed(path: &Path) -> Error {
    Error::file(
        path,
        "has changed since the model was opened, so that what is read now would not be of the model \
         that was asked for; let whatever writes to it finish, then open or add the model anew",
    )
}

/// An open file and its bytes.
#[derive(Debug)]
pub(super) struct FileBytes {
    path: PathBuf,
    file: File,
    stamp: FileStamp,
    /// The same file for reading past the system's cache, once that is wanted; nothing where it cannot be.
    direct: OnceLock<Option<File>>,
    /// The file as memory, once that is wanted; nothing where there is no such map of it.
    mapped: OnceLock<Option<GuardedMap>>,
    /// Tells the system what will be read, and is never read itself.
    #[cfg(unix)]
    advice: Option<Mmap>,
}

impl FileBytes {
    pub(super) fn open(path: &Path) -> Result<Self> {
        // A pipe that nobody writes to would be waited for.
        if path.metadata().is_ok_and(|about| !about.is_file()) {
            return Err(Error::file(path, "is not a regular file"));
        }
        let file = File::open(path).map_err(Error::io("open", path))?;
        let found = file.metadata().map_err(Error::io("open", path))?;
        if !found.is_file() {
            return Err(Error::file(path, "is not a regular file"));
        }
        // SAFETY: no byte of the map is ever looked at.
        #[cfg(unix)]
        let advice = unsafe { Mmap::map(&file) }.ok();
        Ok(Self {
            path: path.to_owned(),
            file,
            stamp: FileStamp::of(&found),
            direct: OnceLock::new(),
            mapped: OnceLock::new(),
            #[cfg(unix)]
            advice,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How long the file was when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.stamp.bytes
    }

    /// The file itself, for who reads a header.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Fills `into` with the bytes from `start` on.
    ///
    /// # Errors
    /// The file has changed since it was opened, or cannot be read.
    pub(super) fn read_into(&self, start: u64, into: &mut [u8]) -> Result<()> {
        let read = read_exact_at(&self.file, into, start);
        self.unchanged()?;
        read.map_err(Error::io("read", &self.path))
    }

    /// As [`FileBytes::read_into`], leaving nothing of it in the system's cache.
    ///
    /// # Errors
    /// As [`FileBytes::read_into`].
    pub(super) fn read_once(&self, start: u64, into: &mut [u8]) -> Result<()> {
        let direct = self.direct.get_or_init(|| {
            let file = open_direct(&self.path)?;
            let found = FileStamp::of(&file.metadata().ok()?);
            (found == self.stamp).then_some(file)
        });
        let read = read_past_cache(&self.file, direct.as_ref(), into, start);
        self.unchanged()?;
        read.map_err(Error::io("read", &self.path))
    }

    /// A copy of the bytes between two places.
    ///
    /// # Errors
    /// As [`FileBytes::read_into`]; also where memory runs out.
    pub(super) fn read(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let short = || Error::io("read", &self.path)(io::ErrorKind::OutOfMemory.into());
        let bytes = usize::try_from(end.saturating_sub(start)).map_err(|_| short())?;
        let mut read = Vec::new();
        read.try_reserve_exact(bytes).map_err(|_| short())?;
        read.resize(bytes, 0);
        self.read_into(start, &mut read)?;
        Ok(read)
    }

    /// The file as memory, where the system has it so. After what lies there was computed with,
    /// [`FileBytes::unchanged`] says whether that was the file's.
    pub(super) fn mapped(&self) -> Option<&GuardedMap> {
        self.mapped.get_or_init(|| GuardedMap::of(&self.file)).as_ref()
    }

    /// Whether the file is still what it was when it was opened, and no page of it was lost where it is
    /// mapped.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn unchanged(&self) -> Result<()> {
        let now = self.file.metadata().map_err(Error::io("read", &self.path))?;
        if FileStamp::of(&now) != self.stamp {
            return Err(changed(&self.path));
        }
        match self.mapped.get() {
            Some(Some(map)) if !map.is_whole() => Err(Error::file(
                &self.path,
                "could not be read while it was computed with: it was cut off for a while, or its disk has \
                 failed; look at the disk, then open or add the model anew",
            )),
            _ => Ok(()),
        }
    }

    /// Has the system read bytes, if they are not in memory, and does not wait for it longer than the
    /// system does.
    pub(super) fn read_ahead(&self, start: u64, end: u64) {
        #[cfg(unix)]
        if let Some(map) = &self.advice
            && let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end))
            && start < end
            && end <= map.len()
            && let Err(error) = map.advise_range(Advice::WillNeed, start, end - start)
        {
            log::debug!("{}: not read ahead: {error}", self.path.display());
        }
    }
}
