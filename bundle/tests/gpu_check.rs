//! `cargo xtask gpu-check` from outside, on programs that only play the engine, Python and the driver:
//! it runs to its end with a card and without, tells nothing of whose machine it was, and leaves
//! nothing behind, also when it is stopped in the middle. What a real engine does in it is in
//! `bundle.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a test reads of a user: nobody's real name.
const USER: &str = "adalovelace";
const UUID: &str = "4b7c1f2a-9d3e-4f5a-8b6c-0123456789ab";

/// Notes each of its command lines in `calls`. Frames say when they were written, as the program's do.
/// A take of a thousand steps lasts until it is interrupted, and its job lives on for one more look.
const ENGINE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
for word; do [ "$last" = --out ] && out=$word; last=$word; done
case "$*" in
"doctor --json")
    echo '[{"verdict": "VERDICT", "about": "device", "says": "a card of @USER, GPU-@UUID"},'
    echo '{"verdict": "ok", "about": "versions", "says": "wan-alpha 0, libtorch 2.13.0+cu130"}]' ;;
"engine status --json")
    jobs=$(cat "$here/jobs" 2>/dev/null); rm -f "$here/jobs"
    echo "{\"device\": \"Cpu\", \"jobs\": [$jobs]}" ;;
"render --engine"*"--steps 1000"*)
    trap 'echo "{}" > "$here/jobs"; exit 130' INT TERM
    for step in 0 1; do echo "sampling $step/1000" >&2; sleep 0.1; done
    while :; do sleep 0.05; done ;;
"render --engine"*)
    echo "loading the model 0/2" >&2; sleep 0.2
    for step in 0 1 2 3 4; do echo "sampling $step/4" >&2; sleep 0.05; done
    echo "decoding 0/2" >&2; sleep 0.1; mkdir -p "$out" ;;
render*)
    case "$*" in *"--device auto"*) on='Cuda(0)' ;; *) on=Cpu ;; esac
    [ -f "$here/hang" ] && sleep 600
    mkdir -p "$out"; cp "$here/frame.png" "$out/rgba.0000.png"
    printf %s "${SOURCE_DATE_EPOCH-$(date +%s%N)}" >> "$out/rgba.0000.png"
    echo "{\"device\": \"$on\", \"timings\": {\"sample\": 1.5}}" > "$out/take.json" ;;
esac
"#;

const PYTHON: &str = r#"#!/bin/sh
case "$*" in
*measure.py*) echo '{"what": "peak", "value": 3.5, "unit": "A", "path": "/home/@USER/x"}' ;;
*) echo "{\"python\": \"$0\", \"version\": \"2.11.0\", \"git\": \"x\", \"folders\": []}" ;;
esac
"#;

/// A card with too little memory for the large model.
const DRIVER: &str = r#"#!/bin/sh
case "$*" in
*-lms*) while :; do echo "0, 100"; sleep 0.2; done ;;
*compute-apps*) ;;
*) echo "NVIDIA Toy, 580.65.06, 9.0, 8192, 8000, 5, 16, 700.00, 1980, Disabled, Enabled" ;;
esac
"#;
const NO_DRIVER: &str = "#!/bin/sh\necho 'no driver' >&2\nexit 9\n";

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(driver: &str) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        let verdict = if driver == DRIVER { "ok" } else { "attention" };
        stage.program("engine", &ENGINE.replace("VERDICT", verdict));
        stage.program("python", PYTHON);
        stage.program("nvidia-smi", driver);
        let picture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../resources/org.wanalpha.generator.png");
        fs::copy(picture, stage.path("frame.png")).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text.replace("@USER", USER).replace("@UUID", UUID)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self) -> Command {
        self.command_of("10")
    }

    fn command_of(&self, minutes: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap();
        let folders = [self.folder.path().to_owned()].into_iter();
        let folders = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("gpu-check").args(["--minutes", minutes, "--out"]).arg(self.path("out"));
        command.arg("--engine").arg(self.path("engine"));
        command.arg("--python").arg(self.path("python"));
        command.env("PATH", folders).env("USER", USER).env("HOME", format!("/home/{USER}"));
        command.env("TMPDIR", self.folder.path());
        command
    }

    fn run(&self) -> (Output, Vec<Value>, String) {
        let output = self.command().output().unwrap();
        let (lines, page) = self.results();
        (output, lines, page)
    }

    fn results(&self) -> (Vec<Value>, String) {
        let out = self.path("out");
        let text = fs::read_to_string(out.join("gpu-check.jsonl")).unwrap();
        let page = fs::read_to_string(out.join("gpu-check.md")).unwrap();
        for secret in [USER, UUID] {
            assert!(!text.contains(secret) && !page.contains(secret), "{secret} in:\n{text}");
        }
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), page)
    }

    /// Command lines that the engine was given, by their beginning.
    fn calls(&self, beginning: &str) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap();
        calls.lines().filter(|call| call.starts_with(beginning)).count()
    }

    /// Neither in the folder of the results nor in that for temporary files.
    fn assert_nothing_is_left(&self) {
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.path("out")), ["gpu-check.jsonl", "gpu-check.md"]);
        let own = ["calls", "engine", "frame.png", "hang", "jobs", "nvidia-smi", "out", "python"];
        let strange: Vec<_> = names(self.folder.path())
            .into_iter()
            .filter(|name| !own.contains(&name.as_str()))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
        let needle = self.folder.path().to_str().unwrap();
        let lines = fs::read_dir("/proc").unwrap().flatten();
        let lines = lines.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let alive: Vec<_> = lines
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(needle))
            .collect();
        assert!(alive.is_empty(), "{alive:?}");
    }
}

