//! How soon an engine begins, with the small model of the tests: cold, and with the model loaded and
//! the prompt known. `take/examples/warm_engine.rs` is the client that takes the times.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::statistics::Spread;
use super::{BenchOutcome, BenchRow, THREADS, example};
use crate::tree::Tree;
use crate::{cargo, setup};

const MODEL: &str = "tests/data/t2v-euler/model";
/// Seconds from asking a warm engine for a take to its first step.
const LIMIT: f64 = 0.1;

/// What the example answers: seconds.
#[derive(Deserialize)]
struct EngineSeconds {
    shape: [u32; 4],
    cold_start: Vec<f64>,
    first_step: Vec<f64>,
}

/// One line of output. The limit is of the first step; a cold start has none.
#[derive(Serialize)]
struct EngineLine {
    bench: &'static str,
    shape: [u32; 4],
    cold_start_s: Spread,
    cold_starts: usize,
    first_step_s: Spread,
    takes: usize,
    limit_s: f64,
    within_limit: bool,
    threads: u32,
}

pub(super) fn measure(tree: &Tree) -> Result<BenchOutcome> {
    let model = tree.root().join(MODEL);
    ensure!(model.is_dir(), "{MODEL} is missing: `git checkout -- {MODEL}` brings it back");
    setup::ensure(tree)?;
    let command = cargo::build(tree, &["--release", "--package", "wan-alpha"], "wan-alpha")?;
    let wanted = ["--release", "--package", "wan-alpha-take", "--example", "warm_engine"];
    let client = cargo::build(tree, &wanted, "warm_engine")?;
    eprintln!("bench: engine: it is started a few times, then makes small takes");
    BenchOutcome::new(&judge(ask(&client, &command, &model)?)?, EngineLine::rows)
}

fn ask(client: &Path, command: &Path, model: &Path) -> Result<EngineSeconds> {
    let threads = THREADS.to_string();
    example::answer(Command::new(client).args([command, model]).env("OMP_NUM_THREADS", threads))
}

fn judge(answer: EngineSeconds) -> Result<EngineLine> {
    let spread = |seconds: &[f64]| Spread::of(seconds).context("no take was measured");
    let first_step_s = spread(&answer.first_step)?;
    Ok(EngineLine {
        bench: "engine",
        shape: answer.shape,
        cold_start_s: spread(&answer.cold_start)?,
        cold_starts: answer.cold_start.len(),
        first_step_s,
        takes: answer.first_step.len(),
        limit_s: LIMIT,
        within_limit: first_step_s.median <= LIMIT,
        threads: THREADS,
    })
}

impl EngineLine {
    fn rows(&self) -> Vec<BenchRow> {
        let row = |name: &str, spread: Spread, limit| BenchRow {
            name: name.to_owned(),
            ours_s: spread.median,
            theirs_s: None,
            ratio: None,
            limit,
            to_before: None,
        };
        vec![
            row("engine cold start", self.cold_start_s, None),
            row("engine warm first step", self.first_step_s, Some(self.limit_s)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(first_step: &[f64]) -> Result<EngineLine> {
        judge(EngineSeconds {
            shape: [5, 48, 64, 4],
            cold_start: vec![9.0],
            first_step: first_step.to_owned(),
        })
    }

    #[test]
    fn the_median_of_the_first_steps_is_judged_and_the_cold_start_is_not() {
        for (seconds, good) in [([0.01, 0.09, 3.0], true), ([0.01, 0.11, 0.12], false)] {
            let measured = judged(&seconds).unwrap();
            assert_eq!(measured.within_limit, good);
            let rows: Vec<_> = measured.rows().iter().map(BenchRow::is_within_limit).collect();
            assert_eq!(rows, [true, good]);
        }
        assert!(judged(&[]).is_err());
    }
}
