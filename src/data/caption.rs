//! `wan-alpha data caption`: a vision model's words for the rows that have none.
//!
//! The new table stands beside the set's own and is written again, whole, as answers come in: a run
//! that is stopped, or that fails, goes on where it was. What the service declines is passed over,
//! told at the end and marked in the column `declined`; only `--again` asks for it anew.

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
use wan_alpha_take::counted::{counted, verb};

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
use ask::{CaptionOutcome, Service};

/// Between two writings of a table that grows: answers take seconds, and a table of many rows does.
const WRITTEN_EVERY: Duration = Duration::from_secs(2);

/// A service that has declined so many rows and answered none declines them all.
const DECLINED_AT_FIRST: usize = 5;

/// The table as far as it is.
struct Growing {
    rows: Vec<Row>,
    written: Instant,
    answered: usize,
    /// Rows that were captioned in an earlier run.
    kept: usize,
    /// Rows that the service has declined in this run, by their indices.
    declined: Vec<usize>,
}

/// A set whose rows are being captioned into a table.
struct Captioning<'a> {
    set: &'a Set,
    out: &'a Path,
    service: &'a Service,
    /// How many frames of a clip are shown.
    frames: usize,
    /// Rows to ask for, by their indices.
    waiting: &'a [usize],
    growing: Mutex<Growing>,
}

pub(super) fn run(args: &CaptionSet, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { progress, .. } = *context;
    let set = Set::open(&args.set)?;
    let out = out_path(args, &set).or_exit(Exit::BadInput)?;
    refuse_input("--out", &out, [&set.table])?;
    let _lock = WriteLock::of_file(&out)?;
    let key = args.key.as_deref().map(key_of).transpose().or_exit(Exit::BadInput)?;
    let service = Service::new(args, key).or_exit(Exit::BadInput)?;
    let mut rows = set.rows().to_vec();
    let kept = keep(&mut rows, &out).or_exit(Exit::BadInput)?;
    let without: Vec<usize> =
        (0..rows.len()).filter(|row| rows[*row].captions.is_empty()).collect();
    let asked = |row: &usize| args.again || rows[*row].declined.is_none();
    let waiting: Vec<usize> = without.iter().copied().filter(asked).collect();
    let (had, passed_over) = (rows.len() - without.len(), without.len() - waiting.len());
    // Finds out early whether it can be written.
    table::write(&out, &rows).or_exit(Exit::BadInput)?;
    let growing =
        Growing { rows, written: Instant::now(), answered: 0, kept, declined: Vec::new() };
    let captioning = Captioning {
        set: &set,
        out: &out,
        service: &service,
        frames: args.frames as usize,
        waiting: &waiting,
        growing: Mutex::new(growing),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.jobs as usize).build()?;
    let outcome = pool.install(|| captioning.ask_for_all(context));
    let mut growing = captioning.growing.into_inner();
    let outcome = outcome.and_then(|()| growing.is_any_answered());
    if outcome.is_err() && growing.is_any_answered().is_err() {
        // That says more of the service than of the rows.
        growing.declined.iter().for_each(|row| growing.rows[*row].declined = None);
    }
    let Growing { rows, answered, .. } = growing;
    // Whatever happened, what was answered is kept.
    let written = table::write(&out, &rows);
    outcome
        .with_context(|| format!("{} has what was answered; run again to go on", out.display()))?;
    written?;
    progress.done();
    print_lines(&[out.display().to_string()])?;
    progress.remark(format!(
        "{} captioned, {had} had captions ({kept} of an earlier run)",
        counted(answered, "row")
    ));
    list_declined(&set, &rows, passed_over, context);
    Ok(())
}

/// Tells of every row that the service has declined, in this run or in an earlier one.
fn list_declined(set: &Set, rows: &[Row], passed_over: usize, context: &CommandContext<'_>) {
    let declined = rows.iter().enumerate();
    let declined = declined.filter_map(|(row, about)| Some((row, about.declined.as_deref()?)));
    let mut count = 0;
    for (row, reason) in declined {
        context.progress.note(format!("declined: {}: {reason}", set.name(row)));
        count += 1;
    }
    if count > 0 {
        context.progress.remark(format!(
            "{} {} no captions, since the service declined them ({passed_over} of them \
             in an earlier run), as the column `declined` says: write some, leave the rows out, or \
             ask for them once more with --again",
            counted(count, "row"),
            verb(count, "has", "have")
        ));
    }
}

impl Captioning<'_> {
    fn ask_for_all(&self, context: &CommandContext<'_>) -> Result<()> {
        let CommandContext { progress, console, .. } = *context;
        let count = self.waiting.len();
        progress.update("captioning", 0, count);
        self.waiting.par_iter().try_for_each(|&row| -> Result<()> {
            let work = || {
                let shown = pictures::of(self.set, row, self.frames, console)?;
                self.service.ask(&shown, &|| console.go_on())
            };
            let outcome = work().with_context(|| self.set.name(row))?;
            let mut growing = self.growing.lock();
            growing.take(row, outcome);
            if growing.declined.len() == DECLINED_AT_FIRST {
                growing.is_any_answered()?;
            }
            if growing.written.elapsed() >= WRITTEN_EVERY {
                table::write(self.out, &growing.rows)?;
                growing.written = Instant::now();
            }
            progress.update("captioning", growing.answered + growing.declined.len(), count);
            Ok(())
        })
    }
}

impl Growing {
    fn take(&mut self, row: usize, outcome: CaptionOutcome) {
        match outcome {
            CaptionOutcome::Answered(CaptionAnswer { long, short, labels }) => {
                let row = &mut self.rows[row];
                row.captions = vec![long, short];
                row.declined = None;
                for (name, value) in labels {
                    row.labels.entry(name).or_insert(value);
                }
                self.answered += 1;
            }
            CaptionOutcome::Declined(reason) => {
                self.rows[row].declined = Some(reason);
                self.declined.push(row);
            }
        }
    }

    /// Fails where the service has declined whatever it was asked for: it is asked the wrong way.
    fn is_any_answered(&self) -> Result<()> {
        let Self { rows, answered: 0, kept: 0, declined, .. } = self else { return Ok(()) };
        let Some(first) = declined.first() else { return Ok(()) };
        let reason = rows[*first].declined.as_deref().unwrap_or_default();
        Err(anyhow!(
            "the service has declined whatever it was asked for, {} ({reason}): check --model, and that it \
             sees images",
            counted(declined.len(), "row")
        ))
        .or_exit(Exit::BadInput)
    }
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
            row.declined = None;
            kept += 1;
        } else if row.captions.is_empty() {
            row.declined = known.declined;
        }
    }
    Ok(kept)
}
