//! Every message as it is on the wire: `data/messages.jsonl`, lines of the engine behind those of
//! the client. A test that fails here means that running engines and clients of the same protocol
//! number no longer understand each other: raise `PROTOCOL`. Then, or after adding a message, renew
//! the file with `WRITE_GOLDEN=1 cargo test -p wan-alpha-take --test messages`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use wan_alpha_take::engine::message::{
    DeviceMemory, DeviceReport, Holder, Identity, JobReport, MemoryTerms, Message, PreviewPicture,
    Problem, ProblemCode, Progress, StatusReport, Submit, ToClient, ToEngine, decode, encode,
};
use wan_alpha_take::{CapSource, TakeKey, Warning, WarningCode};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/messages.jsonl");

fn identity() -> Identity {
    Identity { protocol: 1, version: "0.1.0".to_owned(), numerics: 3, pid: 4711 }
}

fn key() -> TakeKey {
    TakeKey(std::array::from_fn(|index| u8::try_from(index * 7 % 256).unwrap()))
}

fn to_engine() -> Vec<ToEngine> {
    let submit = |holder| {
        ToEngine::Submit(Box::new(Submit {
            key: key(),
            request: serde_json::json!({ "mu": [0.05, 0.1], "prompt": "fire", "version": 1 }),
            stores: vec!["/store".into(), "/shared".into()],
            model_roots: vec!["/models".into()],
            holder,
            memory: None,
        }))
    };
    let generate = Holder::Generate { node: "5f0c".to_owned() };
    let mut with_memory = submit(Holder::Render);
    if let ToEngine::Submit(submit) = &mut with_memory {
        let limit_by = CapSource::Parameter;
        let (limit, headroom) = (Some(12_000_000_000), Some(1_000_000_000));
        submit.memory = Some(MemoryTerms { limit, limit_by, headroom });
    }
    vec![
        ToEngine::Hello(identity()),
        submit(generate.clone()),
        submit(Holder::Render),
        submit(Holder::PatientRender),
        ToEngine::Cancel { key: key(), holder: generate },
        ToEngine::Status,
        ToEngine::Unload,
        ToEngine::Stop { only_if_idle: true },
        ToEngine::Pause,
        ToEngine::Resume,
        ToEngine::HostRender { begins: true },
        with_memory,
    ]
}

/// Two pixels, of which one is empty.
fn picture() -> PreviewPicture {
    PreviewPicture { width: 2, height: 1, rgba: vec![255, 128, 0, 255, 0, 0, 0, 0] }
}

fn to_client() -> Vec<ToClient> {
    let progress =
        Progress { stage: "sampling".to_owned(), step: 2, of: 4, seconds_left: Some(61.5) };
    let problem =
        Problem::new(ProblemCode::Unsupported, "precision fp8 is not built yet", "use bf16 or f32");
    vec![
        ToClient::Welcome(identity()),
        ToClient::BusyOtherVersion { engine: identity(), jobs: 2 },
        ToClient::OtherProtocol(Identity { protocol: 9, ..identity() }),
        ToClient::Accepted { key: key(), ahead: 1 },
        ToClient::Attached { key: key(), ahead: 0 },
        ToClient::Begun {
            key: key(),
            with: "model `draft` in f32; computing on the CPU".to_owned(),
        },
        ToClient::Progress { key: key(), progress: progress.clone() },
        ToClient::Progress {
            key: key(),
            progress: Progress { seconds_left: None, ..progress.clone() },
        },
        ToClient::Done { key: key() },
        ToClient::Failed { key: key(), problem: problem.clone() },
        ToClient::StatusReport(StatusReport {
            engine: identity(),
            device: DeviceReport::open("cpu"),
            model: Some("draft".to_owned()),
            unloading: false,
            paused: false,
            uptime_seconds: 90,
            clients: 2,
            jobs: vec![
                JobReport { key: key(), holders: 2, progress: Some(progress), with: None },
                JobReport { key: TakeKey([255; 32]), holders: 1, progress: None, with: None },
            ],
        }),
        ToClient::Device(DeviceReport::opening("CUDA")),
        ToClient::Device(DeviceReport {
            unused: Some("no NVIDIA driver was found".to_owned()),
            memory: Some(DeviceMemory { free: 7 << 30, total: 8 << 30 }),
            ..DeviceReport::open("cpu")
        }),
        ToClient::Ending(problem.clone()),
        ToClient::Heartbeat,
        ToClient::Refused(problem),
        ToClient::Warning {
            key: key(),
            warning: Warning::new(
                WarningCode::SizeBeyondModel,
                "832×480 pixels are not what model `draft` was made for",
                "the nearest that fits is 112×64",
            ),
        },
        ToClient::Warning {
            key: key(),
            warning: Warning::new(WarningCode::Tf32, "decoded with ten bits of mantissa", ""),
        },
        ToClient::Preview { key: key(), picture: picture() },
    ]
}

fn text<M: Message>(messages: &[M]) -> String {
    messages.iter().map(|message| String::from_utf8(encode(message).unwrap()).unwrap()).collect()
}

#[test]
fn messages_are_as_they_were() {
    let expected = text(&to_engine()) + &text(&to_client());
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(PATH, &expected).unwrap();
    }
    let golden = std::fs::read_to_string(PATH).unwrap();
    assert_eq!(golden, expected);
    let mut lines = golden.lines();
    for message in to_engine() {
        assert_eq!(decode::<ToEngine>(lines.next().unwrap().as_bytes()).unwrap(), message);
    }
    for message in to_client() {
        assert_eq!(decode::<ToClient>(lines.next().unwrap().as_bytes()).unwrap(), message);
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn every_kind_is_among_them() {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    let kinds: BTreeSet<String> = (text(&to_engine()) + &text(&to_client()))
        .lines()
        .map(|line| serde_json::from_str::<Kind>(line).unwrap().kind)
        .collect();
    let listed = ToEngine::KINDS.iter().chain(ToClient::KINDS).map(|kind| (*kind).to_owned());
    assert_eq!(kinds, listed.collect());
}
