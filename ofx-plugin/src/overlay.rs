//! The ellipse in the viewer: seen, and dragged.
//!
//! - [`view`]: the maps between take, canvas and screen; `place`: where the take lies.
//! - [`shape`]: outline and handles, and which is under the pen.
//! - [`drag`]: what a drag makes of the ellipse; [`pen`]: what each event does.
//! - [`paint`]: how it looks; [`canvas`]: what it is drawn on.
//!
//! Hosts call an interact on the main thread, and may call it again out of a change it makes. What
//! it remembers is changed under a lock that no call to the host is made under, before the
//! consequences are carried out.

#![forbid(unsafe_code)]

mod canvas;
mod drag;
mod letters;
mod paint;
mod pen;
mod place;
mod shape;
mod view;

use std::ffi::CStr;

use wan_alpha_take::ellipse::Ellipse;

pub(crate) use canvas::{Canvas, Colour, Figure};
pub(crate) use letters::dots;
pub(crate) use pen::Pen;
pub(crate) use view::Point;

use crate::host::{Effect, Interact, KEY_ESCAPE, KEYS_SHIFT, OpenGl, Parameter};
use crate::names;
use crate::node::Node;
use crate::params::{
    ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, FIT, HEIGHT, RESOLUTION, STATUS, WIDTH,
};
use crate::status::{Answer, Status};
use crate::take_state::{self, Restoring};
use drag::{Change, To};
use paint::Picture;
use pen::{Event, Key, PointerContext};
use shape::Shape;
use view::View;

/// What the overlay shows: where one of these changes, the host draws it again.
const SHOWN: [&CStr; 8] =
    [ELLIPSE_CENTER, ELLIPSE_AXES, ELLIPSE_ANGLE, STATUS, FIT, RESOLUTION, WIDTH, HEIGHT];

/// Points of the path of a moving centre.
const PATH_POINTS: usize = 200;

/// How this host has an overlay drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    OpenGl,
    DrawSuite,
}

/// The actions of an interact that are answered; every other one has the host's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
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

impl Action {
    pub(crate) fn named(name: &CStr) -> Self {
        const NAMES: &[(&CStr, Action)] = &[
            (names::ACTION_DESCRIBE, Action::Describe),
            (names::ACTION_CREATE, Action::CreateInstance),
            (names::ACTION_DESTROY, Action::DestroyInstance),
            (names::ACTION_DRAW, Action::Draw),
            (names::ACTION_PEN_MOTION, Action::PenMotion),
            (names::ACTION_PEN_DOWN, Action::PenDown),
            (names::ACTION_PEN_UP, Action::PenUp),
            (names::ACTION_KEY_DOWN, Action::KeyDown),
            (names::ACTION_KEY_UP, Action::KeyUp),
            (names::ACTION_GAIN_FOCUS, Action::GainFocus),
            (names::ACTION_LOSE_FOCUS, Action::LoseFocus),
        ];
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map_or(Self::Other, |(_, action)| *action)
    }
}

pub(crate) fn answer(action: Action, interact: Interact<'_>, way: Way) -> Answer {
    let answer = match action {
        Action::Describe => return Ok(Status::OK),
        Action::CreateInstance => return create(interact),
        Action::DestroyInstance => return interact.detach().map(|()| Status::OK),
        Action::Draw => return draw(interact, way),
        Action::Other => return Ok(Status::REPLY_DEFAULT),
        Action::PenMotion => pen_at(interact).and_then(|at| hear(interact, Event::Motion(at))),
        Action::PenDown => pen_at(interact).and_then(|at| hear(interact, Event::Down(at))),
        Action::PenUp => pen_at(interact).and_then(|at| hear(interact, Event::Up(at))),
        Action::KeyDown => key(interact, true),
        Action::KeyUp => key(interact, false),
        Action::GainFocus => Ok(Status::REPLY_DEFAULT),
        Action::LoseFocus => hear(interact, Event::LoseFocus),
    };
    if matches!(action, Action::PenMotion | Action::KeyDown | Action::GainFocus | Action::LoseFocus)
    {
        // Whatever comes of it, the pen has its own answer.
        let _ = main_thread_event(interact);
    }
    answer
}

