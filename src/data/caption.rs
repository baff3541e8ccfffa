//! `wan-alpha data caption`: a vision model's words for the rows that have none.
//!
//! The new table stands beside the set's own and is written again, whole, as answers come in: a run
//! that is stopped, or that fails, goes on where it was.

mod answer;
mod ask;
mod pictures;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use parking_lot::Mutex;
use rayon::prelude::*;
use wan_alpha_core::Watch;

use super::set::Set;
use super::table::{self, Row};
use crate::args::CaptionSet;
use crate::context::CommandContext;
use crate::environment;
use crate::exit::{Exit, OrExit};
use crate::own_inputs::refuse_input;
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;
use answer::CaptionAnswer;
use ask::Service;

/// Between two writings of a table that grows: answers take seconds, and a table of many rows does.
const WRITTEN_EVERY: Duration = Duration::from_secs(2);

/// The table as far as it is.
struct Growing {
    rows: Vec<Row>,
    written: Instant,
}

pub(super) fn run(args: &CaptionSet, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { progress, console, .. } = *context;
    let set = Set::open(&args.set)?;
    let out = out_path(args, &set).or_exit(Exit::BadInput)?;
    refuse_input("--out", &out, [&set.table])?;
    let _lock = WriteLock::of_file(&out)?;
    let key = args.key.as_deref().map(key_of).transpose().or_exit(Exit::BadInput)?;
    let service = Service::new(args, key).or_exit(Exit::BadInput)?;
    let mut rows = set.rows().to_vec();
    let kept = keep(&mut rows, &out).or_exit(Exit::BadInput)?;
    let waiting: Vec<usize> =
        (0..rows.len()).filter(|row| rows[*row].captions.is_empty()).collect();
    let (count, had) = (waiting.len(), rows.len() - waiting.len());
    // Finds out early whether it can be written.
    table::write(&out, &rows).or_exit(Exit::BadInput)?;
    let growing = Mutex::new(Growing { rows, written: Instant::now() });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.jobs as usize).build()?;
    progress.update("captioning", 0, count);
    let asked = pool.install(|| {
        waiting.par_iter().try_for_each(|row| -> Result<()> {
            let work = || {
                let shown = pictures::of(&set, *row, args.frames as usize)?;
                service.ask(&shown, &|| console.go_on())
            };
            let CaptionAnswer { long, short, labels } = work().with_context(|| set.name(*row))?;
            let mut growing = growing.lock();
            if let Some(row) = growing.rows.get_mut(*row) {
                row.captions = vec![long, short];
                for (name, value) in labels {
                    row.labels.entry(name).or_insert(value);
                }
            }
            if growing.written.elapsed() >= WRITTEN_EVERY {
                table::write(&out, &growing.rows)?;
                growing.written = Instant::now();
            }
            let done = waiting.iter().filter(|row| !growing.rows[**row].captions.is_empty());
            progress.update("captioning", done.count(), count);
            Ok(())
        })
    });
    // Whatever happened, what was answered is kept.
    let written = table::write(&out, &growing.lock().rows);
    asked
        .with_context(|| format!("{} has what was answered; run again to go on", out.display()))?;
    written?;
    progress.done();
    print_lines(&[out.display().to_string()])?;
    progress
        .remark(format!("{count} rows captioned, {had} had captions ({kept} of an earlier run)"));
    Ok(())
}

/// Beside the set's own table, since paths in it begin there.
fn out_path(args: &CaptionSet, set: &Set) -> Result<PathBuf> {
    let folder = set.table.parent().unwrap_or(Path::new(""));
    let Some(out) = &args.out else {
        let csv = set.table.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("csv"));
        return Ok(folder.join(if csv { "captioned.csv" } else { "captioned.jsonl" }));
    };
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let real = |path: &Path| {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        here.canonicalize().with_context(|| format!("{} is no folder", here.display()))
    };
    if let Some(parent) = parent {
        ensure!(
            real(parent)? == real(folder)?,
            "--out {} lies elsewhere than the set, whose paths begin at {}: give a name alone",
            out.display(),
            folder.display()
        );
    }
    let name = out.file_name().with_context(|| format!("--out {} is no file", out.display()))?;
    Ok(folder.join(name))
}

fn key_of(variable: &str) -> Result<String> {
    let key = environment::variable(variable).filter(|key| !key.trim().is_empty());
    key.map(|key| key.trim().to_owned()).ok_or_else(|| {
        anyhow!("the environment variable {variable} is not set: put the service's key there")
    })
}

/// Takes over the captions of an earlier run, and says of how many rows.
fn keep(rows: &mut [Row], out: &Path) -> Result<usize> {
    if !out.exists() {
        return Ok(0);
    }
    let mut earlier: BTreeMap<(String, String), VecDeque<Row>> = BTreeMap::new();
    for row in table::read(out)? {
        earlier.entry((row.color.clone(), row.alpha.clone())).or_default().push_back(row);
    }
    let mut kept = 0;
    for row in rows {
        let same = earlier.get_mut(&(row.color.clone(), row.alpha.clone()));
        let Some(known) = same.and_then(VecDeque::pop_front) else {
            continue;
        };
        if row.captions.is_empty() && !known.captions.is_empty() {
            row.captions = known.captions;
            row.labels = known.labels;
            kept += 1;
        }
    }
    Ok(kept)
}
