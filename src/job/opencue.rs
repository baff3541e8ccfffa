//! An outline of OpenCue: a script that builds the job and launches it.
//!
//! OpenCue joins the words of a command by blanks and has a shell read them, so each word is quoted here,
//! once. Layers do not wait for each other, and the farm's own rules say what becomes of one that fails:
//! its last line tells the kind of problem (`WAN_ALPHA_FAILED out-of-memory`).

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::farm_job::{JobFiles, JobShot, PlannedJob};

/// The script's file: not `outline.py`, or it would find itself where it asks for the package `outline`.
const OUTLINE: &str = "opencue_job.py";

/// The outline, and the command that launches it.
pub(super) fn files(job: &PlannedJob<'_>) -> Result<JobFiles> {
    let layers: Vec<Value> = job.shots.iter().map(|shot| layer(job, shot)).collect();
    let then: Vec<String> = job.then.iter().map(|word| quoted(word)).collect();
    let store = job.folder.join("takes").display().to_string();
    let text = SCRIPT
        .replace("@NAME@", &literal(&json!(job.name))?)
        .replace("@STORE@", &literal(&json!(store))?)
        .replace("@THEN@", &literal(&json!(then))?)
        .replace("@LAYERS@", &literal(&json!(layers))?);
    let next = format!("python3 {}", job.folder.join(OUTLINE).display());
    Ok(JobFiles { files: vec![(OUTLINE, text)], next })
}

/// JSON of texts, numbers and lists is Python as well.
fn literal(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

fn layer(job: &PlannedJob<'_>, shot: &JobShot) -> Value {
    let [frames, report] = ["frames".to_owned(), format!("reports/{}.json", shot.name)]
        .map(|name| job.folder.join(name).display().to_string());
    let table = job.table.display().to_string();
    let words = [
        job.program,
        "batch",
        &table,
        "--out",
        &frames,
        "--only",
        &shot.name,
        "--farm",
        "opencue",
        "--report",
        &report,
    ];
    let mut layer = Map::new();
    layer.insert("name".to_owned(), json!(shot.name));
    layer.insert("command".to_owned(), json!(words.map(quoted)));
    if let Some(gigabytes) = shot.card_gigabytes {
        layer.insert("gpus".to_owned(), json!(1));
        layer.insert("gpu_memory".to_owned(), json!(format!("{gigabytes}g")));
    }
    Value::Object(layer)
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

const SCRIPT: &str = r#"#!/usr/bin/env python3
"""Written by `wan-alpha job opencue`: a layer for each shot, then what renders with their takes.

`python3 opencue_job.py` launches it, with opencue-pyoutline installed. Words of commands are quoted, since
OpenCue joins them by blanks for a shell.
"""

import outline
from outline.modules.shell import Shell

NAME = @NAME@
STORE = @STORE@
LAYERS = @LAYERS@
THEN = @THEN@


def build():
    """The outline of the job."""
    job = outline.Outline(NAME, frame_range="1")
    job.set_env("WAN_ALPHA_BATCH", "1", True)
    job.set_env("WAN_ALPHA_STORE", STORE, True)
    shots = []
    for settings in LAYERS:
        settings = dict(settings)
        shots.append(Shell(settings.pop("name"), range="1", **settings))
        job.add_layer(shots[-1])
    if THEN:
        render = Shell("render_with_the_takes", command=THEN, range="1")
        job.add_layer(render)
        for shot in shots:
            render.depend_all(shot)
    return job


if __name__ == "__main__":
    import outline.cuerun
    outline.cuerun.launch(build(), use_pycuerun=False)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_once_for_a_shell() {
        for (word, expected) in [
            ("plain-1.0_x/y", "plain-1.0_x/y"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's $HOME; `ls`", r"'it'\''s $HOME; `ls`'"),
            ("日本", "'日本'"),
        ] {
            assert_eq!(quoted(word), expected);
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {expected}")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), word);
        }
    }
}
