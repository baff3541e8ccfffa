//! What a plug-in draws over the viewer, and the artist's pen and keys.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::action::Action;
use crate::boundary::Handled;
use crate::call::Call;
use crate::effect::Effect;
use crate::host::HostState;
use crate::node::NodeState;
use crate::plugin::Entry;
use crate::properties::{Place, Properties, PropertySet};
use crate::registry::Handle;
use crate::rules::fail;
use crate::status::Status;

/// An overlay of one instance, to the plug-in.
pub(crate) struct Interact {
    handle: Handle,
    host: Arc<HostState>,
    pub(crate) properties: Arc<PropertySet>,
    pub(crate) redraws: AtomicU32,
}

impl Handled for Interact {
    const WHAT: &'static str = "an interact";

    fn host(&self) -> Option<Arc<HostState>> {
        Some(self.host.clone())
    }
}

impl Interact {
    fn new(host: &Arc<HostState>, place: Place) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            host: host.clone(),
            properties: PropertySet::new(host, place),
            redraws: AtomicU32::new(0),
        })
    }
}

/// What is drawn with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    /// Red, green, blue, alpha.
    pub color: [f32; 4],
    /// Of lines, in pixels of the screen; 0 is as thin as can be.
    pub width: f32,
    /// Number of the pattern of lines.
    pub stipple: u32,
}

/// What can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A line for each pair of points.
    Lines,
    /// Lines from point to point.
    LineStrip,
    /// The same, and back to the first.
    LineLoop,
    /// Filled, between two corners.
    Rectangle,
    /// Filled, through all its points.
    Polygon,
    /// An outline, between two corners.
    Ellipse,
    /// Words at a point.
    Text {
        /// OpenFX's flags of how it is aligned to the point.
        alignment: i32,
    },
}

impl Shape {
    pub(crate) fn numbered(number: u32) -> Option<Self> {
        let all = [
            Self::Lines,
            Self::LineStrip,
            Self::LineLoop,
            Self::Rectangle,
            Self::Polygon,
            Self::Ellipse,
        ];
        all.get(usize::try_from(number).ok()?).copied()
    }

    pub(crate) fn takes(self, points: usize) -> bool {
        match self {
            Self::Lines => points >= 2 && points.is_multiple_of(2),
            Self::LineStrip => points >= 2,
            Self::LineLoop | Self::Polygon => points >= 3,
            Self::Rectangle | Self::Ellipse => points == 2,
            Self::Text { .. } => points == 1,
        }
    }
}

/// One thing that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// What kind of thing it is.
    pub shape: Shape,
    /// Where, in canonical coordinates.
    pub points: Vec<[f64; 2]>,
    /// Words, where it is words.
    pub text: String,
    /// The pen that it was drawn with.
    pub pen: Pen,
}

/// What one Draw draws on.
pub(crate) struct Canvas {
    handle: Handle,
    host: Arc<HostState>,
    pub(crate) pen: Mutex<Pen>,
    pub(crate) strokes: Mutex<Vec<Stroke>>,
}

impl Handled for Canvas {
    const WHAT: &'static str = "a draw context";

    fn host(&self) -> Option<Arc<HostState>> {
        Some(self.host.clone())
    }
}

impl Canvas {
    fn new(host: &Arc<HostState>) -> Arc<Self> {
        let pen = Pen { color: [1.0; 4], width: 1.0, stipple: 0 };
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            host: host.clone(),
            pen: Mutex::new(pen),
            strokes: Mutex::default(),
        })
    }
}

/// How an overlay draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawsWith {
    /// OpenGL, in the host's context.
    OpenGl,
    /// The host's draw suite.
    DrawSuite,
}

/// What came of a Draw.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// The plug-in's answer to the draw action.
    pub status: Status,
    /// What was drawn with the draw suite.
    pub strokes: Vec<Stroke>,
}

impl Drawing {
    /// All words that were drawn.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let is_text = |stroke: &&Stroke| matches!(stroke.shape, Shape::Text { .. });
        self.strokes.iter().filter(is_text).map(|stroke| stroke.text.as_str()).collect()
    }

    /// All of a shape.
    #[must_use]
    pub fn shapes(&self, shape: Shape) -> Vec<&Stroke> {
        self.strokes.iter().filter(|stroke| stroke.shape == shape).collect()
    }
}

/// The viewer that an overlay is drawn over.
#[derive(Clone, Copy, Debug)]
struct Viewer {
    /// Size of a pixel of the screen in canonical coordinates.
    pixel_scale: [f64; 2],
    background: [f64; 3],
    suggested: [f64; 3],
    pen: [f64; 2],
    pressed: bool,
}

