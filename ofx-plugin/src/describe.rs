//! What hosts learn about the node before there is one.
//!
//! Hosts describe as often as they like, and remember a failure for good; so nothing here asks for
//! more than the three required suites, and a property that an older host lacks is let go.

#![forbid(unsafe_code)]

mod parameters;

use std::ffi::CStr;

use crate::color_management;
use crate::contexts::Context;
use crate::host::{Effect, Host, Properties};
use crate::names;
use crate::ofx_status::{ActionResult, Status};
use crate::overlay_entry::{overlay_by_draw_suite, overlay_by_opengl};
use crate::params::ALPHA_MODE;

const NAME: &CStr = c"WanAlpha";

const ABOUT: &CStr = c"Generates a clip of a subject with its own transparency - hair, smoke, \
glass, fire - from a prompt, placed by a keyframed ellipse.";

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Failing here keeps the node out of a host's menus, where failing later leaves a dead entry.
pub(crate) fn load(host: Host) -> ActionResult {
    if Context::offered_to(&host.properties()?).is_empty() {
        return Err(Status::MISSING_HOST_FEATURE);
    }
    Ok(Status::OK)
}

pub(crate) fn describe(effect: Effect<'_>) -> ActionResult {
    let host = effect.host();
    let host = host.properties()?;
    let contexts = Context::offered_to(&host);
    if contexts.is_empty() {
        return Err(Status::MISSING_HOST_FEATURE);
    }
    let ours = effect.properties()?;
    ours.set(names::LABEL, NAME)?;
    ours.set_optional(names::SHORT_LABEL, NAME);
    ours.set_optional(names::LONG_LABEL, NAME);
    ours.set(names::GROUPING, NAME)?;
    ours.set_optional(names::DESCRIPTION, ABOUT);
    ours.set_optional(names::VERSION_LABEL, VERSION);
    ours.set_all(names::SUPPORTED_CONTEXTS, contexts.into_iter().map(Context::name))?;
    ours.set_all(names::SUPPORTED_DEPTHS, depths(&host.texts(names::SUPPORTED_DEPTHS)))?;
    capabilities(ours);
    color_management::declare(host, ours);
    effect.offer_overlay(overlay_by_opengl, overlay_by_draw_suite);
    Ok(Status::OK)
}

/// Float first, as the best; half only where the host says that it knows what that is.
fn depths(supported: &[String]) -> Vec<&'static CStr> {
    let half = names::DEPTH_HALF;
    let knows_half = supported.iter().any(|name| name.as_bytes() == half.to_bytes());
    [names::DEPTH_FLOAT, names::DEPTH_SHORT, names::DEPTH_BYTE]
        .into_iter()
        .chain(knows_half.then_some(half))
        .collect()
}

/// All of these have defaults, so a host that lacks one is none the worse for it.
fn capabilities(ours: Properties<'_>) {
    ours.set_optional(names::TILES, true);
    ours.set_optional(names::MULTI_RESOLUTION, true);
    ours.set_optional(names::TEMPORAL_ACCESS, false);
    ours.set_optional(names::THREAD_SAFETY, names::FULLY_SAFE);
    ours.set_optional(names::HOST_FRAME_THREADING, false);
    ours.set_optional(names::SINGLE_INSTANCE, false);
    ours.set_optional(names::FIELD_RENDER_TWICE, false);
    ours.set_optional(names::MULTIPLE_DEPTHS, false);
    ours.set_optional(names::MULTIPLE_ASPECTS, false);
    ours.set_optional(names::SEQUENTIAL_RENDER, false);
    ours.set_optional(names::NO_SPATIAL_AWARENESS, c"false");
    ours.set_optional(names::PREFERENCES_SLAVE, ALPHA_MODE);
}

pub(crate) fn in_context(effect: Effect<'_>, arguments: Properties<'_>) -> ActionResult {
    let name = arguments.text(names::CONTEXT, 0)?;
    let context = Context::ALL.into_iter().find(|context| context.is_called(&name));
    let context = context.ok_or(Status::UNSUPPORTED)?;
    // Before Output: some hosts take the format of the first clip that is defined.
    if context != Context::Generator {
        source(effect.define_clip(names::CLIP_SOURCE)?, context == Context::General)?;
    }
    output(effect.define_clip(names::CLIP_OUTPUT)?)?;
    parameters::define(effect, context)?;
    Ok(Status::OK)
}

/// Only its region and pixel aspect are looked at where it is optional. It takes tiles, so that no
/// host renders the whole of it for us.
fn source(clip: Properties<'_>, is_optional: bool) -> Result<(), Status> {
    clip.set(names::SUPPORTED_COMPONENTS, names::RGBA)?;
    clip.set(names::CLIP_OPTIONAL, is_optional)?;
    clip.set_optional(names::LABEL, names::CLIP_SOURCE);
    clip.set_optional(names::TEMPORAL_ACCESS, false);
    clip.set_optional(names::TILES, true);
    clip.set_optional(names::CLIP_MASK, false);
    clip.set_optional(names::FIELD_EXTRACTION, names::FIELD_SINGLE);
    Ok(())
}

fn output(clip: Properties<'_>) -> Result<(), Status> {
    clip.set(names::SUPPORTED_COMPONENTS, names::RGBA)?;
    clip.set_optional(names::LABEL, names::CLIP_OUTPUT);
    clip.set_optional(names::TILES, true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_for_hosts_that_know_it() {
        let three = [names::DEPTH_FLOAT, names::DEPTH_SHORT, names::DEPTH_BYTE];
        assert_eq!(depths(&[]), three);
        let known = depths(&["OfxBitDepthFloat".to_owned(), "OfxBitDepthHalf".to_owned()]);
        assert_eq!(known[..3], three);
        assert_eq!(known[3..], [names::DEPTH_HALF]);
    }
}
