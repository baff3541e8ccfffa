use std::path::{Path, PathBuf};

use super::*;
use crate::ErrorKind;
use crate::weights::Network;

/// Writes a file of tensors.
fn write(folder: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let path = folder.join(format!("{name}.safetensors"));
    let named: Vec<_> = tensors.iter().map(|(name, t)| (*name, t.shallow_clone())).collect();
    Tensor::write_safetensors(&named, &path).unwrap();
    path
}

fn ones(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::ones(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
}

const WEIGHT: &str = "blocks.0.self_attn.q.weight";
const BIAS: &str = "blocks.0.self_attn.q.bias";

/// A layer, square so that rows and columns are as many.
fn layer(folder: &Path) -> TensorSet {
    let tensors = [(WEIGHT, ones(&[4, 4], Kind::Float)), (BIAS, ones(&[4], Kind::Float))];
    TensorSet::open(Network::Dit, &[write(folder, "base", &tensors)]).unwrap()
}

/// The adapter of these tensors.
fn adapter(kind: AdapterKind, tensors: &[(&str, Tensor)]) -> Result<Adapter> {
    let folder = tempfile::tempdir().unwrap();
    let file = TensorFile::open(&write(folder.path(), "adapter", tensors)).unwrap();
    Adapter::open(kind, Arc::new(file), 0.5, &layer(folder.path()))
}

fn pair(names: [&'static str; 2], kind: Kind) -> Vec<(&'static str, Tensor)> {
    vec![(names[0], ones(&[2, 4], kind)), (names[1], ones(&[4, 2], kind) * 0.25)]
}

const PLAIN: [&str; 2] = [
    "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
    "diffusion_model.blocks.0.self_attn.q.lora_B.weight",
];

fn merged(adapter: &Adapter, name: &str, shape: &[i64]) -> Tensor {
    adapter.merge(name, ones(shape, Kind::Float)).unwrap()
}

#[test]
fn every_spelling_of_a_lora_is_merged_alike() {
    let expected = ones(&[4, 4], Kind::Float) * 1.25;
    for names in [
        PLAIN,
        [
            "lora_unet_blocks_0_self_attn_q.lora_down.weight",
            "lora_unet_blocks_0_self_attn_q.lora_up.weight",
        ],
        [
            "lora_unet__blocks_0_attn1_to_q.lora_down.weight",
            "lora_unet__blocks_0_attn1_to_q.lora_up.weight",
        ],
        [
            "pipe.dit.blocks.0.self_attn.q.lora_A.default.weight",
            "pipe.dit.blocks.0.self_attn.q.lora_B.default.weight",
        ],
        ["module.blocks.0.self_attn.q.lora_A.weight", "module.blocks.0.self_attn.q.lora_B.weight"],
    ] {
        let adapter = adapter(AdapterKind::Distill, &pair(names, Kind::Float)).unwrap();
        assert_eq!(merged(&adapter, WEIGHT, &[4, 4]), expected, "{names:?}");
        assert!(adapter.unmatched().is_empty(), "{names:?}");
    }
}

#[test]
fn the_bias_of_a_pair_counts_as_the_pair_does() {
    let mut tensors = pair(PLAIN, Kind::Float);
    tensors.push(("blocks.0.self_attn.q.alpha", Tensor::from(1f32)));
    tensors.push(("diffusion_model.blocks.0.self_attn.q.lora_B.bias", ones(&[4], Kind::Float) * 8));
    let adapter = adapter(AdapterKind::Distill, &tensors).unwrap();
    // Strength 0.5, alpha 1 of rank 2.
    assert_eq!(merged(&adapter, WEIGHT, &[4, 4]), ones(&[4, 4], Kind::Float) * 1.125);
    assert_eq!(merged(&adapter, BIAS, &[4]), ones(&[4], Kind::Float) * 3);
}

#[test]
fn what_is_ambiguous_in_an_adapter_is_refused() {
    let with = |key: &'static str, shape: &[i64]| {
        let mut tensors = pair(PLAIN, Kind::Float);
        tensors.push((key, ones(shape, Kind::Float)));
        tensors
    };
    for (kind, tensors, words) in [
        (AdapterKind::Distill, with("blocks.0.self_attn.q.diff", &[4, 4]), "both change"),
        (
            AdapterKind::Distill,
            with("blocks.0.self_attn.q.lora_down.weight", &[2, 4]),
            "two spellings",
        ),
        // Of columns, and of rows that are as many.
        (AdapterKind::Dora, with("blocks.0.self_attn.q.dora_scale", &[1, 4]), "found [1, 4]"),
    ] {
        let error = adapter(kind, &tensors).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let tensors = with("blocks.0.self_attn.q.dora_scale", &[4, 1]);
    adapter(AdapterKind::Dora, &tensors).unwrap();
}

#[test]
fn a_quantized_adapter_is_refused_and_a_narrow_float_is_not() {
    adapter(AdapterKind::Distill, &pair(PLAIN, Kind::Half)).unwrap();
    let int8 = adapter(AdapterKind::Distill, &pair(PLAIN, Kind::Int8)).unwrap_err();
    assert_eq!(int8.kind(), ErrorKind::ModelIncomplete);
    assert!(int8.to_string().contains("int8"), "{int8}");
    let mut scaled = pair(PLAIN, Kind::Half);
    scaled.push(("blocks.0.self_attn.q.lora_A.weight_scale", Tensor::from(1f32)));
    let scaled = adapter(AdapterKind::Distill, &scaled).unwrap_err();
    assert_eq!(scaled.kind(), ErrorKind::ModelIncomplete);
    assert!(scaled.to_string().contains("weight_scale"), "{scaled}");
}

/// A pair, and what a DoRA brings rows to.
fn dora() -> Vec<(&'static str, Tensor)> {
    let mut tensors = pair(PLAIN, Kind::Float);
    tensors.push(("blocks.0.self_attn.q.dora_scale", ones(&[4, 1], Kind::Float) * 6));
    tensors
}

fn opened(kind: AdapterKind, tensors: &[(&str, Tensor)], strength: f64) -> Adapter {
    let folder = tempfile::tempdir().unwrap();
    let file = TensorFile::open(&write(folder.path(), "adapter", tensors)).unwrap();
    Adapter::open(kind, Arc::new(file), strength, &layer(folder.path())).unwrap()
}

#[test]
fn a_doras_strength_0_is_what_small_strengths_come_to() {
    let [none, little] =
        [0.0, 1e-6].map(|s| merged(&opened(AdapterKind::Dora, &dora(), s), WEIGHT, &[4, 4]));
    assert!(none.allclose(&little, 1e-5, 1e-5, false));
    // Rows of four equal numbers with the length 6.
    assert!(none.allclose(&(ones(&[4, 4], Kind::Float) * 3), 1e-6, 0.0, false));
}

#[test]
fn the_strength_of_a_further_lora_is_the_share_of_its_way() {
    let at = |s| merged(&opened(AdapterKind::Lora, &dora(), s), WEIGHT, &[4, 4]);
    assert_eq!(at(0.0), ones(&[4, 4], Kind::Float));
    assert!(at(1.0).allclose(&(ones(&[4, 4], Kind::Float) * 3), 1e-6, 0.0, false));
    assert!(at(0.25).allclose(&(ones(&[4, 4], Kind::Float) * 1.5), 1e-6, 0.0, false));
}

#[test]
fn a_difference_beside_a_pair_in_another_spelling_is_refused() {
    for (key, shape, words) in [
        ("diffusion_model.blocks.0.self_attn.q.diff", &[4, 4], "both change"),
        ("blocks.0.attn1.to_q.lora_down.weight", &[2, 4], "two spellings"),
        ("lora_unet_blocks_0_self_attn_q.lora_down.weight", &[2, 4], "two spellings"),
    ] {
        let mut tensors = pair(PLAIN, Kind::Float);
        tensors.push((key, ones(shape, Kind::Float)));
        let error = adapter(AdapterKind::Lora, &tensors).unwrap_err().to_string();
        assert!(error.contains(words), "{key}: {error}");
    }
}
