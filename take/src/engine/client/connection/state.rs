//! The states of a connection, from none to one that has answered.

use std::time::{Duration, Instant};

use crate::engine::message::Identity;
use crate::engine::transport::Wire;

/// How far the connection to the engine is.
pub(super) enum ConnectionState {
    /// There is none; tried again at a time, if there is something to say.
    Closed { again: Instant },
    /// The handshake has begun, with our hello. `checked`: it was late, and an engine holds the socket.
    Handshake { wire: Wire, since: Instant, checked: bool },
    /// The handshake is complete; the engine was last heard of at `heard`.
    Open { wire: Wire, engine: Identity, heard: Instant },
    /// It is of another version, and its end is waited for. `told`: it was told to end, when.
    OtherVersion { wire: Wire, heard: Instant, told: Option<Instant> },
}

impl ConnectionState {
    pub(super) fn wire(&self) -> Option<&Wire> {
        match self {
            Self::Closed { .. } => None,
            Self::Handshake { wire, .. }
            | Self::Open { wire, .. }
            | Self::OtherVersion { wire, .. } => Some(wire),
        }
    }

    pub(super) fn wire_mut(&mut self) -> Option<&mut Wire> {
        match self {
            Self::Closed { .. } => None,
            Self::Handshake { wire, .. }
            | Self::Open { wire, .. }
            | Self::OtherVersion { wire, .. } => Some(wire),
        }
    }

    /// Takes its wire out; what is left is closed.
    pub(super) fn take_wire(&mut self) -> Option<Wire> {
        match std::mem::replace(self, Self::Closed { again: Instant::now() }) {
            closed @ Self::Closed { .. } => {
                *self = closed;
                None
            }
            Self::Handshake { wire, .. }
            | Self::Open { wire, .. }
            | Self::OtherVersion { wire, .. } => Some(wire),
        }
    }

    /// The engine has just given a sign of life.
    pub(super) fn note_heard(&mut self) {
        if let Self::Open { heard, .. } | Self::OtherVersion { heard, .. } = self {
            *heard = Instant::now();
        }
    }

    /// Sends what still waits, for 200 ms at most.
    pub(super) fn flush(&mut self) {
        let end = Instant::now() + Duration::from_millis(200);
        while let Some(wire) = self.wire_mut() {
            if wire.flush().is_err() || wire.backlog() == 0 || Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
