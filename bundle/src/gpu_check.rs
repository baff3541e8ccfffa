//! `cargo xtask gpu-check`: the program on this machine's NVIDIA card, tried and measured.
//!
//! ```text
//! machine ─▶ take ─▶ attention, block, decoding, copies ─▶ large ─▶ fault
//!  doctor    engine       measure.py, a part at a time      engine   measure.py
//! ```
//!
//! Each part runs in processes of its own, within a time limit out of the whole; one that fails, is
//! ended or has no time is a line that says so, and the next one begins. What needs a card is left
//! out without one, and the rest is done small. Results are `gpu-check.jsonl` and `gpu-check.md`;
//! nothing else stays, whether the check ends by itself or by Ctrl-C.

mod budget;
mod large;
mod machine;
mod measure;
mod memory;
mod pack;
mod page;
mod plan;
mod process;
mod programs;
mod random_model;
mod redact;
mod report;
mod stages;
mod take;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::demo::studio::DemoFolders;
use crate::tree::Tree;
use budget::Budget;
use machine::NvidiaCard;
use process::{ProgramEnd, ProgramRun, Stop};
use programs::CheckPrograms;
use redact::Redact;
use report::{CheckReport, Measurement, PartOutcome};

/// The model that ships, in a checkout.
const DRAFT_MODEL: &str = "resources/draft-model";
const LINES: &str = "gpu-check.jsonl";
const PAGE: &str = "gpu-check.md";
/// Of an engine that is told to end.
const ENDING: Duration = Duration::from_secs(8);

#[derive(clap::Args)]
pub(crate) struct GpuCheckOptions {
    /// How long it may take in all, at most.
    #[arg(long, value_name = "N", default_value_t = 9.0, value_parser = minutes)]
    minutes: f64,
    /// Where gpu-check.jsonl and gpu-check.md go [default: out/gpu-check in a checkout, else
    /// gpu-check].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Check the engine of this bundle instead of building one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["engine", "from"])]
    bundle: Option<PathBuf>,
    /// Check this program instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    engine: Option<PathBuf>,
    /// A Python with torch, for the parts that measure single operations.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Check nothing: make a folder that carries the check to a machine without network and cargo.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bundle", "engine", "from", "out"])]
    pack: Option<PathBuf>,
    /// A folder that --pack made, from which this runs.
    #[arg(long, value_name = "DIR", hide = true)]
    from: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.5..=120.0).contains(number));
    number.ok_or_else(|| format!("expected minutes, 0.5 to 120, found `{text}`"))
}

