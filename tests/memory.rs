//! How much memory the command holds at most: anonymous and shared, read from the system while it
//! works. What the tests measure they also print (`--nocapture`).

#![cfg(target_os = "linux")]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::model::{DECODERS, TEXT, TOKENIZER, VAE};
use support::random::Transformer;
use support::reference::Case;
use support::render::{Done, Render, files};
use support::running::{Running, peak};
use tempfile::TempDir;

const MB: u64 = 1 << 20;

#[test]
fn decoding_takes_no_more_memory_for_more_frames() {
    let peak = |frames| {
        let render = Render::of(Case::named("t2v-euler").model())
            .with("--threads", "2")
            .with("--format", "exr")
            .size(256, 256, frames);
        let (done, peak) = Running::start(render).measure();
        done.succeeded();
        peak
    };
    let (short, long) = (peak(17), peak(49));
    println!("17 frames: {} MB, 49 frames: {} MB", short / MB, long / MB);
    // Promised is a tenth and 64 MB more for 33 frames. Were frames kept, with the color and alpha
    // they come from, 16 of them would hide in that; 32 of them are 80 MB.
    assert!(long <= short + 48 * MB, "{short} bytes grew to {long}");
}

/// A transformer of a gigabyte, float32, with a DoRA; and the other parts of a reference model.
struct Gigabyte {
    folder: TempDir,
    files: Vec<PathBuf>,
    bytes: u64,
}

impl Gigabyte {
    fn new() -> Self {
        let sizes = Transformer { dim: 1536, heads: 12, ffn: 8960, layers: 5, text_dim: 24 };
        let folder = tempfile::tempdir().unwrap();
        let bytes = sizes.write(folder.path());
        assert!(bytes > 950 * MB, "{bytes}");
        sizes.write_dora(&folder.path().join("dora.safetensors"), 8);
        let case = Case::named("t2v");
        let others = [TEXT, TOKENIZER, VAE, DECODERS].map(|part| case.model().join(part));
        let files = [folder.path().to_owned()].into_iter().chain(others).collect();
        Self { folder, files, bytes }
    }
}

#[test]
fn loading_takes_little_more_memory_than_the_model() {
    let model = Gigabyte::new();
    let render = Render::of_files(&model.files).with("--threads", "2").with("--format", "exr");
    let (done, peak) = Running::start(render).measure();
    let done = done.succeeded();
    let seconds = &done.take()["timings"]["load"];
    println!("model: {} MB, peak: {} MB, loaded in {seconds} s", model.bytes / MB, peak / MB);
    // Half of what is promised: a second copy of this very model would keep the promise.
    assert!(peak <= model.bytes + 512 * MB, "{} bytes took {peak}", model.bytes);
}

/// The frames of a take, byte for byte.
fn frames(done: &Done) -> Vec<Vec<u8>> {
    let files = files(&done.out()).into_iter();
    files.filter(|(name, _)| name.ends_with(".exr")).map(|(_, bytes)| bytes).collect()
}

#[test]
fn a_model_of_a_gigabyte_computes_in_less_and_gives_the_same_bits() {
    let model = Gigabyte::new();
    let render = || {
        Render::of_files(&model.files)
            .with("--threads", "2")
            .with("--format", "exr")
            .with("--dtype", "f32")
            .with("--steps", "2")
            .switch("--no-store")
    };
    let (whole, most) = Running::start(render()).measure();
    let whole = whole.succeeded();
    for (gigabytes, stays) in [("1.3", "2 of 5 blocks stay"), ("1.05", "0 of 5 blocks stay")] {
        let capped = render().variable("WAN_ALPHA_MEMORY", gigabytes);
        let (capped, peak) = Running::start(capped).measure();
        let capped = capped.succeeded();
        println!("{} MB whole, {} MB of {gigabytes} GB", most / MB, peak / MB);
        assert!(capped.stderr.contains(stays), "{}", capped.stderr);
        assert!(frames(&capped) == frames(&whole), "other bits");
        let limit = (gigabytes.parse::<f64>().unwrap() * 1.1e9) as u64;
        assert!(peak <= limit && peak < most, "{peak} of {limit}");
    }
    let refused = render().variable("WAN_ALPHA_MEMORY", "0.4").run();
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let said = &refused.stderr;
    assert!(said.contains(" at least, ") && said.contains(" GB are free"), "{said}");
    assert!(said.contains("WAN_ALPHA_MEMORY is 400 MB"), "{said}");
}

#[test]
fn merging_takes_the_memory_of_a_few_tensors() {
    let model = Gigabyte::new();
    let merged = model.folder.path().join("merged.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
    command.args(["model", "merge"]).args(&model.files).arg("--out").arg(&merged);
    let peak = peak(command);
    println!("model: {} MB, peak while merging: {} MB", model.bytes / MB, peak / MB);
    assert!(fs::metadata(&merged).unwrap().len() > model.bytes / 2);
    // Its largest tensor has 53 MB. Promised are 2 GB; half of this model would show.
    assert!(peak <= 480 * MB, "{peak}");
}
