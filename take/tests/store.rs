//! The store under processes that run out of disk or race: each test starts this program again,
//! for the test called `child`, which does what its environment says.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use half::f16;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wan_alpha_take::store::{Description, Store, TakeWriter};
use wan_alpha_take::{
    DecodePrecision, DecodeTiling, Ellipse, Fingerprint, Precision, Solver, TakeKey, TakeRequest,
};

const FRAMES: u32 = 5;
const FRAME_BYTES: u64 = 64 * 64 * 8;
const HEADER_BYTES: u64 = 4096;

fn description() -> Description {
    let request = TakeRequest {
        version: 1,
        numerics: 1,
        prompt: "The background is transparent. Smoke.".to_owned(),
        negative_prompt: None,
        seed: 1,
        frames: FRAMES,
        width: 64,
        height: 64,
        take_rate: TakeRequest::TAKE_RATE,
        ellipse: vec![Ellipse::default(); 2],
        mask: None,
        mu: vec![0.05; 2],
        mu_scale: 1.0,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::F32,
        decode_tiling: DecodeTiling::Whole,
        model: "tiny".to_owned(),
        model_fingerprint: Some(Fingerprint([1; 32])),
        first_image: None,
        loras: Vec::new(),
        decode_precision: DecodePrecision::F32,
        last_image: None,
        first_image_name: None,
        last_image_name: None,
    };
    Description::new(&request, "cpu").unwrap()
}

fn key() -> TakeKey {
    description().key
}

fn pixels(frame: u32) -> Vec<f16> {
    vec![f16::from_f32(frame as f32 / 8.0); FRAME_BYTES as usize / 2]
}

fn write(store: &Store) -> Result<TakeWriter, String> {
    let mut writer = store.create(description()).map_err(|error| error.to_string())?;
    for frame in 0..FRAMES {
        writer
            .frame(&pixels(frame))
            .map_err(|error| format!("{}: {error}", error.code().as_str()))?;
    }
    Ok(writer)
}

/// Not a test of its own: what the others start.
#[test]
fn child() {
    let Some(folder) = std::env::var_os("STORE_CHILD") else { return };
    if let Ok(limit) = std::env::var("STORE_CHILD_LIMIT") {
        let current = limit.parse().ok();
        setrlimit(Resource::Fsize, Rlimit { current, ..getrlimit(Resource::Fsize) }).unwrap();
    }
    let store = Store::new([folder.into()]);
    let said = match write(&store).and_then(|writer| {
        writer.publish().map_err(|error| format!("{}: {error}", error.code().as_str()))
    }) {
        Ok(published) => {
            let frame = published.take.frame(3).unwrap();
            assert_eq!(*frame, *pixels(3));
            format!("first={}", published.first)
        }
        Err(error) => error,
    };
    println!("\nSAID {said}");
}

fn start(folder: &Path, limit: Option<u64>) -> Child {
    // A file that grows too large is an error only where the signal for it is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" child --exact --nocapture"]);
    command.arg(std::env::current_exe().unwrap()).env("STORE_CHILD", folder);
    if let Some(limit) = limit {
        command.env("STORE_CHILD_LIMIT", limit.to_string());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn said(child: Child) -> String {
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("SAID "));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&stderr))).to_owned()
}

#[test]
fn a_full_disk_publishes_nothing_and_says_so() {
    let last_frame = HEADER_BYTES + u64::from(FRAMES - 1) * FRAME_BYTES;
    let whole = last_frame + FRAME_BYTES;
    for limit in [0, 1, 4096, HEADER_BYTES + FRAME_BYTES / 2, last_frame + 5, whole - 1] {
        let folder = tempfile::tempdir().unwrap();
        let words = said(start(folder.path(), Some(limit)));
        assert!(words.starts_with("store-full: cannot write a take to "), "{words}");
        assert!(words.contains("raise the limit or choose another store"), "{words}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{limit}");
        assert!(Store::new([folder.path().to_owned()]).find(&key()).take.is_none());
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(said(start(folder.path(), Some(whole))), "first=true");
}

#[test]
fn of_two_processes_one_publishes_and_both_read_its_take() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4).map(|_| start(folder.path(), None)).collect();
        let said: Vec<_> = children.into_iter().map(said).collect();
        assert_eq!(said.iter().filter(|said| *said == "first=true").count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|said| *said == "first=false").count(), 3, "{said:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn after_a_killed_writer_the_take_is_whole_or_absent_and_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new([folder.path().to_owned()]);
    let mut child = start(folder.path(), None);
    // Anywhere on the way, or after it.
    while std::fs::read_dir(folder.path()).unwrap().next().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let found = store.find(&key());
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    let published = write(&store).unwrap().publish().unwrap();
    assert_eq!(published.take.verify(|_| ()).unwrap(), [0_u32; 0]);
}
