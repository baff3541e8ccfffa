//! The validator against a plug-in that is bad on demand: what is planted is found, by a check of
//! its own level, and nothing else is said of a plug-in that is good.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wan_alpha_test_bad_plugin::{BAD_FROM_THE_START, MISCHIEFS};

/// The file that cargo built beside this test.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.parent().unwrap().join("libwan_alpha_test_bad_plugin.so");
    assert!(file.is_file(), "{} is not there: cargo builds it with the tests", file.display());
    file
}

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_check-ofx"));
    command.arg(plugin()).args(arguments).output().unwrap()
}

/// The results of a run, as JSON, and its exit code.
fn results(folder: &Path, arguments: &[&str]) -> (Value, i32) {
    let json = folder.join("results.json");
    let output = check(&[arguments, &["--json", json.to_str().unwrap()]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("{error}: {told}"));
    (serde_json::from_str(&text).unwrap(), output.status.code().unwrap())
}

/// Ids of the checks that came out like that, with all that they found.
fn came_out(results: &Value, outcome: &str) -> Vec<(String, String)> {
    let checks = results["plugins"][0]["checks"].as_array().unwrap();
    let like = checks.iter().filter(|check| check["outcome"] == outcome);
    like.map(|check| (check["id"].as_str().unwrap().to_owned(), check["findings"].to_string()))
        .collect()
}

/// What is planted, the level and check that find it, and words or the rule by which it is told.
struct Planted {
    mischief: &'static str,
    level: &'static str,
    check: &'static str,
    says: &'static str,
}

const fn planted(
    mischief: &'static str,
    level: &'static str,
    check: &'static str,
    says: &'static str,
) -> Planted {
    Planted { mischief, level, check, says }
}

const PLANTED: &[Planted] = &[
    planted("calls in setHost", "1", "load.accepted", "QuietSetHost"),
    planted("refuses", "1", "load.accepted", "OfxActionLoad"),
    planted("leaves a file open", "1", "load.repeated", "left open"),
    planted("another label each time", "2", "describe.again", "SameDescription"),
    planted("wrong property type", "1", "load.accepted", "PropertyType"),
    planted("default out of range", "1", "load.accepted", "DefaultInRange"),
    planted("endless change", "3", "parameters.edits", "BoundedRecursion"),
    planted("edit left open", "3", "parameters.buttons", "BalancedEdit"),
    planted("dangling string", "3", "parameters.buttons", "DanglingString"),
    planted("draw in draw", "3", "parameters.overlay", "DrawInDraw"),
    planted("in the padding", "4", "render.memory", "InsideWindow"),
    planted("pixel left out", "4", "render.windows", "EveryPixel"),
    planted("not a number", "4", "render.scales", "FinitePixels"),
    planted("another each time", "4", "render.times", "OnePicture"),
    planted("refuse aborted", "4", "render.aborts", "FittingStatus"),
    planted("infinite region", "4", "render.answers", "SensibleAnswer"),
    planted("crash", "4", "render.contexts", "crashes the host: signal 6, SIGABRT (Generator)"),
    planted("hang", "4", "render.contexts", "does not come back within 3 s (Generator)"),
    planted("share between threads", "5", "threads.pictures", "look different"),
    planted("set in create", "6", "hosts.resolve", "NoSetInCreate"),
    planted("remember outside", "7", "state.saved", "looks different"),
    planted("crashes without progress", "8", "faults.suites", "without OfxProgressSuite 1"),
];

#[test]
fn what_is_planted_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for Planted { mischief, level, check, says } in PLANTED {
        let set = format!("mischief={mischief}");
        let sibling = BAD_FROM_THE_START.iter().position(|name| name == mischief);
        let identifier = format!("org.wanalpha.test.bad{}", sibling.map_or(0, |at| at + 1));
        let mut arguments = vec!["--plugin", identifier.as_str(), "--level", level];
        if sibling.is_none() {
            assert!(MISCHIEFS.contains(mischief), "there is no mischief {mischief:?}");
            arguments.extend(["--set", &set]);
        }
        // What never comes back is known after a while; the rest may take long on a busy machine.
        let hangs = ["hang", "refuse aborted"].contains(mischief);
        let patience = if hangs { "3" } else { "300" };
        arguments.extend(["--only", check, "--patience", patience]);
        let (results, code) = results(folder.path(), &arguments);
        let failed = came_out(&results, "failed");
        let found = failed.iter().find(|(id, _)| id == check);
        assert!(
            found.is_some_and(|(_, findings)| findings.contains(says)),
            "{mischief} is not found by {check}: {failed:#?}"
        );
        assert_eq!(code, 1, "{mischief}");
        let checks = results["plugins"][0]["checks"].as_array().unwrap();
        let found = checks.iter().find(|found| found["id"] == *check).unwrap();
        for word in ["about", "why", "fix"] {
            assert!(!found[word].as_str().unwrap().is_empty(), "{check} has no {word}");
        }
    }
    let levels: std::collections::BTreeSet<_> =
        PLANTED.iter().map(|planted| planted.level).collect();
    assert_eq!(levels.len(), 8, "every level finds something");
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--plugin", "org.wanalpha.test.bad0", "--set", "mischief=none"];
    let (results, code) = results(folder.path(), &arguments);
    assert_eq!(came_out(&results, "failed"), []);
    assert_eq!(came_out(&results, "broken"), []);
    let advice: Vec<_> = came_out(&results, "advice").into_iter().map(|(id, _)| id).collect();
    assert_eq!(advice.last().map(String::as_str), Some("parameters.ranges"), "{advice:?}");
    assert_eq!((code, &results["level"]), (0, &Value::from(8)));
    let strict = [&arguments[..], &["--strict", "--only", "parameters.ranges"]].concat();
    assert_eq!(check(&strict).status.code(), Some(1), "advice counts where it is to");
}

