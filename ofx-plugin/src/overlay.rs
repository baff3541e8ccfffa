//! The ellipse in the viewer: seen, and dragged.
//!
//! - [`view`]: the maps between take, canvas and screen; `place`: where the take lies.
//! - [`shape`]: outline and handles, and which is under the pen.
//! - [`drag`]: what a drag makes of the ellipse; [`pen`]: what each event does.
//! - [`paint`]: how it looks.
//!
//! Hosts call an interact on the main thread, and may call it again out of a change it makes. What
//! it remembers is changed under a lock that no call to the host is made under, before the
//! consequences are carried out.

#![forbid(unsafe_code)]

mod drag;
mod paint;
mod pen;
mod place;
mod shape;
mod view;

use std::ffi::{CStr, c_int};

use wan_alpha_take::ellipse::Ellipse;

use crate::host::{
    Effect, Interact, KEY_ESCAPE, KEYS_CONTROL, KEYS_SHIFT, OpenGl, ParameterHandle,
};
use crate::instance::Instance;
use crate::names;
use crate::node::Node;
use crate::node_update::{self, Restoring};
use crate::ofx_status::{ActionResult, Status};
use crate::params::{
    ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, FIT, HEIGHT, HISTORY, IMAGE, MODEL, RESOLUTION,
    STATUS, USE_SOURCE_FRAME, WIDTH,
};
use crate::surface::{Color, Point};
use drag::{ChangedParameter, EllipseChange};
use paint::OverlayContent;
use pen::{OverlayKey, PenEvent, PenState, PointerContext};
use shape::EllipseShape;
use view::View;

/// The parameters that the overlay shows: where one of them changes, the host draws it again.
const SHOWN_PARAMETERS: [&CStr; 12] = [
    ELLIPSE_CENTER,
    ELLIPSE_AXES,
    ELLIPSE_ANGLE,
    STATUS,
    FIT,
    RESOLUTION,
    WIDTH,
    HEIGHT,
    USE_SOURCE_FRAME,
    // How large the take is, where nothing else says it.
    IMAGE,
    MODEL,
    HISTORY,
];

/// The most points of the path of a moving center.
const PATH_POINTS: usize = 200;

/// The interact of the overlay, with what it remembers.
pub(crate) type OverlayInteract<'a> = Interact<'a, PenState>;

/// How this host has an overlay drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrawMethod {
    OpenGl,
    DrawSuite,
}

/// The actions of an interact that are answered; every other one has the host's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InteractAction {
    Describe,
    CreateInstance,
    DestroyInstance,
    Draw,
    PenMotion,
    PenDown,
    PenUp,
    KeyDown,
    KeyUp,
    GainFocus,
    LoseFocus,
    Other,
}

impl InteractAction {
    pub(crate) fn named(name: &CStr) -> Self {
        const NAMES: &[(&CStr, InteractAction)] = &[
            (names::ACTION_DESCRIBE, InteractAction::Describe),
            (names::ACTION_CREATE, InteractAction::CreateInstance),
            (names::ACTION_DESTROY, InteractAction::DestroyInstance),
            (names::ACTION_DRAW, InteractAction::Draw),
            (names::ACTION_PEN_MOTION, InteractAction::PenMotion),
            (names::ACTION_PEN_DOWN, InteractAction::PenDown),
            (names::ACTION_PEN_UP, InteractAction::PenUp),
            (names::ACTION_KEY_DOWN, InteractAction::KeyDown),
            (names::ACTION_KEY_UP, InteractAction::KeyUp),
            (names::ACTION_GAIN_FOCUS, InteractAction::GainFocus),
            (names::ACTION_LOSE_FOCUS, InteractAction::LoseFocus),
        ];
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map_or(Self::Other, |(_, action)| *action)
    }
}

