//! Runs of `wan-alpha train`, from outside: that they learn, stop, go on and leave what loads. What
//! each task trains is in `train_tasks.rs`.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;
use support::training::TrainingRoom;
use wan_alpha_core::device::processor_has_bfloat16;
use wan_alpha_core::weights::{TensorFile, find_base_autoencoder};

/// An autoencoder from nothing, on clips that are drawn.
const BASE: &str = r#"
seed = 5
steps = 12
batch = 1
[task]
kind = "base-vae"
dim = 4
perceptual = 0.0
calibrate = 2
[data]
procedural = 7
frames = 5
height = 32
width = 32
held_out = 2
[optimiser]
rate = 2e-3
ema = 0.5
[every]
checkpoint = 4
evaluate = 6
sample = 6
plot = 6
"#;

fn states(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: `kill` has no memory effects; the child is not waited for yet, so that its number is
    // its own.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::kill(child.id().cast_signed(), signal) };
    assert_eq!(sent, 0);
}

/// How many records lie in a run's file for TensorBoard: each is a length, four bytes, as many bytes as
/// the length says, and four more.
fn events(folder: &Path) -> usize {
    let bytes = fs::read(folder.join("events.out.tfevents.wan-alpha")).unwrap();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at += 16 + length as usize;
        count += 1;
    }
    assert_eq!(at, bytes.len());
    count
}

#[test]
fn mixed_precision_is_float32_where_the_processor_knows_no_other_and_that_is_said() {
    let room = TrainingRoom::new();
    room.write("run.toml", &BASE.replace("steps = 12", "steps = 1\nprecision = \"bf16\""));
    let words = room.ok("run.toml", "out");
    let slow = words.contains("no instructions for bfloat16");
    assert_eq!(slow, !processor_has_bfloat16(), "{words}");
    assert_eq!(room.losses("out").len(), 1);
}

#[test]
fn a_run_that_is_killed_or_stopped_goes_on_as_if_it_had_not_been() {
    let room = TrainingRoom::new();
    room.write("run.toml", BASE);
    let words = room.ok("run.toml", "whole");
    assert!(words.contains("parameters in"), "{words}");
    let whole = room.losses("whole");
    assert_eq!(whole.len(), 12);

    // Killed in the middle of a step after the first state; what came after that is made again.
    let mut child = room.command("run.toml", "broken").spawn().unwrap();
    room.wait("broken", 6, &mut child);
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    // The fourth, or on a machine that has other work a later one.
    let kept = states(&room.path("broken")).pop().unwrap();
    let step: u32 = kept["step-".len()..][..8].parse().unwrap();
    assert!((4..12).contains(&step), "{kept}");
    // Ctrl-C: the last whole step is kept.
    let mut child = room.command("run.toml", "broken").spawn().unwrap();
    room.wait("broken", 9, &mut child);
    signal(&child, libc::SIGINT);
    let stopped = child.wait_with_output().unwrap();
    let words = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{words}");
    assert!(words.contains(&format!("going on after step {step}")), "{words}");
    assert!(words.contains("stopped at step") && words.contains("goes on after step"), "{words}");

    let words = room.ok("run.toml", "broken");
    assert!(words.contains("going on after step"), "{words}");
    assert_eq!(room.losses("broken"), whole);
    // The measurements too, and what comes out.
    let held_out = |out: &str| -> Vec<Value> {
        room.log(out).into_iter().filter(|line| line.get("held_out").is_some()).collect()
    };
    assert_eq!(held_out("broken"), held_out("whole"));
    assert_eq!(held_out("whole").len(), 2);
    let result = |out: &str| fs::read(room.path(out).join("model/Wan2.1_VAE.pth")).unwrap();
    assert!(result("broken") == result("whole"), "the results differ");
    // What TensorBoard reads has an event for each line of the log, and one before them.
    for out in ["whole", "broken"] {
        assert_eq!(events(&room.path(out)), room.log(out).len() + 1, "{out}");
    }
    // Two states are kept.
    assert_eq!(
        states(&room.path("whole")),
        ["step-00000008.safetensors", "step-00000012.safetensors"]
    );
}

