//! The line beside resolution and frames: what the chosen model's own takes are like, and whether what
//! is chosen lies beyond what it was made for.

#![forbid(unsafe_code)]

use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::models::Manifest;

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{MODEL, MODEL_LIMITS};
use crate::session::PluginSession;
use crate::take_size;

/// Brings the line up to what is chosen; empty where there is no such model.
pub(crate) fn update(node: Node<'_>) -> Result<(), Status> {
    let line = match PluginSession::record_of_model(node.text(MODEL)?.trim()) {
        Some(model) => {
            let size = take_size::size(node, model.defaults.size_or_released(), None)?;
            let frames = take_size::frame_count(node, &model.defaults)?;
            line(&model, size, frames)
        }
        None => String::new(),
    };
    node.set_changed_text(MODEL_LIMITS, &line)
}

/// What the model's own size and length are, and what of `size` and `frames` is beyond what its record
/// says that it was made for.
fn line(model: &Manifest, size: [u32; 2], frames: u32) -> String {
    let [own_width, own_height] = model.defaults.size_or_released();
    let own_frames = model.defaults.frames_or_released();
    let own = format!("{own_width}x{own_height}, {}", counted(own_frames, "frame"));
    let made_for = model.made_for.sizes_in_words();
    let own = made_for.map_or_else(|| own.clone(), |words| format!("{own}; made for {words}"));
    let [width, height] = size;
    let fits_size = model.made_for.fits_size(width, height);
    match (fits_size, model.made_for.fits_frames(frames)) {
        (true, true) => own,
        (false, true) => format!("{own}: {width}x{height} lies beyond"),
        (true, false) => {
            let lies = verb(frames, "lies", "lie");
            format!("{own}: {} {lies} beyond", counted(frames, "frame"))
        }
        (false, false) => {
            format!("{own}: {width}x{height} and {} lie beyond", counted(frames, "frame"))
        }
    }
}

#[cfg(test)]
mod tests {
    use wan_alpha_take::Fingerprint;
    use wan_alpha_take::models::{Defaults, MadeFor};

    use super::*;

    #[test]
    fn what_lies_beyond_is_marked() {
        let (width, height, frames) = (Some(96), Some(96), Some(17));
        let defaults = Defaults { width, height, frames, ..Defaults::default() };
        let mut draft = Manifest::new("draft", Fingerprint([1; 32]), Vec::new(), defaults, 1);
        assert_eq!(line(&draft, [832, 480], 81), "96x96, 17 frames");
        let (pixels, frames) = (Some([64, 128]), Some([17, 17]));
        draft.made_for = MadeFor { pixels, frames, ..MadeFor::default() };
        let own = "96x96, 17 frames; made for 64 to 128 pixels, 17 frames";
        assert_eq!(line(&draft, [128, 64], 17), own);
        assert_eq!(line(&draft, [832, 480], 17), format!("{own}: 832x480 lies beyond"));
        assert_eq!(line(&draft, [96, 96], 81), format!("{own}: 81 frames lie beyond"));
        let both = line(&draft, [96, 144], 21);
        assert_eq!(both, format!("{own}: 96x144 and 21 frames lie beyond"));
    }
}