#[test]
fn the_table_and_junit_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("results.xml");
    let output = check(&[
        "--plugin",
        "org.wanalpha.test.bad0",
        "--set",
        "mischief=pixel left out",
        "--only",
        "render.memory",
        "--only",
        "load.bundle",
        "--junit",
        junit.to_str().unwrap(),
    ]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("skipped  load.bundle") && told.contains("FAIL     render.memory"),
        "{told}"
    );
    assert!(told.contains("EveryPixel: pixel (1, 1) was not written"), "{told}");
    assert!(told.contains("why: ") && told.contains("fix: Write every pixel"), "{told}");
    assert!(told.contains("2 checks to level 8: 1 failed, 0 with advice"), "{told}");
    let xml = std::fs::read_to_string(junit).unwrap();
    for expected in
        ["<testsuite name=\"org.wanalpha.test.bad0\"", "<failure", "<skipped", "failures=\"1\""]
    {
        assert!(xml.contains(expected), "{expected} is not in {xml}");
    }
}

#[test]
fn what_cannot_be_examined_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("Text.ofx");
    std::fs::write(&text, "no binary").unwrap();
    let program = env!("CARGO_BIN_EXE_check-ofx");
    for (file, arguments, says) in [
        (text.as_path(), &[][..], "cannot be loaded"),
        (Path::new("no/such.ofx.bundle"), &[], "does not exist"),
        (&plugin(), &["--plugin", "com.nobody"], "has no plug-in com.nobody"),
        (&plugin(), &["--set", "level"], "takes ID=VALUE"),
    ] {
        let output = Command::new(program).arg(file).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(says), "{told}");
    }
    let unknown = check(&[
        "--plugin",
        "org.wanalpha.test.bad0",
        "--only",
        "render.times",
        "--set",
        "nothing=1",
    ]);
    let told = String::from_utf8_lossy(&unknown.stdout);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(told.contains("there is no parameter \"nothing\""), "{told}");
}

#[test]
fn every_check_is_listed_with_why_and_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_check-ofx")).arg("--list").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for expected in ["Level 1: load", "Level 10: soak", "faults.files", "    fix:      "] {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
}
