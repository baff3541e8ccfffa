//! The exit codes of the command, all in one place.
//!
//! Errors travel as `anyhow::Error`. Those of the model, of its files and of pictures have a kind, which
//! says what they mean for a script; whoever knows it of another error marks that with [`OrExit::or_exit`].
//! Anything else ends the program with 1. Wrong usage never gets here: clap itself ends the program
//! with 2, the same as other bad input.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

use wan_alpha_core::ErrorKind;
use wan_alpha_core::tch::TchError;
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::models::ModelError;

use crate::media::error::MediaError;

/// How the command ended, as a farm's scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked for was done.
    Done,
    /// Anything not named below; a full disk while frames are written, for one.
    Failed,
    /// An argument or a file given by the user cannot be used.
    BadInput,
    /// The device or the machine has not enough memory.
    OutOfMemory,
    /// A part of the model is missing, or given twice.
    ModelIncomplete,
    /// Stopped by Ctrl-C or a termination signal (128 + SIGINT, as shells have it).
    Cancelled,
}

impl Exit {
    /// What an error means.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        meaning_of(error).unwrap_or(Self::Failed)
    }

    /// `error`, leading to this exit code; what it means by itself or a mark made earlier stands.
    pub(crate) fn mark(self, error: anyhow::Error) -> anyhow::Error {
        match meaning_of(&error) {
            Some(_) => error,
            None => Marked { exit: self, error }.into(),
        }
    }

    /// What an error of the model means.
    pub(crate) const fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::BadInput => Self::BadInput,
            ErrorKind::OutOfMemory => Self::OutOfMemory,
            ErrorKind::ModelIncomplete => Self::ModelIncomplete,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::DeviceLost | ErrorKind::Failed => Self::Failed,
        }
    }

    /// What a take that is not made means.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        match &problem.code {
            ProblemCode::NoModel | ProblemCode::ModelIncomplete => Self::ModelIncomplete,
            ProblemCode::OutOfMemory => Self::OutOfMemory,
            ProblemCode::BadInput
            | ProblemCode::MaskNeeded
            | ProblemCode::ImageNeeded
            | ProblemCode::OtherNumerics
            | ProblemCode::InvalidRequest
            | ProblemCode::Unsupported
            | ProblemCode::NoGpu
            | ProblemCode::StoreUnwritable
            | ProblemCode::EnginePlace => Self::BadInput,
            ProblemCode::Other(code) if code == Self::Cancelled.name() => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    /// What it is called where programs read it: by a [`ProblemCode`], where there is one.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::BadInput => "bad-input",
            Self::OutOfMemory => "out-of-memory",
            Self::ModelIncomplete => "model-incomplete",
            Self::Cancelled => "cancelled",
        }
    }

    /// The number that a process ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::OutOfMemory => 3,
            Self::ModelIncomplete => 4,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Marks the error of a result with the exit code it leads to.
pub(crate) trait OrExit<T> {
    /// The same result; its error, whose text stays as it is, now ends the command with `exit`. A
    /// mark made earlier stands: who is nearer to the cause knows it better.
    fn or_exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| exit.mark(error.into()))
    }
}

/// An error on its way through core, which carries those of its receivers as errors of any type: what it
/// means goes along.
pub(crate) fn carried(error: anyhow::Error) -> Box<dyn StdError + Send + Sync> {
    let exit = Exit::of(&error);
    Box::new(Marked { exit, error })
}

/// The kind of an error in a word, as engine and nodes spell it, for programs.
pub(crate) fn code_of(error: &anyhow::Error) -> String {
    match error.chain().find_map(own_code) {
        Some(code) => code.as_str().to_owned(),
        None => Exit::of(error).name().to_owned(),
    }
}

/// The code of an error that tells more than the exit code it leads to.
fn own_code(cause: &(dyn StdError + 'static)) -> Option<ProblemCode> {
    if let Some(marked) = cause.downcast_ref::<Marked>() {
        return marked.error.chain().find_map(own_code);
    }
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return Some(problem.code.clone());
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return code_of_model(error);
    }
    match cause.downcast_ref::<wan_alpha_core::Error>()? {
        wan_alpha_core::Error::Model(error) => code_of_model(error),
        error => (error.kind() == ErrorKind::DeviceLost).then_some(ProblemCode::GpuFault),
    }
}

/// That a model or a LoRA is not there at all; none where it is there and something is wrong with it.
fn code_of_model(error: &ModelError) -> Option<ProblemCode> {
    let is_absent = matches!(error, ModelError::Unknown { .. } | ModelError::UnknownLora { .. });
    is_absent.then_some(ProblemCode::NoModel)
}

/// What the error nearest to the cause means, among those that mean something.
fn meaning_of(error: &anyhow::Error) -> Option<Exit> {
    error.chain().filter_map(meaning).last()
}

