//! Takes that a node has had are not lost: whatever becomes of the next one, wherever they were made,
//! and whatever becomes of the store.

use std::fs;

use serde_json::json;
use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{Node, Profile};

use crate::drawn::{show, wanted};
use crate::workshop::{Workshop, alone, plain_node, request, shows, take, until_status};

fn key(node: &Node) -> String {
    node.text("takeKey")
}

/// Has takes of these seeds made, one after the other; their keys.
fn made<const N: usize>(node: &Node, seeds: [i32; N]) -> [String; N] {
    seeds.map(|seed| {
        node.set("seed", seed);
        node.press("generateAndWait");
        assert!(node.text("status").starts_with("Ready"), "{}", node.text("status"));
        key(node)
    })
}

/// Asks for one that will not be made, and has it end like that.
fn lost(workshop: &Workshop, node: &Node, fails: bool) {
    node.set("seed", 99);
    if !fails {
        workshop.close_gate();
    }
    node.press("generate");
    if fails {
        until_status(node, "failed", |status| status.contains("No room"));
    } else {
        node.press("cancel");
        workshop.open_gate();
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
    }
}

alone! {
    fn revert_after_cancel_brings_the_take_before_the_shown_one(workshop) {
        workshop.gate("sampling", 2);
        workshop.open_gate();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        let [first, second, third] = made(&node, [1, 2, 3]);
        // As often as there are takes, and with one brought back in between.
        lost(workshop, &node, false);
        assert_eq!(key(&node), third);
        node.press("revert");
        assert_eq!(key(&node), second);
        node.press("revert");
        assert_eq!(key(&node), third, "twice Revert returns");
        node.press("revert");
        lost(workshop, &node, false);
        assert_eq!(key(&node), second);
        node.press("revert");
        assert_eq!(key(&node), third);
        assert_ne!(key(&node), first);
    }

    fn revert_after_a_failure_brings_the_take_before_the_shown_one(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        let [first, second] = made(&node, [1, 2]);
        workshop.end_engine();
        let what = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.fault("sampling", 1, 9, what);
        lost(workshop, &node, true);
        assert_eq!(key(&node), second);
        node.press("revert");
        assert_eq!(key(&node), first);
        node.press("revert");
        assert_eq!(key(&node), second);
    }

    fn one_on_its_way_is_come_back_to(workshop) {
        workshop.gate("sampling", 2);
        workshop.open_gate();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        let [first] = made(&node, [1]);
        workshop.close_gate();
        node.set("seed", 2);
        node.press("generate");
        let second = key(&node);
        node.press("revert");
        assert_eq!(key(&node), first);
        node.press("revert");
        assert_eq!(key(&node), second);
        workshop.open_gate();
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_take_from_elsewhere_is_held_and_reverted(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        workshop.install_engine();
        let elsewhere = TakeRequest { seed: 1234, ..like };
        node.set("takeRequest", elsewhere.to_parameter());
        node.set("takeKey", elsewhere.key().unwrap().to_string());
        let [second] = made(&node, [2]);
        node.press("revert");
        assert_eq!(request(&node), elsewhere);
        let status = node.text("status");
        assert!(status.contains("This take is in no store") && status.contains("Make again"), "{status}");
        node.press("revert");
        assert_eq!(key(&node), second);
    }

    fn make_again_makes_what_was_asked_for_elsewhere(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        workshop.install_engine();
        let elsewhere = TakeRequest { seed: 1234, ..like };
        node.set("takeRequest", elsewhere.to_parameter());
        node.set("takeKey", elsewhere.key().unwrap().to_string());
        node.set("prompt", "something else by now");
        node.press("makeAgain");
        let status = until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(status.contains("seed 1234"), "{status}");
        assert_eq!(request(&node), elsewhere);
        host.world_changed();
        let made = take(workshop, &node);
        assert!(shows(&node.view(f64::from(node.int("startFrame"))), &made, 0));
        node.press("makeAgain");
        let status = node.text("status");
        assert!(status.starts_with("The take is there already."), "{status}");
        let new = project.add_preferred().unwrap();
        new.press("makeAgain");
        assert_eq!(new.text("status"), "Nothing was generated yet: press Generate.");
    }

    fn one_that_is_made_again_is_kept_whatever_becomes_of_that(workshop) {
        workshop.gate("sampling", 2);
        workshop.open_gate();
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        let [first, second] = made(&node, [1, 2]);
        fs::remove_dir_all(workshop.store_folder()).unwrap();
        let asked_again = |how: &str| {
            host.world_changed();
            node.press("refresh");
            workshop.close_gate();
            node.press("makeAgain");
            until_status(&node, how, |status| status.contains("left"));
            node.press("cancel");
            assert_eq!(node.text("status"), "Cancelled.");
            workshop.open_gate();
            let gone = |status: &str| status.starts_with("Cancelled. This take is in no store");
            until_status(&node, "not made", gone);
        };
        asked_again("the latest");
        assert_eq!(key(&node), second);
        // One of the history, while the latest is looked at by nobody.
        node.set("history", 1);
        asked_again("one of the history");
        assert_eq!((key(&node), node.int("history")), (second.clone(), 1));
        node.set("history", 0);

        workshop.end_engine();
        let what = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.fault("sampling", 1, 3, what);
        node.press("makeAgain");
        for _ in 0..2 {
            until_status(&node, "failed", |status| status.contains("No room"));
            assert_eq!(key(&node), second);
        }
        for other in [&first, &second] {
            node.press("revert");
            assert_eq!(&key(&node), other);
        }
        assert_eq!(node.text("takeHistory").split_whitespace().count(), 2);
        workshop.end_engine();
        workshop.script(&json!({}));
        node.press("makeAgain");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_project_of_an_earlier_version_opens_as_before(workshop) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/project-of-7783599.json");
        let saved: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let text = |id: &str| saved["nodes"][0]["parameters"][id]["value"]["text"].as_str().unwrap();
        let (_host, plugin) = workshop.load(Profile::nuke());
        let project = plugin.open(file).unwrap();
        let node = project.nodes().remove(0);
        let status = until_status(&node, "opened", |status| !status.is_empty());
        assert!(status.contains("This take is in no store"), "{status}");
        for id in ["prompt", "takeRequest", "takeKey", "heldRequest", "heldKey"] {
            assert_eq!(node.text(id), text(id), "{id}");
        }
        assert_eq!((node.int("startFrame"), node.int("fit"), node.int("history")), (1001, 3, 0));
        // What is not saved has the default of that time.
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/params-of-7783599.json");
        let golden: serde_json::Value = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
        for parameter in golden["parameters"].as_array().unwrap() {
            let (id, default) = (parameter["id"].as_str().unwrap(), &parameter["default"]);
            let is_saved = !saved["nodes"][0]["parameters"][id].is_null();
            if is_saved || parameter["persistent"] == false {
                continue;
            }
            let value = match parameter["type"].as_str().unwrap() {
                "Int" | "Choice" => node.int(id).into(),
                "Double2D" => node.doubles(id).into(),
                kind if kind.starts_with("Double") => node.double(id).into(),
                _ => serde_json::Value::from(node.text(id)),
            };
            assert_eq!(&value, default, "{id}");
        }
        assert!(!node.view(1001.0).failed());
        node.press("revert");
        assert_eq!((key(&node), node.text("heldKey").as_str()), (text("heldKey").into(), text("takeKey")));
        node.press("revert");
        assert_eq!(key(&node), text("takeKey"));
        made(&node, [1]);
        assert_eq!(node.int("startFrame"), 1001);
        assert_eq!(node.text("takeHistory").split_whitespace().count(), 3);
    }

    fn a_store_that_is_gone_is_noticed_at_refresh(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        made(&node, [1]);
        fs::remove_dir_all(workshop.store_folder()).unwrap();
        host.world_changed();
        node.press("refresh");
        let status = node.text("status");
        assert!(status.contains("This take is in no store"), "{status}");
        node.press("makeAgain");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        host.world_changed();
        assert_eq!(workshop.takes().len(), 1);
    }

    fn a_damaged_take_is_told_as_damaged(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        made(&node, [1]);
        let made = take(workshop, &node);
        let path = made.path().to_owned();
        drop(made);
        fs::write(&path, b"not a take any more, and long enough to be read as a header of one").unwrap();
        host.world_changed();
        for _ in 0..2 {
            node.press("refresh");
            let status = node.text("status");
            assert!(status.contains("is damaged") && status.contains("Make again"), "{status}");
        }
        show(&node, &{
            node.press("makeAgain");
            until_status(&node, "ready", |status| status.starts_with("Ready"));
            host.world_changed();
            take(workshop, &node)
        });
        assert!(!node.text("status").contains("damaged"), "{}", node.text("status"));
    }
}
