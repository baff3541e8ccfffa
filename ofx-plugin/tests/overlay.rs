//! The overlay in the hands of an artist, in hosts that draw by the Draw Suite and by OpenGL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[cfg(target_os = "linux")]
#[path = "fake-gl/fake_gl.rs"]
mod fake_gl;

use std::path::PathBuf;

use wan_alpha_test_host::{
    Context, Drawing, DrawsWith, Host, Node, Overlay, Plugin, Profile, Project, Shape, Source,
    Status, Stroke, Undo,
};

const ESCAPE: i32 = 0xFF1B;
const SHIFT: i32 = 0xFFE1;
const CONTROL: i32 = 0xFFE3;

/// Of every project here: higher than a take needs that is fitted by its width.
const SIZE: [f64; 2] = [1920.0, 2000.0];

/// Where a new ellipse is.
const CENTER: [f64; 2] = [960.0, 1000.0];

/// Of a take of 832 × 480 that is fitted into a width of 1920.
const HEIGHT: f64 = 1920.0 * 480.0 / 832.0;

/// What cargo built beside this test.
fn file() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libwan_alpha_ofx.so")
}

/// What is named first goes first.
struct Session {
    overlay: Overlay,
    node: Node,
    project: Project,
    _plugin: Plugin,
    _host: Host,
}

impl Session {
    fn of(profile: Profile) -> Self {
        let host = Host::new(profile.sized(SIZE[0], SIZE[1]));
        let plugin = host.load(file()).unwrap();
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let overlay = node.overlay().unwrap();
        Self { overlay, node, project, _plugin: plugin, _host: host }
    }

    /// A drag of an artist who sees what he takes hold of.
    fn drag(&self, from: [f64; 2], to: [f64; 2]) {
        assert_eq!(self.overlay.draw().status, Status::OK);
        assert!(self.overlay.drag(from, to, 7), "nothing is under the pen at {from:?}");
    }

    fn numbers(&self, id: &str) -> Vec<f64> {
        self.node.doubles(id)
    }

    fn times_of_keys(&self, id: &str) -> Vec<f64> {
        self.node.keys(id).into_iter().map(|(time, _)| time).collect()
    }
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(near, "{found:?} is not {expected:?}");
}

/// The second, after its rim.
fn outline(drawing: &Drawing) -> &Stroke {
    let outlines = drawing.shapes(Shape::LineLoop);
    let [_, outline] = outlines[..] else { panic!("{outlines:?}") };
    outline
}

fn assert_is_ellipse(points: &[[f64; 2]], center: [f64; 2], half: [f64; 2]) {
    for [x, y] in points {
        let (u, v) = ((x - center[0]) / half[0], (y - center[1]) / half[1]);
        assert!((u * u + v * v - 1.0).abs() < 1e-9, "{x}, {y}");
    }
}

/// Every part is dragged, and what comes of it compared.
fn drag_everything(session: &Session) {
    let Session { overlay, node, .. } = session;
    // The center, by a tenth of the frame's width and a fifth of its height.
    let to = [CENTER[0] + 192.0, CENTER[1] - 0.2 * HEIGHT];
    session.drag(CENTER, to);
    assert_near(&session.numbers("ellipseCenter"), &[0.6, 0.3]);
    assert!(session.times_of_keys("ellipseCenter").is_empty());
    // The right handle inwards by a tenth of the height; the axis goes on both sides.
    let right = [to[0] + 0.3 * HEIGHT, to[1]];
    session.drag(right, [right[0] - 0.1 * HEIGHT, right[1] + 50.0]);
    assert_near(&session.numbers("ellipseAxes"), &[0.4, 1.0]);
    // The outline to half its size.
    let ring = |scale: f64| [to[0] + 0.12 * HEIGHT * scale, to[1] + 0.4 * HEIGHT * scale];
    session.drag(ring(1.0), ring(0.5));
    assert_near(&session.numbers("ellipseAxes"), &[0.2, 0.5]);
    // The rotation handle a quarter round.
    let knob = 0.1 * HEIGHT + 40.0;
    session.drag([to[0] + knob, to[1]], [to[0], to[1] + knob]);
    assert_near(&session.numbers("ellipseAngle"), &[90.0]);
    // A click, a dropped drag and a pen somewhere else change nothing.
    session.drag(to, to);
    overlay.draw();
    assert!(!overlay.key_down(ESCAPE, ""));
    assert!(overlay.pen_down(to));
    assert!(overlay.pen_motion(CENTER));
    assert!(overlay.key_down(ESCAPE, ""));
    assert!(!overlay.pen_up(CENTER));
    assert!(overlay.pen_down(to));
    assert!(overlay.pen_motion(CENTER));
    overlay.lose_focus();
    assert!(!overlay.pen_up(CENTER));
    assert!(!overlay.drag([10.0, 10.0], [60.0, 60.0], 3));
    assert_near(&session.numbers("ellipseCenter"), &[0.6, 0.3]);

    let steps = ["Move ellipse", "Resize ellipse", "Resize ellipse", "Turn ellipse"];
    if node.undo_steps().is_empty() {
        return;
    }
    assert_eq!(node.undo_steps(), steps);
    node.undo();
    assert_near(&session.numbers("ellipseAngle"), &[0.0]);
    node.undo();
    assert_near(&session.numbers("ellipseAxes"), &[0.4, 1.0]);
    node.undo();
    assert_near(&session.numbers("ellipseAxes"), &[0.6, 1.0]);
    node.undo();
    assert_near(&session.numbers("ellipseCenter"), &[0.5, 0.5]);
    node.redo();
    assert_near(&session.numbers("ellipseCenter"), &[0.6, 0.3]);
}

