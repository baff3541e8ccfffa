//! Engines that are paused, by somebody and for hosts that render.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::json;
use support::{Bench, failure, finish, gate, key, make, node, take, wait_for};
use wan_alpha_take::engine::client::{EngineClient, JobState, Snapshot};
use wan_alpha_take::engine::message::{Holder, Progress, StatusReport};

/// Waits until a take stands so.
fn until(client: &EngineClient, number: u8, what: &str, so: impl Fn(&JobState) -> bool) {
    wait_for(client, what, |snapshot| snapshot.jobs.get(&key(number)).is_some_and(&so));
}

fn is_paused(job: &JobState) -> bool {
    matches!(job, JobState::Running(progress) if progress.is_paused())
}

fn is_sampling(job: &JobState) -> bool {
    matches!(job, JobState::Running(Progress { stage, step: 1, .. }) if stage == "sampling")
}

/// What the engine says of itself once it is so.
fn report(client: &EngineClient, what: &str, so: impl Fn(&StatusReport) -> bool) -> StatusReport {
    let told = |snapshot: &Snapshot| {
        client.ask_report();
        snapshot.report.as_ref().is_some_and(&so)
    };
    wait_for(client, what, told).report.unwrap()
}

/// Waits until the engine has read all that this client has said.
fn until_heard(client: &EngineClient) {
    let before = client.snapshot().reports;
    client.ask_report();
    wait_for(client, "report", |snapshot| snapshot.reports > before);
}

#[test]
fn takes_that_wait_for_a_paused_engine_say_so_and_are_queued_again_once_it_goes_on() {
    let bench = Bench::gated("sampling", 1);
    let client = bench.client();
    client.submit(take(1, Holder::Render));
    client.submit(take(2, Holder::Render));
    until(&client, 1, "at work", is_sampling);
    let queued = |ahead| move |job: &JobState| *job == JobState::Queued { ahead };
    until(&client, 2, "queued", queued(1));
    // By somebody else; said again it means nothing more.
    let other = bench.client();
    other.pause();
    other.pause();
    until(&client, 2, "paused", is_paused);
    // Who comes now hears so: of a take that waits already, and of another.
    other.submit(take(2, Holder::Render));
    other.submit(take(3, Holder::Render));
    until(&other, 2, "paused", is_paused);
    until(&other, 3, "paused", is_paused);
    report(&other, "paused with three", |report| report.paused && report.jobs.len() == 3);
    client.resume();
    until(&client, 2, "queued", queued(1));
    until(&other, 2, "queued", queued(1));
    until(&other, 3, "queued", queued(2));
    bench.open_gate();
    assert_eq!([1, 2].map(|number| finish(&client, number)), [JobState::Done, JobState::Done]);
    assert_eq!(finish(&other, 3), JobState::Done);
    assert_eq!(bench.starts().len(), 1);
}

#[test]
fn a_paused_engine_keeps_no_model_in_memory_and_begins_no_take() {
    // Decoding is finished first.
    let bench = Bench::new(json!({ "faults": [gate("decode", 1)] }));
    let client = bench.client();
    client.submit(take(1, Holder::Render));
    let decodes = |job: &JobState| matches!(job, JobState::Running(Progress { stage, step: 1, .. }) if stage == "decode");
    until(&client, 1, "decoding", decodes);
    client.pause();
    let while_decoding = report(&client, "paused", |report| report.paused);
    assert!(while_decoding.unloading);
    bench.open_gate();
    assert_eq!(finish(&client, 1), JobState::Done);
    report(&client, "freed", |report| report.model.is_none() && !report.unloading);
    client.submit(take(2, node("a")));
    until(&client, 2, "paused", is_paused);
    client.resume();
    assert_eq!(finish(&client, 2), JobState::Done);
    // The model stays, as that of every take.
    report(&client, "kept", |report| report.model.is_some() && !report.unloading);
    // One that does nothing lets go at once.
    client.pause();
    report(&client, "freed", |report| report.model.is_none() && !report.unloading);
    client.resume();
    assert_eq!(make(&client, 3), JobState::Done);
}

#[test]
fn a_paused_take_is_given_up_and_stopped_like_any_other() {
    let bench = Bench::gated("sampling", 1);
    let client = bench.client();
    client.submit(take(1, node("a")));
    until(&client, 1, "at work", is_sampling);
    client.pause();
    bench.open_gate();
    until(&client, 1, "paused", is_paused);
    client.cancel(key(1), node("a"));
    report(&client, "given up", |report| report.jobs.is_empty() && report.paused);
    // It outlives who asked for it, and waits.
    client.submit(take(2, node("a")));
    until(&client, 2, "paused", is_paused);
    drop(client);
    let client = bench.client();
    assert_eq!(report(&client, "paused", |report| report.paused).jobs.len(), 1);
    client.submit(take(2, node("a")));
    until(&client, 2, "paused", is_paused);
    client.stop_engine();
    assert_eq!(failure(finish(&client, 2)).0, "stopped");
    // The next engine is not paused.
    assert_eq!(make(&client, 3), JobState::Done);
    assert_eq!(bench.starts().len(), 2);
}

#[test]
fn a_take_makes_room_for_a_host_that_renders_until_it_is_gone_or_somebody_resumes() {
    let bench = Bench::new(json!({}));
    let host = bench.client();
    assert_eq!(make(&host, 1), JobState::Done);
    let client = bench.client();
    let rests = |number| {
        host.host_renders(true);
        until_heard(&host);
        client.submit(take(number, node("a")));
        until(&client, number, "paused", is_paused);
    };
    rests(2);
    host.host_renders(false);
    assert_eq!(finish(&client, 2), JobState::Done);
    rests(3);
    client.resume();
    assert_eq!(finish(&client, 3), JobState::Done);
    rests(4);
    drop(host);
    assert_eq!(finish(&client, 4), JobState::Done);
}
