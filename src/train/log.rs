//! The log of a run, as JSON lines: `{"step": 7, "total": …, "losses": {…}, "gradient_norm": …,
//! "rate": …, "seconds": …, "time": …}` for a step, `{"step": 8, "held_out": {…}}` for a measurement;
//! and the same for TensorBoard.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wan_alpha_core::train::{Losses, Update};

use super::folder::RunFolder;
use super::log_line::{Line, read};
use super::tensorboard::EventFile;
use crate::media::atomic_file::write_whole;

/// A log that is written to, and the events beside it.
pub(super) struct RunLog {
    path: PathBuf,
    out: BufWriter<File>,
    events: EventFile,
}

impl RunLog {
    /// Opens the log of a run that goes on after `step`: lines of later steps are taken back.
    pub(super) fn open(folder: &RunFolder, step: u64) -> Result<Self> {
        let path = &folder.log();
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
        let events = EventFile::of_log(folder.events(), &read(path)?)?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), events })
    }

    pub(super) fn step(&mut self, losses: &Losses, update: &Update, seconds: f64) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.map_or(0.0, |since| since.as_secs_f64());
        self.line(&json!({
            "step": update.step,
            "total": losses.total(),
            "losses": terms(losses),
            "gradient_norm": update.gradient_norm,
            "rate": update.rate,
            "seconds": seconds,
            "time": time,
        }))
    }

    pub(super) fn held_out(&mut self, step: u64, losses: &Losses) -> Result<()> {
        let mut terms = terms(losses);
        terms.insert("total".to_owned(), losses.total().into());
        self.line(&json!({ "step": step, "held_out": terms }))
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        written.with_context(|| format!("cannot write the log {}", self.path.display()))?;
        self.events.line(&Line::deserialize(line)?)
    }
}

fn terms(losses: &Losses) -> Map<String, Value> {
    losses.0.iter().map(|loss| (loss.name.to_owned(), loss.value.into())).collect()
}
