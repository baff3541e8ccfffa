//! The summary for people: how each part ended, what was measured, and the row for the table of
//! `docs/gpu-check.md`.

use std::fmt::Write as _;

use serde_json::Value;

use super::report::{CheckReport, Measurement, PartOutcome};

/// A column of the table in `docs/gpu-check.md`, and the measurement that fills it.
struct PageColumn {
    title: &'static str,
    part: &'static str,
    what: &'static str,
}

const fn column(title: &'static str, part: &'static str, what: &'static str) -> PageColumn {
    PageColumn { title, part, what }
}

const COLUMNS: [PageColumn; 13] = [
    column("card", "machine", "card"),
    column("driver", "machine", "driver"),
    column("libtorch", "machine", "libtorch"),
    column("draft, card beside CPU", "take", "card beside CPU"),
    column("same bits twice", "take", "same bits twice"),
    column("attention", "attention", "self-attention"),
    column("block peak", "block", "peak"),
    column("block", "block", "time"),
    column("decoding, float32", "decoding", "take, float32"),
    column("14B: load", "large", "loading"),
    column("14B: step", "large", "step"),
    column("14B: peak", "large", "peak"),
    column("cancel", "large", "cancel"),
];

/// Head and ruler of the table in `docs/gpu-check.md`.
pub(super) fn table_head() -> String {
    let titles = COLUMNS.iter().map(|column| column.title.to_owned());
    let ruler = COLUMNS.iter().map(|_| "---".to_owned());
    row(titles) + &row(ruler)
}

/// The whole page, as Markdown.
pub(super) fn page(report: &CheckReport) -> String {
    let mut text = String::from("# GPU check\n\n");
    text += &row(["part", "ended", "seconds", ""].map(str::to_owned));
    text += &row(["---", "---", "---:", "---"].map(str::to_owned));
    for ending in &report.endings {
        text += &row([
            ending.part.clone(),
            outcome(ending.outcome).to_owned(),
            format!("{:.1}", ending.seconds),
            ending.why.clone().unwrap_or_default(),
        ]);
    }
    for part in parts(report) {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n## {part}\n\n");
        text += &row(["", "measured", "expected", ""].map(str::to_owned));
        text += &row(["---", "---:", "---", "---"].map(str::to_owned));
        for found in report.measurements.iter().filter(|found| found.part == part) {
            text += &row([found.what.clone(), value(found), expected(found), more(found)]);
        }
    }
    text += "\n## For the table of docs/gpu-check.md\n\n";
    if report.found("machine", "driver").is_none() {
        return text + "Nothing: there was no card.\n";
    }
    let filled =
        |column: &PageColumn| report.found(column.part, column.what).map_or("–".into(), value);
    text + &table_head() + &row(COLUMNS.iter().map(filled))
}

/// Parts that measured something, in their order.
fn parts(report: &CheckReport) -> Vec<&str> {
    let mut parts = Vec::new();
    for found in &report.measurements {
        if parts.last() != Some(&found.part.as_str()) && !parts.contains(&found.part.as_str()) {
            parts.push(found.part.as_str());
        }
    }
    parts
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

const fn outcome(outcome: PartOutcome) -> &'static str {
    match outcome {
        PartOutcome::Done => "done",
        PartOutcome::LeftOut => "left out",
        PartOutcome::Failed => "**FAILED**",
        PartOutcome::NoTime => "**no time**",
        PartOutcome::Stopped => "**stopped**",
    }
}

fn value(found: &Measurement) -> String {
    let value = plain(&found.value);
    let unit = found.unit.iter().map(|unit| format!(" {unit}"));
    let verdict = (found.holds == Some(false)).then(|| " **NOT AS EXPECTED**".to_owned());
    [value].into_iter().chain(unit).chain(verdict).collect()
}

fn expected(found: &Measurement) -> String {
    let predicted =
        found.more.get("predicted").map(|number| format!("predicted {}", plain(number)));
    let both = found.expected.iter().cloned().chain(predicted);
    both.collect::<Vec<_>>().join(", ")
}

fn more(found: &Measurement) -> String {
    let rest = found.more.iter().filter(|(name, _)| *name != "predicted");
    rest.map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
}

/// As people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "–".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join("×"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gpu_check::redact::Redact;

    fn report() -> (tempfile::TempDir, CheckReport) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        let report = CheckReport::create(&path, Redact::default()).unwrap();
        (folder, report)
    }

    #[test]
    fn the_page_says_how_parts_ended_and_what_they_measured() {
        let (_folder, mut report) = report();
        let second = Duration::from_secs(1);
        report.measured("machine", Measurement::new("card", "A | B")).unwrap();
        assert!(super::page(&report).ends_with("there was no card.\n"));
        report.measured("machine", Measurement::new("driver", "580")).unwrap();
        report.ended("machine", PartOutcome::Done, None, second).unwrap();
        let why = Some("there is no card".to_owned());
        report.ended("copies", PartOutcome::LeftOut, why, Duration::ZERO).unwrap();
        let peak = Measurement::number("peak", 8.0, "A").expected("≤ 3.6", false).predicted(3.5);
        report.measured("block", peak.with("tokens", 32_760)).unwrap();
        report.ended("block", PartOutcome::Failed, Some("it\nbroke".to_owned()), second).unwrap();
        let page = page(&report);
        for line in [
            "| machine | done | 1.0 |  |",
            "| copies | left out | 0.0 | there is no card |",
            "| block | **FAILED** | 1.0 | it broke |",
            "| card | A \\| B |  |  |",
            "| peak | 8.0 A **NOT AS EXPECTED** | ≤ 3.6, predicted 3.5 | tokens 32760 |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nis not in:\n{page}");
        }
        let last = page.lines().last().unwrap();
        assert!(last.starts_with("| A \\| B | 580 | – | – |"), "{last}");
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(cells(last), COLUMNS.len() + 1);
    }

    #[test]
    fn the_table_of_the_documentation_has_these_columns() {
        let documentation = include_str!("../../../docs/gpu-check.md");
        assert!(documentation.contains(&table_head()), "expected:\n{}", table_head());
        let explained = |column: &PageColumn| {
            let (part, what) = (format!("## {}", column.part), format!("`{}`", column.what));
            documentation.contains(&part) && documentation.contains(&what)
        };
        for column in &COLUMNS {
            assert!(explained(column), "`{}` of {} is not explained", column.what, column.part);
        }
    }
}
