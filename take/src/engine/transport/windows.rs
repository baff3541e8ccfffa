//! Named pipes without overlapped calls cannot be waited on: a bell that is looked after often.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Wire;
use crate::engine::endpoint::Listener;

/// Between two looks at connections.
const TICK: Duration = Duration::from_millis(10);

/// Wakes the thread that waits.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Ends the present wait, or the next.
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }
}

/// Waits until the bell rings; at most `timeout`, and at most a tick where there are connections.
pub(crate) fn wait<'a>(
    bell: &Bell,
    listener: Option<&Listener>,
    wires: impl Iterator<Item = &'a Wire>,
    timeout: Option<Duration>,
) {
    let connections = listener.is_some() || wires.count() > 0;
    let longest = if connections { TICK } else { Duration::from_secs(3600) };
    let timeout = timeout.unwrap_or(longest).min(longest);
    let rung = bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = bell.heard.wait_timeout_while(rung, timeout, |rung| !*rung);
    *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
}
