//! `wan-alpha eval`: how near clips are to each other, and how good takes are.
//!
//! Whatever made a clip, it is measured from its frames alone, so that the results of other systems
//! are scored as ours are. Each measure says in `table` what it is; one that is not the
//! literature's does not bear its name.

mod clip;
mod clip_score;
mod expected;
mod measure;
mod page;
mod reconstruction;
mod reconstruction_metrics;
mod summary;
mod table;
mod takes;

use anyhow::Result;
use wan_alpha_take::environment::Environment;

use crate::args::{EvalCommand, Report};
use crate::console::Console;
use crate::media::atomic_file::write_whole;
use crate::progress::Progress;
use crate::stdout::print_lines;
use table::Table;

/// Runs a verb of `wan-alpha eval`.
pub(crate) fn run(
    command: &EvalCommand,
    environment: &Environment,
    progress: &Progress,
    console: &Console<'_>,
) -> Result<()> {
    match command {
        EvalCommand::Reconstruction(args) => {
            reconstruction::run(args, environment, progress, console)
        }
        EvalCommand::Takes(args) => takes::run(args, environment, progress, console),
    }
}

/// Writes what was measured wherever it is wanted, then prints it.
fn tell(table: &Table, report: &Report, progress: &Progress) -> Result<()> {
    if let Some(path) = &report.json {
        let text = serde_json::to_string_pretty(&table.to_json())? + "\n";
        write_whole(path, text.as_bytes())?;
    }
    if let Some(path) = &report.html {
        write_whole(path, page::draw(table)?.as_bytes())?;
    }
    progress.done();
    print_lines(&table.to_lines());
    Ok(())
}