/// The overlay of a node, on whatever instance the node has.
pub struct Overlay {
    node: Arc<NodeState>,
    entry: Entry,
    with: DrawsWith,
    viewer: Mutex<Viewer>,
}

impl Overlay {
    /// Of a node that has one and a host that shows it; none where the plug-in refuses to make it.
    pub(crate) fn of(node: &Arc<NodeState>) -> Option<Self> {
        let (entry, with) = found(node)?;
        let viewer = Viewer {
            pixel_scale: [1.0; 2],
            background: [0.0; 3],
            suggested: [0.8, 0.8, 0.8],
            pen: [0.0; 2],
            pressed: false,
        };
        let overlay = Self { node: node.clone(), entry, with, viewer: Mutex::new(viewer) };
        overlay.interact()?;
        Some(overlay)
    }

    /// By which of OpenFX's ways it draws.
    #[must_use]
    pub fn draws_with(&self) -> DrawsWith {
        self.with
    }

    /// From now on a pixel of the screen has this size in canonical coordinates.
    pub fn zoom(&self, pixel_scale: f64) {
        self.viewer.lock().pixel_scale = [pixel_scale; 2];
    }

    /// From now on the viewer is of these colors: background, and what overlays should be drawn in.
    pub fn colors(&self, background: [f64; 3], suggested: [f64; 3]) {
        let mut viewer = self.viewer.lock();
        viewer.background = background;
        viewer.suggested = suggested;
    }

    /// How often the plug-in has asked to be drawn again since the instance was made.
    #[must_use]
    pub fn redraws(&self) -> u32 {
        self.interact().map_or(0, |interact| interact.redraws.load(Ordering::Relaxed))
    }

    /// What the plug-in has set on its interact.
    #[must_use]
    pub fn properties(&self) -> Option<Properties> {
        self.interact().map(|interact| Properties(interact.properties.clone()))
    }

    /// Draws at the current time.
    #[track_caller]
    pub fn draw(&self) -> Drawing {
        let canvas = Canvas::new(&self.node.host());
        let status = self.act(Action::Draw, |call| {
            if self.with == DrawsWith::DrawSuite {
                let handle = canvas.handle.number();
                call.arguments().put("OfxInteractPropDrawContext", [handle]);
                call.doing.canvas = Some(canvas.clone());
            }
        });
        Drawing { status, strokes: std::mem::take(&mut *canvas.strokes.lock()) }
    }

    /// Presses the pen at a place, in canonical coordinates. Whether the plug-in took it.
    #[track_caller]
    pub fn pen_down(&self, at: [f64; 2]) -> bool {
        self.pen(Action::PenDown, at, true)
    }

    /// Moves the pen, pressed or not.
    #[track_caller]
    pub fn pen_motion(&self, at: [f64; 2]) -> bool {
        let pressed = self.viewer.lock().pressed;
        self.pen(Action::PenMotion, at, pressed)
    }

    /// Lifts the pen. Whether the plug-in took it.
    #[track_caller]
    pub fn pen_up(&self, at: [f64; 2]) -> bool {
        self.pen(Action::PenUp, at, false)
    }

    /// Presses, moves in so many steps, and lifts. Whether the plug-in took the press.
    #[track_caller]
    pub fn drag(&self, from: [f64; 2], to: [f64; 2], steps: u32) -> bool {
        self.pen_motion(from);
        let taken = self.pen_down(from);
        for step in 1..=steps {
            let part = f64::from(step) / f64::from(steps);
            self.pen_motion([0, 1].map(|n| from[n] + (to[n] - from[n]) * part));
        }
        self.pen_up(to);
        taken
    }

    /// Presses a key: its X11 number, and what it types.
    #[track_caller]
    pub fn key_down(&self, symbol: i32, types: &str) -> bool {
        self.key(Action::KeyDown, symbol, types)
    }

    /// Repeats a key that is held. Whether the plug-in took it.
    #[track_caller]
    pub fn key_repeat(&self, symbol: i32, types: &str) -> bool {
        self.key(Action::KeyRepeat, symbol, types)
    }

    /// Lets a key go.
    #[track_caller]
    pub fn key_up(&self, symbol: i32, types: &str) -> bool {
        self.key(Action::KeyUp, symbol, types)
    }

    /// The overlay gets pen and keys.
    #[track_caller]
    pub fn gain_focus(&self) -> bool {
        self.act(Action::GainFocus, |_| {}) == Status::OK
    }

    /// The viewer has the keyboard no more. Whether the plug-in took it.
    #[track_caller]
    pub fn lose_focus(&self) -> bool {
        self.act(Action::LoseFocus, |_| {}) == Status::OK
    }

