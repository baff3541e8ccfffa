//! What came out, for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::check::{Check, Level};
use crate::report::{Finding, Severity};

/// The version of the JSON's form.
const FORMAT: u32 = 1;

/// What came out of all plug-ins of a file.
pub(crate) struct Results {
    pub(crate) file: String,
    /// The last level that was run.
    pub(crate) level: u8,
    pub(crate) plugins: Vec<Examined>,
}

/// What came out of one plug-in.
#[derive(Serialize)]
pub(crate) struct Examined {
    pub(crate) identifier: String,
    pub(crate) version: String,
    pub(crate) checks: Vec<Checked>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Passed,
    Advice,
    Failed,
    Skipped,
    /// It could not be run.
    Broken,
}

impl Outcome {
    pub(crate) fn of(checked: &Checked) -> Self {
        let worst = checked.findings.iter().map(|finding| finding.severity).max();
        match (worst, &checked.broken, &checked.skipped) {
            (Some(Severity::Fault), ..) => Self::Failed,
            (_, Some(_), _) => Self::Broken,
            (Some(Severity::Advice), ..) => Self::Advice,
            (None, None, Some(_)) => Self::Skipped,
            (None, None, None) => Self::Passed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Advice => "advice",
            Self::Failed => "FAIL",
            Self::Skipped => "skipped",
            Self::Broken => "BROKEN",
        }
    }
}

/// What came out of one check.
#[derive(Serialize)]
pub(crate) struct Checked {
    pub(crate) id: &'static str,
    pub(crate) level: u8,
    pub(crate) about: &'static str,
    pub(crate) why: &'static str,
    pub(crate) fix: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
    pub(crate) skipped: Option<String>,
    pub(crate) broken: Option<String>,
    pub(crate) seconds: f64,
}

impl Checked {
    pub(crate) fn new(level: &Level, check: &Check, took: Duration) -> Self {
        let Check { id, about, why, fix, .. } = check;
        Self {
            id,
            level: level.number,
            about,
            why,
            fix,
            outcome: Outcome::Passed,
            findings: Vec::new(),
            notes: Vec::new(),
            skipped: None,
            broken: None,
            seconds: took.as_secs_f64(),
        }
    }
}

impl Results {
    /// How many checks failed, gave advice, and could not be run.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |outcome| {
            let checks = self.plugins.iter().flat_map(|plugin| &plugin.checks);
            checks.filter(|checked| checked.outcome == outcome).count()
        };
        (count(Outcome::Failed), count(Outcome::Advice), count(Outcome::Broken))
    }

    pub(crate) fn json(&self) -> Result<String> {
        let (failed, advice, broken) = self.counts();
        let document = serde_json::json!({
            "format": FORMAT,
            "file": self.file,
            "level": self.level,
            "failed": failed,
            "advice": advice,
            "broken": broken,
            "plugins": self.plugins,
        });
        serde_json::to_string_pretty(&document).context("the results cannot be written as JSON")
    }

    /// The results as a table for people.
    pub(crate) fn table(&self, verbose: bool) -> String {
        let mut text = String::new();
        for plugin in &self.plugins {
            let _ = writeln!(text, "{} {}", plugin.identifier, plugin.version);
            for checked in &plugin.checks {
                row(&mut text, checked, verbose);
            }
        }
        let (failed, advice, broken) = self.counts();
        let all: usize = self.plugins.iter().map(|plugin| plugin.checks.len()).sum();
        let _ = write!(text, "\n{all} checks to level {}: {failed} failed", self.level);
        let _ = write!(text, ", {advice} with advice");
        if broken > 0 {
            let _ = write!(text, ", {broken} could not be run");
        }
        text.push('\n');
        text
    }
}

fn row(text: &mut String, checked: &Checked, verbose: bool) {
    let Checked { id, level, outcome, .. } = checked;
    let skipped = checked.skipped.as_deref().filter(|_| *outcome == Outcome::Skipped);
    let beside = checked.broken.as_deref().or(skipped).unwrap_or_default();
    let notes = if verbose { checked.notes.join("; ") } else { String::new() };
    let line = format!("  {level:>2}  {:<7}  {id:<22}  {beside}{notes}", outcome.word());
    let _ = writeln!(text, "{}", line.trim_end());
    for finding in &checked.findings {
        let rule = finding.rule.as_ref().map(|rule| format!("{rule}: ")).unwrap_or_default();
        let _ = writeln!(text, "        - {rule}{}", finding.words);
        if let Some(fix) = finding.fix.as_ref().filter(|_| verbose) {
            let _ = writeln!(text, "          fix: {fix}");
        }
    }
    if !checked.findings.is_empty() {
        let _ = writeln!(text, "        why: {}", checked.why);
        if checked.findings.iter().any(|finding| finding.fix.is_none()) || !verbose {
            let first = checked.findings.iter().find_map(|finding| finding.fix.as_deref());
            let _ = writeln!(text, "        fix: {}", first.unwrap_or(checked.fix));
        }
    }
}
