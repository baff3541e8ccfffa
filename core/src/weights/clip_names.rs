//! The names of CLIP's tensors: every known spelling of the half that sees is brought to Hugging Face's.
//!
//! In the original release and in OpenCLIP's files query, key and value of a layer are one tensor; it is
//! called `self_attn.qkv_proj` here, which Hugging Face has no name for.

#![forbid(unsafe_code)]

/// Prefixes that tools put before CLIP's own names.
const WRAPPERS: [&str; 5] =
    ["image_encoder.", "clip_vision_model.", "clip_vision.", "module.", "model."];

/// How the names of tensors end that Hugging Face's CLIP has.
const PARAMETERS: [&str; 5] = ["weight", "bias", "class_embedding", "position_ids", "transposed"];

/// A tensor of CLIP by Hugging Face's name; of the half that reads, Hugging Face's spelling alone.
pub(crate) fn clip(key: &str) -> Option<String> {
    const KEPT: [&str; 4] =
        ["vision_model.", "text_model.", "visual_projection.", "text_projection."];
    let key = unwrapped(key);
    if KEPT.iter().any(|half| key.starts_with(half)) {
        let parameter = key.rsplit('.').next().unwrap_or(key);
        // Scales and marks of quantized weights are none of its tensors.
        return PARAMETERS.contains(&parameter).then(|| key.to_owned());
    }
    let name = key.strip_prefix("visual.")?;
    if let Some(whole) = whole(name) {
        return Some(whole.to_owned());
    }
    let layers = name.strip_prefix("transformer.")?;
    let layers = layers.strip_prefix("resblocks.").unwrap_or(layers);
    let (index, inner) = layers.split_once('.')?;
    if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(format!("vision_model.encoder.layers.{index}.{}", layer(inner)?))
}

/// Whether a key is of the half that reads, which an image-to-video model does without, or of both
/// together.
pub(crate) fn is_of_text(key: &str) -> bool {
    let key = unwrapped(key);
    const TEXT: [&str; 8] = [
        "textual.",
        "text_model.",
        "text_projection",
        "transformer.resblocks.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "attn_mask",
    ];
    matches!(key, "log_scale" | "logit_scale" | "logit_bias")
        || TEXT.iter().any(|text| key.starts_with(text))
}

fn unwrapped(mut key: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| key.strip_prefix(wrapper)) {
        key = rest;
    }
    key
}

/// A tensor that stands around the layers: of the original release, or of OpenCLIP.
fn whole(name: &str) -> Option<&'static str> {
    Some(match name {
        "patch_embedding.weight" | "conv1.weight" => {
            "vision_model.embeddings.patch_embedding.weight"
        }
        "cls_embedding" | "class_embedding" => "vision_model.embeddings.class_embedding",
        "pos_embedding" | "positional_embedding" => {
            "vision_model.embeddings.position_embedding.weight"
        }
        // Spelled so by Hugging Face.
        "pre_norm.weight" | "ln_pre.weight" => "vision_model.pre_layrnorm.weight",
        "pre_norm.bias" | "ln_pre.bias" => "vision_model.pre_layrnorm.bias",
        "post_norm.weight" | "ln_post.weight" => "vision_model.post_layernorm.weight",
        "post_norm.bias" | "ln_post.bias" => "vision_model.post_layernorm.bias",
        // Transposed beside Hugging Face's; an image-to-video model does without.
        "head" | "proj" => "visual_projection.transposed",
        _ => return None,
    })
}

fn layer(inner: &str) -> Option<String> {
    match inner {
        "attn.in_proj_weight" => return Some("self_attn.qkv_proj.weight".to_owned()),
        "attn.in_proj_bias" => return Some("self_attn.qkv_proj.bias".to_owned()),
        _ => {}
    }
    let (module, parameter) = inner.rsplit_once('.')?;
    let module = match module {
        "norm1" | "ln_1" => "layer_norm1",
        "norm2" | "ln_2" => "layer_norm2",
        "attn.to_qkv" => "self_attn.qkv_proj",
        "attn.proj" | "attn.out_proj" => "self_attn.out_proj",
        "mlp.0" | "mlp.c_fc" => "mlp.fc1",
        "mlp.2" | "mlp.c_proj" => "mlp.fc2",
        _ => return None,
    };
    matches!(parameter, "weight" | "bias").then(|| format!("{module}.{parameter}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_of_the_half_that_sees() {
        const LAYER: &str = "vision_model.encoder.layers.11";
        for (key, name) in [
            ("visual.cls_embedding", "vision_model.embeddings.class_embedding".to_owned()),
            (
                "visual.positional_embedding",
                "vision_model.embeddings.position_embedding.weight".to_owned(),
            ),
            ("visual.ln_pre.bias", "vision_model.pre_layrnorm.bias".to_owned()),
            ("visual.transformer.11.norm1.bias", format!("{LAYER}.layer_norm1.bias")),
            (
                "visual.transformer.11.attn.to_qkv.weight",
                format!("{LAYER}.self_attn.qkv_proj.weight"),
            ),
            (
                "visual.transformer.resblocks.11.attn.in_proj_bias",
                format!("{LAYER}.self_attn.qkv_proj.bias"),
            ),
            (
                "visual.transformer.resblocks.11.attn.out_proj.weight",
                format!("{LAYER}.self_attn.out_proj.weight"),
            ),
            ("visual.transformer.resblocks.11.mlp.c_fc.weight", format!("{LAYER}.mlp.fc1.weight")),
            ("visual.transformer.11.mlp.2.bias", format!("{LAYER}.mlp.fc2.bias")),
            (
                "image_encoder.vision_model.encoder.layers.11.self_attn.q_proj.bias",
                format!("{LAYER}.self_attn.q_proj.bias"),
            ),
        ] {
            assert_eq!(clip(key).as_deref(), Some(&*name), "{key}");
            assert_eq!(clip(&name).as_deref(), Some(&*name), "{name}");
        }
        for foreign in
            ["visual.transformer.x.norm1.bias", "visual.rgba.weight", "textual.norm.bias"]
        {
            assert_eq!(clip(foreign), None, "{foreign}");
        }
        assert!(is_of_text("textual.norm.bias") && is_of_text("log_scale"));
        assert!(!is_of_text("visual.rgba.weight"));
    }
}
