//! The syntax of `wan-alpha train`.

use std::path::PathBuf;

use clap::Args;

use super::Computing;

/// A run to begin or to go on with.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// The run: what is trained, on what, how long (TOML)
    #[arg(value_name = "RUN.toml")]
    pub(crate) settings: PathBuf,

    /// A folder for states, log, curves, samples and results; a run that is in it goes on
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Steps in all, instead of the run's own
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,

    #[command(flatten)]
    pub(crate) computing: Computing,
}
