//! Drawing over the viewer, and the pen.

use wan_alpha_test_host::{DrawsWith, Profile, Shape};

use crate::Scene;

#[test]
fn what_is_drawn_is_written_down() {
    let scene = Scene::new(Profile::plain());
    let overlay = scene.node.overlay().unwrap();
    assert_eq!(overlay.draws_with(), DrawsWith::DrawSuite);
    let drawing = overlay.draw();
    let lines = drawing.shapes(Shape::Lines)[0];
    assert_eq!(lines.points[0], [45.0, 50.0]);
    assert_eq!((lines.pen.color, lines.pen.width), ([1.0, 0.5, 0.0, 1.0], 3.0));
    assert_eq!(drawing.texts(), ["centre"]);
}

#[test]
fn the_pen_edits() {
    let scene = Scene::new(Profile::plain());
    let overlay = scene.node.overlay().unwrap();
    overlay.zoom(2.0);
    overlay.gain_focus();
    assert!(overlay.drag([50.0, 50.0], [20.0, 80.0], 4));
    assert_eq!(scene.node.doubles("centre"), [0.2, 0.8]);
    assert_eq!(overlay.redraws(), 5);
    assert_eq!(scene.node.undo_steps(), ["Set centre"]);
    assert!(!overlay.key_down(0x61, "a") && !overlay.lose_focus());
}

#[test]
fn without_the_draw_suite_it_is_opengl_and_without_interacts_nothing() {
    let scene = Scene::new(Profile::natron());
    assert_eq!(scene.node.overlay().unwrap().draws_with(), DrawsWith::OpenGl);
    let scene = Scene::new(Profile::plain().without_suite("OfxInteractSuite"));
    assert!(scene.node.overlay().is_none());
}

#[test]
fn an_overlay_outlives_the_instances_of_its_node() {
    let scene = Scene::new(Profile::resolve());
    let overlay = scene.node.overlay().unwrap();
    overlay.draw();
    scene.node.set("level", 0.1);
    assert!(overlay.drag([50.0, 50.0], [20.0, 80.0], 2));
    assert_eq!(scene.node.doubles("centre"), [0.2, 0.8]);
}
