//! The way back of [`names`](super::names): from the original names to those of Diffusers and of
//! Hugging Face, for files that are handed on to them.
//!
//! Each function returns `None` for a name that the other side has no place for.

/// The Diffusers name of a diffusion transformer's tensor.
pub fn diffusers_transformer(original: &str) -> Option<String> {
    if original == "head.modulation" {
        return Some("scale_shift_table".to_owned());
    }
    if original == "img_emb.emb_pos" {
        return Some("condition_embedder.image_embedder.pos_embed".to_owned());
    }
    if let Some(block) = original.strip_suffix(".modulation") {
        return Some(format!("{block}.scale_shift_table"));
    }
    let (module, parameter) = original.rsplit_once('.')?;
    Some(format!("{}.{parameter}", diffusers_transformer_module(module)?))
}

/// The Diffusers name of a module of the diffusion transformer, such as `blocks.0.attn1.to_q`.
pub fn diffusers_transformer_module(original: &str) -> Option<String> {
    let whole = match original {
        "patch_embedding" => "patch_embedding",
        "time_embedding.0" => "condition_embedder.time_embedder.linear_1",
        "time_embedding.2" => "condition_embedder.time_embedder.linear_2",
        "time_projection.1" => "condition_embedder.time_proj",
        "text_embedding.0" => "condition_embedder.text_embedder.linear_1",
        "text_embedding.2" => "condition_embedder.text_embedder.linear_2",
        "head.head" => "proj_out",
        "img_emb.proj.0" => "condition_embedder.image_embedder.norm1",
        "img_emb.proj.1" => "condition_embedder.image_embedder.ff.net.0.proj",
        "img_emb.proj.3" => "condition_embedder.image_embedder.ff.net.2",
        "img_emb.proj.4" => "condition_embedder.image_embedder.norm2",
        _ => "",
    };
    if !whole.is_empty() {
        return Some(whole.to_owned());
    }
    let (index, inner) = original.strip_prefix("blocks.")?.split_once('.')?;
    let inner = match inner {
        // Diffusers counts the affine norm before cross-attention second.
        "norm3" => "norm2".to_owned(),
        "ffn.0" => "ffn.net.0.proj".to_owned(),
        "ffn.2" => "ffn.net.2".to_owned(),
        _ => attention(inner)?,
    };
    Some(format!("blocks.{index}.{inner}"))
}

fn attention(inner: &str) -> Option<String> {
    let (attention, part) = inner.split_once('.')?;
    let attention = match attention {
        "self_attn" => "attn1",
        "cross_attn" => "attn2",
        _ => return None,
    };
    let part = match part {
        "q" => "to_q",
        "k" => "to_k",
        "v" => "to_v",
        "o" => "to_out.0",
        "k_img" => "add_k_proj",
        "v_img" => "add_v_proj",
        "norm_k_img" => "norm_added_k",
        "norm_q" | "norm_k" => part,
        _ => return None,
    };
    Some(format!("{attention}.{part}"))
}

/// The Diffusers name of a video autoencoder's tensor.
pub fn diffusers_autoencoder(original: &str) -> Option<String> {
    let (module, parameter) = original.rsplit_once('.')?;
    let module = match module {
        "conv1" => "quant_conv".to_owned(),
        "conv2" => "post_quant_conv".to_owned(),
        _ => {
            let (side, inner) = module.split_once('.')?;
            format!("{side}.{}", autoencoder_layer(side, inner)?)
        }
    };
    Some(format!("{module}.{parameter}"))
}

fn autoencoder_layer(side: &str, inner: &str) -> Option<String> {
    match inner {
        "conv1" => return Some("conv_in".to_owned()),
        "head.0" => return Some("norm_out".to_owned()),
        "head.2" => return Some("conv_out".to_owned()),
        _ => {}
    }
    let (list, rest) = inner.split_once('.')?;
    let (index, part) = rest.split_once('.')?;
    let index: usize = index.parse().ok()?;
    Some(match (side, list) {
        (_, "middle") if index == 1 => format!("mid_block.attentions.0.{part}"),
        (_, "middle") => format!("mid_block.resnets.{}.{}", index / 2, layer_part(part)?),
        ("encoder", "downsamples") => format!("down_blocks.{index}.{}", layer_part(part)?),
        // Four layers to a level: three residual blocks and an upsampler.
        ("decoder", "upsamples") => {
            let (level, layer) = (index / 4, index % 4);
            let kind =
                if layer == 3 { "upsamplers.0".to_owned() } else { format!("resnets.{layer}") };
            format!("up_blocks.{level}.{kind}.{}", layer_part(part)?)
        }
        _ => return None,
    })
}

fn layer_part(part: &str) -> Option<&str> {
    Some(match part {
        "residual.0" => "norm1",
        "residual.2" => "conv1",
        "residual.3" => "norm2",
        "residual.6" => "conv2",
        "shortcut" => "conv_shortcut",
        "resample.1" | "time_conv" => part,
        _ => return None,
    })
}

/// Hugging Face's name of a text encoder's tensor.
pub fn hugging_face_text_encoder(original: &str) -> Option<String> {
    match original {
        "token_embedding.weight" => return Some("shared.weight".to_owned()),
        "norm.weight" => return Some("encoder.final_layer_norm.weight".to_owned()),
        _ => {}
    }
    let (index, inner) = original.strip_prefix("blocks.")?.split_once('.')?;
    let inner = match inner {
        "norm1.weight" => "layer.0.layer_norm.weight".to_owned(),
        "norm2.weight" => "layer.1.layer_norm.weight".to_owned(),
        "pos_embedding.embedding.weight" => {
            "layer.0.SelfAttention.relative_attention_bias.weight".to_owned()
        }
        "ffn.gate.0.weight" => "layer.1.DenseReluDense.wi_0.weight".to_owned(),
        "ffn.fc1.weight" => "layer.1.DenseReluDense.wi_1.weight".to_owned(),
        "ffn.fc2.weight" => "layer.1.DenseReluDense.wo.weight".to_owned(),
        _ => format!("layer.0.SelfAttention.{}", inner.strip_prefix("attn.")?),
    };
    Some(format!("encoder.block.{index}.{inner}"))
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    /// The keys that diffusers and transformers gave to tiny models of theirs.
    #[test]
    fn every_name_of_the_other_side_has_a_way_there_and_back() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/diffusers/tables.json");
        let tables: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        type Way = fn(&str) -> Option<String>;
        let ways: [(&str, Way, Way, usize); 3] = [
            ("transformer", names::dit, diffusers_transformer, 69),
            ("autoencoder", names::vae, diffusers_autoencoder, 194),
            ("text_encoder", names::umt5, hugging_face_text_encoder, 12),
        ];
        for (part, there, back, count) in ways {
            let keys = tables[part]["keys"].as_object().unwrap();
            assert_eq!(keys.len(), count, "{part}");
            for key in keys.keys() {
                let original = there(key).unwrap_or_else(|| panic!("{key} has no original name"));
                assert_eq!(back(&original).as_ref(), Some(key), "{original}");
            }
        }
    }

    #[test]
    fn what_has_no_place_has_no_name() {
        for foreign in ["middle.block.conv1.weight", "blocks.0.norm9.weight", "x"] {
            assert_eq!(diffusers_transformer(foreign), None, "{foreign}");
            assert_eq!(diffusers_autoencoder(foreign), None, "{foreign}");
        }
        let image = diffusers_transformer("img_emb.proj.1.weight");
        assert_eq!(
            image.as_deref(),
            Some("condition_embedder.image_embedder.ff.net.0.proj.weight")
        );
    }
}
