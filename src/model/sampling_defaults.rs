//! What a model does where a request is silent, and whose settings those are: of a flag, of its record, or
//! of what its files say.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::Result;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_take::models::{ChosenPreset, Defaults, MadeFor, NamedModel, Preset};

use super::Chosen;

/// What a record among files says of a model.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(super) defaults: Defaults,
    pub(super) made_for: MadeFor,
    pub(super) preset: Option<ChosenPreset>,
    /// Files and folders beside those of the record.
    pub(super) added: Vec<PathBuf>,
}

impl Recorded {
    /// What the record in one of the folders says, a packed model's for example; nothing where there is
    /// none.
    pub(super) fn among(paths: &[PathBuf]) -> Result<Self> {
        for folder in paths.iter().filter(|path| path.is_dir()) {
            if let Some(NamedModel { manifest, .. }) = NamedModel::in_folder(folder)? {
                return Ok(Self {
                    defaults: manifest.defaults,
                    made_for: manifest.made_for,
                    preset: manifest.preset,
                    added: paths.iter().filter(|path| *path != folder).cloned().collect(),
                });
            }
        }
        Ok(Self::default())
    }

    /// Of a model that the command line names.
    pub(crate) fn of(chosen: &Chosen) -> Self {
        Self {
            defaults: chosen.defaults.clone(),
            made_for: chosen.made_for.clone(),
            preset: chosen.preset.clone(),
            added: chosen.added.clone(),
        }
    }
}

/// What a model does, whole, and the preset it has that from.
pub(crate) struct SamplingDefaults {
    pub(crate) defaults: Defaults,
    /// None where a record says it that knows of no presets.
    pub(crate) preset: Option<ChosenPreset>,
}

impl SamplingDefaults {
    /// `asked`: the preset of a flag. Else what the record says counts, unless a file that was added to
    /// its files says that the model is distilled; else what the files say.
    pub(crate) fn of(
        recorded: &Recorded,
        pipeline: &Pipeline,
        asked: Option<&'static Preset>,
    ) -> Self {
        let found = pipeline.files().preset();
        let of_files = pipeline.defaults();
        // The record's without what a preset has put on top.
        let bare = || {
            let taken_off = |preset: &ChosenPreset| preset.taken_off(&recorded.defaults);
            recorded.preset.as_ref().map_or_else(|| recorded.defaults.clone(), taken_off)
        };
        let with = |preset: &'static Preset, chosen: ChosenPreset| Self {
            defaults: pipeline.sampled_by(preset, &bare()).or(of_files.clone()),
            preset: Some(chosen),
        };
        if let Some(asked) = asked {
            return with(asked, ChosenPreset::new(asked, "by --preset"));
        }
        let was_added = |file: &Path| recorded.added.iter().any(|added| lies_in(file, added));
        let says = recorded.defaults.steps.is_some();
        if !says || found.file.as_deref().is_some_and(was_added) {
            return with(found.preset, found.recorded());
        }
        // A record that says steps and not the rest means the released model's, as a node reads it.
        let (solver, shift, mu_scale) = (None, None, None);
        let rest = Defaults { solver, shift, mu_scale, ..of_files };
        Self { defaults: recorded.defaults.clone().or(rest), preset: recorded.preset.clone() }
    }
}

fn lies_in(file: &Path, place: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole(file).starts_with(whole(place))
}
