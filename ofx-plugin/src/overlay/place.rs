//! Where the take lies on the canvas, as its parameters put it there.

#![forbid(unsafe_code)]

use wan_alpha_take::still_image::EdgeChange;

use super::view::TakeRegion;
use crate::first_image::expected_size;
use crate::geometry::{FITS, frame_region, model_defaults, pixel_aspect};
use crate::host::Effect;
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{FIT, TAKE_REQUEST};
use crate::picture::OutputFrame;
use crate::saved_requests::SavedRequests;
use crate::session::{ImageFacts, PluginSession};
use crate::surface::Point;
use crate::take_size::size;

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

/// The upper left corner of what of the take lies on its frame: filled, it goes beyond that.
pub(super) fn seen_corner(node: Node<'_>, region: TakeRegion) -> Point {
    let TakeRegion { left, bottom, height, .. } = region;
    let corner = [left, bottom + height];
    frame_region(node).map_or(corner, |[frame_left, _, _, frame_top]| {
        [corner[0].max(frame_left), corner[1].min(frame_top)]
    })
}

/// Width and height of the take in pixels: of the one that there is, else of the one that Generate
/// would ask for.
fn take_size(node: Node<'_>) -> Result<[u32; 2], Status> {
    let expected = || -> Result<[u32; 2], Status> {
        size(node, model_defaults(node)?.size_or_released(), expected_size(node))
    };
    if node.text(TAKE_REQUEST)?.is_empty() {
        return expected();
    }
    let saved = SavedRequests::of(node)?;
    match saved.shown().accepted() {
        Some(take) => size(node, [take.request.width, take.request.height], None),
        None => expected(),
    }
}

/// Where the image that the take begins with lies in the take's frame, as fractions of it; none where it
/// begins with none, or none is known.
pub(super) fn image_place(node: Node<'_>) -> Result<Option<[f64; 4]>, Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        let Some(image) = expected_size(node) else { return Ok(None) };
        let take = take_size(node)?;
        // Whether it is padded or cropped depends on its alpha, which nobody has seen yet.
        let is_kept = |opaque| EdgeChange::of(image, opaque, take) == EdgeChange::Kept;
        return Ok(is_kept(true).then(|| EdgeChange::Kept.place(image)));
    }
    let saved = SavedRequests::of(node)?;
    let Some(take) = saved.shown().accepted() else { return Ok(None) };
    let Some(hash) = take.request.first_image else { return Ok(None) };
    let session = PluginSession::of(node.effect().host());
    let place = |ImageFacts { size, is_opaque }| {
        let take = [take.request.width, take.request.height];
        EdgeChange::of(size, is_opaque, take).place(size)
    };
    Ok(session.image_facts(&hash).map(place))
}
