//! The library that signs files and checks signatures: asked for by few, and looked for when somebody signs.

use std::path::PathBuf;

use super::DoctorFinding;
use crate::media::signature::library_in_words;

const ABOUT: &str = "signatures";

/// `libraries`: where it may be. Where there is none, nothing else is missing.
pub(super) fn look(libraries: &[PathBuf]) -> DoctorFinding {
    match library_in_words(libraries) {
        Ok(words) => DoctorFinding::ok(ABOUT, format!("made and checked by {words}")),
        Err(error) if libraries.is_empty() => {
            DoctorFinding::ok(ABOUT, format!("none are made or checked here: {error}"))
        }
        Err(error) => DoctorFinding::fault(
            ABOUT,
            format!("none are made or checked here: {error}"),
            "correct WAN_ALPHA_C2PA, or unset it; where it is not set, bring the library again",
        ),
    }
}
