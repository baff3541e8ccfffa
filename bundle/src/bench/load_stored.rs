//! Loading a transformer into bfloat16 from quantized files, beside the same from a file in bfloat16.
//!
//! A process loads once. From disk fewer bytes are read, and it must not take longer; from files that the
//! system has in memory there is arithmetic on top.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::load_example::LoadExample;
use super::statistics::{Spread, ratio_of_pairs};
use super::{BenchOutcome, BenchRow, THREADS};
use crate::setup::ByteCount;
use crate::tree::Tree;

/// Of the time that bfloat16 takes, from disk.
const FROM_DISK: f64 = 1.0;
/// The same, from the system's memory.
const FROM_MEMORY: f64 = 1.5;

const PLAIN: &str = "bf16";
const FORMS: [&str; 4] = ["fp8", "int8", "q8_0", "q4_k"];
const PAIRS: usize = 9;
/// The files of all forms.
const DISK: ByteCount = ByteCount(3_200_000_000);

/// What the example answers.
#[derive(Deserialize)]
struct LoadedStored {
    seconds: f64,
}

/// One form in one place, beside bfloat16.
#[derive(Serialize)]
struct StoredTimes {
    form: &'static str,
    from: &'static str,
    ours_s: Spread,
    bf16_s: Spread,
    ratio_median_of_pairs: f64,
    limit: f64,
}

/// One line of output.
#[derive(Serialize)]
struct StoredLine {
    bench: &'static str,
    times: Vec<StoredTimes>,
    pairs: usize,
    threads: u32,
}

pub(super) fn measure(tree: &Tree) -> Result<BenchOutcome> {
    let example = LoadExample::ready(tree, "load-stored", DISK)?;
    for form in FORMS.into_iter().chain([PLAIN]) {
        let made = example.folder().join(form);
        std::fs::create_dir(&made)?;
        let _: serde_json::Value = example.answer("stored", &made, &[form])?;
    }
    let load = |how: &str, form: &str| -> Result<f64> {
        let made = example.folder().join(form);
        let loaded: LoadedStored = example.load(example.program(), how, &made)?;
        Ok(loaded.seconds)
    };
    let mut times = Vec::new();
    for form in FORMS {
        for (how, from, limit) in [("run-cold", "disk", FROM_DISK), ("run", "memory", FROM_MEMORY)]
        {
            let mut pairs = Vec::with_capacity(PAIRS);
            // The first round brings files and program into memory and is not counted.
            for round in 0..=PAIRS {
                let pair = (load(how, form)?, load(how, PLAIN)?);
                if round > 0 {
                    pairs.push(pair);
                }
            }
            eprintln!("bench: load-stored: {form} from {from} is measured");
            times.push(StoredTimes::of(form, from, limit, &pairs)?);
        }
    }
    example.close()?;
    let line = StoredLine { bench: "load-stored", times, pairs: PAIRS, threads: THREADS };
    BenchOutcome::new(&line, StoredLine::rows)
}

impl StoredTimes {
    fn of(
        form: &'static str,
        from: &'static str,
        limit: f64,
        pairs: &[(f64, f64)],
    ) -> Result<Self> {
        let spread = |half: fn(&(f64, f64)) -> f64| {
            Spread::of(&pairs.iter().map(half).collect::<Vec<_>>()).context("no pair was measured")
        };
        Ok(Self {
            form,
            from,
            ours_s: spread(|pair| pair.0)?,
            bf16_s: spread(|pair| pair.1)?,
            ratio_median_of_pairs: ratio_of_pairs(pairs).context("no pair was measured")?,
            limit,
        })
    }
}

impl StoredLine {
    fn rows(&self) -> Vec<BenchRow> {
        let row = |times: &StoredTimes| BenchRow {
            name: format!("{} from {}", times.form, times.from),
            ours_s: times.ours_s.median,
            theirs_s: Some(times.bf16_s.median),
            ratio: Some(times.ratio_median_of_pairs),
            limit: Some(times.limit),
            to_before: None,
        };
        self.times.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_loads_too_slowly_is_above_its_limit() {
        let times = |ours| StoredTimes::of("fp8", "disk", FROM_DISK, &[(ours, 2.0)]).unwrap();
        let line = |ours| StoredLine { bench: "x", times: vec![times(ours)], pairs: 1, threads: 2 };
        assert!(line(1.9).rows()[0].is_within_limit() && !line(2.1).rows()[0].is_within_limit());
        assert!(StoredTimes::of("fp8", "disk", FROM_DISK, &[]).is_err());
    }
}
