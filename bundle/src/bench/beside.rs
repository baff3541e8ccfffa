//! Our transformer and decoder beside diffusers, and our steps of training beside PyTorch's.
//!
//! Both sides are processes that stay alive, built and warmed up once, and take turns: ours,
//! theirs, ours, theirs. What the machine does meanwhile meets both alike, and the ratio is taken
//! pair by pair.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use super::before::{self, COMMIT};
use super::side::Side;
use super::statistics::{Spread, ratio_of_pairs};
use super::{BenchOutcome, BenchRow, THREADS, environment};
use crate::tree::Tree;
use crate::{cargo, setup};

/// The other side's script for transformer and decoder.
pub(super) const DIFFUSERS: &str = "bundle/bench/diffusers_side.py";
/// The other side's script for training.
pub(super) const TRAINING: &str = "bundle/bench/training_side.py";

/// A script of the other side, and how many pairs of runs it is compared in.
pub(super) struct Comparison {
    pub(super) script: &'static str,
    /// Diffusers keeps no text keys, so that two cases of ours share one of theirs.
    pub(super) theirs: &'static str,
    /// The most that ours may take of theirs.
    pub(super) limit: f64,
    pub(super) pairs: usize,
}

/// What both sides run.
pub(super) struct BothSides {
    ours: PathBuf,
    before: PathBuf,
    python: PathBuf,
    root: PathBuf,
}

/// One line of output.
#[derive(Serialize)]
struct BesideLine {
    bench: &'static str,
    ours_s: Spread,
    theirs_s: Spread,
    ratio_median_of_pairs: f64,
    limit: f64,
    within_limit: bool,
    /// The same case of ours at an earlier commit.
    before: &'static str,
    before_s: Spread,
    ratio_to_before: f64,
    pairs: usize,
    threads: u32,
    versions: SideVersions,
}

#[derive(Serialize)]
struct SideVersions {
    ours: Value,
    theirs: Value,
}

impl BothSides {
    /// Set up and built.
    pub(super) fn ready(tree: &Tree) -> Result<Self> {
        setup::ensure(tree)?;
        let python = environment::ensure(tree)?;
        // Before ours: both are built to one place.
        let before = before::program(tree, before::BENCH)?;
        let example = ["--release", "--package", "wan-alpha-core", "--example", "bench"];
        let ours = cargo::build(tree, &example, "bench")?;
        Ok(Self { ours, before, python, root: tree.root().to_owned() })
    }

    pub(super) fn compare(&self, name: &'static str, case: &Comparison) -> Result<BenchOutcome> {
        let mut theirs = Command::new(&self.python);
        theirs.arg(self.root.join(case.script)).arg(case.theirs);
        let [mut ours, mut before] = [&self.ours, &self.before].map(Command::new);
        for program in [&mut ours, &mut before] {
            program.arg(name);
        }
        let measured = measure(name, case, [ours, theirs, before])?;
        BenchOutcome::new(&measured, |measured| vec![measured.row()])
    }
}

impl BesideLine {
    fn row(&self) -> BenchRow {
        BenchRow {
            name: self.bench.to_owned(),
            ours_s: self.ours_s.median,
            theirs_s: Some(self.theirs_s.median),
            ratio: Some(self.ratio_median_of_pairs),
            limit: Some(self.limit),
            to_before: Some(self.ratio_to_before),
        }
    }
}

