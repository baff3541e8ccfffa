//! The node's log: a file beside the engine's, for this user alone and never large.
//!
//! Nothing is opened before there is something to say, which is never before a take was asked for. No
//! prompt is ever logged. A batch host's own output has the warnings, too: whoever looks after a farm
//! reads that first.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::log_file::LogFile;

/// What is logged where `WAN_ALPHA_LOG` does not say.
const DEFAULT_LEVEL: LevelFilter = LevelFilter::Warn;

/// The logger of this plug-in; it logs nothing until [`open`], and nothing after [`close`].
static NODE_LOG: NodeLog = NodeLog(Mutex::new(None));

/// The place of a [`LogSink`], while there is one.
struct NodeLog(Mutex<Option<LogSink>>);

/// Where the log goes.
struct LogSink {
    path: PathBuf,
    /// None before the first line, and where it cannot be opened.
    file: Option<LogFile>,
    /// It could not be opened, and is not tried again.
    is_closed: bool,
    /// Warnings go to this process's standard error, too.
    is_batch: bool,
}

/// From now on the log goes where the environment says. Opens no file yet.
pub(crate) fn open(environment: &Environment, is_batch: bool) {
    let path = environment.node_log();
    *NODE_LOG.0.lock() = Some(LogSink { path, file: None, is_closed: false, is_batch });
    // Fails where it was set before, by an earlier session: to this one.
    let _ = log::set_logger(&NODE_LOG);
    log::set_max_level(environment.log.unwrap_or(DEFAULT_LEVEL));
}

/// Ends the log and closes its file.
pub(crate) fn close() {
    log::set_max_level(LevelFilter::Off);
    NODE_LOG.0.lock().take();
}

impl Log for NodeLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(record, SystemTime::now());
        if let Some(sink) = &mut *self.0.lock() {
            sink.write(record.level() <= log::Level::Warn, line.as_bytes());
        }
    }

    fn flush(&self) {}
}

impl LogSink {
    /// What cannot be written is lost: there is nobody to tell.
    fn write(&mut self, is_warning: bool, line: &[u8]) {
        if is_warning && self.is_batch {
            let _ = std::io::stderr().write_all(line);
        }
        if self.file.is_none() && !self.is_closed {
            self.file = LogFile::open(&self.path).ok();
            self.is_closed = self.file.is_none();
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(line);
        }
    }
}

/// A record as one line: the process, since several hosts write to one file.
fn line(record: &Record<'_>, now: SystemTime) -> String {
    let text = record.args().to_string().replace(['\n', '\r'], " ");
    let (level, process) = (record.level(), std::process::id());
    format!("[{} {level} {process}] {text}\n", universal_time(now))
}

/// A time of the clock as `2026-11-29T12:34:56Z`.
fn universal_time(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years of 400 from 1 March 0000, which leap days end (Howard Hinnant, `civil_from_days`).
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60];
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(universal_time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_record_is_one_line_of_the_file_and_warnings_are_said_in_a_batch_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/node.log");
        let mut sink =
            LogSink { path: path.clone(), file: None, is_closed: false, is_batch: false };
        assert!(!path.exists(), "opened before there is anything to say");
        let record = |record: &Record<'_>| line(record, UNIX_EPOCH);
        let warning = log::Level::Warn;
        let text =
            record(&Record::builder().level(warning).args(format_args!("two\nlines")).build());
        sink.write(true, text.as_bytes());
        let process = std::process::id();
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written, format!("[1970-01-01T00:00:00Z WARN {process}] two lines\n"));
        // A folder that cannot be made loses the line, and nothing else.
        let mut nowhere = LogSink { path: path.join("node.log"), file: None, ..sink };
        nowhere.write(true, b"lost\n");
        assert!(nowhere.is_closed);
    }
}
