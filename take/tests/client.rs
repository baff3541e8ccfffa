//! The client with a scripted engine that does what it should: takes, holders, versions, many clients.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{
    Bench, eventually, failure, finish, gate, is_engine, key, make, node, own_time, request,
    run_until_made, starts, take, wait_for,
};
use wan_alpha_take::engine::client::{EngineClient, EngineState, JobState, Snapshot};
use wan_alpha_take::engine::message::{Holder, Submit};
use wan_alpha_take::store::Store;
use wan_alpha_take::{Warning, WarningCode};

#[test]
fn a_take_goes_through_its_stages_and_the_engine_serves_the_next() {
    // Each stage lasts until it was seen.
    let stages = ["text", "sampling", "decode"];
    let until_seen =
        stages.map(|stage| json!({ "stage": stage, "what": { "gate": { "file": stage } } }));
    let bench = Bench::new(json!({ "faults": until_seen }));
    let client = bench.client();
    client.submit(take(1, Holder::Render));
    for stage in stages {
        wait_for(&client, stage, |snapshot| match &snapshot.jobs[&key(1)] {
            JobState::Running(progress) => progress.stage == stage,
            _ => false,
        });
        std::fs::write(bench.directory.path().join(stage), "").unwrap();
    }
    assert_eq!(finish(&client, 1), JobState::Done);
    assert_eq!(make(&client, 2), JobState::Done);
    assert_eq!(bench.starts().len(), 1);
    let EngineState::Ready(engine) = client.snapshot().engine else { panic!() };
    assert_eq!(engine.pid, bench.starts()[0]);
}

#[test]
fn a_take_is_found_in_the_store_once_it_is_done() {
    let bench = Bench::new(json!({}));
    let client = bench.client();
    let store = Store::new([bench.directory.path().join("takes")]);
    let request = request("fire");
    let submit = Submit {
        key: request.key().unwrap(),
        request: serde_json::from_str(&request.to_canonical()).unwrap(),
        stores: store.folders().to_vec(),
        model_roots: Vec::new(),
        holder: Holder::Render,
        memory: None,
    };
    let end = |submit: &Submit| {
        client.submit(submit.clone());
        let seen = wait_for(&client, "end", |snapshot| snapshot.jobs[&submit.key].is_finished());
        seen.jobs[&submit.key].clone()
    };
    assert_eq!(end(&submit), JobState::Done);
    let take = store.find(&submit.key).take.unwrap();
    assert_eq!(take.description().request, request);
    assert_eq!(take.verify(|_| {}).unwrap(), [0; 0]);
    let alpha = |frame: u32| take.frame(frame).unwrap()[3 + 4 * (24 * 64 + 32)].to_f32();
    assert!(alpha(4) > 0.9 && alpha(0) < alpha(4));

    let wrong = Submit { key: key(1), ..submit };
    assert_eq!(failure(end(&wrong)).0, "key-mismatch");
}

#[test]
fn what_the_engine_warns_of_is_heard_while_it_works_and_stands_in_the_record() {
    let warning = Warning::new(WarningCode::SizeBeyondModel, "too large", "use 96×96");
    let bench = Bench::new(json!({ "faults": [gate("sampling", 1)], "warnings": [warning] }));
    let client = bench.client();
    let store = Store::new([bench.directory.path().join("takes")]);
    let request = request("fire");
    let submit = Submit {
        key: request.key().unwrap(),
        request: serde_json::from_str(&request.to_canonical()).unwrap(),
        stores: store.folders().to_vec(),
        model_roots: Vec::new(),
        holder: Holder::Render,
        memory: None,
    };
    let key = submit.key;
    client.submit(submit.clone());
    let warned = |snapshot: &Snapshot| snapshot.warnings.contains_key(&key);
    wait_for(&client, "warning", warned);
    assert_eq!(client.warnings(key), std::slice::from_ref(&warning));
    // Whoever comes later hears of it, too.
    let later = bench.client();
    later.submit(submit);
    wait_for(&later, "warning", warned);
    bench.open_gate();
    wait_for(&later, "end", |snapshot| snapshot.jobs[&key] == JobState::Done);
    wait_for(&client, "end", |snapshot| snapshot.jobs[&key] == JobState::Done);
    assert_eq!(client.warnings(key), std::slice::from_ref(&warning));
    let take = store.find(&key).take.unwrap();
    assert_eq!(take.description().warnings, [warning]);
    assert!(take.description().report.unwrap().coverage > 0.05);
}