/// The artist is here, on the main thread: when to see whether a take has become ready.
fn main_thread_event(interact: Interact<'_>) -> Result<(), Status> {
    let time = interact.arguments()?.double(names::TIME, 0).unwrap_or_default();
    take_state::update_status(Node::of(interact.effect()?, time)?, Restoring::Allowed)
}

fn create(interact: Interact<'_>) -> Answer {
    interact.attach(Pen::default())?;
    let _ = interact.properties()?.set_all(names::SLAVE_TO_PARAM, SHOWN);
    Ok(Status::OK)
}

/// A failure would be the end of the overlay for this session, so there is none.
fn draw(interact: Interact<'_>, way: Way) -> Answer {
    let drawn = show(interact, way).unwrap_or(false);
    interact.remember(|pen| pen.seen = drawn)?;
    Ok(if drawn { Status::OK } else { Status::REPLY_DEFAULT })
}

/// Whether there is anything to be seen.
fn show(interact: Interact<'_>, way: Way) -> Result<bool, Status> {
    let effect = interact.effect()?;
    let Some(scene) = scene(interact)? else { return Ok(false) };
    let node = Node::of(effect, scene.time)?;
    let pen = interact.remember(|pen| *pen)?;
    let path = path(effect, &scene.view).unwrap_or_default();
    let ellipse = pen.dragged().unwrap_or(&scene.ellipse);
    let picture = Picture {
        shape: Shape { view: &scene.view, ellipse },
        highlighted: pen.highlighted(),
        path: &path,
        line: &take_state::overlay_line(node)?,
        suggested: suggested(interact),
    };
    Ok(match way {
        Way::OpenGl => OpenGl::begin(scene.view.pixel()).is_some_and(|mut canvas| {
            paint::paint(&picture, &mut canvas);
            true
        }),
        Way::DrawSuite => interact.draw_suite().is_some_and(|mut canvas| {
            paint::paint(&picture, &mut canvas);
            canvas.has_drawn()
        }),
    })
}

fn key(interact: Interact<'_>, down: bool) -> Answer {
    let symbol = interact.arguments()?.int(names::KEY_SYMBOL).unwrap_or_default();
    let key = match KEYS_SHIFT.iter().position(|shift| *shift == symbol) {
        Some(side) => Key::Shift(side),
        None if symbol == KEY_ESCAPE => Key::Escape,
        None => return Ok(Status::REPLY_DEFAULT),
    };
    hear(interact, Event::Key(key, down))
}

/// What the event does is settled first, then carried out: the host may come back in from there.
fn hear(interact: Interact<'_>, event: Event) -> Answer {
    let scene = scene(interact).ok().flatten();
    let outcome = interact.remember(|pen| pen.on_event(event, scene.as_ref()))?;
    let written = match outcome.change {
        Some(change) => write(interact.effect()?, change),
        None => Ok(()),
    };
    if outcome.redraw {
        interact.redraw();
    }
    written?;
    Ok(if outcome.eaten { Status::OK } else { Status::REPLY_DEFAULT })
}

