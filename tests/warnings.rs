//! What does not stop a take but should be known: each warning is shown, is kept in `take.json`,
//! and leaves the exit code 0.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::model::{self, Copy, DISTILL, DORA};
use support::quantized;
use support::reference::Case;
use support::render::{Done, Render};
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::RELEASED_NEGATIVE_PROMPT;
use wan_alpha_core::tch::Tensor;

fn good() -> Copy {
    Copy::of("t2v-euler")
}

/// The one warning of a take of this model.
#[track_caller]
fn warning(model: &Copy) -> String {
    let done = Render::of(model.folder()).run().succeeded();
    let mut warnings = done.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.pop().unwrap()
}

#[track_caller]
fn warned(model: &Copy, words: &[&str]) {
    let warning = warning(model);
    for word in words {
        assert!(warning.contains(word), "`{word}` is not in: {warning}");
    }
}

fn one() -> Tensor {
    Tensor::from_slice(&[1f32])
}

/// Words that never come twice: aa, ba, ca, …
fn words(count: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let words: Vec<String> =
        (0..count).map(|n| format!("{}{}", letter(n), letter(n / 26))).collect();
    words.join(" ")
}

#[test]
fn a_prompt_that_is_too_long_is_cut_and_the_warning_shows_where() {
    let take = |prompt: &str| {
        let model = Case::named("t2v").model();
        Render::of(model).with("--prompt", prompt).dumped().run().succeeded()
    };
    let ids = |done: &Done| {
        Vec::<i64>::try_from(done.dump().read(Device::cpu(), "token_ids").unwrap()).unwrap()
    };
    let prompt = words(600);
    let long = take(&prompt);
    let [warning] = &long.warnings()[..] else { panic!("{:?}", long.warnings()) };
    assert!(warning.starts_with("the prompt has more than the 512 tokens"), "{warning}");

    let (_, tail) = warning.split_once("“…").unwrap();
    let (tail, _) = tail.split_once('”').unwrap();
    assert_eq!(prompt.matches(tail).count(), 1, "{tail}");
    let cut = prompt.find(tail).unwrap() + tail.len();
    // What follows changes nothing.
    let other = take(&format!("{} and whatever there is to be said besides", &prompt[..cut]));
    assert_eq!(ids(&other), ids(&long));
    // What stands before counts, to the last word: no id is left for another one.
    let before = take(&prompt[..prompt[..cut].rfind(' ').unwrap()]);
    assert_eq!(before.warnings(), [""; 0]);
    let (before, long) = (ids(&before), ids(&long));
    let kept = before.iter().position(|&id| id == 1).unwrap();
    assert!((505..511).contains(&kept), "{kept}");
    assert_eq!(before[..kept], long[..kept]);
    assert_eq!(long[511], 1, "the end of the prompt is marked all the same");
}

#[test]
fn a_negative_prompt_that_is_too_long_is_cut_too() {
    let render = Render::of(Case::named("t2v-euler").model()).with("--negative", words(600));
    // Without guidance it is not even read.
    assert_eq!(render.run().succeeded().warnings(), [""; 0]);
    let render = Render::of(Case::named("t2v-euler").model()).with("--negative", words(600));
    let done = render.with("--guidance", "2").run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(warning.starts_with("the negative prompt has more than the 512 tokens"), "{warning}");
}

#[test]
fn few_steps_without_an_adapter_made_for_few() {
    let model = good().remove(DISTILL);
    let take = |steps: &str| Render::of(model.folder()).with("--steps", steps).run().succeeded();
    let [warning] = &take("4").warnings()[..] else { panic!("no warning") };
    assert!(warning.starts_with("4 steps are few for this model"), "{warning}");
    assert!(warning.contains("50 are usual"), "{warning}");
    assert_eq!(take("9").warnings(), [""; 0]);
    // With strength 0 it is as good as absent.
    let off = Render::of(Case::named("t2v-euler").model()).with("--distill-strength", "0");
    assert_eq!(off.run().succeeded().warnings().len(), 1);
}

#[test]
fn steps_and_guidance_are_by_default_what_the_adapter_was_made_for() {
    let without = good().remove(DISTILL);
    let with = good();
    for (model, steps, guidance) in [(&with, 4, 1.0), (&without, 50, 5.0)] {
        let done = Render::of(model.folder()).without("--steps").run().succeeded();
        assert_eq!(done.warnings(), [""; 0]);
        let request = &done.take()["request"];
        assert_eq!((&request["steps"], &request["guidance"]), (&steps.into(), &guidance.into()));
        assert_eq!((&request["shift"], &request["solver"]), (&5.0.into(), &"unipc".into()));
    }
}

#[test]
fn a_model_without_the_adapter_that_makes_it_transparent() {
    warned(&good().remove(DORA), &["no transparency DoRA", "will not be transparent"]);
}

#[test]
fn keys_that_are_of_no_network() {
    let shard = good().shard_of("head.head.weight");
    let model = good().change(&shard, |tensors| {
        tensors.insert("ema.decay".to_owned(), one());
        tensors.insert("loss.weight".to_owned(), one());
    });
    warned(&model, &[&shard, "2 keys are not of this network", "`ema.decay`", "left alone"]);
}

#[test]
fn tensors_of_the_transformer_that_nothing_reads() {
    let shard = good().shard_of("head.head.weight");
    let extra = "blocks.0.cross_attn.norm_k_img.weight";
    let model = good().change(&shard, |tensors| {
        tensors.insert(extra.to_owned(), one());
    });
    warned(&model, &["1 tensor of", "no place", extra]);
}

