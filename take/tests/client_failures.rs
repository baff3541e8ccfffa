//! The client with a scripted engine that fails in every way that one can.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{
    Bench, eventually, failure, finish, is_engine, is_unavailable, key, make, node, run_until_made,
    take, wait_for,
};
use wan_alpha_take::engine::client::{EngineClient, EngineState, JobState, Snapshot};
use wan_alpha_take::engine::message::Holder;

#[test]
fn an_engine_that_ends_at_any_stage_is_started_once_more() {
    for (stage, step) in [("listen", 0), ("text", 0), ("sampling", 2), ("decode", 3)] {
        for what in ["exit", "abort"] {
            let bench = Bench::with_fault(stage, step, 1, json!(what));
            let client = bench.client();
            let state = make(&client, 1);
            if stage == "listen" {
                // It never answered: said at once, and the next order works.
                let (code, words) = failure(state);
                assert_eq!(code, "engine-died", "{words}");
                assert_eq!(make(&client, 1), JobState::Done);
            } else {
                assert_eq!(state, JobState::Done, "{what} at {stage}");
            }
            assert_eq!(bench.starts().len(), 2, "{what} at {stage}");
        }
    }
}

#[test]
fn an_engine_that_ends_twice_is_reported_and_the_next_order_works() {
    let bench = Bench::with_fault("sampling", 1, 2, json!("exit"));
    let client = bench.client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-died");
    for part in ["exit code 3", "exit at sampling 1, as the script says", "engine.log"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(is_unavailable(&client.snapshot()));
    assert_eq!(make(&client, 1), JobState::Done);
    assert_eq!(bench.starts().len(), 3);
}

#[test]
fn takes_that_only_waited_survive_the_failure_of_another() {
    // Each of two engines begins the first take, and ends once that has been seen.
    let waits = |engine: u32| {
        let what = json!({ "gate": { "file": format!("seen-{engine}") } });
        json!({ "stage": "text", "step": 0, "engines": engine, "what": what })
    };
    let aborts = json!({ "stage": "text", "step": 1, "engines": 2, "what": "abort" });
    let bench = Bench::new(json!({ "faults": [waits(1), waits(2), aborts] }));
    let client = bench.client();
    for number in 1..4 {
        client.submit(take(number, Holder::Render));
    }
    for engine in 1..3 {
        let began = |snapshot: &Snapshot| {
            let is_running = matches!(snapshot.jobs.get(&key(1)), Some(JobState::Running(_)));
            is_running && bench.starts().len() == engine
        };
        wait_for(&client, "the first take is begun", began);
        std::fs::write(bench.directory.path().join(format!("seen-{engine}")), "").unwrap();
    }
    let (_, words) = failure(finish(&client, 1));
    assert!(words.contains("ended by signal 6"), "{words}");
    assert_eq!(finish(&client, 2), JobState::Done);
    assert_eq!(finish(&client, 3), JobState::Done);
    assert_eq!(bench.starts().len(), 3);
}

#[test]
fn an_engine_that_hangs_is_ended_and_started_once_more() {
    for stage in ["listen", "sampling"] {
        let step = u32::from(stage == "sampling");
        let bench = Bench::with_fault(stage, step, 1, json!("hang"));
        let client = bench.impatient_client();
        assert_eq!(make(&client, 1), JobState::Done, "{stage}");
        let starts = bench.starts();
        assert_eq!(starts.len(), 2, "{stage}");
        eventually("the hung engine is gone", || !is_engine(starts[0]));
    }
}

#[test]
fn an_engine_that_hangs_twice_is_reported_with_its_log() {
    let bench = Bench::with_fault("decode", 0, 2, json!("hang"));
    let client = bench.impatient_client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-hung");
    assert!(words.contains("5.5 s") && words.contains("engine.log"), "{words}");
    eventually("both engines are gone", || !bench.starts().into_iter().any(is_engine));
    assert_eq!(make(&client, 1), JobState::Done);
}

#[test]
fn a_slow_step_is_no_hang() {
    let bench = Bench::with_fault("sampling", 1, 1, json!({ "sleep": { "ms": 8000 } }));
    let client = bench.impatient_client();
    assert_eq!(make(&client, 1), JobState::Done);
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn garbage_long_lines_and_closed_sockets_are_survived() {
    for (what, says) in [("garbage", "not a message"), ("long-line", "a line of 1048576 bytes")] {
        let bench = Bench::with_fault("sampling", 1, 1, json!(what));
        assert_eq!(make(&bench.client(), 1), JobState::Done, "{what}");
        assert_eq!(bench.starts().len(), 2, "{what}");

        let bench = Bench::with_fault("sampling", 1, 2, json!(what));
        let (code, words) = failure(make(&bench.client(), 1));
        assert_eq!(code, "engine-garbage");
        assert!(words.contains(says) && words.contains("engine.log"), "{words}");
    }
    let bench = Bench::with_fault("decode", 2, 1, json!("close"));
    assert_eq!(make(&bench.client(), 1), JobState::Done);
    assert_eq!(bench.starts().len(), 2);
}

#[test]
fn a_refused_take_keeps_its_code_and_its_engine() {
    let fail = json!({ "fail": {
        "code": "out-of-memory",
        "message": "decode needs 9.1 GB, 7.8 GB are free",
        "remedy": "make fewer frames",
    } });
    let bench = Bench::with_fault("decode", 1, 9, fail);
    let client = bench.client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "out-of-memory");
    assert_eq!(words, "decode needs 9.1 GB, 7.8 GB are free; make fewer frames");
    failure(make(&client, 2));
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn an_engine_that_ends_or_waits_at_its_start_is_reported() {
    let bench = Bench::with_fault("start", 0, 1, json!("exit"));
    let client = bench.client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-died");
    assert!(words.contains("while it was starting (exit code 3"), "{words}");
    assert_eq!(make(&client, 1), JobState::Done);

    let bench = Bench::with_fault("start", 0, 1, json!("hang"));
    let client = bench.impatient_client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-slow", "{words}");
    assert!(!is_engine(bench.starts()[0]));
    assert_eq!(make(&client, 1), JobState::Done);
}

#[test]
fn an_engine_that_takes_long_to_start_is_waited_for_and_its_time_told() {
    let bench = Bench::with_fault("start", 0, 1, json!({ "sleep": { "ms": 3000 } }));
    let (client, other) = (bench.client(), bench.client());
    client.submit(take(1, Holder::Render));
    let slow =
        |snapshot: &Snapshot| matches!(snapshot.engine, EngineState::Starting { seconds: 2.. });
    wait_for(&client, "word of the time that the start takes", slow);
    // Who did not start it waits too.
    other.submit(take(2, Holder::Render));
    assert_eq!(finish(&client, 1), JobState::Done);
    assert_eq!(finish(&other, 2), JobState::Done);
    assert_eq!(bench.starts().len(), 1);
    // An engine that is at work on a slow folder for a minute is not given up.
    assert!(bench.setup().deadlines.start >= Duration::from_secs(120));
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    let bench = Bench::new(json!({}));
    let try_program = |name: &str| {
        let mut setup = bench.setup();
        setup.engine.program = bench.directory.path().join(name);
        failure(make(&EngineClient::new(setup), 1))
    };
    let (code, words) = try_program("no-such-engine");
    assert_eq!(code, "engine-missing");
    assert!(words.contains("no-such-engine is not there"), "{words}");

    std::fs::write(bench.directory.path().join("plain"), "text").unwrap();
    let (code, words) = try_program("plain");
    assert_eq!(code, "engine-not-executable", "{words}");

    use std::os::unix::fs::PermissionsExt;
    let foreign = bench.directory.path().join("foreign");
    std::fs::write(&foreign, b"\x7fELF\x02\x01\x01 for another processor").unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (code, words) = try_program("foreign");
    assert_eq!(code, "engine-not-executable", "{words}");
}

#[test]
fn another_protocol_has_its_own_sentence() {
    let bench = Bench::new(json!({ "protocol": 9, "version": "3.0.0" }));
    let (code, words) = failure(make(&bench.client(), 1));
    assert_eq!(code, "other-protocol");
    assert!(words.contains("version 3.0.0 and speaks protocol 9"), "{words}");
}

#[test]
fn whatever_is_in_the_engines_place_is_named() {
    use std::os::unix::net::UnixListener;
    let bench = Bench::new(json!({}));
    let socket = bench.endpoint().socket();
    std::fs::write(&socket, "").unwrap();
    let client = bench.impatient_client();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-place");
    assert!(words.contains("is not a socket") && words.ends_with("remove it"), "{words}");
    std::fs::remove_file(&socket).unwrap();

    let foreign = UnixListener::bind(&socket).unwrap();
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-place");
    assert!(words.contains("not a wan-alpha engine listens"), "{words}");

    let speaker = std::thread::spawn(move || {
        use std::io::Write;
        // The first connection is the one that was given up above.
        for stream in foreign.incoming().take(2) {
            let _ = stream.unwrap().write_all(b"220 mail.example.com ESMTP\r\n");
        }
    });
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-garbage");
    assert!(words.contains("220 mail.example.com"), "{words}");
    speaker.join().unwrap();

    // What it left behind is a stale socket, and no hindrance.
    assert_eq!(make(&client, 1), JobState::Done);
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn a_run_directory_that_does_not_do_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(json!({}));
    let try_run = |run: &std::path::Path| {
        let setup = bench.setup();
        let client = EngineClient::new(wan_alpha_take::engine::client::ClientSetup {
            run: run.to_owned(),
            ..setup
        });
        failure(make(&client, 1))
    };
    let (code, words) = try_run(&bench.directory.path().join("d".repeat(120)));
    assert_eq!(code, "engine-place");
    assert!(words.contains("at most 107 fit"), "{words}");

    let open = bench.directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o770)).unwrap();
    let (_, words) = try_run(&open);
    assert!(words.contains("open to others (mode 770)"), "{words}");
    assert_eq!(bench.starts(), [0; 0]);
}

