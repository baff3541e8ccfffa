//! Files and folders of a store: making them, reading at a position, moving damaged ones away.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::error::{Aside, Damage, StoreError};

/// How the name of everything that is being written begins.
pub(super) const UNFINISHED: &str = ".wan-alpha-";

/// What the name of a damaged file has been given.
pub(super) const DAMAGED: &str = ".damaged-";

/// Makes a folder and those above it, for its owner alone; below a set-gid folder, for its group
/// too, as far as that folder is.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {
            return Ok(());
        }
        made => made?,
    }
    match group_bits(parent.unwrap_or(Path::new("."))) {
        0 => Ok(()),
        bits => set_mode(folder, 0o2700 | bits),
    }
}

/// A file that is removed again unless it is kept. Readable as `make` says of folders.
pub(super) fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    let file = Builder::new().prefix(UNFINISHED).suffix(".tmp").tempfile_in(folder)?;
    let group = group_bits(folder) & 0o060;
    if group != 0 {
        set_mode(file.path(), 0o600 | group)?;
    }
    Ok(file)
}

/// Makes a folder and a file in it: the only sure way to know that one can.
pub(super) fn make_with_unfinished(folder: &Path) -> Result<NamedTempFile, StoreError> {
    make(folder).map_err(StoreError::io("make the folder", folder))?;
    unfinished(folder).map_err(StoreError::io("write to", folder))
}

/// Sees to it that a new name in a folder survives a power cut, where that can be asked for.
pub(super) fn sync(folder: &Path) {
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// The group's permissions in a set-gid folder; 0 in any other.
#[cfg(unix)]
fn group_bits(folder: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(folder).map_or(0, |metadata| metadata.mode());
    if mode & 0o2000 == 0 { 0 } else { mode & 0o070 }
}

#[cfg(not(unix))]
fn group_bits(_: &Path) -> u32 {
    0
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Fills `bytes` from a position, whatever other threads read.
#[cfg(unix)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Fills `bytes` from a position, whatever other threads read.
#[cfg(windows)]
pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        at += read as u64;
    }
    Ok(())
}

/// Whether a file is one's own. Where files have no owners, every file is.
pub(super) fn is_own(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::uid(metadata) == own_uid();
    #[cfg(not(unix))]
    {
        let _ = metadata;
        true
    }
}

/// The user that this process acts for; 0 where users have no numbers.
pub(super) fn own_uid() -> u32 {
    #[cfg(unix)]
    return rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    0
}

/// What tells a file from every other, as long as both exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    place: [u64; 2],
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            [metadata.dev(), metadata.ino()]
        };
        #[cfg(not(unix))]
        let place = [0; 2];
        Self { place, length: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Whether both are one file, even if it has been written to meanwhile.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        if cfg!(unix) { self.place == other.place } else { self == other }
    }
}

/// Whether `path` still leads to the open `file`.
pub(super) fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let (there, open) = (fs::metadata(path)?, file.metadata()?);
    Ok(Identity::of(&there).is_same_file(&Identity::of(&open)))
}

/// Gives `path` another name, if it still leads to `file`; `None` if it does not. Of several that
/// try, one succeeds.
///
/// The name is checked before and after, because in between another may have moved the file away
/// and a third may have published a good one: that one is put back.
pub(super) fn move_away(path: &Path, file: &File, mark: &str) -> io::Result<Option<PathBuf>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    match leads_to(path, file) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return gone(error),
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A file of a name that nobody has; renaming replaces it.
    let place = Builder::new().prefix(&format!("{name}{mark}")).tempfile_in(folder)?;
    if let Err(error) = fs::rename(path, place.path()) {
        return gone(error);
    }
    let (_, moved) = place.keep().map_err(|error| error.error)?;
    if leads_to(&moved, file)? {
        return Ok(Some(moved));
    }
    let back = fs::hard_link(&moved, path);
    if back.is_ok() || path.exists() {
        fs::remove_file(&moved)?;
    }
    Ok(None)
}

/// Sets a damaged take aside, and reports it.
pub(super) fn set_aside(path: &Path, file: &File, damage: Damage) -> StoreError {
    let aside = match move_away(path, file, DAMAGED) {
        Ok(Some(moved)) => Aside::Moved(moved),
        Ok(None) => Aside::Gone,
        Err(error) => Aside::Stays(error.to_string()),
    };
    StoreError::Damaged { path: path.to_owned(), damage, aside }
}
