//! SSIM and LPIPS against scikit-image and the package `lpips`, whose numbers lie in
//! `core/tests/metrics` beside the script that made them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tch::{Device, Tensor};
use wan_alpha_core::ErrorKind;
use wan_alpha_core::metrics::{Lpips, Trunk, ssim};
use wan_alpha_core::weights::TensorFile;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/metrics").join(name)
}

fn open(trunk: &str, heads: &str) -> wan_alpha_core::Result<Lpips> {
    Lpips::open(&data(trunk), &data(heads), Device::Cpu)
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
    let read = |name: &str| golden.read(name).unwrap();
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
        assert_eq!(error.kind(), ErrorKind::BadInput);
        error.to_string()
    };
    let text = refused("alex.pth", "vgg-heads.pth");
    assert!(text.contains("vgg-heads.pth") && text.contains("[1, 6, 1, 1]"), "{text}");
    let text = refused("alex-heads.pth", "alex.pth");
    assert!(text.contains("neither AlexNet nor VGG16"), "{text}");
    let lpips = open("alex.pth", "alex-heads.pth").unwrap();
    let small = Tensor::zeros([1, 3, 30, 64], (tch::Kind::Float, Device::Cpu));
    let text = lpips.distances(&small, &small).unwrap_err().to_string();
    assert!(text.contains("at least 31 × 31"), "{text}");
}
