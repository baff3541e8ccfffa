//! Takes made into a store, in place and by the engine: found again, made once, and made the same
//! after a crash at any moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::studio::{Studio, told};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::client::JobState;
use wan_alpha_take::engine::message::{Holder, Submit};

#[test]
fn a_take_is_made_once_and_found_again() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 5);
    let (path, first) = studio.ok(&["take", "make", &request]);
    assert!(first.contains("sampling 12/12") && first.contains("decoding 2/2"), "{first}");
    let (again, second) = studio.ok(&["take", "make", &request]);
    assert_eq!(path, again);
    assert!(!second.contains("sampling"), "{second}");
    assert_eq!(studio.takes().len(), 1);

    let (list, _) = studio.ok(&["take", "list"]);
    assert!(
        list.contains("5 frames") && list.contains("64×48") && list.contains("smoke"),
        "{list}"
    );
    let out = studio.path("exported");
    let key = Path::new(path.trim()).file_stem().unwrap().to_str().unwrap();
    studio.ok(&["take", "export", &key[..12], "--out", out.to_str().unwrap()]);
    assert!(out.join("rgba.0004.exr").is_file() && out.join("contact-sheet.png").is_file());
}

#[test]
fn a_damaged_take_is_set_aside_and_made_again() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 5);
    studio.ok(&["take", "make", &request]);
    let (path, whole) = studio.takes().remove(0);
    let mut damaged = whole.clone();
    let last = damaged.len() - 10;
    damaged[last] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let verified = studio.run(&["take", "verify"]);
    assert!(!verified.status.success());
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(said.contains("DAMAGED") && said.contains("[4]"), "{said}");
    assert!(studio.takes().is_empty());
    studio.ok(&["take", "make", &request]);
    assert_eq!(studio.takes(), [(path, whole)]);
}

#[test]
fn what_an_engine_warns_of_is_said_to_who_waits_for_the_take() {
    let studio = Studio::new();
    let long = vec!["smoke"; 600].join(" ");
    let request = studio.request_with("long.json", 1, 5, |request| request["prompt"] = long.into());
    let (_, said) = studio.ok(&["take", "make", "--engine", &request]);
    let told = "warning: the prompt has more than the ";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    // Somebody who asks for the same take later hears it too: it stands in the take's record.
    let (_, again) = studio.ok(&["take", "make", "--engine", &request]);
    assert_eq!(again.matches(told).count(), 1, "{again}");
    studio.ok(&["engine", "stop"]);
}

