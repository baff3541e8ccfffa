//! How much room there is where a path lies, for who is not the system's administrator.

use std::io;
use std::path::Path;

/// Bytes that may still be written to the file system of `path`.
///
/// # Errors
/// The path does not exist, or its file system does not tell.
pub fn available(path: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(windows)]
    fs4::available_space(path)
}

/// Bytes of the whole file system of `path`.
///
/// # Errors
/// As [`available`].
pub fn total(path: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_blocks.saturating_mul(found.f_frsize))
    }
    #[cfg(windows)]
    fs4::total_space(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_what_there_is_may_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (free, whole) = (available(folder.path()).unwrap(), total(folder.path()).unwrap());
        assert!(0 < free && free <= whole, "{free} of {whole}");
        assert!(available(&folder.path().join("none")).is_err());
    }
}
