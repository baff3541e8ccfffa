//! The part `machine`: the card, its driver, and what the product says of both.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::process::run;
use super::report::Measurement;
use super::{Check, PartVerdict};

/// Asked of `nvidia-smi`; neither serial number nor UUID.
const FIELDS: [&str; 11] = [
    "name",
    "driver_version",
    "compute_cap",
    "memory.total",
    "memory.free",
    "pcie.link.gen.max",
    "pcie.link.width.max",
    "power.limit",
    "clocks.max.sm",
    "display_active",
    "persistence_mode",
];
/// What `doctor` has to say that is of interest anywhere.
const OF_DOCTOR: [&str; 3] = ["versions", "device", "memory"];

/// An NVIDIA card, as its driver describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NvidiaCard {
    name: String,
    driver: String,
    /// In bytes; of the freest one, where there are several.
    pub(super) free: Option<f64>,
}

/// Measures what the machine has; from now on the check knows whether there is a card.
pub(super) fn look(check: &mut Check<'_>, limit: Duration) -> Result<PartVerdict> {
    check.measured(
        Measurement::new("check", env!("CARGO_PKG_VERSION")).with("from", check.programs.from),
    )?;
    let rows = ask_driver(check, limit);
    let mut cards: Vec<NvidiaCard> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for measurement in of_row(index, row) {
            check.measured(measurement)?;
        }
        cards.extend(card(row));
    }
    let findings = ask_doctor(check, limit / 2)?;
    for (about, says, verdict) in &findings {
        check.measured(
            Measurement::new(format!("doctor: {about}"), says.as_str())
                .with("verdict", verdict.as_str()),
        )?;
    }
    if let Some(libtorch) = findings.iter().find_map(|(_, says, _)| libtorch(says)) {
        check.measured(Measurement::new("libtorch", libtorch))?;
    }
    let used = findings.iter().any(|(about, _, verdict)| about == "device" && verdict == "ok");
    if !cards.is_empty() {
        let used = Measurement::new("the program can use the card", used);
        let holds = used.value == Value::Bool(true);
        check.measured(used.expected("yes", holds))?;
    } else if used {
        // There may be cards where there is no nvidia-smi.
        cards.push(NvidiaCard { name: "a card".to_owned(), driver: String::new(), free: None });
    }
    let free = |card: &NvidiaCard| card.free.unwrap_or(0.0);
    check.card = cards.into_iter().max_by(|a, b| free(a).total_cmp(&free(b)));
    match &check.card {
        Some(card) => {
            let (name, driver) = (card.name.clone(), card.driver.clone());
            check.measured(Measurement::new("card", name))?;
            check.measured(Measurement::new("driver", driver))?;
        }
        None => check.measured(Measurement::new("card", "none: what needs one is left out"))?,
    }
    describe_python(check)?;
    Ok(PartVerdict::Done)
}

fn describe_python(check: &mut Check<'_>) -> Result<()> {
    let torch = match &check.programs.python {
        Ok(python) => format!("torch {}", python.version),
        Err(why) => why.clone(),
    };
    check.measured(Measurement::new("Python", torch))
}

/// A row of values per card; none where there is no driver.
fn ask_driver(check: &Check<'_>, limit: Duration) -> Vec<Vec<String>> {
    let mut command = Command::new("nvidia-smi");
    command.arg(format!("--query-gpu={}", FIELDS.join(","))).arg("--format=csv,noheader,nounits");
    match run(&mut command, limit / 4, check.stop) {
        Ok(run) if run.end.is_success() => rows(&run.stdout()),
        _ => Vec::new(),
    }
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().map(|line| line.split(',').map(|cell| cell.trim().to_owned()));
    rows.map(Iterator::collect).filter(|row: &Vec<String>| row.len() == FIELDS.len()).collect()
}

fn of_row(index: usize, row: &[String]) -> Vec<Measurement> {
    let pairs = FIELDS.iter().zip(row);
    pairs
        .map(|(field, value)| Measurement::new(format!("card {index}: {field}"), value.as_str()))
        .collect()
}

