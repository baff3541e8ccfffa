//! The names tensors go by: every known spelling is brought to the one of the original release.
//!
//! Each function returns the original name, or `None` where the key is not of that network.

/// Prefixes that tools put before a network's own names, the longer before the shorter.
const WRAPPERS: [&str; 11] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "first_stage_model.",
    "transformer.",
    "pipe.dit.",
    "module.",
    "model.",
    "dit.",
    "net.",
    "vae.",
];

/// The same before the names of a text encoder.
const TEXT_WRAPPERS: [&str; 5] = [
    "text_encoders.umt5xxl.transformer.",
    "umt5xxl.transformer.",
    "text_encoder.",
    "module.",
    "model.",
];

/// `key` without the prefixes of tools.
pub(crate) fn unwrapped(key: &str) -> &str {
    without(key, &WRAPPERS)
}

fn without<'a>(mut key: &'a str, wrappers: &[&str]) -> &'a str {
    while let Some(rest) = wrappers.iter().find_map(|wrapper| key.strip_prefix(wrapper)) {
        key = rest;
    }
    key
}

/// A diffusion transformer's tensor (original or Diffusers spelling).
pub(crate) fn dit(key: &str) -> Option<String> {
    let key = unwrapped(key);
    let (module, parameter) = key.rsplit_once('.').unwrap_or(("", key));
    if let Some(module) = dit_module(module) {
        return matches!(parameter, "weight" | "bias").then(|| format!("{module}.{parameter}"));
    }
    match (module, parameter) {
        ("", "scale_shift_table") | ("head", "modulation") => Some("head.modulation".into()),
        ("img_emb", "emb_pos") | ("condition_embedder.image_embedder", "pos_embed") => {
            Some("img_emb.emb_pos".into())
        }
        (block, "modulation" | "scale_shift_table") if is_block(block) => {
            Some(format!("{block}.modulation"))
        }
        _ => None,
    }
}

/// A module of the diffusion transformer, such as `blocks.0.self_attn.q`.
pub(crate) fn dit_module(module: &str) -> Option<String> {
    let whole = match module {
        "patch_embedding" | "time_embedding.0" | "time_embedding.2" | "time_projection.1"
        | "text_embedding.0" | "text_embedding.2" | "head.head" => module,
        "condition_embedder.time_embedder.linear_1" => "time_embedding.0",
        "condition_embedder.time_embedder.linear_2" => "time_embedding.2",
        "condition_embedder.time_proj" => "time_projection.1",
        "condition_embedder.text_embedder.linear_1" => "text_embedding.0",
        "condition_embedder.text_embedder.linear_2" => "text_embedding.2",
        "condition_embedder.image_embedder.norm1" | "img_emb.proj.0" => "img_emb.proj.0",
        "condition_embedder.image_embedder.ff.net.0.proj" | "img_emb.proj.1" => "img_emb.proj.1",
        "condition_embedder.image_embedder.ff.net.2" | "img_emb.proj.3" => "img_emb.proj.3",
        "condition_embedder.image_embedder.norm2" | "img_emb.proj.4" => "img_emb.proj.4",
        "proj_out" => "head.head",
        _ => "",
    };
    if !whole.is_empty() {
        return Some(whole.to_owned());
    }
    let mut pieces = module.splitn(3, '.');
    let (blocks, index, inner) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if blocks != "blocks" || !is_number(index) {
        return None;
    }
    let inner = match inner {
        // Diffusers' norm2 is the affine norm before cross-attention, originally norm3; its own
        // norm1 and norm3 hold no tensors.
        "norm2" => "norm3",
        "norm3" | "ffn.0" | "ffn.2" => inner,
        "ffn.net.0.proj" => "ffn.0",
        "ffn.net.2" => "ffn.2",
        _ => return dit_attention(inner).map(|inner| format!("blocks.{index}.{inner}")),
    };
    Some(format!("blocks.{index}.{inner}"))
}

