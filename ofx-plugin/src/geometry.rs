//! What hosts ask about where and when there is a picture.

#![forbid(unsafe_code)]

use wan_alpha_take::TakeRequest;
use wan_alpha_take::models::Defaults;

use crate::host::{ClipHandle, Effect, Properties};
use crate::instance::Instance;
use crate::names;
use crate::node::Node;
use crate::ofx_status::{ActionResult, Status};
use crate::params::{ALPHA_MODE, MODEL, TAKE_REQUEST};
use crate::picture::Fit;
use crate::saved_requests::SavedRequests;
use crate::session::PluginSession;
use crate::take_size;
use crate::timing::{Outside, Timing};

/// The frame that a take is fitted into, left, bottom, right, top in canonical coordinates: the format
/// of what is connected to Source where the host says one, else the project's. What the Source covers
/// may move with what is in it, and would drag the take along: it counts only where the host knows
/// nothing else. Some hosts know none of them at first.
pub(crate) fn frame_region(node: Node<'_>) -> Option<[f64; 4]> {
    let (effect, time) = (node.effect(), node.time());
    let source = node.instance().connected_source(effect);
    let is_sound = |[left, bottom, right, top]: &[f64; 4]| {
        let within = [left, bottom, right, top].iter().all(|edge| edge.abs() < 1e7);
        within && right > left && top > bottom
    };
    let format = source.and_then(|source| clip_format(effect, source)).filter(is_sound);
    let project = || project_region(effect.properties().ok()?).filter(is_sound);
    let covered = || effect.clip_region(source?, time).ok().filter(is_sound);
    format.or_else(project).or_else(covered)
}

/// The format of a clip, where the host says it: in pixels there, in canonical coordinates here.
fn clip_format(effect: Effect<'_>, clip: ClipHandle) -> Option<[f64; 4]> {
    let properties = effect.clip_properties(clip).ok()?;
    let edge = |index| properties.int_at(names::CLIP_FORMAT, index).ok().map(f64::from);
    let aspect = properties.double(names::PIXEL_ASPECT, 0).ok();
    let aspect = aspect.filter(|aspect| aspect.is_finite() && *aspect > 0.0).unwrap_or(1.0);
    Some([edge(0)? * aspect, edge(1)?, edge(2)? * aspect, edge(3)?])
}

/// The region of the project, where the host knows its size.
fn project_region(properties: Properties<'_>) -> Option<[f64; 4]> {
    let pair = |name| {
        let [x, y] = [properties.double(name, 0), properties.double(name, 1)];
        Some([x.ok()?, y.ok()?])
    };
    let [width, height] = pair(names::PROJECT_SIZE)?;
    let [x, y] = pair(names::PROJECT_OFFSET).unwrap_or_default();
    Some([x, y, x + width, y + height])
}

/// What the node's model leaves open, where it has a model: else what the released one does.
pub(crate) fn model_defaults(node: Node<'_>) -> Result<Defaults, Status> {
    let record = PluginSession::record_of_model(node.text(MODEL)?.trim());
    Ok(record.map(|record| record.defaults).unwrap_or_default())
}

/// How a take is fitted into that frame, in the order of the parameter.
pub(crate) const FITS: [Fit; 4] = [Fit::Whole, Fit::Fill, Fit::Stretch, Fit::PixelForPixel];

/// Width of a pixel of the output by its height.
pub(crate) fn pixel_aspect(effect: Effect<'_>) -> f64 {
    let aspect = effect
        .clip(names::CLIP_OUTPUT)
        .and_then(|clip| effect.clip_properties(clip)?.double(names::PIXEL_ASPECT, 0));
    aspect.ok().filter(|aspect| aspect.is_finite() && *aspect > 0.0).unwrap_or(1.0)
}

/// Left to the host only where it has not said what the frame is, since what hosts do by default
/// differs.
pub(crate) fn region_of_definition(
    effect: Effect<'_>,
    arguments: Properties<'_>,
    reply: Properties<'_>,
) -> ActionResult {
    let node = Node::of(effect, arguments.double(names::TIME, 0)?)?;
    let Some(region) = frame_region(node) else { return Ok(Status::REPLY_DEFAULT) };
    reply.set_all(names::REGION_OF_DEFINITION, region)?;
    Ok(Status::OK)
}

/// Where no pixel of the Source is read: an empty region at the corner of what is asked for.
pub(crate) fn regions_of_interest(
    effect: Effect<'_>,
    arguments: Properties<'_>,
    reply: Properties<'_>,
) -> ActionResult {
    let instance = Instance::of(effect)?;
    if instance.is_filter() || instance.connected_source(effect).is_none() {
        return Ok(Status::REPLY_DEFAULT);
    }
    let x = arguments.double(names::REGION_OF_INTEREST, 0)?;
    let y = arguments.double(names::REGION_OF_INTEREST, 1)?;
    reply.set_all(names::SOURCE_REGION_OF_INTEREST, [x, y, x, y])?;
    Ok(Status::OK)
}

/// A take that holds, loops or bounces has no end; an empty outside gives it one.
pub(crate) fn time_domain(effect: Effect<'_>, reply: Properties<'_>) -> ActionResult {
    let node = Node::of(effect, 0.0)?;
    let timing = Timing::of(node, TakeRequest::TAKE_RATE)?;
    if timing.outside != Outside::Empty {
        return Ok(Status::REPLY_DEFAULT);
    }
    let frames_of_take = if node.text(TAKE_REQUEST)?.is_empty() {
        None
    } else {
        SavedRequests::of(node)?.shown().accepted().map(|accepted| accepted.request.frames)
    };
    let frames = match frames_of_take {
        Some(frames) => frames,
        None => take_size::frame_count(node, &model_defaults(node)?)?,
    };
    let last = timing.host_time(f64::from(frames) - 1.0).round();
    reply.set_all(names::FRAME_RANGE, [timing.start, last])?;
    Ok(Status::OK)
}

/// Without these a host takes alpha for opaque and the first frame for all of them.
pub(crate) fn clip_preferences(effect: Effect<'_>, reply: Properties<'_>) -> ActionResult {
    let instance = Instance::of(effect)?;
    let straight = instance.is_filter() || instance.parameter(ALPHA_MODE)?.int(effect)? == 1;
    let alpha = if straight { names::STRAIGHT } else { names::PREMULTIPLIED };
    reply.set(names::PREMULTIPLICATION, alpha)?;
    reply.set(names::FRAME_VARYING, true)?;
    reply.set_optional(names::CONTINUOUS_SAMPLES, false);
    reply.set_optional(names::OUTPUT_COMPONENTS, names::RGBA);
    Ok(Status::OK)
}
