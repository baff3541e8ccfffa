//! Minutes of training from nothing, 64 × 64 × 9, as a chain: an autoencoder on frames, then on
//! clips; a transformer on its latents; an RGBA autoencoder beside that transformer, with and without
//! the bidirectional loss. `cargo xtask test --slow` runs it; runs of seconds are in `tests/train.rs`.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

/// Every run of the chain has this beside its task.
const COMMON: &str = r#"
seed = 1
[optimiser]
betas = [0.9, 0.95]
clip = 1.0
schedule = "cosine"
rate = RATE
[every]
checkpoint = 0
sample = 0
plot = 0
evaluate = 100000
[data]
procedural = 1
height = 64
width = 64
held_out = 32
frames = FRAMES
"#;

struct Chain(TempDir);

impl Chain {
    /// Trains, and returns the log.
    fn run(&self, name: &str, steps: u32, batch: u32, frames: u32, rate: f64, task: &str) -> Log {
        let common =
            COMMON.replace("RATE", &rate.to_string()).replace("FRAMES", &frames.to_string());
        let tokenizer =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/t2v/model/google/umt5-xxl");
        let task = task.replace("TOKENIZER", tokenizer);
        let settings = format!("steps = {steps}\nbatch = {batch}\n{common}\n[task]\n{task}");
        let file = self.path(&format!("{name}.toml"));
        fs::write(&file, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.arg("train").arg(&file).arg("--out").arg(self.path(name)).args(["--device", "cpu"]);
        command.env("OMP_WAIT_POLICY", "passive");
        let begun = Instant::now();
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {words}");
        let text = fs::read_to_string(self.path(name).join("log.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        eprintln!("{name}: {steps} steps in {:.0} s", begun.elapsed().as_secs_f64());
        Log { name: name.to_owned(), lines }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

struct Log {
    name: String,
    lines: Vec<Value>,
}

impl Log {
    /// A loss of every step.
    fn steps(&self, loss: &str) -> Vec<f64> {
        self.lines.iter().filter_map(|line| line["losses"][loss].as_f64()).collect()
    }

    /// A loss on what is held out, at the end: the same clips, noise and times in every run.
    fn held_out(&self, loss: &str) -> f64 {
        self.lines.iter().filter_map(|line| line["held_out"][loss].as_f64()).next_back().unwrap()
    }

    #[track_caller]
    fn halves(&self, loss: &str, before: &Self) {
        self.falls(loss, before, 0.5);
    }

    /// From the first steps to the last ones, to `share` of it at least.
    #[track_caller]
    fn falls(&self, loss: &str, before: &Self, share: f64) {
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (before.steps(loss), self.steps(loss));
        let (first, last) = (mean(&first[..5]), mean(&last[last.len() - 50..]));
        eprintln!("{}: {loss} {first:.4} to {last:.4}", self.name);
        assert!(last <= share * first, "{}: {loss} went from {first} to {last} only", self.name);
    }
}

#[test]
fn losses_halve_and_the_bidirectional_term_does_what_it_is_for() {
    let chain = Chain(tempfile::tempdir().unwrap());
    let vae = "kind = \"base-vae\"\nperceptual = 0.0\n";
    let frames = chain.run("frames", 500, 4, 1, 1e-3, &format!("{vae}dim = 12"));
    let start = "calibrate = 64\nstart = [\"frames/model\"]";
    let clips = chain.run("clips", 250, 1, 9, 5e-4, &format!("{vae}{start}"));
    for loss in ["l1", "edge"] {
        clips.halves(loss, &frames);
    }

    let transformer = r#"
        kind = "transformer"
        dit = { dim = 128, heads = 4, layers = 4, ffn = 512, text_dim = 64, text_length = 192 }
        text = { vocabulary = 512, dim = 64, heads = 4, ffn = 128, layers = 1 }
        tokenizer = "TOKENIZER/tokenizer.json"
        encoder = ["clips/model"]
    "#;
    let dit = chain.run("dit", 150, 8, 9, 1e-3, transformer);
    dit.halves("velocity", &dit);

    // With next to no weight the term is measured, and nothing more.
    let rgba = |name: &str, weight: f64| {
        let task = format!(
            "kind = \"rgba-vae\"\nbase = [\"clips/model\"]\ndit = [\"dit/model\"]\nrank = 8\n\
             perceptual = 0.0\nnormalise = true\nform = \"clamped\"\nbidirectional = {weight}"
        );
        chain.run(name, 150, 1, 9, 1e-3, &task)
    };
    let (with, without) = (rgba("with", 1.0), rgba("without", 1e-9));
    let (with_loss, without_loss) =
        (with.held_out("bidirectional"), without.held_out("bidirectional"));
    eprintln!("bidirectional: {with_loss:.4} with the term, {without_loss:.4} without");
    assert!(with_loss < without_loss, "{with_loss} is not below {without_loss}");
    // Not at the cost of what is decoded.
    with.falls("l1.alpha", &with, 2.0 / 3.0);
}
