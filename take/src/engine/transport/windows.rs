//! Named pipes without overlapped calls cannot be waited on: they are looked at often.

use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Wire;
use crate::engine::endpoint::Listener;

/// Between two looks at connections.
const TICK: Duration = Duration::from_millis(10);

/// Wakes the thread that waits.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Ends the present wait, or the next.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.changed.notify_all();
    }
}

/// Waits until the waker is used; at most `timeout`, and at most a tick where there are connections.
pub(crate) fn wait<'a>(
    waker: &Waker,
    listener: Option<&Listener>,
    wires: impl Iterator<Item = &'a Wire>,
    timeout: Option<Duration>,
) {
    let connections = listener.is_some() || wires.count() > 0;
    let longest = if connections { TICK } else { Duration::from_secs(3600) };
    let timeout = timeout.unwrap_or(longest).min(longest);
    let mut woken = waker.woken.lock();
    waker.changed.wait_while_for(&mut woken, |woken| !*woken, timeout);
    *woken = false;
}
