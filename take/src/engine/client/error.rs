//! Why there is no engine, in words.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::engine::endpoint::EndpointError;
use crate::engine::message::{MessageError, PROTOCOL, Problem, ProblemCode};

/// Why there is no engine. Every sentence ends with what can be done.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Its place cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Its program is not there.
    #[error(
        "the engine's program {} is not there; install the bundle again, or set WAN_ALPHA_ENGINE",
        program.display()
    )]
    Missing {
        /// Where the program was looked for.
        program: PathBuf,
    },
    /// Its program cannot be run.
    #[error(
        "the engine's program {} cannot be run ({reason}); make it executable, install the bundle \
         for this platform, or set WAN_ALPHA_ENGINE", program.display()
    )]
    NotExecutable {
        /// The file that was to be run.
        program: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// No process can be made.
    #[error(
        "the engine {} cannot be started ({reason}); free memory or end other programs",
        program.display()
    )]
    NotStarted {
        /// The program that was to be started.
        program: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// It ended before it listened.
    #[error("the engine ended while it was starting ({end}); read {}", log.display())]
    DiedAtStart {
        /// How it ended, with what it printed last.
        end: String,
        /// Where the engine writes its log.
        log: PathBuf,
    },
    /// It does not listen in time.
    #[error(
        "the engine did not listen within {} s of its start and was ended{last_line}; read {}",
        after.as_secs_f32(), log.display()
    )]
    SlowStart {
        /// How long was waited.
        after: Duration,
        /// What it said last.
        last_line: String,
        /// Where the engine writes its log.
        log: PathBuf,
    },
    /// Another process holds the start-up lock.
    #[error(
        "another process has been starting the engine for {} s; end that process, or try again",
        after.as_secs_f32()
    )]
    StartedByOthers {
        /// How long was waited.
        after: Duration,
    },
    /// It gave no sign of life, again.
    #[error(
        "the engine gave no sign of life for {} s and was ended, for the second time with this \
         take; read {}", after.as_secs_f32(), log.display()
    )]
    Hung {
        /// How long was waited.
        after: Duration,
        /// Where the engine writes its log.
        log: PathBuf,
    },
    /// It ended while it made this take, for the second time.
    #[error("the engine ended twice while it made this take ({end}); read {}", log.display())]
    Died {
        /// How it ended, with what it printed last.
        end: String,
        /// Where the engine writes its log.
        log: PathBuf,
    },
    /// It ended and said why, again.
    #[error("the engine ended twice before it came to this take, the last time for this: {0}")]
    Ended(Problem),
    /// It said what is no message, again.
    #[error(
        "the engine was ended because it sent {what}, for the second time with this take; install \
         the bundle again, and read {}", log.display()
    )]
    Garbage {
        /// What it sent, as the end of a sentence.
        what: String,
        /// Where the engine writes its log.
        log: PathBuf,
    },
    /// Who listens is not an engine.
    #[error(
        "what listens on {} is not a wan-alpha engine: it sent {what}; end it, or set \
         WAN_ALPHA_RUN to another directory", path.display()
    )]
    NotAnEngine {
        /// The socket that it listens on.
        path: PathBuf,
        /// What it sent, as the end of a sentence.
        what: String,
    },
    /// It speaks another protocol.
    #[error(
        "the engine is of version {version} and speaks protocol {protocol}, this is protocol \
         {PROTOCOL}; end it with its own `wan-alpha engine stop`, or use the same version of \
         wan-alpha everywhere"
    )]
    OtherProtocol {
        /// The number of the engine's protocol.
        protocol: u32,
        /// The engine's product version, such as `0.1.0`.
        version: String,
    },
    /// It refuses to speak.
    #[error("the engine refuses: {0}")]
    Refused(Problem),
    /// A command cannot be sent.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The client has no thread.
    #[error("no thread can be started ({reason}); free memory or end other programs")]
    Thread {
        /// What the system says.
        reason: io::Error,
    },
}

impl EngineError {
    /// What kind of failure this is, for programs.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Endpoint(_) => ProblemCode::EnginePlace,
            Self::Missing { .. } => ProblemCode::EngineMissing,
            Self::NotExecutable { .. } => ProblemCode::EngineNotExecutable,
            Self::NotStarted { .. } | Self::Thread { .. } => ProblemCode::EngineNotStarted,
            Self::DiedAtStart { .. } | Self::Died { .. } => ProblemCode::EngineDied,
            Self::SlowStart { .. } | Self::StartedByOthers { .. } => ProblemCode::EngineSlow,
            Self::Hung { .. } => ProblemCode::EngineHung,
            Self::Ended(_) => ProblemCode::EngineEnded,
            Self::Garbage { .. } | Self::NotAnEngine { .. } => ProblemCode::EngineGarbage,
            Self::OtherProtocol { .. } => ProblemCode::OtherProtocol,
            Self::Refused(_) => ProblemCode::EngineRefused,
            Self::Message(_) => ProblemCode::Message,
        }
    }

    /// The same in the words of a failed take.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Ended(Problem { code, .. }) => {
                Problem::from_sentence(code.clone(), &self.to_string())
            }
            _ => Problem::from_sentence(self.code(), &self.to_string()),
        }
    }
}
