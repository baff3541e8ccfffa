//! Whatever happens to the engine, the host lives, the node says what happened, and the next
//! Generate works.

use std::fs;

use serde_json::{Value, json};
use wan_alpha_test_host::{ARCHITECTURE, Node, Profile};

use crate::workshop::{Workshop, alone, plain_node, shows, take, until_status};

/// The first engine misbehaves so; the next one does not.
fn first_engine(workshop: &Workshop, stage: &str, step: u32, what: Value, says: &str) {
    workshop.fault(stage, step, 2, what);
    let (_host, plugin) = workshop.load(Profile::plain());
    let project = plugin.project();
    let node = project.add_preferred().unwrap();
    plain_node(&node, "one");
    node.press("generate");
    // Tried once more, with the second engine, which misbehaves too; then said.
    let status = until_status(&node, "failed", |status| status.contains("engine.log"));
    assert!(status.contains(says), "{status}");
    let start = f64::from(node.int("startFrame"));
    assert!(!node.view(start).failed(), "a placeholder is no failure");
    // The third engine works.
    node.press("generate");
    until_status(&node, "ready", |status| status.starts_with("Ready"));
    assert!(shows(&node.view(start), &take(workshop, &node), 0));
}

alone! {
    fn an_engine_that_exits(workshop) {
        first_engine(workshop, "sampling", 2, json!("exit"), "engine ended");
    }

    fn an_engine_that_crashes(workshop) {
        first_engine(workshop, "sampling", 2, json!("abort"), "ngine");
    }

    fn an_engine_that_talks_garbage(workshop) {
        first_engine(workshop, "sampling", 2, json!("garbage"), "ngine");
    }

    fn an_engine_that_sends_a_line_without_end(workshop) {
        first_engine(workshop, "sampling", 2, json!("long-line"), "ngine");
    }

    fn an_engine_that_closes_its_socket(workshop) {
        first_engine(workshop, "sampling", 2, json!("close"), "ngine");
    }

    fn an_engine_that_dies_at_once(workshop) {
        workshop.fault("start", 0, 1, json!("exit"));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "failed", |status| status.contains("engine.log"));
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_slow_engine_is_waited_for(workshop) {
        workshop.fault("sampling", 2, 1, json!({ "sleep": { "ms": 1500 } }));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert_eq!(workshop.engines().len(), 1);
    }

    fn an_engine_that_opens_its_device_says_so(workshop) {
        workshop.script(&json!({ "opening_ms": 6000, "step_ms": 150, "unused": "no driver was found" }));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "opening", |status| status.contains("The engine opens script, "));
        let computing = until_status(&node, "at work", |status| status.contains("left"));
        assert!(computing.contains("without a GPU: no driver was found."), "{computing}");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert_eq!(workshop.engines().len(), 1);
    }

    fn a_lost_gpu_is_said_and_the_next_engine_has_another(workshop) {
        let words = json!({ "gpu-fault": { "message": "the GPU failed while sampling", "remedy": "try again" } });
        workshop.fault("sampling", 2, 1, words);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let status = until_status(&node, "failed", |status| status.contains("engine.log"));
        assert!(status.contains("The GPU failed while sampling; try again."), "{status}");
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_device_that_cannot_be_used_is_said(workshop) {
        let sentence = "--device cuda:3: there are 3 devices";
        workshop.script(&json!({ "opening_ms": 300, "not_opened": sentence }));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let status = until_status(&node, "failed", |status| status.contains("engine.log"));
        assert!(status.contains("cuda:3: there are 3 devices; use another device."), "{status}");
    }

    fn a_take_that_fails_puts_the_one_before_back(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        let first = take(workshop, &node);
        kill(&workshop.engines());
        workshop.fault(
            "sampling",
            1,
            9,
            json!({ "fail": { "code": "out-of-memory", "message": "the GPU has no room", "remedy": "use fewer frames" } }),
        );
        node.set("seed", 2);
        node.press("generate");
        let status = until_status(&node, "failed", |status| status.contains("GPU has no room"));
        assert!(status.contains("use fewer frames"), "{status}");
        assert_eq!(node.text("takeKey"), first.description().key.to_string());
        let start = f64::from(node.int("startFrame"));
        assert!(shows(&node.view(start), &first, 0));
        // The reason stays until the artist does something about it.
        assert!(until_status(&node, "still said", |_| true).contains("GPU has no room"));
        kill(&workshop.engines());
        workshop.script(&json!({}));
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_killed_engine_is_started_again_for_its_take(workshop) {
        // The first one stays at work until it is killed.
        workshop.fault("sampling", 2, 1, json!({ "gate": { "file": "never" } }));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "at work", |status| status.contains("left"));
        kill(&workshop.engines());
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert_eq!(workshop.engines().len(), 2);
    }

    fn another_version_at_work_is_waited_for(workshop) {
        // Of the version before, and busy with the take of its own host.
        workshop.script(&json!({ "version": "0.0.9", "step_ms": 250 }));
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        // Idle, it is replaced by one of the same script, which is replaced again: said, not hung.
        let status = until_status(&node, "told", |status| !status.is_empty());
        assert!(!status.contains("Ready"), "{status}");
        workshop.script(&json!({}));
        until_status(&node, "settled", |status| status.starts_with("Ready") || status.contains("version"));
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn no_engine_at_all(workshop) {
        fs::remove_file(workshop.at("engine")).unwrap();
        refused(workshop);
    }

    fn an_engine_that_may_not_be_run(workshop) {
        let engine = workshop.at("engine");
        fs::remove_file(&engine).unwrap();
        fs::write(&engine, "no program").unwrap();
        refused(workshop);
    }

    fn the_engine_lies_beside_the_plug_in(workshop, "WAN_ALPHA_ENGINE" = "") {
        let beside = workshop.bundle().join("Contents").join(ARCHITECTURE).join("wan-alpha");
        fs::rename(workshop.at("engine"), beside).unwrap();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        assert!(node.text("status").starts_with("Ready"), "{}", node.text("status"));
    }

    fn a_damaged_take_is_made_again(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        let path = take(workshop, &node).path().to_owned();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        host.world_changed();
        let start = f64::from(node.int("startFrame"));
        for frame in 0..13 {
            let _ = node.view(start + f64::from(frame));
        }
        host.world_changed();
        let status = until_status(&node, "missed", |status| status.contains("is damaged"));
        assert!(status.contains("Make again"), "{status}");
        node.press("generateAndWait");
        host.world_changed();
        assert!(shows(&node.view(start), &take(workshop, &node), 0));
    }
}

/// Said in words, and the host lives; once there is an engine, it works.
fn refused(workshop: &Workshop) {
    let (_host, plugin) = workshop.load(Profile::plain());
    let project = plugin.project();
    let node = project.add_preferred().unwrap();
    plain_node(&node, "one");
    node.press("generate");
    let status = until_status(&node, "failed", |status| status.contains("engine"));
    let start = f64::from(node.int("startFrame"));
    assert!(!node.view(start).failed(), "{status}");
    let engine = workshop.at("engine");
    let _ = fs::remove_file(&engine);
    fs::copy(
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("scripted-engine"),
        &engine,
    )
    .unwrap();
    node.press("generate");
    until_status(&node, "ready", |status| status.starts_with("Ready"));
    look_alive(&node);
}

fn look_alive(node: &Node) {
    assert!(!node.view(f64::from(node.int("startFrame"))).failed());
}

fn kill(processes: &[u32]) {
    for process in processes {
        let _ = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
    }
}