/// One step of undo; a key where there are keys already.
fn write(effect: Effect<'_>, Change { time, to }: Change) -> Result<(), Status> {
    let instance = effect.instance()?;
    let set_pair = |parameter: Parameter, pair| {
        if parameter.is_animated(effect) {
            parameter.set_pair_at(effect, time, pair)
        } else {
            parameter.set_pair(effect, pair)
        }
    };
    match to {
        To::Centre(centre) => {
            let parameter = instance.parameter(ELLIPSE_CENTER)?;
            effect.as_one_edit(c"Move ellipse", || set_pair(parameter, centre))
        }
        To::Axes(axes) => {
            let parameter = instance.parameter(ELLIPSE_AXES)?;
            effect.as_one_edit(c"Resize ellipse", || set_pair(parameter, axes))
        }
        To::Angle(angle) => {
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

/// None where there is no frame to put a take into, or no ellipse that could be drawn.
fn scene(interact: Interact<'_>) -> Result<Option<PointerContext>, Status> {
    let (effect, time) = (interact.effect()?, interact.arguments()?.double(names::TIME, 0)?);
    let Some((region, aspect)) = place::place(effect, time)? else { return Ok(None) };
    let ellipse = ellipse(effect, time)?;
    let view = View::new(region, aspect, pixel(interact));
    let is_drawable =
        [ellipse.x, ellipse.y, ellipse.a, ellipse.b, ellipse.angle].into_iter().all(f64::is_finite);
    Ok(view.filter(|_| is_drawable).map(|view| PointerContext { view, ellipse, time }))
}

fn ellipse(effect: Effect<'_>, time: f64) -> Result<Ellipse, Status> {
    let instance = effect.instance()?;
    let [x, y] = instance.parameter(ELLIPSE_CENTER)?.pair_at(effect, time)?;
    let [a, b] = instance.parameter(ELLIPSE_AXES)?.pair_at(effect, time)?;
    let angle = instance.parameter(ELLIPSE_ANGLE)?.double_at(effect, time)?;
    Ok(Ellipse { x, y, a, b, angle })
}

/// Where the centre goes from its first key to its last, on the canvas.
fn path(effect: Effect<'_>, view: &View) -> Result<Vec<Point>, Status> {
    let centre = effect.instance()?.parameter(ELLIPSE_CENTER)?;
    let keyed = centre.keyed(effect).filter(|_| centre.is_animated(effect));
    let Some([first, last]) = keyed.filter(|[first, last]| (last - first).is_finite()) else {
        return Ok(Vec::new());
    };
    // Each frame; where there are too many, as many steps as there may be.
    let steps = (last - first).ceil().clamp(1.0, (PATH_POINTS - 1) as f64) as usize;
    let mut path = Vec::with_capacity(steps + 1);
    for step in 0..=steps {
        let time = first + (last - first) * step as f64 / steps as f64;
        let [x, y] = centre.pair_at(effect, time)?;
        path.push(view.on_canvas([x * view.aspect(), y]));
    }
    path.retain(|point| point.iter().all(|number| number.is_finite()));
    Ok(path)
}

fn pen_at(interact: Interact<'_>) -> Result<Point, Status> {
    let arguments = interact.arguments()?;
    Ok([arguments.double(names::PEN_POSITION, 0)?, arguments.double(names::PEN_POSITION, 1)?])
}

/// Size of a pixel of the screen on the canvas.
fn pixel(interact: Interact<'_>) -> [f64; 2] {
    let ask = |index| {
        [interact.arguments(), interact.properties()]
            .into_iter()
            .filter_map(|it| it.and_then(|it| it.double(names::PIXEL_SCALE, index)).ok())
            .find(|size| size.is_finite() && *size > 0.0)
            .unwrap_or(1.0)
    };
    [ask(0), ask(1)]
}

fn suggested(interact: Interact<'_>) -> Option<Colour> {
    let properties = interact.properties().ok()?;
    let part = |index| properties.double(names::SUGGESTED_COLOUR, index).ok();
    let [red, green, blue] = [part(0)?, part(1)?, part(2)?].map(|part| part as f32);
    Some(Colour([red, green, blue, 1.0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Kind, TABLE, position};

    #[test]
    fn whatever_is_shown_is_a_parameter() {
        for id in SHOWN {
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
            (ELLIPSE_CENTER, wan_alpha_take::ellipse::CENTRE),
            (ELLIPSE_AXES, wan_alpha_take::ellipse::AXIS),
        ] {
            let Kind::Double2D { range, .. } = kind(id) else { panic!("{id:?} is a pair") };
            assert_eq!(range, limits(&expected));
        }
    }

    #[test]
    fn an_unknown_action_is_left_to_the_host() {
        assert_eq!(Action::named(c"OfxInteractActionKeyRepeat"), Action::Other);
        assert_eq!(Action::named(c"OfxInteractActionDraw"), Action::Draw);
    }
}
