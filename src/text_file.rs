//! Text files that the user names, such as `@prompt.txt`: they may be pipes, `@<(…)`, which a program
//! waits at until somebody writes, and Ctrl-C must end that.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Result;
use wan_alpha_core::Watch;

use crate::stoppable;

/// The bytes of a file or a pipe, or why they cannot be read.
///
/// # Errors
/// `watch` says to stop.
pub(crate) fn read(path: &Path, watch: &dyn Watch) -> Result<io::Result<Vec<u8>>> {
    if path.metadata().map_or(true, |about| about.is_file() || about.is_dir()) {
        return Ok(fs::read(path));
    }
    let pipe = path.to_owned();
    // Opening a pipe blocks, and no signal ends that.
    stoppable::run(&format!("waiting for {}", path.display()), watch, move || fs::read(pipe))
}

/// The same as UTF-8 text.
///
/// # Errors
/// As [`read`]; within, the file cannot be read or is no text.
pub(crate) fn read_text(path: &Path, watch: &dyn Watch) -> Result<io::Result<String>> {
    let text = |bytes| {
        String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
    };
    Ok(read(path, watch)?.and_then(text))
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use wan_alpha_core::Unwatched;

    use super::*;

    #[test]
    fn a_pipe_is_read_as_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writing = pipe.clone();
        let writer = std::thread::spawn(move || fs::write(&writing, "a ball").unwrap());
        assert_eq!(read_text(&pipe, &Unwatched).unwrap().unwrap(), "a ball");
        writer.join().unwrap();
        assert!(read(folder.path(), &Unwatched).unwrap().is_err());
        assert!(read(&folder.path().join("none"), &Unwatched).unwrap().is_err());
    }
}