#[test]
fn the_engine_keeps_its_model_warm() {
    let studio = Studio::new();
    let (none, _) = studio.ok(&["engine", "status"]);
    assert_eq!(none, "no engine is running\n");
    let (_, cold) = studio.ok(&["take", "make", "--engine", &studio.request("a.json", 1, 5)]);
    assert!(cold.contains("loading the model") || cold.contains("sampling"), "{cold}");
    // Of a first take, too, by its operations.
    assert!(cold.starts_with("model `tiny` in f32, "), "{cold}");
    let with = "GFLOP/s as just measured; computing on the CPU, 1 thread";
    assert!(cold.lines().next().unwrap().contains(with), "{cold}");
    let (status, _) = studio.ok(&["engine", "status"]);
    assert!(
        status.contains("model in memory: tiny") && status.contains(" on the CPU, up"),
        "{status}"
    );
    let (_, warm) = studio.ok(&["take", "make", "--engine", &studio.request("b.json", 2, 5)]);
    assert!(!warm.contains("loading the model") && !warm.contains("reading the prompt"), "{warm}");
    assert!(warm.starts_with("model `tiny` in f32, ") && warm.contains(" expected; "), "{warm}");
    let log = fs::read_to_string(studio.path("run/wan-alpha/engine.log")).unwrap();
    assert!(log.contains(with), "{log}");
    assert!(studio.ok(&["engine", "unload"]).0.starts_with("the model's memory is freed"));
    let (json, _) = studio.ok(&["engine", "status", "--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["model"], Value::Null);
    // An engine for other cards is told of, and is not this one.
    let pid = report["engine"]["pid"].to_string();
    let elsewhere =
        studio.command("run", &["engine", "status"]).env("CUDA_VISIBLE_DEVICES", "").output();
    let said = String::from_utf8(elsewhere.unwrap().stdout).unwrap();
    assert!(said.starts_with("no engine is running here;") && said.contains(&pid), "{said}");
    assert!(said.contains(" on the CPU, up") && said.contains("model in memory"), "{said}");
    let mut elsewhere = studio.command("run", &["engine", "status", "--json"]);
    let elsewhere = elsewhere.env("WAN_ALPHA_DEVICE", "cpu").output().unwrap();
    let told: Value = serde_json::from_slice(&elsewhere.stdout).unwrap();
    assert_eq!(told["others"][0]["engine"]["pid"], report["engine"]["pid"], "{told}");
    assert_eq!((&told["device"], &told["others"][0]["device"]), (&Value::Null, &report["device"]));
    studio.ok(&["engine", "stop"]);
    assert_eq!(studio.ok(&["engine", "status"]).0, "no engine is running\n");

    // What the engine made is what is made in place.
    let by_engine = studio.takes();
    let other = Studio::new();
    for (name, seed, expected) in
        [("a.json", 1, " by its operations, at "), ("b.json", 2, " expected; ")]
    {
        let (_, said) = other.ok(&["take", "make", &other.request(name, seed, 5)]);
        assert!(said.starts_with("model `tiny` in f32, ") && said.contains(expected), "{said}");
    }
    let bytes = |takes: Vec<(PathBuf, Vec<u8>)>| takes.into_iter().map(|(_, bytes)| bytes);
    assert!(bytes(by_engine).eq(bytes(other.takes())));
}

#[test]
fn a_paused_engine_gives_its_memory_back_and_goes_on_with_the_same_take() {
    let studio = Studio::new();
    // Long enough for a command to come in between; on a machine that was quicker, longer.
    let lengths = [(17, 300), (17, 1000), (33, 1000), (81, 1000)];
    let long = |studio: &Studio, (frames, steps): (u32, u32)| {
        let name = format!("{frames}-{steps}.json");
        studio.request_with(&name, 1, frames, |request| request["steps"] = json!(steps))
    };
    let mut made = Vec::new();
    let (length, mut client, mut stderr) = lengths
        .into_iter()
        .find_map(|length| {
            let mut command =
                studio.command("run", &["take", "make", "--engine", &long(&studio, length)]);
            let mut client = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let stderr = BufReader::new(client.stderr.take().unwrap());
            let mut stderr = stderr.lines().map_while(Result::ok);
            assert!(stderr.any(|line| line.starts_with("sampling ")));
            let (said, _) = studio.ok(&["engine", "pause"]);
            assert!(said.starts_with("the engine pauses"), "{said}");
            made.push(length);
            if stderr.any(|line| line.contains("`wan-alpha engine resume` has the take go on")) {
                return Some((length, client, stderr));
            }
            assert!(client.wait().unwrap().success());
            assert_eq!(studio.ok(&["engine", "resume"]).0, "the engine goes on\n");
            None
        })
        .unwrap_or_else(|| panic!("takes of {lengths:?} were all made before the pause was heard"));
    assert!(stderr.any(|line| line.starts_with("paused")));
    let (status, _) = studio.ok(&["engine", "status"]);
    assert!(status.contains("\nthe engine pauses until `wan-alpha engine resume`"), "{status}");
    assert!(
        status.contains(": paused ") && status.contains("\nmodel in memory: none\n"),
        "{status}"
    );
    // Whoever comes meanwhile waits too.
    let second = studio.request("b.json", 2, 5);
    let mut waiting = studio.command("run", &["take", "make", "--engine", &second]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.starts_with("paused")));
    assert_eq!(studio.takes().len(), made.len() - 1, "{length:?}");
    assert_eq!(studio.ok(&["engine", "resume"]).0, "the engine goes on\n");
    // The rest of what it says must be read.
    assert!(stderr.any(|line| line.starts_with("decoding ")));
    drop(stderr);
    assert!(client.wait().unwrap().success() && waiting.wait().unwrap().success());
    let bytes = |studio: &Studio| -> BTreeSet<Vec<u8>> {
        studio.takes().into_iter().map(|(_, bytes)| bytes).collect()
    };
    let other = Studio::new();
    let made = made.into_iter().map(|length| long(&other, length));
    for request in made.chain([other.request("b.json", 2, 5)]) {
        other.ok(&["take", "make", &request]);
    }
    assert!(bytes(&studio) == bytes(&other));
}

#[test]
fn a_take_of_the_store_needs_no_engine_and_waits_for_none_that_pauses() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 5);
    let (made, _) = studio.ok(&["take", "make", &request]);
    let again = || {
        let (again, said) = studio.ok(&["take", "make", "--engine", &request]);
        assert_eq!(again, made);
        assert!(said.contains("in the store already and is not computed again"), "{said}");
    };
    again();
    assert_eq!(studio.ok(&["engine", "status"]).0, "no engine is running\n");
    studio.ok(&["take", "make", "--engine", &studio.request("b.json", 2, 5)]);
    let (said, _) = studio.ok(&["engine", "pause"]);
    assert!(said.starts_with("the engine pauses"), "{said}");
    again();
    assert_eq!(studio.ok(&["engine", "resume"]).0, "the engine goes on\n");
}

