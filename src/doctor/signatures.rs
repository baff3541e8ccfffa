//! The library that signs files and checks signatures: asked for by few, and looked for when somebody signs.

use std::path::PathBuf;

use super::DoctorFinding;
use crate::media::signature::library_in_words;

const ABOUT: &str = "signatures";

/// `libraries`: where it may be. Where there is none, or it asks for a newer system, nothing else is missing.
pub(super) fn look(libraries: &[PathBuf]) -> DoctorFinding {
    const NAMED: &str = "WAN_ALPHA_C2PA";
    let is_named = std::env::var_os(NAMED).is_some_and(|name| !name.is_empty());
    match library_in_words(libraries) {
        Ok(words) => DoctorFinding::ok(ABOUT, format!("made and checked by {words}")),
        Err(error) => {
            let says = format!("none are made or checked here: {error}");
            match (is_named, libraries) {
                (true, _) => {
                    DoctorFinding::fault(ABOUT, says, format!("correct {NAMED}, or unset it"))
                }
                (false, []) => DoctorFinding::ok(ABOUT, says),
                (false, _) => {
                    let remedy = "nothing, where files are neither signed nor inspected";
                    DoctorFinding::attention(ABOUT, says, remedy)
                }
            }
        }
    }
}