fn meaning(cause: &(dyn StdError + 'static)) -> Option<Exit> {
    if let Some(marked) = cause.downcast_ref::<Marked>() {
        return Some(marked.exit);
    }
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return Some(Exit::of_problem(problem));
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return Some(Exit::of_kind(ErrorKind::of_model(error)));
    }
    if let Some(error) = cause.downcast_ref::<MediaError>() {
        return error.is_bad_input().then_some(Exit::BadInput);
    }
    if let Some(TchError::Torch(text)) = cause.downcast_ref::<TchError>() {
        let error = wan_alpha_core::Error::from(TchError::Torch(text.clone()));
        return Some(Exit::of_kind(error.kind()));
    }
    match cause.downcast_ref::<wan_alpha_core::Error>()? {
        // It shows the error within as if it were that error, which this chain does not have.
        wan_alpha_core::Error::Sink(inner) => Some(meaning(inner.as_ref()).unwrap_or(Exit::Failed)),
        error => Some(Exit::of_kind(error.kind())),
    }
}

/// An error with its exit code. It shows the error within as if it were that error.
#[derive(Debug)]
struct Marked {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Marked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, formatter)
    }
}

impl StdError for Marked {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Not the error within: Display has said that one already.
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn codes_are_those_of_the_manual() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::BadInput,
            Exit::OutOfMemory,
            Exit::ModelIncomplete,
            Exit::Cancelled,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 130]);
    }

    #[test]
    fn a_kind_of_failure_has_a_word_for_programs() {
        let problem = |code| anyhow::Error::new(Problem::new(code, "it broke", "mend it"));
        let unknown = || ModelError::Unknown {
            name: "nope".to_owned(),
            known: Vec::new(),
            searched: Vec::new(),
        };
        let changed =
            || ModelError::Changed { name: "mine".to_owned(), change: "a is gone".to_owned() };
        for (error, code, exit) in [
            (problem(ProblemCode::StoreFull), "store-full", Exit::Failed),
            (
                problem(ProblemCode::OutOfMemory).context("shot a"),
                "out-of-memory",
                Exit::OutOfMemory,
            ),
            (unknown().into(), "no-model", Exit::ModelIncomplete),
            (
                anyhow::Error::new(wan_alpha_core::Error::from(unknown())).context("shot a"),
                "no-model",
                Exit::ModelIncomplete,
            ),
            (changed().into(), "model-incomplete", Exit::ModelIncomplete),
            (anyhow!("odd"), "failed", Exit::Failed),
            (Exit::BadInput.mark(anyhow!("no such file")), "bad-input", Exit::BadInput),
        ] {
            assert_eq!((code_of(&error).as_str(), Exit::of(&error)), (code, exit));
        }
    }

    #[test]
    fn an_unmarked_error_is_a_plain_failure() {
        assert_eq!(Exit::of(&anyhow!("odd").context("while testing")), Exit::Failed);
    }

    #[test]
    fn a_mark_is_found_under_later_context() {
        let error = Err::<(), _>(anyhow!("no text encoder"))
            .or_exit(Exit::ModelIncomplete)
            .context("cannot load the model")
            .unwrap_err();
        assert_eq!(Exit::of(&error), Exit::ModelIncomplete);
        assert_eq!(format!("{error:#}"), "cannot load the model: no text encoder");
    }

    #[test]
    fn the_innermost_mark_stands_and_no_text_is_repeated_or_lost() {
        let inner =
            Err::<(), _>(anyhow!("7 GB short").context("memory")).or_exit(Exit::OutOfMemory);
        let error = inner.context("part").or_exit(Exit::BadInput).context("render").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::OutOfMemory);
        assert_eq!(format!("{error:#}"), "render: part: memory: 7 GB short");
    }

    #[test]
    fn pictures_that_cannot_be_read_are_bad_input_and_the_text_is_theirs() {
        let unreadable = || MediaError::Unreadable(anyhow!("it is cut off").context("a.png"));
        let error = anyhow::Error::new(unreadable()).context("row 3");
        assert_eq!(Exit::of(&error), Exit::BadInput);
        assert_eq!(format!("{error:#}"), "row 3: a.png: it is cut off");
        let of_encoder = anyhow::Error::new(wan_alpha_core::Error::Sink(unreadable().into()));
        assert_eq!(Exit::of(&of_encoder), Exit::BadInput);
        assert_eq!(format!("{of_encoder:#}"), "a.png: it is cut off");
        let full = MediaError::Unwritable {
            path: "a.png".into(),
            reason: "the disk is full".to_owned(),
            remedy: "free space",
        };
        assert_eq!(Exit::of(&full.into()), Exit::Failed);
    }

    #[test]
    fn what_libtorch_says_is_told_without_its_stack_trace_and_has_its_meaning() {
        let said = |text: &str| {
            let text = format!("{text}\nException raised from f at g.cpp:3\nframe #0: c10::Error");
            anyhow::Error::from(TchError::Torch(text)).context("cannot write a.exr")
        };
        let (odd, memory) = (said("boom"), said("CUDA error: out of memory"));
        assert_eq!(crate::error_text::in_words(&odd), "cannot write a.exr: libtorch failed: boom");
        assert_eq!([Exit::of(&odd), Exit::of(&memory)], [Exit::Failed, Exit::OutOfMemory]);
    }

    #[test]
    fn io_errors_can_be_marked_directly() {
        let error = Err::<(), _>(std::io::Error::other("x")).or_exit(Exit::BadInput).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        assert_eq!(format!("{error:#}"), "x");
    }
}
