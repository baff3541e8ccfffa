//! What a node shows of a take that is being made, where the artist wants to look.

use std::fs;

use serde_json::json;
use wan_alpha_test_host::{Node, Profile, RenderAsk};

use crate::workshop::{SIZE, Workshop, alone, event, plain_node, shows, take, until_status};

/// Every take sends previews, and waits after the first step and after the third.
fn gates(workshop: &Workshop) {
    let waits = |step: u32, file: &str| json!({ "stage": "sampling", "step": step, "what": { "gate": { "file": file } } });
    let faults = [waits(1, "first"), waits(3, "third")];
    workshop.script(&json!({ "previews": true, "faults": faults }));
}

fn open(workshop: &Workshop, gate: &str) {
    fs::write(workshop.at(gate), "").unwrap();
}

/// Near the left and the right edge of where the take lies: half there and red as steps are done, and blue.
fn is_preview_of(node: &Node, step: u32) -> bool {
    let frame = node.view(f64::from(node.int("startFrame")));
    let Some(image) = frame.picture() else { return false };
    let [left, bottom, right, top] = image.bounds();
    let [width, height] = SIZE.map(|side| side as i32);
    let (x0, y0) = ((left + right - width) / 2, (bottom + top) / 2);
    let alpha = 128.0 / 255.0;
    let red = (255 * step / 4) as f32 / 255.0 * alpha;
    let near = |at: i32, wanted: [f32; 4]| {
        let found = image.pixel(x0 + at, y0 + height / 4);
        found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 3e-3)
    };
    near(2, [red, 0.0, 0.0, alpha]) && near(width - 3, [0.0, 0.0, 1.0, 1.0])
}

/// A take while it is made, and then as it is.
fn watched(workshop: &Workshop, profile: Profile) {
    gates(workshop);
    let (_host, plugin) = workshop.load(profile);
    let project = plugin.project();
    let node = project.add_preferred().unwrap();
    plain_node(&node, "one");
    node.press("generate");
    until_status(&node, "after its first step", |status| status.contains("1 of 4"));
    assert!(!is_preview_of(&node, 1), "nobody asked for a preview");
    node.set("preview", 1);
    until_status(&node, "previewed", |_| is_preview_of(&node, 1));
    let revision = node.int("revision");
    event(&node);
    assert_eq!(
        node.int("revision"),
        revision,
        "an event without a new picture has hosts forget it"
    );
    open(workshop, "first");
    until_status(&node, "previewed further", |_| is_preview_of(&node, 3));
    assert_ne!(node.int("revision"), revision);
    open(workshop, "third");
    until_status(&node, "ready", |status| status.starts_with("Ready"));
    let first = take(workshop, &node);
    let start = f64::from(node.int("startFrame"));
    assert!(shows(&node.view(start), &first, 0));

    // The next one shows instead of the take before.
    for gate in ["first", "third"] {
        fs::remove_file(workshop.at(gate)).unwrap();
    }
    node.set("seed", 2);
    node.press("generate");
    until_status(&node, "previewed", |_| is_preview_of(&node, 1));
    node.set("preview", 0);
    event(&node);
    assert!(shows(&node.view(start), &first, 0), "the take before");
    node.press("cancel");
}

alone! {
    fn a_preview_follows_the_steps_of_its_take_in_nuke(workshop) {
        watched(workshop, Profile::nuke());
    }

    fn a_preview_follows_the_steps_of_its_take_in_natron(workshop) {
        watched(workshop, Profile::natron());
    }

    fn without_previews_from_the_engine_the_placeholder_stays(workshop) {
        workshop.gate("sampling", 2);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "at work", |status| status.contains("left"));
        let start = f64::from(node.int("startFrame"));
        let pixels = || node.view(start).image().pixels().collect::<Vec<_>>();
        let placeholder = pixels();
        node.set("preview", 1);
        event(&node);
        assert!(pixels() == placeholder);
        node.press("cancel");
    }

    fn a_batch_render_shows_no_preview(workshop, "WAN_ALPHA_BATCH" = "1") {
        workshop.script(&json!({ "previews": true, "step_ms": 20 }));
        let (_host, plugin) = workshop.load(Profile::nuke());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("preview", 1);
        let start = node.int("startFrame");
        let frames = node.render_sequence(start, start + 3, &RenderAsk::at(0.0).for_a_file());
        let made = workshop.store().find(&workshop.takes()[0]).take.unwrap();
        assert!(shows(&frames[0], &made, 0) && shows(&frames[3], &made, 2));
    }
}
