//! Files as the system knows them: whose they are, and what it says of temporary ones.

use std::fs::Metadata;
use std::io;

/// Whether a file is one's own. Where files have no owners, every file is.
#[must_use]
pub fn is_own(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return owner(metadata) == own_uid();
    #[cfg(not(unix))]
    {
        let _ = metadata;
        true
    }
}

/// The number of the user that a file belongs to; 0 where files have no owners.
#[must_use]
pub fn owner(metadata: &Metadata) -> u32 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::uid(metadata);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        0
    }
}

/// The user that this process acts for; 0 where users have no numbers.
#[must_use]
pub fn own_uid() -> u32 {
    #[cfg(unix)]
    return rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    0
}

/// The same error without the path that the crate for temporary files adds to it: whoever reads it
/// wants to know what the system said, and the name of the file that was meant.
#[must_use]
pub fn without_temporary_name(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    let number = text
        .rsplit_once("(os error ")
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(number, _)| number.parse().ok());
    match (number, text.split_once(" at path \"")) {
        (Some(number), _) => io::Error::from_raw_os_error(number),
        (None, Some((said, _))) => io::Error::new(error.kind(), said.to_owned()),
        (None, None) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_temporary_file_does_not_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = tempfile::Builder::new().prefix(".secret-").tempfile_in(&missing).unwrap_err();
        assert!(error.to_string().contains(".secret-"), "{error}");
        let plain = without_temporary_name(error);
        assert_eq!(plain.kind(), io::ErrorKind::NotFound);
        assert!(!plain.to_string().contains("missing"), "{plain}");
        let other = io::Error::new(io::ErrorKind::InvalidData, "odd at path \"/a/.secret-1\"");
        assert_eq!(without_temporary_name(other).to_string(), "odd");
        assert_eq!(without_temporary_name(io::Error::other("plain")).to_string(), "plain");
    }
}
