//! What a render shows while its take is not there: every row of the table, in a session with an
//! artist. `batch` has the rows of batch renders.

use std::time::Duration;

use serde_json::json;
use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{Frame, Node, Profile, RenderAsk};

use crate::drawn::{draw, show, time_of, wanted};
use crate::workshop::{SIZE, alone, eventually, plain_node, shows, until_status};

const AUTO: i32 = 0;
const WAIT: i32 = 1;
const ERROR: i32 = 2;
const EMPTY: i32 = 3;

fn rendered(node: &Node, missing: i32) -> Frame {
    node.set("missing", missing);
    let frame = node.render(&RenderAsk::at(time_of(node, 0)));
    assert!(frame.took < Duration::from_millis(250), "{missing} took {:?}", frame.took);
    frame
}

fn is_transparent(frame: &Frame) -> bool {
    frame.image().pixels().all(|pixel| pixel == [0.0; 4])
}

/// Words stand there, and no take: transparent at the top, a panel in the middle.
fn is_placeholder(frame: &Frame) -> bool {
    let image = frame.image();
    let [left, bottom, right, top] = image.bounds();
    image.pixel((left + right) / 2, (bottom + top) / 2)[3] > 0.5
        && image.pixel((left + right) / 2, top - 3)[3] < 0.9
}

/// The mark in the lower left corner is red.
fn is_marked_red(frame: &Frame) -> bool {
    let corner = frame.image().crop([0, 0, 900, 200]);
    let red = corner.pixels().filter(|[r, g, b, a]| *a > 0.5 && *r > 2.0 * g && *r > 2.0 * b);
    red.count() > 20
}

fn refuses(frame: &Frame, key: &str, store: &str) {
    assert!(frame.failed());
    assert!(frame.says().contains(key) && frame.says().contains(store), "{}", frame.says());
}

/// A take that was never made.
fn ask_for(node: &Node, like: &TakeRequest, seed: u32) -> String {
    let request = TakeRequest { seed, ..like.clone() };
    let key = request.key().unwrap().to_string();
    node.set("takeRequest", request.to_parameter());
    node.set("takeKey", &key);
    key
}

