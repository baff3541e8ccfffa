//! Bars and words: what the node claims is so, and goes when it is not so any more.

use serde_json::json;
use wan_alpha_take::models::{ChosenPreset, Preset};
use wan_alpha_take::{Solver, TakeRequest};
use wan_alpha_test_host::{Profile, Progress};

use crate::workshop::{alone, plain_node, until_status};

alone! {
    fn the_bar_claims_no_more_than_is_done(workshop) {
        // Nobody knows how long a take takes. It waits before denoising.
        workshop.script(&json!({
            "estimates": false,
            "stages": [
                { "name": "loading the model", "steps": 3 },
                { "name": "sampling", "steps": 4 },
                { "name": "decoding", "steps": 3 },
            ],
            "faults": [{ "stage": "sampling", "step": 1, "what": { "gate": { "file": "gate-is-open" } } }],
        }));
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        // However long an engine takes to start, there is one from now on.
        workshop.open_gate();
        node.press("generateAndWait");
        workshop.close_gate();
        let before = node.progress().len();
        node.set("seed", 2);
        host.cancel_progress_at(Some(12));
        node.press("generateAndWait");
        let claimed: Vec<_> = node
            .progress()
            .into_iter()
            .skip(before)
            .filter_map(|told| if let Progress::Update(part) = told { Some(part) } else { None })
            .collect();
        // A quarter of the steps of denoising, which are half of it all.
        assert_eq!(claimed.last(), Some(&0.125), "{claimed:?}");
        assert!(claimed.iter().all(|part| *part <= 0.125), "{claimed:?}");
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
    }

    fn without_a_bar_nobody_waits(workshop) {
        workshop.gate("sampling", 2);
        let (_host, plugin) = workshop.load(Profile::plain().without_suite("OfxProgressSuite"));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        // Where it waits, it does so for good: the gate is closed.
        node.press("generateAndWait");
        let words = "This host has no progress bar: the take is made meanwhile.";
        assert!(node.text("status").starts_with(words), "{}", node.text("status"));
        workshop.open_gate();
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn keys_that_the_take_never_reaches_are_told(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.key("ellipseCenter", 0.0, [0.3, 0.5]);
        node.key("ellipseCenter", 6.0, [0.7, 0.5]);
        node.press("generate");
        let ready = |status: &str| status.starts_with("Ready");
        let status = until_status(&node, "ready", ready);
        assert!(!status.contains("never reached"), "{status}");
        node.key("ellipseCenter", 900.0, [0.9, 0.5]);
        let status = until_status(&node, "told", |status| status.contains("never reached"));
        assert!(status.contains("Keys of the ellipse lie after frame"), "{status}");
    }

    fn a_refusal_goes_with_its_cause(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "");
        node.press("generate");
        assert!(node.text("status").contains("prompt is empty"), "{}", node.text("status"));
        // What is no cause changes nothing; another cause is told in its place.
        node.set("speed", 2.0);
        assert!(node.text("status").contains("prompt is empty"), "{}", node.text("status"));
        node.set("model", "nowhere");
        assert!(node.text("status").contains("no model `nowhere`"), "{}", node.text("status"));
        node.set("model", "auto");
        node.set("prompt", "one");
        assert_eq!(node.text("status"), "");
    }

    fn cancelled_goes_with_the_next_edit(workshop) {
        workshop.gate("sampling", 2);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        node.press("cancel");
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
        node.open_panel();
        node.set("speed", 2.0);
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
        node.set("seed", 2);
        assert_eq!(node.text("status"), "");
    }

    fn what_a_take_came_to_and_what_is_warned_of_is_in_the_status(workshop) {
        workshop.script(&json!({
            "warnings": [{ "code": "size-beyond-model", "message": "the size is beyond the model", "remedy": "choose 96x96" }],
            "faults": [{ "stage": "sampling", "step": 1, "what": { "gate": { "file": "gate-is-open" } } }],
        }));
        let (_host, plugin) = workshop.load(Profile::natron());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let warning = "The size is beyond the model; choose 96x96.";
        let making = until_status(&node, "warned", |status| status.contains(warning));
        assert_eq!(making.matches(warning).count(), 1, "{making}");
        workshop.open_gate();
        let ready = until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(ready.contains(warning) && ready.contains(" It covers "), "{ready}");
        assert_eq!(node.text("modelLimits"), "64x48, 9 frames");
    }

    fn whose_settings_a_take_is_made_with_is_told(workshop) {
        let preset = Preset::named("lightx2v").unwrap();
        let chosen = ChosenPreset::new(preset, "by the name lightx2v_lora.safetensors");
        workshop.change_model("scripted", |record| {
            record.defaults = preset.defaults(&record.defaults);
            record.preset = Some(chosen);
        });
        workshop.gate("sampling", 1);
        let (_host, plugin) = workshop.load(Profile::natron());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("solver", 4);
        node.press("generate");
        let told = "Preset lightx2v (euler, 4 steps, shift 5, guidance 1), by the name \
            lightx2v_lora.safetensors; here solver lcm.";
        until_status(&node, "told", |status| status.contains(told));
        workshop.open_gate();
        let status = until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(!status.contains("Preset"), "{status}");
        let request = TakeRequest::from_parameter(&node.text("takeRequest")).unwrap();
        assert_eq!((request.solver, request.steps, request.version), (Solver::Lcm, 4, 2));
    }

    fn nothing_is_said_twice(workshop) {
        let what = json!("exit");
        workshop.fault("sampling", 1, 9, what);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let status = until_status(&node, "failed", |status| status.contains("engine ended"));
        assert_eq!(status.matches("engine.log").count(), 1, "{status}");
    }

    fn why_nothing_was_started_is_said_once(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        node.set("model", "nowhere");
        let status = node.text("status");
        assert!(status.contains("cannot be generated: no model `nowhere`"), "{status}");
        node.press("generate");
        let status = until_status(&node, "refused", |status| status.contains("Nothing was started"));
        assert_eq!(status.matches("no model `nowhere`").count(), 1, "{status}");
        assert!(status.contains("Ready"), "{status}");
    }
}
