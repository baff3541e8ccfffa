//! Progress and log lines in the form of Open Job Description.
//!
//! Whatever runs a task reads both of its streams: a line `openjd_progress: 40` is a command, and one that
//! begins like a command and is none can end the task. So no other line of ours begins so, whatever a
//! prompt or a file's name is.

use std::io::{self, Write, stderr};

/// What commands begin with, in whatever capitals and after whatever blanks.
const COMMAND: &str = "openjd";

/// Tells of stages by lines of progress and status.
pub(super) struct OpenJdLines {
    out: Box<dyn Write + Send>,
    /// Of a hundred, as last told: it only grows.
    told: Option<f64>,
    /// Parts that are done, and all of them.
    parts: [usize; 2],
}

/// Where in a take each stage lies, of a hundred.
fn share(stage: &str) -> [f64; 2] {
    match stage {
        "reading the prompt" => [0.0, 6.0],
        "loading the model" => [6.0, 10.0],
        "sampling" => [10.0, 70.0],
        "decoding" => [70.0, 98.0],
        _ => [0.0, 6.0],
    }
}

impl OpenJdLines {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, told: None, parts: [0, 1] }
    }

    /// A part of the work begins, after `done` of `of`.
    pub(super) fn begin_part(&mut self, done: usize, of: usize) {
        self.parts = [done, of.max(1)];
    }

    pub(super) fn update(&mut self, stage: &str, step: usize, of: usize) {
        let [begin, end] = share(stage);
        let part = begin + (end - begin) * step as f64 / of.max(1) as f64;
        let [done, parts] = self.parts.map(|count| count as f64);
        let percent = ((done * 100.0 + part) / parts * 10.0).round() / 10.0;
        if self.told.is_none_or(|told| told < percent) {
            self.told = Some(percent);
            self.command("progress", &percent.to_string());
        }
        self.command("status", &format!("{stage} {step}/{of}"));
    }

    /// A command, whose value is one line.
    pub(super) fn command(&mut self, kind: &str, value: &str) {
        let value = value.split(['\n', '\r']).next().unwrap_or_default();
        self.print(&format!("{COMMAND}_{kind}: {value}"));
    }

    /// Why the task has failed: the first line; where that leads to reasons in lines of their own, with the
    /// first of them.
    pub(super) fn fail(&mut self, message: &str) {
        let mut lines = message.split(['\n', '\r']).map(str::trim);
        let first = lines.next().unwrap_or_default();
        match lines.find(|line| !line.is_empty()) {
            Some(reason) if first.ends_with(':') => {
                self.command("fail", &format!("{first} {reason}"));
            }
            _ => self.command("fail", first),
        }
    }

    /// A closed stream is no reason to stop.
    fn print(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    /// Text that is no command.
    pub(super) fn note(&mut self, text: &str) {
        self.print(&harmless(text));
    }
}

/// Text of whose lines none is taken for a command.
fn harmless(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| {
        let begins = line.trim_start().get(..COMMAND.len());
        let is_like_one = begins.is_some_and(|begins| begins.eq_ignore_ascii_case(COMMAND));
        if is_like_one { format!("| {line}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where the log's lines go on such a farm.
pub(crate) struct OpenJdLog;

impl Write for OpenJdLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        stderr().write_all(harmless(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(work: impl FnOnce(&mut OpenJdLines)) -> String {
        let told = Told::default();
        work(&mut OpenJdLines::new(Box::new(told.clone())));
        let bytes = told.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn progress_is_of_all_parts_and_never_goes_back() {
        let said = told(|lines| {
            lines.begin_part(1, 2);
            lines.update("sampling", 2, 4);
            lines.update("loading the model", 0, 1);
            lines.update("decoding", 3, 3);
        });
        assert_eq!(
            said,
            "openjd_progress: 70\nopenjd_status: sampling 2/4\nopenjd_status: loading the model 0/1\n\
             openjd_progress: 99\nopenjd_status: decoding 3/3\n"
        );
    }

    #[test]
    fn no_text_is_taken_for_a_command() {
        let text = "a prompt\nopenjd_env: A=B\r  OpenJD_fail: x\nopenjd";
        let said = told(|lines| lines.note(text));
        assert_eq!(said, "a prompt\n| openjd_env: A=B\n|   OpenJD_fail: x\n| openjd\n");
        let said = told(|lines| lines.fail("one\nopenjd_env: A=B"));
        assert_eq!(said, "openjd_fail: one\n");
    }

    #[test]
    fn a_failure_with_a_list_of_reasons_is_told_with_the_first() {
        let said = told(|lines| lines.fail("none is made:\n  line 2: no\n  line 3: nor this"));
        assert_eq!(said, "openjd_fail: none is made: line 2: no\n");
        let said = told(|lines| lines.fail("none is made:\n"));
        assert_eq!(said, "openjd_fail: none is made:\n");
    }
}
