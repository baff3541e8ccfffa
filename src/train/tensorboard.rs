//! The scalars of a run for TensorBoard, beside its log and made of it: `tensorboard --logdir RUN`.
//!
//! One file of records: length, CRC of the length, an `Event`, CRC of the event, as TensorFlow's
//! `TFRecordWriter` has them; `Event` and `Summary` are protocol buffers of which five fields are
//! needed. When a run goes on, the file is made anew of the log, whose lines of steps that were taken
//! back are gone.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::log_line::Line;
use crate::media::atomic_file::write_whole;

/// The file in a run's folder: TensorBoard looks for names with `tfevents`.
pub(super) const NAME: &str = "events.out.tfevents.wan-alpha";

/// A file of events that is written to.
pub(super) struct EventFile {
    path: PathBuf,
    out: File,
    /// Unix time of the last step that was written, which measurements are given.
    time: f64,
}

impl EventFile {
    /// Writes what a log holds so far, and opens the file for what is to come.
    pub(super) fn of_log(path: PathBuf, lines: &[Line]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0.0, |since| since.as_secs_f64());
        // Logs of before had no times.
        let first = lines.iter().find_map(|line| line.time).unwrap_or(now);
        let mut bytes = record(&event(first, 0, (3, b"brain.Event:2")));
        let mut time = first;
        for line in lines {
            bytes.extend(records(line, &mut time));
        }
        write_whole(&path, &bytes)?;
        let out = File::options().append(true).open(&path);
        let out = out.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, out, time })
    }

    /// Adds the scalars of a line of the log.
    pub(super) fn line(&mut self, line: &Line) -> Result<()> {
        let bytes = records(line, &mut self.time);
        self.out.write_all(&bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Where a run's folder has it.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }
}

/// One record for all scalars of a line.
fn records(line: &Line, time: &mut f64) -> Vec<u8> {
    *time = line.time.unwrap_or(*time);
    let terms = |group: &'static str, terms: &serde_json::Map<String, serde_json::Value>| {
        let each = terms.iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
        each.map(|(name, value)| (format!("{group}/{name}"), value)).collect::<Vec<_>>()
    };
    let mut scalars = terms("training", &line.losses);
    scalars.extend(terms("held_out", &line.held_out));
    for (name, value) in [
        ("training/total", line.total),
        ("optimizer/rate", line.rate),
        ("optimizer/gradient_norm", line.gradient_norm),
        ("seconds_per_step", line.seconds),
    ] {
        scalars.extend(value.map(|value| (name.to_owned(), value)));
    }
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut one = Vec::new();
        field(&mut one, 1, tag.as_bytes());
        // Number 2, four bytes: `simple_value`.
        one.push(2 << 3 | 5);
        one.extend((value as f32).to_le_bytes());
        field(&mut summary, 1, &one);
    }
    if summary.is_empty() { Vec::new() } else { record(&event(*time, line.step, (5, &summary))) }
}

/// An `Event`: number 1 is the Unix time, 2 the step, 3 the version of the format, 5 a `Summary`.
fn event(time: f64, step: u64, (number, content): (u8, &[u8])) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(time.to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step);
    field(&mut event, number, content);
    event
}

/// A field of bytes, text or a message.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(content);
    record.extend(masked_crc(content).to_le_bytes());
    record
}

/// CRC32C (Castagnoli), turned by 15 bits and moved, so that a CRC of bytes with CRCs is a good one.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests;
