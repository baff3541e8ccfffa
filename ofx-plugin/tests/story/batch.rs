//! Batch renders: nobody sits before them, and what they write is looked at much later.

use serde_json::json;
use wan_alpha_test_host::{Host, Node, Plugin, Profile, Project, RenderAsk};

use crate::workshop::{
    FRAMES, Workshop, alone, eventually, plain_node, request, shows, take, until_status,
};

/// A host that says of itself that it is in the background.
fn background(workshop: &Workshop) -> (Host, Plugin) {
    workshop.load(Profile::nuke().in_background())
}

fn node(project: &Project) -> Node {
    let node = project.add_preferred().unwrap();
    plain_node(&node, "one");
    node
}

fn sequence(node: &Node) -> Vec<wan_alpha_test_host::Frame> {
    let start = node.int("startFrame");
    node.render_sequence(start, start + 5, &RenderAsk::at(0.0).for_a_file())
}

alone! {
    fn a_node_that_never_asked_is_made_from_its_parameters(workshop) {
        let (_host, plugin) = background(workshop);
        let project = plugin.project();
        let node = node(&project);
        let frames = sequence(&node);
        let key = workshop.takes()[0];
        let made = workshop.store().find(&key).take.unwrap();
        assert!(shows(&frames[0], &made, 0) && shows(&frames[3], &made, 2));
        assert_eq!((made.frames(), workshop.engines().len()), (FRAMES, 1));
        assert_eq!(node.text("takeRequest"), "", "a render sets no parameter");
    }

    fn what_was_asked_for_is_made_where_it_is_missing(workshop) {
        let saved = workshop.at("shot.json");
        {
            let (_host, plugin) = workshop.load(Profile::nuke());
            let project = plugin.project();
            let node = node(&project);
            node.press("generate");
            until_status(&node, "accepted", |status| !status.starts_with("Starting"));
            project.save(&saved);
        }
        eventually("the take is stored", || workshop.takes().len() == 1);
        std::fs::remove_dir_all(workshop.store_folder()).unwrap();
        let (_host, plugin) = background(workshop);
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        let start = f64::from(node.int("startFrame"));
        let frames: Vec<_> = std::thread::scope(|scope| {
            let render = |at: f64| {
                let node = &node;
                scope.spawn(move || node.render(&RenderAsk::at(start + at).for_a_file()))
            };
            let threads = [0.0, 3.0, 6.0, 12.0].map(render);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let made = take(workshop, &node);
        for (frame, index) in frames.iter().zip([0, 2, 4, 8]) {
            assert!(shows(frame, &made, index), "frame {index}");
        }
        assert_eq!(request(&node).prompt, "one");
    }

    fn a_failure_ends_the_render_in_words(workshop) {
        let what = json!({ "fail": { "code": "x", "message": "the GPU has no room", "remedy": "use fewer frames" } });
        workshop.fault("sampling", 1, 9, what);
        let (_host, plugin) = background(workshop);
        let project = plugin.project();
        for frame in sequence(&node(&project)) {
            assert!(frame.failed(), "{frame:?}");
            let says = frame.says();
            assert!(says.contains("GPU has no room") && says.contains("use fewer frames"), "{says}");
            assert!(says.contains("engine.log"), "{says}");
        }
    }

    fn missing_as_an_error_starts_nothing(workshop) {
        let (_host, plugin) = background(workshop);
        let project = plugin.project();
        let node = node(&project);
        node.set("missing", 2);
        let frame = node.render(&RenderAsk::at(0.0).for_a_file());
        assert!(frame.failed() && frame.says().contains("takes"), "{}", frame.says());
        assert!(workshop.engines().is_empty());
    }

    fn a_message_goes_once_there_is_a_picture(workshop) {
        let (host, plugin) = background(workshop);
        let project = plugin.project();
        let (node, other) = (node(&project), self::node(&project));
        node.set("missing", 2);
        let ask = RenderAsk::at(0.0).for_a_file();
        assert!(node.render(&ask).failed() && node.message().is_some());
        // The same take, which somebody else has made meanwhile.
        assert!(!other.render(&ask).failed());
        host.world_changed();
        assert!(!node.render(&ask).failed());
        assert_eq!(node.message(), None);
    }

    fn missing_as_empty_starts_nothing_and_is_told_once(workshop) {
        let (_host, plugin) = background(workshop);
        let project = plugin.project();
        let node = node(&project);
        node.set("missing", 3);
        for frame in sequence(&node) {
            assert!(frame.image().pixels().all(|pixel| pixel == [0.0; 4]));
        }
        assert!(workshop.engines().is_empty());
    }

    fn empty_is_empty_whatever_keeps_the_take_away(workshop) {
        let what = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.fault("sampling", 1, 9, what);
        let (host, plugin) = background(workshop);
        let project = plugin.project();
        let node = node(&project);
        // It has failed once.
        assert!(node.render(&RenderAsk::at(0.0).for_a_file()).failed());
        host.world_changed();
        node.set("missing", 3);
        for (id, text) in [("seed", ""), ("prompt", ""), ("takeRequest", "no base64 at all!")] {
            if id != "seed" {
                node.set(id, text);
            }
            let frame = node.render(&RenderAsk::at(0.0).for_a_file());
            assert!(frame.image().pixels().all(|pixel| pixel == [0.0; 4]), "{id}");
        }
    }

    fn the_variable_counts_for_more_than_the_parameter(
        workshop, "WAN_ALPHA_MISSING" = "error", "WAN_ALPHA_BATCH" = "1"
    ) {
        // A host that does not say that it is in the background.
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let frame = node(&project).render(&RenderAsk::at(0.0).for_a_file());
        assert!(frame.failed() && frame.says().contains("WAN_ALPHA_STORE"), "{}", frame.says());
        assert!(workshop.engines().is_empty());
    }

    fn a_variable_that_is_no_word_for_it_is_said(
        workshop, "WAN_ALPHA_MISSING" = "black", "WAN_ALPHA_BATCH" = "1"
    ) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let frame = node(&project).render(&RenderAsk::at(0.0).for_a_file());
        assert!(frame.says().contains("WAN_ALPHA_MISSING is black"), "{}", frame.says());
    }

    fn a_render_that_is_given_up_gives_up_its_take(workshop) {
        workshop.gate("sampling", 2);
        let (_host, plugin) = background(workshop);
        let project = plugin.project();
        let node = node(&project);
        let given_up = node.render(&RenderAsk::at(0.0).aborted(wan_alpha_test_host::Abort::AfterPolls(40)));
        assert!(given_up.aborted);
        eventually("the engine is told", || workshop.ends() == ["stopped"]);
        assert!(workshop.takes().is_empty(), "nobody wants it");
    }
}
