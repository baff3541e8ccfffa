//! An afternoon and the next morning, in every host that is known well enough.

use std::path::Path;

use serde_json::json;
use wan_alpha_take::store::Take;
use wan_alpha_test_host::{Host, Node, Profile, Project, Undo};

use crate::workshop::{
    FRAMES, Workshop, alone, event, eventually, plain_node, request, shows, take, until_status,
};

alone! {
    fn in_nuke(workshop) { story(workshop, Profile::nuke()) }
    fn in_resolve(workshop) { story(workshop, Profile::resolve()) }
    fn in_natron(workshop) { story(workshop, Profile::natron()) }
    fn in_a_host_that_has_everything(workshop) { story(workshop, Profile::plain()) }
}

/// Generate, placeholder, progress, ready, play, edit, generate again, undo, save, quit, open, play.
fn story(workshop: &Workshop, profile: Profile) {
    // At work until that was seen.
    workshop.gate("sampling", 2);
    let saved = workshop.at("shot.json");
    let shown = {
        let undo = profile.undo;
        let (host, plugin) = workshop.load(profile.clone());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let first = first_take(workshop, &host, &project, &node);
        let second = second_take(workshop, &host, &node, &first);
        back_and_forth(&node, undo, &first, &second);
        project.save(&saved);
        second
    };
    next_day(workshop, profile, &saved, &shown);
}

/// A new node is asked for a take, which is followed until it plays.
fn first_take(workshop: &Workshop, host: &Host, project: &Project, node: &Node) -> Take {
    plain_node(node, "a ring of smoke");
    let start = f64::from(node.int("startFrame"));
    assert!(node.view(start).image().pixels().any(|pixel| pixel[3] > 0.0), "no placeholder");
    assert!(workshop.engines().is_empty(), "something else than a button starts the engine");

    node.press("generate");
    let start = f64::from(node.int("startFrame"));
    let [first_frame, last_frame] = project.settings().timeline;
    assert!((first_frame..=last_frame).contains(&start), "{start} is outside the timeline");
    let status = until_status(node, "at work", |status| status.contains("left"));
    assert!(!node.view(start).failed(), "{status}");
    workshop.open_gate();
    eventually("the first take is stored", || workshop.takes().len() == 1);
    host.world_changed();
    let first = take(workshop, node);
    let ready = until_status(node, "ready", |status| status.starts_with("Ready"));
    let words = "Ready: 9 frames of 64x48, model scripted, seed 1.";
    let begins = format!(" The take begins on frame {start}, the first of the timeline.");
    assert!(ready.starts_with(&format!("{words} It covers ")), "{ready}");
    assert_eq!(ready.ends_with(&begins), start != 0.0, "{ready}");
    play(node, &first);
    first
}

/// The parameters are edited and another take is made, while the first one shows with a badge.
fn second_take(workshop: &Workshop, host: &Host, node: &Node, first: &Take) -> Take {
    // An edit leaves the take on the timeline and says so.
    node.set("seed", 7);
    node.set("prompt", "a ring of fire");
    let stale = node.text("status");
    assert!(stale.contains("Changed since this take: prompt and seed."), "{stale}");
    play(node, first);

    workshop.close_gate();
    node.press("generate");
    event(node);
    let previous = node.view(f64::from(node.int("startFrame")));
    assert!(shows(&previous, first, 0), "the previous take is not shown");
    let badge = previous.image().pixels().take(1920 * 40).any(|pixel| pixel[3] > 0.0);
    assert!(badge, "nothing says that this is the previous take");
    workshop.open_gate();
    eventually("the second take is stored", || workshop.takes().len() == 2);
    host.world_changed();
    until_status(node, "ready", |status| status.starts_with("Ready"));
    let second = take(workshop, node);
    assert_ne!(first.description().key, second.description().key);
    play(node, &second);
    second
}

/// Undo of Generate brings the first take back; where hosts undo only what artists do, Revert.
fn back_and_forth(node: &Node, undo: Undo, first: &Take, second: &Take) {
    let undoes = undo != Undo::OfTheArtistOnly;
    if undoes {
        let steps = node.undo_steps();
        assert_eq!(steps.last().map(String::as_str), Some("Generate"), "{steps:?}");
        node.undo();
    } else {
        node.press("revert");
    }
    assert_eq!(node.text("takeKey"), first.description().key.to_string());
    play(node, first);
    if undoes {
        node.redo();
    } else {
        node.press("revert");
    }
    assert_eq!(node.text("takeKey"), second.description().key.to_string());
    play(node, second);
}

/// The project is opened in a new process of the host.
fn next_day(workshop: &Workshop, profile: Profile, saved: &Path, shown: &Take) {
    let engines = workshop.engines();
    let (_host, plugin) = workshop.load(profile);
    let project = plugin.open(saved).unwrap();
    let node = project.nodes().remove(0);
    play(&node, shown);
    event(&node);
    assert!(node.text("status").starts_with("Ready"), "{}", node.text("status"));
    play(&node, shown);
    assert_eq!(request(&node).prompt, "a ring of fire");
    assert_eq!(workshop.engines(), engines, "opening a project starts an engine");
}

/// Every frame of the take shows where it should, through the host's cache.
#[track_caller]
fn play(node: &Node, take: &Take) {
    let start = f64::from(node.int("startFrame"));
    // 16 frames of the take are 24 of the host.
    for (host_frame, take_frame) in
        [(0.0, 0), (1.0, 1), (2.0, 1), (6.0, 4), (12.0, FRAMES - 1), (50.0, FRAMES - 1)]
    {
        let frame = node.view(start + host_frame);
        assert!(shows(&frame, take, take_frame), "frame {host_frame} does not show {take_frame}");
    }
}

