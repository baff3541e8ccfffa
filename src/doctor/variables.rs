//! The variables that are set, and those that look as if they were meant to be.

use std::ffi::OsString;

use wan_alpha_core::device::DeviceChoice;

use super::DoctorFinding;

const ABOUT: &str = "environment";

/// Every variable that means something, and what its value has to be.
const KNOWN: [(&str, ValueKind); 16] = [
    ("WAN_ALPHA_STORE", ValueKind::Anything),
    ("WAN_ALPHA_STORE_LIMIT", ValueKind::Number),
    ("WAN_ALPHA_MODELS", ValueKind::Anything),
    ("WAN_ALPHA_MODEL", ValueKind::Anything),
    ("WAN_ALPHA_HUB", ValueKind::Anything),
    ("WAN_ALPHA_RUN", ValueKind::Anything),
    ("WAN_ALPHA_ENGINE", ValueKind::Anything),
    ("WAN_ALPHA_IDLE", ValueKind::Number),
    ("WAN_ALPHA_BATCH", ValueKind::Flag),
    ("WAN_ALPHA_MISSING", ValueKind::Missing),
    ("WAN_ALPHA_ALLOW_CPU", ValueKind::Flag),
    ("WAN_ALPHA_LOG", ValueKind::Level),
    ("WAN_ALPHA_DEVICE", ValueKind::Device),
    ("WAN_ALPHA_MEMORY", ValueKind::Number),
    ("WAN_ALPHA_HEADROOM", ValueKind::Number),
    ("WAN_ALPHA_C2PA", ValueKind::Anything),
];

#[derive(Clone, Copy)]
enum ValueKind {
    Anything,
    /// A number that is not negative.
    Number,
    /// A switch: 0 or 1.
    Flag,
    /// What to do where a take is missing.
    Missing,
    /// How much is logged.
    Level,
    /// The device that computes: auto, cpu, cuda:N or a card's UUID.
    Device,
}

impl ValueKind {
    fn takes(self, text: &str) -> Result<(), &'static str> {
        let (good, expected) = match self {
            Self::Anything => (true, ""),
            Self::Number => {
                let number = text.trim().parse::<f64>();
                (
                    number.is_ok_and(|number| number.is_finite() && number >= 0.0),
                    "a number, 0 or more",
                )
            }
            Self::Flag => (matches!(text, "0" | "1"), "0 or 1"),
            Self::Missing => {
                (matches!(text, "auto" | "wait" | "error" | "empty"), "auto, wait, error or empty")
            }
            Self::Level => {
                let levels = "off, error, warn, info, debug or trace";
                (text.parse::<log::LevelFilter>().is_ok(), levels)
            }
            Self::Device => {
                (text.parse::<DeviceChoice>().is_ok(), "auto, cpu, cuda:N or a card's UUID")
            }
        };
        if good { Ok(()) } else { Err(expected) }
    }
}

pub(super) fn look(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<DoctorFinding> {
    let mut ours: Vec<_> = variables
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| name.starts_with("WAN_ALPHA_"))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    ours.sort();
    if ours.is_empty() {
        return vec![DoctorFinding::ok(ABOUT, "no WAN_ALPHA_ variable is set")];
    }
    ours.into_iter().map(|(name, value)| judge(&name, &value)).collect()
}

fn judge(name: &str, value: &str) -> DoctorFinding {
    let said = format!("{name}={value}");
    let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
        let remedy = format!("unset it, or use one of {}", names.join(", "));
        return DoctorFinding::attention(ABOUT, format!("{said} means nothing"), remedy);
    };
    match kind.takes(value) {
        _ if value.is_empty() => {
            DoctorFinding::ok(ABOUT, format!("{name} is empty, as if it were not set"))
        }
        Ok(()) => DoctorFinding::ok(ABOUT, said),
        Err(expected) => DoctorFinding::fault(
            ABOUT,
            format!("{said}: expected {expected}"),
            format!("correct {name}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::doctor::DoctorVerdict;

    fn named<'a>(text: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let names = text.flat_map(|line| line.split(|c: char| !is_of_name(c)));
        names
            .filter(|name| name.starts_with("WAN_ALPHA_") && !name.ends_with('_'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_is_read_is_known_here_and_listed_in_the_documentation() {
        let known = KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
        let library = include_str!("../../take/src/environment.rs");
        let read = named(library.lines().take_while(|line| !line.contains("#[cfg(test)]")));
        assert_eq!(read, known);
        let page = include_str!("../../docs/environment.md").lines();
        let rows = page.filter(|line| line.starts_with("| `WAN_ALPHA_"));
        assert_eq!(named(rows.filter_map(|row| row.split('|').nth(1))), known);
    }

    #[test]
    fn each_variable_is_judged() {
        for (name, value, verdict) in [
            ("WAN_ALPHA_STORE", "/a", DoctorVerdict::Ok),
            ("WAN_ALPHA_STORE_LIMIT", "20.5", DoctorVerdict::Ok),
            ("WAN_ALPHA_STORE_LIMIT", "20 GB", DoctorVerdict::Fault),
            ("WAN_ALPHA_IDLE", "-1", DoctorVerdict::Fault),
            ("WAN_ALPHA_IDLE", "", DoctorVerdict::Ok),
            ("WAN_ALPHA_BATCH", "yes", DoctorVerdict::Fault),
            ("WAN_ALPHA_MISSING", "black", DoctorVerdict::Fault),
            ("WAN_ALPHA_STROE", "/a", DoctorVerdict::Attention),
        ] {
            assert_eq!(judge(name, value).verdict, verdict, "{name}={value}");
        }
        let others = [("HOME", "/x")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(look(others.into_iter()).len(), 1);
    }
}
