//! Whatever hosts and artists do, in whatever order: nothing panics, no rule is broken, and nothing
//! is left behind.
//!
//! Each host does its share of the steps in sessions, as random as their seed; `FUZZ_SEED` sets
//! another one. What an engine does meanwhile takes a time of its own, so that pictures are compared
//! with those of the same state only in sessions that ask for no new take; and of those that do, each
//! waits once for what becomes of a take, so that every way of an engine is met at any pace.

mod session;

use std::collections::VecDeque;
use std::fs;

use fastrand::Rng;
use serde_json::json;
use wan_alpha_take::TakeRequest;
use wan_alpha_test_host::{Host, Profile};

use crate::drawn::{draw, wanted};
use crate::workshop::{Workshop, alone, descriptors, eventually, resident, threads};
use session::Session;

/// Steps of one project, from its making to its end.
const SESSION: u32 = 250;

/// Sessions between loading the plug-in and unloading it.
const LOADED: u32 = 10;

/// Memory that may be gained after the first fifth: buffers of host and allocator.
const SLACK: usize = 12 << 20;

const SEED: u64 = 4;

// 100,000 steps; the host that rebuilds its instances at each edit takes longer over its own.
alone! {
    fn in_nuke(workshop) { fuzz(workshop, Profile::nuke(), 1, 30_000) }
    fn in_resolve(workshop) { fuzz(workshop, Profile::resolve(), 2, 10_000) }
    fn in_natron(workshop) { fuzz(workshop, Profile::natron(), 3, 30_000) }
    fn in_a_host_that_has_everything(workshop) { fuzz(workshop, Profile::plain(), 4, 30_000) }
}

fn fuzz(workshop: &Workshop, profile: Profile, nth: u64, steps: u32) {
    let seed = std::env::var("FUZZ_SEED").map_or(SEED, |seed| seed.parse().unwrap()) * 10 + nth;
    println!("{}: seed {seed}", profile.label);
    let mut rng = Rng::with_seed(seed);
    let (like, stored) = takes(workshop);
    let profile = profile.sized(32.0, 18.0).from_to(1.0, 40.0);
    let (first_threads, first_files) = (threads(), descriptors());
    let rounds = steps / SESSION / LOADED;
    let (mut settled, mut most, mut tally) = (0, 0, Tally::default());
    for round in 0..rounds {
        let makes_takes = engine_does(workshop, &mut rng, round);
        {
            let host = Host::new(profile.clone());
            let plugin = host.load(workshop.bundle()).unwrap();
            for session in 0..LOADED {
                let asks = session % 2 == 1;
                let session = Session {
                    workshop,
                    host: &host,
                    plugin: &plugin,
                    profile: profile.clone(),
                    rng: &mut rng,
                    like: &like,
                    stored: &stored,
                    asks,
                    makes_takes,
                    project: plugin.project(),
                    tally: &mut tally,
                    done: VecDeque::new(),
                };
                session.run();
                host.world_changed();
                // The host's own threads are told to end a moment before they are gone.
                eventually("one thread is the plug-in's", || threads() <= first_threads + 1);
                assert!(descriptors() <= first_files + 40, "{} descriptors", descriptors());
            }
            drop(plugin);
        }
        eventually("unloading ends its thread", || threads() == first_threads);
        assert_eq!(descriptors(), first_files, "descriptors after unloading");
        for key in workshop.takes() {
            let is_of_all = stored
                .iter()
                .any(|text| TakeRequest::from_parameter(text).unwrap().key().unwrap() == key);
            if !is_of_all {
                let _ = fs::remove_file(workshop.store_folder().join(format!("{key}.take")));
            }
        }
        let now = resident();
        if round < rounds.div_ceil(5) {
            settled = settled.max(now);
        }
        most = most.max(now);
    }
    println!("{tally:?}, {} engines", workshop.engines().len());
    // What an engine has to be waited for, and what does not hang on how fast it is.
    let works = rounds.div_ceil(ENGINES);
    let asking = LOADED / 2;
    assert_eq!((tally.made, tally.failed), (works * asking, (rounds - works) * asking));
    let Tally { ready, refused, pictures, undone, opened, .. } = tally;
    for (count, in_ten_thousand) in
        [(ready, 10), (refused, 5), (pictures, 500), (undone, 100), (opened, 20)]
    {
        assert!(count >= in_ten_thousand * steps / 10_000, "the steps lead nowhere");
    }
    println!("{} MB, then at most {} MB", settled >> 20, most >> 20);
    assert!(most <= settled + SLACK, "{settled} bytes became {most}");
}

/// What a node asks for, and the texts of some takes that are there.
fn takes(workshop: &Workshop) -> (TakeRequest, Vec<String>) {
    let (_host, plugin) = workshop.load(Profile::plain());
    let project = plugin.project();
    let node = project.add_preferred().unwrap();
    let like = wanted(workshop, &node);
    let stored = (100..104).map(|seed| {
        let size = [[64, 48], [16, 32], [48, 16], [32, 32]][seed as usize % 4];
        let take = draw(workshop, &like, seed, size, &|frame, u, v| [u, v, frame as f32, u * v]);
        take.description().request.to_parameter()
    });
    let stored = stored.collect();
    workshop.install_engine();
    (like, stored)
}

/// Engines that are met in turn.
const ENGINES: u32 = 5;

/// Another engine for each loading: one that works, fails, ends, talks nonsense, or is not there.
/// Returns whether it makes takes.
fn engine_does(workshop: &Workshop, rng: &mut Rng, round: u32) -> bool {
    for engine in workshop.engines() {
        let command = fs::read(format!("/proc/{engine}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&*workshop.at("engine").to_string_lossy()) {
            let _ =
                std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status();
        }
    }
    let _ = fs::remove_file(workshop.at("engine"));
    let step = rng.u32(0..4);
    let at = |what| json!({ "stage": "sampling", "step": step, "what": what });
    let problem = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
    let which = round % ENGINES;
    let faults = match which {
        1 => vec![at(problem)],
        2 => vec![at(json!("exit"))],
        3 => vec![at(json!("garbage"))],
        _ => vec![],
    };
    workshop.script(&json!({ "step_ms": 1, "faults": faults }));
    if which != ENGINES - 1 {
        workshop.install_engine();
    }
    which == 0
}

/// That the steps lead anywhere.
#[derive(Debug, Default)]
struct Tally {
    generated: u32,
    /// Takes that were waited for.
    made: u32,
    failed: u32,
    /// What a button is answered with.
    ready: u32,
    refused: u32,
    pictures: u32,
    undone: u32,
    opened: u32,
}
