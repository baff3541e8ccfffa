//! The random model: the released layout at the width of its smaller version.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::dit::Dit;

use super::Error;

const DIM: i64 = 1536;
const FFN: i64 = 8960;
const TEXT: i64 = 4096;
const LAYERS: usize = 10;

pub(super) fn random(shape: &[i64], scale: f64) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)) * scale
}

/// Every tensor of the transformer: 489 million numbers.
pub(super) fn layout() -> Vec<(String, Vec<i64>)> {
    let mut tensors = Vec::new();
    let mut layer = |name: &str, shape: &[i64]| {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), shape[..1].to_vec()));
    };
    layer("patch_embedding", &[DIM, 16, 1, 2, 2]);
    layer("time_embedding.0", &[DIM, 256]);
    layer("time_embedding.2", &[DIM, DIM]);
    layer("time_projection.1", &[6 * DIM, DIM]);
    layer("text_embedding.0", &[DIM, TEXT]);
    layer("text_embedding.2", &[DIM, DIM]);
    layer("head.head", &[64, DIM]);
    for (name, [out, inner]) in adapted() {
        layer(&name, &[out, inner]);
    }
    tensors.push(("head.modulation".to_owned(), vec![1, 2, DIM]));
    for block in 0..LAYERS {
        for attention in ["self_attn", "cross_attn"] {
            for norm in ["norm_q", "norm_k"] {
                tensors.push((format!("blocks.{block}.{attention}.{norm}.weight"), vec![DIM]));
            }
        }
        for part in ["weight", "bias"] {
            tensors.push((format!("blocks.{block}.norm3.{part}"), vec![DIM]));
        }
        tensors.push((format!("blocks.{block}.modulation"), vec![1, 6, DIM]));
    }
    tensors
}

/// The matrices that both adapters change: `[out, in]`.
pub(super) fn adapted() -> Vec<(String, [i64; 2])> {
    let mut matrices = Vec::new();
    for block in 0..LAYERS {
        for attention in ["self_attn", "cross_attn"] {
            for part in ["q", "k", "v", "o"] {
                matrices.push((format!("blocks.{block}.{attention}.{part}"), [DIM, DIM]));
            }
        }
        matrices.push((format!("blocks.{block}.ffn.0"), [FFN, DIM]));
        matrices.push((format!("blocks.{block}.ffn.2"), [DIM, FFN]));
    }
    matrices
}

/// What stays in float32.
pub(super) fn keeps_float32(name: &str) -> bool {
    ["time_", "head.", "norm3", "modulation"].iter().any(|part| name.contains(part))
}

pub(super) fn write(folder: &Path) -> Result<Value, Error> {
    let base = layout().into_iter().map(|(name, shape)| {
        let inputs: i64 = shape[1..].iter().product();
        let scale = if shape.len() == 1 { 0.02 } else { (inputs as f64).powf(-0.5) };
        let tensor = random(&shape, scale);
        (name, tensor)
    });
    let base: Vec<_> = base.collect();
    Tensor::write_safetensors(&base, folder.join("diffusion_pytorch_model.safetensors"))?;
    let numbers: i64 = base.iter().map(|(_, tensor)| tensor.numel() as i64).sum();
    let (mut dora, mut lora) = (Vec::new(), Vec::new());
    for (name, [out, inner]) in adapted() {
        let magnitude = random(&[out], 0.05) + 1.0;
        dora.push((format!("{name}.lora_A.default.weight"), random(&[32, inner], 0.02)));
        dora.push((format!("{name}.lora_B.default.weight"), random(&[out, 32], 0.02)));
        dora.push((format!("{name}.lora_magnitude_vector"), magnitude));
        lora.push((format!("{name}.lora_down.weight"), random(&[64, inner], 0.02)));
        lora.push((format!("{name}.lora_up.weight"), random(&[out, 64], 0.02)));
    }
    Tensor::write_safetensors(&dora, folder.join("dora.safetensors"))?;
    Tensor::write_safetensors(&lora, folder.join("distill.safetensors"))?;
    Ok(json!({ "bytes": numbers * 4 }))
}

/// The files of both folders that belong together: of the second, all but transformer and adapters.
pub(super) fn parts_of(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let [own, others] = folders else { return Err("two folders are needed".into()) };
    let mut paths = vec![own.clone()];
    for name in ["models_t5_umt5-xxl-enc-bf16.pth", "google", "decoder.bin", "Wan2.1_VAE.pth"] {
        paths.push(others.join(name));
    }
    Ok(paths)
}

/// Of what the loaded transformer computes, so that two programs can be seen to have loaded the same.
pub(super) fn checksum(dit: &Dit) -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    tch::manual_seed(11);
    let (latent, context) = (random(&[1, 16, 1, 8, 8], 1.0), random(&[16, TEXT], 1.0));
    let rope = dit.rope([1, 8, 8])?;
    let mut prompt = dit.prompt(&context)?;
    let velocity = dit.forward(&latent, &[500.0], &mut prompt, &rope, &Unwatched)?;
    Ok(velocity.abs().mean(Kind::Float).double_value(&[]))
}
