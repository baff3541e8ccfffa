//! Loading a transformer with its adapters, beside the same at an earlier commit.
//!
//! A process loads once, as an engine does: ours, theirs, ours, theirs, from files that the system
//! has in memory. What no loading does without is measured in the same run: reading the files once,
//! the adapters' products once, writing the result once.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::before::{self, COMMIT};
use super::load_example::LoadExample;
use super::statistics::{Spread, ratio_of_pairs};
use super::{BenchOutcome, BenchRow, THREADS};
use crate::setup::ByteCount;
use crate::tree::Tree;

/// Of what loading took at the earlier commit …
const OF_BEFORE: f64 = 0.35;
/// … or of the three parts together, whichever is longer.
const OF_PARTS: f64 = 1.3;
/// How much more memory ours may take at its widest.
const OF_PEAK: f64 = 1.02;

/// The random model's files.
const DISK: ByteCount = ByteCount(2_300_000_000);
const PAIRS: usize = 7;

/// What the example answers: seconds and bytes.
#[derive(Clone, Copy, Deserialize)]
struct Loaded {
    seconds: f64,
    /// Of all threads, in the program.
    user_seconds: f64,
    /// The same, in the system: what it takes to hand out memory, above all.
    system_seconds: f64,
    peak_anonymous: f64,
    resident_anonymous: f64,
    checksum: f64,
}

/// How long each part of merging weights takes, in seconds.
#[derive(Clone, Copy, Deserialize)]
struct LoadSeconds {
    read: f64,
    products: f64,
    write: f64,
}

/// One line of output.
#[derive(Serialize)]
struct LoadLine {
    bench: &'static str,
    before: &'static str,
    ours_s: Spread,
    before_s: Spread,
    ratio_median_of_pairs: f64,
    read_once_s: Spread,
    products_once_s: Spread,
    write_once_s: Spread,
    limit: f64,
    /// Of processors' time: ours, and of before.
    user_s: [f64; 2],
    system_s: [f64; 2],
    peak_anonymous_bytes: [u64; 2],
    resident_anonymous_bytes: [u64; 2],
    within_limits: bool,
    pairs: usize,
    threads: u32,
}

pub(super) fn measure(tree: &Tree) -> Result<BenchOutcome> {
    let example = LoadExample::ready(tree, "load", DISK)?;
    let before = before::program(tree, before::LOADING)?;
    let made = example.folder();
    let _: serde_json::Value = example.answer("make", made, &[])?;
    let mut rounds = Vec::with_capacity(PAIRS);
    // The first round brings the files into memory and is not counted.
    for round in 0..=PAIRS {
        let [of_ours, of_before]: [Result<Loaded>; 2] =
            [example.program(), &before].map(|program| example.load(program, "run", made));
        let parts: LoadSeconds = example.answer("parts", made, &[])?;
        let (of_ours, of_before) = (of_ours?, of_before?);
        if round > 0 {
            eprintln!(
                "bench: load {round}/{PAIRS}: ours {:.3} s, {COMMIT} {:.3} s; reading {:.3} s, \
                 products {:.3} s, writing {:.3} s",
                of_ours.seconds, of_before.seconds, parts.read, parts.products, parts.write
            );
            rounds.push((of_ours, of_before, parts));
        }
    }
    example.close()?;
    BenchOutcome::new(&judge(&rounds)?, LoadLine::rows)
}

