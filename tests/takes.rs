//! The verbs of the take store, from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

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
