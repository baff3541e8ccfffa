//! `render --preview`: what a take is going to be, while it is made.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;

use serde_json::Value;
use support::studio::Studio;

/// A small take of a model; more flags.
fn render(studio: &Studio, model: &str, more: &[&str]) -> (Option<i32>, String) {
    let out = studio.path("out");
    let words = [
        "render",
        "--model",
        model,
        "--prompt",
        "a large orange flame",
        "--width",
        "64",
        "--height",
        "64",
        "--frames",
        "5",
        "--steps",
        "3",
        "--format",
        "png",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = studio.run(&[&words, more].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_preview_is_a_small_picture_of_the_take_which_stays_the_same() {
    let studio = Studio::new();
    let look = studio.path("look.png");
    let look = look.to_str().unwrap();
    let (code, said) = render(&studio, "tiny", &["--no-store"]);
    assert_eq!(code, Some(0), "{said}");
    let frame = || fs::read(studio.path("out/rgba.0004.png")).unwrap();
    let unseen = frame();
    let (code, said) = render(&studio, "tiny", &["--preview", look]);
    assert_eq!(code, Some(0), "{said}");
    assert!(frame() == unseen);
    let image::DynamicImage::ImageRgba8(picture) = image::open(look).unwrap() else {
        panic!("not RGBA in 8 bits");
    };
    assert_eq!(picture.dimensions(), (8, 8));
    let (told, _) = studio.ok(&["inspect", look]);
    assert!(told.contains("trainedAlgorithmicMedia"), "{told}");

    // What the store has is not sampled.
    fs::remove_file(look).unwrap();
    let (code, said) = render(&studio, "tiny", &["--preview", look]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("there is nothing to preview") && !fs::exists(look).unwrap(), "{said}");
    // Files without a record have it found out.
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/t2v-euler/model");
    let (code, said) = render(&studio, files, &["--preview", look, "--no-store"]);
    assert!(code == Some(0) && said.contains("no record of the model says it"), "{said}");
    let found = image::open(look).unwrap().into_rgba8();
    assert!(found == picture, "found out anew, it is another");
}

#[test]
fn an_engine_sends_the_same_previews() {
    let studio = Studio::new();
    let [here, there] = ["here.png", "there.png"].map(|name| studio.path(name));
    let (code, said) = render(
        &studio,
        "tiny",
        &["--preview", here.to_str().unwrap(), "--device", "cpu", "--no-store"],
    );
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = render(&studio, "tiny", &["--preview", there.to_str().unwrap(), "--engine"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("there was no preview"), "{said}");
    let [here, there] = [here, there].map(|path| image::open(path).unwrap().into_rgba8());
    assert!(here == there);
    studio.run(&["engine", "stop"]);
}

#[test]
fn what_previews_are_off_by_stands_in_the_record() {
    let studio = Studio::new();
    let (said, _) = studio.ok(&["model", "show", "tiny"]);
    assert!(said.contains("previews") && said.contains("root mean squares"), "{said}");
    let (said, _) = studio.ok(&["model", "show", "tiny", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["preview"]["rows"][3].as_array().unwrap().len(), 17);
    // The model that comes along says it too.
    let (said, _) = studio.ok(&["model", "show", "draft"]);
    assert!(said.contains("root mean squares"), "{said}");
    // A record of before says nothing of it, and is read.
    let record = studio.path("models/tiny/wan-alpha.json");
    let mut about: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    about.as_object_mut().unwrap().remove("preview").unwrap();
    fs::write(&record, about.to_string()).unwrap();
    let (said, _) = studio.ok(&["model", "show", "tiny"]);
    assert!(!said.contains("previews"), "{said}");
}

#[test]
fn previews_that_cannot_be_written_are_refused_before_anything_is_computed() {
    let studio = Studio::new();
    let prompt = studio.path("prompt.txt");
    fs::write(&prompt, "smoke").unwrap();
    let prompt = prompt.to_str().unwrap();
    let text = format!("@{prompt}");
    let (none, folder) = (studio.path("none/look.png"), studio.path("takes"));
    fs::create_dir_all(&folder).unwrap();
    for (more, words) in [
        (vec!["--preview", none.to_str().unwrap()], "cannot write"),
        (vec!["--preview", folder.to_str().unwrap()], "cannot write"),
        (vec!["--preview", "x.png", "--seeds", "1,2"], "cannot be used with"),
    ] {
        let (code, said) = render(&studio, "tiny", &more);
        assert!(code == Some(2) || code == Some(1), "{code:?} {said}");
        assert!(said.contains(words) && !said.contains("sampling"), "`{words}`: {said}");
    }
    let output = studio.run(&[
        "render",
        "--model",
        "tiny",
        "--prompt",
        &text,
        "--preview",
        prompt,
        "--out",
        prompt,
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("--preview"), "{said}");
    assert_eq!(fs::read_to_string(prompt).unwrap(), "smoke");
}
