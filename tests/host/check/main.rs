//! `check-ofx`: tells whether an OpenFX plug-in keeps the rules, and how it would fare in the hosts
//! that are known well.
//!
//! Reading order: `check` (what a check is, and the list of all), one file for each level, `report`
//! (what a check finds), `subject` (what it looks at), `examine` (who runs it), `results` and
//! `junit` (what comes out).
//!
//! What holds:
//! - Each check of each plug-in runs in a process of its own, with a time limit: a crash or a hang
//!   is something that was found, and the others run all the same.
//! - That process has a home of its own, and what it leaves running is ended.
//! - A fault breaks OpenFX, or is known to break in a host. Advice does not fail unless `--strict`.

#![forbid(unsafe_code)]

mod check;
mod describe;
mod examine;
mod faults;
mod fuzz;
mod hosts;
mod junit;
mod load;
mod parameters;
mod remedy;
mod render;
mod report;
mod results;
mod soak;
mod state;
mod subject;
mod threads;
mod traces;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use results::Results;

/// Tells whether an OpenFX plug-in keeps the rules.
///
/// Levels: 1 load, 2 describe, 3 parameters, 4 render, 5 threads, 6 hosts, 7 state, 8 faults,
/// 9 fuzz, 10 soak. Ends with 0 where no fault was found, with 1 where there is one, with 2 where
/// nothing could be examined.
#[derive(Parser)]
#[command(name = "check-ofx", max_term_width = 100)]
struct Arguments {
    /// A bundle folder, or a binary on its own.
    #[arg(value_name = "BUNDLE", required_unless_present = "list")]
    file: Option<PathBuf>,
    /// The last level to run.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=10))]
    level: u8,
    /// Examine only the plug-in of this identifier; all of them by default.
    #[arg(long, value_name = "IDENTIFIER")]
    plugin: Option<String>,
    /// Give a parameter this value on every node; an option of a choice by name or number.
    #[arg(long = "set", value_name = "ID=VALUE")]
    presets: Vec<String>,
    /// Run only checks whose id begins so.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to this file as JUnit.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail on advice too.
    #[arg(long)]
    strict: bool,
    /// Show the remedy with everything that was found, and what passed.
    #[arg(long, short)]
    verbose: bool,
    /// Where random checks begin.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many checks to run at the same time; as many as there are processors by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// How long a check may take, in seconds, instead of each one's own limit.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// Leave the home folder and its kin as they are, for plug-ins that find their license there.
    #[arg(long)]
    as_user: bool,
    /// Say what every check is, and end.
    #[arg(long)]
    list: bool,
    /// Runs one check of one plug-in in this process.
    #[arg(long, hide = true, num_args = 3, value_names = ["CHECK", "NTH", "SCRATCH"])]
    run: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("check-ofx: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        print!("{}", check::list());
        return Ok(ExitCode::SUCCESS);
    }
    let file = arguments.file.as_deref().context("a bundle is missing")?;
    ensure!(file.exists(), "{} does not exist", file.display());
    if let Some(run) = &arguments.run {
        let [check, nth, scratch] = &run[..] else { anyhow::bail!("--run takes three values") };
        let nth = nth.parse().context("the number of a plug-in")?;
        return examine::run_one(arguments, file, check, nth, Path::new(scratch));
    }
    let results = examine::examine(arguments, file)?;
    print!("{}", results.table(arguments.verbose));
    write(arguments.json.as_deref(), || results.json())?;
    write(arguments.junit.as_deref(), || junit::document(&results))?;
    Ok(verdict(&results, arguments.strict))
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, text()?).with_context(|| format!("{} cannot be written", path.display()))
}

fn verdict(results: &Results, strict: bool) -> ExitCode {
    let (faults, advice, broken) = results.counts();
    if broken > 0 {
        return ExitCode::from(2);
    }
    if faults > 0 || (strict && advice > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Arguments {
    fn limit(&self, of_check: u64) -> Duration {
        Duration::from_secs(self.patience.unwrap_or(of_check))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
