use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::request::TakeRequest;

#[test]
fn the_longest_request_fits_into_a_line() {
    let prompt = "\u{1}".repeat(TakeRequest::MAX_PROMPT);
    let request = serde_json::json!({ "prompt": prompt, "negative_prompt": prompt });
    let submit = Submit {
        key: TakeKey([7; 32]),
        request,
        stores: vec!["/".repeat(4096).into(); 8],
        model_roots: vec!["/".repeat(4096).into(); 8],
        holder: Holder::Render,
        memory: None,
    };
    let line = encode(&ToEngine::Submit(Box::new(submit))).unwrap();
    assert!(line.len() < MAX_LINE * 9 / 10, "{}", line.len());
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_is_sent() {
    let problem = Problem::new(ProblemCode::Failed, "x".repeat(MAX_LINE), "remedy");
    let error = encode(&ToClient::Refused(problem)).unwrap_err().to_string();
    assert!(error.contains("shorten the prompt"), "{error}");
}

#[test]
fn unknown_fields_are_ignored() {
    let line = br#"{"kind":"stop","only_if_idle":true,"in_seconds":{"later":[1,2]}}"#;
    assert_eq!(decode::<ToEngine>(line).unwrap(), ToEngine::Stop { only_if_idle: true });
    let line = br#"{"kind":"heartbeat","mood":"good"}"#;
    assert_eq!(decode::<ToClient>(line).unwrap(), ToClient::Heartbeat);
}

#[test]
fn unknown_kinds_are_named_with_the_known() {
    let error = decode::<ToEngine>(br#"{"kind":"dance","tempo":3}"#).unwrap_err();
    assert!(matches!(error, MessageError::UnknownKind { .. }));
    let words = error.to_string();
    assert!(words.contains("\"dance\"") && words.contains("hello, submit, cancel"), "{words}");
}

#[test]
fn every_listed_kind_is_known() {
    fn check<M: Message>() {
        for kind in M::KINDS {
            let line = format!("{{\"kind\":\"{kind}\"}}");
            let known = match decode::<M>(line.as_bytes()) {
                Ok(_) => true,
                Err(MessageError::Unreadable { reason, .. }) => {
                    reason.to_string().contains("missing field")
                }
                Err(_) => false,
            };
            assert!(known, "{kind}");
        }
    }
    check::<ToEngine>();
    check::<ToClient>();
}

#[test]
fn garbage_is_refused_in_one_short_sentence() {
    let binary = [0xff, 0x00, 0x1b, b'[', b'2', b'J'].repeat(1000);
    let nested = "[".repeat(100_000);
    for line in [&b""[..], b"hello", b"{}", b"[]", b"{\"kind\":3}", &binary, nested.as_bytes()] {
        let words = decode::<ToClient>(line).unwrap_err().to_string();
        assert!(words.len() < 600 && !words.contains(['\n', '\u{1b}']), "{words}");
    }
}

#[test]
fn another_version_of_the_request_is_carried_and_refused_as_such() {
    let line = format!(
        r#"{{"kind":"submit","key":"{}","request":{{"version":99,"new":1}},"stores":[],"model_roots":[],"holder":{{"kind":"render"}}}}"#,
        TakeKey([1; 32])
    );
    let ToEngine::Submit(submit) = decode(line.as_bytes()).unwrap() else { panic!("{line}") };
    assert_eq!(submit.accepted_request().unwrap_err().code(), ProblemCode::OtherVersion);
}

#[test]
fn a_line_is_at_most_a_byte_shorter_than_the_limit() {
    let text = format!("{}\n{}\n{}\n", "a".repeat(99), "b".repeat(100), "c".repeat(99));
    let mut lines = LineReader::with_limit(Cursor::new(text), 100);
    assert_eq!(lines.next_line().unwrap().unwrap(), [b'a'; 99]);
    assert!(matches!(lines.next_line(), Err(LineError::TooLong { limit: 100 })));
    assert_eq!(lines.next_line().unwrap().unwrap(), [b'c'; 99]);
    assert!(lines.next_line().unwrap().is_none());
}

#[test]
fn an_endless_line_is_told_once_and_takes_no_memory() {
    let mut lines = LineReader::new(io::repeat(b'x').take(64 << 20));
    assert!(matches!(lines.next_line(), Err(LineError::TooLong { .. })));
    assert!(lines.next_line().unwrap().is_none());
    assert!(lines.memory() < 2 * MAX_LINE, "{}", lines.memory());
}

/// Gives a few bytes, would block, gives a few more.
struct Dribble {
    text: Vec<u8>,
    sizes: Vec<usize>,
    given: usize,
    turn: usize,
}

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(2) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = self.sizes[self.turn / 2 % self.sizes.len()];
        let rest = &self.text[self.given..];
        let size = size.min(rest.len()).min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        self.given += size;
        Ok(size)
    }
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_they_arrive(
        words in proptest::collection::vec("[a-z]{0,30}", 0..20),
        sizes in proptest::collection::vec(1..40_usize, 1..8),
        limit in 1..30_usize,
    ) {
        let text: String = words.iter().map(|word| format!("{word}\n")).collect();
        let source = Dribble { text: text.into_bytes(), sizes, given: 0, turn: 0 };
        let mut lines = LineReader::with_limit(source, limit);
        let mut found = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(line)) => found.push(Some(String::from_utf8(line).unwrap())),
                Ok(None) => break,
                Err(LineError::TooLong { .. }) => found.push(None),
                Err(LineError::Io(error)) => prop_assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let expected: Vec<_> =
            words.into_iter().map(|word| Some(word).filter(|word| word.len() < limit)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = decode::<ToEngine>(&bytes);
        let _ = decode::<ToClient>(&bytes);
    }

    #[test]
    fn submissions_round_trip(
        key: [u8; 32],
        prompt in ".{0,40}",
        mu in -1.0..1.0_f64,
        seed: u32,
        stores in proptest::collection::vec(".{0,20}", 0..4),
        node in proptest::option::of(".{0,20}"),
    ) {
        let submit = Submit {
            key: TakeKey(key),
            request: serde_json::json!({ "prompt": prompt, "mu": [mu], "seed": seed }),
            stores: stores.iter().map(PathBuf::from).collect(),
            model_roots: Vec::new(),
            holder: node.map_or(Holder::Render, |node| Holder::Generate { node }),
            memory: None,
        };
        let message = ToEngine::Submit(Box::new(submit));
        let line = encode(&message).unwrap();
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(decode::<ToEngine>(&line).unwrap(), message);
    }

    #[test]
    fn answers_round_trip(
        key: [u8; 32],
        words in proptest::array::uniform3(".{0,40}"),
        numbers in proptest::array::uniform3(0..u32::MAX),
        left in proptest::option::of(0.0..1e9_f64),
    ) {
        let key = TakeKey(key);
        let [code, text, remedy] = words;
        let [step, of, pid] = numbers;
        let engine = Identity { protocol: step, version: text.clone(), numerics: of, pid };
        let progress = Progress { stage: code.clone(), step, of, seconds_left: left };
        let job = JobReport { key, holders: step, progress: Some(progress.clone()), with: None };
        let problem = Problem { code: ProblemCode::from(code), message: text.clone(), remedy };
        for message in [
            ToClient::Welcome(engine.clone()),
            ToClient::BusyOtherVersion { engine: engine.clone(), jobs: of },
            ToClient::Progress { key, progress },
            ToClient::Failed { key, problem: problem.clone() },
            ToClient::Refused(problem),
            ToClient::StatusReport(StatusReport {
                engine,
                device: DeviceReport {
                    name: text.clone(),
                    opening_seconds: Some(u64::from(of)),
                    unused: Some(text),
                    is_mendable: true,
                    memory: Some(DeviceMemory { free: u64::from(step), total: u64::from(of) }),
                },
                model: None,
                unloading: true,
                paused: of % 2 == 0,
                uptime_seconds: u64::from(pid),
                clients: step,
                jobs: vec![job],
            }),
        ] {
            prop_assert_eq!(decode::<ToClient>(&encode(&message).unwrap()).unwrap(), message);
        }
    }
}

/// Fields that came later may be missing, and are left out where they say nothing.
#[test]
fn a_report_of_an_engine_that_knows_less_is_read() {
    let old = r#"{"kind":"status-report","engine":{"protocol":1,"version":"0.1.0","numerics":1,
        "pid":7},"device":"cpu","model":null,"uptime_seconds":1,"clients":1,"jobs":[]}"#;
    let message = decode::<ToClient>(old.as_bytes()).unwrap();
    let ToClient::StatusReport(report) = &message else { panic!("{message:?}") };
    assert_eq!(report.device, DeviceReport::open("cpu"));
    assert!(!report.unloading && report.device.is_plain());
    let again = String::from_utf8(encode(&message).unwrap()).unwrap();
    assert!(!again.contains("unloading") && !again.contains("opening"), "{again}");
}
