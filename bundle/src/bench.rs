//! `cargo xtask bench`: our transformer and decoder beside diffusers, in one run.
//!
//! Both sides are processes that stay alive, built and warmed up once, and take turns: ours,
//! theirs, ours, theirs. What the machine does meanwhile meets both alike, and the ratio is taken
//! pair by pair. Standard output carries one JSON line per case; the table for people goes to
//! standard error.

mod environment;
mod side;
mod statistics;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::tree::Tree;
use crate::{cargo, setup};
use side::Side;
use statistics::{Spread, ratio_of_pairs};

/// Of OpenMP and torch, on both sides.
const THREADS: u32 = 2;

/// One comparison.
struct Case {
    name: &'static str,
    /// Diffusers keeps no text keys, so that two cases of ours share one of theirs.
    theirs: &'static str,
    /// The most that ours may take of theirs.
    limit: f64,
    pairs: usize,
}

const CASES: &[Case] = &[
    Case { name: "dit-1", theirs: "dit-1", limit: 1.05, pairs: 9 },
    Case { name: "dit-1-nocache", theirs: "dit-1", limit: 1.05, pairs: 9 },
    Case { name: "dit-5", theirs: "dit-5", limit: 1.05, pairs: 5 },
    Case { name: "dit-5-nocache", theirs: "dit-5", limit: 1.05, pairs: 5 },
    Case { name: "decode", theirs: "decode", limit: 0.8, pairs: 5 },
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Cases to run: dit-1, dit-1-nocache, dit-5, dit-5-nocache, decode; all of them by default.
    #[arg(value_parser = CASES.iter().map(|case| case.name).collect::<Vec<_>>())]
    names: Vec<String>,
    /// Write the JSON lines to this file as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Pairs per case, instead of each case's own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pairs: Option<u16>,
}

/// One line of output.
#[derive(Serialize)]
struct Measured {
    bench: &'static str,
    ours_s: Spread,
    theirs_s: Spread,
    ratio_median_of_pairs: f64,
    limit: f64,
    within_limit: bool,
    pairs: usize,
    threads: u32,
    versions: Versions,
}

#[derive(Serialize)]
struct Versions {
    ours: Value,
    theirs: Value,
}

/// Fails where a case is above its limit, after all of them have run.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<ExitCode> {
    let mut file = match &options.out {
        Some(path) => Some(
            File::create(path).with_context(|| format!("{} cannot be created", path.display()))?,
        ),
        None => None,
    };
    setup::ensure(tree)?;
    let python = environment::ensure(tree)?;
    let example = ["--release", "--package", "wan-alpha-core", "--example", "bench"];
    let ours = cargo::build(tree, &example, "bench")?;

    let wanted = |case: &&Case| {
        options.names.is_empty() || options.names.iter().any(|name| name == case.name)
    };
    let mut all = Vec::new();
    for case in CASES.iter().filter(wanted) {
        let mut theirs = Command::new(&python);
        theirs.arg(tree.root().join("bundle/bench/diffusers_side.py")).arg(case.theirs);
        let mut command = Command::new(&ours);
        command.arg(case.name);
        let pairs = options.pairs.map_or(case.pairs, usize::from);
        let measured = measure(case, pairs, command, theirs)
            .with_context(|| format!("the case {} could not be measured", case.name))?;
        let line =
            serde_json::to_string(&measured).context("a result cannot be written as JSON")?;
        println!("{line}");
        if let Some(file) = &mut file {
            writeln!(file, "{line}").context("the file of --out cannot be written")?;
        }
        all.push(measured);
    }
    eprint!("{}", table(&all));
    let good = all.iter().all(|measured| measured.within_limit);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both sides ready and warm, then pair by pair.
