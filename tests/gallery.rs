//! `wan-alpha take gallery`: the page of a thousand takes, used in a real browser where there is one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::render::names;
use support::studio::Studio;
use wan_alpha_take::store::{Description, Store};
use wan_alpha_take::{RequestDraft, TakeRequest};

/// A take of this number, of pixels that compress as badly as any.
fn publish(store: &Store, number: u32) -> TakeRequest {
    let prompt = match number {
        999 => "a flame </script><script>alert(1)</script> & \"more\" 日本".to_owned(),
        _ => format!("a flame, {} of its kind", number + 1),
    };
    let draft = RequestDraft {
        seed: number,
        width: Some(64),
        height: Some(48),
        frames: Some(5),
        steps: Some(4),
        guidance: Some(1.0),
        precision: Some(wan_alpha_take::Precision::F32),
        ellipse: vec![wan_alpha_take::Ellipse::default(); 2],
        mu: vec![0.05; 2],
        ..RequestDraft::new("draft".to_owned(), prompt)
    };
    let mut request = draft.complete(&wan_alpha_take::models::Defaults::default()).unwrap();
    request.model_fingerprint = Some("11".repeat(32).parse().unwrap());
    let mut writer = store.create(Description::new(&request, "cpu").unwrap()).unwrap();
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    for _ in 0..5 {
        let pixel = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as f32 / 255.0
        };
        let rgba: Vec<f32> = (0..64 * 48 * 4).map(pixel).collect();
        writer.frame_f32(&rgba).unwrap();
    }
    writer.publish().unwrap();
    request
}

/// A studio whose store has so many takes, and the requests of these.
fn studio(takes: u32) -> (Studio, Vec<TakeRequest>) {
    let studio = Studio::empty();
    let store = Store::new([studio.path("takes")]);
    let requests = (0..takes).map(|number| publish(&store, number)).collect();
    (studio, requests)
}

fn gallery(studio: &Studio, more: &[&str]) -> PathBuf {
    let out = studio.path("gallery");
    let (stdout, _) =
        studio.ok(&[&["take", "gallery", "--out", out.to_str().unwrap()], more].concat());
    assert_eq!(stdout.trim(), out.join("index.html").to_str().unwrap());
    out
}

/// A browser; none where none is installed, which is said.
fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|said| said.status.success())
    };
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    if found.is_none() {
        eprintln!(
            "skipped: no chromium here to open the page in; Debian's package `chromium` is one"
        );
    }
    found
}

#[test]
fn a_page_of_takes_is_small_whole_and_never_written_over_that_of_another() {
    let (studio, requests) = studio(12);
    let out = gallery(&studio, &[]);
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.len() < 12 * 12_000 + 20_000, "{}", page.len());
    // Nothing is fetched.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src=\""));
    for request in &requests {
        let moving =
            fs::read(out.join("moving").join(format!("{}.png", request.key().unwrap()))).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(moving)).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 5);
    }
    // Folders of renders, whatever lies below them.
    let key = requests[3].key().unwrap().to_string();
    let render = studio.path("shots/a/flame");
    studio.ok(&["take", "export", &key, "--out", render.to_str().unwrap(), "--format", "png"]);
    let shots = studio.path("shots");
    let still = studio.path("still");
    studio.ok(&[
        "take",
        "gallery",
        shots.to_str().unwrap(),
        "--still",
        "--out",
        still.to_str().unwrap(),
    ]);
    let page = fs::read_to_string(still.join("index.html")).unwrap();
    assert!(page.contains(&key) && page.contains("\"moving\":null"), "{page}");
    assert_eq!(names(&still), ["index.html"]);
    fs::write(still.join("index.html"), "mine").unwrap();
    let refused = studio.run(&["take", "gallery", "--out", still.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("is a page that wan-alpha did not write"), "{said}");
    let none = Studio::empty();
    assert_eq!(none.run(&["take", "gallery", "--out", "x"]).status.code(), Some(2));
}

#[test]
fn a_thousand_takes_open_in_a_browser_and_are_searched_played_starred_compared_and_copied() {
    let Some(browser) = browser() else { return };
    let (studio, requests) = studio(1000);
    // Many are of the same second; this one is not.
    let key = requests[0].key().unwrap();
    let oldest = fs::File::options().write(true).open(studio.path(&format!("takes/{key}.take")));
    let hour = std::time::Duration::from_secs(3600);
    oldest.unwrap().set_modified(std::time::SystemTime::now() - hour).unwrap();
    let out = gallery(&studio, &[]);
    let page = out.join("index.html");
    assert!(fs::metadata(&page).unwrap().len() < 1000 * 12_000);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery/browser.py");
    let output = Command::new("python3")
        .arg(script)
        .args([browser.as_ref(), page.as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let seen: Value = serde_json::from_str(&said).unwrap_or_else(|_| {
        panic!("{said}{}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(seen["count"], "1000 of 1000", "{seen}");
    // As many cards as fill the window, and more when somebody scrolls.
    assert!(seen["first"].as_u64().unwrap() <= 180 && seen["scrolled"] == true, "{seen}");
    // By prompt and by seed.
    let found = serde_json::json!(["a flame, 778 of its kind", "a flame, 779 of its kind"]);
    assert_eq!(seen["found"], found, "{seen}");
    assert_eq!(
        (&seen["odd"], &seen["starred"], &seen["compared"]),
        (&1.into(), &1.into(), &2.into()),
        "{seen}"
    );
    assert_eq!(seen["still"], "data:image/png;base64,");
    assert_eq!(seen["back"], "data:image/png;base64,");
    assert_eq!(seen["moving"], serde_json::json!(["moving", 64]), "{seen}");
    assert_eq!(seen["oldest"], "a flame, 1 of its kind", "{seen}");
    // What is copied is what `render --from` takes.
    let copied = TakeRequest::from_parameter(seen["copied"].as_str().unwrap()).unwrap();
    assert!(requests.iter().any(|request| request.key().unwrap() == copied.key().unwrap()));
}
