//! What engine and clients say to each other: one JSON object per line, each with its `kind`.
//!
//! A client begins with [`ToEngine::Hello`]; the engine answers [`ToClient::Welcome`],
//! [`ToClient::BusyOtherVersion`] or [`ToClient::OtherProtocol`]. After that either side speaks
//! when it has something to say, and the engine sends [`ToClient::Heartbeat`] when it has not.
//!
//! Invariants:
//! - Within one [`PROTOCOL`] unknown fields are ignored and unknown kinds are answered in words, so
//!   fields and kinds may be added; anything else raises the number.
//! - A line is shorter than [`MAX_LINE`]; reading one never takes more memory than that.

mod line;
mod preview;
mod submit;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::line::{LineError, LineReader};
pub use self::preview::PreviewPicture;
pub use self::submit::{MemoryTerms, Submit};
use crate::key::TakeKey;
pub use crate::problem::{Problem, ProblemCode};
use crate::warning::Warning;

/// The number of this protocol; part of the socket's name.
pub const PROTOCOL: u32 = 1;

/// Bytes: a line this long or longer is refused. The longest request takes four fifths of it.
pub const MAX_LINE: usize = 1 << 20;

/// Who speaks: an engine or a client, with what decides whether both make the same takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number of its protocol.
    pub protocol: u32,
    /// Its product version, such as `0.1.0`.
    pub version: String,
    /// The number that is raised whenever our code changes pixels.
    pub numerics: u32,
    /// The number of its process.
    pub pid: u32,
}

impl Identity {
    /// This process, with what its binary says of itself.
    #[must_use]
    pub fn new(version: impl Into<String>, numerics: u32) -> Self {
        Self { protocol: PROTOCOL, version: version.into(), numerics, pid: std::process::id() }
    }

    /// Whether both make the same takes and understand all that the other says.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        (self.protocol, &self.version, self.numerics)
            == (other.protocol, &other.version, other.numerics)
    }
}

/// Who wants a take. Equal takes share a job; a job whose last holder goes is stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Holder {
    /// Somebody pressed Generate: outlives connection and host. A newer one of the same node takes
    /// its place.
    Generate {
        /// Which node, for as long as its project lives.
        node: String,
    },
    /// A batch render waits: gone with its connection. Without a GPU it does not get a large model,
    /// since nobody is there to see that it takes hours.
    Render,
    /// The same, and hours are fine: a person typed the command, or a farm was told so with
    /// `WAN_ALPHA_ALLOW_CPU`.
    PatientRender,
}

impl Holder {
    /// Whether it goes with its connection.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        !matches!(self, Self::Generate { .. })
    }
}

/// How far a take is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, such as `sampling`.
    pub stage: String,
    /// Steps of this stage that are done.
    pub step: u32,
    /// Steps of this stage.
    pub of: u32,
    /// Until the take is done, where earlier runs tell.
    pub seconds_left: Option<f64>,
}

impl Progress {
    /// What stands for the stage while the engine is paused.
    pub const PAUSED: &str = "paused";
    /// The same while others have the memory that the take needs.
    pub const SHORT_OF_MEMORY: &str = "waiting for memory";

    /// That a take is paused when so many steps are done.
    #[must_use]
    pub fn paused(step: u32, of: u32) -> Self {
        Self { stage: Self::PAUSED.to_owned(), step, of, seconds_left: None }
    }

    /// That a take waits, so many steps being done, until there is memory for it.
    #[must_use]
    pub fn short_of_memory(step: u32, of: u32) -> Self {
        Self { stage: Self::SHORT_OF_MEMORY.to_owned(), step, of, seconds_left: None }
    }

    /// Whether the take is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.stage == Self::PAUSED
    }
}

/// One job in a [`StatusReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// The key of the take that is made.
    pub key: TakeKey,
    /// How many want it.
    pub holders: u32,
    /// How far it is; none while it waits.
    pub progress: Option<Progress>,
    /// What it is computed with, and where its parts lie: a line for people, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
}

/// The memory of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// What any program may still take.
    pub free: u64,
    /// All that the device has.
    pub total: u64,
}