#[test]
fn a_running_engine_keeps_to_the_memory_that_whoever_asks_grants() {
    let studio = Studio::new();
    studio.ok(&["take", "make", "--engine", &studio.request("a.json", 1, 5)]);
    let second = studio.request("b.json", 2, 5);
    let refused = studio.run(&["take", "make", "--engine", "--memory", "0.2", &second]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains(" may be used: `--memory` is 200 MB"), "{said}");
    studio.ok(&["take", "make", "--engine", &second]);
}

/// A program that writes files over, in place and with their times, changes nothing that a record tells.
#[test]
fn a_warm_engine_makes_no_take_of_other_weights_under_the_old_fingerprint() {
    let studio = Studio::empty();
    let model = support::model::Copy::of("t2v-euler");
    studio.ok(&["model", "add", "tiny", model.folder().to_str().unwrap()]);
    studio.ok(&["take", "make", "--engine", &studio.request("a.json", 1, 5)]);
    let path = model.path(support::model::DORA);
    let write = |bytes: &[u8]| {
        let since = fs::metadata(&path).unwrap().modified().unwrap();
        let since = since.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        fs::write(&path, bytes).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(since);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    let old = fs::read(&path).unwrap();
    let mut new = old.clone();
    *new.last_mut().unwrap() ^= 1;
    write(&new);
    let second = studio.request("b.json", 2, 5);
    for _ in 0..2 {
        let refused = studio.run(&["take", "make", "--engine", &second]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains("the files of model `tiny` were written over"), "{said}");
        assert_eq!(studio.takes().len(), 1);
    }
    // Where it is the same again, it is what was asked for.
    write(&old);
    studio.ok(&["take", "make", "--engine", &second]);
    assert_eq!(studio.takes().len(), 2);
}

#[test]
fn a_take_that_nobody_waits_for_is_not_made() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 81);
    let mut command = studio.command("run", &["take", "make", "--engine", &request]);
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(client.stderr.take().unwrap());
    assert!(stderr.lines().map_while(Result::ok).any(|line| line.starts_with("sampling")));
    client.kill().unwrap();
    client.wait().unwrap();
    let idle = || {
        let (said, _) = studio.ok(&["engine", "status"]);
        said.contains("model in memory") && !said.contains("\ntake ")
    };
    assert!((0..2000).any(|_| idle()), "{}", studio.ok(&["engine", "status"]).0);
    assert!(studio.takes().is_empty());
    // The engine lives on, and its log says nothing of the prompt.
    // A prompt that is too long is cut with a warning, which quotes it.
    let long = |request: &mut Value| request["prompt"] = json!("smoke ".repeat(600));
    studio.ok(&["take", "make", "--engine", &studio.request_with("b.json", 2, 5, long)]);
    let log = fs::read_to_string(studio.path("run/wan-alpha/engine.log")).unwrap();
    assert!(log.contains("was cut") && !log.contains("smoke"), "{log}");
}

