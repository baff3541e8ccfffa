//! The report as one page that needs nothing else.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use wan_alpha_take::counted::counted;

use super::media::{Media, Seen};
use super::{MediaKey, RowReport, SetFinding, SetReport, Severity, Summary, key};
use crate::data::table::Row;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Rows that can be chosen to be shown: the script's word for them, and ours.
const CHOICES: [(&str, &str); 4] =
    [("all", "all rows"), ("any", "with findings"), ("error", "errors"), ("warning", "warnings")];

/// Headings of the table of rows.
const HEADS: [&str; 7] = [
    "row",
    "middle",
    "files and captions",
    "frames, size",
    "alpha: mean, clear, soft, opaque",
    "ellipse",
    "findings",
];

/// The whole page, as HTML.
pub(super) fn draw(
    report: &SetReport,
    seen: &BTreeMap<MediaKey<'_>, Seen>,
    rows: &[Row],
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Data set report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (summary(report))
                (findings(&report.findings))
                (choices())
                table {
                    thead {
                        tr {
                            @for head in HEADS { th { (head) } }
                        }
                    }
                    tbody {
                        @for (row, of) in report.rows.iter().zip(rows) {
                            (line(row, picture_of(seen, of)))
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The middle frame of a row as PNG; empty where nothing could be read.
fn picture_of<'a>(seen: &'a BTreeMap<MediaKey<'a>, Seen>, row: &'a Row) -> &'a [u8] {
    let media = seen.get(&key(row)).and_then(|seen| seen.media.as_ref());
    media.map_or(&[], |media| &media.picture)
}

/// What the whole set comes to.
fn summary(report: &SetReport) -> Markup {
    let Summary { rows, media, sources, frames, errors, warnings, languages, labels } =
        &report.summary;
    html! {
        h1 { (report.set) }
        p {
            (counted(*rows, "row")) ", " (counted(*media, "clip")) " of "
            (counted(*sources, "source")) ", " (counted(*frames, "frame")) ": "
            b class="error" { (counted(*errors, "error")) } ", "
            b class="warning" { (counted(*warnings, "warning")) }
        }
        p { "Captions: " (tally(languages)) }
        @for (label, values) in labels {
            p { (label) ": " (tally(values)) }
        }
    }
}

/// Names with how often each is there, separated by commas.
fn tally<N: std::fmt::Display>(counts: &BTreeMap<N, usize>) -> String {
    let each = counts.iter().map(|(name, count)| format!("{name} {count}"));
    each.collect::<Vec<_>>().join(", ")
}

/// The choice of rows that are shown.
fn choices() -> Markup {
    html! {
        p {
            @for (value, text) in CHOICES {
                label {
                    input type="radio" name="show" value=(value) checked[value == "all"];
                    " " (text)
                }
            }
        }
    }
}

/// One row of the set, with its picture.
fn line(row: &RowReport, picture: &[u8]) -> Markup {
    let worst = match row.findings.first() {
        Some(finding) if finding.severity == Severity::Error => "error",
        Some(_) => "warning",
        None => "none",
    };
    html! {
        tr data-worst=(worst) {
            td class="n" { (row.row) br; "line " (row.line) }
            td {
                @if !picture.is_empty() {
                    img alt="" src=(format!("data:image/png;base64,{}", BASE64.encode(picture)));
                }
            }
            td {
                code { (row.color) }
                @if !row.alpha.is_empty() { br; code { (row.alpha) } }
                @for caption in &row.captions { br; (caption) }
            }
            @match &row.media {
                Some(media) => (measured(media)),
                None => { td {} td {} td {} },
            }
            td { (findings(&row.findings)) }
        }
    }
}

/// Three cells about what was read: frames and size, alpha, ellipses.
fn measured(media: &Media) -> Markup {
    let alpha = &media.statistics;
    let [clear, soft, opaque] =
        [alpha.clear, alpha.soft, alpha.opaque].map(|share| format!("{:.1} %", 100.0 * share));
    let found = media.ellipses.iter().flatten();
    let least = found.clone().map(|(_, covered)| *covered).fold(1.0, f64::min);
    html! {
        td class="n" { (media.frames) br; (media.width) " × " (media.height) }
        td class="n" { (format!("{:.3}", alpha.mean)) br; (clear) ", " (soft) ", " (opaque) }
        td class="n" {
            (found.count()) " of " (media.ellipses.len()) br;
            (format!("covers ≥ {:.1} %", 100.0 * least))
        }
    }
}

/// What was found, the worst first, if anything was.
fn findings(findings: &[SetFinding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            ul {
                @for finding in findings {
                    @let is_error = finding.severity == Severity::Error;
                    li class=(if is_error { "error" } else { "warning" }) {
                        (finding.code) ": " (finding.text)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_says_cannot_become_markup() {
        let said = "<b a=\"1\">&";
        let page = findings(&[SetFinding::error("code", said)]).into_string();
        assert!(page.contains(">code: &lt;b a=&quot;1&quot;&gt;&amp;</li>"), "{page}");
        let row = RowReport {
            row: 1,
            line: 2,
            color: said.to_owned(),
            alpha: said.to_owned(),
            captions: vec![said.to_owned()],
            language: "en",
            media: None,
            findings: vec![SetFinding::warning("code", said)],
        };
        let page = line(&row, &[]).into_string();
        assert_eq!(page.matches("&lt;b a=&quot;1&quot;&gt;&amp;").count(), 4, "{page}");
        assert!(!page.contains("<b a"), "{page}");
    }
}
