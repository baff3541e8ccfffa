//! Hosts that keep OpenFX more strictly than others, or tell less of what happens.

use wan_alpha_test_host::{Context, Profile, RenderAsk};

use crate::workshop::{alone, eventually, plain_node, shows, take};

alone! {
    fn a_host_that_only_brackets_a_change_of_time_shows_a_ready_take(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::host_support());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let start = f64::from(node.int("startFrame"));
        let placeholder = node.view(start);
        assert!(placeholder.picture().is_some());
        workshop.open_gate();
        eventually("the take is stored", || workshop.takes().len() == 1);
        host.world_changed();
        let made = take(workshop, &node);
        eventually("the engine says so", || {
            project.go_to(start + 3.0);
            shows(&node.view(start), &made, 0)
        });
    }

    fn nuke_17_sees_parameters_set_in_changes_only(workshop) {
        let (host, plugin) = workshop.load(Profile::nuke17_strict());
        let project = plugin.project();
        let node = project.add(Context::General).unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        let first = take(workshop, &node);
        assert!(shows(&node.view(f64::from(node.int("startFrame"))), &first, 0));
        node.set("seed", 2);
        node.press("generate");
        eventually("the second take is stored", || workshop.takes().len() == 2);
        host.world_changed();
        // There is something to be told now, and the panel is no place for it there: a button is.
        node.close_panel();
        node.open_panel();
        project.go_to(1020.0);
        eventually("it is shown", || {
            node.press("refresh");
            node.text("status").starts_with("Ready")
        });
        let overlay = node.overlay().unwrap();
        overlay.draw();
        overlay.drag([960.0, 540.0], [1000.0, 500.0], 3);
        node.press("revert");
        assert_eq!(node.text("takeKey"), first.description().key.to_string());
        let saved = workshop.at("shot.nk");
        project.save(&saved);
        let again = plugin.open(&saved).unwrap();
        let node = again.nodes().remove(0);
        assert!(shows(&node.view(f64::from(node.int("startFrame"))), &first, 0));
    }

    fn the_host_may_be_set_anew_while_others_render(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(64.0, 48.0));
        let project = plugin.project();
        let node = project.add(Context::Generator).unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        let made = take(workshop, &node);
        let time = f64::from(node.int("startFrame"));
        std::thread::scope(|scope| {
            let renders: Vec<_> = (0..4)
                .map(|_| {
                    let (node, made) = (&node, &made);
                    scope.spawn(move || {
                        (0..100).all(|_| shows(&node.render(&RenderAsk::at(time)), made, 0))
                    })
                })
                .collect();
            while renders.iter().any(|render| !render.is_finished()) {
                plugin.set_host_again();
            }
            assert!(renders.into_iter().all(|render| render.join().unwrap()));
        });
    }

    fn what_matters_is_in_the_part_of_a_message_that_nuke_17_shows(workshop) {
        let (_host, plugin) = workshop.load(Profile::nuke17_strict().in_background());
        let project = plugin.project();
        let node = project.add(Context::General).unwrap();
        plain_node(&node, "one");
        for (missing, id, text, says) in [
            (2, "prompt", "one", "The take is missing"),
            (0, "prompt", "", "prompt is empty"),
            (0, "takeRequest", "no base64", "Not readable"),
        ] {
            node.set("missing", missing);
            node.set(id, text);
            let frame = node.render(&RenderAsk::at(0.0).for_a_file());
            assert!(frame.failed() && frame.says().contains(says), "{}", frame.says());
            assert!(frame.says().chars().count() <= 120);
        }
    }

    fn a_bar_that_is_shown_is_ended_even_where_the_wait_fails(workshop) {
        workshop.fault("sampling", 1, 9, serde_json::json!("exit"));
        for profile in [Profile::nuke17_strict(), Profile::plain()] {
            let (_host, plugin) = workshop.load(profile);
            let project = plugin.project();
            let node = project.add(Context::General).unwrap();
            plain_node(&node, "one");
            node.press("generateAndWait");
            let told = node.progress();
            assert_eq!(told.last(), Some(&wan_alpha_test_host::Progress::End), "{told:?}");
            node.delete();
        }
    }

    fn a_bar_goes_with_the_node_that_is_deleted_while_it_is_shown(workshop) {
        for (seed, profile) in (1..).zip([Profile::nuke17_strict(), Profile::plain(), Profile::natron()]) {
            workshop.gate("sampling", 2);
            let (host, plugin) = workshop.load(profile);
            let project = plugin.project();
            let node = project.add(Context::General).unwrap();
            plain_node(&node, "one");
            node.set("seed", seed);
            host.delete_at_progress(Some(3));
            // Where it waits all the same, it does so for good: the gate is closed.
            node.press("generateAndWait");
            let told = node.progress();
            assert_eq!(told.last(), Some(&wan_alpha_test_host::Progress::End), "{told:?}");
            assert!(project.nodes().is_empty());
            // The take goes on being made, for the next node with these parameters.
            workshop.open_gate();
            let count = seed as usize;
            eventually("the take is stored", || workshop.takes().len() == count);
            workshop.close_gate();
        }
    }
}
