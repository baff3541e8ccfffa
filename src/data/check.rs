//! `wan-alpha data check`: everything that could stop or spoil a training, found before it begins.
//!
//! Every file of a set is read once, in parallel, a frame at a time. An error is what no training
//! could use; a warning is what somebody should have a look at. Each names its row and file.

mod alpha_map;
mod language;
mod matte;
mod media;
mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use rayon::prelude::*;
use serde::Serialize;
use wan_alpha_core::Watch;
use wan_alpha_take::counted::counted;

use super::set::Set;
use super::table::{Row, meant_column};
use crate::args::CheckSet;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{explain_write, write_whole};
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;
use language::CaptionLanguage;
use media::{Media, Seen};

/// What was found of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SetFinding {
    severity: Severity,
    /// For programs: what kind of thing it is.
    code: &'static str,
    /// For people: what and what to do.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

impl SetFinding {
    fn error(code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, text: text.into() }
    }

    fn warning(code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, text: text.into() }
    }
}

/// The report, as JSON has it.
#[derive(Debug, Serialize)]
struct SetReport {
    set: String,
    rows: Vec<RowReport>,
    /// Of the table as a whole.
    findings: Vec<SetFinding>,
    summary: Summary,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    rows: usize,
    media: usize,
    sources: usize,
    frames: usize,
    errors: usize,
    warnings: usize,
    /// Rows by the language of their first caption.
    languages: BTreeMap<&'static str, usize>,
    /// Rows by each label's values.
    labels: BTreeMap<String, BTreeMap<String, usize>>,
}

#[derive(Debug, Serialize)]
struct RowReport {
    /// Its number in the table, from 1.
    row: usize,
    line: usize,
    #[serde(rename = "colour")]
    color: String,
    alpha: String,
    captions: Vec<String>,
    language: &'static str,
    #[serde(flatten)]
    media: Option<Media>,
    findings: Vec<SetFinding>,
}

/// What makes two rows show the same.
type MediaKey<'a> = (&'a str, &'a str, bool, (Option<String>, Option<&'a str>), &'a str);

fn key(row: &Row) -> MediaKey<'_> {
    use crate::media::reading::Association::Premultiplied;
    let premultiplied = row.association == Some(Premultiplied);
    (&row.color, &row.alpha, premultiplied, row.said_of_color(), &row.track)
}

pub(super) fn run(args: &CheckSet, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { progress, .. } = *context;
    let set = Set::open(&args.set)?;
    let lock = |folder: &PathBuf| {
        std::fs::create_dir_all(folder)
            .map_err(|error| explain_write(folder, &error))
            .or_exit(Exit::BadInput)?;
        WriteLock::of_folder(folder)
    };
    let _lock = args.out.as_ref().map(lock).transpose()?;
    let seen = look(&set, context)?;
    let report = SetReport::of(&set, &seen);
    progress.done();
    if let Some(folder) = &args.out {
        write_whole(
            &folder.join("report.html"),
            page::draw(&report, &seen, set.rows()).as_bytes(),
        )?;
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        write_whole(&folder.join("report.json"), &json)?;
    }
    print_lines(&report.lines(&set))?;
    let Summary { errors, .. } = report.summary;
    if errors > 0 {
        return Err(anyhow!("{} has {}", set.table.display(), counted(errors, "error")))
            .or_exit(Exit::BadInput);
    }
    Ok(())
}

/// Reads every file once.
fn look<'a>(set: &'a Set, context: &CommandContext<'_>) -> Result<BTreeMap<MediaKey<'a>, Seen>> {
    let CommandContext { progress, console, .. } = *context;
    let mut media: BTreeMap<MediaKey<'_>, &Row> = BTreeMap::new();
    for row in set.rows() {
        media.entry(key(row)).or_insert(row);
    }
    let (count, done) = (media.len(), AtomicUsize::new(0));
    progress.update("checking", 0, count);
    let media: Vec<_> = media.into_iter().collect();
    let looked = media.into_par_iter().map(|(key, row)| {
        let seen = media::look(row, &|| console.go_on());
        if !console.go_on() {
            return Err(anyhow!("cancelled while checking")).or_exit(Exit::Cancelled);
        }
        progress.update("checking", done.fetch_add(1, Ordering::Relaxed) + 1, count);
        Ok((key, seen))
    });
    looked.collect()
}

