//! Drawing by a fake OpenGL that minds every call.

#[path = "../../../tests/fake-gl/fake_gl.rs"]
mod fake_gl;

use super::*;
use fake_gl::{Built, FakeGl, Figure as Drawn};

const RED: Color = Color([1.0, 0.0, 0.0, 0.5]);
const COMPATIBLE: &str = "4.6 (Compatibility Profile) Mesa 24.0";

fn draw_all() -> bool {
    let Some(mut canvas) = OpenGl::begin([0.5, 2.0]) else { return false };
    canvas.set_color(RED);
    canvas.set_line_width(1.5);
    for figure in [Figure::Lines, Figure::Loop, Figure::Strip, Figure::Polygon] {
        canvas.draw_figure(figure, &[[1.0, 2.0], [3.0, 4.0]]);
    }
    canvas.draw_text([100.0, 200.0], "E");
    true
}

/// Draws, and puts everything back.
fn assert_draws(gl: &mut FakeGl, version: &str, profile: c_int, flags: c_int) -> Vec<Drawn> {
    gl.reset(Some(version), profile, flags);
    gl.set_error(0x0502, false);
    let before = gl.state();
    assert!(draw_all(), "{version}");
    assert_eq!(gl.state(), before);
    assert_eq!(gl.error(), 0);
    gl.figures()
}

/// Draws nothing, and touches nothing on the way.
fn assert_leaves_alone(gl: &FakeGl) {
    let before = gl.state();
    assert!(!draw_all());
    assert_eq!(gl.state(), before);
    assert!(gl.figures().is_empty());
}

/// One test: a process has one OpenGL.
#[test]
fn draws_by_the_opengl_that_is_there_and_leaves_it_as_it_was() {
    assert!(OpenGl::begin([1.0, 1.0]).is_none(), "no OpenGL has been loaded");
    let built = Built::new();
    for by_everybody in [false, true] {
        let mut gl = built.load(by_everybody);
        let drawn = assert_draws(&mut gl, "2.1 INTEL-14.7.28", 0, 0);
        assert_eq!(drawn, assert_draws(&mut gl, COMPATIBLE, 2, 0));
        assert_eq!(drawn, assert_draws(&mut gl, "3.0.0 NVIDIA", 0, 0));

        let points = vec![[1.0, 2.0], [3.0, 4.0]];
        let modes: Vec<_> = drawn.iter().map(|figure| figure.mode).collect();
        assert_eq!(modes, [1, 2, 3, 9, QUADS]);
        for figure in &drawn {
            assert_eq!((figure.width, figure.color), (1.5, RED.0));
        }
        assert!(drawn[..4].iter().all(|figure| figure.points == points));
        // A dot is a pixel of the screen: half a unit wide and two high, up from the base line.
        let dots = &drawn[4].points;
        assert_eq!(dots.len() % 4, 0);
        for (axis, unit, from) in [(0, 0.5, 100.0), (1, 2.0, 200.0)] {
            let least = dots.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
            let most = dots.iter().map(|point| point[axis]).fold(f64::MIN, f64::max);
            assert!((from..from + 3.0 * unit).contains(&least), "{least}");
            assert!(most > from + 4.0 * unit && most < from + 13.0 * unit, "{most}");
            assert!(dots.iter().all(|point| ((point[axis] - from) / unit).fract() == 0.0));
        }
    }

    let mut gl = built.load(true);
    for (version, profile, flags) in [
        (None, 0, 0),
        (Some("4.1 Metal - 88"), CORE_PROFILE, 0),
        (Some("3.1 Mesa 20.0"), 0, FORWARD_COMPATIBLE),
        (Some("OpenGL ES 3.2 Mesa 24.0"), 0, 0),
        (Some("unheard of"), 0, 0),
    ] {
        gl.reset(version, profile, flags);
        assert_leaves_alone(&gl);
    }
    for (attributes, matrices) in [(true, false), (false, true)] {
        gl.reset(Some(COMPATIBLE), 2, 0);
        gl.fill_stacks(attributes, matrices);
        assert_leaves_alone(&gl);
    }
    // A broken context reports an error at every look.
    gl.reset(Some(COMPATIBLE), 2, 0);
    gl.set_error(0x0502, true);
    assert!(draw_all());
}

#[test]
fn a_panic_while_drawing_leaves_the_state_as_it_was() {
    // In a process of its own, since the other test asks for one without OpenGL first.
    const ALONE: &str = "WAN_ALPHA_TEST_ALONE";
    let name = "host::gl::tests::a_panic_while_drawing_leaves_the_state_as_it_was";
    if std::env::var_os(ALONE).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let mut gl = Built::new().load(true);
    gl.reset(Some(COMPATIBLE), 2, 0);
    let before = gl.state();
    let panicked = std::panic::catch_unwind(|| {
        let mut canvas = OpenGl::begin([1.0, 1.0]).unwrap();
        canvas.draw_figure(Figure::Loop, &[[0.0, 0.0]]);
        panic!("in the middle of it");
    });
    assert!(panicked.is_err());
    assert_eq!(gl.state(), before);
    assert_eq!(gl.figures().len(), 1);
}
