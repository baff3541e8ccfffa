//! Whether files that were written over since takes were made with them are still what a request asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wan_alpha_core::weights::{ModelFiles, Strengths};
use wan_alpha_core::{Unwatched, Watch};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::{Fingerprint, TakeRequest};

use super::error::{MakeError, no_lora, no_model};
use super::named_files::NamedFiles;
use crate::model::Fingerprints;

/// The files that this process has opened under a fingerprint, each as it was then. A record tells files by
/// size and time, which whoever writes them over may keep.
pub(super) struct AcceptedFiles {
    states: BTreeMap<PathBuf, String>,
    fingerprints: Fingerprints,
}

impl AcceptedFiles {
    /// None so far. What is read for it is remembered in the user's cache.
    pub(super) fn new(environment: &Environment) -> Self {
        let fingerprints = Fingerprints::in_folder(environment.cache.as_deref());
        Self { states: BTreeMap::new(), fingerprints }
    }

    /// Accepts the files of a request's model, whose fingerprint is `asked` and which is opened as `opened`, and
    /// of its LoRAs: read and hashed where one is not what it was when it was accepted before.
    ///
    /// # Errors
    /// They are of another model now, or cannot be read; or `watch` cancels.
    pub(super) fn check(
        &mut self,
        (opened, files): (&ModelFiles, &NamedFiles),
        request: &TakeRequest,
        asked: Fingerprint,
        watch: &dyn Watch,
    ) -> Result<(), MakeError> {
        let loras = files.loras.iter().map(|lora| lora.path.clone());
        let mut states = Vec::new();
        for path in opened.paths().into_iter().chain(loras) {
            states.push((Fingerprints::state(&path)?, path));
        }
        let was = |path: &PathBuf, state: &String| {
            self.states.get(path).is_none_or(|known| known == state)
        };
        if !states.iter().all(|(state, path)| was(path, state)) {
            self.compare(files, request, asked, watch)?;
        }
        self.states.extend(states.into_iter().map(|(state, path)| (path, state)));
        Ok(())
    }

    fn compare(
        &self,
        files: &NamedFiles,
        request: &TakeRequest,
        asked: Fingerprint,
        watch: &dyn Watch,
    ) -> Result<(), MakeError> {
        let name = &files.name;
        log::info!("files of `{name}` were written over since they were opened: they are compared");
        let found = ModelFiles::find(&files.paths, Strengths::default(), &Unwatched)?;
        let now = self.fingerprints.of(&found, watch)?;
        if now != asked {
            return Err(no_model(&format!(
                "the files of model `{name}` were written over: their fingerprint is {now} now, and the take \
                 is to be made with {asked}"
            )));
        }
        for (lora, source) in files.loras.iter().zip(&request.loras) {
            let now = self.fingerprints.of_lora(&lora.path, watch)?;
            if now != source.fingerprint {
                return Err(no_lora(&format!(
                    "the file of LoRA `{}` was written over: its fingerprint is {now} now, and the take is to \
                     be made with {}",
                    source.name, source.fingerprint
                )));
            }
        }
        Ok(())
    }
}
