//! A transformer of the 14B model's shapes that does not fit into the memory it is given: one velocity of
//! 256×144 with 5 frames, its blocks streamed from a file, in bfloat16 and in Q4_K.
//!
//! `streaming` has all forty blocks, 28.6 GB, which no pass may hold; what it has to keep up with is the
//! slower of reading the file once and of computing, as eight blocks that stay take for a fifth of it.
//! `streaming-8` has those eight, and tells in minutes whether a pass holds and takes what it should.
//!
//! Beside it diffusers' transformer of the same weights, its blocks offloaded to a folder, one a group
//! (`bundle/bench/offloading_side.py`). That writes the blocks a second time: where the disk has no room for
//! it, or the process ends, what was said stands in the line instead of figures.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{BenchOutcome, BenchRow, THREADS, environment, example};
use crate::setup::{ByteCount, check_disk};
use crate::tree::Tree;
use crate::{cargo, setup};

/// Blocks of the model.
pub(super) const ALL: usize = 40;
/// Those that are measured while they stay.
pub(super) const FEW: usize = 8;
/// Bytes of the files with so many blocks: bfloat16 and Q4_K.
const BLOCK_BYTES: u64 = 703_000_000 + 199_000_000;
const FIXED_BYTES: u64 = 2 * 900_000_000;

/// Of the time that the slower of reading and computing takes.
const OF_THE_SLOWER: f64 = 1.25;
/// Of the time of blocks that stay, where the system has the file in memory.
const OF_RESIDENT: f64 = 1.05;
/// Of diffusers' time and peak: of eight blocks that the system has in memory, and of forty.
const OF_OFFLOADED: [(f64, f64); 2] = [(0.95, 0.8), (0.8, 1.0)];
/// Of the time in bfloat16.
const OF_BFLOAT16: f64 = 1.15;
/// Gigabytes that a pass holds: of bfloat16, and of Q4_K.
const MOST_BFLOAT16: f64 = 4.0;
const MOST_Q4_K: f64 = 3.0;

/// What the example answers of a pass.
#[derive(Deserialize)]
struct MeasuredPasses {
    /// Of two passes; the first brings files into memory.
    seconds: Vec<f64>,
    peak_anonymous: f64,
}

/// What it answers of a file.
#[derive(Deserialize)]
struct FileRead {
    seconds: f64,
}

/// A pass: seconds, and gigabytes that it held.
#[derive(Clone, Copy, Serialize)]
struct StreamedPass {
    seconds: f64,
    peak_gb: f64,
}

/// What the other side came to.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Offloaded {
    Measured(StreamedPass),
    /// It cannot run here, in its own words or ours.
    Refused {
        refused: String,
    },
}

/// One line of output.
#[derive(Serialize)]
struct StreamingLine {
    bench: &'static str,
    blocks: usize,
    /// Every block stays; of forty, five times what eight take.
    computed_s: f64,
    /// The file once, past the system's cache.
    read_s: f64,
    bf16: StreamedPass,
    /// The same weights in diffusers, its blocks offloaded to a folder.
    diffusers: Offloaded,
    q4_k: StreamedPass,
    q4_k_bytes: u64,
    threads: u32,
}

/// A folder that goes with its value, where the random models have room.
fn folder_with_room(tree: &Tree, name: &str, blocks: usize) -> Result<TempDir> {
    let place = tree.root().join("target/bench");
    fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    let needed = ByteCount(FIXED_BYTES + blocks.max(FEW) as u64 * BLOCK_BYTES);
    check_disk(&place, needed)?;
    let folder = tempfile::Builder::new().prefix("streaming-").tempdir_in(&place)?;
    eprintln!(
        "bench: {name}: {needed} of random models are made in {} and removed again",
        folder.path().display()
    );
    Ok(folder)
}

pub(super) fn measure(tree: &Tree, name: &'static str, blocks: usize) -> Result<BenchOutcome> {
    setup::ensure(tree)?;
    let wanted = ["--release", "--package", "wan-alpha-core", "--example", "streaming"];
    let program = cargo::build(tree, &wanted, "streaming")?;
    let folder = folder_with_room(tree, name, blocks)?;
    let run = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(words).env("OMP_NUM_THREADS", THREADS.to_string());
        command
    };
    let make = |path: &str, blocks: usize| -> Result<serde_json::Value> {
        example::answer(&mut run(&["make", path, &blocks.to_string()]))
    };
    let pass = |path: &str, slots: &str| -> Result<StreamedPass> {
        let pass = measured(&mut run(&["run", path, "0", slots]))?;
        eprintln!("bench: {name}: {slots} slots: {pass}");
        Ok(pass)
    };
    // Of eight blocks both sides take turns.
    let rounds = if blocks == FEW { 3 } else { 1 };
    let place = |name: &str| text_of(&folder.path().join(name));
    let (few, all) = (place("few.safetensors")?, place("all.safetensors")?);
    make(&few, FEW)?;
    let mut computed = pass(&few, "0")?;
    if blocks == FEW {
        fs::rename(&few, &all)?;
    } else {
        fs::remove_file(&few)?;
        make(&all, blocks)?;
    }
    let FileRead { seconds: read_s } = example::answer(&mut run(&["read", &all]))?;
    let (mut bf16, mut diffusers) = (pass(&all, "2")?, offloaded(tree, &folder, &all, blocks)?);
    for _ in 1..rounds {
        computed = computed.or_faster(pass(&all, "0")?);
        bf16 = bf16.or_faster(pass(&all, "2")?);
        diffusers = diffusers.or_faster(offloaded(tree, &folder, &all, blocks)?);
    }
    let computed_s = computed.seconds * blocks as f64 / FEW as f64;
    let quantized = place("all.gguf")?;
    let _: serde_json::Value = example::answer(&mut run(&["quantize", &all, &quantized]))?;
    let q4_k_bytes = fs::metadata(Path::new(&quantized))?.len();
    let mut q4_k = pass(&quantized, "2")?;
    for _ in 1..rounds {
        bf16 = bf16.or_faster(pass(&all, "2")?);
        q4_k = q4_k.or_faster(pass(&quantized, "2")?);
    }
    folder.close().context("the random models could not be removed")?;
    let line = StreamingLine {
        bench: name,
        blocks,
        computed_s,
        read_s,
        bf16,
        diffusers,
        q4_k,
        q4_k_bytes,
        threads: THREADS,
    };
    BenchOutcome::new(&line, StreamingLine::rows)
}

