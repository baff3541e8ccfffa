//! Runs of `wan-alpha train`, from outside: that they learn, stop, go on and leave what loads.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::model::{DECODERS, VAE};
use support::reference::Case;
use tempfile::TempDir;
use wan_alpha_core::device::processor_has_bfloat16;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::weights::{
    EncoderFiles, TensorFile, find_base_autoencoder, find_text_encoder, find_transformer,
};

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

struct Room(TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, settings: &str, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(["train", settings, "--out", out, "--device", "cpu"]);
        command.current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path("home"));
        command.env("OMP_WAIT_POLICY", "passive").env("OMP_NUM_THREADS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, settings: &str, out: &str) -> Output {
        self.command(settings, out).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, settings: &str, out: &str) -> String {
        let output = self.run(settings, out);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
        words
    }

    #[track_caller]
    fn refused(&self, settings: &str, out: &str, code: i32) -> String {
        let output = self.run(settings, out);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}");
        words
    }

    /// Lines of a run's log.
    fn log(&self, out: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(out).join("log.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Step, total and terms of each step, to the bit.
    fn losses(&self, out: &str) -> Vec<String> {
        let lines = self.log(out);
        let steps = lines.iter().filter(|line| line.get("total").is_some());
        steps.map(|line| format!("{} {} {}", line["step"], line["total"], line["losses"])).collect()
    }

    /// Waits until a run has made so many steps.
    fn wait(&self, out: &str, steps: usize, child: &mut Child) {
        let begun = Instant::now();
        while self.losses(out).len() < steps {
            assert!(child.try_wait().unwrap().is_none(), "it ended early");
            assert!(begun.elapsed() < Duration::from_secs(600), "it makes no steps");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

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

#[test]
fn mixed_precision_is_float32_where_the_processor_knows_no_other_and_that_is_said() {
    let room = Room::new();
    room.write("run.toml", &BASE.replace("steps = 12", "steps = 1\nprecision = \"bf16\""));
    let words = room.ok("run.toml", "out");
    let slow = words.contains("no instructions for bfloat16");
    assert_eq!(slow, !processor_has_bfloat16(), "{words}");
    assert_eq!(room.losses("out").len(), 1);
}

#[test]
fn a_run_that_is_killed_or_stopped_goes_on_as_if_it_had_not_been() {
    let room = Room::new();
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
    // Two states are kept.
    assert_eq!(
        states(&room.path("whole")),
        ["step-00000008.safetensors", "step-00000012.safetensors"]
    );
}

#[test]
fn a_run_learns_and_leaves_curves_samples_and_a_model_that_loads() {
    let room = Room::new();
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
    let room = Room::new();
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
fn an_rgba_autoencoder_is_trained_beside_a_transformer_and_encodes_and_decodes() {
    let room = Room::new();
    let model = Case::named("t2v-euler").model();
    let settings = format!(
        r#"
        seed = 1
        steps = 4
        batch = 2
        [task]
        kind = "rgba-vae"
        base = ["{model}/{VAE}"]
        dit = ["{model}"]
        text = ["{model}"]
        rank = 4
        form = "clamped"
        [data]
        procedural = 3
        frames = 5
        height = 32
        width = 32
        held_out = 2
        [optimiser]
        rate = 1e-3
        [every]
        sample = 4
        "#,
        model = model.display()
    );
    room.write("run.toml", &settings);
    let words = room.ok("run.toml", "out");
    assert!(words.contains("no VGG16 is given"), "{words}");
    let lines = room.log("out");
    let terms = lines[0]["losses"].as_object().unwrap();
    assert_ne!(terms["bidirectional"].as_f64().unwrap(), 0.0);
    for term in ["l1.hard", "edge.hard", "l1.soft", "edge.soft", "l1.alpha"] {
        assert!(terms[term].as_f64().unwrap() > 0.0, "{term}: {terms:?}");
    }
    assert!(room.path("out/samples/step-00000004-1.png").exists());
    // Trained on, with latents brought back: the base, whose `conv2` undoes it, is a result as well.
    let on = settings
        .replace("rank = 4", "rank = 4\nstart = \"out/model/Wan-Alpha-VAE.bin\"\nalign = 3");
    room.write("on.toml", &on);
    let words = room.ok("on.toml", "on");
    let (_, share) = words.split_once("back to those of task.start in ").unwrap();
    let share: f64 = share.split_once(" %").unwrap().0.parse().unwrap();
    assert!((50.0..=100.0).contains(&share), "{words}");
    find_base_autoencoder(&[room.path("on/model")]).unwrap();
    // The released names, and this program's own verbs take them.
    let files = [room.path("out/model/Wan-Alpha-VAE.bin"), model.join(VAE)];
    EncoderFiles::find(&files).unwrap();
    fs::create_dir(room.path("model")).unwrap();
    fs::copy(model.join(VAE), room.path("model").join(VAE)).unwrap();
    fs::copy(room.path("out/model").join(DECODERS), room.path("model").join(DECODERS)).unwrap();
    let latent = Case::named("t2v-euler").golden("latent.final");
    let file = room.path("latent.safetensors");
    Tensor::write_safetensors(&[("latent.final", latent)], file).unwrap();
    let mut decode = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
    decode.args(["decode", "latent.safetensors", "--model", "model", "--out", "clip"]);
    let decoded = decode.current_dir(room.0.path()).output().unwrap();
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
}

/// A reference model with a merge block of its widths beside it, which can encode too.
fn model_that_encodes(room: &Room) -> PathBuf {
    let model = room.path("reference");
    copy_folder(&Case::named("t2v-euler").model(), &model);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/training");
    let golden = TensorFile::open(&data.join("training-golden.safetensors")).unwrap();
    let block = golden.names().filter_map(|name| {
        let own = format!("middle.{}", name.strip_prefix("weights.merge.")?);
        Some((own, golden.read(wan_alpha_core::device::Device::cpu(), name).unwrap()))
    });
    let block: Vec<_> = block.collect();
    Tensor::write_safetensors(&block, model.join("Wan-Alpha-v2-VAE.safetensors")).unwrap();
    model
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Room {
    /// Another verb, which has to succeed.
    #[track_caller]
    fn verb(&self, arguments: &[&str]) {
        let mut command = self.command("", "");
        let program = command.get_program().to_owned();
        let environment: Vec<_> =
            command.get_envs().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
        command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env_clear().envs(environment);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_dora_is_trained_on_a_cached_set_and_renders() {
    let room = Room::new();
    let model = model_that_encodes(&room);
    room.verb(&[
        "data",
        "procedural",
        "--count",
        "4",
        "--size",
        "32x32",
        "--frames",
        "5",
        "--out",
        "set",
    ]);
    room.verb(&[
        "data",
        "cache",
        "set",
        "--model",
        "reference",
        "--area",
        "32x32",
        "--out",
        "cache",
        "--device",
        "cpu",
    ]);
    let settings = r#"
        steps = 3
        batch = 2
        accumulate = 2
        [task]
        kind = "dora"
        base = ["reference"]
        rank = 2
        recompute = true
        decoders = ["reference"]
        [data]
        cache = "cache"
        [every]
        sample = 3
    "#;
    room.write("run.toml", settings);
    room.ok("run.toml", "out");
    assert_eq!(room.losses("out").len(), 3);
    // A third of the rate at first, as released.
    let rate = room.log("out")[0]["rate"].as_f64().unwrap();
    assert!((rate - 1e-4 / 3.0).abs() < 1e-12, "{rate}");
    assert!(room.path("out/samples/step-00000003-0.png").exists());

    let dora = "wan-alpha-dora.safetensors";
    fs::copy(room.path("out/model").join(dora), model.join(dora)).unwrap();
    room.verb(&[
        "render",
        "--model",
        "reference",
        "--prompt",
        "a red ball",
        "--width",
        "16",
        "--height",
        "16",
        "--frames",
        "1",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--out",
        "take",
    ]);
    assert!(room.path("take/contact-sheet.png").exists());
}

#[test]
fn a_tokenizer_is_learnt_from_captions() {
    let room = Room::new();
    let settings = r#"
        steps = 300
        [task]
        kind = "tokenizer"
        vocabulary = 600
        [data]
        procedural = 1
        language = "both"
        frames = 5
        height = 32
        width = 32
        "#;
    room.write("run.toml", settings);
    room.ok("run.toml", "out");
    let learnt = Tokenizer::open(&room.path("out/model/tokenizer.json")).unwrap();
    let tokens = |text: &str| learnt.encode(text).unwrap().ids;
    assert_eq!(tokens("a small opaque red ball").len(), 6);
    assert!(tokens("视频背景为透明。").len() < 10);
    assert!(tokens("Ω").iter().all(|&id| id != 3 && id < 600));
    room.write("run.toml", &settings.replace("600", "60"));
    fs::remove_dir_all(room.path("out")).unwrap();
    let words = room.refused("run.toml", "out", 2);
    assert!(words.contains("at least 300"), "{words}");
}

#[test]
fn a_transformer_and_its_text_encoder_start_from_nothing_on_drawn_clips() {
    let room = Room::new();
    let model = model_that_encodes(&room);
    let tokenizer = "reference/google/umt5-xxl/tokenizer.json";
    let settings = format!(
        r#"
        seed = 2
        steps = 30
        batch = 4
        [task]
        kind = "transformer"
        dit = {{ dim = 24, heads = 2, layers = 2, ffn = 48, freq_dim = 16, text_dim = 16 }}
        text = {{ vocabulary = 512, dim = 16, heads = 2, ffn = 32, layers = 1 }}
        tokenizer = "{tokenizer}"
        encoder = ["reference"]
        mu = 0.5
        [data]
        procedural = 1
        language = "both"
        frames = 5
        height = 32
        width = 32
        held_out = 4
        [optimiser]
        rate = 3e-3
        schedule = "constant"
        [every]
        sample = 0
        "#
    );
    room.write("run.toml", &settings);
    room.ok("run.toml", "rgba");
    let totals: Vec<f64> =
        room.log("rgba").iter().filter_map(|line| line["total"].as_f64()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&totals[20..]) < mean(&totals[..10]), "{totals:?}");
    let (set, config) = find_transformer(&[room.path("rgba/model")]).unwrap();
    assert_eq!((config.dim, config.heads, config.layers), (24, 2, 2));
    assert!(set.contains("blocks.1.ffn.2.weight"));
    find_text_encoder(&[room.path("rgba/model")]).unwrap();

    // A transformer that takes fewer tokens than a caption has says so.
    let short = settings.replace("text_dim = 16 }", "text_dim = 16, text_length = 9 }");
    room.write("short.toml", &short);
    let words = room.refused("short.toml", "short", 2);
    assert!(words.contains("the transformer takes 9 at most"), "{words}");

    // From a pool: latents are kept, and made again by a run that goes on.
    let pool = settings.replace("procedural = 1", "procedural = 1\n        pool = 6");
    let steps = |count: u32| pool.replace("steps = 30", &format!("steps = {count}"));
    room.write("pool.toml", &steps(8));
    room.ok("pool.toml", "whole");
    room.write("pool.toml", &steps(5));
    room.ok("pool.toml", "parts");
    room.write("pool.toml", &steps(8));
    room.ok("pool.toml", "parts");
    assert_eq!(room.losses("parts"), room.losses("whole"));

    // Without a merge block: films of colour, for the transformer that judges.
    let base = settings
        .replace("encoder = [\"reference\"]", &format!("encoder = [\"reference/{VAE}\"]"))
        .replace("steps = 30", "steps = 2");
    room.write("base.toml", &base);
    let words = room.ok("base.toml", "base");
    assert!(words.contains("without alpha"), "{words}");
    drop(model);
}

#[test]
fn a_folder_holds_one_run_and_one_process_writes_to_it() {
    let room = Room::new();
    room.write("run.toml", &BASE.replace("steps = 12", "steps = 500"));
    let mut child = room.command("run.toml", "out").spawn().unwrap();
    room.wait("out", 5, &mut child);
    let words = room.refused("run.toml", "out", 2);
    assert!(words.contains("another run is writing to it"), "{words}");
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));

    room.write("other.toml", &BASE.replace("dim = 4", "dim = 8"));
    let words = room.refused("other.toml", "out", 2);
    assert!(words.contains("task.dim was 4 and is 8"), "{words}");
}

#[test]
fn a_damaged_state_is_passed_over_and_said() {
    let room = Room::new();
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
    let room = Room::new();
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
    // A rate that breaks everything: said, and nothing of it is kept.
    room.write("run.toml", &BASE.replace("rate = 2e-3", "rate = 1e30"));
    let words = room.refused("run.toml", "out", 1);
    assert!(words.contains("not finite") || words.contains("is NaN"), "{words}");
    assert!(words.contains("goes on after step 0"), "{words}");
    assert_eq!(states(&room.path("out")), Vec::<String>::new());
}
