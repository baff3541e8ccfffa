//! The report as one page that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::media::Seen;
use super::{Finding, Key, Report, RowReport, Severity, Summary, key};
use crate::data::table::Row;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Data set report</title><style>
:root{color-scheme:light dark}
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem}
h1{font-size:1.3rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-top:1px solid #8884}
th{position:sticky;top:0;background:Canvas}img{display:block;max-height:72px}
.error{color:#c62828}.warning{color:#b26a00}td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
@media(prefers-color-scheme:dark){.error{color:#ff8a80}.warning{color:#ffcc80}}
label{margin-right:1.2rem}ul{margin:0;padding-left:1.1rem}code{word-break:break-all}
</style></head><body>
"#;

const TAIL: &str = r#"</tbody></table>
<script>
const boxes=[...document.querySelectorAll('input')];
const show=()=>{const on=boxes.find(b=>b.checked).value;
for(const row of document.querySelectorAll('tbody tr'))
row.hidden=on!='all'&&!(row.dataset.worst==on||on=='any'&&row.dataset.worst!='none')};
boxes.forEach(b=>b.addEventListener('change',show));
</script></body></html>
"#;

pub(super) fn html(report: &Report, seen: &BTreeMap<Key<'_>, Seen>, rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    // Writing to a string cannot fail.
    let _ = summary(&mut page, report);
    for (row, of) in report.rows.iter().zip(rows) {
        let picture = seen.get(&key(of)).and_then(|seen| seen.media.as_ref());
        let picture = picture.map_or(&[][..], |media| &media.picture);
        let _ = line(&mut page, row, picture);
    }
    page.push_str(TAIL);
    page
}

fn summary(page: &mut String, report: &Report) -> std::fmt::Result {
    let Summary { rows, media, sources, frames, errors, warnings, languages, labels } =
        &report.summary;
    writeln!(page, "<h1>{}</h1>", escape(&report.set))?;
    writeln!(
        page,
        "<p>{rows} rows, {media} clips of {sources} sources, {frames} frames: \
         <b class=\"error\">{errors} errors</b>, <b class=\"warning\">{warnings} warnings</b></p>"
    )?;
    let counted = |counts: Vec<(String, usize)>| {
        let each = counts.into_iter().map(|(name, count)| format!("{} {count}", escape(&name)));
        each.collect::<Vec<_>>().join(", ")
    };
    let names = languages.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    writeln!(page, "<p>Captions: {}</p>", counted(names))?;
    for (label, values) in labels {
        let values = values.iter().map(|(name, count)| (name.clone(), *count)).collect();
        writeln!(page, "<p>{}: {}</p>", escape(label), counted(values))?;
    }
    findings(page, &report.findings)?;
    page.push_str("<p>");
    let choices = [
        ("all", "all rows"),
        ("any", "with findings"),
        ("error", "errors"),
        ("warning", "warnings"),
    ];
    for (value, text) in choices {
        let checked = if value == "all" { " checked" } else { "" };
        write!(
            page,
            "<label><input type=\"radio\" name=\"show\" value=\"{value}\"{checked}> {text}</label>"
        )?;
    }
    page.push_str(
        "</p><table><thead><tr><th>row<th>middle<th>files and captions<th>frames, size<th>alpha: \
         mean, clear, soft, opaque<th>ellipse<th>findings</tr></thead><tbody>\n",
    );
    Ok(())
}

fn line(page: &mut String, row: &RowReport, picture: &[u8]) -> std::fmt::Result {
    let worst = match row.findings.first() {
        Some(finding) if finding.severity == Severity::Error => "error",
        Some(_) => "warning",
        None => "none",
    };
    write!(
        page,
        "<tr data-worst=\"{worst}\"><td class=\"n\">{}<br>line {}<td>",
        row.row, row.line
    )?;
    if !picture.is_empty() {
        write!(page, "<img alt=\"\" src=\"data:image/png;base64,{}\">", STANDARD.encode(picture))?;
    }
    write!(page, "<td><code>{}</code>", escape(&row.colour))?;
    if !row.alpha.is_empty() {
        write!(page, "<br><code>{}</code>", escape(&row.alpha))?;
    }
    for caption in &row.captions {
        write!(page, "<br>{}", escape(caption))?;
    }
    match &row.media {
        Some(media) => {
            let alpha = &media.statistics;
            write!(
                page,
                "<td class=\"n\">{}<br>{} × {}<td class=\"n\">{:.3}<br>{:.1} %, {:.1} %, {:.1} %",
                media.frames,
                media.width,
                media.height,
                alpha.mean,
                100.0 * alpha.clear,
                100.0 * alpha.soft,
                100.0 * alpha.opaque
            )?;
            let found = media.ellipses.iter().flatten();
            let least = found.clone().map(|(_, covered)| *covered).fold(1.0, f64::min);
            write!(page, "<td class=\"n\">{} of {}", found.count(), media.ellipses.len())?;
            write!(page, "<br>covers ≥ {:.1} %", 100.0 * least)?;
        }
        None => page.push_str("<td><td><td>"),
    }
    page.push_str("<td>");
    findings(page, &row.findings)?;
    page.push_str("</tr>\n");
    Ok(())
}

fn findings(page: &mut String, findings: &[Finding]) -> std::fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    page.push_str("<ul>");
    for finding in findings {
        let class = if finding.severity == Severity::Error { "error" } else { "warning" };
        write!(page, "<li class=\"{class}\">{}: {}", finding.code, escape(&finding.text))?;
    }
    page.push_str("</ul>");
    Ok(())
}

/// Text from outside, as text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_says_cannot_become_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
