//! The log of a run, as JSON lines: `{"step": 7, "total": …, "losses": {…}, "gradient_norm": …,
//! "rate": …, "seconds": …}` for a step, `{"step": 8, "held_out": {…}}` for a measurement.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wan_alpha_core::train::{Losses, Update};

use crate::media::atomic_file::write_whole;

/// A log that is written to.
pub(super) struct RunLog {
    path: PathBuf,
    out: BufWriter<File>,
}

/// A line of the log, of a step or of a measurement.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) step: u64,
    /// The sum that was minimized.
    pub(super) total: Option<f64>,
    /// Its terms, each without its weight.
    #[serde(default)]
    pub(super) losses: Map<String, Value>,
    /// The same of what is held out, `total` included.
    #[serde(default)]
    pub(super) held_out: Map<String, Value>,
}

impl RunLog {
    /// Opens the log of a run that goes on after `step`: lines of later steps are taken back.
    pub(super) fn open(path: &Path, step: u64) -> Result<Self> {
        let open = || -> Result<File> {
            if path.exists() {
                let text = fs::read_to_string(path)?;
                let is_made = |line: &&str| {
                    serde_json::from_str::<Line>(line).is_ok_and(|line| line.step <= step)
                };
                let kept: Vec<&str> = text.lines().filter(is_made).collect();
                let end = if kept.is_empty() { "" } else { "\n" };
                write_whole(path, (kept.join("\n") + end).as_bytes())?;
            }
            Ok(File::options().create(true).append(true).open(path)?)
        };
        let file = open().with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    pub(super) fn step(&mut self, losses: &Losses, update: &Update, seconds: f64) -> Result<()> {
        self.line(&json!({
            "step": update.step,
            "total": losses.total(),
            "losses": terms(losses),
            "gradient_norm": update.gradient_norm,
            "rate": update.rate,
            "seconds": seconds,
        }))
    }

    pub(super) fn held_out(&mut self, step: u64, losses: &Losses) -> Result<()> {
        let mut terms = terms(losses);
        terms.insert("total".to_owned(), losses.total().into());
        self.line(&json!({ "step": step, "held_out": terms }))
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        written.with_context(|| format!("cannot write the log {}", self.path.display()))
    }
}

fn terms(losses: &Losses) -> Map<String, Value> {
    losses.0.iter().map(|loss| (loss.name.to_owned(), loss.value.into())).collect()
}

/// All lines of a log.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the log {}", path.display()))?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}, line {}", path.display(), index + 1))
    });
    lines.collect()
}