#[test]
fn nothing_exists_before_the_first_order_and_only_a_take_starts_an_engine() {
    let bench = Bench::new(json!({}));
    let client = bench.client();
    assert_eq!(client.snapshot(), Snapshot::default());
    assert!(!bench.run().exists());
    client.ask_report();
    client.cancel(key(1), node("n"));
    client.unload();
    client.pause();
    client.resume();
    client.host_renders(true);
    client.stop_engine();
    wait_for(&client, "absence", |snapshot| snapshot.engine == EngineState::Absent);
    assert_eq!(bench.starts(), [0; 0]);
}

#[test]
fn no_order_waits_for_the_engine_and_dropping_is_bounded() {
    let bench = Bench::with_fault("start", 0, 9, json!("hang"));
    let client = bench.client();
    let quickly = |what: &str, order: &dyn Fn()| {
        let took = own_time(order);
        assert!(took < Duration::from_millis(300), "{what}: {took:?}");
    };
    quickly("submit", &|| client.submit(take(1, node("n"))));
    eventually("the engine is being started", || !bench.starts().is_empty());
    quickly("submit", &|| client.submit(take(2, Holder::Render)));
    quickly("cancel", &|| client.cancel(key(1), node("n")));
    quickly("report", &|| client.ask_report());
    quickly("job", &|| assert!(client.job(key(2)).is_some()));
    wait_for(&client, "cancelled take", |s| s.jobs[&key(1)] == JobState::Cancelled);
    let took = own_time(|| drop(client));
    assert!(took < Duration::from_millis(1200), "{took:?}");
}

#[test]
fn another_version_that_is_idle_is_replaced() {
    let bench = Bench::new(json!({}));
    let old = bench.beside("old", json!({ "version": "0.0.9" }));
    let old_client = EngineClient::new(bench.setup_of("0.0.9", &old));
    assert_eq!(make(&old_client, 1), JobState::Done);
    let client = bench.client();
    assert_eq!(make(&client, 2), JobState::Done);
    assert_eq!((starts(&old).len(), bench.starts().len()), (1, 1));
    eventually("the old engine is gone", || !is_engine(starts(&old)[0]));
    wait_for(&old_client, "absence", |snapshot| snapshot.engine == EngineState::Absent);
}

#[test]
fn another_version_that_is_busy_finishes_first() {
    let bench = Bench::new(json!({}));
    let at_work = json!({ "version": "0.0.9", "faults": [gate("sampling", 1)] });
    let old = bench.beside("old", at_work);
    let old_client = EngineClient::new(bench.setup_of("0.0.9", &old));
    old_client.submit(take(1, Holder::Render));
    run_until_made(&old_client, 1);
    let client = bench.client();
    client.submit(take(2, Holder::Render));
    wait_for(&client, "the other version", |snapshot| {
        matches!(&snapshot.engine, EngineState::OtherVersion { engine, jobs: 1 }
            if engine.version == "0.0.9")
    });
    assert_eq!(client.job(key(2)), Some(JobState::Sent));
    bench.open_gate();
    assert_eq!(finish(&old_client, 1), JobState::Done);
    assert_eq!(finish(&client, 2), JobState::Done);
    assert_eq!((starts(&old).len(), bench.starts().len()), (1, 1));
}

#[test]
fn another_version_can_be_asked_and_stopped() {
    let bench = Bench::new(json!({ "version": "0.0.9", "faults": [gate("sampling", 1)] }));
    let old_client = EngineClient::new(bench.setup_of("0.0.9", &bench.script));
    old_client.submit(take(1, Holder::Render));
    run_until_made(&old_client, 1);
    let client = bench.client();
    client.ask_report();
    let report = wait_for(&client, "report", |snapshot| snapshot.reports > 0).report.unwrap();
    assert_eq!(report.engine.version, "0.0.9");
    client.stop_engine();
    let (code, _) = failure(finish(&old_client, 1));
    assert_eq!(code, "stopped");
    eventually("the engine is gone", || !is_engine(bench.starts()[0]));
}

#[test]
fn a_generate_outlives_its_host_and_a_render_does_not() {
    let bench = Bench::gated("sampling", 1);
    let host = bench.client();
    host.submit(take(1, node("n")));
    host.submit(take(2, Holder::Render));
    run_until_made(&host, 1);
    wait_for(&host, "queued take", |s| s.jobs[&key(2)] == JobState::Queued { ahead: 1 });
    drop(host);
    let next = bench.client();
    let jobs = |count: usize| {
        let mut asked = 0;
        wait_for(&next, "report", |snapshot| {
            if snapshot.reports >= asked {
                asked = snapshot.reports + 1;
                next.ask_report();
            }
            let jobs = snapshot.report.as_ref().map(|report| report.jobs.len());
            snapshot.reports > 0 && jobs == Some(count)
        })
    };
    let report = jobs(1).report.unwrap();
    assert_eq!((report.jobs[0].key, report.jobs[0].holders), (key(1), 1));
    next.cancel(key(1), node("n"));
    jobs(0);
}