#[test]
fn keys_of_an_adapter_that_match_nothing() {
    // Of another kind of adapter altogether; of a layer that an image-to-video model has.
    let model = good().change(DISTILL, |tensors| {
        for key in ["hada_w1", "hada_w2"] {
            let key = format!("diffusion_model.blocks.0.self_attn.q.{key}");
            tensors.insert(key, one());
        }
        for (role, shape) in [("lora_down", [2, 40]), ("lora_up", [40, 2])] {
            let key = format!("diffusion_model.blocks.0.cross_attn.k_img.{role}.weight");
            tensors.insert(key, Tensor::zeros(shape, wan_alpha_core::tch::kind::FLOAT_CPU));
        }
    });
    warned(&model, &[DISTILL, "4 keys match nothing in this model", "hada_w1"]);
}

#[test]
fn files_that_are_no_part_of_a_model() {
    let model = good();
    let stray = model::Tensors::from([("classifier.weight".to_owned(), one())]);
    model::write(&model.path("stray.safetensors"), &stray);
    warned(&model, &["stray.safetensors", "no part of the model", "left alone"]);
    // So is a GGUF file of another network.
    let model = good();
    let stray = model::Tensors::from([("double_blocks.0.img_attn.proj.weight".to_owned(), one())]);
    quantized::write_gguf(&model.path("flux1-dev.gguf"), "flux", &stray);
    warned(&model, &["flux1-dev.gguf", "no part of the model", "left alone"]);
}

#[test]
fn warnings_are_all_that_a_quiet_call_says() {
    let model = good().remove(DORA);
    let done = Render::of(model.folder()).switch("--quiet").run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("no warning") };
    assert_eq!(done.stderr, format!("warning: {warning}\n"));
}

#[test]
fn an_alpha_that_scales_a_lora_is_said() {
    let model = good().change(DISTILL, |tensors| {
        let name = "diffusion_model.blocks.0.ffn.0.alpha".to_owned();
        tensors.insert(name, one());
    });
    // The reference's LoRA has rank 2.
    warned(&model, &["lightx2v_lora.safetensors", "blocks.0.ffn.0.weight", "by 0.5"]);
}

#[test]
fn a_text_is_cut_at_the_length_of_its_model_and_which_one_is_said() {
    let model = good();
    let text = std::fs::read(model.path("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    config["text_len"] = 12.into();
    let model = model.write("config.json", config.to_string());
    let done = Render::of(model.folder()).with("--guidance", "2").run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(warning.starts_with("no negative prompt is given, so the built-in one"), "{warning}");
    assert!(warning.contains("the first 12 tokens of it"), "{warning}");
    // So it is where a model's defaults bring it into the request, as those of released models do.
    let done = Render::of(model.folder()).with("--guidance", "2");
    let done = done.with("--negative", RELEASED_NEGATIVE_PROMPT).dumped().run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(warning.contains("the built-in one is used"), "{warning}");
    // As many ids as the transformer attends to, and no more.
    for name in ["token_ids", "negative_token_ids"] {
        assert_eq!(done.dump().read(Device::cpu(), name).unwrap().size(), [12], "{name}");
    }
    let own = Render::of(model.folder()).with("--guidance", "2").with("--negative", words(40));
    let done = own.run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(warning.starts_with("the negative prompt has more than the 12 tokens"), "{warning}");
    let done = Render::of(model.folder()).with("--prompt", words(40)).run().succeeded();
    let [warning] = &done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(warning.starts_with("the prompt has more than the 12 tokens"), "{warning}");
}

/// A GGUF file of a network that is no part of a model, with one tensor of 32 numbers.
fn foreign_gguf() -> Vec<u8> {
    let name = b"another.network.weight";
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    for number in [1, 0, name.len() as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(name);
    // One axis of 32, F32, from the first byte on.
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(32u64.to_le_bytes());
    bytes.extend([0; 4 + 8]);
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend([0; 128]);
    bytes
}

#[test]
fn what_is_no_weights_beside_a_model_is_passed_over_with_its_reason() {
    let torn = std::fs::read(Case::named("t2v").model().join(DISTILL)).unwrap();
    let model = good()
        .write("yolo.pt", b"\x80\x02}q\x00.")
        .write("other.safetensors", &torn[..100])
        .write("pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        .write("page.bin", "<!DOCTYPE html><html></html>")
        .write("empty.ckpt", "")
        .write("another.gguf", foreign_gguf());
    let done = Render::of(model.folder()).run().succeeded();
    let warnings = done.warnings();
    for words in [
        ["yolo.pt", "torch.save file of the old form"],
        ["other.safetensors", "not a whole safetensors file"],
        ["pointer.safetensors", "git lfs pull"],
        ["page.bin", "web page"],
        ["empty.ckpt", "0 bytes are there"],
        ["another.gguf", "no part of the model, left alone"],
    ] {
        let said = |warning: &&String| words.iter().all(|word| warning.contains(word));
        assert!(warnings.iter().any(|warning| said(&warning)), "{words:?}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 6, "{warnings:?}");
}

#[test]
fn a_model_that_several_paths_lead_to_is_one() {
    let model = good();
    let again = model.folder().join(".");
    std::os::unix::fs::symlink(model.path(DORA), model.path("link.safetensors")).unwrap();
    let files = [model.folder().to_owned(), again, model.path(DORA)];
    assert_eq!(Render::of_files(files).run().succeeded().warnings(), [""; 0]);
}
