//! How a command that fails says so: to people, and in one line to what watches a farm.

use crate::error_text;
use crate::exit::code_of;
use crate::progress::TerminalProgress;

/// What the last line of a failed task begins with, for rules on logs; the kind of problem follows.
const FAILED: &str = "WAN_ALPHA_FAILED";

/// Says what went wrong, as far as there is anywhere to say it; on a farm also in its last line, of which
/// rules can tell a busy card (`out-of-memory`, `gpu-fault`) from a bad shot.
pub(crate) fn tell(error: &anyhow::Error, progress: &TerminalProgress, is_on_farm: bool) {
    progress.done();
    let words = error_text::in_words(error);
    progress.note(format!("wan-alpha: {words}"));
    progress.fail(&words);
    if is_on_farm {
        progress.note(last_line(&code_of(error)));
    }
}

/// What a farm reads at the end of a command that has failed with this code.
pub(crate) fn last_line(code: &str) -> String {
    format!("{FAILED} {code}")
}
