//! The reports of a job's tasks, joined.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::args::{Farm, JoinReports};
use crate::batch::{BatchReport, failure_of_shots};
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::write_whole;
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;

/// Prints what became of all shots, and fails as the worst of them did.
pub(super) fn run(args: &JoinReports, progress: &TerminalProgress) -> Result<()> {
    let joined = read(&args.reports).or_exit(Exit::BadInput)?;
    if let Some(path) = &args.junit {
        write_whole(path, joined.junit().as_bytes())?;
    }
    progress.done();
    if args.json {
        print_lines(&[serde_json::to_string_pretty(&joined.json())?])?;
    } else if args.farm == Some(Farm::Openjd) {
        joined.lines().iter().for_each(|line| progress.note(line));
    } else {
        print_lines(&joined.lines())?;
    }
    failure_of_shots(&joined).map_or(Ok(()), Err)
}

fn read(reports: &[PathBuf]) -> Result<BatchReport> {
    let mut joined = BatchReport::default();
    for report in reports {
        for file in files(report)? {
            let text = std::fs::read(&file)
                .with_context(|| format!("cannot read the report {}", file.display()))?;
            let one: BatchReport = serde_json::from_slice(&text).map_err(|error| {
                anyhow!("{} is no report of `batch --report`: {error}", file.display())
            })?;
            joined.shots.extend(one.shots);
        }
    }
    Ok(joined)
}

/// The reports of a folder by their names, or the one that is named.
fn files(report: &Path) -> Result<Vec<PathBuf>> {
    if !report.is_dir() {
        return Ok(vec![report.to_owned()]);
    }
    let entries = std::fs::read_dir(report)
        .with_context(|| format!("cannot read the folder {}", report.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    if files.is_empty() {
        return Err(anyhow!("{} has no reports of shots in it", report.display()));
    }
    Ok(files)
}
