//! The engine's side against clients that are none of ours: raw bytes on its socket.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;
use support::{Bench, eventually, finish, make, take};
use wan_alpha_take::NUMERICS;
use wan_alpha_take::engine::client::JobState;
use wan_alpha_take::engine::message::{
    Holder, Identity, LineReader, MAX_LINE, ToClient, ToEngine, decode, encode,
};

/// An engine that lives, and a connection to it.
struct Raw {
    bench: Bench,
    stream: UnixStream,
    lines: LineReader<UnixStream>,
}

impl Raw {
    fn new() -> Self {
        let bench = Bench::new(json!({ "step_ms": 1 }));
        assert_eq!(make(&bench.client(), 99), JobState::Done);
        Self::beside(bench)
    }

    fn beside(bench: Bench) -> Self {
        let stream = UnixStream::connect(bench.endpoint().socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(120))).unwrap();
        let lines = LineReader::new(stream.try_clone().unwrap());
        Self { bench, stream, lines }
    }

    fn greeted() -> Self {
        let mut raw = Self::new();
        raw.say(&ToEngine::Hello(Identity::new("0.1.0", NUMERICS)));
        assert!(matches!(raw.hear(), Some(ToClient::Welcome(_))));
        raw
    }

    fn say(&mut self, message: &ToEngine) {
        self.say_bytes(&encode(message).unwrap());
    }

    fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next answer; `None` when the connection is closed.
    fn hear(&mut self) -> Option<ToClient> {
        loop {
            let line = match self.lines.next_line() {
                Ok(line) => line?,
                Err(error) if error.to_string().contains("reset") => return None,
                Err(error) => panic!("{error}"),
            };
            match decode(&line).unwrap() {
                ToClient::Heartbeat => {}
                message => return Some(message),
            }
        }
    }

    fn hear_refusal(&mut self) -> (String, String) {
        match self.hear() {
            Some(ToClient::Refused(problem)) => {
                (problem.code.as_str().to_owned(), problem.to_string())
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn others_are_served(&self) {
        assert_eq!(make(&self.bench.client(), 7), JobState::Done);
        assert_eq!(self.bench.starts().len(), 1);
    }
}

#[test]
fn unknown_messages_are_answered_and_the_connection_goes_on() {
    let mut raw = Raw::greeted();
    raw.say_bytes(b"{\"kind\":\"dance\"}\n");
    let (code, words) = raw.hear_refusal();
    assert_eq!(code, "unknown-message");
    assert!(words.contains("\"dance\""), "{words}");
    raw.say(&ToEngine::Status);
    assert!(matches!(raw.hear(), Some(ToClient::StatusReport(_))));
}

#[test]
fn garbage_is_answered_and_hung_up_on() {
    let mut raw = Raw::greeted();
    raw.say_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(raw.hear_refusal().0, "unreadable");
    assert_eq!(raw.hear(), None);
    raw.others_are_served();
}

#[test]
fn a_line_of_one_mebibyte_is_refused_in_words() {
    let mut raw = Raw::greeted();
    let mut line = vec![b'x'; MAX_LINE];
    line.push(b'\n');
    raw.say_bytes(&line);
    let (code, words) = raw.hear_refusal();
    assert_eq!(code, "line-too-long");
    assert!(words.contains("1048576 bytes"), "{words}");
    raw.others_are_served();
}

#[test]
fn a_flood_without_end_takes_no_memory() {
    let raw = Raw::greeted();
    let engine = raw.bench.starts()[0];
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{engine}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = resident();
    let chunk = vec![b'x'; 1 << 20];
    std::thread::scope(|scope| {
        // Told that its line is too long, and disconnected after a while.
        let flood = scope.spawn(|| while (&raw.stream).write_all(&chunk).is_ok() {});
        while !flood.is_finished() {
            raw.others_are_served();
            assert!(resident() < before + 8 * 1024, "{before} KiB became {} KiB", resident());
        }
    });
}

#[test]
fn whoever_says_no_hello_is_hung_up_on() {
    let mut raw = Raw::new();
    raw.say(&ToEngine::Status);
    assert_eq!(raw.hear_refusal().0, "no-hello");
    assert_eq!(raw.hear(), None);
    let mut raw = Raw::beside(raw.bench);
    let mut rest = Vec::new();
    // Five seconds later.
    raw.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    raw.others_are_served();
}

#[test]
fn another_protocol_is_told_so() {
    let mut raw = Raw::new();
    raw.say(&ToEngine::Hello(Identity { protocol: 2, ..Identity::new("9.0.0", 1) }));
    assert!(matches!(raw.hear(), Some(ToClient::OtherProtocol(engine)) if engine.protocol == 1));
    assert_eq!(raw.hear(), None);
}

#[test]
fn a_client_that_stops_reading_is_hung_up_on_and_its_render_goes_with_it() {
    let mut raw = Raw::greeted();
    raw.say(&ToEngine::Submit(Box::new(take(1, Holder::Render))));
    // Reports nobody reads fill first the socket, then the backlog.
    let ask = encode(&ToEngine::Status).unwrap().repeat(1000);
    raw.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let closed = |kind| matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    eventually("it is disconnected", || match raw.stream.write_all(&ask) {
        Ok(()) => false,
        Err(error) => closed(error.kind()),
    });
    raw.others_are_served();
}

#[test]
fn several_holders_of_one_connection_are_told_once() {
    let mut raw = Raw::greeted();
    let client = raw.bench.client();
    client.submit(take(1, support::node("a")));
    raw.say(&ToEngine::Submit(Box::new(take(1, Holder::Render))));
    raw.say(&ToEngine::Submit(Box::new(take(1, support::node("b")))));
    let mut ends = 0;
    let mut answers = 0;
    while ends == 0 {
        match raw.hear().unwrap() {
            ToClient::Accepted { .. } | ToClient::Attached { .. } => answers += 1,
            ToClient::Done { .. } => ends += 1,
            _ => {}
        }
    }
    assert!(answers <= 2);
    assert_eq!(finish(&client, 1), JobState::Done);
}
