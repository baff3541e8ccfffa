//! Reading every frame of a take beside plainly reading the same bytes: what checksums cost.
//!
//! Both sides read in one process, in turn, from the system's page cache, and give each frame memory
//! of its own as the store has to; `take/examples/read_take.rs` says how. `new` is a store that has
//! not read before, `used` one that is full of another take.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::statistics::{Spread, ratio_of_pairs};
use super::{Outcome, Row, example};
use crate::cargo;
use crate::tree::Tree;

/// The most that a take may take of the plain side, in each state and order.
const LIMIT: f64 = 1.5;

/// What the example answers.
#[derive(Deserialize)]
struct Answer {
    shape: [u32; 4],
    seconds_take_and_plain: BTreeMap<String, Vec<(f64, f64)>>,
}

/// One line of output.
#[derive(Serialize)]
struct Measured {
    bench: &'static str,
    shape: [u32; 4],
    reads: BTreeMap<String, Read>,
    limit: f64,
    within_limit: bool,
}

#[derive(Serialize)]
struct Read {
    ours_s: Spread,
    theirs_s: Spread,
    ratio_median_of_pairs: f64,
    pairs: usize,
}

pub(super) fn measure(tree: &Tree) -> Result<Outcome> {
    let wanted = ["--release", "--package", "wan-alpha-take", "--example", "read_take"];
    let program = cargo::build(tree, &wanted, "read_take")?;
    eprintln!("bench: store: two takes are written and read");
    let answer = example::answer(&mut Command::new(program))?;
    Outcome::new(&judge(answer)?, Measured::rows)
}

fn judge(answer: Answer) -> Result<Measured> {
    let read = |pairs: &[(f64, f64)]| {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        Some(Read {
            ours_s: Spread::of(&ours)?,
            theirs_s: Spread::of(&theirs)?,
            ratio_median_of_pairs: ratio_of_pairs(pairs)?,
            pairs: pairs.len(),
        })
    };
    let mut reads = BTreeMap::new();
    for (name, pairs) in &answer.seconds_take_and_plain {
        let read = read(pairs).with_context(|| format!("no round of {name} was measured"))?;
        reads.insert(name.clone(), read);
    }
    let within_limit = reads.values().all(|read| read.ratio_median_of_pairs <= LIMIT);
    Ok(Measured { bench: "store", shape: answer.shape, reads, limit: LIMIT, within_limit })
}

impl Measured {
    fn rows(&self) -> Vec<Row> {
        let row = |(name, read): (&String, &Read)| Row {
            name: format!("store {}", name.replace('_', " ")),
            ours_s: read.ours_s.median,
            theirs_s: Some(read.theirs_s.median),
            ratio: Some(read.ratio_median_of_pairs),
            limit: Some(self.limit),
        };
        self.reads.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn judged(in_order: Value) -> Result<Measured> {
        let pairs = json!({ "new_in_order": in_order, "used_at_random": [[0.3, 0.2]] });
        let shape = [81, 480, 832, 4];
        judge(from_value(json!({ "shape": shape, "seconds_take_and_plain": pairs })).unwrap())
    }

    #[test]
    fn each_order_is_judged_by_its_pairs() {
        let measured = judged(json!([[1, 1], [2, 1], [5, 3]])).unwrap();
        assert!(!measured.within_limit);
        let good: Vec<_> = measured.rows().iter().map(Row::is_within_limit).collect();
        assert_eq!(good, [false, true]);
        assert_eq!(measured.rows()[0].name, "store new in order");
        let line = serde_json::to_value(&measured).unwrap();
        assert_eq!(line["reads"]["new_in_order"]["ours_s"]["median"], 2.0);
        assert!(judged(json!([[1, 1], [1.5, 1], [5, 3]])).unwrap().within_limit);
        assert!(judged(json!([])).is_err());
    }
}
