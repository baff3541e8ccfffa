//! `wan-alpha job`: the shots of a table as a job of a farm.
//!
//! Each shot is a step or layer of its own that runs `wan-alpha batch TABLE --only SHOT`: the farm may run
//! them on as many machines as it has, and a shot that fails holds up no other. What follows in a host
//! (the pre-render pattern) waits for all of them and finds their takes in the job's store.

mod card_memory;
mod farm_job;
mod opencue;
mod openjd;
mod relative_path;
mod report;

use std::cmp::Reverse;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use wan_alpha_take::store::Store;

use crate::args::{FarmJob, JobCommand};
use crate::batch::{AskedShot, BatchShot, Models, read_shots, refuse_rows};
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::write_whole;
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;
use farm_job::{JobFiles, JobShot, PlannedJob};

/// What files of jobs say of themselves, by which they are known again.
const WRITTEN_BY: &str = "Written by `wan-alpha job ";

/// The most letters of a job's name in Open Job Description.
const NAME_LIMIT: usize = 128;

/// Runs a verb of `wan-alpha job`.
pub(crate) fn run(command: &JobCommand, context: &CommandContext<'_>) -> Result<()> {
    match command {
        JobCommand::Openjd(args) => write(args, openjd::files, context),
        JobCommand::Opencue(args) => write(args, opencue::files, context),
        JobCommand::Report(args) => report::run(args, context.progress),
    }
}

fn write(
    args: &FarmJob,
    files: impl Fn(&PlannedJob<'_>) -> Result<JobFiles>,
    context: &CommandContext<'_>,
) -> Result<()> {
    let table = std::path::absolute(&args.table)?;
    let folder = std::path::absolute(&args.out)?;
    let shots = shots(args, &table, &folder, context)?;
    let stem = table.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    check_name(&name).or_exit(Exit::BadInput)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder of the job, {}", folder.display()))
        .or_exit(Exit::BadInput)?;
    let _lock = WriteLock::of_folder(&folder)?;
    let job = PlannedJob { name, table, folder, program: &args.program, shots, then: &args.then };
    let JobFiles { files, next } = files(&job)?;
    for (name, _) in &files {
        refuse_others(&job.folder.join(name)).or_exit(Exit::BadInput)?;
    }
    for (name, text) in files {
        write_whole(&job.folder.join(name), text.as_bytes())?;
    }
    context.progress.done();
    context.progress.remark(format!("run it: {next}"));
    print_lines(&[job.folder.display().to_string()])
}

/// Refuses to replace a file that is not an earlier job of ours.
fn refuse_others(file: &Path) -> Result<()> {
    let ours = || {
        let text = std::fs::read(file).unwrap_or_default();
        text.windows(WRITTEN_BY.len()).any(|part| part == WRITTEN_BY.as_bytes())
    };
    ensure!(
        !file.exists() || ours(),
        "{} is there and was not written by `wan-alpha job`: choose another --out, or move it away",
        file.display()
    );
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let length = name.chars().count();
    let is_plain = !name.chars().any(|c| c.is_control() || "{}".contains(c));
    ensure!(
        (1..=NAME_LIMIT).contains(&length) && is_plain,
        "the name of a job has to be 1 to {NAME_LIMIT} letters, without braces: give another by --name"
    );
    Ok(())
}

/// The shots of a table, every row looked at, those of the greatest priority first.
fn shots(
    args: &FarmJob,
    table: &Path,
    folder: &Path,
    context: &CommandContext<'_>,
) -> Result<Vec<JobShot>> {
    let mut shots = read_shots(table, Some(&folder.join("frames")))?;
    if let Some(folder) = table.parent() {
        std::env::set_current_dir(folder)
            .with_context(|| format!("cannot work in the table's folder {}", folder.display()))?;
    }
    let opened = device::open_untold(&args.computing, context.environment)?;
    let store = Store::new(context.environment.stores.clone());
    let mut models = Models::new(&opened, &store);
    shots.sort_by_key(|shot| Reverse(shot.priority));
    let mut problems = Vec::new();
    let mut told = Vec::new();
    for shot in shots {
        match job_shot(&shot, args.gpu_memory, &mut models, context) {
            Ok(shot) => told.push(shot),
            Err(error) => problems.push(format!("line {}, {}: {error:#}", shot.line, shot.name)),
        }
    }
    refuse_rows(table, &problems)?;
    Ok(told)
}

fn job_shot(
    shot: &BatchShot,
    asked: Option<u32>,
    models: &mut Models<'_>,
    context: &CommandContext<'_>,
) -> Result<JobShot> {
    let AskedShot { asked: take, model, .. } = models.ask(shot, context)?;
    let card_gigabytes = match asked {
        Some(gigabytes) => (gigabytes > 0).then_some(gigabytes),
        None => card_memory::needed(models.pipeline(model), &take.request)?,
    };
    Ok(JobShot { name: shot.name.clone(), card_gigabytes })
}
