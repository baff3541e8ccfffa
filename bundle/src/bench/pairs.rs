//! Examples that measure our side and another in one process, in turn, in several cases; some beside
//! the same example of an earlier commit, the two processes in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::before::{self, COMMIT, EarlierProgram};
use super::statistics::{Spread, ratio_of_pairs};
use super::{AS_FAST, BenchOutcome, BenchRow, example};
use crate::cargo;
use crate::tree::Tree;

/// What is measured, and how much our side may take of the other's time.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) example: &'static str,
    /// What is done in it, for the line that announces it.
    pub(super) doing: &'static str,
    /// By the case's name.
    pub(super) limit: fn(&str) -> Option<f64>,
    /// How many seconds what stands beside nothing may take, by the case's name.
    pub(super) seconds_limit: fn(&str) -> Option<f64>,
    /// The same example of an earlier commit, where ours may not be slower.
    pub(super) before: Option<EarlierProgram>,
}

/// How often ours and that of the earlier commit take turns, and the rounds of each turn.
const TURNS: usize = 7;
const ROUNDS_OF_A_TURN: &str = "25";

/// Reading every frame of a take beside plainly reading the same bytes: what checksums cost.
///
/// Both sides read from the system's page cache, and give each frame memory of its own as the store
/// has to. `new` is a store that has not read before, `used` one that is full of another take.
pub(super) const STORE: Subject = Subject {
    name: "store",
    package: "wan-alpha-take",
    example: "read_take",
    doing: "two takes are written and read",
    limit: |_| Some(1.5),
    seconds_limit: |_| None,
    before: None,
};

/// Drawing a frame of a take into a host's image of 1920 × 1080 in single precision, on one thread,
/// beside copying a whole such image.
pub(super) const HOST: Subject = Subject {
    name: "host",
    package: "wan-alpha-ofx",
    example: "draw_take",
    doing: "frames are drawn and images copied",
    limit: |case| match case {
        "one_to_one" | "one_to_one_large" => Some(1.3),
        "one_to_one_large_linear" => Some(1.5),
        "fit" => Some(2.2),
        "fit_linear" => Some(3.0),
        // What was allowed when they stood beside our own whole frame, and less.
        "one_to_one_tiles" | "one_to_one_large_tiles" => Some(2.2),
        "one_to_one_large_linear_tiles" => Some(3.3),
        "fit_tiles" => Some(3.3),
        "fit_linear_tiles" => Some(4.0),
        _ => None,
    },
    // Between two pictures of a timeline of 60 a second.
    seconds_limit: |case| (case == "first_frame_after_a_scrub").then_some(0.015),
    before: Some(before::DRAWING),
};

/// What an example answers.
#[derive(Debug, Default, Deserialize)]
struct PairSeconds {
    shape: serde_json::Value,
    seconds_ours_and_other: BTreeMap<String, Vec<(f64, f64)>>,
    #[serde(default)]
    seconds: BTreeMap<String, Vec<f64>>,
}

/// One line of output.
#[derive(Serialize)]
struct PairsLine {
    bench: &'static str,
    shape: serde_json::Value,
    cases: BTreeMap<String, PairedCase>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alone: BTreeMap<String, LoneCase>,
    within_limits: bool,
}

/// What is measured beside nothing.
#[derive(Serialize)]
struct LoneCase {
    ours_s: Spread,
    limit_s: Option<f64>,
}

#[derive(Serialize)]
struct PairedCase {
    ours_s: Spread,
    theirs_s: Spread,
    ratio_median_of_pairs: f64,
    limit: Option<f64>,
    pairs: usize,
    /// Ours beside the earlier commit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_before_median_of_turns: Option<f64>,
}

/// Seconds of ours and of the earlier commit's, a pair for each turn, by the case's name.
type Turns = BTreeMap<String, Vec<(f64, f64)>>;

