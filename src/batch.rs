//! `wan-alpha batch`: the takes of a table, in one process.
//!
//! All rows are looked at before anything is made. Shots whose files are there, of the take that their
//! row asks for, are passed by; what the store has is written and not computed; a shot that fails is
//! reported, and the next is made. Several processes with one table share its shots: each holds those it
//! is at by a claim in the store, as it does takes, and comes back to those of others at the end.

mod making;
mod models;
mod report;
mod shots;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_take::TakeKey;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::store::Store;

use crate::args::{Batch, Farm, OnFailure};
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit, code_of};
use crate::failure;
use crate::media::atomic_file::{write_passing, write_whole};
use crate::media::error::MediaError;
use crate::output::Plan;
use crate::own_inputs::refuse_input;
use crate::progress::TerminalProgress;
use crate::render::AskedRequest;
use crate::stdout::print_lines;
use crate::take;
use making::{Making, PlannedShot, failure_of, is_there, mark_of};
pub(crate) use models::{AskedShot, Models};
use report::ShotState;
pub(crate) use report::{BatchReport, ShotReport};
pub(crate) use shots::{BatchShot, read as read_shots, refuse as refuse_rows};

/// Makes what the rows of a table ask for.
pub(crate) fn run(args: &Batch, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let whole = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
    let (out, report, junit) = (whole(&args.out)?, whole(&args.report)?, whole(&args.junit)?);
    let table = std::path::absolute(&args.table)?;
    let shots = chosen(read_shots(&table, out.as_deref())?, &args.only)?;
    // A row is what would be typed in the folder of its table.
    if let Some(folder) = table.parent() {
        std::env::set_current_dir(folder)
            .with_context(|| format!("cannot work in the table's folder {}", folder.display()))?;
    }
    refuse_reports(
        [("--report", report.as_deref()), ("--junit", junit.as_deref())],
        &table,
        &shots,
    )?;
    let files = [report.as_deref(), junit.as_deref()];
    // That of an earlier batch does not stay, whatever becomes of this one.
    if !args.check {
        write_reports(&BatchReport::not_begun(&shots), files, write_whole)
            .or_exit(Exit::BadInput)?;
    }
    let opened = device::open_untold(&args.computing, environment)?;
    let store = Store::new(environment.stores.clone());
    let mut models = Models::new(&opened, &store);
    let planned = match plan(shots, &table, &mut models, args.check, context) {
        Ok(planned) => planned,
        Err(Refusal { error, .. }) if args.check => return Err(error),
        Err(Refusal { error, report }) => {
            write_reports(&report, files, write_whole)?;
            return end(error, args.on_failure, progress);
        }
    };
    if args.check {
        return print_lines(&[format!("{}: every row can be made", args.table.display())]);
    }
    let absent = take::absent_folders(&store);
    let making = Making::new(&opened, &store, models, context);
    // Of a batch that is killed, too, it says what was made. What goes wrong with it goes wrong at the end too,
    // and is told then.
    let done = making.run(planned, |done| drop(write_reports(done, files, write_passing)));
    take::say_made(&absent, console);
    progress.done();
    let written = write_reports(&done, files, write_whole);
    if args.farm == Some(Farm::Openjd) {
        // Its log has both streams, and reads commands in them.
        done.lines().iter().for_each(|line| progress.note(line));
    } else {
        print_lines(&done.lines())?;
    }
    written?;
    failure_of_shots(&done).map_or(Ok(()), |error| end(error, args.on_failure, progress))
}

/// Refuses files of reports that would replace the table, what its rows read, or each other.
fn refuse_reports(
    reports: [(&str, Option<&Path>); 2],
    table: &Path,
    shots: &[BatchShot],
) -> Result<()> {
    // `--prompt=@FILE` and its kind; a word that is no file's name is none here either.
    let value = |word: &str| {
        let value = word.split_once('=').map_or(word, |(_, value)| value);
        PathBuf::from(value.strip_prefix('@').unwrap_or(value))
    };
    let read = shots.iter().flat_map(|shot| &shot.words).map(|word| value(word));
    let read: Vec<PathBuf> = std::iter::once(table.to_owned()).chain(read).collect();
    let mut taken = None;
    for (flag, path) in reports {
        let Some(path) = path else { continue };
        refuse_input(flag, path, &read)?;
        let why = if path.is_dir() {
            "is a folder"
        } else if taken == Some(path) {
            "is --report too"
        } else {
            taken = Some(path);
            continue;
        };
        return Err(anyhow!("{flag} {} {why}: name a file of its own for it", path.display()))
            .or_exit(Exit::BadInput);
    }
    Ok(())
}

/// How a command ends whose shots have failed so.
fn end(error: anyhow::Error, on_failure: OnFailure, progress: &TerminalProgress) -> Result<()> {
    if on_failure == OnFailure::Record && Exit::of(&error) != Exit::Cancelled {
        failure::tell(&error, progress, true);
        return Ok(());
    }
    Err(error)
}

