//! `cargo xtask bench`: what the program must hold, measured.
//!
//! | cases | measure | how |
//! |---|---|---|
//! | `dit-*`, `decode` | transformer and decoder beside diffusers, in one run | `beside` |
//! | `train-*` | a step of training beside the same step in PyTorch, in one run | `beside` |
//! | `load` | loading a transformer with adapters beside the same at an earlier commit | `load` |
//! | `load-stored` | loading quantized files beside the same transformer in bfloat16 | `load_stored` |
//! | `streaming`, `streaming-8` | blocks that come from a file while others compute, in bfloat16 and Q4_K | `streaming` |
//! | `store` | reading a take beside plainly reading the same bytes | `pairs` |
//! | `host` | drawing a frame into a host's image beside copying a whole image, and beside an earlier commit | `pairs` |
//! | `engine` | how soon an engine begins, cold and warm | `engine` |
//! | `export` | nothing: Diffusers must load what is exported and compute the same | `export` |
//!
//! What is compared with diffusers or PyTorch is compared with the earlier commit too, in the same run
//! (`before`). Standard output carries one JSON line per case; the table for people goes to standard error.

mod before;
mod beside;
mod engine;
mod environment;
mod example;
mod export;
mod load;
mod load_example;
mod load_stored;
mod pairs;
mod side;
mod statistics;
mod streaming;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::tree::Tree;
use beside::{BothSides, Comparison, DIFFUSERS, TRAINING};
use pairs::{HOST, STORE, Subject};

/// Of OpenMP and torch, wherever they compute.
const THREADS: u32 = 2;

struct BenchCase {
    name: &'static str,
    work: BenchWork,
}

