//! How the files of a take are written: formats, names, what of a frame, and what they say of themselves.

use std::sync::Arc;

use wan_alpha_take::TakeRequest;

use super::format::Format;
use super::names::FrameNames;
use crate::media::exr::ExrSettings;
use crate::media::frame_look::FrameLook;
use crate::media::movie::Verify;
use crate::media::png::PngSettings;
use crate::media::provenance::{DateTime, OriginMarks, Provenance};
use crate::media::signature::FileSigner;

/// How the files of a take are written.
#[derive(Clone, Debug)]
pub(crate) struct FileSettings {
    /// Each once.
    pub(crate) formats: Vec<Format>,
    pub(crate) names: FrameNames,
    pub(crate) exr: ExrSettings,
    pub(crate) png: PngSettings,
    pub(crate) look: FrameLook,
    /// Whether files of others that bear our names are replaced.
    pub(crate) force: bool,
    /// Whose the pictures are; empty where nobody says.
    pub(crate) owner: String,
    /// Whether the prompt stands in the marks of origin.
    pub(crate) mark_prompt: bool,
    /// Whether China's label stands in them.
    pub(crate) mark_china: bool,
    /// Whether files hold the recipe, and with it the prompt.
    pub(crate) recipe: bool,
    /// What of movies is read back.
    pub(crate) verify: Verify,
    /// Who signs them; none: nobody.
    pub(crate) signer: Option<Arc<FileSigner>>,
    /// When they are written.
    pub(crate) made: DateTime,
}

impl FileSettings {
    /// What the files of a request's take say of themselves.
    pub(super) fn provenance(&self, request: &TakeRequest) -> anyhow::Result<Provenance> {
        let kept = |text: String| if self.recipe { text } else { String::new() };
        let take = request.key().map(|key| key.to_string()).unwrap_or_default();
        let rate = i32::try_from(request.take_rate)?;
        let about = self.provenance_of(&request.model, take, rate);
        Ok(Provenance {
            description: kept(request.prompt.clone()),
            recipe: kept(request.to_canonical()),
            origin: OriginMarks {
                prompt: self.mark_prompt.then(|| request.prompt.clone()),
                ..about.origin
            },
            ..about
        })
    }

    /// What files say that are of no request: made by a model, and of the take of this key if it is one.
    pub(crate) fn provenance_of(&self, model: &str, take: String, frame_rate: i32) -> Provenance {
        Provenance {
            software: Provenance::this_program(),
            frame_rate,
            first_frame: self.names.start.into(),
            owner: self.owner.clone(),
            made: self.made,
            origin: OriginMarks {
                model: model.to_owned(),
                take,
                prompt: None,
                china: self.mark_china,
            },
            ..Provenance::default()
        }
    }
}