#[test]
fn a_process_that_keeps_the_start_to_itself_is_not_waited_for_without_end() {
    let bench = Bench::new(json!({}));
    let lock = bench.endpoint().lock_start().unwrap().unwrap();
    let mut setup = bench.setup();
    setup.deadlines.start = Duration::from_secs(6);
    let client = EngineClient::new(setup);
    let (code, words) = failure(make(&client, 1));
    assert_eq!(code, "engine-slow");
    assert!(words.contains("another process has been starting the engine"), "{words}");
    drop(lock);
    assert_eq!(make(&client, 1), JobState::Done);
}

const FAULT: &str = "the GPU failed while sampling: CUDA error: unspecified launch failure";

fn gpu_fault() -> serde_json::Value {
    json!({ "gpu-fault": { "message": FAULT, "remedy": "generate again" } })
}

#[test]
fn a_lost_gpu_is_told_as_such_and_the_next_take_finds_another_engine() {
    let bench = Bench::with_fault("sampling", 2, 1, gpu_fault());
    let client = bench.client();
    let other = bench.client();
    client.submit(take(1, Holder::Render));
    run_until_made(&client, 1);
    // Those that wait are asked for again by themselves: of this client and of others.
    client.submit(take(2, Holder::Render));
    other.submit(take(3, Holder::Render));
    let (code, words) = failure(finish(&client, 1));
    assert_eq!((code.as_str(), words), ("gpu-fault", format!("{FAULT}; generate again")));
    assert_eq!(finish(&client, 2), JobState::Done);
    assert_eq!(finish(&other, 3), JobState::Done);
    assert_eq!(make(&client, 1), JobState::Done);
    let starts = bench.starts();
    assert_eq!(starts.len(), 2);
    eventually("the engine without a GPU is gone", || !is_engine(starts[0]));
}

