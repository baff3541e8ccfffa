//! How a long computation tells where it is, and asks whether to go on.

use std::time::Duration;

use tch::Tensor;
use wan_alpha_take::Warning;

use crate::{Error, Result, Stage};

/// Between two looks at whether memory may be taken again.
const MOMENT: Duration = Duration::from_millis(200);

/// Told of progress and asked, before each block of each network, whether to go on.
///
/// Called from the thread that computes; implementations should return at once.
pub trait Watch: Sync {
    /// `step` of `of` in `stage` is done (0 when the stage begins).
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        let _ = (stage, step, of);
    }

    /// `step` of `of` pieces of a file are written; `verb` says of what work, such as `merging`.
    fn writes(&self, verb: &str, step: usize, of: usize) {
        let _ = verb;
        self.progress(Stage::Load, step, of);
    }

    /// Whether [`Watch::prediction`] is to be told.
    fn wants_prediction(&self) -> bool {
        false
    }

    /// The normalized latent `[16, frames, h, w]` that a step of sampling leads to, as far as it can be told
    /// yet; told before the step is.
    fn prediction(&self, latent: &Tensor) {
        let _ = latent;
    }

    /// Whether to go on; `false` ends the computation with [`Error::Cancelled`].
    fn go_on(&self) -> bool {
        true
    }

    /// Asked at the same places, in `stage`: an error ends the computation as one of libtorch would.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once [`Watch::go_on`] says so.
    fn check(&self, stage: Stage) -> Result<()> {
        if self.go_on() { Ok(()) } else { Err(Error::Cancelled(stage)) }
    }

    /// What follows waits for a disk or a network, until this is said again with `false`: of the
    /// device nothing is to be heard meanwhile.
    fn waits_for_others(&self, waits: bool) {
        let _ = waits;
    }

    /// Whether to give the device's memory back now and wait: asked between two steps of denoising and
    /// before decoding.
    fn pauses(&self) -> bool {
        false
    }

    /// The device's memory is given back, `step` of `of` in `stage` being done, until nobody pauses and
    /// there is room again: said time and again meanwhile. Comes back after a moment.
    fn rest_paused(&self, stage: Stage, step: usize, of: usize) {
        let _ = (stage, step, of);
        std::thread::sleep(MOMENT);
    }

    /// Something the user should know that does not stop the work.
    fn warn(&self, message: &str) {
        log::warn!("{message}");
    }

    /// The same, in words that quote the user's: not for a log that others may read.
    fn warn_quoting(&self, message: &str) {
        self.warn(message);
    }

    /// Something to be known of the take that is being made, in the form in which its record keeps it.
    fn tell(&self, warning: &Warning) {
        let text = warning.to_string();
        if warning.quotes_prompt() { self.warn_quoting(&text) } else { self.warn(&text) }
    }
}

/// A [`Watch`] that logs warnings and never stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Fails with [`Error::Cancelled`] once `watch` no longer wants to go on.
pub(crate) fn check(watch: &dyn Watch, stage: Stage) -> Result<()> {
    watch.check(stage)
}