pub(super) fn measure(tree: &Tree, subject: &Subject) -> Result<BenchOutcome> {
    let Subject { name, package, example, doing, before, .. } = subject;
    let before = before.map(|program| before::program(tree, program)).transpose()?;
    let wanted = ["--release", "--package", package, "--example", example];
    let program = cargo::build(tree, &wanted, example)?;
    eprintln!("bench: {name}: {doing}");
    let (answer, turns) = match before {
        None => (example::answer(&mut Command::new(program))?, Turns::new()),
        Some(before) => in_turns(name, &program, &before)?,
    };
    BenchOutcome::new(&judge(subject, answer, &turns)?, PairsLine::rows)
}

/// Runs ours and the earlier commit's in turn.
fn in_turns(name: &str, ours: &Path, before: &Path) -> Result<(PairSeconds, Turns)> {
    let (mut all, mut turns) = (PairSeconds::default(), Turns::new());
    for turn in 1..=TURNS {
        eprintln!("bench: {name}: {turn}/{TURNS}, ours and {COMMIT}");
        let [of_ours, of_before] = [ours, before].map(|program| {
            example::answer::<PairSeconds>(Command::new(program).arg(ROUNDS_OF_A_TURN))
        });
        add_turn(&mut all, &mut turns, of_ours?, &of_before?);
    }
    Ok((all, turns))
}

fn add_turn(all: &mut PairSeconds, turns: &mut Turns, ours: PairSeconds, before: &PairSeconds) {
    let median = |pairs: &[(f64, f64)]| {
        Spread::of(&pairs.iter().map(|(ours, _)| *ours).collect::<Vec<_>>())
            .map(|spread| spread.median)
    };
    for (case, pairs) in ours.seconds_ours_and_other {
        let earlier = before.seconds_ours_and_other.get(&case);
        if let (Some(now), Some(then)) = (median(&pairs), earlier.and_then(|pairs| median(pairs))) {
            turns.entry(case.clone()).or_default().push((now, then));
        }
        all.seconds_ours_and_other.entry(case).or_default().extend(pairs);
    }
    for (case, seconds) in ours.seconds {
        all.seconds.entry(case).or_default().extend(seconds);
    }
    all.shape = ours.shape;
}

fn judge(subject: &Subject, answer: PairSeconds, turns: &Turns) -> Result<PairsLine> {
    let case = |name: &str, pairs: &[(f64, f64)]| {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        Some(PairedCase {
            ours_s: Spread::of(&ours)?,
            theirs_s: Spread::of(&theirs)?,
            ratio_median_of_pairs: ratio_of_pairs(pairs)?,
            limit: (subject.limit)(name),
            pairs: pairs.len(),
            to_before_median_of_turns: turns.get(name).and_then(|turns| ratio_of_pairs(turns)),
        })
    };
    let mut cases = BTreeMap::new();
    for (name, pairs) in &answer.seconds_ours_and_other {
        let case = case(name, pairs).with_context(|| format!("no round of {name} was measured"))?;
        cases.insert(name.clone(), case);
    }
    let within = |case: &PairedCase| {
        case.limit.is_none_or(|limit| case.ratio_median_of_pairs <= limit)
            && case.to_before_median_of_turns.is_none_or(|ratio| ratio <= AS_FAST)
    };
    let mut alone = BTreeMap::new();
    for (name, seconds) in &answer.seconds {
        let ours_s = Spread::of(seconds).with_context(|| format!("{name} was not measured"))?;
        alone.insert(name.clone(), LoneCase { ours_s, limit_s: (subject.seconds_limit)(name) });
    }
    let is_soon = |case: &LoneCase| case.limit_s.is_none_or(|limit| case.ours_s.median <= limit);
    let within_limits = cases.values().all(within) && alone.values().all(is_soon);
    Ok(PairsLine { bench: subject.name, shape: answer.shape, cases, alone, within_limits })
}

