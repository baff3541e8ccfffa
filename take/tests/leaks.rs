//! No descriptor, thread or process is left behind. Alone in its process, which it counts in.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::fs;

use serde_json::json;
use support::{Bench, eventually, gate, make, node, run_until_made, take};
use wan_alpha_take::engine::client::JobState;

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Children of this process, those included that have ended and were not reaped.
fn children() -> usize {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stat = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let parent = |stat: &String| {
        stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(1).map(str::to_owned))
    };
    stat.filter(|stat| parent(stat).as_ref() == Some(&own)).count()
}

#[test]
fn nothing_is_left_behind() {
    let usual = Bench::new(json!({}));
    assert_eq!(make(&usual.client(), 1), JobState::Done);
    let before = (count("fd"), count("task"));
    for round in 0..10 {
        assert_eq!(make(&usual.client(), round), JobState::Done);
        // An engine lost once, and one lost again and again.
        for (engines, done) in [(1, true), (2, false)] {
            let lost = json!({ "stage": "text", "step": 1, "engines": engines, "what": "abort" });
            let bench = Bench::new(json!({ "faults": [lost, gate("sampling", 1)] }));
            bench.open_gate();
            let client = bench.client();
            assert_eq!(make(&client, 1) == JobState::Done, done);
            bench.close_gate();
            client.submit(take(2, node("n")));
            run_until_made(&client, 2);
            client.stop_engine();
            eventually("the engines are reaped", || children() == 1);
        }
    }
    // Fewer where the first client's thread was still ending when it was counted.
    let is_as_before = || count("fd") <= before.0 && count("task") <= before.1;
    eventually("all is as before", is_as_before);
    // The one engine that was never lost has not grown either.
    let engine = usual.starts()[0];
    let of_engine = |what: &str| fs::read_dir(format!("/proc/{engine}/{what}")).unwrap().count();
    eventually("its connections are closed", || of_engine("fd") < 12);
    assert_eq!(of_engine("task"), 2);
}
