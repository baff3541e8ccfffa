//! Why the engine's place cannot be used, in words.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// Why the engine's place cannot be used.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// The socket's path does not fit into an address.
    #[error(
        "the path of the engine's socket takes {length} bytes, at most {limit} fit: {}; set \
         WAN_ALPHA_RUN to a directory with a shorter path", path.display()
    )]
    TooLong {
        /// The path that the socket would have.
        path: PathBuf,
        /// The length of that path in bytes.
        length: usize,
        /// How many bytes an address holds.
        limit: usize,
    },
    /// The run directory is something else.
    #[error(
        "{} is not a directory; remove it, or set WAN_ALPHA_RUN to another place", path.display()
    )]
    NotADirectory {
        /// The path of the run directory.
        path: PathBuf,
    },
    /// The run directory or the socket belongs to somebody else.
    #[error(
        "{} belongs to user {owner}, this is user {user}; set WAN_ALPHA_RUN to a directory of \
         your own", path.display()
    )]
    Owner {
        /// The run directory or the socket.
        path: PathBuf,
        /// The number of the user who owns it.
        owner: u32,
        /// The number of the user who runs this process.
        user: u32,
    },
    /// Others may use the run directory.
    #[error(
        "{} is open to others (mode {mode:03o}); run `chmod 700` on it, or set WAN_ALPHA_RUN to a \
         directory of your own", path.display()
    )]
    Open {
        /// The path of the run directory.
        path: PathBuf,
        /// Its permission bits, of which only the owner's may be set.
        mode: u32,
    },
    /// The run directory is not on this machine.
    #[error(
        "{} is on a network file system ({kind}), where sockets and locks fail; set WAN_ALPHA_RUN \
         to a directory on a local disk", path.display()
    )]
    Remote {
        /// The path of the run directory.
        path: PathBuf,
        /// The kind of file system, such as `nfs`.
        kind: &'static str,
    },
    /// Something that is not a socket has the socket's name.
    #[error(
        "{} is not a socket: something else took the engine's place; remove it", path.display()
    )]
    NotASocket {
        /// The path of the engine's socket.
        path: PathBuf,
    },
    /// The process at the other end is another user's.
    #[error(
        "the process at the other end of {} belongs to user {peer}, this is user {user}; set \
         WAN_ALPHA_RUN to a directory of your own", path.display()
    )]
    Peer {
        /// The path of the engine's socket.
        path: PathBuf,
        /// Whose process it is.
        peer: u32,
        /// The number of the user who runs this process.
        user: u32,
    },
    /// A process that is no engine listens.
    #[error(
        "a process that is not a wan-alpha engine listens on {}; end it, or set WAN_ALPHA_RUN to \
         another directory", path.display()
    )]
    ForeignListener {
        /// The path of the engine's socket.
        path: PathBuf,
    },
    /// Another engine lives and serves the same socket.
    #[error(
        "an engine{} already serves {}; use it, or end it with `wan-alpha engine stop`",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display()
    )]
    EngineLives {
        /// The path of the engine's socket.
        path: PathBuf,
        /// The number of its process, where it could be read.
        pid: Option<u32>,
    },
    /// The listener's queue is full.
    #[error(
        "the listener on {} accepted nobody within {} ms; it hangs or is overrun, try again",
        path.display(), patience.as_millis()
    )]
    NotAccepted {
        /// The path of the engine's socket.
        path: PathBuf,
        /// How long was waited.
        patience: Duration,
    },
    /// The system refuses something that the endpoint needs.
    #[error("cannot {action} {}: {reason}; check WAN_ALPHA_RUN and its permissions", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory that it was tried on.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

impl EndpointError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), reason: source }
    }
}