fn ending<'a>(lines: &'a [Value], part: &str) -> &'a Value {
    lines.iter().find(|line| line["part"] == part && line["outcome"].is_string()).unwrap()
}

fn measured<'a>(lines: &'a [Value], part: &str, what: &str) -> &'a Value {
    lines.iter().find(|line| line["part"] == part && line["what"] == what).unwrap()
}

#[test]
fn without_a_card_it_runs_to_its_end_and_says_what_it_left_out() {
    let stage = Stage::new(NO_DRIVER);
    let (output, lines, page) = stage.run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{page}");
    assert_eq!(ending(&lines, "machine")["outcome"], "done");
    for part in ["take", "attention", "block", "decoding", "copies", "large", "fault"] {
        let ending = ending(&lines, part);
        assert_eq!(ending["outcome"], "left-out", "{ending}");
        assert!(ending["why"].as_str().unwrap().contains("no card"), "{ending}");
    }
    assert_eq!(measured(&lines, "take", "same bits twice")["value"], true);
    assert_eq!(measured(&lines, "take", "first take")["device"], "Cpu");
    // All of the large part has been played: cold take, cancelled take, unloading.
    assert!(measured(&lines, "large", "step")["value"].as_f64().unwrap() >= 0.04);
    assert!(measured(&lines, "large", "cancel")["value"].is_number());
    assert_eq!((stage.calls("model add gpu-check"), stage.calls("engine unload")), (1, 1));
    assert!(stage.calls("engine stop") >= 1);
    assert!(page.contains("| large | left out |"), "{page}");
    assert!(page.ends_with("there was no card.\n"), "{page}");
    stage.assert_nothing_is_left();
}

#[test]
fn with_a_card_takes_are_compared_and_what_has_no_room_is_left_out() {
    let stage = Stage::new(DRIVER);
    let (output, lines, page) = stage.run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{page}");
    assert_eq!(measured(&lines, "machine", "card")["value"], "NVIDIA Toy");
    assert_eq!(measured(&lines, "machine", "libtorch")["value"], "2.13.0+cu130");
    for part in ["take", "attention", "block", "decoding", "copies", "fault"] {
        assert_eq!(ending(&lines, part)["outcome"], "done", "{page}");
    }
    assert_eq!(measured(&lines, "take", "card beside CPU")["holds"], true);
    assert_eq!(measured(&lines, "take", "first take")["device"], "Cuda(0)");
    assert_eq!(measured(&lines, "block", "peak")["path"], "~/x");
    let large = ending(&lines, "large");
    assert!(large["why"].as_str().unwrap().contains("8.4 GB are free on the card"), "{large}");
    let row = page.lines().last().unwrap();
    assert!(row.starts_with("| NVIDIA Toy | 580.65.06 | 2.13.0+cu130 |"), "{row}");
    stage.assert_nothing_is_left();
}

#[test]
fn a_part_that_fails_is_a_line_and_the_next_one_begins() {
    let stage = Stage::new(NO_DRIVER);
    stage.program("engine", "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/calls\"\n\
                             case \"$*\" in engine*) ;; *) echo 'out of luck' >&2; exit 3 ;; esac\n");
    let (output, lines, _) = stage.run();
    assert_eq!(output.status.code(), Some(1));
    for part in ["machine", "take", "large"] {
        let ending = ending(&lines, part);
        assert_eq!(ending["outcome"], "failed", "{ending}");
        assert!(ending["why"].as_str().unwrap().contains("out of luck"), "{ending}");
    }
    assert_eq!(ending(&lines, "attention")["outcome"], "left-out");
    stage.assert_nothing_is_left();
}

#[test]
fn it_ends_in_time_by_itself() {
    let stage = Stage::new(NO_DRIVER);
    fs::write(stage.path("hang"), "").unwrap();
    let begun = Instant::now();
    let output = stage.command_of("0.5").output().unwrap();
    // Half a minute, and whatever a busy machine adds; not the ten minutes of a take that hangs.
    assert!(begun.elapsed() < Duration::from_secs(200), "{:?}", begun.elapsed());
    assert_eq!(output.status.code(), Some(1));
    let (lines, page) = stage.results();
    for part in ["take", "large"] {
        assert_eq!(ending(&lines, part)["outcome"], "no-time", "{page}");
    }
    let why = ending(&lines, "take")["why"].as_str().unwrap();
    assert!(why.contains("`render` was ended after") || why.contains(" were left"), "{why}");
    stage.assert_nothing_is_left();
}

#[test]
fn stopped_in_the_middle_it_puts_everything_away() {
    let stage = Stage::new(NO_DRIVER);
    fs::write(stage.path("hang"), "").unwrap();
    let mut check = stage.command().spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let calls = || fs::read_to_string(stage.path("calls")).unwrap_or_default();
    while !calls().contains("render") {
        assert!(Instant::now() < deadline, "no take is begun");
        thread::sleep(Duration::from_millis(20));
    }
    let id = check.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(check.wait().unwrap().code(), Some(1));
    let (lines, _) = stage.results();
    assert_eq!(ending(&lines, "machine")["outcome"], "done");
    for part in ["take", "large", "fault"] {
        assert_eq!(ending(&lines, part)["outcome"], "stopped");
    }
    assert_eq!(stage.calls("engine stop"), 1);
    stage.assert_nothing_is_left();
}