#[test]
fn the_draw_suite_draws_what_the_parameters_say() {
    let session = Session::of(Profile::plain());
    let Session { overlay, node, .. } = &session;
    assert_eq!(overlay.draws_with(), DrawsWith::DrawSuite);
    let slaves = overlay.properties().unwrap().texts("OfxInteractPropSlaveToParam");
    for id in [
        "ellipseCenter",
        "ellipseAxes",
        "ellipseAngle",
        "status",
        "fit",
        "resolution",
        "image",
        "model",
        "history",
    ] {
        assert!(slaves.iter().any(|slave| slave == id), "{id} is not in {slaves:?}");
    }

    overlay.colors([0.0; 3], [0.0, 0.25, 1.0]);
    let drawing = overlay.draw();
    assert_eq!(drawing.status, Status::OK);
    let drawn = outline(&drawing);
    assert_is_ellipse(&drawn.points, CENTER, [0.3 * HEIGHT, 0.5 * HEIGHT]);
    assert_eq!(drawn.pen.color, [0.0, 0.25, 1.0, 1.0]);
    assert_eq!(drawn.pen.width, 1.5);
    let rim = drawing.shapes(Shape::LineLoop)[0];
    assert_eq!((rim.pen.color, rim.pen.width), ([0.0, 0.0, 0.0, 0.7], 3.5));
    assert_eq!(rim.points, drawn.points);

    // The line about the take, from the upper left corner of it.
    node.press("generate");
    let status = node.text("status");
    assert!(!status.is_empty());
    let drawing = overlay.draw();
    let [_, text] = drawing.texts()[..] else { panic!("{:?}", drawing.texts()) };
    assert!(status.starts_with(text.trim_end_matches("...")), "{text}");
    let words = drawing.strokes.last().unwrap();
    assert_eq!(words.shape, Shape::Text { alignment: 0x11 });
    assert_near(&words.points[0], &[8.0, CENTER[1] + HEIGHT / 2.0 - 18.0]);

    // Handles are as large on the screen at every zoom.
    let side = |pixel: f64| {
        overlay.zoom(pixel);
        let drawing = overlay.draw();
        let handle = drawing.shapes(Shape::Polygon).into_iter().rfind(|it| it.points.len() == 4);
        let [from, to, ..] = handle.unwrap().points[..] else { panic!("a handle is a square") };
        (to[0] - from[0]) / pixel
    };
    assert_near(&[side(0.25), side(1.0), side(4.0)], &[7.0, 7.0, 7.0]);
}

#[test]
fn each_drag_is_one_step_of_undo() {
    let session = Session::of(Profile::plain());
    drag_everything(&session);
    assert_eq!(session.node.undo_steps(), ["Move ellipse"]);
}