fn judge(rounds: &[(Loaded, Loaded, LoadSeconds)]) -> Result<LoadLine> {
    for (ours, before, _) in rounds {
        let same = (ours.checksum / before.checksum - 1.0).abs() < 0.01;
        ensure!(
            same,
            "the two programs loaded different models: what they compute is {} in the mean on ours, \
             {} on {COMMIT}",
            ours.checksum,
            before.checksum
        );
    }
    let spread = |value: fn(&(Loaded, Loaded, LoadSeconds)) -> f64| {
        Spread::of(&rounds.iter().map(value).collect::<Vec<_>>()).context("no pair was measured")
    };
    let pairs: Vec<_> =
        rounds.iter().map(|(ours, before, _)| (ours.seconds, before.seconds)).collect();
    let ratio = ratio_of_pairs(&pairs).context("no pair was measured")?;
    let of_parts: Vec<_> = rounds
        .iter()
        .map(|(_, before, parts)| (parts.read + parts.products + parts.write, before.seconds))
        .collect();
    let of_parts = ratio_of_pairs(&of_parts).context("no pair was measured")?;
    let limit = f64::max(OF_BEFORE, OF_PARTS * of_parts);
    let both = |value: fn(&Loaded) -> f64| -> Result<[f64; 2]> {
        let of = |side: fn(&(Loaded, Loaded, LoadSeconds)) -> &Loaded| -> Result<f64> {
            let values: Vec<f64> = rounds.iter().map(|round| value(side(round))).collect();
            Ok(Spread::of(&values).context("no pair was measured")?.median)
        };
        Ok([of(|(ours, _, _)| ours)?, of(|(_, before, _)| before)?])
    };
    let bytes = |value| Ok::<_, anyhow::Error>(both(value)?.map(|bytes| bytes as u64));
    let mut measured = LoadLine {
        bench: "load",
        before: COMMIT,
        ours_s: spread(|(ours, _, _)| ours.seconds)?,
        before_s: spread(|(_, before, _)| before.seconds)?,
        ratio_median_of_pairs: ratio,
        read_once_s: spread(|(_, _, parts)| parts.read)?,
        products_once_s: spread(|(_, _, parts)| parts.products)?,
        write_once_s: spread(|(_, _, parts)| parts.write)?,
        limit,
        user_s: both(|loaded| loaded.user_seconds)?,
        system_s: both(|loaded| loaded.system_seconds)?,
        peak_anonymous_bytes: bytes(|loaded| loaded.peak_anonymous)?,
        resident_anonymous_bytes: bytes(|loaded| loaded.resident_anonymous)?,
        within_limits: true,
        pairs: rounds.len(),
        threads: THREADS,
    };
    measured.within_limits = measured.is_within_limits();
    Ok(measured)
}

impl LoadLine {
    fn rows(&self) -> Vec<BenchRow> {
        let row = |name: &str, ours, before, ratio, limit| BenchRow {
            name: format!("{} {name}", self.bench),
            ours_s: ours,
            theirs_s: Some(before),
            ratio: Some(ratio),
            limit: Some(limit),
            to_before: None,
        };
        let [ours, before] = self.peak_anonymous_bytes.map(|bytes| bytes as f64 / 1e9);
        vec![
            row(
                "beside 7783599",
                self.ours_s.median,
                self.before_s.median,
                self.ratio_median_of_pairs,
                self.limit,
            ),
            row("peak, in GB", ours, before, ours / before, OF_PEAK),
        ]
    }

    fn is_within_limits(&self) -> bool {
        self.rows().iter().all(BenchRow::is_within_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ours: f64, peak: f64) -> (Loaded, Loaded, LoadSeconds) {
        let loaded = |seconds, peak_anonymous| Loaded {
            seconds,
            user_seconds: seconds,
            system_seconds: 0.1,
            peak_anonymous,
            resident_anonymous: 1e9,
            checksum: 0.5,
        };
        (loaded(ours, peak), loaded(4.0, 2e9), LoadSeconds { read: 0.1, products: 0.5, write: 0.2 })
    }

    #[test]
    fn the_longer_of_both_limits_counts_and_the_peak_too() {
        // 0.35 of 4 s is longer than 1.3 of 0.8 s.
        let good = |ours, peak| judge(&[round(ours, peak)]).unwrap().within_limits;
        assert!(good(1.39, 2e9) && !good(1.41, 2e9) && !good(1.0, 3e9));
        let slow = |ours| {
            let (a, b, parts) = round(ours, 2e9);
            judge(&[(a, b, LoadSeconds { products: 1.7, ..parts })]).unwrap().within_limits
        };
        assert!(slow(2.5) && !slow(2.7));
    }

    #[test]
    fn programs_that_load_different_models_are_not_compared() {
        let (ours, mut before, parts) = round(1.0, 2e9);
        before.checksum = 0.6;
        assert!(judge(&[(ours, before, parts)]).err().unwrap().to_string().contains("different"));
        assert!(judge(&[]).is_err());
    }
}
