//! The reports of a job's tasks, joined.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::args::{Farm, JoinReports};
use crate::batch::{BatchReport, ShotReport, failure_of_shots, read_shots};
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::write_whole;
use crate::own_inputs::refuse_input;
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;

/// Prints what became of all shots, and fails as the worst of them did.
pub(super) fn run(args: &JoinReports, progress: &TerminalProgress) -> Result<()> {
    let joined = match &args.table {
        Some(table) => of_table(table, &args.reports),
        None => all(&args.reports),
    }
    .or_exit(Exit::BadInput)?;
    if let Some(path) = &args.junit {
        let reports = args.reports.iter().flat_map(|report| files(report).unwrap_or_default());
        let read: Vec<PathBuf> = reports.chain(args.table.clone()).collect();
        refuse_input("--junit", path, &read)?;
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

/// Every report that is named or lies in a folder.
fn all(reports: &[PathBuf]) -> Result<BatchReport> {
    let mut joined = BatchReport::default();
    for report in reports {
        for file in files(report)? {
            joined.shots.extend(read(&file)?.shots);
        }
    }
    Ok(joined)
}

/// What became of the shots of a table, in its order: what else lies beside their reports, such as those of an
/// earlier table, does not count, and a shot without one has not been made.
fn of_table(table: &Path, reports: &[PathBuf]) -> Result<BatchReport> {
    let (folders, files): (Vec<_>, Vec<_>) = reports.iter().partition(|report| report.is_dir());
    let named = all(&files.into_iter().cloned().collect::<Vec<_>>())?.shots;
    let mut joined = BatchReport::default();
    // Only the names of shots count here; a folder that no row names by itself.
    for shot in read_shots(table, Some(Path::new(".wan-alpha-job")))? {
        let mut found = named.iter().rfind(|other| other.name == shot.name).cloned();
        for folder in &folders {
            let file = folder.join(format!("{}.json", shot.name));
            if file.exists() {
                let shots = read(&file)?.shots;
                found = shots.into_iter().find(|other| other.name == shot.name).or(found);
            }
        }
        joined.shots.push(found.unwrap_or_else(|| ShotReport::without(&shot)));
    }
    Ok(joined)
}

fn read(file: &Path) -> Result<BatchReport> {
    let text = std::fs::read(file)
        .with_context(|| format!("cannot read the report {}", file.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| anyhow!("{} is no report of `batch --report`: {error}", file.display()))
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
