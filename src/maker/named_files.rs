//! The files of a model that takes are made with.

use std::path::PathBuf;

use wan_alpha_core::weights::FurtherLora;
use wan_alpha_take::models::{Defaults, MadeFor, Manifest, ModelRoots, NamedModel};
use wan_alpha_take::{Fingerprint, TakeRequest};

use super::error::{MakeError, no_lora, no_model};
use crate::model::{ChosenLoras, Merged};

/// A model by its files, and what is merged beside its own adapters.
pub(crate) struct NamedFiles {
    pub(crate) name: String,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) merged: Merged,
    pub(crate) defaults: Defaults,
    pub(crate) made_for: MadeFor,
    pub(crate) loras: Vec<FurtherLora>,
}

impl NamedFiles {
    /// What is recorded under a name, with the LoRAs of a request.
    fn recorded(named: NamedModel, loras: Vec<FurtherLora>) -> Self {
        let (paths, merged) = (named.paths(), named.merged());
        let Manifest { name, defaults, made_for, .. } = named.manifest;
        Self { name, paths, merged, defaults, made_for, loras }
    }
}

/// The files of a request's model and LoRAs, found by their fingerprints, and what is recorded of it.
pub(super) fn find_files(
    request: &TakeRequest,
    fingerprint: Fingerprint,
    models: &ModelRoots,
) -> Result<(NamedFiles, NamedModel), MakeError> {
    let named = model_of(request, fingerprint, models)?;
    let loras = ChosenLoras::files_of(&request.loras, models).map_err(|what| no_lora(&what))?;
    Ok((NamedFiles::recorded(named.clone(), loras), named))
}

/// The model of a request, whose files are as they were added.
fn model_of(
    request: &TakeRequest,
    fingerprint: Fingerprint,
    models: &ModelRoots,
) -> Result<NamedModel, MakeError> {
    let named = models.with_fingerprint(fingerprint)?.ok_or_else(|| {
        let roots: Vec<_> = models.roots.iter().map(|root| root.display().to_string()).collect();
        no_model(&format!(
            "no model here has the fingerprint {fingerprint} of `{}`; looked in {}",
            request.model,
            roots.join(", ")
        ))
    })?;
    match named.changed() {
        Some(change) => Err(no_model(&format!("model `{}`: {change}", named.manifest.name))),
        None => Ok(named),
    }
}
