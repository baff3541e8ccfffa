//! `wan-alpha data caption`: captions asked of a service that stands in for a vision model.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
#[cfg(unix)]
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use support::room::Room;

/// A stand-in for a vision service: answers each request by a script, in the order they come in, and
/// keeps what it was sent.
struct Service {
    url: String,
    heard: Arc<Mutex<Vec<Request>>>,
}

struct Request {
    head: String,
    body: Value,
}

impl Service {
    /// `answer` makes status, further headers and body of the number of a request.
    fn start(answer: impl Fn(usize) -> (u16, &'static str, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let lower = line.to_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    head += &line;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut kept = keep.lock();
                let (status, headers, body_out) = answer(kept.len());
                kept.push(Request { head, body: serde_json::from_slice(&body).unwrap() });
                let reply = format!(
                    "HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body_out}",
                    body_out.len()
                );
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        Self { url, heard }
    }

    fn count(&self) -> usize {
        self.heard.lock().len()
    }
}

fn said(number: usize) -> String {
    let content = serde_json::json!({
        "long": format!("The background of this video is transparent. Number {number}."),
        "short": format!("number {number}"),
        "labels": {"style": "realistic", "shot": "close-up"},
    });
    let content = format!("```json\n{content}\n```");
    serde_json::json!({"choices": [{"message": {"content": content}}]}).to_string()
}

/// A drawn set of three clips, the second of which alone has a caption.
fn uncaptioned() -> Room {
    let room = Room::of("data");
    room.ok(&["procedural", "--count", "3", "--size", "48x32", "--frames", "5", "--out", "set"]);
    let table = "colour,caption,labels,mine\nclip-000000,,,a\nclip-000001,I am said.,style=flat,b\n\
                 clip-000002,,style=flat,c\n";
    fs::write(room.path("set/table.csv"), table).unwrap();
    room
}

fn asking(service: &Service) -> Vec<&str> {
    let line = ["caption", "set", "--model", "seer", "--wait", "1", "--jobs", "1", "--endpoint"];
    [&line[..], &[&service.url]].concat()
}

#[test]
fn captions_are_asked_for_until_they_come_and_rows_that_have_one_are_kept() {
    let room = uncaptioned();
    let service = Service::start(|number| match number {
        0 => (503, "", "busy".to_owned()),
        1 => (429, "retry-after: 0\r\n", "slower".to_owned()),
        2 => (200, "", "{\"choices\":[{\"message\":{\"content\":\"I see nothing\"}}]}".to_owned()),
        _ => (200, "", said(number)),
    });
    let line = [&asking(&service)[..], &["--key", "SEER_KEY"]].concat();
    let mut command = room.command(&line);
    let output = command.env("SEER_KEY", "s3cret").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(service.count(), 5);
    let text = fs::read_to_string(room.path("set/captioned.csv")).unwrap();
    let rows: Vec<_> = text.lines().collect();
    assert_eq!(rows[0], "colour,caption,caption_short,labels,mine");
    let expected = "clip-000000,The background of this video is transparent. Number 3.,number 3,\
                    shot=close-up; style=realistic,a";
    assert_eq!(rows[1], expected);
    assert_eq!(rows[2], "clip-000001,I am said.,,style=flat,b");
    // What the table says of it stands.
    assert!(rows[3].ends_with("Number 4.,number 4,shot=close-up; style=flat,c"), "{}", rows[3]);
    let heard = service.heard.lock();
    let first = &heard[0];
    assert!(first.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", first.head);
    assert!(first.head.to_lowercase().contains("authorization: bearer s3cret"), "{}", first.head);
    assert_eq!(first.body["model"], "seer");
    let content = first.body["messages"][1]["content"].as_array().unwrap();
    // Words, then four frames.
    assert_eq!(content.len(), 5);
    let url = content[1]["image_url"]["url"].as_str().unwrap();
    let png = data_encoding::BASE64
        .decode(url.strip_prefix("data:image/png;base64,").unwrap().as_bytes())
        .unwrap();
    let picture = image::load_from_memory(&png).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (48, 32));
    assert!(picture.pixels().any(|pixel| pixel.0 == [128; 3]), "no gray where it is transparent");
    drop(heard);
    // Again: nothing is left to ask.
    room.ok(&asking(&service));
    assert_eq!(service.count(), 5);
    assert_eq!(fs::read_to_string(room.path("set/captioned.csv")).unwrap(), text);
    assert!(room.ok(&["check", "set/captioned.csv"]).contains("0 errors"));
}

#[test]
fn a_caption_run_that_fails_keeps_what_it_has_and_goes_on_later() {
    let room = uncaptioned();
    let refusing = Service::start(|number| match number {
        0 => (200, "", said(0)),
        _ => (401, "", "{\"error\": \"bad key\"}".to_owned()),
    });
    let said_first = room.fails(&asking(&refusing), 2);
    for words in ["row 3 (line 4", "answers 401", "bad key", "captioned.csv has what was answered"]
    {
        assert!(said_first.contains(words), "`{words}` is not in {said_first}");
    }
    // A lasting refusal is not asked again.
    assert_eq!(refusing.count(), 2);
    let text = fs::read_to_string(room.path("set/captioned.csv")).unwrap();
    assert!(text.contains("Number 0.") && text.contains("clip-000002,,"), "{text}");
    let answering = Service::start(|number| (200, "", said(70 + number)));
    room.ok(&asking(&answering));
    assert_eq!(answering.count(), 1);
    let text = fs::read_to_string(room.path("set/captioned.csv")).unwrap();
    assert!(text.contains("Number 0.") && text.contains("Number 70."), "{text}");

    let room = uncaptioned();
    let dead = Service::start(|_| (500, "", "no".to_owned()));
    let said = room.fails(&[&asking(&dead)[..], &["--retries", "2"]].concat(), 1);
    assert!(said.contains("no answer in 3 attempts") && said.contains("500: no"), "{said}");
    assert_eq!(dead.count(), 3);
}

#[test]
fn what_a_service_declines_is_passed_over_listed_and_asked_for_again_only_when_told() {
    let room = uncaptioned();
    let refusal = r#"{"choices":[{"message":{"content":null,"refusal":"Not this one."}}]}"#;
    let picky = Service::start(move |number| match number {
        0 => (200, "", refusal.to_owned()),
        _ => (200, "", said(number)),
    });
    let output = room.run(&asking(&picky));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    assert_eq!(picky.count(), 2);
    let declined = "declined: row 1 (line 2 of set/table.csv, clip-000000): the model refuses: Not \
                    this one.";
    assert!(words.contains(declined) && words.contains("--again"), "{words}");
    let table = || fs::read_to_string(room.path("set/captioned.csv")).unwrap();
    assert!(
        table().starts_with("colour,caption,caption_short,labels,declined,mine\n"),
        "{}",
        table()
    );
    assert!(table().contains("clip-000000,,,,the model refuses: Not this one.,a"), "{}", table());
    assert!(table().contains("Number 1."), "{}", table());
    // The report knows of it.
    let said_of_it = room.fails(&["check", "set/captioned.csv"], 2);
    assert!(said_of_it.contains("data caption --again"), "{said_of_it}");
    assert!(!said_of_it.contains("column `declined` means nothing"), "{said_of_it}");
    // Not asked for once more, but listed.
    let output = room.run(&asking(&picky));
    assert!(String::from_utf8(output.stderr).unwrap().contains(declined));
    assert_eq!(picky.count(), 2);
    room.ok(&[&asking(&picky)[..], &["--again"]].concat());
    assert_eq!(picky.count(), 3);
    assert!(table().contains("Number 2.") && !table().contains("declined"), "{}", table());
}

#[test]
fn a_service_that_declines_everything_is_asked_the_wrong_way() {
    let room = uncaptioned();
    let wrong = Service::start(|_| (400, "", "{\"error\": \"no such model\"}".to_owned()));
    let words = room.fails(&asking(&wrong), 2);
    for expected in ["declined whatever it was asked for, 2 rows", "no such model", "check --model"]
    {
        assert!(words.contains(expected), "{words}");
    }
    // Which says nothing of the rows.
    let table = fs::read_to_string(room.path("set/captioned.csv")).unwrap();
    assert!(!table.contains("declined"), "{table}");
    let talkative = Service::start(|number| match number {
        // No caption, however often it is asked; then one.
        0..3 => (200, "", "{\"choices\":[{\"message\":{\"content\":\"Sorry\"}}]}".to_owned()),
        _ => (200, "", said(number)),
    });
    let output = room.run(&[&asking(&talkative)[..], &["--retries", "2"]].concat());
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    assert!(words.contains("row 1") && words.contains("no JSON object: Sorry"), "{words}");
}

#[test]
fn a_caption_run_that_cannot_begin_says_why() {
    let room = uncaptioned();
    for (more, words) in [
        (&["--endpoint", "localhost:1"][..], "is no URL"),
        (&["--endpoint", "ftp://x/v1"], "is no URL"),
        (
            &["--endpoint", "http://x/v1", "--key", "NO_SUCH"],
            "environment variable NO_SUCH is not set",
        ),
        (&["--endpoint", "http://x/v1", "--out", "../t.csv"], "lies elsewhere than the set"),
    ] {
        let said = room.fails(&[&["caption", "set", "--model", "m"], more].concat(), 2);
        assert!(said.contains(words), "{said}");
        assert!(!room.path("set/captioned.csv").exists());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_wait_for_a_service_that_is_busy() {
    let room = uncaptioned();
    let slow = Service::start(|_| {
        std::thread::sleep(Duration::from_millis(20));
        (503, "retry-after: 60\r\n", "later".to_owned())
    });
    let line = [&asking(&slow)[..], &["-v"]].concat();
    let (code, said) = room.interrupted(&line, "captioning 0/");
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// The same picture as sRGB, in Display P3, and as one of two pictures of an EXR file.
#[test]
fn a_vision_model_is_shown_the_same_picture_whatever_form_it_is_in() {
    let room = Room::of("data");
    let files = ["srgb.png", "cicp-p3.png", "two-pictures.exr"];
    for file in files {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
        fs::copy(from.join(file), room.path(file)).unwrap();
    }
    fs::create_dir(room.path("set")).unwrap();
    let rows: String = files.iter().map(|file| format!("../{file}\n")).collect();
    fs::write(room.path("set/table.csv"), format!("colour\n{rows}")).unwrap();
    let service = Service::start(|number| (200, "", said(number)));
    let output = room.run(&asking(&service));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    let told = "it has several pictures: beauty is read, not specular; --layer chooses";
    assert!(words.matches(told).count() == 1 && words.contains("two-pictures.exr"), "{words}");
    let heard = service.heard.lock();
    let shown = |request: &Request| {
        let url = request.body["messages"][1]["content"][1]["image_url"]["url"].as_str().unwrap();
        let png = data_encoding::BASE64
            .decode(url.strip_prefix("data:image/png;base64,").unwrap().as_bytes())
            .unwrap();
        image::load_from_memory(&png).unwrap().into_rgb8()
    };
    let pictures: Vec<_> = heard.iter().map(shown).collect();
    assert_eq!(pictures.len(), files.len());
    for (picture, file) in pictures.iter().zip(files).skip(1) {
        for (found, known) in picture.as_raw().iter().zip(pictures[0].as_raw()) {
            assert!(found.abs_diff(*known) <= 1, "{file}: {found}, not {known}");
        }
    }
}
