//! What `wan-alpha model` says of models, as lines of text.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};
use wan_alpha_core::Watch;
use wan_alpha_core::weights::{ModelFiles, Strengths, lora_content};
use wan_alpha_take::Fingerprint;
use wan_alpha_take::counted::counted;
use wan_alpha_take::models::{self, ChosenPreset, LatentPreview, MadeFor, ModelRoots};

use super::Chosen;
use super::parts::{self, count, part_line, size};
use wan_alpha_take::environment::Environment;

/// Every model, newest first.
pub(super) fn list(roots: &ModelRoots) -> Result<Vec<String>> {
    let models = roots.list()?;
    if models.is_empty() {
        return Ok(vec!["no models; add one with `wan-alpha model add NAME PATH…`".to_owned()]);
    }
    let auto = roots.auto_among(&models).map(|model| model.manifest.name.clone());
    let line = |model: models::NamedModel| {
        let name = &model.manifest.name;
        let mark = if auto.as_ref() == Some(name) { " (auto)" } else { "" };
        let state = model.changed().map(|change| format!("; {change}")).unwrap_or_default();
        let parameters = count(model.manifest.parameters);
        let made_for = model.manifest.made_for.sizes_in_words();
        let made_for = made_for.map(|sizes| format!(", for {sizes}")).unwrap_or_default();
        format!(
            "{name}{mark}: {parameters} parameters{made_for}, {}…{state}",
            short(model.manifest.fingerprint)
        )
    };
    Ok(models.into_iter().map(line).collect())
}

/// The same for programs.
pub(super) fn list_json(roots: &ModelRoots) -> Result<String> {
    let models = roots.list()?;
    let auto = roots.auto_among(&models).map(|model| model.manifest.name.as_str());
    let model = |model: &models::NamedModel| {
        json!({
            "name": model.manifest.name,
            "auto": auto == Some(&model.manifest.name),
            "folder": model.folder,
            "fingerprint": model.manifest.fingerprint,
            "parameters": model.manifest.parameters,
            "made_for": model.manifest.made_for,
            "defaults": model.manifest.defaults,
            "changed": model.changed(),
        })
    };
    let list: Vec<Value> = models.iter().map(model).collect();
    let loras: Vec<Value> = roots.loras().iter().map(lora_json).collect();
    Ok(serde_json::to_string_pretty(&json!({ "models": list, "loras": loras }))?)
}

fn lora_json(lora: &models::NamedLora) -> Value {
    json!({
        "name": lora.record.name,
        "file": lora.path(),
        "fingerprint": lora.record.fingerprint,
        "changed": lora.changed(),
    })
}

/// One model, part by part.
pub(super) fn show(chosen: &Chosen, watch: &dyn Watch) -> Result<Vec<String>> {
    let files = ModelFiles::find(&chosen.paths, Strengths::default(), watch)?;
    let mut lines = vec![chosen.name.clone()];
    lines.extend(chosen.fingerprint.map(|fingerprint| format!("fingerprint {fingerprint}")));
    lines.extend(made_for(&chosen.made_for));
    lines.extend(preset(chosen.preset.as_ref()));
    lines.extend(preview(chosen.preview.as_ref()));
    lines.extend(parts::lines(&files));
    lines.extend(merged(chosen));
    Ok(lines)
}

/// The same for programs.
pub(super) fn show_json(chosen: &Chosen, watch: &dyn Watch) -> Result<String> {
    let files = ModelFiles::find(&chosen.paths, Strengths::default(), watch)?;
    let merged = match &chosen.merged {
        Ok(None) => Value::Null,
        Ok(Some((path, precision))) => json!({ "file": path, "precision": precision }),
        Err(change) => json!({ "unused": change }),
    };
    Ok(serde_json::to_string_pretty(&json!({
        "name": chosen.name,
        "fingerprint": chosen.fingerprint,
        "made_for": chosen.made_for,
        "defaults": chosen.defaults,
        "parts": parts::of(&files),
        "merged": merged,
        "preview": chosen.preview,
    }))?)
}

/// How near previews are to what the decoders make.
pub(super) fn preview(map: Option<&LatentPreview>) -> Option<String> {
    let [color, alpha] = map?.off_by;
    Some(part_line(
        "previews",
        &format!(
            "off by {:.0} of 255 in color and {:.0} in alpha (root mean squares)",
            color * 255.0,
            alpha * 255.0
        ),
    ))
}