/// Modules of a block of the transformer, in every spelling.
const IN_A_BLOCK: [&str; 32] = [
    "norm2",
    "norm3",
    "ffn.0",
    "ffn.2",
    "ffn.net.0.proj",
    "ffn.net.2",
    "self_attn.q",
    "self_attn.k",
    "self_attn.v",
    "self_attn.o",
    "self_attn.norm_q",
    "self_attn.norm_k",
    "cross_attn.q",
    "cross_attn.k",
    "cross_attn.v",
    "cross_attn.o",
    "cross_attn.norm_q",
    "cross_attn.norm_k",
    "cross_attn.k_img",
    "cross_attn.v_img",
    "cross_attn.norm_k_img",
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
    "attn2.add_k_proj",
    "attn2.add_v_proj",
    "attn2.norm_added_k",
];

/// Modules around its blocks.
const WHOLE: [&str; 21] = [
    "patch_embedding",
    "time_embedding.0",
    "time_embedding.2",
    "time_projection.1",
    "text_embedding.0",
    "text_embedding.2",
    "head.head",
    "img_emb.proj.0",
    "img_emb.proj.1",
    "img_emb.proj.3",
    "img_emb.proj.4",
    "condition_embedder.time_embedder.linear_1",
    "condition_embedder.time_embedder.linear_2",
    "condition_embedder.time_proj",
    "condition_embedder.text_embedder.linear_1",
    "condition_embedder.text_embedder.linear_2",
    "condition_embedder.image_embedder.norm1",
    "condition_embedder.image_embedder.ff.net.0.proj",
    "condition_embedder.image_embedder.ff.net.2",
    "condition_embedder.image_embedder.norm2",
    "proj_out",
];

/// A module of the diffusion transformer as kohya's and musubi's trainers spell it after `lora_unet_`:
/// `blocks_0_self_attn_q`.
pub(crate) fn dit_module_flat(flat: &str) -> Option<String> {
    let named = |names: &[&str], flat: &str| {
        names.iter().find(|name| name.replace('.', "_") == flat).map(|name| (*name).to_owned())
    };
    let module = match flat.strip_prefix("blocks_").and_then(|rest| rest.split_once('_')) {
        Some((index, inner)) => format!("blocks.{index}.{}", named(&IN_A_BLOCK, inner)?),
        None => named(&WHOLE, flat)?,
    };
    dit_module(&module)
}

fn dit_attention(inner: &str) -> Option<String> {
    let (attention, part) = inner.split_once('.')?;
    let attention = match attention {
        "self_attn" | "attn1" => "self_attn",
        "cross_attn" | "attn2" => "cross_attn",
        _ => return None,
    };
    let part = match part {
        "q" | "to_q" => "q",
        "k" | "to_k" => "k",
        "v" | "to_v" => "v",
        "o" | "to_out.0" => "o",
        "norm_q" => "norm_q",
        "norm_k" => "norm_k",
        "k_img" | "add_k_proj" => "k_img",
        "v_img" | "add_v_proj" => "v_img",
        "norm_k_img" | "norm_added_k" => "norm_k_img",
        _ => return None,
    };
    Some(format!("{attention}.{part}"))
}

