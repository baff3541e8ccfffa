//! What can be wrong with a model's name or record.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::user_files::without_temporary_name;

/// Why a model is not to be had by name.
#[derive(Debug, Error)]
pub enum ModelError {
    /// What was given cannot be a name.
    #[error(
        "`{found}` is not a model's name or a LoRA's: expected 1 to 100 bytes of letters, digits and \
         - _ . +, not beginning with a dot; use such a name, as `wan-alpha model list` has them"
    )]
    Name {
        /// What was given as a name.
        found: String,
    },
    /// The name that means whatever there is.
    #[error("`auto` is not a name: it means the newest model; use another one")]
    Reserved,
    /// A model is to have the name of a LoRA.
    #[error(
        "`{0}` is the name of a LoRA: take another name for the model, or forget the LoRA with \
         `wan-alpha model remove --lora {0}`"
    )]
    NameOfLora(String),
    /// A LoRA is to have the name of a model.
    #[error(
        "`{0}` is the name of a model: take another name for the LoRA; `wan-alpha model list` has those \
         there are"
    )]
    NameOfModel(String),
    /// There is nowhere to record models.
    #[error("there is no model root; set WAN_ALPHA_MODELS")]
    NoRoot,
    /// No model of that name.
    #[error(
        "no model `{name}` (models known: {}) in {}; add one with `wan-alpha model add NAME PATH…`",
        names(known),
        paths(searched)
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// No LoRA of that name.
    #[error(
        "no LoRA `{name}` (LoRAs known: {}) in {}; add it with `wan-alpha model add --lora NAME FILE`",
        names(known),
        paths(searched)
    )]
    UnknownLora {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// Its file is no longer the one that was added.
    #[error("LoRA `{name}`: {change}; run `wan-alpha model add --lora {name} FILE` again")]
    LoraChanged {
        /// The name of the LoRA.
        name: String,
        /// What became of the file.
        change: String,
    },
    /// It is the program's own, and was not added.
    #[error("the model `{0}` comes along with the program, and stays")]
    ComesAlong(String),
    /// Its files are no longer those that were added.
    #[error("model `{name}`: {change}; run `wan-alpha model add {name}` with its files again")]
    Changed {
        /// The name of the model.
        name: String,
        /// Which file, and what of it.
        change: String,
    },
    /// The files of a folder with a record are no longer those that it was written for.
    #[error(
        "{change}; copy the folder {} again from where it is whole, or remove {} to have the files \
         there taken as they are",
        folder.display(),
        record.display()
    )]
    FolderChanged {
        /// The folder of the model.
        folder: PathBuf,
        /// The path of its record.
        record: PathBuf,
        /// Which file, and what of it.
        change: String,
    },
    /// A record is damaged.
    #[error("{}: not a model's record: {reason}; add the model again", path.display())]
    Record {
        /// The path of the record.
        path: PathBuf,
        /// What the JSON reader says.
        reason: serde_json::Error,
    },
    /// A record was written by a newer program.
    #[error(
        "{}: a record of version {found}, expected {expected}; another release of wan-alpha wrote \
         it, add the model again with this one",
        path.display()
    )]
    Version {
        /// The path of the record.
        path: PathBuf,
        /// The version of its form.
        found: u32,
        /// The version that this program reads.
        expected: u32,
    },
    /// The disk does not answer.
    #[error("cannot {action} {}: {reason}; see to the folder", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why the system refused.
        reason: io::Error,
    },
}

impl ModelError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, reason: without_temporary_name(source) }
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