/// What an engine computes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Such as `cuda:0`; while it is being opened, what is asked for, such as `CUDA`.
    #[serde(rename = "device")]
    pub name: String,
    /// For how long it has been being opened; none once it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_seconds: Option<u64>,
    /// A sentence: why a GPU is not used, where the choice was the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// That can be mended here: a GPU seems to be there, and being without it is worth a warning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_mendable: bool,
    /// Of a device that has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<DeviceMemory>,
}

impl DeviceReport {
    /// A device that is open.
    #[must_use]
    pub fn open(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// One that is being opened, from now on.
    #[must_use]
    pub fn opening(name: impl Into<String>) -> Self {
        Self { opening_seconds: Some(0), ..Self::open(name) }
    }

    /// Whether there is nothing about it that somebody who waits for a take should know.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.opening_seconds.is_none() && self.unused.is_none()
    }
}

/// What an engine is doing. No prompts: reports end up in bug reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Who the engine is, its version included.
    pub engine: Identity,
    /// What it computes on.
    #[serde(flatten)]
    pub device: DeviceReport,
    /// The model in memory.
    pub model: Option<String>,
    /// Its memory was asked to be freed, and is not yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unloading: bool,
    /// No take is computed until somebody resumes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Seconds since the engine started.
    pub uptime_seconds: u64,
    /// Open connections, this one included.
    pub clients: u32,
    /// Its jobs, the running one first.
    pub jobs: Vec<JobReport>,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ToEngine {
    /// The first message of a connection.
    Hello(Identity),
    /// A take is wanted.
    Submit(Box<Submit>),
    /// A holder no longer wants a take.
    Cancel {
        /// The key of the take.
        key: TakeKey,
        /// Who no longer wants it.
        holder: Holder,
    },
    /// What the engine is doing is asked for; answered by [`ToClient::StatusReport`].
    Status,
    /// Free the model's memory as soon as no job needs it; answered by a report.
    Unload,
    /// Give the device's memory back between two steps of the take that is made, and begin no other;
    /// answered by a report. Holds when its connection closes.
    Pause,
    /// Go on with the take that was paused, bit for bit, be it by somebody or for hosts that render;
    /// answered by a report.
    Resume,
    /// The host of this client renders pictures of its own, or no longer does: where the device has
    /// little memory left meanwhile, the engine makes room. Ends with its connection, and where somebody
    /// resumes.
    HostRender {
        /// Whether it begins.
        begins: bool,
    },
    /// End; the end of the connection is the answer.
    Stop {
        /// Only without jobs, else answered by [`ToClient::BusyOtherVersion`].
        only_if_idle: bool,
    },
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ToClient {
    /// The answer to [`ToEngine::Hello`]; the version may be another, with nothing to do.
    Welcome(Identity),
    /// The engine is of another version and has jobs to finish; it ends after them.
    BusyOtherVersion {
        /// Who the engine is, its version included.
        engine: Identity,
        /// How many jobs it has to finish.
        jobs: u32,
    },
    /// The engine speaks another protocol; it closes the connection.
    OtherProtocol(Identity),
    /// A job was queued for the take.
    Accepted {
        /// The key of the take.
        key: TakeKey,
        /// How many jobs come before it, the running one included.
        ahead: u32,
    },
    /// The take already had a job, and now has one holder more.
    Attached {
        /// The key of the take.
        key: TakeKey,
        /// How many jobs come before it, the running one included.
        ahead: u32,
    },
    /// A take is begun.
    Begun {
        /// The key of the take.
        key: TakeKey,
        /// What it is computed with, in a line for people.
        with: String,
    },
    /// A take goes on.
    Progress {
        /// The key of the take.
        key: TakeKey,
        /// How far it is.
        #[serde(flatten)]
        progress: Progress,
    },
    /// Something to be known of a take that is made all the same; said once to each who waits, as soon
    /// as it is known.
    Warning {
        /// The key of the take.
        key: TakeKey,
        /// What is so, and what can be done.
        #[serde(flatten)]
        warning: Warning,
    },
    /// What a take is going to be, after a step of it: where its model's record says what latents look
    /// like.
    Preview {
        /// The key of the take.
        key: TakeKey,
        /// A small picture of the frame in its middle.
        #[serde(flatten)]
        picture: PreviewPicture,
    },
    /// A take is published in one of the stores of its request.
    Done {
        /// The key of the take.
        key: TakeKey,
    },
    /// A take will not be made.
    Failed {
        /// The key of the take.
        key: TakeKey,
        /// Why, and what to do.
        #[serde(flatten)]
        problem: Problem,
    },
    /// The answer to [`ToEngine::Status`].
    StatusReport(StatusReport),
    /// What the engine computes on: said where it is not plain ([`DeviceReport::is_plain`]) or no
    /// longer so, and with each sign of life while it is being opened.
    Device(DeviceReport),
    /// The engine ends because of this; what waits for it is for the next engine.
    Ending(Problem),
    /// The sign of life of an engine that has nothing else to say.
    Heartbeat,
    /// A line was not understood or not welcome.
    Refused(Problem),
}

/// The messages of one side of the protocol.
pub trait Message: Serialize + DeserializeOwned {
    /// Every kind there is.
    const KINDS: &[&str];
}

impl Message for ToEngine {
    const KINDS: &[&str] = &[
        "hello",
        "submit",
        "cancel",
        "status",
        "unload",
        "pause",
        "resume",
        "host-render",
        "stop",
    ];
}

impl Message for ToClient {
    const KINDS: &[&str] = &[
        "welcome",
        "busy-other-version",
        "other-protocol",
        "accepted",
        "attached",
        "begun",
        "progress",
        "done",
        "failed",
        "status-report",
        "device",
        "ending",
        "heartbeat",
        "refused",
        "warning",
        "preview",
    ];
}

/// Why a line is not a message, or a message not a line.
#[derive(Debug, Error)]
pub enum MessageError {
    /// A message that this version does not know.
    #[error(
        "\"{found}\" is none of the messages of protocol {PROTOCOL} ({known}); use the same \
         version of wan-alpha on both sides"
    )]
    UnknownKind {
        /// The kind that the message says it is of.
        found: String,
        /// The kinds there are, separated by commas.
        known: String,
    },
    /// Not JSON, or not such a message.
    #[error(
        "not a message of protocol {PROTOCOL} ({reason}): \"{start}\"; something else than \
         wan-alpha may be using its socket"
    )]
    Unreadable {
        /// What the JSON reader says.
        reason: serde_json::Error,
        /// How the line begins.
        start: String,
    },
    /// The message cannot be written, as its paths are not Unicode.
    #[error("the message cannot be encoded ({reason}); use paths of plain letters")]
    Unwritable {
        /// What the JSON writer says.
        reason: serde_json::Error,
    },
    /// The message is too long.
    #[error(
        "the message takes {length} bytes and must be shorter than {MAX_LINE}; shorten the prompt or the lists of directories"
    )]
    TooLong {
        /// The length of the line in bytes.
        length: usize,
    },
}

