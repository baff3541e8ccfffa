//! `--seeds`: takes that differ in their seeds, to choose from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::render::names;
use support::studio::Studio;

/// The words of a render of a small take.
fn words<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "render", "--model", "tiny", "--prompt", "smoke", "--width", "16", "--height", "16",
        "--frames", "5", "--steps", "1", "--format", "png", "--out", out,
    ];
    [&words, more].concat()
}

/// What became of it: exit code, stdout, stderr.
fn render(studio: &Studio, more: &[&str]) -> (Option<i32>, String, String) {
    let out = studio.path("out");
    let output = studio.run(&words(out.to_str().unwrap(), more));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Numbers of the takes of a list.
fn listed(studio: &Studio, what: &str) -> Vec<u64> {
    let list = json(studio.path("out/variants.json"));
    list["takes"].as_array().unwrap().iter().map(|take| take[what].as_u64().unwrap()).collect()
}

/// Width and height of a picture.
fn size(path: impl AsRef<Path>) -> (u32, u32) {
    let file = BufReader::new(fs::File::open(path).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    (reader.info().width, reader.info().height)
}

#[test]
fn seeds_that_are_none_are_told_in_words_and_the_picture_of_all_is_no_take() {
    let studio = Studio::new();
    for (seeds, words) in [
        ("-1", "`-1` is below 0"),
        ("-3..4", "`-3` is below 0"),
        ("18446744073709551616", "the seed 18446744073709551616 is too large"),
    ] {
        let (code, _, said) = render(&studio, &["--seeds", seeds]);
        assert!(code == Some(2) && said.contains(words), "{seeds}: {said}");
    }
    let (code, _, said) = render(&studio, &["--seeds", "3,5", "--device", "cpu"]);
    assert_eq!(code, Some(0), "{said}");
    let out = studio.path("out");
    let (sheet, out) = (out.join("variants.png"), out.to_str().unwrap());
    let again = ["render", "--from", sheet.to_str().unwrap(), "--out", "again"];
    let words = ["variants.png shows the takes of several seeds", "--pick N"];
    for (arguments, words) in [
        (&again[..], &words[..]),
        (&["eval", "takes", out], &["has neither PNG or EXR frames nor folders of such"]),
        (&["ellipse", "fit", out], &["variants.png, a picture of takes to look at"]),
    ] {
        let output = studio.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    }
}

#[test]
fn takes_of_several_seeds_are_seen_in_one_picture_and_one_is_picked_without_computing() {
    let studio = Studio::new();
    let (code, stdout, stderr) = render(&studio, &["--seeds", "3..5", "--device", "cpu"]);
    assert_eq!(code, Some(0), "{stderr}");
    let sheet = studio.path("out/variants.png");
    assert_eq!(stdout.trim(), sheet.to_str().unwrap());
    assert_eq!(names(&studio.path("out")), ["variants.json", "variants.png"]);
    // The prompt is read once, and the transformer is loaded once.
    let times = |said: &str, line: &str| said.lines().filter(|said| said.starts_with(line)).count();
    assert_eq!(times(&stderr, "reading the prompt 0/"), 1, "{stderr}");
    assert_eq!(times(&stderr, "sampling 0/1"), 3, "{stderr}");
    let (_, _, alone) = render(&studio, &["--seeds", "9", "--device", "cpu"]);
    let loads = "loading the model 0/";
    assert_eq!(times(&stderr, loads), times(&alone, loads), "{stderr}\n{alone}");
    let (code, _, stderr) = render(&studio, &["--seeds", "3..5", "--device", "cpu"]);
    assert!(code == Some(0) && times(&stderr, "sampling 0/1") == 0, "{stderr}");
    assert_eq!(
        (listed(&studio, "seed"), listed(&studio, "number")),
        (vec![3, 4, 5], vec![1, 2, 3])
    );
    assert_eq!(studio.takes().len(), 4);
    // Two columns and two rows of 320 pixels each.
    assert_eq!(size(&sheet).0, 8 + 2 * 328);
    let (said, _) = studio.ok(&["inspect", sheet.to_str().unwrap()]);
    assert!(said.contains("trainedAlgorithmicMedia"), "{said}");

    let (code, _, stderr) = render(&studio, &["--seeds", "3..5", "--pick", "2"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("the take is in the store already"), "{stderr}");
    assert!(stderr.contains("take 2 of 3, seed 4\n"), "{stderr}");
    let take = json(studio.path("out/take.json"));
    assert_eq!((take["request"]["seed"].as_u64(), studio.takes().len()), (Some(4), 4));
    let there = names(&studio.path("out"));
    assert!(there.contains(&"variants.png".into()) && there.contains(&"rgba.0004.png".into()));

    // Those of a take that is there: its seed alone is another.
    let [out, frame] = ["more", "out/rgba.0000.png"].map(|name| studio.path(name));
    let [out, frame] = [out.to_str().unwrap(), frame.to_str().unwrap()];
    studio.ok(&["render", "--from", frame, "--seeds", "5,6", "--device", "cpu", "--out", out]);
    assert_eq!(studio.takes().len(), 5);
    let (_, stderr) =
        studio.ok(&["render", "--from", frame, "--seeds", "5,6", "--pick", "2", "--out", out]);
    assert!(stderr.contains("in the store already"), "{stderr}");
    assert_eq!(json(studio.path("more/take.json"))["request"]["seed"].as_u64(), Some(6));
}

#[test]
fn with_no_store_there_is_the_same_picture_and_no_take() {
    let studio = Studio::new();
    let seeds = ["--seeds", "1,2", "--device", "cpu"];
    assert_eq!(render(&studio, &[&seeds[..], &["--no-store"]].concat()).0, Some(0));
    assert!(studio.takes().is_empty());
    assert_eq!(names(&studio.path("out")), ["variants.json", "variants.png"]);
    let picture = fs::read(studio.path("out/variants.png")).unwrap();
    assert_eq!(render(&studio, &seeds).0, Some(0));
    assert_eq!(studio.takes().len(), 2);
    assert!(fs::read(studio.path("out/variants.png")).unwrap() == picture);
}

#[test]
fn an_engine_makes_them_too() {
    let studio = Studio::new();
    let (code, _, stderr) = render(&studio, &["--seeds", "1..2", "--engine"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!((listed(&studio, "seed"), studio.takes().len()), (vec![1, 2], 2));
    studio.run(&["engine", "stop"]);
}

#[test]
fn take_make_makes_a_request_with_other_seeds() {
    let studio = Studio::new();
    let request = studio.request("a.json", 7, 1);
    let sheet = studio.path("sheet.png");
    let sheet = sheet.to_str().unwrap();
    let (paths, _) = studio.ok(&["take", "make", &request, "--seeds", "1..3", "--sheet", sheet]);
    assert_eq!((paths.lines().count(), studio.takes().len()), (3, 3));
    assert!(paths.lines().all(|path| Path::new(path).is_file()));
    assert_eq!(size(sheet).0, 8 + 2 * 328);
    let output = studio.run(&["take", "make", &request, "--seeds", "1", "--sheet", &request]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("which is read"), "{said}");
    // Whatever is there stays: the sheet of before, and what is no picture at all.
    for (file, words) in [(sheet, "exists already"), ("sheet.exr", "ends in .png")] {
        let output = studio.run(&["take", "make", &request, "--seeds", "1", "--sheet", file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
}

#[test]
fn what_was_made_before_it_is_stopped_stays() {
    let studio = Studio::new();
    let out = studio.path("out");
    let words = words(out.to_str().unwrap(), &["--seeds", "1..64", "--device", "cpu"]);
    let mut command = studio.command("run", &words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if line.starts_with("take 3 of 64") {
            // SAFETY: the child has not been waited for, so its number is its own.
            #[allow(unsafe_code)]
            let sent = unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
            assert_eq!(sent, 0);
        }
        said += &(line + "\n");
    }
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let seeds = listed(&studio, "seed");
    assert!((2..64).contains(&seeds.len()), "{seeds:?}");
    assert!(said.contains(&format!("{} takes of 64 are made and stay", seeds.len())), "{said}");
    assert!(studio.takes().len() >= seeds.len() && studio.path("out/variants.png").is_file());
    assert_eq!(json(studio.path("out/variants.json"))["of"].as_u64(), Some(64));
}

#[test]
fn lists_of_seeds_that_are_none_are_refused() {
    let studio = Studio::new();
    for (more, words) in [
        (&["--seeds", "5..3"][..], "the range 5..3 is empty"),
        (&["--seeds", "1,2,1"], "the seed 1 stands twice"),
        (&["--seeds", "1..100"], "more than 64 seeds"),
        (&["--seeds", "many"], "`many` is no seed"),
        (&["--seeds", "1..3", "--pick", "4"], "--pick 4: there are 3 seeds, expected 1 to 3"),
        (&["--seeds", "1..3", "--pick", "0"], "0 is not in 1.."),
        (&["--pick", "1"], "--seeds"),
        (&["--seeds", "1..3", "--seed", "4"], "cannot be used with"),
        (&["--seeds", "1..3", "--dump", "x"], "cannot be used with"),
    ] {
        let (code, _, said) = render(&studio, more);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "`{words}` is not in: {said}");
        assert!(!studio.path("out").exists(), "{more:?}");
    }
    fs::create_dir_all(studio.path("out")).unwrap();
    fs::write(studio.path("out/variants.png"), "mine").unwrap();
    let (code, _, said) = render(&studio, &["--seeds", "1..3"]);
    assert!(code == Some(2) && said.contains("which wan-alpha did not write"), "{said}");
    fs::write(studio.path("shots.csv"), "name,prompt,seeds\na,x,1..3\n").unwrap();
    let [table, out] = ["shots.csv", "shots"].map(|name| studio.path(name));
    let output =
        studio.run(&["batch", table.to_str().unwrap(), "--out", out.to_str().unwrap(), "--check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("each seed is a row of its own"), "{said}");
}
