//! `wan-alpha doctor` from outside: a machine in order, and one that is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;

use serde_json::Value;
use support::studio::{Studio, told};

fn findings(json: &str) -> Vec<(String, String, String)> {
    let findings: Value = serde_json::from_str(json).unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = findings.as_array().unwrap().iter();
    findings.map(|f| (text(f, "about"), text(f, "verdict"), text(f, "says"))).collect()
}

#[test]
fn a_machine_in_order_has_no_fault_and_is_left_as_it_was() {
    let studio = Studio::new();
    let (json, _) = studio.ok(&["doctor", "--json"]);
    let findings = findings(&json);
    assert!(findings.iter().all(|(_, verdict, _)| verdict != "fault"), "{findings:#?}");
    let says = |about: &str, words: &str| {
        let found = findings.iter().any(|(a, _, says)| a == about && says.contains(words));
        assert!(found, "{about} does not say {words}: {findings:#?}");
    };
    says("versions", env!("CARGO_PKG_VERSION"));
    says("models", "auto is tiny");
    says("store", "is made with the first take");
    says("engine", "answers");
    says("engine", "none is running now");
    says("environment", "WAN_ALPHA_STORE=");
    assert!(!studio.path("takes").exists(), "looking makes nothing");
    let (status, _) = studio.ok(&["engine", "status"]);
    assert!(status.contains("no engine is running"), "{status}");
}

#[test]
fn what_does_not_work_is_a_fault_with_a_remedy() {
    let studio = Studio::new();
    fs::write(studio.path("file"), "x").unwrap();
    let mut command = studio.command("run", &["doctor"]);
    command.env("WAN_ALPHA_STORE", studio.path("file")).env("WAN_ALPHA_IDLE", "soon");
    command.env("WAN_ALPHA_ENGINE", studio.path("nothing"));
    command.env("WAN_ALPHA_C2PA", studio.path("libc2pa_c.so"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "WAN_ALPHA_IDLE=soon: expected a number",
        "no folder of takes can be written",
        "nothing cannot be started",
        "do: set WAN_ALPHA_STORE",
        "FAULT      signatures   none are made or checked here: ",
        "libc2pa_c.so, is not there: ",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let mut command = studio.command("run", &["doctor"]);
    let output = command.env("WAN_ALPHA_DEVICE", "gpu").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("do: correct it, or unset it") && !text.contains("try again"), "{text}");
    let mut command = studio.command("run", &["engine", "status"]);
    told(command.output().unwrap());
}