/// That shots have failed, as the worst of them did; none where none has.
pub(crate) fn failure_of_shots(done: &BatchReport) -> Option<anyhow::Error> {
    let worst = done.worst()?;
    let what = if let [one] = done.shots.as_slice() {
        format!("shot {}: {}", one.name, worst.message)
    } else {
        let those = |state, what: [&str; 2]| {
            let names = done.shots.iter().filter(|shot| shot.state == state);
            let names: Vec<&str> = names.map(|shot| shot.name.as_str()).collect();
            let what = verb(names.len(), what[0], what[1]);
            (!names.is_empty()).then(|| format!("{} {what}, {}", names.len(), names.join(", ")))
        };
        let failed = those(ShotState::Failed, ["failed", "failed"]);
        let not_begun = those(ShotState::NotBegun, ["was not begun", "were not begun"]);
        let parts: Vec<String> = failed.into_iter().chain(not_begun).collect();
        let of = counted(done.shots.len(), "shot");
        format!("of {of} {}; the worst: {}", parts.join("; "), worst.message)
    };
    let remedy = "what is done stays when the batch is run again";
    Some(Problem::new(ProblemCode::from(worst.code.clone()), what, remedy).into())
}

/// Those that `--only` names, or all.
fn chosen(mut shots: Vec<BatchShot>, only: &[String]) -> Result<Vec<BatchShot>> {
    for name in only {
        let is_there = shots.iter().any(|shot| shot.name == *name);
        ensure_named(is_there, name, &shots).or_exit(Exit::BadInput)?;
    }
    shots.retain(|shot| only.is_empty() || only.contains(&shot.name));
    Ok(shots)
}

fn ensure_named(is_there: bool, name: &str, shots: &[BatchShot]) -> Result<()> {
    let names: Vec<&str> = shots.iter().map(|shot| shot.name.as_str()).collect();
    ensure!(is_there, "--only {name}: the table has no such shot; it has {}", names.join(", "));
    Ok(())
}

/// Why nothing is made, and what that means for each shot.
struct Refusal {
    error: anyhow::Error,
    report: BatchReport,
}

/// Completes every row to a request, those of the greatest priority first and shots of one model after each
/// other. `told`: what is said of them is shown, else each shot says it when it is made.
fn plan(
    shots: Vec<BatchShot>,
    table: &Path,
    models: &mut Models<'_>,
    told: bool,
    context: &CommandContext<'_>,
) -> Result<Vec<PlannedShot>, Refusal> {
    let silent = TerminalProgress::silent();
    let console = Console::new(if told { context.progress } else { &silent }, context.interrupt);
    let quiet = CommandContext { console: &console, ..*context };
    let mut report = BatchReport::not_begun(&shots);
    let mut planned = Vec::new();
    let mut problems = Vec::new();
    let mut worst: Option<anyhow::Error> = None;
    for (row, shot) in shots.into_iter().enumerate() {
        if context.interrupt.asked() {
            let error = Exit::Cancelled.mark(anyhow!("cancelled"));
            report.end(&failure_of(&error));
            return Err(Refusal { error, report });
        }
        match plan_row(&shot, models, &quiet) {
            Ok((key, model)) => planned.push(PlannedShot { row, shot, key, model }),
            Err(error) => {
                problems.push(format!("line {}, {}: {error:#}", shot.line, shot.name));
                report.fail(row, failure_of(&error));
                let is_worse = worst
                    .as_ref()
                    .is_none_or(|worst| Exit::of(worst).code() < Exit::of(&error).code());
                worst = if is_worse { Some(error) } else { worst };
            }
        }
    }
    if let Some(worst) = worst {
        let code = code_of(&worst);
        let said = refuse_rows(table, &problems).err().map(|error| error.to_string());
        let problem =
            Problem::new(ProblemCode::from(code), said.unwrap_or_default(), "correct them");
        return Err(Refusal { error: problem.into(), report });
    }
    planned.sort_by_key(|planned| (std::cmp::Reverse(planned.shot.priority), planned.model));
    Ok(planned)
}

/// The take that a row asks for and the number of its model, where its files can be written.
fn plan_row(
    shot: &BatchShot,
    models: &mut Models<'_>,
    context: &CommandContext<'_>,
) -> Result<(TakeKey, usize)> {
    let AskedShot { asked: AskedRequest { request, .. }, model, settings } =
        models.ask(shot, context)?;
    let key = request.key().or_exit(Exit::BadInput)?;
    if !is_there(shot, &mark_of(shot, &key)) {
        Plan::of(&request, &shot.render.out, &settings)?.refuse_unwritable()?;
    }
    Ok((key, model))
}

/// Writes what became of shots to the files that are asked for, JSON and JUnit, by `write`.
fn write_reports(
    done: &BatchReport,
    [json, junit]: [Option<&Path>; 2],
    write: impl Fn(&Path, &[u8]) -> Result<(), MediaError>,
) -> Result<()> {
    let mut texts = Vec::new();
    if let Some(path) = json {
        texts.push((path, serde_json::to_string_pretty(&done.json())? + "\n"));
    }
    texts.extend(junit.map(|path| (path, done.junit())));
    for (path, text) in texts {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| {
                format!("cannot make the folder {} of a report", folder.display())
            })?;
        }
        write(path, text.as_bytes())?;
    }
    Ok(())
}
