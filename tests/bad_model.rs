//! Models that cannot be used: each is refused in its own words, naming file and tensor, before
//! anything of the take that is there already is touched. Exit code 4 where a part is missing, damaged or
//! of something else, 2 where two claim to be one, or what is named is not there.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use support::archive;
use support::model::{self, Copy, DECODERS, DISTILL, DORA, TEXT, TOKENIZER, Tensors, VAE};
use support::reference::Case;
use support::render::{Done, Render};
use support::room::Room;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::weights::TensorFile;

fn good() -> Copy {
    Copy::of("t2v-euler")
}

#[track_caller]
fn refused(model: &Copy, code: i32, words: &[&str]) -> Done {
    refused_path(model.folder(), code, words)
}

#[track_caller]
fn refused_path(model: &Path, code: i32, words: &[&str]) -> Done {
    let render = Render::of(model).over_a_previous_take();
    render.run().failed(code, words).kept_the_previous_take()
}

#[test]
fn a_part_that_is_missing() {
    for (part, words) in [
        (TEXT, ["no text encoder", "models_t5_umt5-xxl-enc-bf16.pth"]),
        (TOKENIZER, ["no tokenizer", "google/umt5-xxl/tokenizer.json"]),
        (VAE, ["no autoencoder", "Wan2.1_VAE.pth"]),
        (DECODERS, ["no decoder LoRAs", "decoder.bin"]),
    ] {
        refused(&good().remove(part), 4, &words);
    }
    let model = good();
    let model = model.shards().iter().fold(model, |model, shard| model.remove(shard));
    refused(&model, 4, &["no diffusion transformer", "diffusion_pytorch_model"]);
}

#[test]
fn everything_missing_is_said_at_once() {
    let empty = tempfile::tempdir().unwrap();
    let name = empty.path().to_str().unwrap();
    let words =
        ["no diffusion transformer", "no text encoder", "no tokenizer", "no autoencoder", name];
    refused_path(empty.path(), 4, &words);
    refused_path(&empty.path().join("nowhere"), 2, &["nowhere", "No such file"]);
}