/// A path as a word of a command line.
fn text_of(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("the folder's name is not text")
}

/// The second pass of a program: the first brought files into memory.
fn measured(command: &mut Command) -> Result<StreamedPass> {
    let MeasuredPasses { seconds, peak_anonymous } = example::answer(command)?;
    let seconds = seconds.last().copied().context("no pass was measured")?;
    Ok(StreamedPass { seconds, peak_gb: peak_anonymous / 1e9 })
}

/// The other side, of the blocks of a file; forty may have no room here.
fn offloaded(tree: &Tree, folder: &TempDir, file: &str, blocks: usize) -> Result<Offloaded> {
    let python = environment::ensure(tree)?;
    let once_more = ByteCount(blocks as u64 * BLOCK_BYTES);
    let groups = tempfile::tempdir_in(folder.path())?;
    let mut command = Command::new(python);
    command.arg(tree.root().join("bundle/bench/offloading_side.py"));
    command.args([file, &blocks.to_string()]).arg(groups.path());
    command.env("OMP_NUM_THREADS", THREADS.to_string());
    let pass = check_disk(groups.path(), once_more).and_then(|()| measured(&mut command));
    match pass {
        Ok(pass) => {
            eprintln!("bench: {blocks} blocks in diffusers: {pass}");
            Ok(Offloaded::Measured(pass))
        }
        Err(error) if blocks == ALL => {
            eprintln!("bench: {blocks} blocks in diffusers: {error:#}");
            Ok(Offloaded::Refused { refused: format!("{error:#}") })
        }
        Err(error) => Err(error),
    }
}

impl StreamedPass {
    fn or_faster(self, other: Self) -> Self {
        Self { seconds: self.seconds.min(other.seconds), peak_gb: self.peak_gb.max(other.peak_gb) }
    }
}

impl Offloaded {
    fn or_faster(self, other: Self) -> Self {
        match (self, other) {
            (Self::Measured(one), Self::Measured(other)) => Self::Measured(one.or_faster(other)),
            (_, other) => other,
        }
    }
}

impl fmt::Display for StreamedPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, {:.2} GB", self.seconds, self.peak_gb)
    }
}

impl StreamingLine {
    fn rows(&self) -> Vec<BenchRow> {
        let row = |name: &str, ours: f64, theirs: f64, limit: f64| BenchRow {
            name: format!("{} {name}", self.bench),
            ours_s: ours,
            theirs_s: Some(theirs),
            ratio: Some(ours / theirs),
            limit: Some(limit),
            to_before: None,
        };
        // Eight blocks lie in the system's memory.
        let (slower, limit) = match self.blocks {
            ALL => (self.computed_s.max(self.read_s), OF_THE_SLOWER),
            _ => (self.computed_s, OF_RESIDENT),
        };
        let mut rows = vec![
            row("bf16", self.bf16.seconds, slower, limit),
            row("bf16, in GB", self.bf16.peak_gb, MOST_BFLOAT16, 1.0),
            row("q4_k", self.q4_k.seconds, self.bf16.seconds, OF_BFLOAT16),
            row("q4_k, in GB", self.q4_k.peak_gb, MOST_Q4_K, 1.0),
        ];
        if let Offloaded::Measured(theirs) = &self.diffusers {
            let (time, peak) = OF_OFFLOADED[usize::from(self.blocks == ALL)];
            rows.extend([
                row("bf16, offloaded", self.bf16.seconds, theirs.seconds, time),
                row("bf16, offloaded, in GB", self.bf16.peak_gb, theirs.peak_gb, peak),
            ]);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_blocks_keep_up_with_the_slower_of_both_and_eight_with_computing() {
        let line = |blocks, bf16| StreamingLine {
            bench: "streaming",
            blocks,
            computed_s: 10.0,
            read_s: 20.0,
            bf16: StreamedPass { seconds: bf16, peak_gb: 3.0 },
            diffusers: Offloaded::Measured(StreamedPass { seconds: 31.0, peak_gb: 4.0 }),
            q4_k: StreamedPass { seconds: bf16, peak_gb: 2.0 },
            q4_k_bytes: 1,
            threads: THREADS,
        };
        let good = |blocks, bf16| line(blocks, bf16).rows().iter().all(BenchRow::is_within_limit);
        assert!(good(ALL, 24.0) && !good(ALL, 26.0));
        assert!(good(FEW, 10.4) && !good(FEW, 10.6));
        let mut heavy = line(ALL, 20.0);
        heavy.q4_k.peak_gb = 3.1;
        assert!(!heavy.rows().iter().all(BenchRow::is_within_limit));
        let mut beside = line(ALL, 20.0);
        beside.diffusers = Offloaded::Measured(StreamedPass { seconds: 20.0, peak_gb: 4.0 });
        assert!(!beside.rows().iter().all(BenchRow::is_within_limit));
        beside.diffusers = Offloaded::Refused { refused: "no room".to_owned() };
        assert!(beside.rows().iter().all(BenchRow::is_within_limit));
    }
}
