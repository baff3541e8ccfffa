//! Files that appear whole or not at all, and what to tell a person when one cannot be written.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile, TempDir};
use wan_alpha_take::user_files::{is_own, without_temporary_name};

use super::error::MediaError;

/// How every temporary file of ours begins. Hidden, so that no reader of a sequence takes one for
/// a frame; unmistakable, so that the leftovers of a killed run can be removed.
const UNFINISHED: &str = ".wan-alpha-";

/// What is unfinished has been written to within this time, or is locked, or its writer is dead.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Writes `bytes` to `path`, replacing what is there: into a hidden file in the same folder,
/// through to the disk, then renamed. Whatever goes wrong, no partial file is left.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), MediaError> {
    refuse_special(path)?;
    let attempt = || -> Result<(), Error> {
        let mut file = unfinished_file(folder_of(path))?;
        file.as_file_mut().write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    attempt().map_err(|error| explain_write(path, &error))
}

/// Of a bare file name, the folder we are in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Tries whether files can be made in a folder at all, before hours of work depend on it.
pub(crate) fn probe(folder: &Path) -> Result<(), MediaError> {
    let attempt = || unfinished_file(folder)?.as_file_mut().write_all(b"wan-alpha");
    attempt().map_err(|error| explain_write(folder, &error))
}

/// Writes a file that is soon written again: whole or not at all to whoever reads it, but no longer there for
/// sure after the machine has gone down, for which a disk would have to be waited for.
pub(crate) fn write_passing(path: &Path, bytes: &[u8]) -> Result<(), MediaError> {
    refuse_special(path)?;
    let attempt = || -> Result<(), Error> {
        let mut file = unfinished_file(folder_of(path))?;
        file.as_file_mut().write_all(bytes)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    attempt().map_err(|error| explain_write(path, &error))
}

/// The same of one file that is to be written or replaced.
pub(crate) fn probe_file(path: &Path) -> Result<(), MediaError> {
    refuse_special(path)?;
    let attempt = || unfinished_file(folder_of(path))?.as_file_mut().write_all(b"wan-alpha");
    attempt().map_err(|error| explain_write(path, &error))
}

/// A file that will be `path` once it is whole, begun before hours of work depend on it.
///
/// # Errors
/// In words: why it cannot be written, and what to do.
pub(crate) fn begin(path: &Path) -> Result<NamedTempFile, String> {
    let explained = |error: MediaError| match error {
        MediaError::Unwritable { reason, remedy, .. } => format!("{reason}; {remedy}"),
        other => other.to_string(),
    };
    refuse_special(path).map_err(explained)?;
    let folder = folder_of(path);
    if !folder.exists() {
        let folder = folder.display();
        return Err(format!("there is no folder {folder}; make it first, or choose another place"));
    }
    sweep(folder);
    unfinished_file(folder).map_err(|error| explained(explain_write(path, &error)))
}

/// A rename replaces whatever is there, a device like any other name.
fn refuse_special(path: &Path) -> Result<(), MediaError> {
    if path.metadata().map_or(true, |about| about.is_file()) {
        return Ok(());
    }
    Err(MediaError::Unwritable {
        path: path.to_owned(),
        reason: "it is a folder, a device or a pipe, not a file".to_owned(),
        remedy: "choose another name",
    })
}

/// A file without its name so far; it goes if it never gets one. Locked as long as it is open, where
/// the file system knows locks: who finds it unlocked knows that its writer is dead.
pub(crate) fn unfinished_file(folder: &Path) -> Result<NamedTempFile, Error> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    if let Some(permissions) = shared() {
        builder.permissions(permissions);
    }
    let file = builder.tempfile_in(folder).map_err(without_temporary_name)?;
    #[cfg(unix)]
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// A folder without its name so far; it goes if it never gets one.
pub(crate) fn unfinished_folder(folder: &Path) -> Result<TempDir, Error> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    if let Some(permissions) = shared_folder() {
        builder.permissions(permissions);
    }
    builder.tempdir_in(folder).map_err(without_temporary_name)
}

/// Removes from a folder what killed runs of this user have left unfinished there: nobody holds it, and it
/// has not been touched for an hour.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, about) = (entry.path(), entry.metadata());
        let ours = entry.file_name().to_str().is_some_and(is_unfinished);
        let Some(about) = about.ok().filter(|about| ours && is_own(about)) else { continue };
        if !is_old(&about) {
            continue;
        }
        // It stays where it cannot be removed, which harms nobody.
        let _ = if about.is_dir() { fs::remove_dir_all(&path) } else { remove_abandoned(&path) };
    }
}