fn is_block(module: &str) -> bool {
    module.strip_prefix("blocks.").is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The text encoder's tensor (original umT5, Hugging Face or llama.cpp spelling).
pub(crate) fn umt5(key: &str) -> Option<String> {
    let key = without(key, &TEXT_WRAPPERS);
    match key {
        "token_embd.weight"
        | "token_embedding.weight"
        | "shared.weight"
        | "encoder.embed_tokens.weight" => {
            return Some("token_embedding.weight".into());
        }
        "norm.weight" | "encoder.final_layer_norm.weight" | "enc.output_norm.weight" => {
            return Some("norm.weight".into());
        }
        _ => {}
    }
    let blocks = ["encoder.block.", "blocks.", "enc.blk."];
    let rest = blocks.iter().find_map(|blocks| key.strip_prefix(blocks))?;
    let (index, inner) = rest.split_once('.')?;
    if !is_number(index) {
        return None;
    }
    let inner = match inner {
        "attn_norm.weight" => "norm1.weight",
        "ffn_norm.weight" => "norm2.weight",
        "attn_rel_b.weight" => "pos_embedding.embedding.weight",
        "attn_q.weight" => "attn.q.weight",
        "attn_k.weight" => "attn.k.weight",
        "attn_v.weight" => "attn.v.weight",
        "attn_o.weight" => "attn.o.weight",
        "ffn_gate.weight" => "ffn.gate.0.weight",
        "ffn_up.weight" => "ffn.fc1.weight",
        "ffn_down.weight" => "ffn.fc2.weight",
        "norm1.weight" | "layer.0.layer_norm.weight" => "norm1.weight",
        "norm2.weight" | "layer.1.layer_norm.weight" => "norm2.weight",
        "pos_embedding.embedding.weight"
        | "layer.0.SelfAttention.relative_attention_bias.weight" => {
            "pos_embedding.embedding.weight"
        }
        "ffn.gate.0.weight" | "layer.1.DenseReluDense.wi_0.weight" => "ffn.gate.0.weight",
        "ffn.fc1.weight" | "layer.1.DenseReluDense.wi_1.weight" => "ffn.fc1.weight",
        "ffn.fc2.weight" | "layer.1.DenseReluDense.wo.weight" => "ffn.fc2.weight",
        _ => {
            let part = inner
                .strip_prefix("attn.")
                .or_else(|| inner.strip_prefix("layer.0.SelfAttention."))?;
            if !matches!(part, "q.weight" | "k.weight" | "v.weight" | "o.weight") {
                return None;
            }
            return Some(format!("blocks.{index}.attn.{part}"));
        }
    };
    Some(format!("blocks.{index}.{inner}"))
}

/// The video autoencoder's tensor (original or Diffusers spelling).
pub(crate) fn vae(key: &str) -> Option<String> {
    let key = unwrapped(key);
    let (module, parameter) = key.rsplit_once('.')?;
    if !matches!(parameter, "weight" | "bias" | "gamma") {
        return None;
    }
    Some(format!("{}.{parameter}", vae_module(module)?))
}

/// A module of the autoencoder, such as `decoder.upsamples.3.resample.1`.
pub(crate) fn vae_module(module: &str) -> Option<String> {
    match module {
        "conv1" | "quant_conv" => return Some("conv1".into()),
        "conv2" | "post_quant_conv" => return Some("conv2".into()),
        _ => {}
    }
    let (side, inner) = module.split_once('.')?;
    if !matches!(side, "encoder" | "decoder") {
        return None;
    }
    let inner = match inner {
        "conv1" | "conv_in" => "conv1".to_owned(),
        "head.0" | "norm_out" => "head.0".to_owned(),
        "head.2" | "conv_out" => "head.2".to_owned(),
        _ => vae_layer(side, inner)?,
    };
    Some(format!("{side}.{inner}"))
}

fn vae_layer(side: &str, inner: &str) -> Option<String> {
    if let Some(rest) = inner.strip_prefix("mid_block.attentions.0.") {
        return vae_attention(rest).map(|part| format!("middle.1.{part}"));
    }
    if let Some(rest) = inner.strip_prefix("mid_block.resnets.") {
        let (index, part) = rest.split_once('.')?;
        let index = 2 * index.parse::<usize>().ok()?;
        return vae_residual(part).map(|part| format!("middle.{index}.{part}"));
    }
    if let Some(rest) = inner.strip_prefix("middle.") {
        let (index, part) = rest.split_once('.')?;
        let part = if index == "1" { vae_attention(part)? } else { vae_residual(part)? };
        return is_number(index).then(|| format!("middle.{index}.{part}"));
    }
    if let Some(rest) = inner.strip_prefix("up_blocks.") {
        // Diffusers groups four layers to a level: three residual blocks and an upsampler.
        let mut pieces = rest.splitn(4, '.');
        let level: usize = pieces.next()?.parse().ok()?;
        let (kind, index, part) = (pieces.next()?, pieces.next()?, pieces.next()?);
        let (layer, part) = match kind {
            "resnets" => (index.parse::<usize>().ok()?, vae_residual(part)?),
            "upsamplers" => (3, vae_resample(part)?),
            _ => return None,
        };
        return Some(format!("upsamples.{}.{part}", 4 * level + layer));
    }
    let (list, rest) = inner.split_once('.')?;
    let list = match (side, list) {
        ("encoder", "downsamples" | "down_blocks") => "downsamples",
        ("decoder", "upsamples") => "upsamples",
        _ => return None,
    };
    let (index, part) = rest.split_once('.')?;
    let part = vae_residual(part).or_else(|| vae_resample(part))?;
    is_number(index).then(|| format!("{list}.{index}.{part}"))
}

fn vae_residual(part: &str) -> Option<&'static str> {
    Some(match part {
        "residual.0" | "norm1" => "residual.0",
        "residual.2" | "conv1" => "residual.2",
        "residual.3" | "norm2" => "residual.3",
        "residual.6" | "conv2" => "residual.6",
        "shortcut" | "conv_shortcut" => "shortcut",
        _ => return None,
    })
}

