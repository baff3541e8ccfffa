//! What training a transformer of more layers takes in memory, measured in processes of their own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    ComputeOptions, DORA_TARGETS, LatentBatch, Origin, StepRng, Task, Texts, Trained, Transformer,
    TransformerSettings,
};

const MB: u64 = 1 << 20;
/// Tells the child what to measure: layers, and `plain` or `recompute`.
const CASE: &str = "WAN_ALPHA_TEST_MEMORY_CASE";
const NAME: &str = "with_recomputation_layers_add_their_inputs_and_nothing_else";

const DIM: i64 = 256;
const TOKENS: i64 = 5 * 16 * 16;

#[test]
fn with_recomputation_layers_add_their_inputs_and_nothing_else() {
    if let Ok(case) = std::env::var(CASE) {
        let (layers, how) = case.split_once(' ').unwrap();
        println!("peak {}", peak_of_a_step(layers.parse().unwrap(), how == "recompute"));
        return;
    }
    let measure = |layers: u64, how: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CASE, format!("{layers} {how}"))
            .env("OMP_NUM_THREADS", "2")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let peak = text.lines().find_map(|line| line.trim().strip_prefix("peak ")).unwrap();
        let peak: u64 = peak.parse().unwrap();
        // What has to grow: each block's input.
        let kept = layers * 4 * (TOKENS * DIM) as u64;
        println!("{layers} layers, {how}: {} MB, kept {} MB", peak / MB, kept / MB);
        peak - kept.min(peak)
    };
    let peaks = [4, 8, 16].map(|layers| measure(layers, "recompute"));
    let (least, most) = (peaks.iter().min().unwrap(), peaks.iter().max().unwrap());
    assert!(*most <= least + least / 10 + 64 * MB, "{peaks:?}");
    // The measure can tell: a plain step keeps what every layer computes.
    assert!(measure(16, "plain") > most + most / 10 + 64 * MB);
}

/// Bytes that one step takes above what was there before it.
fn peak_of_a_step(layers: usize, recompute: bool) -> u64 {
    tch::set_num_threads(2);
    let config = DitConfig {
        dim: DIM,
        heads: 4,
        layers,
        ffn: 4 * DIM,
        freq_dim: 64,
        text_dim: 64,
        in_channels: 16,
        image: None,
        out_channels: 16,
        text_length: 16,
        eps: 1e-6,
    };
    let settings = TransformerSettings {
        trained: Trained::Dora { rank: 8, targets: DORA_TARGETS.map(str::to_owned).into() },
        recompute,
        ..TransformerSettings::default()
    };
    let origin = Origin::Nothing { config: (), seed: 1 };
    let task = Transformer::new(&origin, config, None, settings, 1, ComputeOptions::cpu()).unwrap();
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, tch::Device::Cpu));
    let batch = LatentBatch {
        latents: random(&[1, 16, 5, 32, 32]),
        masks: None,
        texts: Texts::Contexts(vec![random(&[16, 64])]),
        images: None,
    };
    let before = status("VmRSS:");
    task.step(&batch, &StepRng::new(1, 1), 1.0, &Unwatched).unwrap();
    status("VmHWM:") - before
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
