//! Why a render draws nothing, and how that is answered and said.

#![forbid(unsafe_code)]

use crate::host::ImageRefusal;
use crate::ofx_status::Status;
use crate::status_text::capitalised;

/// Why there is nothing to draw.
pub(crate) enum RenderError {
    /// The host no longer wants the picture.
    Aborted,
    /// There is no take to show, for a reason that the artist is told.
    Failed(String),
    /// The host gives no image, or none that can be drawn into.
    Image(ImageRefusal),
    /// A function of the host has failed.
    Host(Status),
}

impl RenderError {
    /// What the action is answered with, and what the artist is told; nothing where the host no
    /// longer asks.
    pub(crate) fn answer(self) -> (Status, Option<String>) {
        match self {
            Self::Aborted => (Status::OK, None),
            Self::Failed(reason) => (Status::FAILED, Some(reason)),
            Self::Image(refusal) => {
                let words = capitalised(&refusal.to_string());
                (refusal.status(), Some(format!("{words}.")))
            }
            Self::Host(status) => {
                let raw = status.raw();
                let words = format!(
                    "The host does not answer the node (its status is {raw}); render once more, \
                     or make the node anew."
                );
                (status, Some(words))
            }
        }
    }
}

impl From<ImageRefusal> for RenderError {
    fn from(refusal: ImageRefusal) -> Self {
        Self::Image(refusal)
    }
}

impl From<Status> for RenderError {
    fn from(status: Status) -> Self {
        Self::Host(status)
    }
}