impl SetReport {
    fn of(set: &Set, seen: &BTreeMap<MediaKey<'_>, Seen>) -> Self {
        let rows = set.rows();
        let mut report = Self {
            set: set.table.display().to_string(),
            rows: Vec::with_capacity(rows.len()),
            findings: unknown_columns(rows),
            summary: Summary::default(),
        };
        let same = Duplicates::among(rows, seen);
        for (index, row) in rows.iter().enumerate() {
            let looked = seen.get(&key(row));
            let mut findings = looked.map(|seen| seen.findings.clone()).unwrap_or_default();
            let media = looked.and_then(|seen| seen.media.clone());
            if let Some(media) = &media {
                findings.extend(about_kind(row, media));
            }
            findings.extend(about_captions(row));
            findings.extend(same.of(index, row, media.as_ref()));
            findings.sort_by_key(|finding| finding.severity);
            report.rows.push(RowReport {
                row: index + 1,
                line: row.line,
                color: row.color.clone(),
                alpha: row.alpha.clone(),
                language: row
                    .captions
                    .first()
                    .map_or(CaptionLanguage::None, |text| CaptionLanguage::of(text))
                    .name(),
                captions: row.captions.clone(),
                media,
                findings,
            });
        }
        report.summarize(set, seen);
        report
    }

    fn summarize(&mut self, set: &Set, seen: &BTreeMap<MediaKey<'_>, Seen>) {
        let summary = &mut self.summary;
        summary.rows = self.rows.len();
        summary.media = seen.len();
        summary.frames =
            seen.values().filter_map(|seen| seen.media.as_ref()).map(|media| media.frames).sum();
        let mut sources: Vec<_> = set.rows().iter().map(Row::source).collect();
        sources.sort_unstable();
        sources.dedup();
        summary.sources = sources.len();
        for row in &self.rows {
            *summary.languages.entry(row.language).or_default() += 1;
        }
        for row in set.rows() {
            for (name, value) in &row.labels {
                let values = summary.labels.entry(name.clone()).or_default();
                *values.entry(value.clone()).or_default() += 1;
            }
        }
        let findings = self.rows.iter().flat_map(|row| &row.findings).chain(&self.findings);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings.partition(|finding| finding.severity == Severity::Error);
        (summary.errors, summary.warnings) = (errors.len(), warnings.len());
    }

    /// What is said on the terminal: all errors, then warnings, then the sum.
    fn lines(&self, set: &Set) -> Vec<String> {
        let mut lines = Vec::new();
        for severity in [Severity::Error, Severity::Warning] {
            let word = if severity == Severity::Error { "error" } else { "warning" };
            let table = self.findings.iter().filter(|finding| finding.severity == severity);
            lines.extend(table.map(|finding| format!("{word}: {}: {}", self.set, finding.text)));
            for row in &self.rows {
                let found = row.findings.iter().filter(|finding| finding.severity == severity);
                let name = || set.name(row.row - 1);
                lines.extend(found.map(|finding| format!("{word}: {}: {}", name(), finding.text)));
            }
        }
        let Summary { rows, media, sources, frames, errors, warnings, .. } = &self.summary;
        lines.push(format!(
            "{}, {} of {}, {}: {}, {}",
            counted(*rows, "row"),
            counted(*media, "clip"),
            counted(*sources, "source"),
            counted(*frames, "frame"),
            counted(*errors, "error"),
            counted(*warnings, "warning")
        ));
        lines
    }
}

/// A misspelled column would else be a column that is missing.
fn unknown_columns(rows: &[Row]) -> Vec<SetFinding> {
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.others.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != "cache_path");
    let warning = |name: &String| match meant_column(name) {
        Some(meant) => SetFinding::error(
            "column",
            format!("line 1: the column `{name}` is not read: rename it `{meant}`"),
        ),
        None => SetFinding::warning(
            "column",
            format!("the column `{name}` means nothing here; is it misspelled?"),
        ),
    };
    names.into_iter().map(warning).collect()
}

