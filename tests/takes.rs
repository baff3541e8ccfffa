//! The verbs of the take store, from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::studio::Studio;
use wan_alpha_take::TakeRequest;

/// The exit code of a call that fails, and what it says.
fn failure(studio: &Studio, arguments: &[&str]) -> (Option<i32>, String) {
    let output = studio.run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Makes a take; where it is, and the beginning of its key.
fn make(studio: &Studio, request: &str) -> (String, String) {
    let (path, _) = studio.ok(&["take", "make", request]);
    let path = path.trim().to_owned();
    let key = Path::new(&path).file_stem().unwrap().to_str().unwrap()[..10].to_owned();
    (path, key)
}

#[test]
fn takes_are_shown_trimmed_and_cleared() {
    let studio = Studio::new();
    let (older, _) = make(&studio, &studio.request("a.json", 1, 5));
    let (newer, key) = make(&studio, &studio.request("b.json", 2, 5));
    let (shown, _) = studio.ok(&["take", "show", &key]);
    for part in [newer.as_str(), "device  cpu", "\"seed\": 2", "\"prompt\": \"smoke\""] {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    let (whole, _) = studio.ok(&["take", "verify"]);
    assert_eq!(whole.lines().filter(|line| line.starts_with("whole")).count(), 2, "{whole}");
    let (places, _) = studio.ok(&["take", "where"]);
    assert!(places.contains(studio.path("takes").to_str().unwrap()), "{places}");
    assert!(places.contains("2 takes"), "{places}");

    let (code, said) = failure(&studio, &["take", "show", "ffff0000"]);
    assert!(code == Some(2) && said.contains("no take begins with `ffff0000`"), "{said}");
    // Room for one: the one that was unused for longest goes, and showing a take is using it.
    studio.ok(&["take", "show", &key]);
    // What is no limit removes nothing.
    for limit in ["nan", "-inf", "-5", "much"] {
        let refused = studio.run(&["take", "trim", "--limit", limit]);
        assert_eq!(refused.status.code(), Some(2), "{limit}");
    }
    let (trimmed, _) = studio.ok(&["take", "trim", "--limit", "0.00015"]);
    assert!(trimmed.contains(&format!("removed {older}")), "{trimmed}");
    assert_eq!(studio.takes().len(), 1);
    let (code, said) = failure(&studio, &["take", "clear"]);
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    assert_eq!(studio.takes().len(), 1);
    studio.ok(&["take", "clear", "--yes"]);
    assert!(studio.takes().is_empty());
    assert!(studio.ok(&["take", "list"]).0.starts_with("no takes in "));
}

#[test]
fn what_was_warned_of_and_what_came_of_it_stand_in_the_take_s_record() {
    let studio = Studio::new();
    let record = studio.path("models/tiny/wan-alpha.json");
    let mut tiny: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    tiny["made_for"] = json!({ "pixels": [16, 32], "draws": "balls", "words": "a ball" });
    fs::write(&record, tiny.to_string()).unwrap();
    let request = studio.request("a.json", 1, 5);
    let (path, said) = studio.ok(&["take", "make", "--engine", &request]);
    let said_words =
        ["the nearest that fits is 32×32", "`tiny` does not know “smoke”; it draws balls"];
    for words in said_words {
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
    assert!(said.contains("the take covers "), "{said}");
    let log = fs::read_to_string(studio.path("run/wan-alpha/engine.log")).unwrap();
    assert!(log.contains("32×32") && log.contains("words that the model does not know"), "{log}");
    assert!(!log.contains("smoke"), "{log}");

    // Whoever finds it in the store hears the same.
    let (again, said) = studio.ok(&["take", "make", &request]);
    assert_eq!(again, path);
    assert!(said_words.iter().all(|words| said.matches(words).count() == 1), "{said}");
    let key = Path::new(path.trim()).file_stem().unwrap().to_str().unwrap();
    let (shown, _) = studio.ok(&["take", "show", key]);
    assert!(shown.contains("report  covers ") && shown.contains("warning  64×48"), "{shown}");
    let (shown, _) = studio.ok(&["take", "show", key, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["key"], &shown["request"]["seed"]), (&json!(key), &json!(1)));
    assert!(shown["report"]["coverage"].as_f64().unwrap() > 0.0, "{shown}");
    let codes: Vec<_> =
        shown["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["size-beyond-model", "unknown-words"]);

    let out = studio.path("out");
    studio.ok(&["take", "export", key, "--format", "png", "--out", out.to_str().unwrap()]);
    let take: Value =
        serde_json::from_str(&fs::read_to_string(out.join("take.json")).unwrap()).unwrap();
    assert_eq!(take["report"], shown["report"]);
    assert_eq!(take["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn a_damaged_header_is_found_by_verifying_all() {
    let studio = Studio::new();
    let (path, _) = make(&studio, &studio.request("a.json", 1, 5));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_, said) = failure(&studio, &["take", "verify"]);
    assert!(said.contains("DAMAGED") && said.contains("header"), "{said}");
    assert!(said.contains("was set aside as"), "{said}");
    assert!(studio.takes().is_empty());
    assert_eq!(studio.ok(&["take", "verify"]).0, "");
}

#[test]
fn what_a_node_keeps_and_what_a_render_left_are_requests() {
    let studio = Studio::new();
    let file = studio.request("a.json", 1, 5);
    let request = TakeRequest::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
    let (path, _) = make(&studio, &request.to_parameter());
    assert_eq!(make(&studio, &file).0, path);

    let out = studio.path("out");
    let render = ["render", "--model", "tiny", "--prompt", "fire", "--width", "48", "--height"];
    let rest = ["32", "--frames", "5", "--steps", "2", "--format", "png", "--out"];
    studio.ok(&[&render[..], &rest, &[out.to_str().unwrap()]].concat());
    let (_, key) = make(&studio, out.join("take.json").to_str().unwrap());
    assert!(studio.ok(&["take", "show", &key]).0.contains("\"prompt\": \"fire\""));
    assert_eq!(studio.takes().len(), 2);
}
