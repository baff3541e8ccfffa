//! What `wan-alpha take` prints.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};
use wan_alpha_core::Watch;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::store::{Description, Store, Take, TakeInfo, Trimmed};
use wan_alpha_take::{TakeKey, Warning};

use crate::accounts::user_name;
use crate::table_printer::{Align, TablePrinter};

/// Every take, newest first in each folder, and what they take up in all.
pub(super) fn list(store: &Store, watch: &dyn Watch) -> Vec<String> {
    let listing = store.list();
    for problem in &listing.problems {
        watch.warn(&problem.to_string());
    }
    if listing.takes.is_empty() {
        return vec![format!("no takes in {}", folders(store))];
    }
    let mut lines: Vec<String> = listing.takes.iter().map(line).collect();
    let bytes = |own: bool| -> u64 {
        let takes = listing.takes.iter().filter(|take| take.own || !own);
        takes.map(|take| take.bytes).sum()
    };
    let count = counted(listing.takes.len(), "take");
    lines.push(format!("{count}, {}; yours {}", size(bytes(false)), size(bytes(true))));
    lines
}

/// The same for programs: times in seconds since 1970, sizes in bytes.
pub(super) fn list_json(store: &Store) -> Result<String> {
    let listing = store.list();
    let take = |take: &TakeInfo| -> Result<Value> {
        Ok(json!({
            "key": take.description.key,
            "path": take.path,
            "bytes": take.bytes,
            "made": seconds(take.made),
            "used": seconds(take.used),
            "own": take.own,
            "owner": take.owner,
            "device": take.description.device,
            "computed": take.description.computed,
            "request": serde_json::to_value(&take.description.request)?,
        }))
    };
    let takes = listing.takes.iter().map(take).collect::<Result<Vec<_>>>()?;
    let problems: Vec<String> = listing.problems.iter().map(ToString::to_string).collect();
    let bytes: u64 = listing.takes.iter().map(|take| take.bytes).sum();
    let list = json!({ "takes": takes, "bytes": bytes, "problems": problems });
    Ok(serde_json::to_string_pretty(&list)?)
}

/// Bytes of a take's files, in all folders.
pub(super) fn bytes_of(store: &Store, key: &TakeKey) -> u64 {
    let file = |folder: &std::path::PathBuf| folder.join(format!("{key}.take")).metadata().ok();
    store.folders().iter().filter_map(file).map(|about| about.len()).sum()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
        date(seconds(take.made)),
        counted(request.frames, "frame"),
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

/// What making room has done.
pub(super) fn trimmed(trimmed: &Trimmed) -> Vec<String> {
    let mut lines: Vec<_> =
        trimmed.removed.iter().map(|path| format!("removed {}", path.display())).collect();
    lines.extend(trimmed.problems.iter().map(ToString::to_string));
    lines.push(format!(
        "{} removed, {} freed, {} left",
        counted(trimmed.removed.len(), "file"),
        size(trimmed.freed),
        size(trimmed.left)
    ));
    if trimmed.in_use > 0 {
        lines.push(format!(
            "{} {} in use and {}",
            counted(trimmed.in_use, "take"),
            verb(trimmed.in_use, "is", "are"),
            verb(trimmed.in_use, "stays", "stay")
        ));
    }
    for (owner, others) in &trimmed.others {
        lines.push(format!(
            "{} of {}, {}, {}: only they remove {}",
            counted(others.takes, "take"),
            user_name(*owner),
            size(others.bytes),
            verb(others.takes, "stays", "stay"),
            verb(others.takes, "it", "them")
        ));
    }
    lines
}

pub(super) fn folders(store: &Store) -> String {
    store.folders().iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Bytes, in the unit that suits them.
pub(crate) fn size(bytes: u64) -> String {
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
