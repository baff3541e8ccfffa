//! Files as `from_pretrained` and `load_lora_weights` of Diffusers take them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::vae::{LATENT_CHANNELS, LATENT_MEAN, LATENT_STD};
use wan_alpha_core::weights::{
    Adapter, FoundParts, TensorSet, diffusers_autoencoder, diffusers_transformer,
    diffusers_transformer_module, hugging_face_text_encoder,
};

use super::{ExportedFile, channels, size};

/// What Diffusers calls a model's weights, in a folder for each model.
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// What it calls a LoRA's.
const LORA: &str = "pytorch_lora_weights.safetensors";
/// Tokens that its pipelines give a transformer; ours may have been made for fewer.
const USUAL_TEXT_LENGTH: i64 = 512;

/// A file for each part that Diffusers has a place for.
pub(super) fn files(parts: &FoundParts, folder: &Path) -> Result<Vec<ExportedFile>> {
    let mut files = Vec::new();
    if let Some((set, config)) = &parts.transformer {
        let path = folder.join("transformer").join(WEIGHTS);
        let file = ExportedFile::network(path, set, vec![], diffusers_transformer)?;
        files.push(file.with_config(transformer_config(config)));
    }
    if let Some((file, pairs)) = &parts.dora {
        let mut tensors = Vec::new();
        for pair in pairs {
            let module = diffusers_transformer_module(&pair.module);
            let module = module.with_context(|| format!("{} has no place", pair.module))?;
            let key = |role: &str| format!("transformer.{module}.{role}");
            tensors.push((pair.down.clone(), key("lora_A.weight"), None));
            tensors.push((pair.up.clone(), key("lora_B.weight"), None));
            if let Some(magnitude) = &pair.magnitude {
                let rows = file.entry(magnitude).map(|entry| vec![entry.shape.iter().product()]);
                tensors.push((magnitude.clone(), key("lora_magnitude_vector"), rows));
            }
        }
        files.push(ExportedFile::of_file(folder.join(LORA), file, tensors)?);
    }
    if let Some(set) = &parts.autoencoder {
        files.push(autoencoder(folder, "vae", (set, vec![]))?);
    }
    if let Some(decoders) = &parts.decoders {
        let [color, alpha] = channels(decoders);
        files.push(autoencoder(folder, "vae_rgb", color)?);
        files.push(autoencoder(folder, "vae_alpha", alpha)?);
    }
    if let Some(set) = &parts.text {
        let path = folder.join("text_encoder/model.safetensors");
        let file = ExportedFile::network(path, set, vec![], hugging_face_text_encoder)?;
        files.push(file.with_config(text_config(set)?));
    }
    Ok(files)
}

fn autoencoder(
    folder: &Path,
    name: &str,
    (set, adapters): (&Arc<TensorSet>, Vec<Adapter>),
) -> Result<ExportedFile> {
    ensure!(
        set.contains("encoder.conv1.weight"),
        "the autoencoder has no encoder, without which Diffusers takes none: give one that has both"
    );
    let path = folder.join(name).join(WEIGHTS);
    let file = ExportedFile::network(path, set, adapters, diffusers_autoencoder)?;
    Ok(file.with_config(autoencoder_config(size(set, "encoder.conv1.weight", 0)?)))
}

/// `WanTransformer3DModel`'s.
fn transformer_config(config: &DitConfig) -> Value {
    let image = config.image.as_ref();
    let mut value = json!({
        "_class_name": "WanTransformer3DModel",
        "added_kv_proj_dim": image.map(|_| config.dim),
        "attention_head_dim": config.head_dim(),
        "cross_attn_norm": true,
        "eps": config.eps,
        "ffn_dim": config.ffn,
        "freq_dim": config.freq_dim,
        "image_dim": image.map(|image| image.features),
        "in_channels": config.in_channels,
        "num_attention_heads": config.heads,
        "num_layers": config.layers,
        "out_channels": config.out_channels,
        "patch_size": [1, 2, 2],
        "pos_embed_seq_len": image.and_then(|image| image.tokens),
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        "text_dim": config.text_dim,
    });
    // Read by this program alone; pipelines of Diffusers are told by `max_sequence_length`.
    if config.text_length != USUAL_TEXT_LENGTH {
        value["text_len"] = config.text_length.into();
    }
    value
}

/// `AutoencoderKLWan`'s, of so many channels at full resolution.
fn autoencoder_config(dim: i64) -> Value {
    // Through text: a float32's own digits, not those of the nearest float64.
    let numbers = |values: [f32; 16]| values.map(|value| value.to_string().parse::<f64>().ok());
    json!({
        "_class_name": "AutoencoderKLWan",
        "attn_scales": [],
        "base_dim": dim,
        "dim_mult": [1, 2, 4, 4],
        "dropout": 0.0,
        "latents_mean": numbers(LATENT_MEAN),
        "latents_std": numbers(LATENT_STD),
        "num_res_blocks": 2,
        "temperal_downsample": [false, true, true],
        "z_dim": LATENT_CHANNELS,
    })
}

/// `UMT5EncoderModel`'s.
fn text_config(set: &TensorSet) -> Result<Value> {
    let layers = (0..).take_while(|layer| set.contains(&format!("blocks.{layer}.norm1.weight")));
    let bias = "blocks.0.pos_embedding.embedding.weight";
    let heads = size(set, bias, 1)?;
    ensure!(heads > 0, "the text encoder has no heads");
    Ok(json!({
        "architectures": ["UMT5EncoderModel"],
        "d_ff": size(set, "blocks.0.ffn.gate.0.weight", 0)?,
        "d_kv": size(set, "blocks.0.attn.q.weight", 0)? / heads,
        "d_model": size(set, "token_embedding.weight", 1)?,
        "feed_forward_proj": "gated-gelu",
        "is_gated_act": true,
        "layer_norm_epsilon": 1e-6,
        "model_type": "umt5",
        "num_heads": heads,
        "num_layers": layers.count(),
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": size(set, bias, 0)?,
        "vocab_size": size(set, "token_embedding.weight", 0)?,
    }))
}
