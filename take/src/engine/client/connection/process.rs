//! The engine's process: the one that this process has started, and the one that was ended last.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::client::launch::{self, Launched};
use crate::engine::client::{Deadlines, EngineError};
use crate::engine::endpoint::Endpoint;

/// What is known of the engine's process.
#[derive(Default)]
pub(super) struct EngineProcess {
    /// The engine, if this process has started it.
    launched: Option<Launched>,
    /// An engine that was ended and may not be gone yet, and when.
    ended: Option<(u32, Instant)>,
}

impl EngineProcess {
    /// This process has started one.
    pub(super) fn set_launched(&mut self, launched: Launched) {
        self.launched = Some(launched);
    }

    /// Whether this process has started one that was not reaped.
    pub(super) fn is_launched(&self) -> bool {
        self.launched.is_some()
    }

    /// Whether this process has started one that has not answered yet.
    pub(super) fn is_starting(&self) -> bool {
        self.launched.as_ref().is_some_and(Launched::is_starting)
    }

    /// The engine has answered: from now on others may start one.
    pub(super) fn answered(&mut self) {
        if let Some(launched) = &mut self.launched {
            launched.answered();
        }
    }

    /// Reaps a process that has ended, unless it is waited for to listen.
    pub(super) fn reap(&mut self) {
        if let Some(launched) = self.launched.as_mut().filter(|launched| !launched.is_starting())
            && launched.end().is_some()
        {
            self.launched = None;
        }
    }

    /// Ends a process of ours that has not answered yet.
    pub(super) fn abandon_start(&mut self) {
        if let Some(mut launched) = self.launched.take_if(|launched| launched.is_starting()) {
            launched.kill();
            // Ends at once; without this it would stay a zombie as long as the host lives.
            for _ in 0..20 {
                if launched.end().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// For how long a process of ours has been starting.
    pub(super) fn starting_for(&self, now: Instant) -> Option<Duration> {
        let starting = self.launched.as_ref().filter(|launched| launched.is_starting());
        starting.map(|launched| launched.age(now))
    }

    /// Nobody listens: whether there is a process of ours that is to listen, or that listens no more
    /// and is to end.
    pub(super) fn is_awaited(
        &mut self,
        deadlines: &Deadlines,
        log: &Path,
        now: Instant,
    ) -> Result<bool, EngineError> {
        let Some(launched) = &mut self.launched else { return Ok(false) };
        if let Some(end) = launched.end() {
            let starting = launched.is_starting();
            self.launched = None;
            if starting {
                return Err(EngineError::DiedAtStart { end, log: log.to_owned() });
            }
            return Ok(false);
        }
        if !launched.is_starting() {
            if launched.leaving_for(now) >= deadlines.end {
                launched.kill();
            }
        } else if launched.age(now) >= deadlines.start {
            let (after, last_line, log) = (deadlines.start, launched.kill(), log.to_owned());
            return Err(EngineError::SlowStart { after, last_line, log });
        }
        Ok(true)
    }

    /// Whether an engine that was ended may still accept connections, for `longest` at most.
    pub(super) fn is_ending(
        &mut self,
        endpoint: &Endpoint,
        longest: Duration,
        now: Instant,
    ) -> bool {
        let Some((process, when)) = self.ended else { return false };
        let lives = endpoint.engine_process() == Some(process);
        if !lives || now.saturating_duration_since(when) >= longest {
            // Its socket closes a moment after its lock: looked at once more.
            self.ended = None;
        }
        true
    }

    /// The engine `process` is ending by itself.
    pub(super) fn note_ending(&mut self, process: u32) {
        self.ended = Some((process, Instant::now()));
    }

    /// Ends the engine `process`, whoever has started it.
    pub(super) fn end(&mut self, process: u32, now: Instant) {
        self.ended = Some((process, now));
        match &mut self.launched {
            Some(launched) if launched.process() == process => {
                launched.kill();
                launched.answered();
            }
            _ => launch::kill(process),
        }
    }

    /// How a process of ours ended, and what it said last; waits half a second for its end.
    pub(super) fn wait_for_end(&mut self) -> Option<String> {
        let launched = self.launched.as_mut()?;
        // Its connection closes a moment before it ends, a longer one on a machine that is busy.
        (0..100).find_map(|_| {
            launched.end().or_else(|| {
                std::thread::sleep(Duration::from_millis(5));
                None
            })
        })
    }
}