/// A message as a line, its line feed included.
///
/// # Errors
/// [`MessageError::Unwritable`] and [`MessageError::TooLong`].
pub fn encode(message: &impl Message) -> Result<Vec<u8>, MessageError> {
    let mut line =
        serde_json::to_vec(message).map_err(|reason| MessageError::Unwritable { reason })?;
    if line.len() >= MAX_LINE {
        return Err(MessageError::TooLong { length: line.len() });
    }
    line.push(b'\n');
    Ok(line)
}

/// The message in a line without its line feed.
///
/// # Errors
/// [`MessageError::UnknownKind`] and [`MessageError::Unreadable`].
pub fn decode<M: Message>(line: &[u8]) -> Result<M, MessageError> {
    /// Read only when the rest is not understood.
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let reason = match serde_json::from_slice(line) {
        Ok(message) => return Ok(message),
        Err(reason) => reason,
    };
    match serde_json::from_slice::<Kind>(line) {
        Ok(Kind { kind }) if !M::KINDS.contains(&kind.as_str()) => {
            let found = shortened(kind.as_bytes());
            Err(MessageError::UnknownKind { found, known: M::KINDS.join(", ") })
        }
        _ => Err(MessageError::Unreadable { reason, start: shortened(line) }),
    }
}

/// What fits into a sentence, without control characters.
fn shortened(text: &[u8]) -> String {
    let start = String::from_utf8_lossy(&text[..text.len().min(60)]);
    start.escape_debug().to_string()
}

#[cfg(test)]
mod tests;
