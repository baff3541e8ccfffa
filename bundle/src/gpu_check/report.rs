//! What a check finds out, line by line: a measurement, or how a part ended. Every line is in the
//! file as soon as it is known, so that a check that is broken off leaves what it has.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::redact::Redact;

/// One number, or one fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measurement {
    #[serde(default)]
    pub(super) part: String,
    pub(super) what: String,
    pub(super) value: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) unit: Option<String>,
    /// What it should be, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) expected: Option<String>,
    /// Whether it is so, where that can be judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) holds: Option<bool>,
    /// Whatever else belongs to it.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

impl Measurement {
    pub(super) fn new(what: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            part: String::new(),
            what: what.into(),
            value: value.into(),
            unit: None,
            expected: None,
            holds: None,
            more: Map::new(),
        }
    }

    /// A number with as many digits as mean something.
    pub(super) fn number(what: impl Into<String>, number: f64, unit: &str) -> Self {
        let value = if number.is_finite() { json!(four_digits(number)) } else { Value::Null };
        Self { unit: Some(unit.to_owned()), ..Self::new(what, value) }
    }

    pub(super) fn expected(self, expected: impl Into<String>, holds: bool) -> Self {
        Self { expected: Some(expected.into()), holds: Some(holds), ..self }
    }

    /// Beside what was predicted, which nobody has promised.
    pub(super) fn predicted(self, predicted: f64) -> Self {
        self.with("predicted", four_digits(predicted))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// With as many digits as mean something.
pub(super) fn four_digits(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PartOutcome {
    Done,
    /// It needs what is not here.
    LeftOut,
    Failed,
    /// Its limit ended it, or too little was left for it to begin.
    NoTime,
    /// Somebody stopped the check.
    Stopped,
}

/// A part's last line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ending {
    pub(super) part: String,
    pub(super) outcome: PartOutcome,
    /// Why, unless it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    pub(super) seconds: f64,
}

/// All lines, in memory and in the file.
pub(super) struct CheckReport {
    file: File,
    redact: Redact,
    pub(super) measurements: Vec<Measurement>,
    pub(super) endings: Vec<Ending>,
}

impl CheckReport {
    /// Begins a new file.
    pub(super) fn create(path: &Path, redact: Redact) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self { file, redact, measurements: Vec::new(), endings: Vec::new() })
    }

    pub(super) fn measured(&mut self, part: &str, measurement: Measurement) -> Result<()> {
        let measurement = Measurement { part: part.to_owned(), ..measurement };
        let line = self.redact.value(&serde_json::to_value(measurement)?);
        self.write(&line)?;
        self.measurements.push(serde_json::from_value(line)?);
        Ok(())
    }

    pub(super) fn ended(
        &mut self,
        part: &str,
        outcome: PartOutcome,
        why: Option<String>,
        took: Duration,
    ) -> Result<()> {
        let why = why.map(|why| self.redact.text(&why));
        let seconds = four_digits(took.as_secs_f64());
        let ending = Ending { part: part.to_owned(), outcome, why, seconds };
        self.write(&serde_json::to_value(&ending)?)?;
        self.endings.push(ending);
        Ok(())
    }

    /// What a part measured, by name.
    pub(super) fn found(&self, part: &str, what: &str) -> Option<&Measurement> {
        let mut named =
            self.measurements.iter().filter(|found| found.part == part && found.what == what);
        named.next_back()
    }

    /// Whether nothing went wrong; what was left out did not.
    pub(super) fn is_good(&self) -> bool {
        let parts = self.endings.iter().map(|ending| ending.outcome);
        let ended =
            parts.into_iter().all(|end| matches!(end, PartOutcome::Done | PartOutcome::LeftOut));
        ended && self.measurements.iter().all(|measurement| measurement.holds != Some(false))
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.flush())
            .context("the results cannot be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> (tempfile::TempDir, CheckReport) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        let report = CheckReport::create(&path, Redact::here(&[(folder.path(), "OUT")])).unwrap();
        (folder, report)
    }

    #[test]
    fn every_line_is_in_the_file_at_once_and_tells_nothing_of_the_machine() {
        let (folder, mut report) = report();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let planted = format!("{}/x on {host}", folder.path().display());
        let planted = Measurement::new("words", planted).with("path", json!([host]));
        report.measured("machine", planted).unwrap();
        let text = std::fs::read_to_string(folder.path().join("lines.jsonl")).unwrap();
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["value"], "OUT/x on HOST");
        assert_eq!(line["path"], json!(["HOST"]));

        let why = Some(format!("{} is full", folder.path().display()));
        let took = Duration::from_millis(1_234);
        report.ended("machine", PartOutcome::NoTime, why, took).unwrap();
        let text = std::fs::read_to_string(folder.path().join("lines.jsonl")).unwrap();
        let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let expected = json!({
            "part": "machine", "outcome": "no-time", "why": "OUT is full", "seconds": 1.234
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn what_is_left_out_is_good_and_what_does_not_hold_is_not() {
        let (_folder, mut report) = report();
        let took = Duration::ZERO;
        report.ended("a", PartOutcome::LeftOut, Some("no card".to_owned()), took).unwrap();
        report.measured("b", Measurement::number("psnr", 47.123_456, "dB")).unwrap();
        report
            .measured("b", Measurement::number("psnr", 41.0, "dB").expected("> 40", true))
            .unwrap();
        assert!(report.is_good());
        assert_eq!(report.found("b", "psnr").unwrap().value, json!(41.0));
        report.measured("b", Measurement::new("bits", false).expected("equal", false)).unwrap();
        assert!(!report.is_good());

        let (_folder, mut report) = self::report();
        report.ended("a", PartOutcome::Failed, None, took).unwrap();
        assert!(!report.is_good());
    }

    #[test]
    fn a_line_of_the_python_part_is_a_measurement() {
        let line =
            r#"{"what": "peak", "value": 3.5, "unit": "A", "predicted": 3.6, "holds": true}"#;
        let found: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!((found.value, found.holds), (json!(3.5), Some(true)));
        assert_eq!(found.more["predicted"], json!(3.6));
        assert!(serde_json::from_str::<Measurement>(r#"{"value": 1}"#).is_err());
    }
}
