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

use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::args::{EvalCommand, ReportFiles};
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{probe_file, write_whole};
use crate::own_inputs::refuse_input;
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;
use table::Table;

/// Runs a verb of `wan-alpha eval`.
pub(crate) fn run(command: &EvalCommand, context: &CommandContext<'_>) -> Result<()> {
    match command {
        EvalCommand::Reconstruction(args) => reconstruction::run(args, context),
        EvalCommand::Takes(args) => takes::run(args, context),
    }
}

/// Where results go, found to be writable before anything is measured, and nobody else's meanwhile.
struct ReportPlaces<'a> {
    report: &'a ReportFiles,
    _locks: Vec<WriteLock>,
}

impl<'a> ReportPlaces<'a> {
    /// `inputs` are the files that are measured or read besides.
    fn open<'b>(
        report: &'a ReportFiles,
        inputs: impl IntoIterator<Item = &'b PathBuf>,
    ) -> Result<Self> {
        let inputs: Vec<&PathBuf> = inputs.into_iter().collect();
        let named = [("--json", &report.json), ("--html", &report.html)];
        if report.json.is_some() && report.json == report.html {
            return Err(anyhow!("--json and --html are one file: give each its own"))
                .or_exit(Exit::BadInput);
        }
        let mut locks = Vec::new();
        for (flag, path) in
            named.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)))
        {
            refuse_input(flag, path, inputs.iter().copied())?;
            probe_file(path).or_exit(Exit::BadInput)?;
            locks.push(WriteLock::of_file(path)?);
        }
        Ok(Self { report, _locks: locks })
    }
}

/// Writes what was measured wherever it is wanted, then prints it.
fn tell(table: &Table, places: &ReportPlaces<'_>, progress: &TerminalProgress) -> Result<()> {
    let report = places.report;
    if let Some(path) = &report.json {
        let text = serde_json::to_string_pretty(&table.to_json())? + "\n";
        write_whole(path, text.as_bytes())?;
    }
    if let Some(path) = &report.html {
        write_whole(path, page::draw(table).as_bytes())?;
    }
    progress.done();
    print_lines(&table.to_lines())?;
    Ok(())
}
