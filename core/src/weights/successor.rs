//! Checkpoints of the authors' successor of Wan-Alpha, Wan-Alpha++ (October 2026), by their names: there is
//! to be one of *normal* and one of *effect* RGBA video.
//!
//! Their form is not known: neither files nor keys could be seen. So a name says what a file is for, and
//! never what is done with it: that follows from its keys, and what is not understood of them is refused
//! ([`super::image_parts`]).

use std::fmt::{self, Display};
use std::path::Path;

/// What a checkpoint of the successor draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuccessorCheckpoint {
    /// Normal RGBA video: a subject of its own.
    Normal,
    /// RGBA effects to lay over others.
    Effect,
}

impl Display for SuccessorCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Wan-Alpha++'s checkpoint of normal RGBA video",
            Self::Effect => "Wan-Alpha++'s checkpoint of effect RGBA video",
        })
    }
}

impl SuccessorCheckpoint {
    /// What the name of a file says, or else that of its folder: one of `alpha` or `rgba` with the word
    /// `normal` or `effect`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let named = |path: &Path| Self::named(&path.file_name()?.to_string_lossy());
        named(path).or_else(|| named(path.parent()?))
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
        let is_of_alpha = name.contains("alpha") || name.contains("rgba");
        words.find_map(|word| match word {
            "normal" if is_of_alpha => Some(Self::Normal),
            "effect" | "effects" if is_of_alpha => Some(Self::Effect),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_known_by_name_and_nothing_else_is() {
        for (path, expected) in [
            ("/m/Wan-Alpha-I2V/normal_rgba.safetensors", Some(SuccessorCheckpoint::Normal)),
            ("/m/wan_alpha_effect.safetensors", Some(SuccessorCheckpoint::Effect)),
            ("/m/Wan-Alpha-Effects/dora.safetensors", Some(SuccessorCheckpoint::Effect)),
            ("/m/wan-alpha-normal/model.safetensors", Some(SuccessorCheckpoint::Normal)),
            ("/m/normal/model.safetensors", None),
            ("/m/wan-alpha-dora.safetensors", None),
            ("/m/alphanormal.safetensors", None),
            ("normal-maps.safetensors", None),
        ] {
            assert_eq!(SuccessorCheckpoint::of(Path::new(path)), expected, "{path}");
        }
        assert_ne!(
            SuccessorCheckpoint::Normal.to_string(),
            SuccessorCheckpoint::Effect.to_string()
        );
    }
}
