//! A line of a run's log, as everything that reads the log has it.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// Of all gradients together, before they are clipped.
    pub(super) gradient_norm: Option<f64>,
    /// The learning rate of the step.
    pub(super) rate: Option<f64>,
    /// How long the step took.
    pub(super) seconds: Option<f64>,
    /// When the step ended, as Unix time.
    pub(super) time: Option<f64>,
}

/// All lines of a log.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the log {}", path.display()))?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}, line {}", path.display(), index + 1))
    });
    lines.collect()
}
