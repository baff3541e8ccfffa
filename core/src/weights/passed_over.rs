//! Files in a model's folder that could not be used: what each would have been, and what becomes of the
//! model without it.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use super::adapter_keys::{FileKind, recognize};
use super::distillation::evidence_in_name;
use super::file::TensorFile;
use super::network::Network;
use crate::Error;

/// A file that was found in a folder and could not be opened.
#[derive(Debug)]
pub(super) struct PassedOver {
    pub(super) path: PathBuf,
    pub(super) error: Error,
}

impl PassedOver {
    /// Why it was passed over, in one line.
    pub(super) fn reason(&self) -> String {
        let reason = self.error.to_string();
        if reason.contains(&*self.path.to_string_lossy()) {
            return reason;
        }
        format!("{}: {reason}", self.path.display())
    }

    /// Whether it would have been the part that is called so, by what is left of it, or by its name.
    fn is_likely(&self, part: &str) -> bool {
        let names = TensorFile::names_in_torn(&self.path);
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        likely_parts(&self.path, &keys).iter().any(|likely| part.contains(likely))
    }
}

/// Takes the file that would have been `part`, if one of those that were passed over looks like it: its
/// own error then, which says what the model lacks without it.
pub(super) fn likeliest(passed_over: &mut Vec<PassedOver>, part: &str) -> Option<Error> {
    let index = passed_over.iter().position(|file| file.is_likely(part))?;
    let name = part.split(" (").next().unwrap_or(part);
    Some(match passed_over.swap_remove(index).error {
        Error::File { path, problem } => {
            Error::File { path, problem: format!("{problem}. Without it the model has no {name}") }
        }
        other => other,
    })
}

const DORA: &str = "transparency DoRA";
const DISTILL: &str = "step-distillation LoRA";

/// The parts that a file may be.
fn likely_parts(path: &Path, keys: &[&str]) -> Vec<&'static str> {
    match recognize(keys) {
        Some(FileKind::Dora) => return vec![DORA],
        Some(FileKind::Lora) => {
            return evidence_in_name(path).map(|_| DISTILL).into_iter().collect();
        }
        Some(FileKind::Decoders) => return vec!["decoder LoRAs"],
        None => {}
    }
    let networks = [
        (Network::Dit, "diffusion transformer"),
        (Network::Umt5, "text encoder"),
        (Network::Vae, "autoencoder"),
        (Network::Clip, "image encoder"),
    ];
    let count =
        |network: Network| keys.iter().filter(|key| network.original(key).is_some()).count();
    if let Some((network, part)) = networks.iter().max_by_key(|(network, _)| count(*network))
        && count(*network) > 0
    {
        return vec![*part];
    }
    if !keys.is_empty() {
        return Vec::new();
    }
    let lower =
        |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().to_lowercase();
    let name = lower(path.file_name());
    let folder = lower(path.parent().and_then(Path::file_name));
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if evidence_in_name(path).is_some() {
        vec![DISTILL]
    } else if has(&["dora", "epoch-"]) || name.starts_with("t2v.") {
        vec![DORA]
    } else if has(&["lora"]) {
        vec![DORA, DISTILL]
    } else if has(&["clip"]) || folder == "image_encoder" {
        vec!["image encoder"]
    } else if has(&["t5", "text_encoder"]) || folder.starts_with("text_encoder") {
        vec!["text encoder"]
    } else if has(&["vae", "autoencoder"]) || folder == "vae" {
        vec!["autoencoder"]
    } else if name.starts_with("decoder") {
        vec!["decoder LoRAs"]
    } else if has(&["diffusion", "wan2", "wan_2", "t2v", "dit", "transformer"]) {
        vec!["diffusion transformer"]
    } else {
        Vec::new()
    }
}
