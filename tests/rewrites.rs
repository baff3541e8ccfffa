//! One model, however its files spell it: the references again, from rewrites that are made here.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use support::model::{self, Parts};
use support::quantized::{self, Spelling};
use support::reference::{Case, relative_error};
use support::render::{Done, Render};
use support::rewrite;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};

#[test]
fn diffusers_folders_with_hugging_face_s_text_encoder() {
    for case in Case::all() {
        let folder = tempfile::tempdir().unwrap();
        rewrite::diffusers(&Parts::of(&case), folder.path());
        let done = case.render([folder.path()]).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn one_file_per_part_and_other_spellings_of_the_adapters() {
    for case in Case::all() {
        let mut parts = Parts::of(&case);
        parts.dora = rewrite::dora_in_comfy_ui(&parts.dora);
        parts.distill = rewrite::distill_in_peft(&parts.distill);
        parts.decoders = rewrite::decoders_in_a_checkpoint(&parts.decoders);
        let folder = tempfile::tempdir().unwrap();
        parts.write_single_files(folder.path());
        let done = case.render([folder.path()]).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn files_named_one_by_one_with_two_complete_autoencoders() {
    for case in Case::all() {
        let folder = tempfile::tempdir().unwrap();
        let files = rewrite::comfy_ui(&Parts::of(&case), folder.path());
        let done = case.render(&files).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn tokenizers_of_sentencepiece_beside_and_within_the_text_encoder() {
    for case in Case::all() {
        let mut parts = Parts::of(&case);
        let json = std::fs::read(case.model().join(model::TOKENIZER)).unwrap();
        let spiece = rewrite::sentence_piece(&json);
        let takes = [false, true].map(|within| {
            let folder = tempfile::tempdir().unwrap();
            if within {
                parts.text.insert("spiece_model".to_owned(), Tensor::from_slice(&spiece));
            }
            parts.write_single_files(folder.path());
            std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
            if !within {
                std::fs::write(folder.path().join("spiece.model"), &spiece).unwrap();
            }
            let done = case.render([folder.path()]).run().succeeded();
            case.check(&done.dump());
            assert_eq!(done.warnings(), [""; 0]);
            done.take()["request"]["model_fingerprint"].clone()
        });
        assert_eq!(takes[0], takes[1], "the fingerprint goes by what the tokenizer is");
    }
}

#[test]
fn folders_and_files_may_be_mixed() {
    let case = Case::named("t2v-euler");
    let parts = Parts::of(&case);
    let apart = tempfile::tempdir().unwrap();
    let adapters = apart.path().join("wan-alpha-dora.safetensors");
    model::write(&adapters, &parts.dora);
    let together = model::Copy::of("t2v-euler").remove(model::DORA);
    let done = case.render([together.folder(), &adapters]).run().succeeded();
    case.check(&done.dump());
}

#[test]
fn bfloat16_files_computed_in_float32_are_the_rounded_weights_exactly() {
    for case in Case::all() {
        let take = |kind: Kind| -> Done {
            let mut parts = Parts::of(&case);
            parts.round(kind);
            let folder = tempfile::tempdir().unwrap();
            parts.write_single_files(folder.path());
            case.render([folder.path()]).with("--dtype", "f32").run().succeeded()
        };
        let (half, single) = (take(Kind::BFloat16).dump(), take(Kind::Float).dump());
        let names: Vec<_> = single.names().filter(|name| !name.ends_with("token_ids")).collect();
        assert!(names.contains(&"context") && names.contains(&"video.rgba"));
        for name in names {
            let (half, single) = (
                half.read(Device::cpu(), name).unwrap(),
                single.read(Device::cpu(), name).unwrap(),
            );
            let error = relative_error(&half, &single);
            assert!(error <= 1e-5, "{name}: relative error {error:e}");
        }
        // Were nothing rounded, the above would show nothing.
        let latent = single.read(Device::cpu(), "latent.final").unwrap();
        assert!(relative_error(&latent, &case.golden("latent.final")) > 1e-4);
    }
}

#[test]
fn files_in_numbered_parts_are_one_model_or_the_missing_one_is_named() {
    let case = Case::named("t2v-euler");
    for first in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = Parts::of(&case);
        parts.write_single_files(folder.path());
        let file = |name: &str| folder.path().join(name);
        std::fs::remove_file(file("umt5.safetensors")).unwrap();
        let name = |number: usize| file(&format!("umt5_part{}.safetensors", first + number));
        let mut pieces = [model::Tensors::new(), model::Tensors::new(), model::Tensors::new()];
        for (place, (key, tensor)) in std::mem::take(&mut parts.text).into_iter().enumerate() {
            pieces[place % 3].insert(key, tensor);
        }
        pieces.iter().enumerate().for_each(|(number, piece)| model::write(&name(number), piece));
        let done = case.render([folder.path()]).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
        // What is missing is named.
        std::fs::remove_file(name(1)).unwrap();
        let lost = format!("umt5_part{}.safetensors", first + 1);
        Render::of(folder.path()).run().failed(4, &[&lost, "fetch it"]);
    }
    // So it is of a transformer in blocks.
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::of(&case);
    parts.write_single_files(folder.path());
    std::fs::remove_file(folder.path().join("wan2.1_t2v.safetensors")).unwrap();
    quantized::write_by_block(folder.path(), &parts.dit);
    std::fs::remove_file(folder.path().join("block_0.safetensors")).unwrap();
    Render::of(folder.path()).run().failed(4, &["block_0.safetensors", "fetch it"]);
}

/// The take of the case in float32, dumped.
fn latent(case: &Case, folder: &std::path::Path) -> (Tensor, Tensor) {
    let done = case.render([folder]).with("--dtype", "f32").run().succeeded();
    assert_eq!(done.warnings(), [""; 0]);
    let dump = done.dump();
    let read = |name| dump.read(Device::cpu(), name).unwrap();
    (read("context"), read("latent.final"))
}

#[test]
fn quantized_weights_make_the_take_of_the_numbers_that_they_stand_for() {
    let case = Case::named("t2v-euler");
    let spelling = |kind, scale, by_row| Spelling { kind, scale, by_row };
    for (dit, text) in [
        (
            spelling(Kind::Int8, "weight_scale", true),
            spelling(Kind::Float8e5m2, "scale_weight", false),
        ),
        (
            spelling(Kind::Float8e4m3fn, "weight_scale_inv", true),
            spelling(Kind::Int8, "weight_scale", true),
        ),
    ] {
        let takes: Vec<_> = [true, false]
            .into_iter()
            .map(|stored| {
                let mut parts = Parts::of(&case);
                let folder = tempfile::tempdir().unwrap();
                parts.write_single_files(folder.path());
                let pick = |(narrow, meant)| if stored { narrow } else { meant };
                let in_block = |key: &str| key.starts_with("blocks.");
                parts.dit = pick(quantized::quantized(&parts.dit, dit, in_block));
                // Its embedding too, of which rows are read alone.
                parts.text = pick(quantized::quantized(&parts.text, text, |key| {
                    !key.contains("pos_embedding")
                }));
                for part in ["wan2.1_t2v", "umt5"] {
                    std::fs::remove_file(folder.path().join(format!("{part}.safetensors")))
                        .unwrap();
                }
                quantized::write_by_block(folder.path(), &parts.dit);
                let text = rewrite::renamed(&parts.text, |key| Some(format!("module.{key}")));
                quantized::write(&folder.path().join("umt5.sft"), &text);
                latent(&case, folder.path())
            })
            .collect();
        let [(context, found), (meant_context, meant)] = &takes[..] else { panic!("two takes") };
        let error = relative_error(context, meant_context);
        assert!(error <= 1e-5, "context: relative error {error:e}");
        let error = relative_error(found, meant);
        assert!(error <= 1e-5, "latent: relative error {error:e}");
        // Were nothing quantized, the above would show nothing.
        assert!(relative_error(found, &case.golden("latent.final")) > 1e-4);
    }
}

#[test]
fn quantized_weights_without_their_scales_are_refused_in_every_network() {
    let case = Case::named("t2v-euler");
    let spelling = Spelling { kind: Kind::Int8, scale: "weight_scale", by_row: true };
    for part in ["wan2.1_t2v", "umt5", "vae"] {
        let parts = Parts::of(&case);
        let folder = tempfile::tempdir().unwrap();
        parts.write_single_files(folder.path());
        let tensors = match part {
            "wan2.1_t2v" => &parts.dit,
            "umt5" => &parts.text,
            _ => &parts.vae,
        };
        // The autoencoder has kernels alone.
        let matrix = |tensor: &Tensor| {
            if tensor.dim() > 2 { tensor.flatten(1, -1) } else { tensor.shallow_clone() }
        };
        let flat: model::Tensors =
            tensors.iter().map(|(key, tensor)| (key.clone(), matrix(tensor))).collect();
        let (mut stored, _) = quantized::quantized(&flat, spelling, |key| !key.contains("norm"));
        for (key, tensor) in tensors {
            let narrow = stored[key].view(&tensor.size()[..]);
            stored.insert(key.clone(), narrow);
        }
        stored.retain(|key, _| !key.ends_with("_scale"));
        quantized::write(&folder.path().join(format!("{part}.safetensors")), &stored);
        let render = Render::of(folder.path());
        render.run().failed(4, &[part, "int8", "without a scale", "fetch"]);
    }
}

#[test]
fn gguf_files_make_the_take_of_the_numbers_that_they_stand_for() {
    let case = Case::named("t2v");
    let patch = "patch_embedding.weight";
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::of(&case);
    parts.write_single_files(folder.path());
    for part in ["wan2.1_t2v", "umt5"] {
        std::fs::remove_file(folder.path().join(format!("{part}.safetensors"))).unwrap();
    }
    // As ComfyUI-GGUF writes it: what has five axes lies in a file beside.
    let side = model::Tensors::from([(patch.to_owned(), parts.dit.remove(patch).unwrap())]);
    model::write(&folder.path().join("fix_5d_tensors_wan.safetensors"), &side);
    let gguf = folder.path().join("wan2.1-t2v-14b-Q8_0.gguf");
    let mut meant_dit = quantized::write_gguf(&gguf, "wan", &parts.dit);
    meant_dit.extend(side);
    let text = rewrite::renamed(&parts.text, quantized::text_encoder_in_llama_cpp);
    let gguf = folder.path().join("umt5-xxl-encoder-Q8_0.gguf");
    let meant_text = quantized::write_gguf(&gguf, "t5encoder", &text);
    let (context, found) = latent(&case, folder.path());

    let other = tempfile::tempdir().unwrap();
    parts.dit = meant_dit;
    parts.text = rewrite::renamed(&parts.text, |key| Some(key.to_owned()));
    for (key, tensor) in &mut parts.text {
        *tensor = meant_text[&quantized::text_encoder_in_llama_cpp(key).unwrap()].shallow_clone();
    }
    parts.write_single_files(other.path());
    let (meant_context, meant) = latent(&case, other.path());
    for (what, found, meant) in [("context", context, meant_context), ("latent", found, meant)] {
        let error = relative_error(&found, &meant);
        assert!(error <= 1e-5, "{what}: relative error {error:e}");
    }

    // Without the file beside it is said what is missing.
    std::fs::remove_file(folder.path().join("fix_5d_tensors_wan.safetensors")).unwrap();
    let render = Render::of(folder.path());
    render.run().failed(4, &["Q8_0.gguf", "patch_embedding.weight", "fix_5d_tensors_wan"]);
}