#[test]
fn two_engines_of_one_store_publish_once() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 17);
    let start = |run| {
        let mut command = studio.command(run, &["take", "make", "--engine", &request]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start("run"), start("run-b")];
    let paths: BTreeSet<_> =
        both.into_iter().map(|child| told(child.wait_with_output().unwrap()).0).collect();
    assert_eq!(paths.len(), 1);
    assert_eq!(studio.takes().len(), 1);
    let left: Vec<_> = fs::read_dir(studio.path("takes")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "claims or unfinished files are left: {left:?}");
}

#[test]
fn a_render_by_the_engine_writes_what_a_render_in_place_writes() {
    let studio = Studio::new();
    let render = |out: &Path, more: &[&str]| {
        let out = out.to_str().unwrap();
        let arguments = ["render", "--model", "tiny", "--prompt", "smoke", "--width", "48"];
        let rest = ["--height", "32", "--frames", "5", "--steps", "2", "--format", "exr"];
        studio.ok(&[&arguments[..], &rest, &["--out", out], more].concat());
    };
    let (here, engine) = (studio.path("here"), studio.path("engine"));
    render(&here, &["--no-store"]);
    render(&engine, &["--engine"]);
    for frame in 0..5 {
        let read = |folder: &Path| fs::read(folder.join(format!("rgba.{frame:04}.exr"))).unwrap();
        // The store keeps half floats of straight display color; an EXR holds them linear and
        // premultiplied. Names, sizes and recipe are the same to the byte, pixels nearly.
        assert_eq!(read(&here)[..1000], read(&engine)[..1000]);
    }
}

/// The process of the engine.
fn engine(studio: &Studio) -> u64 {
    let (json, _) = studio.ok(&["engine", "status", "--json"]);
    serde_json::from_str::<Value>(&json).unwrap()["engine"]["pid"].as_u64().unwrap()
}

/// Kills a process that makes a take when stderr says that a stage begins.
fn kill_at(studio: &Studio, request: &str, stage: &str) {
    let mut command = studio.command("run", &["take", "make", request]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let begun = stderr.lines().map_while(Result::ok).any(|line| line.starts_with(stage));
    assert!(begun, "no `{stage}`");
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the take was done before the kill");
}

#[test]
fn a_kill_at_any_stage_leaves_nothing_half_done() {
    let unbroken = Studio::new();
    unbroken.ok(&["take", "make", &unbroken.request("a.json", 1, 41)]);
    let expected = unbroken.takes().remove(0).1;
    for stage in ["reading the prompt 0", "loading the model 0", "sampling 0", "decoding 0"] {
        let studio = Studio::new();
        let request = studio.request("a.json", 1, 41);
        kill_at(&studio, &request, stage);
        assert!(studio.takes().is_empty(), "{stage}");
        let (_, again) = studio.ok(&["take", "make", &request]);
        let takes = studio.takes();
        assert_eq!(takes.len(), 1);
        assert!(takes[0].1 == expected, "another take after a kill at `{stage}`");
        if stage.starts_with("decoding") {
            // The latent was kept: neither the prompt nor the sampling runs again.
            assert!(!again.contains("sampling") && !again.contains("reading"), "{again}");
        }
    }
}

#[test]
fn an_engine_killed_while_decoding_is_replaced_and_decodes_what_was_sampled() {
    let unbroken = Studio::new();
    unbroken.ok(&["take", "make", &unbroken.request("a.json", 1, 81)]);
    let expected = unbroken.takes().remove(0).1;

    let studio = Studio::new();
    studio.ok(&["take", "make", "--engine", &studio.request("warm.json", 2, 5)]);
    let first = engine(&studio);
    let request = studio.request("a.json", 1, 81);
    let mut command = studio.command("run", &["take", "make", "--engine", &request]);
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(client.stderr.take().unwrap());
    let mut lines = stderr.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("decoding 0")));
    let killed = Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.collect();
    assert!(client.wait().unwrap().success(), "{rest:?}");
    assert_ne!(engine(&studio), first, "the kill came too late: {rest:?}");
    assert!(!rest.iter().any(|line| line.starts_with("sampling")), "{rest:?}");
    let takes = studio.takes();
    assert!(takes.len() == 2 && takes.iter().any(|(_, bytes)| *bytes == expected));
}

