//! What every verb gets besides its own arguments.

use wan_alpha_take::environment::Environment;

use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::progress::TerminalProgress;

/// What surrounds a verb while it runs.
#[derive(Clone, Copy)]
pub(crate) struct CommandContext<'a> {
    /// Folders, models and settings, as the environment names them.
    pub(crate) environment: &'a Environment,
    /// The line of progress, and remarks below it.
    pub(crate) progress: &'a TerminalProgress,
    /// What the model tells while it works; it ends the work on Ctrl-C.
    pub(crate) console: &'a Console<'a>,
    /// Whether somebody pressed Ctrl-C, for what works without a console.
    pub(crate) interrupt: &'a Interrupt,
}