enum BenchWork {
    Beside(Comparison),
    Load,
    LoadStored,
    Streaming(usize),
    Pairs(&'static Subject),
    Engine,
    Export,
}

const CASES: &[BenchCase] = &[
    beside("dit-1", Comparison { script: DIFFUSERS, theirs: "dit-1", limit: 0.94, pairs: 9 }),
    beside(
        "dit-1-nocache",
        Comparison { script: DIFFUSERS, theirs: "dit-1", limit: 0.97, pairs: 9 },
    ),
    beside("dit-5", Comparison { script: DIFFUSERS, theirs: "dit-5", limit: 0.94, pairs: 5 }),
    beside(
        "dit-5-nocache",
        Comparison { script: DIFFUSERS, theirs: "dit-5", limit: 0.97, pairs: 5 },
    ),
    beside("decode", Comparison { script: DIFFUSERS, theirs: "decode", limit: 0.6, pairs: 5 }),
    beside(
        "train-dit",
        Comparison { script: TRAINING, theirs: "train-dit", limit: 0.97, pairs: 7 },
    ),
    beside(
        "train-vae",
        Comparison { script: TRAINING, theirs: "train-vae", limit: 0.57, pairs: 5 },
    ),
    BenchCase { name: "load", work: BenchWork::Load },
    BenchCase { name: "load-stored", work: BenchWork::LoadStored },
    BenchCase { name: "streaming-8", work: BenchWork::Streaming(streaming::FEW) },
    BenchCase { name: "streaming", work: BenchWork::Streaming(streaming::ALL) },
    BenchCase { name: STORE.name, work: BenchWork::Pairs(&STORE) },
    BenchCase { name: HOST.name, work: BenchWork::Pairs(&HOST) },
    BenchCase { name: "engine", work: BenchWork::Engine },
    BenchCase { name: "export", work: BenchWork::Export },
];

const fn beside(name: &'static str, comparison: Comparison) -> BenchCase {
    BenchCase { name, work: BenchWork::Beside(comparison) }
}

#[derive(clap::Args)]
pub(crate) struct BenchOptions {
    /// Cases to run: dit-1, dit-1-nocache, dit-5, dit-5-nocache, decode, train-dit,
    /// train-vae, load, load-stored, streaming-8, streaming (which makes 38 GB of files), store, host,
    /// engine, export; all of them by default.
    #[arg(value_parser = CASES.iter().map(|case| case.name).collect::<Vec<_>>())]
    names: Vec<String>,
    /// Write the JSON lines to this file as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Pairs per case beside diffusers or PyTorch, instead of each case's own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pairs: Option<u16>,
}

/// What a case came to: its line for programs, its rows for people.
struct BenchOutcome {
    line: String,
    rows: Vec<BenchRow>,
}

impl BenchOutcome {
    fn new<T: Serialize>(measured: &T, rows: impl FnOnce(&T) -> Vec<BenchRow>) -> Result<Self> {
        let line = serde_json::to_string(measured).context("a result cannot be written as JSON")?;
        Ok(Self { line, rows: rows(measured) })
    }
}

/// One line of the table: medians over the pairs of a case.
struct BenchRow {
    name: String,
    ours_s: f64,
    theirs_s: Option<f64>,
    /// The median over the pairs.
    ratio: Option<f64>,
    /// Of the ratio; where there is none, in seconds.
    limit: Option<f64>,
    /// Ours beside the earlier commit: the median over the pairs.
    to_before: Option<f64>,
}

/// What two runs of one program differ by: no case may be slower than at the earlier commit.
const AS_FAST: f64 = 1.03;

impl BenchRow {
    fn is_within_limit(&self) -> bool {
        self.limit.is_none_or(|limit| self.ratio.unwrap_or(self.ours_s) <= limit)
            && self.to_before.is_none_or(|ratio| ratio <= AS_FAST)
    }
}

/// Fails where a case is above its limit, after all of them have run.
pub(crate) fn run(tree: &Tree, options: &BenchOptions) -> Result<ExitCode> {
    let mut file = match &options.out {
        Some(path) => Some(
            File::create(path).with_context(|| format!("{} cannot be created", path.display()))?,
        ),
        None => None,
    };
    let wanted = |case: &&BenchCase| {
        options.names.is_empty() || options.names.iter().any(|name| name == case.name)
    };
    let mut programs = None;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(wanted) {
        let outcome = match &case.work {
            BenchWork::Beside(comparison) => {
                let pairs = options.pairs.map_or(comparison.pairs, usize::from);
                let ready = programs.take().map_or_else(|| BothSides::ready(tree), Ok)?;
                programs.insert(ready).compare(case.name, &Comparison { pairs, ..*comparison })
            }
            BenchWork::Load => load::measure(tree),
            BenchWork::LoadStored => load_stored::measure(tree),
            BenchWork::Streaming(blocks) => streaming::measure(tree, case.name, *blocks),
            BenchWork::Pairs(subject) => pairs::measure(tree, subject),
            BenchWork::Engine => engine::measure(tree),
            BenchWork::Export => export::measure(tree),
        };
        let outcome =
            outcome.with_context(|| format!("the case {} could not be measured", case.name))?;
        println!("{}", outcome.line);
        if let Some(file) = &mut file {
            writeln!(file, "{}", outcome.line).context("the file of --out cannot be written")?;
        }
        rows.extend(outcome.rows);
    }
    eprint!("{}", table(&rows));
    let good = rows.iter().all(BenchRow::is_within_limit);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[BenchRow]) -> String {
    let mut text = format!(
        "\n{:<24} {:>9} {:>9} {:>7} {:>6} {:>8}  medians in seconds, {THREADS} threads, float32; \
         the last column is ours beside {} (limit {AS_FAST})\n",
        "case",
        "ours",
        "theirs",
        "ratio",
        "limit",
        "before",
        before::COMMIT
    );
    let shown = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    for row in rows {
        let verdict = if row.is_within_limit() { "" } else { "  ABOVE THE LIMIT" };
        text += &format!(
            "{:<24} {:>9.3} {:>9} {:>7} {:>6} {:>8}{verdict}\n",
            row.name,
            row.ours_s,
            shown(row.theirs_s, 3),
            shown(row.ratio, 3),
            shown(row.limit, 2),
            shown(row.to_before, 3)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_judged_where_there_is_one_and_else_the_seconds() {
        let row = |ours_s, ratio: Option<f64>, limit| {
            let theirs_s = ratio.map(|ratio| ours_s / ratio);
            BenchRow { name: "x".to_owned(), ours_s, theirs_s, ratio, limit, to_before: None }
        };
        for (row, good, shown) in [
            (row(3.0, Some(1.5), Some(1.5)), true, "3.000     2.000   1.500   1.50        -\n"),
            (row(0.1, Some(1.6), Some(1.5)), false, "1.600   1.50        -  ABOVE THE LIMIT\n"),
            (row(0.1, None, Some(0.1)), true, "0.100         -       -   0.10        -\n"),
            (row(0.2, None, Some(0.1)), false, "0.10        -  ABOVE THE LIMIT\n"),
            (row(9.0, None, None), true, "9.000         -       -      -        -\n"),
            (
                BenchRow { to_before: Some(1.1), ..row(1.0, Some(0.5), Some(1.0)) },
                false,
                "0.500   1.00    1.100  ABOVE THE LIMIT\n",
            ),
        ] {
            assert_eq!(row.is_within_limit(), good);
            assert!(table(&[row]).ends_with(shown));
        }
    }
}
