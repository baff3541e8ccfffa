//! Which device an engine opens, what it says meanwhile, and what becomes of those who wait: against the
//! stand-ins of `device.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::stand_in::{StandIn, built};

/// A script to be started as the engine: the program where CUDA is played, as it is told to be. What
/// starts an engine hands on neither LD_PRELOAD nor what the stand-ins are told. `before` are lines
/// that come first.
fn engine_program(stand_in: &StandIn, told: &[(&str, &str)], before: &str) -> String {
    let script = stand_in.path("engine");
    let told: String = told.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    let preload = built().join("libcudart.so");
    let (preload, program) = (preload.display(), stand_in.program.display());
    let text = format!("#!/bin/sh\n{before}{told}LD_PRELOAD='{preload}' exec '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

/// What `engine status --json` says once `is_so`, as long as the engine, or who has it started, lives.
#[track_caller]
fn status(stand_in: &StandIn, starter: &mut Child, is_so: impl Fn(&Value) -> bool) -> Value {
    /// Longer than anything takes; only a failure lasts so long.
    const PATIENCE: Duration = Duration::from_secs(600);
    let begun = Instant::now();
    loop {
        let output = stand_in.command(&["engine", "status", "--json"]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if is_so(&report) {
            return report;
        }
        let ended = starter.try_wait().unwrap();
        if ended.is_some() || begun.elapsed() > PATIENCE {
            let read = |name: &str| fs::read_to_string(stand_in.path(name)).unwrap_or_default();
            panic!(
                "the engine never says so. Its status: {report}, {}\nWho started it ({ended:?}) said: \
                 {}\nThe engine's log: {}",
                String::from_utf8_lossy(&output.stderr),
                read(SAID),
                read("run/wan-alpha/engine.log")
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Where a command that is not waited for leaves what it says.
const SAID: &str = "said";

/// Starts a command that is not waited for.
fn begin(stand_in: &StandIn, command: &mut Command) -> Child {
    let said = fs::File::create(stand_in.path(SAID)).unwrap();
    command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

#[test]
fn an_engine_opens_its_card_in_the_same_way_and_tells_it() {
    let stand_in = StandIn::new();
    for (device, environment, said) in [
        (&[][..], &[][..], "Stand-in 1 (cuda:1"),
        (&["--device", "cuda:0"], &[], "Stand-in 0 (cuda:0"),
        (&["--device", "cuda:2"], &[], "Stand-in 2 (cuda:2"),
        (&[], &[("STAND_IN_DRIVER", "12040")], "the CPU"),
        (&[], &[("STAND_IN_DRIVER", "0")], "the CPU"),
    ] {
        let arguments: Vec<_> = ["engine", "run"].iter().chain(device).collect();
        let arguments: Vec<_> = arguments.into_iter().copied().collect();
        let mut command = stand_in.command(&arguments);
        let mut engine = begin(&stand_in, command.envs(environment.iter().copied()));
        let report = status(&stand_in, &mut engine, |report| {
            report["device"].is_string() && report["opening_seconds"].is_null()
        });
        assert!(report["device"].as_str().unwrap().contains(said), "{said}: {report}");
        let unused = report["unused"].as_str().unwrap_or_default();
        let told = |driver: &str| environment.contains(&("STAND_IN_DRIVER", driver));
        assert_eq!(unused.contains("CUDA 12.4"), told("12040"), "{report}");
        let log = fs::read_to_string(stand_in.path("run/wan-alpha/engine.log")).unwrap();
        assert!(log.contains(said), "{log}");
        // Where there is no driver nobody is told to wait for CUDA.
        let opens = log
            .lines()
            .rev()
            .find_map(|line| line.split_once("wan_alpha::engine] opening "))
            .unwrap()
            .1;
        assert_eq!(opens, if told("0") { "the CPU" } else { "CUDA" }, "{log}");
        let stopped = stand_in.command(&["engine", "stop"]).output().unwrap();
        assert!(stopped.status.success());
        engine.wait().unwrap();
    }
    let output = stand_in.command(&["engine", "run", "--device", "cuda:3"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--device cuda:3: 3 cards are visible"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}

#[test]
fn an_engine_that_opens_for_half_a_minute_is_waited_for_and_says_so() {
    let stand_in = StandIn::new();
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let out = stand_in.path("out");
    let (draft, out) = (draft.to_str().unwrap(), out.to_str().unwrap());
    let add = ["model", "add", "draft", draft];
    assert!(stand_in.command(&add).output().unwrap().status.success());
    let mut render = stand_in.command(&[
        "render", "--engine", "--model", "draft", "--prompt", "a ball", "--out", out, "--frames",
        "1", "--width", "64", "--height", "64", "--steps", "1",
    ]);
    let told = [("STAND_IN_LOAD_SECONDS", "30")];
    // Its files lie on a slow folder.
    let engine = engine_program(&stand_in, &told, "sleep 7\n");
    let mut render = begin(&stand_in, render.env("WAN_ALPHA_ENGINE", engine));
    let opening =
        status(&stand_in, &mut render, |report| report["opening_seconds"].as_u64() >= Some(2));
    assert_eq!(opening["device"], "CUDA", "{opening}");
    let text = stand_in.command(&["engine", "status"]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("opening") && text.contains("CUDA"), "{text}");
    let status = render.wait().unwrap();
    let said = fs::read_to_string(stand_in.path(SAID)).unwrap();
    assert!(
        said.contains("the engine is not ready 5 s after its start, and is waited for"),
        "{said}"
    );
    assert!(said.contains("the engine opens CUDA"), "{said}");
    // The stand-in computes nothing: the take fails, where and because the card would compute.
    assert!(!status.success() && !said.contains("did not listen"), "{said}");
    let _ = stand_in.command(&["engine", "stop"]).output();
}

#[test]
fn an_engine_that_still_opens_its_card_ends_when_it_is_told_to() {
    let stand_in = StandIn::new();
    let mut command = stand_in.command(&["engine", "run"]);
    let mut engine = begin(&stand_in, command.env("STAND_IN_LOAD_SECONDS", "100"));
    status(&stand_in, &mut engine, |report| report["opening_seconds"].as_u64() >= Some(1));
    let begun = Instant::now();
    let stopped = stand_in.command(&["engine", "stop"]).output().unwrap();
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert!(stopped.status.success(), "{said}");
    assert_eq!(engine.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn doctor_says_at_once_why_its_engine_ends() {
    let stand_in = StandIn::new();
    for (device, words) in [("gpu", "found `gpu`"), ("cuda:9", "WAN_ALPHA_DEVICE=cuda:9")] {
        let mut doctor = stand_in.command(&["doctor"]);
        let output = doctor.env("WAN_ALPHA_DEVICE", device).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let engine = said.split("engine ").nth(1).unwrap_or_default();
        assert!(engine.contains(words), "{said}");
    }
}

#[test]
fn an_engine_without_the_card_it_was_asked_for_says_why_to_who_waits() {
    let stand_in = StandIn::new();
    let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
    let (draft, out) = (draft.to_str().unwrap(), stand_in.path("out"));
    assert!(stand_in.command(&["model", "add", "draft", draft]).output().unwrap().status.success());
    let mut render = stand_in.command(&[
        "render",
        "--engine",
        "--model",
        "draft",
        "--prompt",
        "a ball",
        "--frames",
        "1",
        "--width",
        "64",
        "--height",
        "64",
        "--steps",
        "1",
        "--out",
        out.to_str().unwrap(),
    ]);
    let told = [("STAND_IN_DRIVER", "12040")];
    render.env("WAN_ALPHA_ENGINE", engine_program(&stand_in, &told, ""));
    let output = render.env("WAN_ALPHA_DEVICE", "cuda:0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CUDA 12.4") && said.contains("580"), "{said}");
    assert!(!output.status.success(), "{said}");
}
