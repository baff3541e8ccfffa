//! What can go wrong, in words that name the file, tensor or parameter and say what to do.

mod advice;
mod libtorch;
mod weight_format;

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;
use wan_alpha_take::models::ModelError;
use wan_alpha_take::user_files::without_temporary_name;

use crate::stage::Stage;
use libtorch::{Failure, sentence, understand};
pub use libtorch::{Shortage, plain_words};
pub use weight_format::WeightFormat;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller should do about an [`Error`]; the command maps it to its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request, or a file named in it, is not what it should be.
    BadInput,
    /// Host or device memory ran out.
    OutOfMemory,
    /// The GPU has failed: nothing that this process asks of it will be done any more.
    DeviceLost,
    /// The model lacks a part that the task needs, or a file of it is damaged or is none of its.
    ModelIncomplete,
    /// The [`Watch`](crate::Watch) asked to stop.
    Cancelled,
    /// Anything else: an I/O failure, a failure inside libtorch.
    Failed,
}

impl ErrorKind {
    /// Of a name or record of a model.
    pub fn of_model(error: &ModelError) -> Self {
        match error {
            ModelError::Unknown { .. }
            | ModelError::UnknownLora { .. }
            | ModelError::Changed { .. }
            | ModelError::FolderChanged { .. }
            | ModelError::LoraChanged { .. } => Self::ModelIncomplete,
            ModelError::Io { reason, .. } => Self::of_io(reason),
            _ => Self::BadInput,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => Self::BadInput,
            _ => Self::Failed,
        }
    }
}

/// An error of the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "map".
        action: &'static str,
        /// The file that was to be opened, read or written.
        path: PathBuf,
        /// Why the system refused: told above, and so no source, which would be told again.
        reason: io::Error,
    },

    /// A file is damaged, or not of a kind that is understood.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file that is at fault.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },

    /// A tensor is not what the model needs.
    #[error("{}: tensor `{name}`: expected {expected}, found {found}", path.display())]
    Tensor {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name in that file.
        name: String,
        /// What the model needs.
        expected: String,
        /// What the file has.
        found: String,
    },

    /// A weight is stored in a way that would be noise if it were read as it lies there.
    #[error(transparent)]
    WeightFormat(#[from] WeightFormat),

    /// Several files claim to be the same part of a model.
    #[error(
        "{part}: {} candidates, and nothing says which is meant: {}. {}",
        candidates.len(),
        list(candidates),
        match alike {
            true => "They hold the same: move all but one away, or name one of them",
            false => "Name one of them, or move the others away",
        }
    )]
    Ambiguous {
        /// The part of the model.
        part: String,
        /// The files that could each be the part.
        candidates: Vec<PathBuf>,
        /// Whether they are copies of one file, as far as was looked.
        alike: bool,
    },

    /// Parts of the model were not found.
    #[error(
        "the model is incomplete: no {} in {}{}",
        missing.join(", no "),
        list(searched),
        passed_over.iter().map(|file| format!("; passed over: {file}")).collect::<String>()
    )]
    Incomplete {
        /// What is missing, and which file usually brings it.
        missing: Vec<String>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
        /// Files there that could not be read, and why.
        passed_over: Vec<String>,
    },

    /// A parameter of the request.
    #[error("{0}")]
    Input(String),

    /// A model is not to be had by its name.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// Memory of the device or of the machine ran out.
    #[error("{}; {}", self.what(), self.remedy().unwrap_or_default())]
    OutOfMemory {
        /// What was being done, where that is known.
        stage: Option<Stage>,
        /// Where memory ran out, and by how much.
        shortage: Shortage,
        /// What was asked for, as far as it bears on memory.
        asked: MemoryContext,
    },

    /// There is not enough memory for what was asked for, which was known before it was begun.
    #[error("{what}; {remedy}")]
    DoesNotFit {
        /// The stage that needs too much.
        stage: Stage,
        /// What it needs, and what there is.
        what: String,
        /// What fits, or what else helps.
        remedy: String,
    },

    /// A disk has no room for what is to be written there.
    #[error("{what}; {remedy}")]
    NoRoomOnDisk {
        /// What does not fit where, with the numbers.
        what: String,
        /// What helps.
        remedy: String,
    },

    /// The GPU has failed, and with it all that this process had on it.
    #[error("{}; {}", self.what(), self.remedy().unwrap_or_default())]
    DeviceLost {
        /// What was being done.
        doing: String,
        /// What libtorch said, the sentence that matters.
        detail: String,
    },

    /// The caller asked to stop.
    #[error("cancelled while {0}")]
    Cancelled(Stage),

    /// libtorch failed at something that is neither memory nor the GPU.
    #[error("libtorch failed{}: {detail}", while_doing(doing))]
    Torch {
        /// What was being done.
        doing: String,
        /// What libtorch said, the sentence that matters.
        detail: String,
    },

    /// A training run has left the finite numbers.
    #[error(
        "{what}: training has diverged and is stopped, nothing of this step has been kept. Go on \
         from the last checkpoint with a smaller rate, or with clipping"
    )]
    Diverged {
        /// Which loss or gradient.
        what: String,
    },

    /// A receiver of results (frames, dumps) failed.
    #[error(transparent)]
    Sink(Box<dyn std::error::Error + Send + Sync>),
}