    #[track_caller]
    fn pen(&self, action: Action, at: [f64; 2], pressed: bool) -> bool {
        let scale = {
            let mut viewer = self.viewer.lock();
            viewer.pen = at;
            viewer.pressed = pressed;
            viewer.pixel_scale
        };
        let status = self.act(action, |call| {
            let arguments = call.arguments();
            arguments.put("OfxInteractPropPenPosition", at);
            let pixel = [0, 1].map(|n| (at[n] / scale[n]).round() as i32);
            arguments.put("OfxInteractPropPenViewportPosition", pixel);
            arguments.put("OfxInteractPropPenPressure", [f64::from(u8::from(pressed))]);
        });
        status == Status::OK
    }

    #[track_caller]
    fn key(&self, action: Action, symbol: i32, types: &str) -> bool {
        let status = self.act(action, |call| {
            call.arguments().put("kOfxPropKeySym", [symbol]);
            call.arguments().put("kOfxPropKeyString", [types]);
        });
        status == Status::OK
    }

    #[track_caller]
    fn act(&self, action: Action, tell: impl FnOnce(&mut Call)) -> Status {
        self.node.host().on_main_thread();
        let (Some(effect), Some(interact)) = (self.node.primary(), self.interact()) else {
            fail("the node of this overlay is gone, or it has refused to be made");
        };
        let viewer = *self.viewer.lock();
        interact.properties.put("OfxInteractPropPixelScale", viewer.pixel_scale);
        interact.properties.put("OfxInteractPropBackgroundColour", viewer.background);
        interact.properties.put("OfxInteractPropSuggestedColour", viewer.suggested);
        let mut call = Call::of(&effect, action)
            .through(self.entry, interact.handle.number())
            .at(self.node.project.now())
            .scaled([1.0; 2]);
        let arguments = call.arguments();
        arguments.put("OfxPropEffectInstance", [effect.handle()]);
        arguments.put("OfxInteractPropPixelScale", viewer.pixel_scale);
        arguments.put("OfxInteractPropBackgroundColour", viewer.background);
        tell(&mut call);
        let status = call.perform();
        // An edit by hand is an edit: what is rebuilt at edits is rebuilt, once the pen is lifted.
        if self.viewer.lock().pressed {
            self.node.host().faults.check();
        } else {
            self.node.after_action();
        }
        status
    }

    fn interact(&self) -> Option<Arc<Interact>> {
        let effect = self.node.primary()?;
        if let Some(interact) = effect.interact.lock().clone() {
            return Some(interact);
        }
        let host = &effect.host;
        let descriptor = Interact::new(host, Place::InteractDescriptor);
        let call = |action, handle| Call::of(&effect, action).through(self.entry, handle).perform();
        let described = call(Action::DescribeInteract, descriptor.handle.number());
        if ![Status::OK, Status::REPLY_DEFAULT].contains(&described) {
            return None;
        }
        let interact = Interact::new(host, Place::Interact);
        interact.properties.put("OfxPropEffectInstance", [effect.handle()]);
        let slaves = descriptor.properties.texts("OfxInteractPropSlaveToParam");
        interact.properties.put("OfxInteractPropSlaveToParam", slaves);
        let created = call(Action::CreateInteract, interact.handle.number());
        if ![Status::OK, Status::REPLY_DEFAULT].contains(&created) {
            return None;
        }
        *effect.interact.lock() = Some(interact.clone());
        Some(interact)
    }
}

/// Before its effect goes, the interact does.
pub(crate) fn close(effect: &Arc<Effect>) {
    let Some(interact) = effect.interact.lock().take() else { return };
    let Some((entry, _)) = effect.node.upgrade().and_then(|node| found(&node)) else { return };
    Call::of(effect, Action::DestroyInteract).through(entry, interact.handle.number()).perform();
}

/// The plug-in's overlay that the host would use.
fn found(node: &Arc<NodeState>) -> Option<(Entry, DrawsWith)> {
    let host = node.host();
    if !host.profile.overlays || host.profile.background || !host.suites.has("OfxInteractSuite", 1)
    {
        return None;
    }
    let described = &node.project.loaded.descriptor.properties;
    let entry = |version| {
        let name = format!("OfxImageEffectPluginPropOverlayInteractV{version}");
        Entry::at(described.pointer(&name))
    };
    let modern = entry(2).filter(|_| host.suites.has("OfxDrawSuite", 1));
    modern
        .map(|entry| (entry, DrawsWith::DrawSuite))
        .or_else(|| entry(1).map(|entry| (entry, DrawsWith::OpenGl)))
}
