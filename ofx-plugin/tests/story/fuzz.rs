//! Whatever hosts and artists do, in whatever order: nothing panics, no rule is broken, and nothing
//! is left behind.
//!
//! Each host does its share of the steps in sessions, as random as their seed; `FUZZ_SEED` sets
//! another one, and `FUZZ_SESSIONS` how many there are in each host. What an engine does meanwhile takes a time of its own, so that pictures are compared
//! with those of the same state only in sessions that ask for no new take; and of those that do, each
//! waits once for what becomes of a take, so that every way of an engine is met at any pace.

mod buttons;
mod see_through;
mod session;
mod words;

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

// 120,000 steps; hosts that make instances anew at each edit or frame take longer over their own.
alone! {
    fn in_nuke(workshop) { fuzz(workshop, Profile::nuke(), 1, 30_000) }
    fn in_resolve(workshop) { fuzz(workshop, Profile::resolve(), 2, 10_000) }
    fn in_natron(workshop) { fuzz(workshop, Profile::natron(), 3, 30_000) }
    fn in_a_host_that_has_everything(workshop) {
        let profile = Profile::plain().managing_color("OfxImageEffectColourManagementCore");
        fuzz(workshop, profile, 4, 30_000);
    }
    fn in_mlt(workshop) { fuzz(workshop, Profile::mlt(), 5, 10_000) }
    fn in_nuke_17(workshop) { fuzz(workshop, Profile::nuke17_strict(), 6, 5_000) }
    fn in_the_support_library(workshop) { fuzz(workshop, Profile::host_support(), 7, 5_000) }
}

fn fuzz(workshop: &Workshop, profile: Profile, nth: u64, steps: u32) {
    let seed = std::env::var("FUZZ_SEED").map_or(SEED, |seed| seed.parse().unwrap()) * 10 + nth;
    let sessions = std::env::var("FUZZ_SESSIONS").ok().map(|number| number.parse::<u32>().unwrap());
    let steps = sessions.map_or(steps, |sessions| sessions * SESSION);
    println!("{}: seed {seed}", profile.label);
    let has_buttons = !profile.instance_per_frame;
    let first_threads = threads();
    let (like, stored) = takes(workshop);
    // On a busy machine the thread of the plug-in that they were asked with is there for a while yet.
    eventually("unloading ends its thread", || threads() == first_threads);
    let profile = profile.sized(32.0, 18.0).from_to(1.0, 40.0);
    let first_files = descriptors();
    let rng = Rng::with_seed(seed);
    let mut fuzzer = Fuzzer { workshop, profile, rng, like, stored, tally: Tally::default() };
    let rounds = steps / SESSION / LOADED;
    let (mut settled, mut most) = (0, 0);
    for round in 0..rounds {
        let makes_takes = engine_does(workshop, &mut fuzzer.rng, round);
        fuzzer.load_and_unload(makes_takes, first_threads, first_files);
        eventually("unloading ends its thread", || threads() == first_threads);
        assert_eq!(descriptors(), first_files, "descriptors after unloading");
        fuzzer.remove_new_takes();
        let now = resident();
        if round < rounds.div_ceil(5) {
            settled = settled.max(now);
        }
        most = most.max(now);
    }
    fuzzer.tally.check(rounds, steps, has_buttons, workshop.engines().len());
    println!("{} MB, then at most {} MB", settled >> 20, most >> 20);
    assert!(most <= settled + SLACK, "{settled} bytes became {most}");
}

/// What the sessions in one host have in common.
struct Fuzzer<'a> {
    workshop: &'a Workshop,
    profile: Profile,
    rng: Rng,
    /// What nodes ask for.
    like: TakeRequest,
    /// Requests of takes that are stored before the first session.
    stored: Vec<String>,
    tally: Tally,
}

impl Fuzzer<'_> {
    /// Runs sessions between loading the plug-in and unloading it.
    fn load_and_unload(&mut self, makes_takes: bool, first_threads: usize, first_files: usize) {
        let host = Host::new(self.profile.clone());
        let plugin = host.load(self.workshop.bundle()).unwrap();
        for session in 0..LOADED {
            let session = Session {
                workshop: self.workshop,
                host: &host,
                plugin: &plugin,
                profile: self.profile.clone(),
                rng: &mut self.rng,
                like: &self.like,
                stored: &self.stored,
                asks: session % 2 == 1,
                makes_takes,
                project: plugin.project(),
                tally: &mut self.tally,
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

    /// Removes the takes that sessions had made.
    fn remove_new_takes(&self) {
        let key_of = |text: &String| TakeRequest::from_parameter(text).unwrap().key().unwrap();
        for key in self.workshop.takes() {
            if !self.stored.iter().any(|text| key_of(text) == key) {
                let file = self.workshop.store_folder().join(format!("{key}.take"));
                let _ = fs::remove_file(file);
            }
        }
    }
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

/// Processes of the engine of this test.
fn running_engines(workshop: &Workshop) -> Vec<String> {
    let program = workshop.at("engine");
    let is_engine = |process: &String| {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*program.to_string_lossy())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(is_engine)
        .collect()
}

/// Another engine for each loading: one that works, fails, ends, talks nonsense, or is not there.
/// Returns whether it makes takes.
fn engine_does(workshop: &Workshop, rng: &mut Rng, round: u32) -> bool {
    // First the program, so that none is started any more; then whatever runs, though it has not said that it
    // does: it may have read its script already, and would go on by that.
    let _ = fs::remove_file(workshop.at("engine"));
    eventually("engines end", || {
        let running = running_engines(workshop);
        for engine in &running {
            let _ = std::process::Command::new("kill").args(["-KILL", engine]).status();
        }
        running.is_empty()
    });
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
    workshop.script(&json!({ "step_ms": rng.u32(0..2), "faults": faults }));
    if which != ENGINES - 1 {
        workshop.install_engine();
    }
    which == 0
}

/// How often the steps led to something.
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

impl Tally {
    /// Fails where the steps led nowhere.
    fn check(&self, rounds: u32, steps: u32, has_buttons: bool, engines: usize) {
        println!("{self:?}, {engines} engines");
        // What an engine has to be waited for, and what does not hang on how fast it is.
        let works = rounds.div_ceil(ENGINES);
        let asking = LOADED / 2;
        assert_eq!((self.made, self.failed), (works * asking, (rounds - works) * asking));
        let Self { ready, refused, pictures, undone, opened, .. } = *self;
        let of_buttons = if has_buttons { [(ready, 3), (refused, 5)] } else { [(0, 0); 2] };
        for (count, in_ten_thousand) in
            of_buttons.into_iter().chain([(pictures, 500), (undone, 100), (opened, 20)])
        {
            assert!(count >= in_ten_thousand * steps / 10_000, "the steps lead nowhere");
        }
    }
}