alone! {
    fn a_placeholder_kept_on_disk_is_let_go_at_the_first_event(workshop) {
        workshop.gate("sampling", 2);
        let saved = workshop.at("shot.json");
        {
            let (_host, plugin) = workshop.load(Profile::nuke());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "a bubble");
            node.press("generate");
            let start = f64::from(node.int("startFrame"));
            assert!(!shows_anything_of_a_take(&node.view(start)));
            until_status(&node, "accepted", |status| !status.starts_with("Starting"));
            let _ = node.view(start);
            project.save(&saved);
        }
        // The job outlives the host.
        workshop.open_gate();
        eventually("the take is stored", || workshop.takes().len() == 1);
        let (_host, plugin) = workshop.load(Profile::nuke());
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        let start = f64::from(node.int("startFrame"));
        event(&node);
        assert!(shows(&node.view(start), &take(workshop, &node), 0), "a stale placeholder");
    }

    fn a_job_of_an_earlier_session_is_seen_and_can_be_cancelled(workshop) {
        workshop.gate("sampling", 2);
        let saved = workshop.at("shot.json");
        {
            let (_host, plugin) = workshop.load(Profile::natron());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "a bubble");
            node.press("generate");
            until_status(&node, "at work", |status| status.contains("left"));
            project.save(&saved);
        }
        let (_host, plugin) = workshop.load(Profile::natron());
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        until_status(&node, "at work", |status| status.contains("left"));
        node.press("cancel");
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
        assert_eq!(node.text("takeRequest"), "");
        eventually("the engine stops", || workshop.ends() == ["stopped"]);
        assert!(workshop.takes().is_empty());
    }

    fn what_becomes_of_a_job_of_an_earlier_session_is_seen(workshop) {
        let problem = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.script(&json!({ "faults": [
            { "stage": "sampling", "step": 2, "what": { "gate": { "file": "gate-is-open" } } },
            { "stage": "sampling", "step": 3, "what": problem },
        ] }));
        let saved = workshop.at("shot.json");
        {
            let (_host, plugin) = workshop.load(Profile::natron());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "a bubble");
            node.press("generate");
            until_status(&node, "at work", |status| status.contains("left"));
            project.save(&saved);
        }
        let (_host, plugin) = workshop.load(Profile::natron());
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        until_status(&node, "at work", |status| status.contains("left"));
        workshop.open_gate();
        until_status(&node, "gone", |status| status.contains("This take is in no store"));
    }

    fn cancel_puts_the_take_before_back(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        let first = take(workshop, &node);
        let running = workshop.engines();
        assert_eq!(running.len(), 1);
        node.set("prompt", "two");
        // One that will not be made in time: the engine is held up.
        stop(running[0]);
        node.press("generate");
        assert_ne!(node.text("takeKey"), first.description().key.to_string());
        node.press("cancel");
        assert_eq!(node.text("takeKey"), first.description().key.to_string());
        assert!(node.text("status").contains("take before"), "{}", node.text("status"));
        play(&node, &first);
        proceed(running[0]);
    }

    fn what_cannot_be_asked_for_is_refused_in_words(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        for (id, value, words) in [
            ("prompt", "", "prompt is empty"),
            ("prompt", " \n ", "prompt is empty"),
            ("model", "nowhere", "no model `nowhere`"),
            ("model", "../escape", "is not a model's name"),
        ] {
            node.set("prompt", "fine");
            node.set("model", "auto");
            node.set(id, value);
            node.press("generate");
            let status = node.text("status");
            assert!(status.contains(words), "{status}");
            assert_eq!(node.text("takeRequest"), "");
        }
        node.set("model", "auto");
        node.set("prompt", "x".repeat(5000));
        node.press("generate");
        assert!(node.text("status").contains("at most 4096"), "{}", node.text("status"));
        assert!(workshop.engines().is_empty());
    }

    fn a_take_that_is_stored_is_there_at_once(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        assert!(node.text("status").starts_with("Ready"), "{}", node.text("status"));
        let first = take(workshop, &node);
        let twin = project.add_preferred().unwrap();
        plain_node(&twin, "one");
        let engines = workshop.engines();
        stop(engines[0]);
        twin.press("generate");
        assert!(twin.text("status").starts_with("Ready"), "{}", twin.text("status"));
        play(&twin, &first);
        proceed(engines[0]);
    }

    fn the_progress_bar_can_be_cancelled(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::plain());
        host.cancel_progress_at(Some(3));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        assert!(node.text("status").contains("Cancelled"), "{}", node.text("status"));
        assert_eq!(node.text("takeRequest"), "");
        assert!(workshop.takes().is_empty());
    }

    fn a_copy_does_not_take_the_work_of_its_original(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let copy = project.duplicate(&node).unwrap();
        copy.open_panel();
        copy.set("seed", 2);
        copy.press("generate");
        workshop.open_gate();
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        until_status(&copy, "ready", |status| status.starts_with("Ready"));
        host.world_changed();
        assert_eq!(workshop.takes().len(), 2);
    }
}

fn shows_anything_of_a_take(frame: &wan_alpha_test_host::Frame) -> bool {
    // The scripted take is blue at its beginning where it is opaque.
    frame.image().pixels().any(|[red, _, blue, alpha]| alpha > 0.99 && blue > 0.9 && red < 0.1)
}

fn stop(process: u32) {
    signal(process, "-STOP");
}

fn proceed(process: u32) {
    signal(process, "-CONT");
}

fn signal(process: u32, signal: &str) {
    let done = std::process::Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(done.unwrap().success());
}