impl PairsLine {
    fn rows(&self) -> Vec<BenchRow> {
        let title = |name: &str| format!("{} {}", self.bench, name.replace('_', " "));
        let lone = |(name, case): (&String, &LoneCase)| BenchRow {
            name: title(name),
            ours_s: case.ours_s.median,
            theirs_s: None,
            ratio: None,
            limit: case.limit_s,
            to_before: None,
        };
        let row = |(name, case): (&String, &PairedCase)| BenchRow {
            name: title(name),
            ours_s: case.ours_s.median,
            theirs_s: Some(case.theirs_s.median),
            ratio: Some(case.ratio_median_of_pairs),
            limit: case.limit,
            to_before: case.to_before_median_of_turns,
        };
        self.cases.iter().map(row).chain(self.alone.iter().map(lone)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn judged(in_order: Value) -> Result<PairsLine> {
        let pairs = json!({ "new_in_order": in_order, "used_at_random": [[0.3, 0.2]] });
        let answer = json!({ "shape": [81, 480, 832, 4], "seconds_ours_and_other": pairs });
        judge(&STORE, from_value(answer).unwrap(), &Turns::new())
    }

    #[test]
    fn each_case_is_judged_by_its_pairs() {
        let measured = judged(json!([[1, 1], [2, 1], [5, 3]])).unwrap();
        assert!(!measured.within_limits);
        let good: Vec<_> = measured.rows().iter().map(BenchRow::is_within_limit).collect();
        assert_eq!(good, [false, true]);
        assert_eq!(measured.rows()[0].name, "store new in order");
        let line = serde_json::to_value(&measured).unwrap();
        assert_eq!(line["cases"]["new_in_order"]["ours_s"]["median"], 2.0);
        assert!(judged(json!([[1, 1], [1.5, 1], [5, 3]])).unwrap().within_limits);
        assert!(judged(json!([])).is_err());
    }

    #[test]
    fn no_case_is_slower_than_at_the_earlier_commit() {
        let answer = |tiles: f64, alone: f64| -> PairSeconds {
            let pairs = json!({ "fit_tiles": [[tiles, 1.0], [tiles, 1.0]], "fit": [[1.0, 1.0]] });
            let seconds = json!({ "first_frame_after_a_scrub": [alone] });
            let both = json!({ "shape": [1], "seconds_ours_and_other": pairs, "seconds": seconds });
            from_value(both).unwrap()
        };
        let judged = |tiles: f64| {
            let (mut all, mut turns) = (PairSeconds::default(), Turns::new());
            for _ in 0..2 {
                add_turn(&mut all, &mut turns, answer(tiles, 0.01), &answer(2.0, 0.5));
            }
            assert_eq!(all.seconds["first_frame_after_a_scrub"], [0.01; 2]);
            judge(&HOST, all, &turns).unwrap()
        };
        let [good, slow] = [2.0, 2.2].map(judged);
        assert!(good.within_limits && !slow.within_limits);
        assert_eq!(good.cases["fit_tiles"].pairs, 4);
        assert_eq!(slow.cases["fit_tiles"].to_before_median_of_turns, Some(1.1));
        let verdicts: Vec<_> = slow.rows().iter().map(BenchRow::is_within_limit).collect();
        assert_eq!(verdicts, [true, false, true]);
    }

    #[test]
    fn pictures_have_limits_of_their_own_and_tiles_too() {
        let limits = ["one_to_one", "fit", "fit_linear", "fit_linear_tiles", "fit_acescg"];
        let found = limits.map(|case| (HOST.limit)(case));
        assert_eq!(found, [Some(1.3), Some(2.2), Some(3.0), Some(4.0), None]);
    }

    #[test]
    fn what_stands_alone_is_judged_by_its_seconds() {
        let judged = |seconds: f64| {
            let alone = json!({ "first_frame_after_a_scrub": [seconds, seconds, 1.0] });
            let answer = json!({ "shape": [1], "seconds_ours_and_other": {}, "seconds": alone });
            judge(&HOST, from_value(answer).unwrap(), &Turns::new()).unwrap()
        };
        let [good, slow] = [0.014, 0.016].map(judged);
        assert!(good.within_limits && good.rows()[0].is_within_limit());
        assert!(!slow.within_limits && !slow.rows()[0].is_within_limit());
        assert_eq!(slow.rows()[0].name, "host first frame after a scrub");
    }
}
