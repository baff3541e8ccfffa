//! A command's watch that keeps what a take teaches of how long takes last.

use parking_lot::Mutex;
use wan_alpha_core::{Result, Stage, Watch};
use wan_alpha_take::Warning;

use crate::console::Console;
use crate::timing_history::TimedRun;

/// Everything goes on to the console.
pub(crate) struct TimedWatch<'a> {
    console: &'a Console<'a>,
    run: Mutex<TimedRun>,
}

impl<'a> TimedWatch<'a> {
    pub(crate) fn new(console: &'a Console<'a>, run: TimedRun) -> Self {
        Self { console, run: Mutex::new(run) }
    }

    /// What was learned.
    pub(crate) fn finish(self) -> TimedRun {
        self.run.into_inner()
    }
}

impl Watch for TimedWatch<'_> {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        self.run.lock().step(stage, step, of);
        self.console.progress(stage, step, of);
    }

    fn go_on(&self) -> bool {
        self.console.go_on()
    }

    fn check(&self, stage: Stage) -> Result<()> {
        self.console.check(stage)
    }

    fn waits_for_others(&self, waits: bool) {
        self.console.waits_for_others(waits);
    }

    fn pauses(&self) -> bool {
        self.console.pauses()
    }

    fn rest_paused(&self, stage: Stage, step: usize, of: usize) {
        self.run.lock().interrupt();
        self.console.rest_paused(stage, step, of);
    }

    fn warn(&self, message: &str) {
        self.console.warn(message);
    }

    fn warn_quoting(&self, message: &str) {
        self.console.warn_quoting(message);
    }

    fn tell(&self, warning: &Warning) {
        self.console.tell(warning);
    }
}
