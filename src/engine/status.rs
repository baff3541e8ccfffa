//! What an engine is doing, in lines.

use anyhow::Result;
use serde_json::{Value, json};
use wan_alpha_take::counted::counted;
use wan_alpha_take::engine::message::{DeviceMemory, DeviceReport, Progress, StatusReport};
use wan_alpha_take::environment::Environment;

use crate::stdout::print_lines;

/// Prints what `wan-alpha engine status` says.
pub(super) fn show(json: bool, environment: &Environment) -> Result<()> {
    let report = super::report(environment)?;
    let others = super::other_reports(environment)?;
    if json {
        print_lines(&[serde_json::to_string_pretty(&as_json(report.as_ref(), &others)?)?])?;
        return Ok(());
    }
    let mut said = match &report {
        Some(report) => lines(report),
        None => vec![super::none_is_running(environment)?],
    };
    if report.is_some() && !others.is_empty() {
        said.push(super::told_of_others(&super::endpoint(environment)?.other_engines()));
    }
    said.extend(others.iter().filter_map(|(_, report)| report.as_ref()).flat_map(lines));
    print_lines(&said)
}

/// The report, with a list `others` of those of engines for other cards; null where there is no engine
/// at all.
fn as_json(report: Option<&StatusReport>, others: &[(u32, Option<StatusReport>)]) -> Result<Value> {
    let mut value = serde_json::to_value(report)?;
    if !others.is_empty() {
        let others = others.iter().map(|(process, report)| match report {
            Some(report) => serde_json::to_value(report),
            // It does not answer.
            None => Ok(json!({ "engine": { "pid": process } })),
        });
        let others: Value = others.collect::<serde_json::Result<Vec<_>>>()?.into();
        match &mut value {
            Value::Object(fields) => {
                fields.insert("others".to_owned(), others);
            }
            none => *none = json!({ "others": others }),
        }
    }
    Ok(value)
}

fn lines(report: &StatusReport) -> Vec<String> {
    let mut lines = vec![format!(
        "engine {} (version {}, numerics {}) {}, up for {} s, {}",
        report.engine.pid,
        report.engine.version,
        report.engine.numerics,
        place(&report.device),
        report.uptime_seconds,
        counted(report.clients, "client")
    )];
    if let Some(unused) = &report.device.unused {
        lines.push(format!("a GPU is not used: {unused}"));
    }
    let freeing = if report.unloading { ", to be freed" } else { "" };
    lines.push(format!("model in memory: {}{freeing}", report.model.as_deref().unwrap_or("none")));
    if report.paused {
        lines.push(pause_line(report));
    }
    if let Some(memory) = report.device.memory {
        lines.push(format!("memory of the device: {}", free(memory)));
    }
    for job in &report.jobs {
        let state = match &job.progress {
            Some(Progress { stage, step, of, .. }) => format!("{stage} {step}/{of}"),
            None => "waiting".to_owned(),
        };
        lines.push(format!("take {}: {state}, {}", job.key, counted(job.holders, "holder")));
        lines.extend(job.with.iter().map(|with| format!("  {with}")));
    }
    lines
}

/// Whether an engine pauses, and what that means for the take that it makes.
pub(super) fn pause_line(report: &StatusReport) -> String {
    let is_made =
        report.jobs.iter().any(|job| job.progress.as_ref().is_some_and(|at| !at.is_paused()));
    match (report.paused, is_made) {
        (false, _) => "the engine goes on".to_owned(),
        (true, false) => "the engine pauses until `wan-alpha engine resume`".to_owned(),
        (true, true) => "the engine pauses after this step of its take, which goes on with \
                         `wan-alpha engine resume`; decoding is finished first"
            .to_owned(),
    }
}

fn place(device: &DeviceReport) -> String {
    match device.opening_seconds {
        Some(seconds) => format!("opening {}, {seconds} s", device.name),
        None => format!("on {}", device.name),
    }
}

/// What is said once nothing of a model is in memory any more.
pub(super) fn freed(report: &StatusReport) -> String {
    match report.device.memory {
        Some(memory) => {
            format!("the model's memory is freed: {} on {}", free(memory), report.device.name)
        }
        None => "the model's memory is freed".to_owned(),
    }
}

fn free(DeviceMemory { free, total }: DeviceMemory) -> String {
    format!("{:.1} of {:.1} GB are free", free as f64 / 1e9, total as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use wan_alpha_take::engine::message::Identity;

    use super::*;

    fn report(device: DeviceReport) -> StatusReport {
        StatusReport {
            engine: Identity { pid: 7, ..Identity::new("0.1.0", 1) },
            device,
            model: None,
            unloading: false,
            paused: false,
            uptime_seconds: 40,
            clients: 2,
            jobs: Vec::new(),
        }
    }

    #[test]
    fn a_device_that_is_being_opened_and_one_that_is_not_used_are_told() {
        let opening = DeviceReport { opening_seconds: Some(31), ..DeviceReport::opening("CUDA") };
        let said = lines(&report(opening));
        assert_eq!(
            said[0],
            "engine 7 (version 0.1.0, numerics 1) opening CUDA, 31 s, up for 40 s, 2 clients"
        );
        assert_eq!(said[1..], ["model in memory: none"]);
        let unused = Some("no NVIDIA driver was found; install one".to_owned());
        let memory = Some(DeviceMemory { free: 70_100_000_000, total: 80_000_000_000 });
        let said = lines(&report(DeviceReport { unused, memory, ..DeviceReport::open("cpu") }));
        assert!(said[0].contains(") on cpu, up"), "{said:?}");
        assert_eq!(said[1], "a GPU is not used: no NVIDIA driver was found; install one");
        assert_eq!(said[3], "memory of the device: 70.1 of 80.0 GB are free");
    }
}
