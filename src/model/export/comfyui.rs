//! Files as ComfyUI's loaders take them: original names, one file for each part.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wan_alpha_core::weights::FoundParts;

use super::{ExportedFile, channels};

/// ComfyUI reads a transformer's heads off its channels: so many each.
const HEAD: i64 = 128;

/// `file` where there is one part, else `file` with the part's name before its ending.
pub(super) fn files(parts: &FoundParts, file: &Path) -> Result<Vec<ExportedFile>> {
    ensure!(
        file.extension().is_some_and(|ending| ending == "safetensors"),
        "--comfyui {}: expected a name that ends in .safetensors",
        file.display()
    );
    let count = usize::from(parts.transformer.is_some())
        + usize::from(parts.dora.is_some())
        + usize::from(parts.autoencoder.is_some())
        + 2 * usize::from(parts.decoders.is_some());
    ensure!(count > 0, "ComfyUI's layout has no place for any of these parts; see --diffusers");
    let place = |part: &str| if count == 1 { file.to_owned() } else { named(file, part) };
    let same = |name: &str| Some(name.to_owned());
    let mut files = Vec::new();
    if let Some((set, _)) = &parts.transformer {
        files.push(ExportedFile::network(place("transformer"), set, vec![], same)?);
    }
    if let Some((adapter, pairs)) = &parts.dora {
        let mut tensors = Vec::new();
        for pair in pairs {
            let key = |role: &str| format!("diffusion_model.{}.{role}", pair.module);
            tensors.push((pair.down.clone(), key("lora_A.weight"), None));
            tensors.push((pair.up.clone(), key("lora_B.weight"), None));
            if let Some(magnitude) = &pair.magnitude {
                let rows = adapter.entry(magnitude).map(|entry| entry.shape.iter().product());
                let rows = rows.context("its magnitude is not there")?;
                tensors.push((magnitude.clone(), key("dora_scale"), Some(vec![rows, 1])));
            }
        }
        files.push(ExportedFile::of_file(place("lora"), adapter, tensors)?);
    }
    if let Some(set) = &parts.autoencoder {
        files.push(ExportedFile::network(place("vae"), set, vec![], same)?);
    }
    if let Some(decoders) = &parts.decoders {
        let names = ["vae_rgb_channel", "vae_alpha_channel"];
        for ((set, adapters), name) in channels(decoders).into_iter().zip(names) {
            files.push(ExportedFile::network(place(name), set, adapters, same)?);
        }
    }
    Ok(files)
}

/// What ComfyUI will not take, or take otherwise than it was meant.
pub(super) fn left_out(parts: &FoundParts) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((_, config)) = &parts.transformer
        && config.head_dim() != HEAD
    {
        lines.push(format!(
            "ComfyUI takes heads of {HEAD} channels, these have {}: its file has the right names, but \
             ComfyUI will compute something else",
            config.head_dim()
        ));
    }
    if parts.text.is_some() {
        lines.push(
            "the text encoder is left out of ComfyUI's files: ComfyUI has umT5 by a SentencePiece \
             model, which no tokenizer.json gives back"
                .to_owned(),
        );
    }
    lines
}

fn named(file: &Path, part: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("{stem}_{part}.safetensors"))
}