#[test]
fn a_signal_ends_an_idle_engine() {
    let studio = Studio::new();
    studio.ok(&["take", "make", "--engine", &studio.request("a.json", 1, 5)]);
    let ended = Command::new("kill").arg(engine(&studio).to_string()).status().unwrap();
    assert!(ended.success());
    let gone = || {
        std::thread::sleep(Duration::from_millis(100));
        studio.ok(&["engine", "status"]).0 == "no engine is running\n"
    };
    assert!((0..1000).any(|_| gone()));
}

#[test]
fn what_cannot_be_made_is_refused_in_words() {
    let studio = Studio::new();
    let path = studio.request("a.json", 1, 5);
    let request: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let foreign = "0".repeat(64);
    for (field, value, code, words) in [
        (
            "model_fingerprint",
            json!(foreign),
            4,
            ["no model here has the fingerprint", "model add"],
        ),
        ("numerics", json!(99), 2, ["numerics 99", "use the version"]),
        ("precision", json!("fp4"), 2, ["not readable", "fp4"]),
        ("frames", json!(6), 2, ["frames", "4n+1"]),
    ] {
        let mut wrong = request.clone();
        wrong[field] = value;
        fs::write(&path, wrong.to_string()).unwrap();
        for engine in [&[][..], &["--engine"][..]] {
            let arguments = [&["take", "make", path.as_str()][..], engine].concat();
            let output = studio.run(&arguments);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{field}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{field}: {said}");
        }
    }
    let garbage = studio.run(&["take", "make", "not-a-request"]);
    assert_eq!(garbage.status.code(), Some(2));
}

/// A GPU that was asked for by name is never replaced by the CPU, and no job waits for it without end.
#[test]
fn a_gpu_that_is_not_there_fails_the_takes_that_want_it_in_words() {
    let studio = Studio::new();
    let output = studio.run(&["engine", "run", "--device", "cuda:0"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--device cuda:0: "), "{said}");

    let client = studio.client_of("run", &["engine", "run", "--device", "cuda:0"], &[]);
    let text = fs::read_to_string(studio.request("a.json", 1, 5)).unwrap();
    let request = TakeRequest::from_json(&text).unwrap();
    let key = request.key().unwrap();
    client.submit(Submit {
        key,
        request: serde_json::from_str(&request.to_canonical()).unwrap(),
        stores: vec![studio.path("takes")],
        model_roots: vec![studio.path("models")],
        holder: Holder::Render,
        memory: None,
    });
    let mut seen = 0;
    let problem = (0..240).find_map(|_| {
        seen = client.wait(seen, Duration::from_millis(250));
        match client.job(key) {
            Some(JobState::Failed(problem)) => Some(problem),
            _ => None,
        }
    });
    let problem = problem.unwrap();
    assert_eq!(problem.code.as_str(), "no-gpu", "{problem}");
    assert!(problem.to_string().contains("--device cuda:0: "), "{problem}");
    assert!(studio.takes().is_empty());
}

/// What its own tests do to an engine is compiled into those tests alone.
#[test]
fn the_program_has_no_switch_for_faults() {
    let program = fs::read(env!("CARGO_BIN_EXE_wan-alpha")).unwrap();
    let contains = |text: &str| program.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("WAN_ALPHA_IDLE"), "names of variables are found where they are");
    assert!(!contains("WAN_ALPHA_TEST"));
}

#[test]
#[cfg(target_os = "linux")]
fn an_engine_that_a_farm_s_job_starts_ends_with_it() {
    let studio = Studio::new();
    let request = studio.request("a.json", 1, 5);
    let mut command = studio.command("run", &["take", "make", &request, "--engine"]);
    support::studio::told(command.env("WAN_ALPHA_BATCH", "1").output().unwrap());
    let started = |process: u64| fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    assert!(started(engine(&studio)).contains("--batch"));
    studio.ok(&["engine", "stop"]);
    studio.ok(&["take", "make", &studio.request("b.json", 2, 5), "--engine"]);
    assert!(!started(engine(&studio)).contains("--batch"));
}
