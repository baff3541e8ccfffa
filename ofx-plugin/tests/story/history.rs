//! Presets and history: a prompt to begin with, the next seed, and the takes that a node has had. And
//! how the take is looked at.

use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{Node, Profile, RenderAsk};

use crate::drawn::{draw, show, time_of, wanted};
use crate::workshop::{SIZE, alone, event, plain_node, request, shows};

fn press(node: &Node, button: &str) {
    node.press(button);
    if button == "vary" {
        crate::workshop::until_status(node, "ready", |status| status.starts_with("Ready"));
    }
}

/// The seed of the take that a node shows, by its status: the scripted engine draws all alike.
fn shown_seed(node: &Node) -> u32 {
    event(node);
    let status = node.text("status");
    assert!(status.starts_with("Ready"), "{status}");
    let seed = status.split("seed ").nth(1).unwrap_or_default();
    seed.split('.').next().unwrap_or_default().parse().unwrap()
}

alone! {
    fn a_template_fills_an_empty_prompt(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "");
        node.set("promptTemplate", 2);
        assert_eq!(node.text("prompt"), "");
        node.press("generateAndWait");
        let prompt = node.text("prompt");
        assert!(prompt.starts_with("The background of this video is transparent. Realistic style"));
        assert!(prompt.contains("smoke") && request(&node).prompt == prompt, "{prompt}");
        node.set("prompt", "my own");
        node.set("promptTemplate", 1);
        node.press("generateAndWait");
        assert_eq!(request(&node).prompt, "my own");
        node.undo();
        assert_eq!(node.text("prompt"), "my own");
    }

    fn vary_takes_the_next_seed_and_history_shows_the_others(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        for seed in 2..5_u32 {
            press(&node, "vary");
            assert_eq!((node.int("seed"), request(&node).seed), (seed as i32, seed));
        }
        host.world_changed();
        assert_eq!(shown_seed(&node), 4);
        let engines = workshop.engines();
        for (back, seed) in [(1, 3), (3, 1), (2, 2), (0, 4), (3, 1)] {
            node.set("history", back);
            assert_eq!(shown_seed(&node), seed, "{back} before");
        }
        assert_eq!(workshop.engines(), engines);
        // It is saved, undone and done again like any other choice.
        let saved = workshop.at("shot.json");
        project.save(&saved);
        let again = plugin.open(&saved).unwrap();
        assert_eq!(shown_seed(&again.nodes()[0]), 1);
        node.undo();
        assert_eq!(shown_seed(&node), 4);
        node.redo();
        assert_eq!(shown_seed(&node), 1);
        node.set("history", 9);
        assert_eq!(shown_seed(&node), 4);
        assert!(node.text("status").contains("not had so many takes"), "{}", node.text("status"));
        press(&node, "vary");
        host.world_changed();
        assert_eq!((node.int("history"), shown_seed(&node)), (0, 5));
    }

    fn a_take_of_the_history_is_drawn(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let takes = [7, 8, 9].map(|seed| {
            draw(workshop, &like, seed, SIZE, &move |_, u, v| [u, v, seed as f32 / 10.0, 1.0])
        });
        let texts = takes.each_ref().map(|take| take.description().request.to_parameter());
        show(&node, &takes[2]);
        node.set("takeHistory", format!("{} {} {}", texts[2], texts[1], texts[0]));
        for (back, at) in [(1, 1), (2, 0), (0, 2), (3, 2)] {
            node.set("history", back);
            assert!(shows(&node.view(time_of(&node, 0)), &takes[at], 0), "{back} before");
        }
    }

    fn the_history_has_the_last_sixteen(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        for seed in 100..120 {
            // What the node asks for is there already: no engine is needed, nor its pace.
            let take = draw(workshop, &like, seed, SIZE, &|_, u, v| [u, v, 0.5, 1.0]);
            node.set("seed", seed as i32);
            node.press("generate");
            assert_eq!(node.text("takeKey"), take.description().key.to_string());
        }
        let history = node.text("takeHistory");
        let seed = |text: &str| TakeRequest::from_parameter(text).unwrap().seed;
        let seeds: Vec<u32> = history.split_whitespace().map(seed).collect();
        assert_eq!(seeds, (104..120).rev().collect::<Vec<_>>());
    }

    fn a_view_is_for_the_artist_alone(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, SIZE, &|_, u, _| [u, 0.5, 0.25, 0.5]);
        show(&node, &take);
        let time = time_of(&node, 0);
        let rendered = |node: &Node| node.render(&RenderAsk::at(time)).pixel(32, 24);
        node.set("view", 1);
        assert_eq!(rendered(&node), [0.5, 0.5, 0.5, 1.0]);
        node.set("view", 2);
        let over = rendered(&node);
        assert!(over[3] == 1.0 && over[1] > 0.3, "{over:?}");
        let saved = workshop.at("shot.json");
        project.save(&saved);
        drop(project);
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0).in_background());
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        assert!(shows(&node.render(&RenderAsk::at(time).for_a_file()), &take, 0));
    }

    fn rates_are_converted_as_is_chosen(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0).at_rate(32.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, SIZE, &|frame, _, _| [frame as f32 / 16.0, 0.5, 0.25, 1.0]);
        show(&node, &take);
        let start = f64::from(node.int("startFrame"));
        // Two frames of the host for each of the take.
        let red = |at: f64| (node.render(&RenderAsk::at(start + at)).pixel(32, 24)[0] * 32.0).round();
        let shown = |conversion: i32| {
            node.set("rateConversion", conversion);
            [0.0, 1.0, 2.0, 3.0, 30.0].map(red)
        };
        assert_eq!(shown(0), [0.0, 2.0, 2.0, 4.0, 16.0]);
        assert_eq!(shown(1), [0.0, 1.0, 2.0, 3.0, 16.0]);
        assert_eq!(shown(2), [0.0, 2.0, 4.0, 6.0, 16.0]);
    }

    fn a_thumbnail_is_never_waited_for(workshop) {
        workshop.gate("sampling", 2);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("missing", 1);
        node.press("generate");
        // Where it waits, it does so for good: the gate is closed.
        let frame = node.thumbnail(f64::from(node.int("startFrame")), 0.25);
        assert!(!frame.failed());
        node.press("cancel");
    }
}