/// A LoRA: its file, and what is in it.
pub(super) fn show_lora(lora: &models::NamedLora, json: bool) -> Result<Vec<String>> {
    let content = lora_content(&lora.path())?;
    if json {
        let mut told = lora_json(lora);
        told["changes"] = json!(content.tensors);
        told["ranks"] = json!(content.ranks);
        return Ok(vec![serde_json::to_string_pretty(&json!({ "lora": told }))?]);
    }
    let rank = match content.ranks {
        None => "without pairs".to_owned(),
        Some([least, most]) if least == most => format!("rank {least}"),
        Some([least, most]) => format!("ranks {least} to {most}"),
    };
    let bytes = std::fs::metadata(lora.path()).map_or(0, |about| about.len());
    let changes = counted(content.tensors, "tensor");
    Ok(vec![
        format!("{}: a LoRA", lora.record.name),
        format!("fingerprint {}", lora.record.fingerprint),
        part_line("file", &format!("{}, {}", lora.path().display(), size(bytes))),
        part_line("changes", &format!("{changes} of a transformer, {rank}")),
    ])
}

/// What a model was made for, as far as its record says.
fn made_for(made_for: &MadeFor) -> Vec<String> {
    let sizes = made_for.sizes_in_words().map(|sizes| part_line("made for", &sizes));
    let draws = made_for.draws.as_ref().map(|draws| part_line("draws", draws));
    let words = made_for.words.as_ref().map(|words| words.split_whitespace().count());
    let words = words.map(|count| part_line("knows", &counted(count, "word")));
    sizes.into_iter().chain(draws).chain(words).collect()
}

/// How a model is sampled, and by what that was chosen.
pub(super) fn preset(preset: Option<&ChosenPreset>) -> Option<String> {
    preset.map(|preset| part_line("preset", &preset.to_string()))
}

/// The copy of a model's transformer with the adapters merged.
pub(super) fn merged(chosen: &Chosen) -> Vec<String> {
    let row = |text: String| vec![part_line("merged copy", &text)];
    match &chosen.merged {
        Ok(None) => Vec::new(),
        Ok(Some((path, precision))) => {
            let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
            row(format!("{}, {}, {precision:?}", path.display(), size(bytes)))
        }
        Err(change) => row(format!("not used: {change}")),
    }
}

/// Where models are looked for.
pub(super) fn places(environment: &Environment) -> Vec<String> {
    let ModelRoots { roots, preferred, draft } = &environment.models;
    let indented = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| format!("  {}", path.display())).collect()
    };
    let mut lines = vec!["model roots (WAN_ALPHA_MODELS):".to_owned()];
    lines.extend(indented(roots));
    if !draft.is_empty() {
        lines.push("draft model:".to_owned());
        lines.extend(indented(draft));
    }
    lines.extend(preferred.iter().map(|name| format!("preferred (WAN_ALPHA_MODEL): {name}")));
    lines.push(match environment.models.find(models::AUTO) {
        Ok(model) => format!("auto is {} in {}", model.manifest.name, model.folder.display()),
        Err(error) => format!("auto is nothing yet: {error}"),
    });
    lines
}

/// The same for programs.
pub(super) fn places_json(environment: &Environment) -> Result<String> {
    let ModelRoots { roots, preferred, draft } = &environment.models;
    let auto = match environment.models.find(models::AUTO) {
        Ok(model) => json!({ "name": model.manifest.name, "folder": model.folder }),
        Err(error) => json!({ "problem": error.to_string() }),
    };
    Ok(serde_json::to_string_pretty(&json!({
        "roots": roots,
        "draft": draft,
        "preferred": preferred,
        "auto": auto,
    }))?)
}

/// What the model can do.
pub(super) fn abilities(files: &ModelFiles) -> String {
    let from =
        if files.is_image_to_video() { "an image to RGBA video" } else { "text to RGBA video" };
    let mut abilities = vec![from];
    abilities.extend(files.encoder.iter().map(|_| "RGBA clips to latents"));
    let successor = files.successor().map(|checkpoint| format!("; by its name {checkpoint}"));
    format!("  can make: {}{}", abilities.join(", "), successor.unwrap_or_default())
}

fn short(fingerprint: Fingerprint) -> String {
    fingerprint.to_string().chars().take(12).collect()
}
