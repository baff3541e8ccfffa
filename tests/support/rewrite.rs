//! The other spellings a model is met in, from the original one to each: the inverse of what the
//! loader does, written down from the formats and not from the loader, so that a mistake in either
//! shows. A tensor that a table does not have ends the test.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wan_alpha_core::tch::Tensor;

use super::model::{self, OfImages, Parts, Tensors};

/// Diffusers' folder: `transformer/`, `vae/`, `text_encoder/`, `tokenizer/`, the adapters beside
/// them. Transformer and text encoder are sharded.
pub(crate) fn diffusers(parts: &Parts, folder: &Path) {
    let transformer = folder.join("transformer");
    let dit = renamed(&parts.dit, transformer_in_diffusers);
    model::write_sharded(&transformer, "diffusion_pytorch_model", &dit, 3);
    model::write_json(&transformer.join("config.json"), &config_in_diffusers(&parts.config));

    let vae = renamed(&parts.vae, autoencoder_in_diffusers);
    model::write(&folder.join("vae/diffusion_pytorch_model.safetensors"), &vae);
    let class = json!({ "_class_name": "AutoencoderKLWan", "base_dim": 96, "z_dim": 16 });
    model::write_json(&folder.join("vae/config.json"), &class);

    let mut text = renamed(&parts.text, text_encoder_in_hugging_face);
    // Some savers store the tied embedding under both of its names.
    let embedding = text["shared.weight"].shallow_clone();
    text.insert("encoder.embed_tokens.weight".to_owned(), embedding);
    model::write_sharded(&folder.join("text_encoder"), "model", &text, 2);
    let class = json!({ "architectures": ["UMT5EncoderModel"], "num_heads": 64 });
    model::write_json(&folder.join("text_encoder/config.json"), &class);

    parts.write_tokenizer(&folder.join("tokenizer/tokenizer.json"));
    let scheduler = json!({ "_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0 });
    model::write_json(&folder.join("scheduler/scheduler_config.json"), &scheduler);
    model::write_json(&folder.join("model_index.json"), &json!({ "_class_name": "WanPipeline" }));

    model::write(&folder.join("decoder.safetensors"), &parts.decoders);
    model::write(&folder.join("dora.safetensors"), &parts.dora);
    model::write(&folder.join("lightx2v.safetensors"), &parts.distill);
    if let Some(OfImages { image_encoder, merge }) = &parts.of_images {
        let encoder = image_encoder_in_hugging_face(image_encoder);
        model::write(&folder.join("image_encoder/model.safetensors"), &encoder);
        let class = json!({ "architectures": ["CLIPVisionModelWithProjection"] });
        model::write_json(&folder.join("image_encoder/config.json"), &class);
        model::write(&folder.join("merge.safetensors"), merge);
    }
}

/// ComfyUI's files, wherever they lie: a prefixed transformer, Hugging Face's text encoder, and two
/// complete autoencoders in place of one and its decoder LoRAs.
pub(crate) fn comfy_ui(parts: &Parts, folder: &Path) -> Vec<PathBuf> {
    let file = |name: &str| folder.join(name);
    let dit = renamed(&parts.dit, |key| Some(format!("model.diffusion_model.{key}")));
    let mut files = vec![
        (file("diffusion_models/wan2.1_fp32.safetensors"), dit),
        (file("text_encoders/umt5_xxl.safetensors"), {
            renamed(&parts.text, text_encoder_in_hugging_face)
        }),
        // The doubled ending is how they were released.
        (file("vae/wan_alpha_2.1_vae_rgb_channel.safetensors.safetensors"), {
            with_decoder_lora(&parts.vae, &parts.decoders, "vae_fgr.")
        }),
        (file("vae/wan_alpha_2.1_vae_alpha_channel.safetensors"), {
            with_decoder_lora(&parts.vae, &parts.decoders, "vae_pha.")
        }),
        (file("loras/epoch-13-1500_changed.safetensors"), dora_in_comfy_ui(&parts.dora)),
        (file("loras/lightx2v.safetensors"), distill_in_peft(&parts.distill)),
    ];
    if let Some(OfImages { image_encoder, merge }) = &parts.of_images {
        let encoder = image_encoder_in_hugging_face(image_encoder);
        files.push((file("clip_vision/clip_vision_h.safetensors"), encoder));
        files.push((
            file("merge.safetensors"),
            merge.iter().map(|(k, t)| (k.clone(), t.copy())).collect(),
        ));
    }
    for (path, tensors) in &files {
        model::write(path, tensors);
    }
    model::write_json(&file("diffusion_models/config.json"), &parts.config);
    let tokenizer = file("text_encoders/tokenizer.json");
    parts.write_tokenizer(&tokenizer);
    files.into_iter().map(|(path, _)| path).chain([tokenizer]).collect()
}

/// Every tensor under the name that `rename` gives it.
pub(crate) fn renamed(tensors: &Tensors, rename: impl Fn(&str) -> Option<String>) -> Tensors {
    let other = |key: &String| rename(key).unwrap_or_else(|| panic!("no other name for {key}"));
    let renamed: Tensors =
        tensors.iter().map(|(key, tensor)| (other(key), tensor.shallow_clone())).collect();
    assert_eq!(renamed.len(), tensors.len(), "two tensors got one name");
    renamed
}

fn config_in_diffusers(config: &Value) -> Value {
    let number = |name: &str| config[name].as_i64().unwrap();
    json!({
        "_class_name": "WanTransformer3DModel",
        "_diffusers_version": "0.33.0",
        "added_kv_proj_dim": (config["model_type"] == "i2v").then(|| number("dim")),
        "attention_head_dim": number("dim") / number("num_heads"),
        "cross_attn_norm": true,
        "eps": config["eps"],
        "ffn_dim": number("ffn_dim"),
        "freq_dim": number("freq_dim"),
        "image_dim": null,
        "in_channels": number("in_dim"),
        "num_attention_heads": number("num_heads"),
        "num_layers": number("num_layers"),
        "out_channels": number("out_dim"),
        "patch_size": [1, 2, 2],
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
    })
}

fn transformer_in_diffusers(key: &str) -> Option<String> {
    const WHOLE: [(&str, &str); 12] = [
        ("patch_embedding.", "patch_embedding."),
        ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
        ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
        ("time_projection.1.", "condition_embedder.time_proj."),
        ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
        ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
        ("head.modulation", "scale_shift_table"),
        ("head.head.", "proj_out."),
        ("img_emb.proj.0.", "condition_embedder.image_embedder.norm1."),
        ("img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj."),
        ("img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2."),
        ("img_emb.proj.4.", "condition_embedder.image_embedder.norm2."),
    ];
    const IN_A_BLOCK: [(&str, &str); 19] = [
        ("modulation", "scale_shift_table"),
        ("self_attn.q.", "attn1.to_q."),
        ("self_attn.k.", "attn1.to_k."),
        ("self_attn.v.", "attn1.to_v."),
        ("self_attn.o.", "attn1.to_out.0."),
        ("self_attn.norm_q.", "attn1.norm_q."),
        ("self_attn.norm_k.", "attn1.norm_k."),
        ("cross_attn.q.", "attn2.to_q."),
        ("cross_attn.k.", "attn2.to_k."),
        ("cross_attn.v.", "attn2.to_v."),
        ("cross_attn.o.", "attn2.to_out.0."),
        ("cross_attn.norm_q.", "attn2.norm_q."),
        ("cross_attn.norm_k.", "attn2.norm_k."),
        ("cross_attn.k_img.", "attn2.add_k_proj."),
        ("cross_attn.v_img.", "attn2.add_v_proj."),
        ("cross_attn.norm_k_img.", "attn2.norm_added_k."),
        // The one affine norm: third here, second there.
        ("norm3.", "norm2."),
        ("ffn.0.", "ffn.net.0.proj."),
        ("ffn.2.", "ffn.net.2."),
    ];
    match block(key, "blocks.") {
        Some((index, rest)) => Some(format!("blocks.{index}.{}", replaced(rest, &IN_A_BLOCK)?)),
        None => replaced(key, &WHOLE),
    }
}

/// The half of CLIP that sees: query, key and value apart, and without axes of one.
fn image_encoder_in_hugging_face(encoder: &Tensors) -> Tensors {
    let width = encoder["visual.pre_norm.weight"].size()[0];
    let mut other = Tensors::new();
    for (key, tensor) in encoder.iter().filter(|(key, _)| key.starts_with("visual.")) {
        let key = key.trim_start_matches("visual.");
        let layer = |rest: &str| format!("vision_model.encoder.layers.{rest}");
        if let Some((index, kind)) =
            key.strip_prefix("transformer.").and_then(|rest| rest.split_once(".attn.to_qkv."))
        {
            for (part, rows) in ["q", "k", "v"].iter().zip(tensor.split(width, 0)) {
                other.insert(layer(&format!("{index}.self_attn.{part}_proj.{kind}")), rows);
            }
            continue;
        }
        let name = match key {
            "head" => {
                other.insert("visual_projection.weight".into(), tensor.transpose(0, 1));
                continue;
            }
            "cls_embedding" => "vision_model.embeddings.class_embedding".to_owned(),
            "pos_embedding" => "vision_model.embeddings.position_embedding.weight".to_owned(),
            "patch_embedding.weight" => "vision_model.embeddings.patch_embedding.weight".to_owned(),
            _ => key
                .replace("pre_norm", "vision_model.pre_layrnorm")
                .replace("post_norm", "vision_model.post_layernorm")
                .replace("transformer.", "vision_model.encoder.layers.")
                .replace("norm1", "layer_norm1")
                .replace("norm2", "layer_norm2")
                .replace("attn.proj", "self_attn.out_proj")
                .replace("mlp.0", "mlp.fc1")
                .replace("mlp.2", "mlp.fc2"),
        };
        let tensor = match name.as_str() {
            name if name.ends_with("class_embedding") => tensor.view([-1]),
            name if name.ends_with("position_embedding.weight") => tensor.view([-1, width]),
            _ => tensor.shallow_clone(),
        };
        other.insert(name, tensor);
    }
    other
}

fn text_encoder_in_hugging_face(key: &str) -> Option<String> {
    const IN_A_BLOCK: [(&str, &str); 10] = [
        ("norm1.", "layer.0.layer_norm."),
        ("attn.q.", "layer.0.SelfAttention.q."),
        ("attn.k.", "layer.0.SelfAttention.k."),
        ("attn.v.", "layer.0.SelfAttention.v."),
        ("attn.o.", "layer.0.SelfAttention.o."),
        ("pos_embedding.embedding.", "layer.0.SelfAttention.relative_attention_bias."),
        ("norm2.", "layer.1.layer_norm."),
        ("ffn.gate.0.", "layer.1.DenseReluDense.wi_0."),
        ("ffn.fc1.", "layer.1.DenseReluDense.wi_1."),
        ("ffn.fc2.", "layer.1.DenseReluDense.wo."),
    ];
    match key {
        "token_embedding.weight" => Some("shared.weight".to_owned()),
        "norm.weight" => Some("encoder.final_layer_norm.weight".to_owned()),
        _ => {
            let (index, rest) = block(key, "blocks.")?;
            Some(format!("encoder.block.{index}.{}", replaced(rest, &IN_A_BLOCK)?))
        }
    }
}

fn autoencoder_in_diffusers(key: &str) -> Option<String> {
    const RESIDUAL: [(&str, &str); 5] = [
        ("residual.0.", "norm1."),
        ("residual.2.", "conv1."),
        ("residual.3.", "norm2."),
        ("residual.6.", "conv2."),
        ("shortcut.", "conv_shortcut."),
    ];
    if let Some(rest) = key.strip_prefix("conv1.") {
        return Some(format!("quant_conv.{rest}"));
    }
    if let Some(rest) = key.strip_prefix("conv2.") {
        return Some(format!("post_quant_conv.{rest}"));
    }
    let (side, key) = key.split_once('.')?;
    let whole = [
        ("conv1.", "conv_in."),
        ("head.0.", "norm_out."),
        ("head.2.", "conv_out."),
        ("middle.1.", "mid_block.attentions.0."),
    ];
    if let Some(other) = replaced(key, &whole) {
        return Some(format!("{side}.{other}"));
    }
    if let Some((index, rest)) = block(key, "middle.") {
        let resnet = ["0", "", "1"][index];
        let part = replaced(rest, &RESIDUAL)?;
        return Some(format!("{side}.mid_block.resnets.{resnet}.{part}"));
    }
    // Resampling layers keep their names inside.
    if let Some((index, rest)) = block(key, "downsamples.") {
        let part = replaced(rest, &RESIDUAL).unwrap_or_else(|| rest.to_owned());
        return Some(format!("{side}.down_blocks.{index}.{part}"));
    }
    let (index, rest) = block(key, "upsamples.")?;
    // Diffusers nests what is flat here: three residual blocks, then an upsampler, per level.
    const LAYERS: [&str; 15] = [
        "0.resnets.0",
        "0.resnets.1",
        "0.resnets.2",
        "0.upsamplers.0",
        "1.resnets.0",
        "1.resnets.1",
        "1.resnets.2",
        "1.upsamplers.0",
        "2.resnets.0",
        "2.resnets.1",
        "2.resnets.2",
        "2.upsamplers.0",
        "3.resnets.0",
        "3.resnets.1",
        "3.resnets.2",
    ];
    let part = replaced(rest, &RESIDUAL).unwrap_or_else(|| rest.to_owned());
    Some(format!("{side}.up_blocks.{}.{part}", LAYERS.get(index)?))
}

/// The number and the rest of a block's key: `blocks.7.norm1.weight` → (7, `norm1.weight`).
fn block<'a>(key: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (index, rest) = key.strip_prefix(list)?.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

fn replaced(key: &str, table: &[(&str, &str)]) -> Option<String> {
    let entry = |(from, to): &(&str, &str)| Some(format!("{to}{}", key.strip_prefix(from)?));
    table.iter().find_map(entry)
}

/// The DoRA as ComfyUI has it: no prefix, down and up, the magnitude a column called `dora_scale`,
/// and an alpha that says what was understood before.
pub(crate) fn dora_in_comfy_ui(dora: &Tensors) -> Tensors {
    let mut other = renamed(dora, |key| {
        let key = key.strip_prefix("diffusion_model.")?;
        Some(
            key.replace(".lora_A.default.weight", ".lora_down.weight")
                .replace(".lora_B.default.weight", ".lora_up.weight")
                .replace(".lora_magnitude_vector.default.weight", ".dora_scale"),
        )
    });
    for (_, magnitude) in other.iter_mut().filter(|(key, _)| key.ends_with(".dora_scale")) {
        *magnitude = magnitude.view([-1, 1]);
    }
    add_alphas(&mut other, ".lora_down.weight");
    other
}

/// The step-distillation LoRA as peft would save it, alphas added.
pub(crate) fn distill_in_peft(distill: &Tensors) -> Tensors {
    let mut other = renamed(distill, |key| {
        let key = key.strip_prefix("diffusion_model.")?;
        Some(
            key.replace(".lora_down.weight", ".lora_A.weight")
                .replace(".lora_up.weight", ".lora_B.weight"),
        )
    });
    add_alphas(&mut other, ".lora_A.weight");
    other
}

/// The decoder LoRAs without `.default`, beside all that a training checkpoint holds besides.
pub(crate) fn decoders_in_a_checkpoint(decoders: &Tensors) -> Tensors {
    let mut other = renamed(decoders, |key| Some(key.replace(".default.", ".")));
    for key in [
        "vae_fgr.decoder.conv1.conv3D.base_layer.weight",
        "vae_fgr.encoder.conv1.weight",
        "vae_pha.conv2.weight",
        "middle.block.conv1.weight",
        "pipe.dit.blocks.0.norm3.weight",
        "perceptual_loss.features.0.weight",
    ] {
        other.insert(key.to_owned(), Tensor::from_slice(&[1f32, 2.0]));
    }
    other
}

/// An alpha equal to the rank says "times one", as its absence does.
fn add_alphas(adapter: &mut Tensors, down: &str) {
    let alphas: Tensors = adapter
        .iter()
        .filter_map(|(key, tensor)| {
            let rank = tensor.size()[0] as f32;
            Some((format!("{}.alpha", key.strip_suffix(down)?), Tensor::from(rank)))
        })
        .collect();
    assert!(!alphas.is_empty());
    adapter.extend(alphas);
}

/// A complete autoencoder: W + (B·A) / rank wherever the LoRA under `prefix` has a pair.
fn with_decoder_lora(vae: &Tensors, lora: &Tensors, prefix: &str) -> Tensors {
    let mut merged: Tensors =
        vae.iter().map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect();
    let mut pairs = 0;
    for (key, up) in lora {
        let Some(module) =
            key.strip_prefix(prefix).and_then(|key| key.strip_suffix(".lora_B.default.weight"))
        else {
            continue;
        };
        let down = &lora[&key.replace("lora_B", "lora_A")];
        let rank = down.size()[0];
        // B·A for each tap of the kernel, as the convolution B after the convolution A.
        let product = up.flatten(1, -1).matmul(&down.flatten(1, -1)) / rank as f64;
        let name = format!("{}.weight", module.trim_end_matches(".conv3D"));
        let base = &merged[&name];
        let changed = base + product.view_as(base);
        merged.insert(name, changed);
        pairs += 1;
    }
    assert_eq!(pairs, 38, "modules of a decoder that have a LoRA");
    merged
}

/// The reference's tokenizer as a `spiece.model`: fields as `sentencepiece_model.proto` numbers them.
pub(crate) fn sentence_piece(json: &[u8]) -> Vec<u8> {
    let tokenizer: Value = serde_json::from_slice(json).unwrap();
    let bytes = |field: u8, content: &[u8]| {
        assert!(content.len() < 128);
        [&[field << 3 | 2, content.len() as u8], content].concat()
    };
    let mut model = Vec::new();
    for entry in tokenizer["model"]["vocab"].as_array().unwrap() {
        let (piece, score) = (entry[0].as_str().unwrap(), entry[1].as_f64().unwrap() as f32);
        let kind = match piece {
            "<unk>" => 2,
            "<pad>" | "</s>" | "<s>" => 3,
            _ => 1,
        };
        let piece =
            [bytes(1, piece.as_bytes()), vec![0x15], score.to_le_bytes().into(), vec![0x18, kind]];
        model.extend(bytes(1, &piece.concat()));
    }
    model
}