fn card(row: &[String]) -> Option<NvidiaCard> {
    let field = |wanted| {
        let at = FIELDS.iter().position(|field| *field == wanted)?;
        row.get(at)
    };
    Some(NvidiaCard {
        name: field("name")?.clone(),
        driver: field("driver_version")?.clone(),
        free: field("memory.free")?.parse::<f64>().ok().map(|megabytes| megabytes * 1_048_576.0),
    })
}

/// What `doctor` says, as (about, says, verdict). It ends with an error where it finds a fault; what it
/// has found is there all the same.
fn ask_doctor(check: &Check<'_>, limit: Duration) -> Result<Vec<(String, String, String)>> {
    let run = run(&mut check.command(&["doctor", "--json"]), limit, check.stop)?;
    let answer = serde_json::from_str::<Value>(&run.stdout());
    let Ok(answer) = answer else {
        anyhow::bail!("`doctor --json` gave no JSON ({:?}): {}", run.end, run.last_words());
    };
    let mut findings = Vec::new();
    collect(&answer, &mut findings);
    findings.retain(|(about, ..)| OF_DOCTOR.contains(&about.as_str()));
    Ok(findings)
}

/// Findings, however deep: later versions may put them elsewhere.
fn collect(value: &Value, findings: &mut Vec<(String, String, String)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, findings)),
        Value::Object(map) => {
            let text = |name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("about"), text("says")) {
                (Some(about), Some(says)) => {
                    findings.push((about, says, text("verdict").unwrap_or_default()));
                }
                _ => map.values().for_each(|value| collect(value, findings)),
            }
        }
        _ => {}
    }
}

fn libtorch(says: &str) -> Option<String> {
    let rest = says.split("libtorch ").nth(1)?;
    Some(rest.split([',', ' ']).next()?.to_owned())
        .filter(|found| found.starts_with(char::is_numeric))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_is_read_from_the_drivers_table() {
        let text = "NVIDIA H200, 580.65.06, 9.0, 143771, 143161, 5, 16, 700.00, 1980, Disabled, Enabled\n\
                    broken, line\n";
        let rows = rows(text);
        assert_eq!(rows.len(), 1);
        let card = card(&rows[0]).unwrap();
        assert_eq!((card.name.as_str(), card.driver.as_str()), ("NVIDIA H200", "580.65.06"));
        assert_eq!(card.free, Some(143_161.0 * 1_048_576.0));
        let named = of_row(1, &rows[0]);
        assert_eq!(
            (named[2].what.as_str(), &named[2].value),
            ("card 1: compute_cap", &json!("9.0"))
        );
        assert!(super::rows("No devices were found").is_empty());
    }

    #[test]
    fn nothing_that_names_a_single_card_is_asked_for() {
        let asked = FIELDS.join(",");
        assert!(!["uuid", "serial", "bus_id"].iter().any(|word| asked.contains(word)));
    }

    #[test]
    fn what_doctor_says_is_found_wherever_it_stands() {
        let finding = |about: &str| json!({ "verdict": "ok", "about": about, "says": "fine" });
        for answer in [
            json!([finding("versions"), finding("device")]),
            json!({ "findings": [finding("versions"), { "more": finding("device") }], "x": 1 }),
        ] {
            let mut findings = Vec::new();
            collect(&answer, &mut findings);
            let about: Vec<_> = findings.iter().map(|(about, ..)| about.as_str()).collect();
            assert_eq!(about, ["versions", "device"]);
        }
    }

    #[test]
    fn the_build_is_read_from_the_words() {
        let says = "wan-alpha 0.1.0, libtorch 2.13.0+cu130, numerics 1";
        assert_eq!(libtorch(says).as_deref(), Some("2.13.0+cu130"));
        assert_eq!(libtorch("no libtorch here"), None);
    }
}