#[test]
fn what_is_dragged_moves_on_the_screen_and_is_written_at_the_end() {
    let session = Session::of(Profile::plain());
    let Session { overlay, .. } = &session;
    overlay.draw();
    assert!(!overlay.pen_motion(CENTER), "hovering is for everybody");
    let redraws = overlay.redraws();
    assert_eq!(redraws, 1);
    overlay.pen_motion([CENTER[0] + 1.0, CENTER[1]]);
    assert_eq!(overlay.redraws(), redraws, "nothing looks different");
    let drawing = overlay.draw();
    let lit = |drawing: &Drawing| {
        drawing.strokes.iter().filter(|it| it.pen.color == [0.25, 1.0, 0.35, 1.0]).count()
    };
    assert_eq!(lit(&drawing), 1);

    assert!(overlay.pen_down(CENTER));
    assert!(overlay.pen_motion([CENTER[0] + 192.0, CENTER[1]]));
    assert!(overlay.redraws() > redraws);
    let half = [0.3 * HEIGHT, 0.5 * HEIGHT];
    let moved = [CENTER[0] + 192.0, CENTER[1]];
    assert_is_ellipse(&outline(&overlay.draw()).points, moved, half);
    assert_near(&session.numbers("ellipseCenter"), &[0.5, 0.5]);
    assert!(overlay.pen_up(moved));
    assert_near(&session.numbers("ellipseCenter"), &[0.6, 0.5]);
    assert_is_ellipse(&outline(&overlay.draw()).points, moved, half);

    // Shift holds the center to one direction and the angle to fifteen degrees.
    overlay.key_down(SHIFT, "");
    session.drag(moved, [moved[0] + 10.0, moved[1] + 0.1 * HEIGHT]);
    assert_near(&session.numbers("ellipseCenter"), &[0.6, 0.6]);
    let [x, y] = [moved[0], moved[1] + 0.1 * HEIGHT];
    session.drag([x + 0.3 * HEIGHT + 40.0, y], [x + 100.0, y + 95.0]);
    assert_near(&session.numbers("ellipseAngle"), &[45.0]);
    let axes = session.numbers("ellipseAxes");
    overlay.key_up(SHIFT, "");
    // With Control everything goes a tenth of the way.
    let center = session.numbers("ellipseCenter");
    overlay.key_down(CONTROL, "");
    session.drag([x, y], [x + 192.0, y]);
    overlay.key_up(CONTROL, "");
    assert_near(&session.numbers("ellipseCenter"), &[center[0] + 0.01, center[1]]);
    assert_near(&session.numbers("ellipseAxes"), &axes);
}

#[test]
fn an_animated_parameter_gets_a_key_where_the_artist_is_in_time() {
    key_and_drag(Profile::plain());
    // Its keys say as much.
    key_and_drag(Profile::plain().without_properties(&["OfxParamPropIsAnimating"]));
}

fn key_and_drag(profile: Profile) {
    let session = Session::of(profile);
    let Session { overlay, node, project, .. } = &session;
    node.key("ellipseCenter", 0.0, [0.4, 0.5]);
    node.key("ellipseCenter", 20.0, [0.6, 0.5]);
    project.go_to(10.0);
    let drawing = overlay.draw();
    let path = drawing.shapes(Shape::LineStrip)[1];
    assert_eq!(path.points.len(), 21);
    assert_near(&path.points[0], &[0.4 * 1920.0, CENTER[1]]);
    assert_near(&path.points[20], &[0.6 * 1920.0, CENTER[1]]);
    // Two keys on it; four handles and the knob; all with their rims.
    assert_eq!(drawing.shapes(Shape::Polygon).len(), 14);

    session.drag(CENTER, [CENTER[0], CENTER[1] + 0.1 * HEIGHT]);
    assert_eq!(session.times_of_keys("ellipseCenter"), [0.0, 10.0, 20.0]);
    assert_near(&session.numbers("ellipseCenter"), &[0.5, 0.6]);
    // While the host plays on, the key belongs to what was taken hold of.
    overlay.draw();
    let at = [CENTER[0], CENTER[1] + 0.1 * HEIGHT];
    assert!(overlay.pen_down(at));
    project.go_to(12.0);
    assert!(overlay.pen_up([at[0] + 19.2, at[1]]));
    assert_eq!(session.times_of_keys("ellipseCenter"), [0.0, 10.0, 20.0]);
    project.go_to(10.0);
    assert_near(&session.numbers("ellipseCenter"), &[0.51, 0.6]);
    overlay.draw();
    assert!(overlay.drag([at[0] + 19.2, at[1]], at, 1));
    // The angle is not animated, so it gets a value.
    let knob = [CENTER[0] + 0.3 * HEIGHT + 40.0, CENTER[1] + 0.1 * HEIGHT];
    session.drag(knob, [CENTER[0], knob[1] + 400.0]);
    assert!(session.times_of_keys("ellipseAngle").is_empty());
    assert_near(&session.numbers("ellipseAngle"), &[90.0]);

    node.key("ellipseCenter", 1e6, [0.6, 0.5]);
    assert_eq!(overlay.draw().shapes(Shape::LineStrip)[1].points.len(), 200);
}

#[test]
fn a_take_that_is_stretched_over_the_source_is_dragged_as_it_looks() {
    let session = Session::of(Profile::plain().with_contexts(&[Context::General]));
    let Session { overlay, node, .. } = &session;
    node.connect("Source", Source::over([0.0, 0.0, 50.0, 50.0]).with_format([100, 200, 2100, 700]));
    node.set("fit", 2);
    let (center, half) = ([1100.0, 450.0], [0.3 / (832.0 / 480.0) * 2000.0, 250.0]);
    assert_is_ellipse(&outline(&overlay.draw()).points, center, half);
    session.drag([center[0] + half[0], center[1]], [center[0] + half[0] * 4.0 / 3.0, center[1]]);
    assert_near(&session.numbers("ellipseAxes"), &[0.8, 1.0]);
    // A fifth of the take's height, a fifth of the Source's.
    session.drag(center, [center[0], center[1] + 100.0]);
    assert_near(&session.numbers("ellipseCenter"), &[0.5, 0.7]);
}