fn about_kind(row: &Row, media: &Media) -> Vec<SetFinding> {
    let mut findings = Vec::new();
    let Media { frames, latent, released_latent, .. } = *media;
    if row.moving == Some(false) && frames > 1 {
        findings.push(SetFinding::error(
            "kind",
            format!(
                "it is said to be still, but has {frames} frames: say moving, or give one image"
            ),
        ));
    } else if frames % 4 != 1 {
        findings.push(SetFinding::warning(
            "length",
            format!(
                "it has {frames} frames: the transformer is trained on 4n+1, and `data cache` \
                 refuses it; make it {}",
                frames.saturating_sub(1) / 4 * 4 + 1
            ),
        ));
    }
    if let (Some(said), Some(found)) = (row.latent, released_latent)
        && said != found
        && latent != Some(said)
    {
        findings.push(SetFinding::warning(
            "latent",
            format!("its latent is said to be {said:?} (frames, rows, columns), but is {found:?}"),
        ));
    }
    findings
}

fn about_captions(row: &Row) -> Vec<SetFinding> {
    let mut findings = Vec::new();
    if row.captions.is_empty() {
        let declined = row.declined.as_ref().map_or_else(
            || "have `data caption` do so".to_owned(),
            |reason| format!("try `data caption --again`: the service has declined it ({reason})"),
        );
        let text = format!("it has no caption: write one, or {declined}");
        findings.push(SetFinding::error("caption", text));
    }
    for caption in &row.captions {
        if let CaptionLanguage::Mixed | CaptionLanguage::Other | CaptionLanguage::None =
            CaptionLanguage::of(caption)
        {
            findings.push(SetFinding::warning(
                "language",
                format!("its caption is neither English nor Chinese: “{}”", start(caption)),
            ));
        }
    }
    // The short one need not.
    if let Some(caption) = row.captions.first()
        && !caption.to_lowercase().contains("transparent")
        && !caption.contains("透明")
    {
        findings.push(SetFinding::warning(
            "transparent",
            format!(
                "its caption does not say that the background is transparent: “{}”",
                start(caption)
            ),
        ));
    }
    findings
}

/// The beginning of a caption, for messages.
fn start(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// Rows that show the same.
struct Duplicates {
    /// The first row of each content, and of each content with a caption.
    contents: BTreeMap<String, usize>,
    captioned: BTreeMap<(String, Vec<String>), usize>,
    sources: Vec<(String, String)>,
}

impl Duplicates {
    fn among(rows: &[Row], seen: &BTreeMap<MediaKey<'_>, Seen>) -> Self {
        let mut same =
            Self { contents: BTreeMap::new(), captioned: BTreeMap::new(), sources: Vec::new() };
        for (index, row) in rows.iter().enumerate() {
            same.sources.push((row.source().to_owned(), row.color.clone()));
            let Some(media) = seen.get(&key(row)).and_then(|seen| seen.media.as_ref()) else {
                continue;
            };
            same.contents.entry(media.hash.clone()).or_insert(index);
            same.captioned.entry((media.hash.clone(), row.captions.clone())).or_insert(index);
        }
        same
    }

    fn of(&self, index: usize, row: &Row, media: Option<&Media>) -> Vec<SetFinding> {
        let mut findings = Vec::new();
        let Some(media) = media else {
            return findings;
        };
        let captioned = self.captioned.get(&(media.hash.clone(), row.captions.clone()));
        let content = self.contents.get(&media.hash);
        if let Some(first) = captioned.filter(|first| **first != index) {
            findings.push(SetFinding::warning(
                "duplicate",
                format!("clip and captions are those of row {}: remove one", first + 1),
            ));
        }
        if let Some(first) = content.filter(|first| **first != index)
            && let Some((source, color)) = self.sources.get(*first)
            && source != row.source()
        {
            findings.push(SetFinding::warning(
                "split",
                format!(
                    "it shows the same as row {} ({color}), but as another source, so that one may \
                     be trained on and the other measured with: give both one `source`",
                    first + 1
                ),
            ));
        }
        findings
    }
}
