//! Files and folders of a store: making them, reading at a position, moving damaged ones away.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::access::{FolderAccess, set_mode};
use super::error::{Aside, Damage, StoreError};
use crate::user_files::without_temporary_name;

/// How the name of everything that is being written begins.
pub(super) const UNFINISHED: &str = ".wan-alpha-";

/// What the name of a damaged file has been given.
pub(super) const DAMAGED: &str = ".damaged-";

/// Makes a folder and those above it: for its owner alone; below a set-gid folder, for its group too, as
/// far as that folder is.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make(parent)?;
    }
    if !make_with_mode(folder, 0o700)? {
        return Ok(());
    }
    match FolderAccess::of(parent.unwrap_or(Path::new("."))) {
        Ok(above) if above.is_set_gid() => {
            set_mode(&File::open(folder)?, 0o2700 | (above.mode & 0o070))
        }
        _ => Ok(()),
    }
}

/// Makes a folder and those above it for everybody to pass.
pub(super) fn make_for_all(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_for_all(parent)?;
    }
    if make_with_mode(folder, 0o755)? {
        // Whatever the umask says.
        set_mode(&File::open(folder)?, 0o755)?;
    }
    Ok(())
}

/// Whether the folder has been made: false where another has made it.
fn make_with_mode(folder: &Path, mode: u32) -> io::Result<bool> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        made => made.map(|()| true),
    }
}

/// A file that is removed again unless it is kept, open to those whom the folder is for.
pub(super) fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    let file = Builder::new().prefix(UNFINISHED).suffix(".tmp").tempfile_in(folder);
    let file = file.map_err(without_temporary_name)?;
    if let Ok(access) = FolderAccess::of(folder) {
        access.open_up(file.as_file())?;
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

/// What a file of the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody wants what is in it: trimming takes what was unused for longest.
    Use,
    /// Its time of last use stays as it is.
    Look,
}

/// Opens a file to be read.
pub(super) fn open_for(purpose: Purpose, path: &Path) -> io::Result<File> {
    match purpose {
        Purpose::Use => File::open(path),
        Purpose::Look => open_to_look(path),
    }
}

/// Opens a file so that reading it leaves its time of last use alone, which the system would move where
/// it is a day old or more.
#[cfg(target_os = "linux")]
fn open_to_look(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOATIME.bits().cast_signed();
    match File::options().read(true).custom_flags(flags).open(path) {
        // Only a file's owner may ask for that.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

/// Opens a file to be read: here the system cannot be asked to leave its time of last use alone.
#[cfg(not(target_os = "linux"))]
fn open_to_look(path: &Path) -> io::Result<File> {
    File::open(path)
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
    let place = Builder::new().prefix(&format!("{name}{mark}")).tempfile_in(folder);
    let place = place.map_err(without_temporary_name)?;
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
