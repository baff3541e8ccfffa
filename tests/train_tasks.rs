//! What each task of `wan-alpha train` trains, from outside; how runs stop and go on is in
//! `train.rs`.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::model::{DECODERS, VAE};
use support::reference::Case;
use support::training::TrainingRoom;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::weights::{
    EncoderFiles, TensorFile, find_base_autoencoder, find_text_encoder, find_transformer,
};

#[test]
fn an_rgba_autoencoder_is_trained_beside_a_transformer_and_encodes_and_decodes() {
    let room = TrainingRoom::new();
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
    let decoded = decode.current_dir(room.folder()).output().unwrap();
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
}

/// A reference model with a merge block of its widths beside it, which can encode too.
fn model_that_encodes(room: &TrainingRoom) -> PathBuf {
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

#[test]
fn a_dora_is_trained_on_a_cached_set_and_renders() {
    let room = TrainingRoom::new();
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

    // A transformer that attends to fewer tokens than were cached refuses the set at once; cached with that
    // model, captions are cut to what it attends to.
    let config = model.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"text_len\": 512", "\"text_len\": 6")).unwrap();
    let words = room.refused("run.toml", "short", 2);
    assert!(words.contains("tokens, and the transformer takes 6 at most"), "{words}");
    assert!(room.losses("short").is_empty());
    let cache = ["data", "cache", "set", "--model", "reference", "--area", "32x32"];
    room.verb(&[&cache[..], &["--out", "cache", "--device", "cpu"]].concat());
    room.ok("run.toml", "shorter");
}

#[test]
fn a_dora_of_an_image_to_video_model_is_trained_and_renders_from_a_picture() {
    let room = TrainingRoom::new();
    let [model, text] = ["i2v", "t2v-euler"].map(|case| {
        let model = room.path(case);
        copy_folder(&Case::named(case).model(), &model);
        model
    });
    drop(text);
    let size = ["--size", "32x32", "--frames", "5", "--out", "set"];
    room.verb(&[&["data", "procedural", "--count", "4"][..], &size].concat());
    let cache = ["data", "cache", "set", "--model", "i2v", "--device", "cpu", "--out", "cache"];
    room.verb(&cache);
    // White behind everything, as when a take is made of an image.
    let index = fs::read_to_string(room.path("cache/index.jsonl")).unwrap();
    assert!(
        index.lines().all(|line| line.contains(r#""background":"white","image":true"#)),
        "{index}"
    );
    let cached = r#"
        steps = 2
        batch = 2
        [task]
        kind = "dora"
        base = ["i2v"]
        rank = 2
        recompute = true
        decoders = ["i2v"]
        [data]
        cache = "cache"
        [every]
        sample = 2
    "#;
    room.write("run.toml", cached);
    room.ok("run.toml", "out");
    assert!(room.path("out/samples/step-00000002-0.png").exists());
    let dora = "wan-alpha-dora.safetensors";
    fs::copy(room.path("out/model").join(dora), model.join(dora)).unwrap();
    let image = Case::named("i2v").model().with_file_name("image.png");
    let render = ["render", "--model", "i2v", "--prompt", "a ball", "--image"];
    let size = ["--width", "32", "--height", "32", "--frames", "5", "--steps", "1"];
    let rest = ["--device", "cpu", "--out", "take"];
    room.verb(&[&render[..], &[image.to_str().unwrap()], &size, &rest].concat());
    assert!(room.path("take/contact-sheet.png").exists());

    // On a text-to-video transformer such a cache is none; drawn clips need the image encoder.
    room.write("text.toml", &cached.replace(r#"base = ["i2v"]"#, r#"base = ["t2v-euler"]"#));
    let words = room.refused("text.toml", "text", 2);
    assert!(words.contains("cached for an image-to-video transformer"), "{words}");
    let drawn = "procedural = 1\nframes = 5\nheight = 32\nwidth = 32\nheld_out = 2";
    let drawn = cached
        .replace(r#"cache = "cache""#, drawn)
        .replace("rank = 2", "rank = 2\nencoder = [\"i2v\"]\ntext_frozen = [\"i2v\"]");
    room.write("drawn.toml", &drawn);
    let words = room.refused("drawn.toml", "drawn", 2);
    assert!(words.contains("task.image_encoder"), "{words}");
    let seen = drawn.replace("rank = 2", "rank = 2\nimage_encoder = [\"i2v\"]");
    room.write("drawn.toml", &seen);
    let _ = fs::remove_dir_all(room.path("drawn"));
    room.ok("drawn.toml", "drawn");
    assert_eq!(room.losses("drawn").len(), 2);
    // Whole, it is not trained.
    room.write("whole.toml", &cached.replace(r#"kind = "dora""#, r#"kind = "transformer""#));
    let words = room.refused("whole.toml", "whole", 2);
    assert!(words.contains("a DoRA is trained"), "{words}");
}

#[test]
fn a_tokenizer_is_learned_from_captions() {
    let room = TrainingRoom::new();
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
    let learned = Tokenizer::open(&room.path("out/model/tokenizer.json")).unwrap();
    let tokens = |text: &str| learned.encode(text).unwrap().ids;
    assert_eq!(tokens("a small opaque red ball").len(), 6);
    assert!(tokens("视频背景为透明。").len() < 10);
    assert!(tokens("Ω").iter().all(|&id| id != 3 && id < 600));
    room.write("run.toml", &settings.replace("600", "60"));
    fs::remove_dir_all(room.path("out")).unwrap();
    let words = room.refused("run.toml", "out", 2);
    assert!(words.contains("at least 300"), "{words}");
    room.write("run.toml", &settings.replace("steps = 300", "steps = 1000000000"));
    let _ = fs::remove_dir_all(room.path("out"));
    let words = room.refused("run.toml", "out", 2);
    assert!(words.contains("expected at most 1000000"), "{words}");
}

#[test]
fn a_transformer_and_its_text_encoder_start_from_nothing_on_drawn_clips() {
    let room = TrainingRoom::new();
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

    // Of two shapes, of a pool or ever new: a run that goes on sees the batches of an unbroken one.
    let one = "frames = 5\n        height = 32\n        width = 32";
    assert!(pool.contains(one));
    for (name, settings) in [("mixed", &settings), ("mixed-pool", &pool)] {
        let mixed =
            settings.replace(one, "shapes = [[5, 32, 32], [9, 32, 48]]\n        edition = 2");
        let steps = |count: u32| mixed.replace("steps = 30", &format!("steps = {count}"));
        let parts = format!("{name}-parts");
        room.write("mixed.toml", &steps(2));
        room.ok("mixed.toml", &parts);
        room.write("mixed.toml", &steps(5));
        room.ok("mixed.toml", &parts);
        let words = room.ok("mixed.toml", name);
        assert!(words.contains("4 clips of the first shape to a step"), "{words}");
        assert_eq!(room.losses(&parts), room.losses(name));
    }

    // Without a merge block: films of color, for the transformer that judges.
    let base = settings
        .replace("encoder = [\"reference\"]", &format!("encoder = [\"reference/{VAE}\"]"))
        .replace("steps = 30", "steps = 2");
    room.write("base.toml", &base);
    let words = room.ok("base.toml", "base");
    assert!(words.contains("without alpha"), "{words}");
    drop(model);
}
