//! What became of the shots of a batch, for people, for programs, and for what shows results of tests.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wan_alpha_take::TakeKey;
use wan_alpha_take::counted::counted;

use super::shots::BatchShot;
use crate::exit::Exit;
use crate::table_printer::lines_of_grid;

/// What became of a shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ShotState {
    /// Its take was made, and its files written.
    Made,
    /// The store had its take; its files were written.
    FromStore,
    /// Its files were there, of this take and as the row asks for them.
    There,
    /// It could not be made or written.
    Failed,
    /// The batch ended before it.
    NotBegun,
}

impl ShotState {
    const fn words(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::FromStore => "from the store",
            Self::There => "there already",
            Self::Failed => "FAILED",
            Self::NotBegun => "not begun",
        }
    }
}

/// Why a shot failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShotFailure {
    /// The kind of problem, for programs.
    pub(crate) code: String,
    /// The exit code that a render of this shot alone would have had.
    pub(crate) exit: u8,
    /// In words, with what to do.
    pub(crate) message: String,
}

/// One shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShotReport {
    pub(crate) name: String,
    /// Of the table, from 1.
    pub(crate) line: usize,
    pub(crate) state: ShotState,
    /// The key of its take.
    pub(crate) key: Option<String>,
    /// The folder of its files.
    pub(crate) out: PathBuf,
    /// That it took here.
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<ShotFailure>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl ShotReport {
    /// Of a shot at which nobody has been yet, as it stays where the batch ends without a word.
    pub(super) fn not_begun(shot: &BatchShot, key: Option<&TakeKey>) -> Self {
        Self::left(shot, key, "not begun when this was written: run the batch again")
    }

    /// Of a shot that has none.
    pub(crate) fn without(shot: &BatchShot) -> Self {
        Self::left(shot, None, "there is no report of it: its task has not run, or not to its end")
    }

    /// What JUnit calls it; nothing where it is there.
    fn element(&self) -> Option<&'static str> {
        // One of which nobody knows why it was not made is no success; after a failure it is left out.
        let is_unknown =
            self.failure.as_ref().is_some_and(|failure| failure.code == Exit::Failed.name());
        match self.state {
            ShotState::Failed => Some("failure"),
            ShotState::NotBegun if is_unknown => Some("error"),
            ShotState::NotBegun => Some("skipped"),
            ShotState::Made | ShotState::FromStore | ShotState::There => None,
        }
    }

    fn left(shot: &BatchShot, key: Option<&TakeKey>, why: &str) -> Self {
        Self {
            name: shot.name.clone(),
            line: shot.line,
            state: ShotState::NotBegun,
            key: key.map(TakeKey::to_string),
            out: shot.render.out.clone(),
            seconds: 0.0,
            failure: Some(ShotFailure {
                code: Exit::Failed.name().to_owned(),
                exit: Exit::Failed.code(),
                message: why.to_owned(),
            }),
            warnings: Vec::new(),
        }
    }
}

/// All of them, in the order of the table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BatchReport {
    pub(crate) shots: Vec<ShotReport>,
}

impl BatchReport {
    /// Of shots at which nobody has been.
    pub(super) fn not_begun(shots: &[BatchShot]) -> Self {
        Self { shots: shots.iter().map(|shot| ShotReport::not_begun(shot, None)).collect() }
    }

    /// None of the shots that are left is begun any more.
    pub(super) fn end(&mut self, failure: &ShotFailure) {
        let left = self.shots.iter_mut().filter(|shot| shot.state == ShotState::NotBegun);
        left.for_each(|shot| shot.failure = Some(failure.clone()));
    }

    /// The shot of a row fails before it is begun.
    pub(super) fn fail(&mut self, row: usize, failure: ShotFailure) {
        let shot = &mut self.shots[row];
        (shot.state, shot.failure) = (ShotState::Failed, Some(failure));
    }

    /// The failure that the batch ends with: of the greatest exit code the first.
    pub(crate) fn worst(&self) -> Option<&ShotFailure> {
        let failures = self.shots.iter().filter_map(|shot| shot.failure.as_ref());
        // Of equal ones the last would count.
        failures.rev().max_by_key(|failure| failure.exit)
    }

    /// `10 of 12 shots are there: 8 made, 2 from the store; 1 failed, 1 not begun`.
    pub(crate) fn summary(&self) -> String {
        let count = |state| self.shots.iter().filter(|shot| shot.state == state).count();
        let part = |(state, words): (ShotState, &str)| {
            let count = count(state);
            (count > 0).then(|| format!("{count} {words}"))
        };
        let parts = [
            (ShotState::Made, "made"),
            (ShotState::FromStore, "from the store"),
            (ShotState::There, "there already"),
            (ShotState::Failed, "failed"),
            (ShotState::NotBegun, "not begun"),
        ];
        let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
        format!("{}: {}", counted(self.shots.len(), "shot"), parts.join(", "))
    }

