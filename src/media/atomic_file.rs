//! Files that appear whole or not at all, and what to tell a person when one cannot be written.

use std::fs::Permissions;
use std::io::{Error, ErrorKind, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

use super::error::MediaError;

/// How every temporary file of ours begins. Hidden, so that no reader of a sequence takes one for
/// a frame; unmistakable, so that the leftovers of a killed run can be removed.
pub(crate) const UNFINISHED: &str = ".wan-alpha-";

/// Writes `bytes` to `path`, replacing what is there: into a hidden file in the same folder,
/// through to the disk, then renamed. Whatever goes wrong, no partial file is left.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), MediaError> {
    let attempt = || -> Result<(), Error> {
        let mut file = unfinished_file(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    attempt().map_err(|error| explain_write(path, &error))
}

/// Of a bare file name, the folder we are in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Tries whether files can be made in a folder at all, before hours of work depend on it.
pub(crate) fn probe(folder: &Path) -> Result<(), MediaError> {
    let attempt = || unfinished_file(folder)?.write_all(b"wan-alpha");
    attempt().map_err(|error| explain_write(folder, &error))
}

/// A file without its name so far; it goes if it never gets one.
pub(crate) fn unfinished_file(folder: &Path) -> Result<NamedTempFile, Error> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    if let Some(permissions) = shared() {
        builder.permissions(permissions);
    }
    builder.tempfile_in(folder)
}

/// A folder without its name so far; it goes if it never gets one.
pub(crate) fn unfinished_folder(folder: &Path) -> Result<TempDir, Error> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    if let Some(permissions) = shared_folder() {
        builder.permissions(permissions);
    }
    builder.tempdir_in(folder)
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
        ErrorKind::StorageFull => "the disk is full: free space there or choose another --out",
        ErrorKind::QuotaExceeded => {
            "your disk quota is used up: free space or choose another --out"
        }
        ErrorKind::FileTooLarge => {
            "the file would pass the size limit set for this process (ulimit -f) or its file \
             system: raise the limit or choose another --out"
        }
        ErrorKind::PermissionDenied => {
            "you may not write there: change the folder's permissions or choose another --out"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only: choose another --out"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a part of this path is a file, not a folder: choose another --out"
        }
        ErrorKind::NotFound => {
            "the folder has gone, or none can be made there: choose another --out"
        }
        ErrorKind::InvalidFilename => "the file system does not take this name",
        _ => "check the disk and the folder, or choose another --out",
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

    #[test]
    fn errors_name_path_cause_and_remedy() {
        let gone = Path::new("no/such/folder/a.exr");
        let text = write_whole(gone, b"x").unwrap_err().to_string();
        assert!(text.contains("cannot write no/such/folder/a.exr"), "{text}");
        assert!(text.contains("the folder has gone"), "{text}");
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