/// One part of the check.
struct CheckPart {
    name: &'static str,
    /// It can do nothing in less.
    least: Duration,
    /// It is ended after this.
    most: Duration,
    run: fn(&mut Check<'_>, Duration) -> Result<PartVerdict>,
}

/// How a part ended that did not fail.
enum PartVerdict {
    Done,
    /// In whole or in part, and why.
    LeftOut(String),
}

/// A part that was ended because its time was up.
#[derive(Debug)]
struct OutOfTime(String);

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfTime {}

const fn part(
    name: &'static str,
    [least, most]: [u64; 2],
    run: fn(&mut Check<'_>, Duration) -> Result<PartVerdict>,
) -> CheckPart {
    CheckPart { name, least: Duration::from_secs(least), most: Duration::from_secs(most), run }
}

/// What is cheap and decides most comes first.
const PARTS: [CheckPart; 8] = [
    part("machine", [5, 60], machine::look),
    part("take", [10, 120], take::compare),
    part("attention", [10, 60], |check, limit| measure::run(check, "attention", limit)),
    part("block", [10, 75], |check, limit| measure::run(check, "block", limit)),
    part("decoding", [10, 120], |check, limit| measure::run(check, "decoding", limit)),
    part("copies", [10, 45], |check, limit| measure::run(check, "copies", limit)),
    part("large", [15, 420], large::run),
    part("fault", [10, 45], measure::provoke_fault),
];

/// A check that is going on.
struct Check<'a> {
    programs: &'a CheckPrograms,
    studio: &'a DemoFolders,
    /// Gone when the check has ended.
    scratch: &'a Path,
    stop: &'a Stop,
    report: CheckReport,
    /// What is being run.
    part: &'static str,
    card: Option<NvidiaCard>,
}

/// Fails where a part failed, had no time, or found what should not be.
pub(crate) fn run(options: &GpuCheckOptions) -> Result<ExitCode> {
    if let Some(folder) = &options.pack {
        pack::make(&Tree::find()?, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::watch()?;
    let out = options.out.clone().unwrap_or_else(programs::default_out);
    fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let out = out.canonicalize().with_context(|| format!("{} is gone", out.display()))?;
    let scratch = scratch(&out)?;
    let programs = CheckPrograms::of(options, scratch.path(), &stop)?;
    let studio = DemoFolders::in_folder(&scratch.path().join("studio"), programs.engine.clone())?;

    let report = CheckReport::create(&out.join(LINES), redaction(&out, scratch.path()))?;
    let whole = Duration::from_secs_f64(options.minutes * 60.0);
    let mut check = Check {
        programs: &programs,
        studio: &studio,
        scratch: scratch.path(),
        stop: &stop,
        report,
        part: "",
        card: None,
    };
    let outcome = check.run_parts(&Budget::begin(whole));
    let stopped = check.stop_engine();
    let report = check.report;
    let page_file = out.join(PAGE);
    let written = fs::write(&page_file, page::page(&report))
        .with_context(|| format!("{} cannot be written", page_file.display()));
    scratch.close().context("the check's temporary folder cannot be removed")?;
    outcome.and(stopped).and(written)?;
    println!("{}", page_file.display());
    eprintln!("gpu-check: {PAGE} is for people, {LINES} beside it for programs");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Beside the results: where there is room for them there may be room for a model.
fn scratch(out: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(".gpu-check-")
        .tempdir_in(out)
        .with_context(|| format!("no temporary folder can be made in {}", out.display()))
}

fn redaction(out: &Path, scratch: &Path) -> Redact {
    let tree = Tree::find().ok();
    let here = std::env::current_dir().ok();
    let checkout = tree.as_ref().map(|tree| (tree.root(), "CHECKOUT"));
    let here = here.as_deref().map(|here| (here, "."));
    let own = [(scratch, "SCRATCH"), (out, "OUT")];
    Redact::here(&own.into_iter().chain(checkout).chain(here).collect::<Vec<_>>())
}

impl Check<'_> {
    fn run_parts(&mut self, budget: &Budget) -> Result<()> {
        for part in &PARTS {
            self.part = part.name;
            let begun = Instant::now();
            if self.stop.asked() {
                self.end(
                    PartOutcome::Stopped,
                    Some("the check was stopped before it".into()),
                    begun,
                )?;
                continue;
            }
            let Some(limit) = budget.share(part.least, part.most) else {
                let why = format!(
                    "{:.0} s were left, and it needs {:.0} s",
                    budget.left().as_secs_f64(),
                    part.least.as_secs_f64()
                );
                self.end(PartOutcome::NoTime, Some(why), begun)?;
                continue;
            };
            eprintln!("gpu-check: {} (at most {:.0} s)", part.name, limit.as_secs_f64());
            let (outcome, why) = match (part.run)(self, limit) {
                _ if self.stop.asked() => (PartOutcome::Stopped, Some("Ctrl-C".to_owned())),
                Ok(PartVerdict::Done) => (PartOutcome::Done, None),
                Ok(PartVerdict::LeftOut(why)) => (PartOutcome::LeftOut, Some(why)),
                Err(error) if error.is::<OutOfTime>() => {
                    (PartOutcome::NoTime, Some(format!("{error:#}")))
                }
                Err(error) => (PartOutcome::Failed, Some(format!("{error:#}"))),
            };
            self.end(outcome, why, begun)?;
        }
        Ok(())
    }

    fn end(&mut self, outcome: PartOutcome, why: Option<String>, begun: Instant) -> Result<()> {
        if let Some(why) = &why {
            eprintln!("gpu-check:   {why}");
        }
        self.report.ended(self.part, outcome, why, begun.elapsed())
    }

    fn measured(&mut self, measurement: Measurement) -> Result<()> {
        self.report.measured(self.part, measurement)
    }

    /// The engine's program, in surroundings of its own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.engine);
        self.studio.surround(&mut command);
        command
            .env("XDG_CACHE_HOME", self.scratch.join("cache"))
            .env("CUDA_CACHE_PATH", self.scratch.join("cuda-cache"))
            // Files say when they were written; equal takes are equal files only at one time.
            .env("SOURCE_DATE_EPOCH", "0")
            .current_dir(self.scratch)
            .args(arguments);
        command
    }

    /// Runs it to its end; whatever else happens is an error in its words.
    fn told(&self, arguments: &[&str], limit: Duration) -> Result<ProgramRun> {
        let run = process::run(&mut self.command(arguments), limit, self.stop)?;
        must_succeed(&run, arguments[0])?;
        Ok(run)
    }

    /// Also after Ctrl-C, when nothing else is run any more.
    fn stop_engine(&self) -> Result<()> {
        let mut command = self.command(&["engine", "stop"]);
        let run = process::run(&mut command, ENDING, &Stop::default())?;
        must_succeed(&run, "engine stop")
    }
}

fn must_succeed(run: &ProgramRun, what: &str) -> Result<()> {
    match run.end {
        ProgramEnd::Exit(status) => {
            ensure!(status.success(), "`{what}` ended with {status}: {}", run.last_words());
        }
        ProgramEnd::OutOfTime => {
            let seconds = run.seconds();
            let said = run.last_words();
            let text = format!("`{what}` was ended after {seconds:.0} s; the last it said: {said}");
            return Err(OutOfTime(text).into());
        }
        ProgramEnd::Stopped => anyhow::bail!("`{what}` was stopped"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_into_the_usual_time_with_most_of_it_for_the_large_model() {
        let before: Duration = PARTS.iter().take(6).map(|part| part.most).sum();
        assert!(before < Duration::from_secs(9 * 60));
        assert!(PARTS.iter().all(|part| part.least <= part.most));
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        let documentation = include_str!("../../docs/gpu-check.md");
        for name in names {
            assert!(documentation.contains(&format!("## {name}")), "{name} is not explained");
        }
    }

    #[test]
    fn minutes_are_minutes() {
        assert_eq!(minutes("9"), Ok(9.0));
        for text in ["0", "NaN", "-1", "soon", "1e9"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