fn vae_attention(part: &str) -> Option<&'static str> {
    Some(match part {
        "norm" => "norm",
        "to_qkv" => "to_qkv",
        "proj" => "proj",
        _ => return None,
    })
}

fn vae_resample(part: &str) -> Option<&'static str> {
    Some(match part {
        "resample.1" => "resample.1",
        "time_conv" => "time_conv",
        _ => return None,
    })
}

/// The merge block's tensor; it has one spelling.
pub(crate) fn merge(key: &str) -> Option<String> {
    let key = unwrapped(key);
    let (module, parameter) = key.rsplit_once('.')?;
    // Scales and marks of quantized weights are none of its tensors.
    let is_own =
        module.starts_with("middle.block.") && matches!(parameter, "weight" | "bias" | "gamma");
    is_own.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffusers_keys_of_the_transformer() {
        for (key, original) in [
            ("condition_embedder.time_embedder.linear_1.weight", "time_embedding.0.weight"),
            ("condition_embedder.time_proj.bias", "time_projection.1.bias"),
            ("blocks.11.scale_shift_table", "blocks.11.modulation"),
            ("blocks.0.attn1.to_out.0.bias", "blocks.0.self_attn.o.bias"),
            ("blocks.0.attn2.norm_added_k.weight", "blocks.0.cross_attn.norm_k_img.weight"),
            ("blocks.3.norm2.weight", "blocks.3.norm3.weight"),
            ("blocks.3.norm3.weight", "blocks.3.norm3.weight"),
            ("blocks.0.ffn.net.0.proj.weight", "blocks.0.ffn.0.weight"),
            ("scale_shift_table", "head.modulation"),
            ("proj_out.weight", "head.head.weight"),
            ("model.diffusion_model.patch_embedding.weight", "patch_embedding.weight"),
            ("module.blocks.0.ffn.0.bias", "blocks.0.ffn.0.bias"),
            ("pipe.dit.blocks.0.ffn.0.bias", "blocks.0.ffn.0.bias"),
            ("dit.head.head.weight", "head.head.weight"),
        ] {
            assert_eq!(dit(key).as_deref(), Some(original), "{key}");
        }
        for foreign in [
            "blocks.0.attn.q.weight",
            "norm.weight",
            "decoder.conv1.weight",
            "blocks.x.norm3.weight",
        ] {
            assert_eq!(dit(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn prefixes_that_wrap_a_network_come_off() {
        for prefix in
            ["model.diffusion_model.", "model.", "module.", "dit.", "pipe.dit.", "transformer."]
        {
            let key = format!("{prefix}blocks.0.ffn.0.weight");
            assert_eq!(dit(&key).as_deref(), Some("blocks.0.ffn.0.weight"), "{key}");
        }
        let key = "first_stage_model.decoder.conv1.weight";
        assert_eq!(vae(key).as_deref(), Some("decoder.conv1.weight"));
    }

    #[test]
    fn flat_keys_of_trainers() {
        for (flat, module) in [
            ("blocks_11_self_attn_q", Some("blocks.11.self_attn.q")),
            ("blocks_0_cross_attn_k_img", Some("blocks.0.cross_attn.k_img")),
            ("blocks_0_ffn_2", Some("blocks.0.ffn.2")),
            ("blocks_0_attn2_to_out_0", Some("blocks.0.cross_attn.o")),
            ("time_projection_1", Some("time_projection.1")),
            ("head_head", Some("head.head")),
            ("blocks_x_ffn_2", None),
            ("blocks_0_ffn_1", None),
            ("down_blocks_0_attentions_0", None),
        ] {
            assert_eq!(dit_module_flat(flat).as_deref(), module, "{flat}");
        }
    }

    #[test]
    fn hugging_face_keys_of_the_text_encoder() {
        for (key, original) in [
            ("shared.weight", "token_embedding.weight"),
            ("encoder.block.7.layer.0.SelfAttention.q.weight", "blocks.7.attn.q.weight"),
            (
                "encoder.block.7.layer.0.SelfAttention.relative_attention_bias.weight",
                "blocks.7.pos_embedding.embedding.weight",
            ),
            ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "blocks.0.ffn.gate.0.weight"),
            ("encoder.block.0.layer.1.layer_norm.weight", "blocks.0.norm2.weight"),
            ("encoder.final_layer_norm.weight", "norm.weight"),
            ("token_embd.weight", "token_embedding.weight"),
            ("enc.blk.7.attn_rel_b.weight", "blocks.7.pos_embedding.embedding.weight"),
            ("enc.blk.0.ffn_gate.weight", "blocks.0.ffn.gate.0.weight"),
            ("enc.output_norm.weight", "norm.weight"),
            ("module.encoder.block.7.layer.0.SelfAttention.q.weight", "blocks.7.attn.q.weight"),
        ] {
            assert_eq!(umt5(key).as_deref(), Some(original), "{key}");
            assert_eq!(umt5(original).as_deref(), Some(original), "{original}");
        }
        assert_eq!(umt5("blocks.0.self_attn.q.weight"), None);
    }

    #[test]
    fn diffusers_keys_of_the_autoencoder() {
        for (key, original) in [
            ("quant_conv.weight", "conv1.weight"),
            ("first_stage_model.decoder.conv1.weight", "decoder.conv1.weight"),
            ("post_quant_conv.bias", "conv2.bias"),
            ("encoder.conv_in.weight", "encoder.conv1.weight"),
            ("decoder.norm_out.gamma", "decoder.head.0.gamma"),
            ("encoder.down_blocks.3.conv_shortcut.weight", "encoder.downsamples.3.shortcut.weight"),
            ("encoder.down_blocks.5.time_conv.weight", "encoder.downsamples.5.time_conv.weight"),
            ("decoder.mid_block.resnets.1.norm2.gamma", "decoder.middle.2.residual.3.gamma"),
            ("decoder.mid_block.attentions.0.to_qkv.weight", "decoder.middle.1.to_qkv.weight"),
            ("decoder.up_blocks.2.resnets.1.conv2.bias", "decoder.upsamples.9.residual.6.bias"),
            (
                "decoder.up_blocks.1.upsamplers.0.resample.1.weight",
                "decoder.upsamples.7.resample.1.weight",
            ),
        ] {
            assert_eq!(vae(key).as_deref(), Some(original), "{key}");
            assert_eq!(vae(original).as_deref(), Some(original), "{original}");
        }
        assert_eq!(vae("decoder.block.0.layer.0.weight"), None);
    }
}
