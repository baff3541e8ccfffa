//! SSIM, LPIPS and CLIP against scikit-image, `lpips` and `transformers`, whose numbers lie in
//! `core/tests/metrics` beside the scripts that made them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tch::{Kind, Tensor};
use wan_alpha_core::ErrorKind;
use wan_alpha_core::device::Device;
use wan_alpha_core::metrics::{Aesthetic, Clip, Lpips, Trunk, cosines, ssim};
use wan_alpha_core::weights::TensorFile;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/metrics").join(name)
}

fn open(trunk: &str, heads: &str) -> wan_alpha_core::Result<Lpips> {
    Lpips::open(&data(trunk), &data(heads), Device::cpu())
}

#[test]
fn ssim_is_that_of_scikit_image() {
    let text = fs::read_to_string(data("ssim.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let plane = |name: &str| -> Vec<f32> {
            let values = case[name].as_array().unwrap();
            values.iter().map(|value| value.as_f64().unwrap() as f32).collect()
        };
        let width = case["width"].as_u64().unwrap() as usize;
        let found = ssim(&plane("found"), &plane("expected"), width).unwrap();
        let expected = case["ssim"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    }
}

#[test]
fn lpips_is_that_of_the_package_with_both_trunks() {
    let golden = TensorFile::open(&data("lpips.safetensors")).unwrap();
    let read = |name: &str| golden.read(Device::cpu(), name).unwrap();
    for (name, trunk) in [("alex", Trunk::AlexNet), ("vgg", Trunk::Vgg16)] {
        let lpips = open(&format!("{name}.pth"), &format!("{name}-heads.pth")).unwrap();
        assert_eq!(lpips.trunk(), trunk);
        let found = lpips.distances(&read("found"), &read("expected")).unwrap();
        let expected = Vec::<f32>::try_from(read(&format!("lpips.{name}"))).unwrap();
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(expected) {
            let error = (found / f64::from(expected) - 1.0).abs();
            assert!(error < 1e-5, "{name}: {found} for {expected}");
        }
        let same = lpips.distances(&read("found"), &read("found")).unwrap();
        assert_eq!(same, [0.0; 3]);
    }
}

#[test]
fn files_of_two_networks_or_of_none_and_small_pictures_are_named() {
    let refused = |trunk: &str, heads: &str| {
        let error = open(trunk, heads).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelIncomplete);
        error.to_string()
    };
    let text = refused("alex.pth", "vgg-heads.pth");
    assert!(text.contains("vgg-heads.pth") && text.contains("[1, 6, 1, 1]"), "{text}");
    let text = refused("alex-heads.pth", "alex.pth");
    assert!(text.contains("neither AlexNet nor VGG16"), "{text}");
    let lpips = open("alex.pth", "alex-heads.pth").unwrap();
    let small = Tensor::zeros([1, 3, 30, 64], (tch::Kind::Float, tch::Device::Cpu));
    let text = lpips.distances(&small, &small).unwrap_err().to_string();
    assert!(text.contains("at least 31 × 31"), "{text}");
}

fn clip() -> Clip {
    Clip::open(&data("clip"), Device::cpu()).unwrap()
}

#[track_caller]
fn near(found: &Tensor, expected: &Tensor) {
    let error = (found - expected).abs().max().double_value(&[]);
    assert!(found.size() == expected.size() && error < 1e-5, "{error}: {found} for {expected}");
}

#[test]
fn clip_sees_and_marks_pictures_as_vbench_s_code_does_with_transformers() {
    let golden = TensorFile::open(&data("clip.safetensors")).unwrap();
    let read = |name: &str| golden.read(Device::cpu(), name).unwrap();
    let clip = clip();
    let aesthetic = Aesthetic::open(&data("aesthetic.pth"), clip.width(), Device::cpu()).unwrap();
    // Wider, taller, and smaller than what the model sees.
    for name in ["wide", "tall", "small"] {
        let picture = read(&format!("{name}.picture")).to_kind(Kind::Float) / 255.0;
        let features = clip.pictures(&picture).unwrap();
        near(&features, &read(&format!("{name}.features")));
        let marks = Tensor::from_slice(&aesthetic.scores(&features).unwrap());
        near(&marks.to_kind(Kind::Float), &read(&format!("{name}.aesthetic")));
    }
}

#[test]
fn clip_reads_texts_as_transformers_does_up_to_its_length() {
    let golden = TensorFile::open(&data("clip.safetensors")).unwrap();
    let read = |name: &str| golden.read(Device::cpu(), name).unwrap();
    let clip = clip();
    let long = "ball ".repeat(40);
    let texts = ["a red ball, of smoke", "", "Red  SMOKE! é", &long];
    for (index, text) in texts.into_iter().enumerate() {
        let found = clip.text(text).unwrap();
        near(&found.features, &read(&format!("text.{index}")));
        assert_eq!(found.cut, index == 3);
        let near_to = Tensor::from_slice(&cosines(&read("wide.features"), &found).unwrap());
        near(&near_to.to_kind(Kind::Float), &read(&format!("cosine.{index}")));
    }
}

#[test]
fn folders_that_are_no_clip_and_another_model_s_predictor_are_named() {
    let refused = |error: wan_alpha_core::Error| {
        // Of a file, or of settings that fit no model.
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::ModelIncomplete | ErrorKind::BadInput), "{kind:?}");
        error.to_string()
    };
    let broken = |name: &str, change: &dyn Fn(String) -> String| {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(data("clip")).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
        }
        let path = folder.path().join(name);
        let text = change(fs::read_to_string(&path).unwrap_or_default());
        if text.is_empty() { fs::remove_file(&path) } else { fs::write(&path, text) }.unwrap();
        refused(Clip::open(folder.path(), Device::cpu()).err().unwrap())
    };
    let text = broken("model.safetensors", &|_| String::new());
    assert!(text.contains("model.safetensors or pytorch_model.bin"), "{text}");
    let text = broken("config.json", &|text| text.replace("\"clip\"", "\"siglip\""));
    assert!(text.contains("config.json") && text.contains("`siglip`"), "{text}");
    let text = broken("config.json", &|text| text.replace(": 3,", ": 5,"));
    assert!(text.contains("5 heads"), "{text}");
    let text = broken("config.json", &|text| text.replace("\"gelu\"", "\"silu\""));
    assert!(text.contains("silu"), "{text}");
    let text = broken("tokenizer.json", &|text| text.replace("<|endoftext|>", "<|end|>"));
    assert!(text.contains("`<|endoftext|>`"), "{text}");
    let other = Aesthetic::open(&data("aesthetic.pth"), 768, Device::cpu()).err().unwrap();
    let text = refused(other);
    assert!(text.contains("[1, 768]") && text.contains("[1, 20]"), "{text}");
}
