//! What a LoRA is for, as far as its file tells: step distillation changes steps and guidance, any other
//! changes the look alone. And what is of Wan2.2, whose two transformers share the work of one here.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use wan_alpha_take::models::Preset;

use super::adapter_keys::{Role, split_role};
use super::file::TensorFile;
use super::names;
use crate::{Error, Result};

/// The remark in a header by which a file says itself what it is: `distill` or `lora`.
const OWN_WORD: &str = "wan-alpha.adapter";

/// Remarks in which trainers and publishers name a file.
const TITLES: [&str; 8] = [
    "ss_output_name",
    "modelspec.title",
    "modelspec.description",
    "title",
    "name",
    "description",
    "type",
    "base_model",
];

/// Words that stand anywhere in the name of a step-distillation LoRA; those of distillations with a preset
/// are the preset's ([`Preset::words`]).
const NAMES: [&str; 2] = ["accvid", "fastwan"];

/// Words that do so as a whole, since others contain them.
const WORDS: [&str; 5] = ["lcm", "dmd", "dmd2", "turbo", "lightning"];

/// The most steps that a name may speak of: trainers number their own steps in the same words.
const MOST_STEPS: u32 = 8;

/// How a file is known to be step distillation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its name has this word.
    Name(String),
    /// This remark in its header has this word.
    Metadata(&'static str, String),
    /// It changes norms or modulation, as what was taken off a whole distilled model does.
    Keys(String),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(word) => write!(f, "its name (`{word}`)"),
            Self::Metadata(key, word) => write!(f, "the remark `{key}` in it (`{word}`)"),
            Self::Keys(key) => write!(f, "its keys (`{key}`)"),
        }
    }
}

/// How a LoRA is known to be step distillation; none where nothing says so.
pub(super) fn evidence(file: &TensorFile) -> Option<Evidence> {
    let path = file.path();
    if let Some(own) = file.metadata(OWN_WORD) {
        return (own == "distill").then(|| Evidence::Metadata(OWN_WORD, own.to_owned()));
    }
    let in_title =
        |&key: &&'static str| Some(Evidence::Metadata(key, word_in(file.metadata(key)?)?));
    evidence_in_name(path).or_else(|| TITLES.iter().find_map(in_title)).or_else(|| {
        let key = file.names().find(|key| is_of_a_whole_model(key))?;
        Some(Evidence::Keys(key.to_owned()))
    })
}

/// What the name of a file, which need not be readable, says.
pub(super) fn evidence_in_name(path: &Path) -> Option<Evidence> {
    word_in(&path.file_stem().unwrap_or_default().to_string_lossy()).map(Evidence::Name)
}

/// Norms and modulation are no layers that trainers of LoRAs adapt.
fn is_of_a_whole_model(key: &str) -> bool {
    match split_role(names::unwrapped(key)) {
        Some((_, Role::ModulationDifference)) => true,
        Some((module, Role::Difference)) => {
            module.rsplit('.').next().is_some_and(|last| last.starts_with("norm"))
        }
        _ => false,
    }
}

/// The word of a text that speaks of step distillation.
fn word_in(text: &str) -> Option<String> {
    let of_preset = Preset::said_by(text).map(|(_, word)| word.to_owned());
    let text = plain(text);
    let words: Vec<&str> = text.split('_').filter(|word| !word.is_empty()).collect();
    let found = || NAMES.iter().find(|name| text.contains(*name)).map(|&name| name.to_owned());
    let whole = || words.iter().find(|word| WORDS.contains(word)).map(|&word| word.to_owned());
    of_preset.or_else(found).or_else(whole).or_else(|| steps_in(&words))
}

/// "4steps", "4_step", but not the 2000 of a training.
fn steps_in(words: &[&str]) -> Option<String> {
    let few = |number: &str| {
        let plain = !number.starts_with('0');
        plain && number.parse().is_ok_and(|steps: u32| (1..=MOST_STEPS).contains(&steps))
    };
    let joined = words
        .iter()
        .find(|word| word.strip_suffix("steps").or(word.strip_suffix("step")).is_some_and(few));
    let apart = || {
        let pair =
            words.windows(2).find(|pair| few(pair[0]) && ["step", "steps"].contains(&pair[1]));
        pair.map(|pair| pair.join("_"))
    };
    joined.map(|&word| word.to_owned()).or_else(apart)
}

/// Small letters and digits, everything else an underscore.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// That a transformer or an adapter is not one of Wan2.2.
///
/// # Errors
/// Its name, its folder's or a remark in it says that it is: the tensors are called and shaped alike.
pub(super) fn check_generation(file: &TensorFile) -> Result<()> {
    let path = file.path();
    let name = plain(&path.file_stem().unwrap_or_default().to_string_lossy());
    let folder = path.parent().and_then(Path::file_name).map(OsStr::to_string_lossy);
    let folder = plain(&folder.unwrap_or_default());
    let half = ["high_noise", "low_noise", "highnoise", "lownoise"];
    let told = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
    let remarks = ["ss_base_model_version", "modelspec.architecture", "base_model"];
    let remark = remarks.iter().find_map(|&key| {
        let text = file.metadata(key)?;
        told(&plain(text), &["wan2_2", "wan22"]).then(|| format!("the remark `{key}` in it"))
    });
    let by = if told(&name, &half) || told(&name, &["wan2_2", "wan22"]) {
        "its name".to_owned()
    } else if half.iter().any(|half| folder.starts_with(half)) {
        "its folder's name".to_owned()
    } else if let Some(remark) = remark {
        remark
    } else {
        return Ok(());
    };
    Err(Error::file(
        path,
        format!(
            "is of Wan2.2 by {by}: there two transformers, of high and of low noise, do what one does \
             here, and what is made for them draws wrongly in it; fetch the file for Wan2.1 T2V"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_step_distillation_is_it() {
        for (name, word) in [
            ("lightx2v_T2V_14B_cfg_step_distill_v2_lora_rank64_bf16", "lightx2v"),
            ("Wan21_CausVid_14B_T2V_lora_rank32", "causvid"),
            ("Wan2.1_T2V_14B_FusionX_LoRA", "fusionx"),
            ("wan-rCM-lora", "rcm"),
            ("wan_self-forcing", "selfforcing"),
            ("TurboDiffusion-lora", "turbodiffusion"),
            ("AccVid_lora", "accvid"),
            ("wan-lightning", "lightning"),
            ("lora_rank64_4-steps", "4step"),
            ("lora_8step", "8step"),
            ("lora 2 steps", "2_steps"),
        ] {
            assert_eq!(word_in(name).as_deref(), Some(word), "{name}");
        }
        for name in [
            "my_style_lora",
            "turbonique",
            "style_2000steps",
            "style-step00000004",
            "style_0004_steps",
            "style_1004steps",
            "steps",
            "",
        ] {
            assert_eq!(word_in(name), None, "{name}");
        }
    }

    #[test]
    fn what_has_a_preset_is_step_distillation() {
        for word in wan_alpha_take::models::PRESETS.iter().flat_map(|preset| preset.words) {
            assert_eq!(word_in(&format!("wan_{word}")).as_deref(), Some(*word));
        }
    }

    #[test]
    fn norms_and_modulation_are_of_a_whole_model() {
        for key in
            ["diffusion_model.blocks.0.diff_m", "blocks.1.self_attn.norm_q.diff", "head.diff_m"]
        {
            assert!(is_of_a_whole_model(key), "{key}");
        }
        for key in ["blocks.0.self_attn.q.lora_A.weight", "blocks.0.self_attn.q.diff_b"] {
            assert!(!is_of_a_whole_model(key), "{key}");
        }
    }
}