#[test]
fn a_run_learns_and_leaves_curves_samples_and_a_model_that_loads() {
    let room = TrainingRoom::new();
    let settings = BASE.replace("= 6", "= 30").replace("steps = 12", "steps = 60");
    // Frames, and enough of them for a step that the curve shows more than their variety.
    let settings = settings.replace("frames = 5", "frames = 1").replace("batch = 1", "batch = 4");
    let settings = settings.replace("dim = 4", "dim = 8");
    room.write("run.toml", &settings.replace("rate = 2e-3", "rate = 3e-3\nclip = 1.0"));
    room.ok("run.toml", "out");
    let lines = room.log("out");
    let totals: Vec<f64> = lines.iter().filter_map(|line| line["total"].as_f64()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&totals[50..]) < 0.8 * mean(&totals[..10]), "{totals:?}");
    for line in &lines {
        for field in ["gradient_norm", "rate", "seconds"] {
            assert!(line.get("total").is_none() || line[field].is_f64(), "{line}");
        }
    }
    let plot = image::open(room.path("out/losses.png")).unwrap().into_rgb8();
    assert!(plot.width() > 400);
    for step in ["00000030", "00000060"] {
        let sample = room.path("out/samples").join(format!("step-{step}-0.png"));
        assert!(image::open(sample).unwrap().width() > 100);
    }
    let base = find_base_autoencoder(&[room.path("out/model")]).unwrap();
    assert_eq!(base.shape("conv2.weight").unwrap(), [16, 16, 1, 1, 1]);
    // The moments: a state goes back to where it was.
    let state = TensorFile::open(&room.path("out/state/step-00000060.safetensors")).unwrap();
    for part in ["parameter", "first", "second", "average"] {
        assert!(state.entry(&format!("{part}.vae.conv2.weight")).is_some(), "{part}");
    }
}

#[test]
fn gradients_of_two_batches_are_those_of_one() {
    let room = TrainingRoom::new();
    let short = BASE.replace("steps = 12", "steps = 1");
    room.write("two.toml", &short.replace("batch = 1", "batch = 1\naccumulate = 2"));
    room.ok("two.toml", "two");
    let two = &room.log("two")[0];
    assert!(two["total"].as_f64().unwrap() > 0.0);
    // Another order of the same draws would give other films, so that only the count is compared.
    room.write("one.toml", &short);
    room.ok("one.toml", "one");
    assert_ne!(two["total"], room.log("one")[0]["total"]);
}

#[test]
fn a_folder_holds_one_run_and_one_process_writes_to_it() {
    let room = TrainingRoom::new();
    room.write("run.toml", &BASE.replace("steps = 12", "steps = 500"));
    let mut child = room.command("run.toml", "out").spawn().unwrap();
    room.wait("out", 5, &mut child);
    let words = room.refused("run.toml", "out", 2);
    let holder = format!("is being written to by process {} on ", child.id());
    assert!(words.contains(&holder), "`{holder}` is not in {words}");
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));

    room.write("other.toml", &BASE.replace("dim = 4", "dim = 8"));
    let words = room.refused("other.toml", "out", 2);
    assert!(words.contains("task.dim was 4 and is 8"), "{words}");
}

#[test]
fn a_damaged_state_is_passed_over_and_said() {
    let room = TrainingRoom::new();
    room.write("run.toml", BASE);
    room.ok("run.toml", "out");
    let newest = room.path("out/state/step-00000012.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let words = room.ok("run.toml", "out");
    assert!(words.contains("step-00000012.safetensors"), "{words}");
    assert!(words.contains("going on from the state before it"), "{words}");
    assert!(words.contains("going on after step 8"), "{words}");
    assert_eq!(room.losses("out").len(), 12);
}

#[test]
fn what_cannot_be_trained_is_refused_in_words() {
    let room = TrainingRoom::new();
    let missing = BASE.replace("dim = 4", "start = [\"nothing.pth\"]");
    let cases = [
        (BASE.replace("seed = 5", "seed = "), 2, "run.toml"),
        (BASE.replace("frames = 5", "frames = 6"), 2, "data.frames: expected 1, 5, 9"),
        (BASE.replace("procedural = 7", "set = \"nowhere\""), 2, "nowhere"),
        (missing, 2, "nothing.pth"),
    ];
    for (settings, code, expected) in cases {
        room.write("run.toml", &settings);
        let words = room.refused("run.toml", "out", code);
        assert!(words.contains(expected), "{words}");
        let _ = fs::remove_dir_all(room.path("out"));
    }
    // Where somebody looks for several GPUs, what to do instead.
    room.write("run.toml", &BASE.replace("seed = 5", "seed = 5\ngpus = 8"));
    let words = room.refused("run.toml", "out", 2);
    assert!(words.contains("unknown field `gpus`") && words.contains("accumulate = N"), "{words}");
    room.write("run.toml", BASE);
    for flags in [["--gpus", "2"], ["--device", "cuda:0,cuda:1"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(["train", "run.toml", "--out", "out"]).args(flags);
        let output = command.current_dir(room.folder()).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("a run computes on one GPU"), "{words}");
    }
    // A rate that breaks everything: said, and nothing of it is kept.
    room.write("run.toml", &BASE.replace("rate = 2e-3", "rate = 1e30"));
    let words = room.refused("run.toml", "out", 1);
    assert!(words.contains("not finite") || words.contains("is NaN"), "{words}");
    assert!(words.contains("goes on after step 0"), "{words}");
    assert_eq!(states(&room.path("out")), Vec::<String>::new());
}