/// Whether a name is that of something unfinished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED) && name.ends_with(".tmp")
}

/// Removes an unfinished file whose writer is dead; that of a living one stays.
pub(crate) fn remove_abandoned(path: &Path) -> Result<(), Error> {
    let file = File::options().read(true).write(true).open(path)?;
    let dead = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => is_old(&file.metadata()?),
    };
    if dead { fs::remove_file(path) } else { Ok(()) }
}

fn is_old(about: &Metadata) -> bool {
    let age = about.modified().ok().and_then(|touched| touched.elapsed().ok());
    age.is_some_and(|age| age > ABANDONED)
}

/// Temporary files are made for their owner alone; a take is for the whole studio, as far as the
/// user's umask says so.
#[cfg(unix)]
fn shared() -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

#[cfg(unix)]
fn shared_folder() -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o777))
}

#[cfg(not(unix))]
fn shared_folder() -> Option<Permissions> {
    None
}

#[cfg(not(unix))]
fn shared() -> Option<Permissions> {
    None
}

/// Why a file could not be written, in words that a person can act on.
pub(crate) fn explain_write(path: &Path, error: &Error) -> MediaError {
    let remedy = match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free space there or choose another place",
        ErrorKind::QuotaExceeded => {
            "your disk quota is used up: free space or choose another place"
        }
        ErrorKind::FileTooLarge => {
            "the file would pass the size limit set for this process (ulimit -f) or its file \
             system: raise the limit or choose another place"
        }
        ErrorKind::PermissionDenied => {
            "you may not write there: change the folder's permissions or choose another place"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only: choose another place"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a part of this path is a file, not a folder: choose another place"
        }
        ErrorKind::NotFound => {
            "there is no such folder, and none can be made there: choose another place"
        }
        ErrorKind::InvalidFilename => "the file system does not take this name",
        _ => "check the disk and the folder, or choose another place",
    };
    MediaError::Unwritable { path: path.to_owned(), reason: error.to_string(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn replaces_what_is_there_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_far_as_the_umask_says() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ordinary = folder.path().join("ordinary");
        fs::write(&ordinary, b"x").unwrap();
        let ours = folder.path().join("ours");
        write_whole(&ours, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&ordinary));
    }

    #[test]
    fn a_failed_rename_leaves_no_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        // A folder stands where the file should go.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let text = write_whole(&path, b"x").unwrap_err().to_string();
        assert!(text.contains("taken"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_run_left_goes_once_it_is_old_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(7200);
        let age = |path: &Path| File::open(path).unwrap().set_modified(old).unwrap();
        let held = unfinished_file(folder.path()).unwrap();
        age(held.path());
        let [left, fresh, foreign] = [".wan-alpha-a.tmp", ".wan-alpha-b.tmp", ".other.tmp"]
            .map(|name| folder.path().join(name));
        for path in [&left, &fresh, &foreign] {
            fs::write(path, "x").unwrap();
        }
        [&left, &foreign].into_iter().for_each(|path| age(path));
        let clip = folder.path().join(".wan-alpha-clip.tmp");
        fs::create_dir(&clip).unwrap();
        fs::write(clip.join("rgba.0000.png"), "x").unwrap();
        age(&clip);
        sweep(folder.path());
        assert!(!left.exists() && !clip.exists());
        assert!(held.path().exists() && fresh.exists() && foreign.exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_device_is_never_replaced() {
        let text = write_whole(Path::new("/dev/null"), b"x").unwrap_err().to_string();
        assert!(text.contains("cannot write /dev/null") && text.contains("device"), "{text}");
    }

    #[test]
    fn errors_name_path_cause_and_remedy() {
        let gone = Path::new("no/such/folder/a.exr");
        let text = write_whole(gone, b"x").unwrap_err().to_string();
        assert!(text.contains("cannot write no/such/folder/a.exr"), "{text}");
        assert!(text.contains("there is no such folder"), "{text}");
        assert!(!text.contains(UNFINISHED), "{text}");
        for (kind, words) in [
            (ErrorKind::StorageFull, "disk is full"),
            (ErrorKind::FileTooLarge, "ulimit -f"),
            (ErrorKind::PermissionDenied, "permissions"),
        ] {
            let text = explain_write(Path::new("x"), &kind.into()).to_string();
            assert!(text.contains(words), "{text}");
        }
    }
}