/// All sides ready and warm, then round by round: ours, the other's, ours of before.
fn measure(
    name: &'static str,
    case: &Comparison,
    [ours, theirs, before]: [Command; 3],
) -> Result<BesideLine> {
    let pairs = case.pairs;
    eprintln!("bench: {name}: all sides are getting ready");
    let mut ours = Side::start("ours", ours, THREADS)?;
    let mut theirs = Side::start("theirs", theirs, THREADS)?;
    let mut before = Side::start(COMMIT, before, THREADS)?;
    same_work(&ours, &theirs)?;
    same_work(&ours, &before)?;
    let mut taken = Vec::with_capacity(pairs);
    // The first pair warms caches and allocators up and is not counted.
    for pair in 0..=pairs {
        let seconds = [ours.run()?, theirs.run()?, before.run()?];
        if pair > 0 {
            let [of_ours, of_theirs, of_before] = seconds;
            eprintln!(
                "bench: {name} {pair}/{pairs}: ours {of_ours:.3} s, theirs {of_theirs:.3} s, \
                 {COMMIT} {of_before:.3} s"
            );
            taken.push(seconds);
        }
    }
    let spread = |side: usize| Spread::of(&taken.iter().map(|all| all[side]).collect::<Vec<_>>());
    let ratio = |side: usize| {
        ratio_of_pairs(&taken.iter().map(|all| (all[0], all[side])).collect::<Vec<_>>())
    };
    let (Some(ours_s), Some(theirs_s), Some(before_s), Some(to_theirs), Some(to_before)) =
        (spread(0), spread(1), spread(2), ratio(1), ratio(2))
    else {
        bail!("no pair was measured");
    };
    Ok(BesideLine {
        bench: name,
        ours_s,
        theirs_s,
        ratio_median_of_pairs: to_theirs,
        limit: case.limit,
        within_limit: to_theirs <= case.limit,
        before: COMMIT,
        before_s,
        ratio_to_before: to_before,
        pairs,
        threads: THREADS,
        versions: SideVersions { ours: ours.versions(), theirs: theirs.versions() },
    })
}

/// A comparison of different work would be worth nothing. A side may leave out its parameters.
fn same_work(ours: &Side, theirs: &Side) -> Result<()> {
    for fact in ["shape", "parameters"] {
        let (of_ours, of_theirs) = (ours.fact(fact), theirs.fact(fact));
        let left_out = fact == "parameters" && (of_ours.is_null() || of_theirs.is_null());
        ensure!(
            left_out || of_ours == of_theirs,
            "the sides do different work: {fact} is {of_ours} on ours and {of_theirs} on {}",
            theirs.name()
        );
    }
    Ok(())
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

    const CASE: Comparison = Comparison { script: "x", theirs: "x", limit: 1.05, pairs: 3 };

    #[test]
    fn a_case_is_measured_and_judged_by_its_limit() {
        let sides = |of_ours| [of_ours, "1.0", "2.0"].map(|seconds| script(READY, seconds));
        let measured = measure("x", &CASE, sides("1.5")).unwrap();
        assert_eq!((measured.ratio_median_of_pairs, measured.ratio_to_before), (1.5, 0.75));
        assert!(!measured.within_limit);
        assert_eq!(measured.versions.ours["x"], "1");
        let line: Value = serde_json::to_value(&measured).unwrap();
        assert_eq!(line["ours_s"]["median"], 1.5);
        assert_eq!(line["theirs_s"]["max"], 1.0);
        assert!(!measured.row().is_within_limit());
        let measured = measure("x", &CASE, sides("1.05")).unwrap();
        assert!(measured.within_limit && measured.row().is_within_limit());
        let slower = [("1.0", READY), ("1.0", READY), ("0.9", READY)];
        let measured = measure("x", &CASE, slower.map(|(s, ready)| script(ready, s))).unwrap();
        assert!(measured.within_limit && !measured.row().is_within_limit());
    }

    #[test]
    fn sides_that_do_different_work_are_not_compared() {
        let other = READY.replace("[1,2]", "[1,3]");
        for (sides, named) in [([READY, &other, READY], "theirs"), ([READY, READY, &other], COMMIT)]
        {
            let outcome = measure("x", &CASE, sides.map(|ready| script(ready, "1")));
            let error = outcome.err().unwrap().to_string();
            let expected = format!("shape is [1,2] on ours and [1,3] on {named}");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
