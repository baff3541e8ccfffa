//! The syntax of `wan-alpha engine`.

use clap::{Args, Subcommand};

use super::Computing;

/// What to do with the engine.
#[derive(Debug, Subcommand)]
pub(crate) enum EngineVerb {
    /// Be the engine; clients start it by themselves
    Run(EngineRun),
    /// What it is doing
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Free the model's memory
    Unload,
    /// Give the device's memory back between two steps of the take that is made, and begin no other
    Pause,
    /// Go on with the take that was paused
    Resume,
    /// End it, whoever's takes it makes
    Stop,
}

/// An engine to be.
#[derive(Debug, Args)]
pub(crate) struct EngineRun {
    #[command(flatten)]
    pub(crate) computing: Computing,

    /// End soon after the last client, as an engine of a batch host does
    #[arg(long)]
    pub(crate) batch: bool,
}
