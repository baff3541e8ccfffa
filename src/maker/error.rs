//! Why takes are not made, as engine and command tell it.

use std::io;

use wan_alpha_core::{Error, ErrorKind};
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::fit::FitError;
use wan_alpha_take::models::ModelError;
use wan_alpha_take::store::StoreError;

/// Why a take was not made.
#[derive(Debug)]
pub(crate) enum MakeError {
    /// Nobody wanted it any more.
    Stopped,
    /// It cannot be made.
    Failed(Problem),
}

impl From<Problem> for MakeError {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl From<Error> for MakeError {
    fn from(error: Error) -> Self {
        let (code, remedy) = match error.kind() {
            ErrorKind::Cancelled => return Self::Stopped,
            ErrorKind::ModelIncomplete if is_absent(&error) => {
                (ProblemCode::NoModel, "generate again once it is there")
            }
            ErrorKind::BadInput => (ProblemCode::BadInput, "correct it and generate again"),
            ErrorKind::ModelIncomplete => (
                ProblemCode::ModelIncomplete,
                "fetch the file again, or add what is missing to the model",
            ),
            ErrorKind::OutOfMemory => (ProblemCode::OutOfMemory, "free memory"),
            ErrorKind::DeviceLost => (ProblemCode::GpuFault, "generate again"),
            ErrorKind::Failed => (ProblemCode::Failed, "generate again; the log says more"),
        };
        match error.remedy() {
            Some(remedy) => Problem::new(code, error.what(), remedy).into(),
            None => Problem::new(code, error.to_string(), remedy).into(),
        }
    }
}

/// Whether it says that a model or a LoRA is not here at all.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Model(ModelError::Unknown { .. } | ModelError::UnknownLora { .. }))
}

impl From<ModelError> for MakeError {
    fn from(error: ModelError) -> Self {
        Error::from(error).into()
    }
}

impl From<FitError> for MakeError {
    fn from(error: FitError) -> Self {
        let message = format!("the take cannot be measured: {error}");
        Problem::new(ProblemCode::Internal, message, "report this").into()
    }
}

impl From<StoreError> for MakeError {
    fn from(error: StoreError) -> Self {
        Problem::from_sentence(error.code(), &error.to_string()).into()
    }
}

/// The model is not here, or not as it was.
pub(super) fn no_model(message: &str) -> MakeError {
    MakeError::Failed(Problem::new(
        ProblemCode::NoModel,
        message,
        "add it with `wan-alpha model add NAME PATH…`",
    ))
}

/// A LoRA of the request is not here, or not as it was.
pub(super) fn no_lora(message: &str) -> MakeError {
    MakeError::Failed(Problem::new(
        ProblemCode::NoModel,
        message,
        "add it with `wan-alpha model add --lora NAME FILE`",
    ))
}

/// No thread can be started.
pub(super) fn no_thread(error: io::Error) -> MakeError {
    let message = format!("the system gives no thread to make a take with: {error}");
    MakeError::Failed(Problem::new(
        ProblemCode::Failed,
        message,
        "end other programs and generate again",
    ))
}
