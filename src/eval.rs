//! `wan-alpha eval`: how near clips are to each other, and how good takes are.
//!
//! Whatever made a clip, it is measured from its frames alone, so that the results of other systems
//! are scored as ours are. Each measure says in `table` what it is; one that is not the
//! literature's does not bear its name.

mod clip;
mod clip_score;
mod expected;
mod judged;
mod measure;
mod page;
mod reconstruction;
mod reconstruction_metrics;
mod summary;
mod table;
mod take_columns;
mod takes;

use anyhow::Result;

use crate::args::{EvalCommand, ReportFiles};
use crate::context::CommandContext;
use crate::media::atomic_file::write_whole;
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;
use table::Table;

/// Runs a verb of `wan-alpha eval`.
pub(crate) fn run(command: &EvalCommand, context: &CommandContext<'_>) -> Result<()> {
    match command {
        EvalCommand::Reconstruction(args) => reconstruction::run(args, context),
        EvalCommand::Takes(args) => takes::run(args, context),
    }
}

/// Writes what was measured wherever it is wanted, then prints it.
fn tell(table: &Table, report: &ReportFiles, progress: &TerminalProgress) -> Result<()> {
    if let Some(path) = &report.json {
        let text = serde_json::to_string_pretty(&table.to_json())? + "\n";
        write_whole(path, text.as_bytes())?;
    }
    if let Some(path) = &report.html {
        write_whole(path, page::draw(table).as_bytes())?;
    }
    progress.done();
    print_lines(&table.to_lines());
    Ok(())
}