#[test]
fn a_gpu_that_stays_lost_is_told_in_its_own_words_to_those_that_waited() {
    let bench = Bench::with_fault("sampling", 1, 9, gpu_fault());
    let client = bench.client();
    for number in 1..4 {
        client.submit(take(number, Holder::Render));
    }
    for number in 1..4 {
        let (code, words) = failure(finish(&client, number));
        assert_eq!(code, "gpu-fault", "{words}");
        assert!(words.contains(FAULT), "{words}");
    }
    assert_eq!(bench.starts().len(), 2);
}

#[test]
fn an_engine_that_opens_its_device_for_long_does_not_look_like_one_that_hangs() {
    // Longer than an engine may take to listen, and than it may be silent.
    let bench = Bench::new(json!({ "opening_ms": 5000, "unused": "no driver was found" }));
    let client = bench.impatient_client();
    client.submit(take(1, Holder::Render));
    let opening = |snapshot: &Snapshot| {
        let seconds = snapshot.device.as_ref().and_then(|device| device.opening_seconds);
        seconds.is_some_and(|seconds| seconds >= 1)
    };
    let seen = wait_for(&client, "word of the opening", opening);
    assert_eq!(seen.jobs[&key(1)], JobState::Queued { ahead: 0 });
    client.ask_report();
    let report = wait_for(&client, "report", |snapshot| snapshot.reports > 0).report.unwrap();
    assert_eq!((report.device.name.as_str(), report.jobs.len()), ("script", 1));
    assert!(report.device.opening_seconds.is_some_and(|seconds| (1..5).contains(&seconds)));

    assert_eq!(finish(&client, 1), JobState::Done);
    let device = client.snapshot().device.unwrap();
    assert_eq!(
        (device.opening_seconds, device.unused.as_deref()),
        (None, Some("no driver was found"))
    );
    assert_eq!(bench.starts().len(), 1);
    // Whoever comes later hears of what is not used, and of nothing that is over.
    let later = bench.client();
    assert_eq!(make(&later, 2), JobState::Done);
    assert_eq!(later.snapshot().device, Some(device));
}

