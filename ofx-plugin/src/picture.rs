//! What hosts ask about the picture, and the picture itself.

#![forbid(unsafe_code)]

mod canvas;
mod draw;
mod mark;
mod patience;
mod placement;
mod quantise;
mod resample;
mod source;
mod taps;
mod transfer;

#[cfg(test)]
mod tests;

pub use canvas::{Canvas, Depth, Window};
pub use draw::{Drawn, Look, Scene, draw};
pub use mark::{Mark, Tone};
pub use placement::{Fit, Placement, Stage};
pub use source::{SizeMismatch, Source};
pub use transfer::Transfer;

use crate::changed::NO_TAKES_YET;
use crate::host::{Effect, Properties};
use crate::names;
use crate::params::ALPHA_MODE;
use crate::status::{Answer, Status};

/// The frame that a take is fitted into, left, bottom, right, top: the Source's region where one is
/// connected, else the project's. Left to the host only where that says neither, since what hosts
/// do by default differs.
pub(crate) fn region_of_definition(
    effect: Effect<'_>,
    arguments: Properties<'_>,
    reply: Properties<'_>,
) -> Answer {
    let time = arguments.double(names::TIME, 0)?;
    let source = effect.instance()?.connected_source(effect);
    let of_source = source.and_then(|source| effect.clip_region(source, time).ok());
    let Some(region) = of_source.or_else(|| project(effect.properties().ok()?)) else {
        return Ok(Status::REPLY_DEFAULT);
    };
    reply.set_all(names::REGION_OF_DEFINITION, region)?;
    Ok(Status::OK)
}

/// Some hosts do not know the size of their project yet when they ask first.
fn project(properties: Properties<'_>) -> Option<[f64; 4]> {
    let pair = |name| {
        let [x, y] = [properties.double(name, 0), properties.double(name, 1)];
        Some([x.ok()?, y.ok()?])
    };
    let [width, height] = pair(names::PROJECT_SIZE)?;
    let [x, y] = pair(names::PROJECT_OFFSET).unwrap_or_default();
    (width > 0.0 && height > 0.0).then_some([x, y, x + width, y + height])
}

/// No pixel of the Source is read: an empty region at the corner of what is asked for.
pub(crate) fn regions_of_interest(
    effect: Effect<'_>,
    arguments: Properties<'_>,
    reply: Properties<'_>,
) -> Answer {
    if effect.instance()?.connected_source(effect).is_none() {
        return Ok(Status::REPLY_DEFAULT);
    }
    let x = arguments.double(names::REGION_OF_INTEREST, 0)?;
    let y = arguments.double(names::REGION_OF_INTEREST, 1)?;
    reply.set_all(names::SOURCE_REGION_OF_INTEREST, [x, y, x, y])?;
    Ok(Status::OK)
}

/// Without these a host takes alpha for opaque and the first frame for all of them.
pub(crate) fn clip_preferences(effect: Effect<'_>, reply: Properties<'_>) -> Answer {
    let straight = effect.instance()?.parameter(ALPHA_MODE)?.int(effect)? == 1;
    let alpha = if straight { names::STRAIGHT } else { names::PREMULTIPLIED };
    reply.set(names::PREMULTIPLICATION, alpha)?;
    reply.set(names::FRAME_VARYING, true)?;
    reply.wish(names::CONTINUOUS_SAMPLES, false);
    reply.wish(names::OUTPUT_COMPONENTS, names::RGBA);
    Ok(Status::OK)
}

/// There is nothing to show yet, and a made-up picture would end up in somebody's film.
pub(crate) fn render(effect: Effect<'_>) -> Answer {
    effect.show_error(c"noTakes", NO_TAKES_YET);
    Err(Status::FAILED)
}