#[test]
fn what_cannot_be_seen_cannot_be_taken() {
    let session = Session::of(Profile::plain());
    let Session { overlay, project, .. } = &session;
    assert!(!overlay.pen_down(CENTER), "nothing has been drawn yet");
    assert_eq!(overlay.draw().status, Status::OK);
    assert!(overlay.pen_down(CENTER) && overlay.pen_up(CENTER));
    // Some hosts do not know the size of their project at first.
    let mut settings = project.settings();
    settings.size = [0.0, 0.0];
    project.set_settings(settings);
    let drawing = overlay.draw();
    assert_eq!((drawing.status, drawing.strokes.len()), (Status::REPLY_DEFAULT, 0));
    assert!(!overlay.pen_down(CENTER));
}

#[test]
fn a_host_that_draws_by_nulls_hurts_nobody() {
    let mut profile = Profile::plain();
    for function in ["getColour", "setColour", "setLineWidth", "setLineStipple", "drawText"] {
        profile = profile.with_null("OfxDrawSuite", function);
    }
    let session = Session::of(profile.clone().with_null("OfxInteractSuite", "interactRedraw"));
    drag_everything(&session);
    let session = Session::of(profile.with_null("OfxDrawSuite", "draw"));
    assert_eq!(session.overlay.draw().status, Status::REPLY_DEFAULT);
    assert!(!session.overlay.pen_down(CENTER), "nothing can be seen");
}

#[test]
fn a_host_is_offered_what_it_can_draw() {
    let plain = Profile::plain();
    for (profile, offered) in [
        (plain.clone(), [true, true]),
        (plain.clone().without_suite("OfxDrawSuite"), [true, false]),
        (plain.without_suite("OfxInteractSuite"), [false, false]),
    ] {
        let host = Host::new(profile);
        let described = host.load(file()).unwrap().properties();
        let entry = |version| format!("OfxImageEffectPluginPropOverlayInteractV{version}");
        assert_eq!([1, 2].map(|version| described.was_set(&entry(version))), offered);
    }
}

/// One test, since a process has one OpenGL.
#[cfg(target_os = "linux")]
#[test]
fn opengl_draws_the_same_and_leaves_no_trace() {
    let nuke = Session::of(Profile::nuke());
    assert_eq!(nuke.overlay.draws_with(), DrawsWith::OpenGl);
    assert_eq!(nuke.overlay.draw().status, Status::REPLY_DEFAULT, "no OpenGL is loaded");
    assert!(!nuke.overlay.pen_down(CENTER));

    let mut gl = fake_gl::Built::new().load(true);
    gl.reset(Some("2.1 Mesa 24.0"), 0, 0);
    let before = gl.state();
    let suite = Session::of(Profile::plain());
    let strokes = suite.overlay.draw().strokes;
    assert!(gl.figures().is_empty(), "OpenGL is used beside the Draw Suite");

    let drawing = nuke.overlay.draw();
    assert_eq!((drawing.status, drawing.strokes.len()), (Status::OK, 0));
    assert_eq!(gl.state(), before);
    assert_eq!(gl.error(), 0);
    let figures = gl.figures();
    assert_eq!(figures.len(), strokes.len());
    for (figure, stroke) in figures.iter().zip(&strokes) {
        let mode = match stroke.shape {
            Shape::Lines => 1,
            Shape::LineLoop => 2,
            Shape::Polygon => 9,
            other => panic!("{other:?}"),
        };
        assert_eq!((figure.mode, &figure.points), (mode, &stroke.points));
        assert_eq!((figure.width, figure.color), (stroke.pen.width, stroke.pen.color));
    }

    // A line of text comes as squares.
    nuke.node.press("generate");
    gl.reset(Some("2.1 Mesa 24.0"), 0, 0);
    assert_eq!(nuke.overlay.draw().status, Status::OK);
    assert_eq!(gl.figures().iter().filter(|figure| figure.mode == 7).count(), 2);

    for profile in [Profile::nuke(), Profile::natron(), Profile::resolve()] {
        let undone = profile.undo != Undo::OfTheArtistOnly;
        let session = Session::of(profile);
        drag_everything(&session);
        assert_eq!(session.node.undo_steps().is_empty(), !undone);
        assert_eq!(gl.state(), before);
        assert_eq!(gl.error(), 0);
        let _ = gl.figures();
    }
}