#[test]
fn a_newer_generate_of_a_node_takes_the_place_of_the_older() {
    let bench = Bench::gated("sampling", 1);
    let client = bench.client();
    client.submit(take(1, node("n")));
    run_until_made(&client, 1);
    client.submit(take(2, node("n")));
    run_until_made(&client, 2);
    bench.open_gate();
    assert_eq!(finish(&client, 2), JobState::Done);
    assert_eq!(client.job(key(1)), Some(JobState::Cancelled));
    // The same node in a second copy of the project.
    bench.close_gate();
    let copy = bench.client();
    client.submit(take(3, node("n")));
    run_until_made(&client, 3);
    copy.submit(take(4, node("n")));
    let (code, _) = failure(finish(&client, 3));
    assert_eq!(code, "superseded");
    bench.open_gate();
    assert_eq!(finish(&copy, 4), JobState::Done);
}

#[test]
fn an_idle_engine_ends_and_the_next_take_starts_another() {
    // Idle from its start on too: long enough for a client to come.
    let bench = Bench::new(json!({ "idle_ms": 2000 }));
    let client = bench.client();
    assert_eq!(make(&client, 1), JobState::Done);
    wait_for(&client, "absence", |snapshot| snapshot.engine == EngineState::Absent);
    assert_eq!(make(&client, 2), JobState::Done);
    assert_eq!(bench.starts().len(), 2);

    // Of a batch host: soon after its last client.
    let bench = Bench::new(json!({ "alone_ms": 1500 }));
    let client = bench.client();
    assert_eq!(make(&client, 1), JobState::Done);
    std::thread::sleep(Duration::from_millis(3000));
    assert!(is_engine(bench.starts()[0]));
    drop(client);
    eventually("the engine is gone", || !is_engine(bench.starts()[0]));
}

#[test]
fn fifty_clients_at_once_share_one_engine() {
    let bench = Bench::new(json!({}));
    std::thread::scope(|scope| {
        for number in 0..50_u8 {
            let bench = &bench;
            scope.spawn(move || {
                let client = bench.client();
                // Ten of them want the same take.
                client.submit(take(200 + number % 5, Holder::Render));
                client.submit(take(number, node(&number.to_string())));
                assert_eq!(finish(&client, number), JobState::Done);
                assert_eq!(finish(&client, 200 + number % 5), JobState::Done);
            });
        }
    });
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn the_engine_finds_only_what_it_is_given() {
    for detached in [true, false] {
        let bench = Bench::new(json!({}));
        let mut setup = bench.setup();
        setup.engine.detached = detached;
        setup.engine.environment = vec![("HOME".into(), "/home/artist".into())];
        let client = EngineClient::new(setup);
        assert_eq!(make(&client, 1), JobState::Done);
        let engine = bench.starts()[0];
        let read = |file: &str| std::fs::read(format!("/proc/{engine}/{file}")).unwrap();
        assert_eq!(read("environ"), b"HOME=/home/artist\0");
        let group = |stat: &[u8]| {
            let stat = String::from_utf8_lossy(stat).into_owned();
            let fields = stat.rsplit(") ").next().unwrap().split(' ');
            fields.clone().nth(2).unwrap().parse::<u32>().unwrap()
        };
        let own = group(&std::fs::read("/proc/self/stat").unwrap());
        let expected = if detached { engine } else { own };
        assert_eq!(group(&read("stat")), expected);
        let directory = std::fs::read_link(format!("/proc/{engine}/cwd")).unwrap();
        assert_eq!(directory, bench.run());
    }
}

#[test]
fn what_was_ordered_before_the_end_is_said() {
    let bench = Bench::gated("sampling", 1);
    let first = bench.client();
    first.submit(take(1, node("n")));
    run_until_made(&first, 1);
    // How long it may try is another test's affair.
    let mut setup = bench.setup();
    setup.deadlines.drop = Duration::from_secs(60);
    let second = EngineClient::new(setup);
    second.cancel(key(1), node("n"));
    second.stop_engine();
    drop(second);
    eventually("the engine is gone", || !is_engine(bench.starts()[0]));
}
