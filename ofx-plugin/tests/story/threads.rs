//! Many nodes, many threads, and ends that come while something is going on.

use std::time::Duration;

use wan_alpha_test_host::{Abort, AbortSwitch, Profile, RenderAsk};

use crate::workshop::{FRAMES, alone, eventually, plain_node, shows, take, threads, until_status};

alone! {
    fn ten_nodes_with_one_request_make_one_take(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let nodes: Vec<_> = (0..10).map(|_| project.add_preferred().unwrap()).collect();
        for node in &nodes {
            plain_node(node, "one");
            node.press("generate");
        }
        workshop.open_gate();
        for node in &nodes {
            until_status(node, "ready", |status| status.starts_with("Ready"));
        }
        host.world_changed();
        assert_eq!((workshop.takes().len(), workshop.engines().len()), (1, 1));
        let made = take(workshop, &nodes[0]);
        for node in &nodes {
            assert!(shows(&node.view(f64::from(node.int("startFrame"))), &made, 0));
        }
    }

    fn eight_threads_render_in_any_order(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generateAndWait");
        host.world_changed();
        let made = take(workshop, &node);
        let start = f64::from(node.int("startFrame"));
        std::thread::scope(|scope| {
            for thread in 0_u32..8 {
                let (node, made) = (&node, &made);
                scope.spawn(move || {
                    for turn in 0..8 {
                        let frame = (turn * 5 + thread * 3) % FRAMES;
                        let time = start + (f64::from(frame) * 1.5).round();
                        let shown = ((time - start) / 1.5 + 0.5).floor() as u32;
                        let picture = node.render(&RenderAsk::at(time));
                        assert!(shows(&picture, made, shown), "frame {frame}");
                    }
                });
            }
            // Meanwhile the artist plays with the panel.
            for seed in 0..20 {
                node.set("seed", seed);
            }
        });
    }

    fn a_busy_node_can_go_and_the_plug_in_be_unloaded(workshop) {
        workshop.gate("sampling", 2);
        {
            let (_host, plugin) = workshop.load(Profile::plain());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            node.press("generate");
            until_status(&node, "at work", |status| status.contains("left"));
            node.delete();
        }
        // What was asked for is made all the same, and this process is left as it was.
        eventually("the plug-in's thread is gone", || threads() <= 3);
        workshop.open_gate();
        eventually("the take is stored", || workshop.takes().len() == 1);
    }

    fn threads_of_the_host_may_outlive_the_plug_in(workshop) {
        let before = threads();
        let (rendered, wait_for_it) = std::sync::mpsc::channel();
        let (unloaded, all) = (std::sync::Arc::new(std::sync::Barrier::new(5)), 4);
        let hosts_threads: Vec<_> = {
            let (host, plugin) = workshop.load(Profile::natron().in_background());
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            let start = node.int("startFrame");
            let begun = (0..all).map(|at| {
                let (node, rendered) = (node.clone(), rendered.clone());
                let unloaded = std::sync::Arc::clone(&unloaded);
                std::thread::spawn(move || {
                    let frame = node.render(&RenderAsk::at(f64::from(start + at)).for_a_file());
                    assert!(!frame.failed());
                    drop(node);
                    rendered.send(()).unwrap();
                    // Kept in a pool, as hosts keep theirs.
                    unloaded.wait();
                })
            });
            let begun: Vec<_> = begun.collect();
            (0..all).for_each(|_| wait_for_it.recv().unwrap());
            drop((node, project, plugin));
            // Unloaded: no thread of ours is there any more, from this moment on.
            assert_eq!(threads(), before + begun.len());
            host.check();
            begun
        };
        unloaded.wait();
        for thread in hosts_threads {
            thread.join().unwrap();
        }
        assert!(threads() <= before);
    }

    fn a_session_with_an_artist_waits_only_where_it_is_told_to(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let start = f64::from(node.int("startFrame"));
        let frame = node.render(&RenderAsk::at(start));
        assert!(frame.took < Duration::from_millis(250), "waited {:?}", frame.took);
        node.set("missing", 1);
        let abort = after(Duration::from_millis(200));
        let given_up = node.render(&RenderAsk::at(start).aborted(abort));
        assert!(given_up.aborted && given_up.abort_took.unwrap() <= Duration::from_millis(50), "{given_up:?}");
        host.world_changed();
        assert!(workshop.takes().is_empty());
        let waited = std::thread::scope(|scope| {
            let render = scope.spawn(|| node.render(&RenderAsk::at(start)));
            std::thread::sleep(Duration::from_millis(200));
            workshop.open_gate();
            render.join().unwrap()
        });
        assert!(shows(&waited, &take(workshop, &node), 0));
    }

    fn drawing_a_large_picture_is_given_up_at_once(workshop) {
        let (host, plugin) = workshop.load(Profile::plain().sized(4096.0, 2160.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        node.set("prompt", "one");
        node.press("generateAndWait");
        host.world_changed();
        let start = f64::from(node.int("startFrame"));
        for polls in [0, 1, 2, 5] {
            let frame = node.render(&RenderAsk::at(start).aborted(Abort::AfterPolls(polls)));
            if let Some(took) = frame.abort_took {
                assert!(took <= Duration::from_millis(50), "{took:?} after {polls} polls");
            }
        }
        for delay in [1, 20, 60] {
            let abort = after(Duration::from_millis(delay));
            let frame = node.render(&RenderAsk::at(start).aborted(abort));
            if frame.aborted {
                assert!(frame.abort_took.unwrap() <= Duration::from_millis(50), "{frame:?}");
            }
        }
    }
}

/// Given up by somebody else, after a while.
fn after(delay: Duration) -> Abort {
    let switch = AbortSwitch::new();
    let abort = Abort::When(switch.clone());
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        switch.pull();
    });
    abort
}
