//! How a model's files say that it is sampled: which of the presets, and by what evidence.
//!
//! A file says it by its name, by its header, or by keys that only one writer leaves. A LoRA says more of a
//! model than the transformer below it; the transparency DoRA and LightX2V's LoRA together are the
//! released pair, whose authors sample it in their own way.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use wan_alpha_take::models::{ChosenPreset, LIGHTX2V, Preset, RCM, UNDISTILLED, WAN_ALPHA};

use super::adapter::{Adapter, AdapterKind};
use super::file::TensorFile;
use super::model_files::{MERGED, ModelFiles, merged};

/// The remark in a merged transformer's header that has the preset of what was merged.
pub const MERGED_PRESET: &str = "wan-alpha.preset";

/// What TurboDiffusion's sparse attention leaves in a transformer.
const SPARSE_ATTENTION: &str = ".local_attn.proj_l.";

/// Names that files of any model have: what they are is said by the name of the folder.
const COMMON_NAMES: [&str; 5] =
    ["diffusion_pytorch_model", "distill_model", "model", "block_", "non_block"];
/// Folders of Diffusers' and LightX2V's layouts, which say nothing either.
const COMMON_FOLDERS: [&str; 3] = ["transformer", "distill_models", "original"];

/// A preset, and why.
#[derive(Clone, Debug)]
pub struct PresetFound {
    /// The settings.
    pub preset: &'static Preset,
    /// What says so, as the end of a sentence: `by the name lora.safetensors`.
    pub evidence: String,
    /// The file that says it; none where nothing does.
    pub file: Option<PathBuf>,
}

impl PresetFound {
    /// As it is kept in a model's record.
    pub fn recorded(&self) -> ChosenPreset {
        ChosenPreset::new(self.preset, self.evidence.as_str())
    }
}

impl ModelFiles {
    /// How the model is sampled where nobody says otherwise.
    pub fn preset(&self) -> PresetFound {
        let has_dora = self.has_dora();
        let found = self.said_by_adapter().or_else(|| self.said_by_transformer());
        match found {
            Some(found) if found.preset.name == LIGHTX2V && has_dora => PresetFound {
                preset: named(WAN_ALPHA),
                evidence: format!("{}, beside a transparency DoRA", found.evidence),
                ..found
            },
            Some(found) => found,
            None => PresetFound {
                preset: named(UNDISTILLED),
                evidence: "as no file says that it is distilled".to_owned(),
                file: None,
            },
        }
    }

    /// Whether the transparency DoRA will be merged, or is.
    pub(crate) fn has_dora(&self) -> bool {
        self.adapters.iter().any(|adapter| adapter.kind() == AdapterKind::Dora)
            || merged(&self.dit, AdapterKind::Dora)
    }

    fn said_by_adapter(&self) -> Option<PresetFound> {
        let distills = |adapter: &&Adapter| adapter.kind() == AdapterKind::Distill;
        let adapter = self.adapters.iter().find(distills)?;
        let file = adapter.file();
        let found = said_by_name(file.path()).or_else(|| said_by_header(file));
        let by_keys = || {
            let key = file.names().find(|key| key.ends_with(".diff_m"))?;
            let name = shown(file.path());
            Some((
                named(LIGHTX2V),
                format!("by the key `{key}` of {name}, as LightX2V writes them"),
            ))
        };
        let by_another_word = || {
            let evidence = adapter.evidence()?;
            Some((named(LIGHTX2V), format!("by {evidence}: {}", shown(file.path()))))
        };
        let (preset, evidence) = found.or_else(by_keys).or_else(by_another_word)?;
        Some(PresetFound { preset, evidence, file: Some(file.path().to_owned()) })
    }

    fn said_by_transformer(&self) -> Option<PresetFound> {
        let path = self.dit.paths().next()?;
        let merged_preset = || {
            let preset = self.dit.metadata(MERGED_PRESET).and_then(Preset::named);
            let said = preset
                .or_else(|| merged(&self.dit, AdapterKind::Distill).then(|| named(LIGHTX2V)))?;
            Some((said, format!("by the header of {} (`{MERGED}`)", shown(path))))
        };
        let by_keys = || {
            let (path, key) = self.dit.foreign().iter().find(|(_, key)| is_sparse(key))?;
            let name = shown(path);
            Some((
                named(RCM),
                format!("by the key `{key}` of {name}, as TurboDiffusion writes them"),
            ))
        };
        let (preset, evidence) = merged_preset().or_else(|| said_by_name(path)).or_else(by_keys)?;
        Some(PresetFound { preset, evidence, file: Some(path.to_owned()) })
    }

    /// Whether the transformer was trained with sparse attention, whose own weights are not used here:
    /// attention is computed in full.
    pub(super) fn sparse_attention(&self) -> Option<&Path> {
        self.dit.foreign().iter().find(|(_, key)| is_sparse(key)).map(|(path, _)| path.as_path())
    }
}

fn is_sparse(key: &str) -> bool {
    key.contains(SPARSE_ATTENTION)
}

/// One of the table, which has it.
fn named(name: &str) -> &'static Preset {
    Preset::named(name).unwrap_or(&wan_alpha_take::models::PRESETS[0])
}

/// What the name of a file says, or that of its folder where files are called so everywhere.
fn said_by_name(path: &Path) -> Option<(&'static Preset, String)> {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let file = text(path.file_name());
    if let Some((preset, _)) = Preset::said_by(&file) {
        return Some((preset, format!("by the name {file}")));
    }
    if !COMMON_NAMES.iter().any(|common| file.starts_with(common)) {
        return None;
    }
    let mut folders = path.ancestors().skip(1).map(|folder| text(folder.file_name()));
    let folder = folders.find(|folder| !COMMON_FOLDERS.contains(&folder.as_str()))?;
    let (preset, _) = Preset::said_by(&folder)?;
    Some((preset, format!("by the name of the folder {folder}")))
}

/// What the remarks in a file's header say.
fn said_by_header(file: &TensorFile) -> Option<(&'static Preset, String)> {
    file.remarks().find_map(|(name, remark)| {
        let (preset, word) = Preset::said_by(remark)?;
        Some((preset, format!("by “{word}” in the header of {} (`{name}`)", shown(file.path()))))
    })
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str) -> Option<(&'static str, String)> {
        said_by_name(Path::new(path)).map(|(preset, evidence)| (preset.name, evidence))
    }

    #[test]
    fn the_folder_speaks_for_files_that_are_called_so_everywhere() {
        assert_eq!(
            said("/m/loras/Wan21_CausVid_14B_T2V_lora_rank32.safetensors"),
            Some(("causvid", "by the name Wan21_CausVid_14B_T2V_lora_rank32.safetensors".into()))
        );
        let folder = "Wan2.1-T2V-14B-StepDistill-CfgDistill";
        for inner in ["", "transformer/", "distill_models/"] {
            for file in
                ["diffusion_pytorch_model-00001-of-00006.safetensors", "block_0.safetensors"]
            {
                assert_eq!(
                    said(&format!("/m/{folder}/{inner}{file}")),
                    Some(("lightx2v", format!("by the name of the folder {folder}")))
                );
            }
        }
        // Of a collection of files nothing is said by its folder.
        assert_eq!(said("/m/lightx2v/wan2.1_t2v_14B_fp16.safetensors"), None);
        assert_eq!(said("/m/Wan2.1-T2V-14B/diffusion_pytorch_model.safetensors"), None);
    }
}
