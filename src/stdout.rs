//! Results go to stdout, and only they; whoever reads them may stop at any time.

use std::io::{Write, stdout};

/// Prints lines. A closed pipe (`| head`) is no failure.
pub(crate) fn print_lines(lines: &[impl AsRef<str>]) {
    let mut out = stdout().lock();
    for line in lines {
        if writeln!(out, "{}", line.as_ref()).is_err() {
            return;
        }
    }
    // As above.
    let _ = out.flush();
}
