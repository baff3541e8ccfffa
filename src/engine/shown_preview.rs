//! What an engine sends of a take that it makes, written for who waits for the take.

use std::sync::Arc;

use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::client::EngineClient;
use wan_alpha_take::engine::message::PreviewPicture;

use crate::console::Console;
use crate::preview::PreviewFile;

/// What is said where a preview was asked for and the engine has sent none.
const NO_PREVIEW: &str = "there was no preview: the model's record does not say what its latents look like, or \
    its latent was there already; `wan-alpha model add` again adds it to the record";

/// The file of a preview, and what was written to it last.
pub(super) struct ShownPreview<'a> {
    file: Option<&'a PreviewFile>,
    shown: Option<Arc<PreviewPicture>>,
}

impl<'a> ShownPreview<'a> {
    /// None is shown where there is no file.
    pub(super) fn new(file: Option<&'a PreviewFile>) -> Self {
        Self { file, shown: None }
    }

    /// Writes what the engine has sent last, if it is another than was written.
    pub(super) fn follow(&mut self, client: &EngineClient, key: TakeKey, console: &Console<'_>) {
        if let (Some(file), Some(picture)) = (self.file, client.preview(key))
            && self.shown.as_ref() != Some(&picture)
        {
            file.show_or_warn(picture.frame().as_ref(), console);
            self.shown = Some(picture);
        }
    }

    /// The take is there: writes what has come since; where nothing ever has, says so.
    pub(super) fn finish(&mut self, client: &EngineClient, key: TakeKey, console: &Console<'_>) {
        self.follow(client, key, console);
        if self.file.is_some() && self.shown.is_none() {
            console.caution(NO_PREVIEW);
        }
    }
}
