//! Whether the host still wants what is being rendered.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::host::Effect;

/// Between two questions to the host whether it still wants the picture.
const ABORT_POLL: Duration = Duration::from_millis(5);

/// Asks the host whether it still wants the picture, seldom enough that asking costs nothing.
pub(super) struct AbortPoll<'a> {
    effect: Effect<'a>,
    last_poll: Cell<Instant>,
    aborted: Cell<bool>,
}

impl<'a> AbortPoll<'a> {
    pub(super) fn of(effect: Effect<'a>) -> Self {
        Self { effect, last_poll: Cell::new(Instant::now()), aborted: Cell::new(false) }
    }

    pub(super) fn is_aborted(&self) -> bool {
        if !self.aborted.get() && self.last_poll.get().elapsed() >= ABORT_POLL {
            self.aborted.set(self.effect.is_aborted());
            self.last_poll.set(Instant::now());
        }
        self.aborted.get()
    }
}
