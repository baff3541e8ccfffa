//! How long a client waits for the engine, for what.

use std::time::Duration;

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Until the engine accepts a connection.
    pub connect: Duration,
    /// Until it answers the hello, which completes the handshake.
    pub handshake: Duration,
    /// From the start of its process until it listens, as long as the process lives: a program of
    /// hundreds of megabytes may lie in a slow network folder. Meanwhile
    /// [`EngineState::Starting`](super::EngineState::Starting) says how long it has lasted.
    pub start: Duration,
    /// From its last word until its process has ended.
    pub end: Duration,
    /// Without a sign of life it hangs.
    pub silence: Duration,
    /// Until a client that is dropped leaves its thread behind.
    pub drop: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(250),
            handshake: Duration::from_secs(2),
            start: Duration::from_secs(300),
            end: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            drop: Duration::from_secs(1),
        }
    }
}