alone! {
    fn nothing_was_asked_for(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        for missing in [AUTO, WAIT] {
            assert!(is_placeholder(&rendered(&node, missing)), "{missing}");
        }
        let refused = rendered(&node, ERROR);
        assert!(refused.failed() && refused.says().contains("Nothing was generated yet"));
        assert!(is_transparent(&rendered(&node, EMPTY)));
        assert!(workshop.engines().is_empty());
        assert!(!workshop.store_folder().exists() && !workshop.at("run").exists());
    }

    fn nobody_makes_it(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        workshop.install_engine();
        let key = ask_for(&node, &like, 99);
        let store = workshop.store_folder().display().to_string();
        for missing in [AUTO, WAIT] {
            assert!(is_placeholder(&rendered(&node, missing)), "{missing}");
        }
        refuses(&rendered(&node, ERROR), &key, &store);
        assert!(is_transparent(&rendered(&node, EMPTY)));
        // The take before counts as a picture, not as the take that is missing.
        let before = draw(workshop, &like, 7, SIZE, &|_, u, v| [u, v, 0.5, 1.0]);
        node.set("heldRequest", before.description().request.to_parameter());
        node.set("heldKey", before.description().key.to_string());
        for missing in [AUTO, WAIT] {
            let frame = rendered(&node, missing);
            assert!(shows(&frame, &before, 0) && is_marked_red(&frame), "{missing}");
        }
        refuses(&rendered(&node, ERROR), &key, &store);
        assert!(is_transparent(&rendered(&node, EMPTY)));
        assert!(workshop.engines().is_empty(), "a render starts an engine");
        until_status(&node, "told", |status| status.contains("no store") && status.contains(&store));
        assert_eq!(node.text("takeKey"), key);
        assert!(workshop.engines().is_empty(), "an event starts an engine");
    }

    fn whatever_is_not_the_take_is_an_error_or_nothing(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let before = draw(workshop, &like, 7, SIZE, &|_, u, v| [u, v, 0.5, 1.0]);
        let damaged = draw(workshop, &like, 8, SIZE, &|_, u, v| [u, v, 0.5, 1.0]);
        let bytes = std::fs::read(damaged.path()).unwrap();
        std::fs::write(damaged.path(), &bytes[..bytes.len() / 2]).unwrap();
        let other_numerics = TakeRequest { numerics: like.numerics + 1, ..like.clone() };
        for (text, says) in [
            ("no base64 at all!".to_owned(), "Not readable"),
            (damaged.description().request.to_parameter(), "damaged"),
            (other_numerics.to_parameter(), "missing"),
        ] {
            // What was there before is a picture, too, and not the take.
            node.set("heldRequest", before.description().request.to_parameter());
            node.set("heldKey", before.description().key.to_string());
            node.set("takeRequest", text);
            host.world_changed();
            assert!(shows(&rendered(&node, AUTO), &before, 0), "{says}");
            let refused = rendered(&node, ERROR);
            let head: String = refused.says().chars().take(120).collect();
            assert!(refused.failed() && head.contains(says), "{}", refused.says());
            assert!(is_transparent(&rendered(&node, EMPTY)), "{says}");
        }
    }

    fn it_is_being_made(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "at work", |status| status.contains("left"));
        let (key, store) = (node.text("takeKey"), workshop.store_folder().display().to_string());
        assert!(is_placeholder(&rendered(&node, AUTO)));
        refuses(&rendered(&node, ERROR), &key, &store);
        assert!(is_transparent(&rendered(&node, EMPTY)));
        host.world_changed();
        node.set("missing", WAIT);
        let frame = std::thread::scope(|scope| {
            let render = scope.spawn(|| node.render(&RenderAsk::at(time_of(&node, 0))));
            std::thread::sleep(Duration::from_millis(300));
            assert!(!render.is_finished(), "it did not wait");
            workshop.open_gate();
            render.join().unwrap()
        });
        let made = crate::workshop::take(workshop, &node);
        assert!(shows(&frame, &made, 0));
        assert_eq!(workshop.engines().len(), 1);
    }

    fn it_failed(workshop) {
        let what = json!({ "fail": { "code": "x", "message": "the GPU has no room", "remedy": "use fewer frames" } });
        workshop.fault("sampling", 1, 9, what);
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "failed", |status| status.contains("GPU has no room"));
        host.world_changed();
        for missing in [AUTO, WAIT] {
            assert!(is_placeholder(&rendered(&node, missing)), "{missing}");
        }
        let refused = rendered(&node, ERROR);
        assert!(refused.failed() && refused.says().contains("GPU has no room"), "{}", refused.says());
        assert!(is_transparent(&rendered(&node, EMPTY)));
        node.set("missing", AUTO);
        let like = crate::workshop::request(&node);
        let before = draw(workshop, &like, 7, SIZE, &|_, u, v| [0.1, u, v, 1.0]);
        show(&node, &before);
        node.set("seed", 8);
        node.press("generate");
        // Seen by renders before any event has told the node.
        eventually("the reason is in the corner", || {
            host.world_changed();
            let frame = node.render(&RenderAsk::at(time_of(&node, 0)));
            assert!(shows(&frame, &before, 0), "the take before is not shown");
            is_marked_red(&frame)
        });
        let status = until_status(&node, "put back", |status| status.contains("GPU has no room"));
        assert!(status.contains("engine.log"), "{status}");
        assert_eq!(node.text("takeKey"), before.description().key.to_string());
    }

    fn a_failure_disturbs_no_undo(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        workshop.install_engine();
        let what = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.fault("sampling", 1, 9, what);
        let before = draw(workshop, &like, 7, SIZE, &|_, u, v| [0.1, u, v, 1.0]);
        show(&node, &before);
        node.set("seed", 8);
        node.press("generate");
        node.set("speed", 2.0);
        let asked = node.text("takeKey");
        // The first event that learns of the failure is the undo of an edit.
        eventually("it failed", || {
            host.world_changed();
            is_marked_red(&node.render(&RenderAsk::at(time_of(&node, 0))))
        });
        assert_eq!(node.undo().as_deref(), Some("Change speed"));
        assert_eq!(node.text("takeKey"), asked, "an undo that writes cannot be redone");
        assert!(node.text("status").contains("No room"), "{}", node.text("status"));
        assert_eq!(node.redo().as_deref(), Some("Change speed"));
        until_status(&node, "put back", |status| status.contains("No room"));
        assert_eq!(node.text("takeKey"), before.description().key.to_string());
    }

    fn the_request_counts_for_more_than_the_key(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let [one, two] = [7, 8].map(|seed| {
            draw(workshop, &like, seed, SIZE, &move |_, u, v| [u, v, seed as f32 / 10.0, 1.0])
        });
        show(&node, &one);
        assert!(!node.text("status").contains("takeKey"), "{}", node.text("status"));
        for key in [two.description().key.to_string(), String::new(), "../../etc".to_owned()] {
            node.set("takeKey", &key);
            let status = until_status(&node, "told", |status| status.contains("takeKey is not the key"));
            assert!(status.contains("the request counts"), "{status}");
            assert!(shows(&node.view(time_of(&node, 3)), &one, 3));
        }
    }
}