/// What was asked for, as far as it bears on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryContext {
    /// The large matrices are float32: bfloat16 would halve them.
    pub float32: bool,
    /// Bytes of the transformer, once it is loaded.
    pub model: Option<u64>,
}

impl Error {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Ambiguous { .. } | Self::Input(_) => ErrorKind::BadInput,
            Self::Io { reason, .. } => ErrorKind::of_io(reason),
            Self::File { .. }
            | Self::Tensor { .. }
            | Self::Incomplete { .. }
            | Self::WeightFormat(_) => ErrorKind::ModelIncomplete,
            Self::Model(error) => ErrorKind::of_model(error),
            Self::OutOfMemory { .. } | Self::DoesNotFit { .. } => ErrorKind::OutOfMemory,
            Self::DeviceLost { .. } => ErrorKind::DeviceLost,
            Self::Cancelled(_) => ErrorKind::Cancelled,
            Self::NoRoomOnDisk { .. }
            | Self::Torch { .. }
            | Self::Diverged { .. }
            | Self::Sink(_) => ErrorKind::Failed,
        }
    }

    /// Says what was being done when libtorch failed, where that is not yet known.
    #[must_use]
    pub fn during(self, stage: Stage) -> Self {
        match self {
            Self::OutOfMemory { stage: None, shortage, asked } => {
                Self::OutOfMemory { stage: Some(stage), shortage, asked }
            }
            Self::DeviceLost { doing, detail } if doing.is_empty() => {
                Self::DeviceLost { doing: stage.to_string(), detail }
            }
            Self::Torch { doing, detail } if doing.is_empty() => {
                Self::Torch { doing: stage.to_string(), detail }
            }
            other => other,
        }
    }

    /// Says what was asked for, where memory ran out.
    #[must_use]
    pub(crate) fn for_what(self, asked: MemoryContext) -> Self {
        match self {
            Self::OutOfMemory { stage, shortage, .. } => {
                Self::OutOfMemory { stage, shortage, asked }
            }
            other => other,
        }
    }

    /// What happened, without what to do about it where [`Error::remedy`] has that.
    pub fn what(&self) -> String {
        match self {
            Self::OutOfMemory { stage: Some(stage), shortage, .. } => {
                format!("out of memory while {stage}: {shortage}")
            }
            Self::OutOfMemory { stage: None, shortage, .. } => format!("out of memory: {shortage}"),
            Self::DeviceLost { doing, detail } => {
                format!("the GPU failed{}: {detail}", while_doing(doing))
            }
            Self::DoesNotFit { what, .. } | Self::NoRoomOnDisk { what, .. } => what.clone(),
            Self::WeightFormat(format) => format.what(),
            other => other.to_string(),
        }
    }

    /// What helps, where that depends on what happened.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::OutOfMemory { stage, shortage, asked } => {
                Some(advice::where_memory_ran_out(*stage, shortage, *asked))
            }
            Self::DoesNotFit { remedy, .. } | Self::NoRoomOnDisk { remedy, .. } => {
                Some(remedy.clone())
            }
            Self::DeviceLost { .. } => Some(advice::DEVICE_LOST.to_owned()),
            Self::WeightFormat(WeightFormat { remedy, .. }) => Some((*remedy).to_owned()),
            Self::Torch { detail, .. } => advice::where_a_card_is_unfit(detail),
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io { action, path, reason: without_temporary_name(reason) }
    }

    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        // libtorch appends its own stack trace after the first line.
        let line = text.lines().next().unwrap_or_default().trim();
        let (doing, detail) = (String::new(), sentence(line));
        match understand(line) {
            Failure::Memory(shortage) => {
                Self::OutOfMemory { stage: None, shortage, asked: MemoryContext::default() }
            }
            Failure::Device => Self::DeviceLost { doing, detail },
            Failure::Other => Self::Torch { doing, detail },
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Nothing where it is not known what was being done.
fn while_doing(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" while {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_file_could_not_be_opened_is_told_once() {
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::io("open", Path::new("model.bin"))(refused);
        assert_eq!(error.to_string(), "cannot open model.bin: permission denied");
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn the_first_stage_named_stands() {
        for (said, code) in [
            ("boom", ErrorKind::Failed),
            ("CUDA error: out of memory", ErrorKind::OutOfMemory),
            ("CUDA error: unspecified launch failure", ErrorKind::DeviceLost),
        ] {
            let error = Error::from(TchError::Torch(format!("{said}\nException raised from here")));
            let error = error.during(Stage::Sample).during(Stage::Decode);
            assert_eq!(error.kind(), code);
            let text = error.to_string();
            assert!(text.contains("while sampling"), "{text}");
            assert!(!text.contains("Exception"), "{text}");
        }
    }
}
