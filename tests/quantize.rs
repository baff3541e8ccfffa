//! `wan-alpha model quantize`, and takes of transformers in fewer bits: how near they are to those of the
//! model itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::room::Room;

impl Room {
    /// The frames of a take of the draft model's own length and size, 16 bits: red, green, blue, alpha.
    fn frames(&self, model: &str, dtype: &str, more: &[&str]) -> Vec<Vec<u16>> {
        let out = self.path(&format!("{model}-{dtype}-{}", more.concat()));
        let what = ["render", "--model", model, "--dtype", dtype, "--prompt", "a red ball"];
        let how = ["--threads", "1", "--no-store", "--format", "png", "--out"];
        self.ok(&[&what[..], &how, &[out.to_str().unwrap()], more].concat());
        let frame = |index: usize| {
            let path = out.join(format!("rgba.{index:04}.png"));
            path.exists().then(|| image::open(path).unwrap().into_rgba16().into_raw())
        };
        (0..).map_while(frame).collect()
    }
}

/// Of color over black and alpha, in decibels below full scale.
fn psnr(a: &[Vec<u16>], b: &[Vec<u16>]) -> f64 {
    assert!(a.len() == b.len() && !a.is_empty());
    let seen = |pixel: &[u16]| {
        let [red, green, blue, alpha] = [0, 1, 2, 3].map(|i| f64::from(pixel[i]) / 65535.0);
        [red * alpha, green * alpha, blue * alpha, alpha]
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
            for (a, b) in seen(a).into_iter().zip(seen(b)) {
                sum += (a - b).powi(2);
                count += 1.0;
            }
        }
    }
    -10.0 * f64::log10(sum / count)
}

fn quantize<'a>(format: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["model", "quantize", "draft", "--to", format][..], more].concat()
}

#[test]
fn takes_of_fewer_bits_stay_near_those_of_the_model() {
    let room = Room::with_models();
    let expected = room.frames("draft", "f32", &[]);
    let rounded = room.frames("draft", "bf16", &[]);
    println!("bf16 beside f32: {:.1} dB", psnr(&rounded, &expected));
    for (format, dtype, least) in [
        ("q8_0", "f32", 45.0),
        ("q5_k", "f32", 38.0),
        ("q4_k", "f32", 32.0),
        ("fp8", "f32", 38.0),
        ("fp8", "bf16", 38.0),
    ] {
        let name = format!("draft-{format}");
        if !room.path("models").join(&name).exists() {
            println!("{}", room.ok(&quantize(format, &[])));
        }
        let found = room.frames(&name, dtype, &[]);
        let near = psnr(&found, if dtype == "f32" { &expected } else { &rounded });
        println!("{format} in {dtype}: {near:.1} dB");
        assert!(near >= least, "{format} in {dtype}: {near:.1} dB, expected {least}");
    }
    // The precision of a request is this storage, made at loading.
    let made = room.frames("draft", "fp8", &[]);
    assert_eq!(made, room.frames("draft-fp8", "bf16", &["--seed", "1"]));
    // A model that is stored quantized keeps its storage.
    let kept = room.frames("draft-q4_k", "fp8", &[]);
    assert_eq!(kept, room.frames("draft-q4_k", "bf16", &[]));
}

#[test]
fn a_quantized_model_is_a_model_of_its_own() {
    let room = Room::with_models();
    let made = room.run(&quantize("q4_k", &["--json", "--name", "small"]));
    let [said, progress] =
        [made.stdout, made.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(progress.lines().any(|line| line.starts_with("quantizing ")), "{progress}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["name"], "small");
    assert_eq!(report["auto"], "draft");
    let file = Path::new(report["file"].as_str().unwrap());
    assert_eq!(file, room.path("models").join("small/transformer.q4_k.gguf"));
    assert_eq!(report["bytes"], fs::metadata(file).unwrap().len());
    let layers = report["layers"].as_array().unwrap();
    let named = |name: &str| layers.iter().find(|layer| layer["name"] == name).unwrap();
    let layer = named("blocks.0.ffn.0.weight");
    assert_eq!(layer["stored"], "Q4_K");
    let error = layer["relative_error"].as_f64().unwrap();
    assert!(error > 0.02 && error < 0.1, "{layer}");
    assert!(layers.iter().all(|layer| !layer["name"].as_str().unwrap().contains("norm")));
    // What stands around the blocks, and the other parts, are those of the model.
    let draft: Value =
        serde_json::from_str(&room.ok(&["model", "show", "draft", "--json"])).unwrap();
    let small: Value =
        serde_json::from_str(&room.ok(&["model", "show", "small", "--json"])).unwrap();
    assert_ne!(small["fingerprint"], draft["fingerprint"]);
    assert_eq!(small["fingerprint"], report["fingerprint"]);
    assert_eq!(small["defaults"], draft["defaults"]);
    let text = |model: &Value| {
        let parts = model["parts"].as_array().unwrap();
        parts.iter().find(|part| part["part"] == "text encoder").unwrap().clone()
    };
    assert_eq!(text(&small), text(&draft));
    assert!(room.ok(&["model", "verify", "small"]).contains("is what it was"));
    let before = fs::read(file).unwrap();
    room.fails_with(
        &quantize("q8_0", &["--name", "small"]),
        2,
        &["there is a model called small", "--name"],
    );
    assert!(fs::read(file).unwrap() == before);
    let again = room.run(&["model", "quantize", "small", "--to", "fp8"]);
    let warned = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success() && warned.contains("quantized already"), "{warned}");
    // Twice the same, to the byte.
    room.ok(&quantize("q4_k", &["--name", "again"]));
    assert!(fs::read(room.path("models").join("again/transformer.q4_k.gguf")).unwrap() == before);
    room.fails_with(&quantize("q3_k", &[]), 2, &["q3_k", "fp8, q8_0, q5_k, q4_k"]);
}

#[test]
fn the_plan_knows_what_is_stored_and_auto_stays_what_it_was() {
    let room = Room::with_models();
    let said = room.ok(&quantize("q4_k", &[]));
    for words in ["render --model draft-q4_k ", "`auto` is draft: --model draft-q4_k"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    let list = room.ok(&["model", "list"]);
    assert!(list.contains("draft-q4_k: ") && list.contains("draft (auto): "), "{list}");
    assert!(room.ok(&["model", "where"]).contains("auto is draft in "));
    let transformer = |model: &str, dtype: &str| -> (f64, f64) {
        let plan = room.ok(&["plan", "--model", model, "--dtype", dtype, "--json"]);
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let of = |name: &str| plan["model"][name].as_f64().unwrap_or_else(|| panic!("{plan}"));
        (of("block"), of("form"))
    };
    let (plain, none) = transformer("draft", "bf16");
    assert_eq!(none, 0.0);
    let (stored, form) = transformer("draft-q4_k", "bf16");
    assert_eq!(form, plain);
    assert!(stored < 0.35 * plain, "{stored} of {plain}");
    let (eight, form) = transformer("draft", "fp8");
    assert_eq!(form, plain);
    assert!(eight < 0.6 * plain && eight > 0.5 * plain, "{eight} of {plain}");
}
