//! How often the engine gives its clients a sign of life, and how long it waits for them.

use std::time::Duration;

/// The times of an engine's service.
#[derive(Clone, Copy, Debug)]
pub struct ServerDeadlines {
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// How long a client may leave unread what it was sent.
    pub unread: Duration,
}

impl Default for ServerDeadlines {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(2), unread: Duration::from_secs(30) }
    }
}
