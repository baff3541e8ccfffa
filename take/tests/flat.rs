//! Three hundred takes made, read and trimmed: nothing grows, here or in the engine. Alone in its
//! process, which it counts in.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::json;
use support::{Bench, request, wait_for};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::client::{EngineClient, JobState};
use wan_alpha_take::engine::message::{Holder, Submit};
use wan_alpha_take::store::Store;

const TAKES: u32 = 300;
/// By then caches are full and allocators have what they need.
const SETTLED: u32 = 60;
/// Bytes of a take's frames: 9 of 64 × 48, 8 bytes a pixel.
const TAKE: u64 = 9 * 64 * 48 * 8;
/// In memory, and on the disk when a take has been trimmed for.
const ROOM: u64 = 5 * TAKE;
/// KiB that memory may have grown by; 240 takes that each leak one frame are 5760.
const SLACK: u64 = 1024;

/// What may not grow, of one process.
#[derive(Debug)]
struct Process {
    anonymous_kib: u64,
    descriptors: usize,
    threads: usize,
}

/// What may not grow, all together.
#[derive(Debug)]
struct Held {
    host: Process,
    engine: Process,
    takes: usize,
    run: Vec<String>,
}

impl Process {
    fn look(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let count = |what: &str| fs::read_dir(format!("/proc/{process}/{what}")).unwrap().count();
        Self {
            anonymous_kib: anonymous.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: count("fd"),
            threads: count("task"),
        }
    }

    fn has_grown_since(&self, before: &Self) -> bool {
        self.anonymous_kib > before.anonymous_kib + SLACK
            || self.descriptors > before.descriptors
            || self.threads > before.threads
    }
}

impl Held {
    /// Once the engine has noticed that all clients but this one are gone.
    fn look(bench: &Bench, client: &EngineClient, store: &Store) -> Self {
        let mut asked = 0;
        wait_for(client, "report of one client", |snapshot| {
            if snapshot.reports >= asked {
                asked = snapshot.reports + 1;
                client.ask_report();
            }
            snapshot.report.as_ref().is_some_and(|report| report.clients == 1)
        });
        Self {
            host: Process::look(std::process::id()),
            engine: Process::look(bench.starts()[0]),
            takes: names(&store.folders()[0]).len(),
            run: names(&bench.run()),
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes a take, reads it twice, trims.
fn go_round(client: &EngineClient, store: &Store, request: &TakeRequest) {
    let key = request.key().unwrap();
    client.submit(Submit {
        key,
        request: serde_json::from_str(&request.to_canonical()).unwrap(),
        stores: store.folders().to_vec(),
        model_roots: Vec::new(),
        holder: Holder::Render,
        memory: None,
    });
    let end = wait_for(client, "end", |snapshot| snapshot.jobs[&key].is_finished());
    assert_eq!(end.jobs[&key], JobState::Done);
    let take = store.find(&key).take.unwrap();
    for frame in (0..take.frames()).chain(0..take.frames()) {
        assert_eq!(take.frame(frame).unwrap().len(), 4 * 64 * 48);
    }
    drop(take);
    let trimmed = store.trim(Some(ROOM));
    assert!(trimmed.problems.is_empty() && trimmed.left <= ROOM, "{trimmed:?}");
}

#[test]
fn nothing_grows_over_three_hundred_takes() {
    let stages = json!([{ "name": "sampling", "steps": 1 }]);
    let bench = Bench::new(json!({ "step_ms": 0, "stages": stages }));
    let store = Store::with_cache([bench.directory.path().join("takes")], ROOM as usize);
    // One client that stays, as a host's; and one for every other take, as a command's.
    let lasting = bench.client();
    let smoke = request("smoke");
    let go_round = |seed: u32| {
        let request = TakeRequest { seed, ..smoke.clone() };
        if seed.is_multiple_of(2) {
            go_round(&lasting, &store, &request);
        } else {
            go_round(&bench.client(), &store, &request);
        }
    };
    (1..=SETTLED).for_each(go_round);
    let before = Held::look(&bench, &lasting, &store);
    (SETTLED + 1..=TAKES).for_each(go_round);
    let after = Held::look(&bench, &lasting, &store);

    let told = format!("after {SETTLED} takes {before:?}, after {TAKES} {after:?}");
    assert!(!after.host.has_grown_since(&before.host), "{told}");
    assert!(!after.engine.has_grown_since(&before.engine), "{told}");
    assert_eq!((after.takes, &after.run), (before.takes, &before.run), "{told}");
    assert_eq!(bench.starts().len(), 1, "the engine was lost");
}
