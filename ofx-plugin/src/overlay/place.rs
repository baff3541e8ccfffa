//! Where the take lies on the canvas, as its parameters put it there.

#![forbid(unsafe_code)]

use super::view::TakeRegion;
use crate::build_request;
use crate::geometry::{FITS, frame_region, model_defaults, pixel_aspect};
use crate::host::Effect;
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{FIT, TAKE_REQUEST};
use crate::picture::OutputFrame;
use crate::saved_requests::SavedRequests;

/// The take's region and the width of its frame in heights of it; none where the host does not know
/// its frame yet.
pub(super) fn take_region(
    effect: Effect<'_>,
    time: f64,
) -> Result<Option<(TakeRegion, f64)>, Status> {
    let node = Node::of(effect, time)?;
    let [width, height] = take_size(node)?;
    let fit = node.choice(FIT, &FITS)?;
    let Some(region) = frame_region(node) else { return Ok(None) };
    let output_frame = OutputFrame { region, pixel_aspect: pixel_aspect(effect), scale: [1.0; 2] };
    let [left, bottom, right, top] = output_frame.fitted(fit, [width, height]);
    let region = TakeRegion { left, bottom, width: right - left, height: top - bottom };
    Ok(Some((region, f64::from(width) / f64::from(height))))
}

/// Width and height of the take in pixels: of the one that there is, else of the one that Generate
/// would ask for.
fn take_size(node: Node<'_>) -> Result<[u32; 2], Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        return build_request::size(node, model_defaults(node)?.size_or_released());
    }
    let saved = SavedRequests::of(node)?;
    match saved.shown().accepted() {
        Some(take) => build_request::size(node, [take.request.width, take.request.height]),
        None => build_request::size(node, model_defaults(node)?.size_or_released()),
    }
}