    /// A line for each shot, and the sum.
    pub(crate) fn lines(&self) -> Vec<String> {
        let row = |shot: &ShotReport| {
            let what = match &shot.failure {
                Some(failure) => format!("{}: {}", failure.code, failure.message),
                None => shot.out.display().to_string(),
            };
            let what = what.split('\n').next().unwrap_or_default().to_owned();
            let name = format!("{}  {}", shot.state.words(), shot.name);
            (name, format!("{:.1} s", shot.seconds), what)
        };
        let rows: Vec<_> = self.shots.iter().map(row).collect();
        let grid: Vec<_> =
            rows.iter().map(|(name, time, _)| vec![name.clone(), time.clone()]).collect();
        let grid = lines_of_grid(&grid).into_iter().zip(&rows);
        let mut lines: Vec<String> =
            grid.map(|(line, (_, _, what))| format!("{line}  {what}")).collect();
        lines.push(self.summary());
        lines
    }

    /// The same report as JSON, for programs.
    pub(crate) fn json(&self) -> Value {
        let exit = self.worst().map_or(0, |failure| failure.exit);
        json!({ "program": "wan-alpha", "exit": exit, "summary": self.summary(), "shots": self.shots })
    }

    /// As JUnit's XML: each shot a test.
    pub(crate) fn junit(&self) -> String {
        let count = |element| self.shots.iter().filter(|shot| shot.element() == element).count();
        let time: f64 = self.shots.iter().map(|shot| shot.seconds).sum();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"wan-alpha batch\" tests=\"{}\" \
             failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">\n",
            self.shots.len(),
            count(Some("failure")),
            count(Some("error")),
            count(Some("skipped"))
        );
        for shot in &self.shots {
            let (name, seconds) = (escaped(&shot.name), shot.seconds);
            xml += &format!(
                "  <testcase classname=\"shots\" name=\"{name}\" time=\"{seconds:.3}\">\n"
            );
            if let Some(element) = shot.element() {
                let failure = shot.failure.as_ref().map(|ShotFailure { code, message, .. }| {
                    let kind = match element {
                        "skipped" => String::new(),
                        _ => format!(" type=\"{}\"", escaped(code)),
                    };
                    format!("{kind} message=\"{}\"", escaped(message))
                });
                xml += &format!("    <{element}{}/>\n", failure.unwrap_or_default());
            }
            if !shot.warnings.is_empty() {
                xml += &format!(
                    "    <system-err>{}</system-err>\n",
                    escaped(&shot.warnings.join("\n"))
                );
            }
            xml += "  </testcase>\n";
        }
        xml + "</testsuite>\n"
    }
}

/// Text within XML, in an attribute too; characters that XML does not have are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\t' => escaped.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(name: &str, state: ShotState, failure: Option<(&str, u8)>) -> ShotReport {
        let failure = failure.map(|(code, exit)| ShotFailure {
            code: code.to_owned(),
            exit,
            message: "no <such> \"file\"\nat all & more\u{7}".to_owned(),
        });
        let (line, key, out) = (2, None, PathBuf::from("out"));
        ShotReport {
            name: name.to_owned(),
            line,
            state,
            key,
            out,
            seconds: 1.25,
            failure,
            warnings: vec![],
        }
    }

    #[test]
    fn the_worst_is_the_first_of_the_greatest_exit_code() {
        let mut report = BatchReport::default();
        assert_eq!(report.worst(), None);
        report.shots = vec![
            shot("a", ShotState::Made, None),
            shot("b", ShotState::Failed, Some(("bad-input", 2))),
            shot("c", ShotState::Failed, Some(("no-model", 4))),
            shot("d", ShotState::Failed, Some(("model-incomplete", 4))),
            shot("e", ShotState::NotBegun, None),
        ];
        assert_eq!(report.worst().unwrap().code, "no-model");
        assert_eq!(report.json()["exit"], 4);
        assert_eq!(report.summary(), "5 shots: 1 made, 3 failed, 1 not begun");
        assert_eq!(report.lines()[1], "FAILED  b     1.2 s  bad-input: no <such> \"file\"");
        let back: BatchReport = serde_json::from_value(report.json()).unwrap();
        assert_eq!(back.summary(), report.summary());
    }

    #[test]
    fn junit_is_xml_whatever_stands_in_messages() {
        let shots = vec![
            shot("a", ShotState::Made, None),
            shot("b", ShotState::Failed, Some(("bad-input", 2))),
            shot("c", ShotState::NotBegun, None),
        ];
        let xml = BatchReport { shots }.junit();
        assert!(
            xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.750\""),
            "{xml}"
        );
        let failure = "<failure type=\"bad-input\" message=\"no &lt;such&gt; &quot;file&quot;&#10;at all \
                       &amp; more\"/>";
        assert!(xml.contains(failure) && xml.contains("<skipped/>"), "{xml}");
    }
}
