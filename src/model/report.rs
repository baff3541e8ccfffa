//! What `wan-alpha model` says of models, as lines of text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use wan_alpha_core::Watch;
use wan_alpha_core::weights::{Adapter, AdapterKind, Decoders, ModelFiles, Strengths, TensorSet};
use wan_alpha_take::Fingerprint;
use wan_alpha_take::models::{self, MadeFor, ModelRoots};

use super::Chosen;
use crate::table_printer::{Align, TablePrinter};
use wan_alpha_take::environment::Environment;

/// A part of a model, and a text about it.
const PARTS: TablePrinter<'_> =
    TablePrinter { indent: "  ", gap: " ", columns: &[(Align::Left, 16)] };

/// A line about a part of a model; without its name where the line before has it.
fn part_line(part: &str, text: &str) -> String {
    PARTS.line(&[part, text])
}

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

/// One model, part by part.
pub(super) fn show(chosen: &Chosen, watch: &dyn Watch) -> Result<Vec<String>> {
    let files = ModelFiles::find(&chosen.paths, Strengths::default(), watch)?;
    let mut lines = vec![chosen.name.clone()];
    lines.extend(chosen.fingerprint.map(|fingerprint| format!("fingerprint {fingerprint}")));
    lines.extend(made_for(&chosen.made_for));
    lines.extend(parts(&files));
    lines.extend(merged(chosen));
    Ok(lines)
}

/// What a model was made for, as far as its record says.
fn made_for(made_for: &MadeFor) -> Vec<String> {
    let sizes = made_for.sizes_in_words().map(|sizes| part_line("made for", &sizes));
    let draws = made_for.draws.as_ref().map(|draws| part_line("draws", draws));
    let words = made_for.words.as_ref().map(|words| words.split_whitespace().count());
    let words = words.map(|count| part_line("knows", &format!("{count} words")));
    sizes.into_iter().chain(draws).chain(words).collect()
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

/// The parts of a model: files, sizes, kinds, coverage.
pub(super) fn parts(files: &ModelFiles) -> Vec<String> {
    let mut lines = network("transformer", &files.dit);
    lines.extend(files.adapters.iter().flat_map(adapter));
    lines.extend(network("text encoder", &files.text));
    lines.push(part_line("tokenizer", &files.tokenizer.display().to_string()));
    match &files.decoders {
        Decoders::Adapted { base, color, alpha } => {
            lines.extend(network("autoencoder", base));
            lines.extend(adapter(color));
            lines.extend(adapter(alpha));
        }
        Decoders::Complete { color, alpha } => {
            lines.extend(network("color decoder", color));
            lines.extend(network("alpha decoder", alpha));
        }
    }
    lines.extend(files.encoder.iter().flat_map(|encoder| merge_block(&encoder.merge)));
    lines
}

/// What the model can do.
pub(super) fn abilities(files: &ModelFiles) -> String {
    let mut abilities = vec!["text to RGBA video"];
    abilities.extend(files.encoder.iter().map(|_| "RGBA clips to latents"));
    format!("  can make: {}", abilities.join(", "))
}

/// Its file may hold much else, which nobody misses.
fn merge_block(set: &TensorSet) -> Vec<String> {
    let path = set.paths().next().map(|path| path.display().to_string()).unwrap_or_default();
    let (parameters, tensors) = (count(set.parameters()), set.names().count());
    vec![
        part_line("merge block", &path),
        part_line("", &format!("{parameters} parameters; {tensors} tensors matched")),
    ]
}

fn network(part: &str, set: &TensorSet) -> Vec<String> {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (entry, _, _) in set.names().filter_map(|name| set.find(name).ok()) {
        *kinds.entry(entry.stored.to_string()).or_default() += entry.bytes();
    }
    let bytes = kinds.values().sum();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, _)| kind).collect();
    let mut paths = set.paths();
    let first = paths.next().map(|path| path.display().to_string()).unwrap_or_default();
    let more = match paths.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let about = format!(
        "{} parameters, {}, {}; {} tensors matched, {} keys foreign",
        count(set.parameters()),
        size(bytes),
        kinds.join("/"),
        set.names().count(),
        set.foreign().len()
    );
    vec![part_line(part, &format!("{first}{more}")), part_line("", &about)]
}

fn adapter(adapter: &Adapter) -> Vec<String> {
    let (targets, unmatched) = (adapter.targets(), adapter.unmatched().len());
    let known = match (adapter.kind(), adapter.evidence()) {
        (_, Some(evidence)) => format!("; step distillation by {evidence}"),
        (AdapterKind::Lora, None) => "; nothing in it says step distillation".to_owned(),
        _ => String::new(),
    };
    vec![
        part_line(adapter.kind().name(), &adapter.path().display().to_string()),
        part_line("", &format!("changes {targets} tensors, {unmatched} keys unmatched{known}")),
    ]
}

fn short(fingerprint: Fingerprint) -> String {
    fingerprint.to_string().chars().take(12).collect()
}

fn count(number: u64) -> String {
    match number {
        1_000_000_000.. => format!("{:.2} G", number as f64 / 1e9),
        1_000_000.. => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.0} k", number as f64 / 1e3),
    }
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.2} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