#[test]
fn one_of_two_complete_autoencoders_is_missing() {
    let case = Case::named("t2v-euler");
    for (lost, words) in [
        ("rgb", ["no color autoencoder", "rgb_channel"]),
        ("alpha_channel", ["no alpha autoencoder", "alpha_channel"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = support::rewrite::comfy_ui(&model::Parts::of(&case), folder.path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let kept = files.iter().filter(|path| !name(path).contains(lost));
        let render = Render::of_files(kept).over_a_previous_take();
        render.run().failed(4, &words).kept_the_previous_take();
    }
}

#[test]
fn a_shard_that_is_missing() {
    let lost = "diffusion_pytorch_model-00003-of-00005.safetensors";
    let index = "diffusion_pytorch_model.safetensors.index.json";
    let model = good().remove(lost);
    refused(&model, 4, &[index, lost, "missing"]);
    refused(&model.remove(index), 4, &["4 of the 5 files diffusion_pytorch_model", "fetch"]);
    let damaged = good().write(index, "{}");
    refused(&damaged, 4, &[index, "not a safetensors index", "weight_map"]);
}

#[test]
fn a_tensor_that_is_missing() {
    let lost = "blocks.1.cross_attn.k.weight";
    let index = "diffusion_pytorch_model.safetensors.index.json";
    let model = good();
    let shard = model.shard_of(lost);
    let model = model.change(&shard, |tensors| {
        drop(tensors.remove(lost).unwrap());
    });
    refused(&model, 4, &[&shard, lost, index]);
    let model = model.remove(index);
    // The DoRA would change it; then nothing but the transformer misses it.
    refused(&model, 4, &[DORA, lost, "incomplete"]);
    refused(&model.remove(DORA).remove(DISTILL), 4, &["has no tensor", lost, "cut short"]);
}

#[test]
fn safetensors_that_are_cut_off_or_damaged() {
    let whole = fs::read(Case::named("t2v-euler").model().join(DORA)).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (data, end) = (8 + header, whole.len());
    for cut in [0, 1, 7, 8, 9, 8 + header / 2, data - 1, data, data + 1, (data + end) / 2, end - 1]
    {
        let model = good().write(DORA, &whole[..cut]);
        let there = format!("{cut} bytes are there");
        refused(&model, 4, &[DORA, "not a whole safetensors file", &there]);
    }

    let shard = "diffusion_pytorch_model-00002-of-00005.safetensors";
    let model = good();
    let half = fs::read(model.path(shard)).unwrap();
    let model = model.write(shard, &half[..half.len() / 2]);
    refused(&model, 4, &[shard, "not a whole safetensors file"]);

    let mut longer = whole.clone();
    longer.push(0);
    let mut endless = whole.clone();
    endless[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut garbled = whole;
    garbled[8 + header / 2..8 + header / 2 + 16].fill(0xff);
    for damaged in [longer, endless, garbled, vec![0; 4096], b"not a tensor in sight".to_vec()] {
        let model = good().write(DORA, damaged);
        refused(&model, 4, &[DORA, "not a whole safetensors file"]);
    }
}

#[test]
fn archives_that_are_cut_off() {
    for part in [TEXT, VAE, DECODERS] {
        let whole = fs::read(Case::named("t2v-euler").model().join(part)).unwrap();
        let end = whole.len();
        for cut in [4, 1000, end / 3, end - 4000, end - 100, end - 22, end - 1] {
            let model = good().write(part, &whole[..cut]);
            refused(&model, 4, &[part, "not a whole torch.save archive", "fetch it again"]);
        }
        // Cut before the first bytes that say what it is.
        for cut in [0, 3] {
            refused(&good().write(part, &whole[..cut]), 4, &[part, "not a whole"]);
        }
    }
}

#[test]
fn archives_that_are_damaged_anywhere_end_without_a_panic() {
    // In this process, where a panic or an endless loop fails the test: thousands of archives.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let whole = archive::dictionary("conv1.weight", &[1.0, 2.0, 3.0, 4.0], &[2, 2]);
    fs::write(&path, &whole).unwrap();
    assert_eq!(
        TensorFile::open(&path).unwrap().read(Device::cpu(), "conv1.weight").unwrap().size(),
        [2, 2]
    );
    let mut refused = 0;
    let mut check = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        match TensorFile::open(&path) {
            Ok(file) => file.names().for_each(|name| drop(file.read(Device::cpu(), name))),
            Err(error) => {
                assert!(error.to_string().contains("damaged.pth"), "{error}");
                refused += 1;
            }
        }
    };
    for place in 0..whole.len() {
        for byte in [0x00, 0x7f, 0xff, whole[place] ^ 1] {
            let mut damaged = whole.clone();
            damaged[place] = byte;
            check(&damaged);
        }
        check(&whole[..place]);
        check(&whole[place..]);
    }
    assert!(refused > 2 * whole.len(), "{refused}");
}

#[test]
fn pickles_that_call_code() {
    for (part, file) in [(TEXT, TEXT), (VAE, VAE), (DECODERS, DECODERS), (DORA, "dora.pt")] {
        let model = good();
        let marker = model.path("marker");
        let model = model.remove(part).write(file, archive::hostile(&marker));
        refused(&model, 4, &[file, "`posix.system`", "nothing of it was run"]);
        assert!(!marker.exists());
    }
    let render = Render::of(Case::named("t2v-euler").model()).over_a_previous_take();
    let mask = render.file("gauss_mask", archive::hostile(&render.path("marker")));
    let done = render.with("--mask", mask).run().failed(2, &["gauss_mask", "`posix.system`"]);
    assert!(!done.kept_the_previous_take().path("marker").exists());
}

#[test]
fn tensors_of_another_shape() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, wan_alpha_core::tch::kind::FLOAT_CPU);
    for (tensor, shape, expected) in [
        ("blocks.1.ffn.0.weight", [40, 64], "[64, 40]"),
        ("blocks.0.self_attn.q.weight", [40, 39], "[40, 40]"),
        ("head.head.weight", [64, 41], "[64, 40]"),
    ] {
        // Without the DoRA, whose own shapes would not fit either.
        let model = good().remove(DORA).remove(DISTILL);
        let shard = model.shard_of(tensor);
        let model = model.change(&shard, |tensors| {
            tensors.insert(tensor.to_owned(), zeros(&shape));
        });
        let (expected, found) = (format!("expected {expected}"), format!("found {shape:?}"));
        refused(&model, 4, &[&shard, &format!("`{tensor}`"), &expected, &found]);
    }
    for (part, tensor, shape) in [
        (TEXT, "blocks.0.attn.k.weight", vec![3, 3]),
        (VAE, "decoder.upsamples.3.resample.1.weight", vec![8, 9, 3, 3]),
    ] {
        let model = good();
        let mut tensors = model::read(&model.path(part));
        tensors.insert(tensor.to_owned(), zeros(&shape));
        let model = model.remove(part);
        model::write(&model.path("other.safetensors"), &tensors);
        let mut words = vec!["other.safetensors", tensor, "expected [", "found ["];
        // What its LoRA would change is measured first, and blamed.
        if part == VAE {
            words = vec![DECODERS, tensor, "expected [", "found ["];
        }
        refused(&model, 4, &words);
    }
}

#[test]
fn adapters_of_another_model() {
    let other = |part: &str| fs::read(Case::named("t2v").model().join(part)).unwrap();
    refused(
        &good().write(DORA, other(DORA)),
        4,
        &[DORA, "lora_A.default.weight", "expected [rank, 40]", "found [4, 48]"],
    );
    refused(&good().write(DISTILL, other(DISTILL)), 4, &[DISTILL, "expected", "found"]);
    refused(
        &good().write(DECODERS, other(DECODERS)),
        4,
        &[
            DECODERS,
            "vae_fgr.decoder.conv1.conv3D.lora_B.default.weight",
            "expected [16, 4]",
            "found [32, 4, 1, 1, 1]",
        ],
    );

    // Of a deeper model of the same width.
    let model = good().change(DORA, |tensors| {
        let block = |key: &String| key.contains("blocks.1.").then(|| key.replace(".1.", ".7."));
        let more: Tensors = tensors
            .iter()
            .filter_map(|(key, tensor)| Some((block(key)?, tensor.shallow_clone())))
            .collect();
        tensors.extend(more);
    });
    refused(&model, 4, &[DORA, "blocks.7.", "another model"]);
}

#[test]
fn adapters_with_half_of_a_pair() {
    let key = "diffusion_model.blocks.0.ffn.0.lora_B.default.weight";
    let model = good().change(DORA, |tensors| {
        drop(tensors.remove(key).unwrap());
    });
    refused(&model, 4, &[DORA, "blocks.0.ffn.0.lora_A.default.weight", "half is missing"]);
    let key = "diffusion_model.blocks.0.ffn.0.lora_magnitude_vector.default.weight";
    let model = good().change(DORA, |tensors| {
        drop(tensors.remove(key).unwrap());
    });
    refused(&model, 4, &[DORA, "blocks.0.ffn.0.weight", "no magnitude"]);
}

#[test]
fn two_candidates_for_a_part() {
    for (part, again, words) in [
        (DORA, "epoch-13-1500.safetensors", "transparency DoRA: 2 candidates"),
        (DISTILL, "another_4steps.safetensors", "step-distillation LoRA: 2 candidates"),
        (TEXT, "umt5.pth", "text encoder: 2 candidates"),
        (VAE, "wan_2.1_vae.pth", "autoencoder: 2 candidates"),
        (DECODERS, "old/decoder.bin", "decoder LoRA: 2 candidates"),
    ] {
        let model = good();
        let (from, to) = (model.path(part), model.path(again));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap();
        let paths = [from.to_str().unwrap(), to.to_str().unwrap()];
        refused(&model, 2, &[words, paths[0], paths[1], "They hold the same", "name one of them"]);
    }
    let tokenizer = fs::read(good().path(TOKENIZER)).unwrap();
    let model = good().remove(TOKENIZER).write("tokenizer.json", &tokenizer);
    fs::create_dir(model.path("clip")).unwrap();
    let model = model.write("clip/tokenizer.json", &tokenizer);
    refused(&model, 2, &["tokenizer: 2 candidates", "clip/tokenizer.json"]);
    // A folder that is named for umT5 says which is meant.
    let model = good().write("tokenizer.json", &tokenizer);
    Render::of(model.folder()).run().succeeded();

    let model = good();
    model::write(&model.path("merged.safetensors"), &model::Parts::of(&Case::named("t2v")).dit);
    refused(&model, 2, &["diffusion transformer: 2 candidates", "merged.safetensors", "Name one"]);
}

#[test]
fn complete_autoencoders_beside_decoder_loras() {
    let case = Case::named("t2v-euler");
    let folder = tempfile::tempdir().unwrap();
    let files = support::rewrite::comfy_ui(&model::Parts::of(&case), folder.path());
    let files = files.into_iter().chain([case.model().join(DECODERS)]);
    let render = Render::of_files(files).over_a_previous_take();
    let words = ["RGBA decoders: 3 candidates", DECODERS, "rgb_channel", "alpha_channel"];
    render.run().failed(2, &words).kept_the_previous_take();
}

#[test]
fn numbers_that_are_none() {
    let nan = |tensors: &mut Tensors, name: &str, value: f64| {
        let _ = tensors[name].flatten(0, -1).get(1).fill_(value);
    };
    // In a matrix that two adapters change, in one that none does, in one kept in float32.
    for (tensor, value) in [
        ("blocks.1.cross_attn.v.weight", f64::NAN),
        ("text_embedding.0.weight", f64::INFINITY),
        ("time_projection.1.bias", f64::NEG_INFINITY),
    ] {
        let model = good();
        let shard = model.shard_of(tensor);
        let model = model.change(&shard, |tensors| nan(tensors, tensor, value));
        refused(&model, 4, &[&shard, tensor, "expected finite numbers", "NaN or infinity"]);
    }
    for (part, tensor, target) in [
        (DORA, "blocks.0.ffn.2.lora_B.default.weight", "`blocks.0.ffn.2.weight`"),
        (DORA, "blocks.0.ffn.2.lora_magnitude_vector.default.weight", "`blocks.0.ffn.2.weight`"),
        (DISTILL, "blocks.1.self_attn.o.lora_down.weight", "`blocks.1.self_attn.o.weight`"),
        (DISTILL, "blocks.1.self_attn.o.diff_b", "`blocks.1.self_attn.o.bias`"),
    ] {
        let tensor = format!("diffusion_model.{tensor}");
        let model = good().change(part, |tensors| nan(tensors, &tensor, f64::NAN));
        refused(&model, 4, &[part, target, "expected finite numbers", "NaN or infinity"]);
    }
    for (part, tensor) in [
        (TEXT, "blocks.0.ffn.fc1.weight"),
        (TEXT, "token_embedding.weight"),
        (VAE, "decoder.middle.1.proj.weight"),
        (VAE, "decoder.head.2.bias"),
    ] {
        let model = good();
        let mut tensors = model::read(&model.path(part));
        let _ = tensors.get_mut(tensor).unwrap().fill_(f64::NAN);
        let model = model.remove(part);
        model::write(&model.path("other.safetensors"), &tensors);
        refused(&model, 4, &["other.safetensors", tensor, "finite numbers", "NaN or infinity"]);
    }
}

#[test]
fn parts_of_different_models() {
    let other = fs::read(Case::named("t2v").model().join(TEXT)).unwrap();
    refused(&good().write(TEXT, other), 4, &[TEXT, "16 channels", "24", "different models"]);
}

/// 1,100 pieces, where the text encoder knows some hundred: its ids would be other words, or none.
#[test]
fn a_tokenizer_of_another_model() {
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/text/sentence_piece.model");
    let model = good().remove(TOKENIZER).write("spiece.model", fs::read(other).unwrap());
    let words = ["spiece.model", "has 1100 pieces", "rows", "another model's tokenizer"];
    refused(&model, 4, &words);
    let room = Room::new();
    let folder = model.folder().to_str().unwrap();
    room.refuses(&["model", "add", "other", folder], 4, &words);
}

#[test]
fn configurations_that_do_not_fit() {
    let config = |change: &dyn Fn(&mut serde_json::Value)| {
        let model = good();
        let text = fs::read(model.path("config.json")).unwrap();
        let mut config = serde_json::from_slice(&text).unwrap();
        change(&mut config);
        model.write("config.json", config.to_string())
    };
    refused(&config(&|c| c["dim"] = 48.into()), 4, &["config.json", "dim is 48", "say 40"]);
    refused(&config(&|c| c["num_layers"] = 3.into()), 4, &["num_layers is 3", "say 2"]);
    refused(&config(&|c| c["num_heads"] = 3.into()), 4, &["3 heads do not divide the width 40"]);
    refused(&config(&|c| c["num_heads"] = 0.into()), 4, &["config.json", "0 heads"]);
    refused(&good().write("config.json", "{"), 4, &["config.json", "line 1"]);
    refused(&good().remove("config.json"), 4, &["no config.json", "how many heads"]);
    refused(&good().write(TOKENIZER, "{}"), 4, &["tokenizer.json", "not a tokenizer.json"]);
}

#[test]
fn a_transformer_that_starts_from_an_image() {
    let model = good();
    let shard = model.shard_of("patch_embedding.weight");
    let model = model.change(&shard, |tensors| {
        let wide = Tensor::zeros([40, 36, 1, 2, 2], wan_alpha_core::tch::kind::FLOAT_CPU);
        tensors.insert("patch_embedding.weight".to_owned(), wide);
    });
    let text = fs::read_to_string(model.path("config.json")).unwrap();
    let model = model.write("config.json", text.replace("\"in_dim\": 16", "\"in_dim\": 36"));
    refused(&model, 4, &["image-to-video", "36 input channels", "text-to-video"]);
}

#[test]
fn what_lies_in_the_place_of_a_part_is_named() {
    let shard = |content: &[u8]| {
        let model = good();
        let shards = model.shards();
        shards.iter().fold(model, |model, shard| model.write(shard, content))
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13993992\n";
    let words = ["diffusion_pytorch_model", "Git LFS", "git lfs pull", "no diffusion transformer"];
    refused(&shard(pointer), 4, &words);
    let page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n";
    refused(&shard(page), 4, &["diffusion_pytorch_model", "web page", "license"]);
    refused(&good().write(TEXT, pointer), 4, &[TEXT, "git lfs pull", "no text encoder"]);
    refused(&good().write(DORA, page), 4, &[DORA, "web page", "no transparency DoRA"]);
    // What is named by itself is meant.
    let model = good().write("more.safetensors", pointer);
    let render = Render::of_files([model.folder().to_owned(), model.path("more.safetensors")]);
    render.run().failed(4, &["more.safetensors", "git lfs pull"]);
}