pub(crate) fn answer(
    action: InteractAction,
    interact: OverlayInteract<'_>,
    method: DrawMethod,
) -> ActionResult {
    let answer = match action {
        InteractAction::Describe => return Ok(Status::OK),
        InteractAction::CreateInstance => return create(interact),
        InteractAction::DestroyInstance => return interact.detach().map(|()| Status::OK),
        InteractAction::Draw => return draw(interact, method),
        InteractAction::Other => return Ok(Status::REPLY_DEFAULT),
        InteractAction::PenMotion => {
            pen_position(interact).and_then(|at| handle_event(interact, PenEvent::Motion(at)))
        }
        InteractAction::PenDown => {
            pen_position(interact).and_then(|at| handle_event(interact, PenEvent::Down(at)))
        }
        InteractAction::PenUp => {
            pen_position(interact).and_then(|at| handle_event(interact, PenEvent::Up(at)))
        }
        InteractAction::KeyDown => handle_key(interact, true),
        InteractAction::KeyUp => handle_key(interact, false),
        InteractAction::GainFocus => Ok(Status::REPLY_DEFAULT),
        InteractAction::LoseFocus => handle_event(interact, PenEvent::LoseFocus),
    };
    if matches!(
        action,
        InteractAction::PenMotion
            | InteractAction::KeyDown
            | InteractAction::GainFocus
            | InteractAction::LoseFocus
    ) {
        // Whatever comes of it, the pen has its own answer.
        let _ = main_thread_event(interact);
    }
    answer
}

/// Looks whether a take has become ready: the artist is here, on the main thread.
fn main_thread_event(interact: OverlayInteract<'_>) -> Result<(), Status> {
    let time = interact.arguments()?.double(names::TIME, 0).unwrap_or_default();
    node_update::update_node(Node::of(interact.effect()?, time)?, Restoring::Allowed)
}

fn create(interact: OverlayInteract<'_>) -> ActionResult {
    interact.attach(PenState::default())?;
    let _ = interact.properties()?.set_all(names::SLAVE_TO_PARAM, SHOWN_PARAMETERS);
    Ok(Status::OK)
}

/// Answers a draw action, without an error: a host gives up an overlay that fails to draw.
fn draw(interact: OverlayInteract<'_>, method: DrawMethod) -> ActionResult {
    let drawn = draw_overlay(interact, method).unwrap_or(false);
    interact.remember(|pen| pen.was_drawn = drawn)?;
    Ok(if drawn { Status::OK } else { Status::REPLY_DEFAULT })
}

/// Draws the overlay; whether there is anything to be seen.
fn draw_overlay(interact: OverlayInteract<'_>, method: DrawMethod) -> Result<bool, Status> {
    let effect = interact.effect()?;
    let Some(context) = pointer_context(interact)? else { return Ok(false) };
    let node = Node::of(effect, context.time)?;
    let pen = interact.remember(|pen| *pen)?;
    let path = center_path(effect, &context.view).unwrap_or_default();
    let keys = center_keys(effect, &context.view).unwrap_or_default();
    let ellipse = pen.dragged().unwrap_or(&context.ellipse);
    let image = place::image_place(node)?.map(|place| corners(&context.view, place));
    let content = OverlayContent {
        shape: EllipseShape { view: &context.view, ellipse },
        highlighted: pen.highlighted(),
        path: &path,
        keys: &keys,
        image,
        status_text: &node_update::overlay_text(node)?,
        text_corner: place::seen_corner(node, context.view.region()),
        suggested_color: suggested_color(interact),
    };
    Ok(match method {
        DrawMethod::OpenGl => OpenGl::begin(context.view.pixel()).is_some_and(|mut canvas| {
            paint::paint(&content, &mut canvas);
            true
        }),
        DrawMethod::DrawSuite => interact.draw_suite().is_some_and(|mut canvas| {
            paint::paint(&content, &mut canvas);
            canvas.has_drawn()
        }),
    })
}

/// The corners of a part of the take's frame, on the canvas.
fn corners(view: &View, [left, bottom, right, top]: [f64; 4]) -> [Point; 4] {
    [[left, bottom], [right, bottom], [right, top], [left, top]]
        .map(|[x, y]| view.to_canvas([x * view.aspect(), y]))
}

