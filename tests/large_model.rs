//! A model that is too large for processors: a batch render is refused it, with the hours it would
//! take; whoever is patient is told the same and gets it begun.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::model::{DECODERS, TEXT, TOKENIZER, VAE};
use support::random::Transformer;
use support::reference::Case;
use support::studio::Studio;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::client::{EngineClient, JobState, Snapshot};
use wan_alpha_take::engine::message::{Holder, Submit};

const FINGERPRINT: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A studio whose only model has 2.3 billion parameters, all of them zero.
fn studio() -> Studio {
    let studio = Studio::empty();
    let folder = studio.path("models/large");
    fs::create_dir_all(&folder).unwrap();
    let sizes = Transformer { dim: 5120, heads: 40, ffn: 13_824, layers: 6, text_dim: 24 };
    let parameters = sizes.write_hollow(&folder);
    assert!((2_200_000_000..2_400_000_000).contains(&parameters), "{parameters}");
    let own = ["hollow.safetensors", "config.json"].map(|name| folder.join(name));
    let small = [TEXT, TOKENIZER, VAE, DECODERS].map(|part| Case::named("t2v").model().join(part));
    let parts: Vec<_> = own.iter().chain(&small).collect();
    let parts: Vec<Value> = parts
        .into_iter()
        .map(|path| json!({ "path": path, "size": fs::metadata(path).unwrap().len() }))
        .collect();
    let record = json!({
        "version": 1, "name": "large", "fingerprint": FINGERPRINT, "parts": parts,
        "parameters": parameters,
    });
    fs::write(folder.join("wan-alpha.json"), record.to_string()).unwrap();
    studio
}

fn request(studio: &Studio, name: &str) -> String {
    studio.request_with(name, 1, 81, |request| {
        request["width"] = json!(832);
        request["height"] = json!(480);
        request["precision"] = json!("bf16");
        request["model"] = json!("large");
        request["model_fingerprint"] = json!(FINGERPRINT);
    })
}

fn submit(studio: &Studio, holder: Holder) -> Submit {
    let text = fs::read_to_string(request(studio, "submitted.json")).unwrap();
    let request = TakeRequest::from_json(&text).unwrap();
    Submit {
        key: request.key().unwrap(),
        request: serde_json::from_str(&request.to_canonical()).unwrap(),
        stores: vec![studio.path("takes")],
        model_roots: vec![studio.path("models")],
        holder,
        memory: None,
    }
}

/// Waits until the client has seen what is looked for.
fn wait_for(client: &EngineClient, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + Duration::from_secs(300);
    let mut seen = 0;
    while Instant::now() < end {
        let snapshot = client.snapshot();
        if is_so(&snapshot) {
            return snapshot;
        }
        seen = client.wait(seen.max(snapshot.revision), Duration::from_millis(250));
    }
    panic!("not within five minutes: {:?}", client.snapshot());
}

/// Orders a take and cancels it as soon as it is being made; the seconds it said were left.
fn begin_and_cancel(client: &EngineClient, submit: Submit) -> Option<f64> {
    let (key, holder) = (submit.key, submit.holder.clone());
    client.submit(submit);
    let job = |snapshot: &Snapshot| snapshot.jobs[&key].clone();
    let running = |snapshot: &Snapshot| match job(snapshot) {
        JobState::Running(progress) => Some(progress),
        JobState::Failed(problem) => panic!("{problem}"),
        _ => None,
    };
    let seen = wait_for(client, |snapshot| running(snapshot).is_some());
    client.cancel(key, holder);
    wait_for(client, |snapshot| job(snapshot) == JobState::Cancelled);
    running(&seen).and_then(|progress| progress.seconds_left)
}

#[test]
fn a_batch_render_is_refused_with_the_hours_and_the_patient_are_served() {
    let studio = studio();
    let client = studio.client("run", &[]);
    let batch = submit(&studio, Holder::Render);
    let key = batch.key;
    client.submit(batch);
    let end = wait_for(&client, |snapshot| snapshot.jobs[&key].is_finished());
    let JobState::Failed(problem) = &end.jobs[&key] else { panic!("{:?}", end.jobs[&key]) };
    assert_eq!(problem.code.as_str(), "needs-gpu");
    let said = problem.to_string();
    for words in ["2.3 billion parameters", "without a GPU", " hours of work", "ALLOW_CPU=1"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    client.ask_report();
    let report = wait_for(&client, |snapshot| snapshot.reports > 0).report.unwrap();
    assert_eq!((report.model, report.jobs.len()), (None, 0));

    for holder in [Holder::PatientRender, Holder::Generate { node: "n".into() }] {
        let left = begin_and_cancel(&client, submit(&studio, holder));
        assert!(left.is_some_and(|left| left > 600.0), "{left:?}");
    }
    assert!(studio.takes().is_empty());
}

#[test]
fn a_farm_that_was_told_so_computes_without_a_gpu() {
    let studio = studio();
    let client = studio.client("run", &[("WAN_ALPHA_ALLOW_CPU", "1")]);
    begin_and_cancel(&client, submit(&studio, Holder::Render));
}

/// The line of stderr that warns of hours, after which the command is ended.
fn warning(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.find(|line| line.starts_with("warning: ") && line.contains(" hours"));
    child.kill().unwrap();
    child.wait().unwrap();
    found.unwrap()
}

#[test]
fn who_types_a_command_is_told_the_hours_and_goes_on() {
    let studio = studio();
    let file = request(&studio, "typed.json");
    let out = studio.path("out");
    let render = ["render", "--model", "large", "--prompt", "smoke", "--out"];
    for arguments in
        [&["take", "make", &file][..], &[&render[..], &[out.to_str().unwrap()]].concat()]
    {
        let said = warning(studio.command("run", arguments));
        assert!(said.contains("2.3 billion parameters"), "{said}");
    }
    let said = warning(studio.command("run", &["take", "make", "--engine", &file]));
    assert!(said.contains("the engine needs about"), "{said}");
}
