//! A take that is paused, by the artist and for a render of the host, and goes on.

use std::fs;

use wan_alpha_test_host::{Node, Profile, RenderAsk};

use crate::workshop::{alone, event, eventually, plain_node, shows, take, until_status};

/// Has a take made, and waits until it is before the step that `gate_before_pausing` holds up.
fn generate_to_the_gate(node: &Node) {
    node.press("generate");
    until_status(node, "at the gate", |status| status.starts_with("Sampling, 1 of"));
}

alone! {
    fn a_paused_take_says_so_and_goes_on(workshop) {
        workshop.gate_before_pausing();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        generate_to_the_gate(&node);
        node.press("pause");
        assert!(node.text("status").contains("after this step"), "{}", node.text("status"));
        workshop.open_gate();
        until_status(&node, "paused", |status| status.starts_with("Paused after step "));
        node.press("resume");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        // Nothing is begun by an engine that pauses.
        node.press("pause");
        node.set("seed", 2);
        node.press("generate");
        until_status(&node, "paused", |status| status.starts_with("Paused: nothing is computed"));
        node.press("cancel");
        node.press("resume");
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn an_engine_hears_of_a_render_of_the_host_while_it_lasts(workshop) {
        workshop.gate_before_pausing();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let [node, other] = [0; 2].map(|_| project.add_preferred().unwrap());
        plain_node(&node, "one");
        generate_to_the_gate(&node);
        let start = node.int("startFrame");
        let ask = RenderAsk::at(f64::from(start));
        other.around([start, start + 3], &ask, || {
            workshop.open_gate();
            event(&node);
            until_status(&node, "paused", |status| status.starts_with("Paused after"));
        });
        until_status(&node, "ready", |status| status.starts_with("Ready"));
    }

    fn a_take_does_not_wait_for_a_render_that_waits_for_it(workshop) {
        workshop.gate_before_pausing();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let [node, other] = [0; 2].map(|_| project.add_preferred().unwrap());
        plain_node(&node, "one");
        // Renders wait.
        node.set("missing", 1);
        generate_to_the_gate(&node);
        let start = node.int("startFrame");
        let ask = RenderAsk::at(f64::from(start));
        other.around([start, start + 3], &ask, || {
            workshop.open_gate();
            event(&node);
            until_status(&node, "paused", |status| status.starts_with("Paused after"));
            let frame = node.render(&ask);
            until_status(&node, "ready", |status| status.starts_with("Ready"));
            assert!(shows(&frame, &take(workshop, &node), 0));
        });
    }

    fn after_resume_an_engine_hears_of_the_next_render(workshop) {
        workshop.gate_before_pausing();
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let [node, other] = [0; 2].map(|_| project.add_preferred().unwrap());
        plain_node(&node, "one");
        // An engine is there, and makes nothing.
        generate_to_the_gate(&node);
        node.press("cancel");
        let start = node.int("startFrame");
        let (range, ask) = ([start, start + 3], RenderAsk::at(f64::from(start)));
        // A render whose end nobody tells, as far as the next one knows.
        other.around(range, &ask, || {
            node.press("resume");
            other.around(range, &ask, || {
                node.press("generate");
                workshop.open_gate();
                until_status(&node, "paused", |status| status.starts_with("Paused after"));
            });
            until_status(&node, "ready", |status| status.starts_with("Ready"));
        });
    }

    fn a_batch_render_says_that_it_waits_for_a_paused_engine(workshop) {
        workshop.gate("sampling", 1);
        {
            let (_host, plugin) = workshop.load(Profile::plain());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            node.press("generate");
            until_status(&node, "at the gate", |status| status.starts_with("Sampling, 1 of"));
            node.press("cancel");
            node.press("pause");
        }
        workshop.open_gate();
        let (_host, plugin) = workshop.load(Profile::nuke().in_background());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        let log = || fs::read_to_string(workshop.at("state/wan-alpha/node.log")).unwrap_or_default();
        let frame = std::thread::scope(|scope| {
            let render = scope.spawn(|| node.render(&RenderAsk::at(0.0).for_a_file()));
            eventually("it is told", || log().contains("the engine is paused"));
            assert!(!render.is_finished());
            node.press("resume");
            render.join().unwrap()
        });
        assert!(!frame.failed(), "{}", frame.says());
        assert_eq!(log().matches("is paused").count(), 1, "{}", log());
    }
}