fn handle_key(interact: OverlayInteract<'_>, down: bool) -> ActionResult {
    let symbol = interact.arguments()?.int(names::KEY_SYMBOL).unwrap_or_default();
    let side = |keys: [c_int; 2]| keys.iter().position(|key| *key == symbol);
    let key = match side(KEYS_SHIFT)
        .map(OverlayKey::Shift)
        .or(side(KEYS_CONTROL).map(OverlayKey::Control))
    {
        Some(key) => key,
        None if symbol == KEY_ESCAPE => OverlayKey::Escape,
        None => return Ok(Status::REPLY_DEFAULT),
    };
    handle_event(interact, PenEvent::Key(key, down))
}

/// Answers an event. What it does is settled first, then carried out: the host may call back from
/// there.
fn handle_event(interact: OverlayInteract<'_>, event: PenEvent) -> ActionResult {
    let context = pointer_context(interact).ok().flatten();
    let outcome = interact.remember(|pen| pen.on_event(event, context.as_ref()))?;
    let written = match outcome.change {
        Some(change) => write_change(interact.effect()?, change),
        None => Ok(()),
    };
    if outcome.redraw {
        interact.redraw();
    }
    written?;
    Ok(if outcome.captured { Status::OK } else { Status::REPLY_DEFAULT })
}

/// Writes a change as one step of undo; as a key where there are keys already.
fn write_change(
    effect: Effect<'_>,
    EllipseChange { time, to }: EllipseChange,
) -> Result<(), Status> {
    let instance = Instance::of(effect)?;
    let set_pair = |parameter: ParameterHandle, pair| {
        if parameter.is_animated(effect) {
            parameter.set_pair_at(effect, time, pair)
        } else {
            parameter.set_pair(effect, pair)
        }
    };
    match to {
        ChangedParameter::Center(center) => {
            let parameter = instance.parameter(ELLIPSE_CENTER)?;
            effect.as_one_edit(c"Move ellipse", || set_pair(parameter, center))
        }
        ChangedParameter::Axes(axes) => {
            let parameter = instance.parameter(ELLIPSE_AXES)?;
            effect.as_one_edit(c"Resize ellipse", || set_pair(parameter, axes))
        }
        ChangedParameter::Angle(angle) => {
            let parameter = instance.parameter(ELLIPSE_ANGLE)?;
            effect.as_one_edit(c"Turn ellipse", || {
                if parameter.is_animated(effect) {
                    parameter.set_double_at(effect, time, angle)
                } else {
                    parameter.set_double(effect, angle)
                }
            })
        }
    }
}

/// What an event or a draw is about; none where there is no frame to put a take into, or no ellipse
/// that could be drawn.
fn pointer_context(interact: OverlayInteract<'_>) -> Result<Option<PointerContext>, Status> {
    let (effect, time) = (interact.effect()?, interact.arguments()?.double(names::TIME, 0)?);
    let Some((region, aspect)) = place::take_region(effect, time)? else { return Ok(None) };
    let ellipse = ellipse(effect, time)?;
    let view = View::new(region, aspect, pixel_size(interact));
    let is_drawable =
        [ellipse.x, ellipse.y, ellipse.a, ellipse.b, ellipse.angle].into_iter().all(f64::is_finite);
    Ok(view.filter(|_| is_drawable).map(|view| PointerContext { view, ellipse, time }))
}

fn ellipse(effect: Effect<'_>, time: f64) -> Result<Ellipse, Status> {
    let instance = Instance::of(effect)?;
    let [x, y] = instance.parameter(ELLIPSE_CENTER)?.pair_at(effect, time)?;
    let [a, b] = instance.parameter(ELLIPSE_AXES)?.pair_at(effect, time)?;
    let angle = instance.parameter(ELLIPSE_ANGLE)?.double_at(effect, time)?;
    Ok(Ellipse { x, y, a, b, angle })
}

