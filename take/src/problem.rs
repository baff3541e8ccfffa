//! Why something is not done: a code for programs, and words for people.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codes::spelled_codes;

spelled_codes! {
    /// What kind of problem it is, for programs. The spelling is the same wherever it is written.
    ProblemCode {
        /// A value or a file given by the user cannot be used.
        BadInput = "bad-input",
        /// A request is not readable, or one of its fields is out of range.
        InvalidRequest = "invalid-request",
        /// A request asks for what nothing can do so far.
        Unsupported = "unsupported",
        /// A request, a take or an engine is of another version of this program.
        OtherVersion = "other-version",
        /// A request was made for other numerics: its pixels would differ here.
        OtherNumerics = "other-numerics",
        /// A request does not say which model it is for.
        NoFingerprint = "no-fingerprint",
        /// A take was submitted under a key that is not that of its request.
        KeyMismatch = "key-mismatch",
        /// A take needs the mask of a file, which its request does not hold.
        MaskNeeded = "mask-needed",
        /// A take begins or ends with an image that is in no store.
        ImageNeeded = "image-needed",
        /// The model of a request is not to be found here.
        NoModel = "no-model",
        /// A part of the model is missing, or given twice.
        ModelIncomplete = "model-incomplete",
        /// The device or the machine has not enough memory.
        OutOfMemory = "out-of-memory",
        /// The GPU has failed, after which a process makes no more takes.
        GpuFault = "gpu-fault",
        /// The device that was asked for cannot be opened.
        NoGpu = "no-gpu",
        /// A batch render asks for a take that is hours of work without a GPU.
        NeedsGpu = "needs-gpu",
        /// A take cannot be made for a reason that has no code of its own.
        Failed = "failed",
        /// The disk or the quota of a store is full.
        StoreFull = "store-full",
        /// None of the folders of a store can be written to.
        StoreUnwritable = "store-unwritable",
        /// A take's file is not as it was published.
        StoreDamaged = "store-damaged",
        /// A store cannot be used for another reason.
        StoreFailed = "store-failed",
        /// The engine's run directory or socket cannot be used.
        EnginePlace = "engine-place",
        /// The engine's program is not there.
        EngineMissing = "engine-missing",
        /// The engine's program cannot be run.
        EngineNotExecutable = "engine-not-executable",
        /// The system has no process or thread for the engine.
        EngineNotStarted = "engine-not-started",
        /// The engine ended without saying why.
        EngineDied = "engine-died",
        /// The engine did not listen in time.
        EngineSlow = "engine-slow",
        /// The engine gave no sign of life and was ended.
        EngineHung = "engine-hung",
        /// The engine ended, and what it said of that has no code.
        EngineEnded = "engine-ended",
        /// What was read from the socket is no message.
        EngineGarbage = "engine-garbage",
        /// The engine refuses to speak with this process.
        EngineRefused = "engine-refused",
        /// The engine speaks another protocol.
        OtherProtocol = "other-protocol",
        /// A message cannot be written, or is too long.
        Message = "message",
        /// A client sent a kind of message that the engine does not know.
        UnknownMessage = "unknown-message",
        /// A client sent a line that is no message.
        Unreadable = "unreadable",
        /// A client sent a line that is too long.
        LineTooLong = "line-too-long",
        /// A client said something else before its hello.
        NoHello = "no-hello",
        /// The node that wanted a take wants another one now.
        Superseded = "superseded",
        /// Somebody told the engine to stop.
        Stopped = "stopped",
        /// A fault of this program.
        Internal = "internal",
    }
}

/// Why something is not done, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}; {remedy}")]
pub struct Problem {
    /// The kind of problem, for programs.
    pub code: ProblemCode,
    /// What happened, as the first part of a sentence.
    pub message: String,
    /// What the user can do, as its end.
    pub remedy: String,
}

impl Problem {
    /// A problem in words.
    #[must_use]
    pub fn new(code: ProblemCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }

    /// A problem told in one sentence that ends, behind its last semicolon, with the remedy.
    #[must_use]
    pub fn from_sentence(code: ProblemCode, sentence: &str) -> Self {
        let (message, remedy) = sentence.rsplit_once("; ").unwrap_or((sentence, "try again"));
        Self::new(code, message, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_in_json_as_everywhere() {
        let unknown = ProblemCode::Other("out-of-luck".to_owned());
        for code in ProblemCode::KNOWN.iter().chain([&unknown]) {
            let json = format!("\"{}\"", code.as_str());
            assert_eq!(serde_json::to_string(code).unwrap(), json);
            assert_eq!(serde_json::from_str::<ProblemCode>(&json).unwrap(), *code);
        }
        let spellings: std::collections::BTreeSet<_> =
            ProblemCode::KNOWN.iter().map(ProblemCode::as_str).collect();
        assert_eq!(spellings.len(), ProblemCode::KNOWN.len());
    }

    #[test]
    fn a_sentence_ends_with_its_remedy() {
        let problem = Problem::from_sentence(ProblemCode::Failed, "a; b; do c");
        assert_eq!((problem.message.as_str(), problem.remedy.as_str()), ("a; b", "do c"));
        assert_eq!(problem.to_string(), "a; b; do c");
        assert_eq!(Problem::from_sentence(ProblemCode::Failed, "a").to_string(), "a; try again");
    }
}
