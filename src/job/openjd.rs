//! A job template of Open Job Description.
//!
//! One step for each shot, since a step ends with the first task that fails. `openjd run` and farms that
//! give up a whole job would pass by the shots after it all the same, so by default a task records its
//! failure and ends well, and the last step reads all records and fails with the worst; with
//! `OnFailure=fail` each task ends with its own exit code.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::farm_job::{JobFiles, JobShot, PlannedJob};
use super::relative_path::from_folder;

/// The template's file.
const TEMPLATE: &str = "template.json";

/// The name of the step that fails where a shot has: no shot has blanks in its name.
const REPORT_STEP: &str = "report of all shots";

/// The table, as tasks find it.
const TABLE_PATH: &str = "{{Param.Inputs}}/{{Param.Table}}";

/// Seconds that a task has from the signal to its end: the step of a large model that goes on is not
/// waited for, and a latent that is there has been kept.
const CANCEL_SECONDS: u32 = 60;

/// The template, and the command that runs it here.
pub(super) fn files(job: &PlannedJob<'_>) -> Result<JobFiles> {
    let mut text = serde_json::to_string_pretty(&template(job)?)?;
    text.push('\n');
    let template = job.folder.join(TEMPLATE);
    let inputs = match inputs(job)? {
        (_, Some(_)) => String::new(),
        (folder, None) => format!(" -p \"Inputs={}\"", folder.display()),
    };
    let next = format!("openjd run \"{}\"{inputs}", template.display());
    Ok(JobFiles { files: vec![(TEMPLATE, text)], next })
}

fn template(job: &PlannedJob<'_>) -> Result<Value> {
    let mut steps: Vec<Value> = job.shots.iter().map(shot_step).collect();
    let shots: Vec<Value> =
        job.shots.iter().map(|shot| json!({ "dependsOn": shot.name })).collect();
    // The folder may have reports of another table's shots.
    let report = ["job", "report", "--farm", "openjd", "--table", TABLE_PATH, "{{Param.Reports}}"];
    steps.push(json!({
        "name": REPORT_STEP,
        "dependencies": shots,
        "script": script("{{Param.Program}}", &report),
    }));
    if let [program, words @ ..] = job.then {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        steps.push(json!({
            "name": "render with the takes",
            "dependencies": [{ "dependsOn": REPORT_STEP }],
            "script": script(program, &words),
        }));
    }
    Ok(json!({
        "specificationVersion": "jobtemplate-2023-09",
        "name": job.name,
        "description": "Written by `wan-alpha job openjd`",
        "parameterDefinitions": parameters(job)?,
        "jobEnvironments": [{
            "name": "wan-alpha",
            "variables": { "WAN_ALPHA_BATCH": "1", "WAN_ALPHA_STORE": "{{Param.Store}}" },
        }],
        "steps": steps,
    }))
}

/// The folder of the table, and how it is told from the template's folder: an absolute default, and one that
/// leads out of that folder, are refused by `openjd run`, so there is none where it lies elsewhere
/// (`findings/openjd-default-leads-out.sh`).
fn inputs<'a>(job: &'a PlannedJob<'_>) -> Result<(&'a Path, Option<String>)> {
    let folder = job.table.parent().context("the table is in no folder")?;
    let told = from_folder(&job.folder, folder);
    let leads_out = told.split('/').next() == Some("..");
    Ok((folder, (!leads_out).then_some(told)))
}

fn parameters(job: &PlannedJob<'_>) -> Result<Value> {
    let table = job.table.file_name().unwrap_or_default().to_string_lossy();
    let mut parameters = json!([
        {
            "name": "Inputs", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "IN",
            "description": "The folder of the table, and of the files that it names",
        },
        {
            "name": "Table", "type": "STRING", "default": table,
            "description": "The table of `wan-alpha batch`, in that folder",
        },
        {
            "name": "Frames", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "OUT",
            "default": "frames", "description": "A folder for each shot",
        },
        {
            "name": "Store", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "INOUT",
            "default": "takes", "description": "The store of takes, which hosts read as WAN_ALPHA_STORE",
        },
        {
            "name": "Reports", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "INOUT",
            "default": "reports", "description": "What became of each shot",
        },
        {
            "name": "Program", "type": "STRING", "default": job.program,
            "description": "wan-alpha, as the farm's machines find it",
        },
        {
            "name": "OnFailure", "type": "STRING", "default": "record",
            "allowedValues": ["record", "fail"],
            "description": "record: a shot that fails lets its task end well, and the last step fail; \
                fail: its task ends with its own exit code",
        },
    ]);
    if let (_, Some(default)) = inputs(job)? {
        parameters[0]["default"] = json!(default);
    }
    Ok(parameters)
}

fn shot_step(shot: &JobShot) -> Value {
    let report = format!("{{{{Param.Reports}}}}/{}.json", shot.name);
    let words = [
        "batch",
        TABLE_PATH,
        "--out",
        "{{Param.Frames}}",
        "--only",
        &shot.name,
        "--farm",
        "openjd",
        "--report",
        &report,
        "--on-failure",
        "{{Param.OnFailure}}",
    ];
    let mut step = json!({ "name": shot.name, "script": script("{{Param.Program}}", &words) });
    if let Some(gigabytes) = shot.card_gigabytes {
        // In MiB, and cards are sold in gigabytes.
        let mebibytes = u64::from(gigabytes) * 1_000_000_000 / (1 << 20);
        step["hostRequirements"] = json!({ "amounts": [
            { "name": "amount.worker.gpu", "min": 1 },
            { "name": "amount.worker.gpu.memory", "min": mebibytes },
        ] });
    }
    step
}

fn script(command: &str, args: &[&str]) -> Value {
    let cancelation =
        json!({ "mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": CANCEL_SECONDS });
    json!({ "actions": { "onRun": {
        "command": command, "args": args, "cancelation": cancelation,
    } } })
}