/// Where the center goes from its first key to its last, on the canvas.
fn center_path(effect: Effect<'_>, view: &View) -> Result<Vec<Point>, Status> {
    let center = Instance::of(effect)?.parameter(ELLIPSE_CENTER)?;
    let key_span = center.key_span(effect).filter(|_| center.is_animated(effect));
    let Some([first, last]) = key_span.filter(|[first, last]| (last - first).is_finite()) else {
        return Ok(Vec::new());
    };
    // Each frame; where there are too many, as many steps as there may be.
    let steps = (last - first).ceil().clamp(1.0, (PATH_POINTS - 1) as f64) as usize;
    let mut path = Vec::with_capacity(steps + 1);
    for step in 0..=steps {
        let time = first + (last - first) * step as f64 / steps as f64;
        let [x, y] = center.pair_at(effect, time)?;
        path.push(view.to_canvas([x * view.aspect(), y]));
    }
    path.retain(|point| point.iter().all(|number| number.is_finite()));
    Ok(path)
}

/// Where the center is at its keys, on the canvas.
fn center_keys(effect: Effect<'_>, view: &View) -> Result<Vec<Point>, Status> {
    let center = Instance::of(effect)?.parameter(ELLIPSE_CENTER)?;
    if !center.is_animated(effect) {
        return Ok(Vec::new());
    }
    let mut keys = Vec::new();
    for time in center.key_times(effect)?.into_iter().take(PATH_POINTS) {
        let [x, y] = center.pair_at(effect, time)?;
        keys.push(view.to_canvas([x * view.aspect(), y]));
    }
    keys.retain(|point| point.iter().all(|number| number.is_finite()));
    Ok(keys)
}

fn pen_position(interact: OverlayInteract<'_>) -> Result<Point, Status> {
    let arguments = interact.arguments()?;
    Ok([arguments.double(names::PEN_POSITION, 0)?, arguments.double(names::PEN_POSITION, 1)?])
}

/// Size of a pixel of the screen on the canvas.
fn pixel_size(interact: OverlayInteract<'_>) -> [f64; 2] {
    let along_axis = |index| {
        [interact.arguments(), interact.properties()]
            .into_iter()
            .filter_map(|it| it.and_then(|it| it.double(names::PIXEL_SCALE, index)).ok())
            .find(|size| size.is_finite() && *size > 0.0)
            .unwrap_or(1.0)
    };
    [along_axis(0), along_axis(1)]
}

fn suggested_color(interact: OverlayInteract<'_>) -> Option<Color> {
    let properties = interact.properties().ok()?;
    let part = |index| properties.double(names::SUGGESTED_COLOR, index).ok();
    let [red, green, blue] = [part(0)?, part(1)?, part(2)?].map(|part| part as f32);
    Some(Color([red, green, blue, 1.0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Kind, TABLE, position};

    #[test]
    fn whatever_is_shown_is_a_parameter() {
        for id in SHOWN_PARAMETERS {
            assert!(position(id).is_some(), "{id:?}");
        }
    }

    #[test]
    fn drags_end_where_the_parameters_do() {
        let kind = |id| TABLE[position(id).unwrap()].kind;
        let limits = |range: &std::ops::RangeInclusive<f64>| [*range.start(), *range.end()];
        let Kind::Double { range, .. } = kind(ELLIPSE_ANGLE) else {
            panic!("the angle is one number")
        };
        assert_eq!(range, limits(&drag::ANGLE));
        for (id, expected) in [
            (ELLIPSE_CENTER, wan_alpha_take::ellipse::CENTER),
            (ELLIPSE_AXES, wan_alpha_take::ellipse::AXIS),
        ] {
            let Kind::Double2D { range, .. } = kind(id) else { panic!("{id:?} is a pair") };
            assert_eq!(range, limits(&expected));
        }
    }

    #[test]
    fn an_unknown_action_is_left_to_the_host() {
        assert_eq!(InteractAction::named(c"OfxInteractActionKeyRepeat"), InteractAction::Other);
        assert_eq!(InteractAction::named(c"OfxInteractActionDraw"), InteractAction::Draw);
    }
}
