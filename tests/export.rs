//! `wan-alpha model export`: keys and shapes are those that Diffusers itself writes
//! (`tests/data/diffusers`), and what was exported makes the same take here.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::model::{DECODERS, DISTILL, DORA, TEXT, TOKENIZER, VAE};
use support::reference::Case;
use support::render::names;
use support::room::Room;
use wan_alpha_core::weights::TensorFile;

const CASE: &str = "t2v-euler";

/// What Diffusers writes of models of the case's sizes.
fn tables() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers/tables.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Every key of a file with its shape.
fn shapes(path: &Path) -> BTreeMap<String, Vec<i64>> {
    let file = TensorFile::open(path).unwrap();
    file.names().map(|name| (name.to_owned(), file.entry(name).unwrap().shape.clone())).collect()
}

#[track_caller]
fn is_as_in_the_table(table: &Value, file: &Path) {
    let expected: BTreeMap<String, Vec<i64>> =
        serde_json::from_value(table["keys"].clone()).unwrap();
    assert_eq!(shapes(file), expected, "{}", file.display());
    assert_eq!(file.file_name().unwrap().to_str(), table["file"].as_str());
    let Some(known) = table["config"].as_object() else { return };
    let written = fs::read(file.with_file_name("config.json")).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    for (key, value) in written.as_object().unwrap() {
        assert_eq!(Some(value), known.get(key), "{key} of {}", file.display());
    }
}

#[test]
fn diffusers_files_are_as_diffusers_writes_them_and_make_the_same_take() {
    let (room, case, tables) = (Room::new(), Case::named(CASE), tables());
    let model = case.model();
    let said = room.run(&["model", "export", model.to_str().unwrap(), "--diffusers", "out"]);
    let words = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.success(), "{words}");
    // Step distillation is not exported, which is said.
    assert!(words.contains(DISTILL) && words.contains("left out"), "{words}");
    let out = room.path("out");
    let at = |name: &str| out.join(name);
    let weights = "diffusion_pytorch_model.safetensors";
    is_as_in_the_table(&tables["transformer"], &at("transformer").join(weights));
    is_as_in_the_table(&tables["dora"], &at("pytorch_lora_weights.safetensors"));
    for vae in ["vae_rgb", "vae_alpha"] {
        is_as_in_the_table(&tables["autoencoder"], &at(vae).join(weights));
    }
    is_as_in_the_table(&tables["text_encoder"], &at("text_encoder/model.safetensors"));
    let printed = String::from_utf8(said.stdout).unwrap();
    assert_eq!(printed.lines().count(), 6, "{printed}");
    assert!(printed.contains("out/tokenizer/tokenizer.json"), "{printed}");
    // Merged and renamed, it is the model that it was.
    let done = case.render([&out, &model.join(DISTILL)]).run().succeeded();
    case.check(&done.dump());

    room.refuses(
        &["model", "export", model.to_str().unwrap(), "--diffusers", "out"],
        2,
        &["cannot use out", "it is not empty"],
    );
}

#[test]
fn comfyui_files_have_original_names_and_make_the_same_take() {
    let (room, case) = (Room::new(), Case::named(CASE));
    let model = case.model();
    let line = ["model", "export", model.to_str().unwrap(), "--comfyui", "out/mine.safetensors"];
    let said = room.run(&line);
    let words = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.success(), "{words}");
    for expected in ["heads of 128 channels, these have 20", "text encoder is left out"] {
        assert!(words.contains(expected), "{words}");
    }
    let parts = ["lora", "transformer", "vae_alpha_channel", "vae_rgb_channel"];
    let files = parts.map(|part| format!("mine_{part}.safetensors"));
    assert_eq!(names(&room.path("out")), files);
    let lora = shapes(&room.path("out/mine_lora.safetensors"));
    assert_eq!(lora.len(), 60);
    for (role, shape) in
        [("lora_A.weight", [2, 40]), ("lora_B.weight", [64, 2]), ("dora_scale", [64, 1])]
    {
        assert_eq!(lora[&format!("diffusion_model.blocks.1.ffn.0.{role}")], shape, "{role}");
    }
    let mut paths: Vec<PathBuf> = files.iter().map(|file| room.path("out").join(file)).collect();
    paths.extend([TEXT, TOKENIZER, "config.json", DISTILL].map(|part| model.join(part)));
    let done = case.render(&paths).run().succeeded();
    case.check(&done.dump());

    let line = ["model", "export", model.to_str().unwrap(), "--comfyui", "mine.bin"];
    room.refuses(&line, 2, &["--comfyui mine.bin", "ends in .safetensors"]);
    room.refuses(&["model", "export", "x"], 2, &["--diffusers", "--comfyui"]);
}

/// What a run leaves is seldom a whole model.
#[test]
fn parts_are_exported_by_themselves() {
    let room = Room::new();
    let model = Case::named(CASE).model();
    let line = |parts: &[&str], more: &[&str]| -> Vec<String> {
        let paths = parts.iter().map(|part| model.join(part).to_str().unwrap().to_owned());
        let more = more.iter().map(|text| (*text).to_owned());
        ["model", "export"].map(str::to_owned).into_iter().chain(paths).chain(more).collect()
    };
    let ok = |line: Vec<String>| room.ok(&line.iter().map(String::as_str).collect::<Vec<_>>());
    // One part: the file itself.
    let both = ["--diffusers", "dora", "--comfyui", "dora.safetensors"];
    let said = ok(line(&[DORA], &both));
    assert_eq!(said, "dora.safetensors\ndora/pytorch_lora_weights.safetensors\n");
    ok(line(&[VAE], &["--diffusers", "base"]));
    assert_eq!(names(&room.path("base")), ["vae"]);
    ok(line(&[VAE, DECODERS], &["--diffusers", "rgba"]));
    assert_eq!(names(&room.path("rgba")), ["vae_alpha", "vae_rgb"]);
    // LoRAs are merged into what they are for, which must be there.
    let alone = line(&[DECODERS], &["--diffusers", "lora"]);
    let said = room.fails(&alone.iter().map(String::as_str).collect::<Vec<_>>(), 4);
    assert!(said.contains("no autoencoder (Wan2.1_VAE.pth)"), "{said}");
    assert!(!room.path("lora").exists());
}
