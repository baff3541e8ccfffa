//! What `wan-alpha take` prints.

use std::time::UNIX_EPOCH;

use anyhow::Result;
use wan_alpha_core::Watch;
use wan_alpha_take::Warning;
use wan_alpha_take::store::{Description, Store, Take, TakeInfo, Trimmed};

use crate::table_printer::{Align, TablePrinter};

/// Every take, newest first in each folder.
pub(super) fn list(store: &Store, watch: &dyn Watch) -> Vec<String> {
    let listing = store.list();
    for problem in &listing.problems {
        watch.warn(&problem.to_string());
    }
    if listing.takes.is_empty() {
        return vec![format!("no takes in {}", folders(store))];
    }
    listing.takes.iter().map(line).collect()
}

/// Key, date, frames, size, bytes, seed and prompt of a take.
const TAKES: TablePrinter<'_> = TablePrinter {
    indent: "",
    gap: "  ",
    columns: &[
        (Align::Left, 0),
        (Align::Left, 0),
        (Align::Right, 11),
        (Align::Right, 9),
        (Align::Right, 8),
    ],
};

/// A field of one take, and what it is.
const FIELDS: TablePrinter<'_> =
    TablePrinter { indent: "", gap: "  ", columns: &[(Align::Left, 6)] };

/// A take in one line.
fn line(take: &TakeInfo) -> String {
    let request = &take.description.request;
    let key = take.description.key.to_string();
    TAKES.line(&[
        key.get(..12).unwrap_or(&key).to_owned(),
        date(take.made.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
        format!("{} frames", request.frames),
        format!("{}×{}", request.width, request.height),
        size(take.bytes),
        format!("seed {}", request.seed),
        take.excerpt(60),
    ])
}

/// One take: where it is, what it came to, and its whole request.
pub(super) fn show(take: &Take, json: bool) -> Result<Vec<String>> {
    let about = take.description();
    if json {
        let mut record = serde_json::to_value(about)?;
        record["file"] = serde_json::to_value(take.path())?;
        return Ok(vec![serde_json::to_string_pretty(&record)?]);
    }
    let mut lines = vec![
        FIELDS.line(&["key", &about.key.to_string()]),
        FIELDS.line(&["file", &take.path().display().to_string()]),
        FIELDS.line(&["device", &format!("{}{}", about.device, computed(about))]),
    ];
    lines.extend(about.report.iter().map(|report| FIELDS.line(&["report", &report.to_string()])));
    let warning = |warning: &Warning| FIELDS.line(&["warning", &warning.to_string()]);
    lines.extend(about.warnings.iter().map(warning));
    lines.push(serde_json::to_string_pretty(&about.request)?);
    Ok(lines)
}

/// How it was computed, as far as it is recorded.
fn computed(about: &Description) -> String {
    let Some(computed) = &about.computed else { return String::new() };
    let attention = computed.attention.iter().map(|kernel| format!(", attention {kernel}"));
    let tf32 = computed.tf32.then(|| ", decoded in TF32".to_owned());
    let elsewhere = computed.decoded_on.iter().map(|device| format!(", decoded on {device}"));
    attention.chain(tf32).chain(elsewhere).collect()
}

/// The folders, and how full they are.
pub(super) fn places(store: &Store) -> Vec<String> {
    let mut lines =
        vec!["take store (WAN_ALPHA_STORE), the first writable one is published to:".to_owned()];
    for place in store.places() {
        let known = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), size);
        let state = if place.exists { "" } else { " (not there yet)" };
        lines.push(format!(
            "  {}{state}: {} takes, {}; yours {} of {}, {} free",
            place.folder.display(),
            place.takes,
            size(place.bytes),
            size(place.own_bytes),
            known(place.limit),
            known(place.free)
        ));
    }
    lines
}

/// What making room has done.
pub(super) fn trimmed(trimmed: &Trimmed) -> Vec<String> {
    let mut lines: Vec<_> =
        trimmed.removed.iter().map(|path| format!("removed {}", path.display())).collect();
    lines.extend(trimmed.problems.iter().map(ToString::to_string));
    lines.push(format!(
        "{} files removed, {} freed, {} left",
        trimmed.removed.len(),
        size(trimmed.freed),
        size(trimmed.left)
    ));
    lines
}

pub(super) fn folders(store: &Store) -> String {
    store.folders().iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.1} GB", bytes as f64 / 1e9),
        1_000_000.. => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.0} kB", bytes as f64 / 1e3),
    }
}

/// Seconds since 1970 as a date and time in UTC (Howard Hinnant's days-to-civil).
fn date(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59");
    }
}
