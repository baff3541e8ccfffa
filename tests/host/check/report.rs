//! What a check finds, written down line by line so that a crash loses nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use wan_alpha_test_host::{Host, Rule};

use crate::remedy;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Some host will not like it, or nobody will see it.
    Advice,
    /// It breaks OpenFX, or hosts.
    Fault,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The rule of the host that was broken, where it is one.
    pub(crate) rule: Option<String>,
    /// What was found, as a sentence.
    pub(crate) words: String,
    /// What to do; the check's own remedy where there is none.
    pub(crate) fix: Option<String>,
}

/// One line of a report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    /// What is tried from now on.
    Step(String),
    Found(Finding),
    Note(String),
    /// There is nothing to look at, and why.
    Skipped(String),
    /// It cannot be run as it was asked for, and why.
    Broken(String),
    End,
}

/// Where a check writes.
pub(crate) struct Report {
    file: File,
    /// The last step that was begun.
    step: String,
    seen: Vec<Finding>,
    /// Rules that nobody can keep in what is tried.
    pub(crate) tolerated: &'static [Rule],
}

/// How many findings of one rule are kept: a loop that breaks a rule breaks it often.
const MOST: usize = 3;

impl Report {
    pub(crate) fn to(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { file, step: String::new(), seen: Vec::new(), tolerated: &[] })
    }

    fn line(&mut self, line: &Line) {
        // A report that cannot be written ends without `End`, which the examiner sees.
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            let _ = self.file.write_all(&text);
        }
    }

    /// What is tried from now on; said where it crashes, and with what is found.
    pub(crate) fn step(&mut self, words: impl Into<String>) {
        self.step = words.into();
        self.line(&Line::Step(self.step.clone()));
    }

    pub(crate) fn fault(&mut self, words: impl Into<String>) {
        self.found(Severity::Fault, None, words.into(), None);
    }

    pub(crate) fn advice(&mut self, words: impl Into<String>) {
        self.found(Severity::Advice, None, words.into(), None);
    }

    pub(crate) fn note(&mut self, words: impl Into<String>) {
        self.line(&Line::Note(words.into()));
    }

    pub(crate) fn skip(&mut self, words: impl Into<String>) {
        self.line(&Line::Skipped(words.into()));
    }

    pub(crate) fn broken(&mut self, words: impl Into<String>) {
        self.line(&Line::Broken(words.into()));
    }

    pub(crate) fn end(&mut self) {
        self.line(&Line::End);
    }

    fn found(
        &mut self,
        severity: Severity,
        rule: Option<Rule>,
        words: String,
        fix: Option<String>,
    ) {
        let words = if self.step.is_empty() { words } else { format!("{words} ({})", self.step) };
        let rule = rule.map(|rule| format!("{rule:?}"));
        let finding = Finding { severity, rule, words, fix };
        let like = self
            .seen
            .iter()
            .filter(|other| (&other.rule, other.severity) == (&finding.rule, finding.severity));
        if like.count() < MOST && !self.seen.contains(&finding) {
            self.line(&Line::Found(finding.clone()));
            self.seen.push(finding);
        }
    }

    /// The rules that a plug-in broke in a host.
    pub(crate) fn rules(&mut self, host: &Host) {
        let mut faults = host.take_faults();
        faults.retain(|fault| !self.tolerated.contains(&fault.rule));
        for fault in faults {
            let words = format!("{} in {}", fault.words, fault.during);
            let fix = remedy::of(fault.rule).to_owned();
            self.found(Severity::Fault, Some(fault.rule), words, Some(fix));
        }
    }
}
