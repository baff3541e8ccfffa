//! Results go to stdout, and only they; whoever reads them may stop at any time.

use std::io::{Error, ErrorKind, Write, stdout};

use anyhow::{Result, anyhow};

/// Prints lines. A closed pipe (`| head`) is no failure; a disk that is full is.
///
/// # Errors
/// What is printed cannot be written, whole, to where it goes.
pub(crate) fn print_lines(lines: &[impl AsRef<str>]) -> Result<()> {
    let mut out = stdout().lock();
    let mut print = || {
        lines.iter().try_for_each(|line| writeln!(out, "{}", line.as_ref()))?;
        out.flush()
    };
    heard(print())
}

/// What became of something that was printed.
///
/// # Errors
/// As [`print_lines`].
pub(crate) fn heard(printed: Result<(), Error>) -> Result<()> {
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow!(
            "cannot write to the standard output: {error}; send it where there is room, and run again"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_is_no_failure_and_a_full_disk_is() {
        assert!(heard(Ok(())).is_ok());
        assert!(heard(Err(ErrorKind::BrokenPipe.into())).is_ok());
        let text = heard(Err(ErrorKind::StorageFull.into())).unwrap_err().to_string();
        assert!(text.contains("standard output"), "{text}");
    }
}
