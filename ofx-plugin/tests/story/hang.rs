//! The host's main thread never waits, whatever the engine does; a hanging one is replaced.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use wan_alpha_test_host::{Node, Profile, Stopwatch};

use crate::workshop::{alone, eventually, plain_node, shows, take, until_status};

/// How long a button may keep the host.
const AT_ONCE: Duration = Duration::from_millis(300);

const BUTTONS: [&str; 6] = ["cancel", "generate", "revert", "startHere", "releaseGpu", "refresh"];

/// Every button but the one that waits, each in a few tries: this machine has other work too.
#[track_caller]
fn all_return_at_once(node: &Node, state: &str, seed: &mut i32) {
    for button in BUTTONS {
        let tries = (0..3).map(|_| {
            *seed += 1;
            node.set("seed", *seed);
            let stopwatch = Stopwatch::start();
            node.press(button);
            stopwatch.taken()
        });
        let best = tries.min().unwrap_or_default();
        assert!(best < AT_ONCE, "{button} took {best:?} with {state}");
    }
}

alone! {
    fn buttons_return_at_once(workshop) {
        let mut seed = 0;
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        fs::remove_file(workshop.at("engine")).unwrap();
        all_return_at_once(&node, "no engine", &mut seed);
        workshop.install_engine();
        workshop.fault("start", 0, 9, json!({ "sleep": { "ms": 1500 } }));
        all_return_at_once(&node, "an engine that starts slowly", &mut seed);
        node.set("seed", 7);
        node.press("generate");
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        all_return_at_once(&node, "an engine at work", &mut seed);
        let engine = *workshop.engines().last().unwrap();
        let stopped = std::process::Command::new("kill").args(["-STOP", &engine.to_string()]).status();
        assert!(stopped.unwrap().success());
        all_return_at_once(&node, "an engine that was stopped", &mut seed);
        let stopwatch = Stopwatch::start();
        drop(project);
        let took = stopwatch.taken();
        assert!(took < 2 * AT_ONCE, "closing took {took:?}");
    }

    fn a_hanging_engine_is_ended_and_its_take_made_by_the_next(workshop) {
        workshop.fault("sampling", 2, 1, json!("hang"));
        let (host, plugin) = workshop.load(Profile::plain().sized(320.0, 180.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.press("generate");
        let start = f64::from(node.int("startFrame"));
        let began = Instant::now();
        let mut times: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut told = Vec::new();
        while !node.text("status").starts_with("Ready") {
            assert!(began.elapsed() < Duration::from_secs(400), "{}", node.text("status"));
            // All but Cancel, which would be the end of it.
            for button in BUTTONS.into_iter().filter(|button| *button != "cancel") {
                let stopwatch = Stopwatch::start();
                node.press(button);
                times.entry(button).or_default().push(stopwatch.taken());
            }
            let stopwatch = Stopwatch::start();
            assert!(!node.view(start).failed());
            times.entry("view").or_default().push(stopwatch.taken());
            told.push(node.text("status"));
            std::thread::sleep(Duration::from_millis(250));
        }
        assert!(began.elapsed() > Duration::from_secs(29), "it was given up early");
        for (what, times) in &mut times {
            times.sort_unstable();
            let most = times[times.len() * 9 / 10];
            println!("{what}: {:?} to {:?}, nine of ten within {most:?}", times[0], times.last());
            assert!(most < AT_ONCE, "{what} took {times:?}");
        }
        let engines = workshop.engines();
        assert_eq!(engines.len(), 2, "{told:?}");
        eventually("the first engine is gone", || {
            fs::read(format!("/proc/{}/cmdline", engines[0])).unwrap_or_default().is_empty()
        });
        host.world_changed();
        let start = f64::from(node.int("startFrame"));
        assert!(shows(&node.view(start), &take(workshop, &node), 0));
    }
}