fn measure(case: &Case, pairs: usize, ours: Command, theirs: Command) -> Result<Measured> {
    eprintln!("bench: {}: both sides are getting ready", case.name);
    let mut ours = Side::start("ours", ours, THREADS)?;
    let mut theirs = Side::start("theirs", theirs, THREADS)?;
    same_work(&ours, &theirs)?;
    let mut taken = Vec::with_capacity(pairs);
    // The first pair warms caches and allocators up and is not counted.
    for pair in 0..=pairs {
        let seconds = (ours.run()?, theirs.run()?);
        if pair > 0 {
            eprintln!(
                "bench: {} {pair}/{pairs}: ours {:.3} s, theirs {:.3} s",
                case.name, seconds.0, seconds.1
            );
            taken.push(seconds);
        }
    }
    let (of_ours, of_theirs): (Vec<f64>, Vec<f64>) = taken.iter().copied().unzip();
    let (Some(ours_s), Some(theirs_s), Some(ratio)) =
        (Spread::of(&of_ours), Spread::of(&of_theirs), ratio_of_pairs(&taken))
    else {
        bail!("no pair was measured");
    };
    Ok(Measured {
        bench: case.name,
        ours_s,
        theirs_s,
        ratio_median_of_pairs: ratio,
        limit: case.limit,
        within_limit: ratio <= case.limit,
        pairs,
        threads: THREADS,
        versions: Versions { ours: ours.versions(), theirs: theirs.versions() },
    })
}

/// A comparison of different work would be worth nothing. A side may leave out its parameters.
fn same_work(ours: &Side, theirs: &Side) -> Result<()> {
    for fact in ["shape", "parameters"] {
        let (of_ours, of_theirs) = (ours.fact(fact), theirs.fact(fact));
        let left_out = fact == "parameters" && (of_ours.is_null() || of_theirs.is_null());
        ensure!(
            left_out || of_ours == of_theirs,
            "the two sides do different work: {fact} is {of_ours} on ours and {of_theirs} on theirs"
        );
    }
    Ok(())
}

fn table(all: &[Measured]) -> String {
    let mut text = format!(
        "\n{:<15} {:>9} {:>9} {:>7} {:>6}  medians in seconds, {THREADS} threads, float32\n",
        "case", "ours", "theirs", "ratio", "limit"
    );
    for row in all {
        let verdict = if row.within_limit { "" } else { "  ABOVE THE LIMIT" };
        text += &format!(
            "{:<15} {:>9.3} {:>9.3} {:>7.3} {:>6.2}{verdict}\n",
            row.bench, row.ours_s.median, row.theirs_s.median, row.ratio_median_of_pairs, row.limit
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side that answers with the given seconds, round after round.
    fn script(ready: &str, seconds: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!(
            "echo 'ready {ready}'; while read line; do echo '{{\"seconds\": {seconds}}}'; done"
        ));
        shell
    }

    const READY: &str = r#"{"shape":[1,2],"parameters":3,"checksum":0.5,"versions":{"x":"1"}}"#;

    #[test]
    fn a_case_is_measured_and_judged_by_its_limit() {
        let measured = measure(&CASES[0], 3, script(READY, "1.5"), script(READY, "1.0")).unwrap();
        assert_eq!(measured.ratio_median_of_pairs, 1.5);
        assert!(!measured.within_limit);
        assert_eq!(measured.versions.ours["x"], "1");
        let line: Value = serde_json::to_value(&measured).unwrap();
        assert_eq!(line["ours_s"]["median"], 1.5);
        assert_eq!(line["theirs_s"]["max"], 1.0);
        assert!(table(&[measured]).contains("ABOVE THE LIMIT"));
        let measured = measure(&CASES[0], 1, script(READY, "1.05"), script(READY, "1.0")).unwrap();
        assert!(measured.within_limit);
    }

    #[test]
    fn sides_that_do_different_work_are_not_compared() {
        let other = READY.replace("[1,2]", "[1,3]");
        let outcome = measure(&CASES[0], 1, script(READY, "1"), script(&other, "1"));
        let error = outcome.err().unwrap().to_string();
        assert!(error.contains("shape is [1,2] on ours and [1,3] on theirs"), "{error}");
    }
}