#[test]
fn an_engine_whose_device_does_not_open_says_why_and_the_next_take_finds_another() {
    let bench =
        Bench::new(json!({ "opening_ms": 1500, "not_opened": "--device cuda:3: 3 devices" }));
    let client = bench.client();
    client.submit(take(1, Holder::Render));
    client.submit(take(2, node("n")));
    for number in 1..3 {
        let (code, words) = failure(finish(&client, number));
        assert_eq!(code, "no-gpu", "{words}");
        assert_eq!(words, "--device cuda:3: 3 devices; use another device");
    }
    eventually("the engine is gone", || !is_engine(bench.starts()[0]));
    assert_eq!(failure(make(&client, 1)).0, "no-gpu");
    assert_eq!(bench.starts().len(), 2);

    // The same where it fails before anybody could ask.
    let bench = Bench::new(json!({ "not_opened": "--device cuda:3: 3 devices" }));
    assert_eq!(failure(make(&bench.client(), 1)).0, "no-gpu");
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn an_engine_that_opens_its_device_can_be_stopped() {
    let bench = Bench::new(json!({ "opening_ms": 60_000 }));
    let client = bench.client();
    client.submit(take(1, node("n")));
    wait_for(&client, "word of the opening", |snapshot| snapshot.device.is_some());
    client.stop_engine();
    assert_eq!(failure(finish(&client, 1)).0, "stopped");
    eventually("the engine is gone", || !is_engine(bench.starts()[0]));
}
