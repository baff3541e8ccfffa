//! Engines that fail as a GPU does, as processes of their own: this test program, started once more.
//! The failures are libtorch's own words, given where it would give them, between two blocks; from
//! there on all is the product's. Nothing of this is in the program that ships.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use wan_alpha_core::Stage;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::TchError;
use wan_alpha_take::engine::client::{
    ClientSetup, Deadlines, EngineClient, EngineCommand, JobState, Snapshot,
};
use wan_alpha_take::engine::message::{Holder, Submit};
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::visible_gpus::VisibleGpus;
use wan_alpha_take::{NUMERICS, TakeKey, TakeRequest};

use super::identity;
use super::watchdog::Limits;
use crate::args::Cli;
use crate::exit::Exit;
use crate::progress::TerminalProgress;

/// What the program is told, a word in each line.
const ARGUMENTS: &str = "WAN_ALPHA_TEST_ARGUMENTS";
/// What goes wrong in the engine: a list of [`Fault`].
const FAULTS: &str = "WAN_ALPHA_TEST_FAULTS";
/// Is there: opening a device lasts as long as this file is there.
const OPENING: &str = "WAN_ALPHA_TEST_OPENING";
/// Stands for the stage in a [`Fault`] of who gives back memory.
const UNLOADING: &str = "unloading";
/// Longer than anything takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Something that goes wrong, once among all engines of a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fault {
    stage: String,
    /// At which question of the stage, in the life of an engine.
    at: usize,
    /// libtorch's words; none: it does not answer at all.
    says: Option<String>,
    /// Is there once it has happened.
    mark: PathBuf,
}

fn faults() -> Vec<Fault> {
    let text = std::env::var(FAULTS).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Asked before each block of the engine's worker.
pub(super) fn strike(stage: Stage) -> wan_alpha_core::Result<()> {
    static ASKED: Mutex<BTreeMap<Stage, usize>> = Mutex::new(BTreeMap::new());
    let at = {
        let mut asked = ASKED.lock();
        let count = asked.entry(stage).or_default();
        *count += 1;
        *count - 1
    };
    let here = |fault: &Fault| fault.stage == stage.to_string() && fault.at == at;
    let Some(fault) = faults().into_iter().find(|fault| here(fault) && !fault.mark.exists()) else {
        return Ok(());
    };
    File::create(&fault.mark).unwrap();
    match fault.says {
        Some(says) => Err(TchError::Torch(says).into()),
        None => loop {
            sleep(Duration::from_secs(60));
        },
    }
}

/// Asked before a model's memory is given back.
pub(super) fn while_unloading() {
    let here = |fault: &Fault| fault.stage == UNLOADING && !fault.mark.exists();
    let Some(fault) = faults().into_iter().find(here) else { return };
    File::create(&fault.mark).unwrap();
    loop {
        sleep(Duration::from_secs(60));
    }
}

/// Asked before the device is opened.
pub(super) fn while_opening() {
    let file = std::env::var_os(OPENING).map(PathBuf::from);
    while file.as_ref().is_some_and(|file| file.exists()) {
        sleep(Duration::from_millis(20));
    }
}

/// Shorter where a fault is to come that never answers.
pub(super) fn limits() -> Limits {
    let hangs = |fault: &Fault| fault.says.is_none() && !fault.mark.exists();
    if faults().iter().any(hangs) {
        let one_of =
            |stages: &[&str]| faults().iter().any(|fault| stages.contains(&fault.stage.as_str()));
        let reading = [Stage::Text.to_string(), Stage::Load.to_string()];
        let reads = one_of(&[&reading[0], &reading[1]]);
        // Where whole takes are made besides, a thread may have to wait for a processor.
        let least = Duration::from_secs(if reads || one_of(&[UNLOADING]) { 10 } else { 2 });
        let (look, reading) =
            (Duration::from_millis(50), if reads { least } else { Limits::USUAL.reading });
        return Limits { least, look, reading, ..Limits::USUAL };
    }
    Limits::USUAL
}

/// These engines compute on the CPU, for want of a GPU.
pub(super) fn can_hang(_: Device) -> bool {
    true
}

#[test]
#[ignore = "started by the other tests, as a program"]
fn as_the_program() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let progress = TerminalProgress::new(true);
    let cli = Cli::parse_from(["wan-alpha"].into_iter().chain(arguments.lines()));
    let exit = match crate::run(cli, &crate::environment::read(), &progress) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("wan-alpha: {}", crate::error_text::in_words(&error));
            i32::from(Exit::of(&error) != Exit::Done)
        }
    };
    std::process::exit(exit);
}

/// How this test program becomes the program.
const AS_THE_PROGRAM: [&str; 5] =
    ["engine::faults::as_the_program", "--exact", "--ignored", "--nocapture", "--test-threads=1"];

/// A user's folders with a tiny model, and an engine in which something goes wrong.
struct Room {
    folder: TempDir,
    faults: Vec<Fault>,
}

impl Room {
    /// Stage, question and words of each fault.
    fn new(faults: &[(Stage, usize, Option<&str>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faults = faults.iter().enumerate().map(|(index, (stage, at, says))| Fault {
            stage: stage.to_string(),
            at: *at,
            says: says.map(str::to_owned),
            mark: folder.path().join(format!("fault-{index}")),
        });
        Self::with(faults.collect(), folder)
    }

    /// Whose engine never gives back a model's memory.
    fn that_hangs_in_unloading() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("fault");
        let fault = Fault { stage: UNLOADING.to_owned(), at: 0, says: None, mark };
        Self::with(vec![fault], folder)
    }

    fn with(faults: Vec<Fault>, folder: TempDir) -> Self {
        let room = Self { folder, faults };
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/t2v-euler/model");
        room.run(&["model", "add", "tiny", model.to_str().unwrap()]);
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn environment(&self, arguments: &[&str]) -> Vec<(OsString, OsString)> {
        let folders = [
            ("HOME", "home"),
            ("WAN_ALPHA_MODELS", "models"),
            ("WAN_ALPHA_STORE", "takes"),
            ("WAN_ALPHA_RUN", "run"),
            ("XDG_STATE_HOME", "run"),
        ];
        let folders =
            folders.map(|(name, folder)| (name.into(), self.path(folder).into_os_string()));
        let others = [
            ("PATH", std::env::var_os("PATH").unwrap()),
            ("OMP_WAIT_POLICY", "passive".into()),
            ("OMP_NUM_THREADS", "1".into()),
            ("WAN_ALPHA_IDLE", "20".into()),
            (ARGUMENTS, arguments.join("\n").into()),
            (OPENING, self.path("opening").into_os_string()),
            (FAULTS, serde_json::to_string(&self.faults).unwrap().into()),
        ];
        folders.into_iter().chain(others.map(|(name, value)| (name.into(), value))).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(AS_THE_PROGRAM).env_clear().envs(self.environment(arguments));
        command
    }

    /// What the program says; it must succeed.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn client(&self) -> EngineClient {
        EngineClient::new(ClientSetup {
            identity: identity(),
            run: self.path("run"),
            gpus: VisibleGpus::default(),
            engine: EngineCommand {
                program: std::env::current_exe().unwrap(),
                arguments: AS_THE_PROGRAM.map(OsString::from).into(),
                environment: self.environment(&["engine", "run", "--device", "cpu"]),
                log: self.path("run/wan-alpha/engine.log"),
                detached: true,
            },
            deadlines: Deadlines::default(),
        })
    }

    fn submit(&self, seed: u32) -> Submit {
        let record = fs::read_to_string(self.path("models/tiny/wan-alpha.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        let ellipse = json!({ "x": 0.5, "y": 0.5, "a": 0.6, "b": 1.0, "angle": 0.0 });
        let request = json!({
            "version": TakeRequest::VERSION, "numerics": NUMERICS, "prompt": "smoke",
            "negative_prompt": null, "seed": seed, "frames": 9, "width": 48, "height": 32,
            "take_rate": 16, "ellipse": vec![ellipse; 3], "mask": null, "mu": [0.05, 0.05, 0.05],
            "mu_scale": 1.0, "steps": 4, "shift": 5.0, "guidance": 1.0, "solver": "unipc",
            "dora_strength": 1.0, "distill_strength": 1.0, "precision": "f32",
            "decode_tiling": "whole", "model": "tiny", "model_fingerprint": record["fingerprint"],
            "first_image": null,
        });
        let request = TakeRequest::from_json(&request.to_string()).unwrap();
        Submit {
            key: request.key().unwrap(),
            request: serde_json::from_str(&request.to_canonical()).unwrap(),
            stores: vec![self.path("takes")],
            model_roots: vec![self.path("models")],
            holder: Holder::PatientRender,
            memory: None,
        }
    }

    /// A take, from the store.
    fn take(&self, key: TakeKey) -> Take {
        Store::new([self.path("takes")]).find(&key).take.unwrap()
    }

    /// The frames of a take, from the store, as bits.
    fn pixels(&self, key: TakeKey) -> Vec<Vec<u16>> {
        let take = self.take(key);
        let bits = |frame| take.frame(frame).unwrap().iter().map(|value| value.to_bits()).collect();
        (0..take.frames()).map(bits).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("run/wan-alpha/engine.log")).unwrap_or_default()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path("opening"));
        let _ = self.command(&["engine", "stop"]).output();
    }
}

fn wait_for(client: &EngineClient, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + PATIENCE;
    let mut seen = 0;
    loop {
        let snapshot = client.snapshot();
        if is_so(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {snapshot:?}");
        seen = client.wait(seen.max(snapshot.revision), Duration::from_millis(200));
    }
}

fn finish(client: &EngineClient, key: TakeKey) -> JobState {
    wait_for(client, |snapshot| snapshot.jobs[&key].is_finished()).jobs[&key].clone()
}

fn make(client: &EngineClient, submit: &Submit) -> JobState {
    client.submit(submit.clone());
    finish(client, submit.key)
}

/// Code and words of a take that is not made.
fn failure(state: JobState) -> (String, String) {
    let JobState::Failed(problem) = state else { panic!("not failed: {state:?}") };
    (problem.code.as_str().to_owned(), problem.to_string())
}

/// The process of the engine.
fn process(client: &EngineClient) -> u32 {
    let reports = client.snapshot().reports;
    client.ask_report();
    wait_for(client, |snapshot| snapshot.reports > reports).report.unwrap().engine.pid
}

fn has_ended(process: u32) -> bool {
    let end = Instant::now() + PATIENCE;
    while super::lives(process) {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

const DEAD: &str = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be \
    asynchronously reported at some other API call";
const NO_MEMORY: &str = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity \
    of 7.75 GiB of which 310.00 MiB is free.\nException raised from malloc";

#[test]
fn a_dead_gpu_ends_its_engine_and_the_next_take_finds_another() {
    let room = Room::new(&[(Stage::Sample, 5, Some(DEAD))]);
    let (client, other) = (room.client(), room.client());
    let (first, waiting) = (room.submit(1), room.submit(2));
    client.submit(first.clone());
    wait_for(&client, |snapshot| !matches!(snapshot.jobs[&first.key], JobState::Sent));
    other.submit(waiting.clone());
    let (code, words) = failure(finish(&client, first.key));
    assert_eq!(code, "gpu-fault");
    for part in ["the GPU failed while sampling: CUDA error: an illegal memory", "try again"] {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
    assert!(!words.contains("asynchronously"), "{words}");
    // Neither the one that waited nor the next one hears of it.
    assert_eq!(finish(&other, waiting.key), JobState::Done);
    let second = process(&other);
    assert_eq!(make(&client, &first), JobState::Done);
    assert_eq!(process(&client), second);
    let log = room.log();
    let started: Vec<&str> = log.lines().filter(|line| line.contains(" listens on ")).collect();
    assert_eq!(started.len(), 2, "{log}");
    let name =
        |line: &str| line.split("engine ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let firsts = name(started[0]).parse().unwrap();
    assert!(firsts != second && has_ended(firsts) && super::lives(second), "{log}");
}

#[test]
fn a_step_that_never_ends_ends_the_engine_and_the_next_take_finds_another() {
    // The model has two blocks: in the third step, when it is known how long a block takes.
    let room = Room::new(&[(Stage::Sample, 5, None)]);
    let client = room.client();
    let submit = room.submit(1);
    client.submit(submit.clone());
    wait_for(&client, |snapshot| matches!(snapshot.jobs[&submit.key], JobState::Running(_)));
    let first = process(&client);
    let (code, words) = failure(finish(&client, submit.key));
    assert_eq!(code, "gpu-fault");
    for part in ["has not answered for", "while sampling (a block took", "nvidia-smi"] {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
    assert!(has_ended(first));
    assert_eq!(make(&client, &submit), JobState::Done);
    assert_ne!(process(&client), first);
}

#[test]
fn a_driver_that_hangs_in_reading_or_unloading_a_model_ends_the_engine() {
    for (stage, part) in
        [(Stage::Text, "while reading the prompt"), (Stage::Load, "while loading the model")]
    {
        let room = Room::new(&[(stage, usize::from(stage == Stage::Load), None)]);
        let client = room.client();
        let submit = room.submit(1);
        let (code, words) = failure(make(&client, &submit));
        assert_eq!(code, "gpu-fault");
        assert!(words.contains("has not answered for") && words.contains(part), "{words}");
        assert_eq!(make(&client, &submit), JobState::Done);
    }
    let room = Room::that_hangs_in_unloading();
    let client = room.client();
    let submit = room.submit(1);
    assert_eq!(make(&client, &submit), JobState::Done);
    let first = process(&client);
    client.unload();
    assert!(has_ended(first));
    assert!(room.log().contains("while giving back the model's memory"), "{}", room.log());
    assert_eq!(make(&client, &room.submit(2)), JobState::Done);
    assert_ne!(process(&client), first);
}

#[test]
fn an_engine_answers_while_it_opens_its_device_and_can_be_stopped() {
    let room = Room::new(&[]);
    File::create(room.path("opening")).unwrap();
    let client = room.client();
    let submit = room.submit(1);
    client.submit(submit.clone());
    let opening = |snapshot: &Snapshot| {
        snapshot.device.as_ref().is_some_and(|device| device.opening_seconds.is_some())
    };
    let seen = wait_for(&client, opening);
    assert!(matches!(seen.jobs[&submit.key], JobState::Queued { .. } | JobState::Sent));
    let first = process(&client);
    let said = room.run(&["engine", "status"]);
    assert!(
        said.contains(&format!("engine {first} ")) && said.contains(") opening the CPU, "),
        "{said}"
    );
    assert!(said.contains(": waiting, 1 holder"), "{said}");
    assert!(room.run(&["engine", "unload"]).contains("no model is in memory"));
    // The worker sits in a call that never ends.
    room.run(&["engine", "stop"]);
    assert!(has_ended(first));
    assert_eq!(failure(finish(&client, submit.key)).0, "stopped");
    assert!(room.log().contains("told to end while the device was being opened"), "{}", room.log());

    client.submit(submit.clone());
    wait_for(&client, opening);
    let second = process(&client);
    fs::remove_file(room.path("opening")).unwrap();
    assert_eq!(finish(&client, submit.key), JobState::Done);
    assert_eq!(process(&client), second);
    assert_eq!(client.snapshot().report.unwrap().device.name, "the CPU");
}

#[test]
fn memory_that_runs_out_is_told_and_the_engine_goes_on() {
    for (stage, part) in [
        (Stage::Load, "while loading the model: 1.6 GB more are needed"),
        (Stage::Sample, "while sampling: 1.6 GB more are needed"),
    ] {
        let room = Room::new(&[(stage, 1, Some(NO_MEMORY))]);
        let client = room.client();
        let submit = room.submit(1);
        let (code, words) = failure(make(&client, &submit));
        assert_eq!(code, "out-of-memory");
        assert!(words.contains(part) && words.contains("0.3 GB of 8.3 GB are free"), "{words}");
        let engine = process(&client);
        // Nothing of the model stays in the way of others.
        assert_eq!(client.snapshot().report.unwrap().model, None);
        assert_eq!(make(&client, &submit), JobState::Done);
        assert_eq!(process(&client), engine);
    }
}

#[test]
fn memory_that_runs_out_in_decoding_is_made_by_letting_the_transformer_go() {
    let whole = Room::new(&[]);
    let submit = whole.submit(1);
    assert_eq!(make(&whole.client(), &submit), JobState::Done);
    let expected = whole.pixels(submit.key);
    assert_eq!(whole.take(submit.key).description().warnings, []);

    let room = Room::new(&[(Stage::Decode, 40, Some(NO_MEMORY))]);
    let client = room.client();
    assert_eq!(make(&client, &submit_to(&room, &submit)), JobState::Done);
    assert!(room.pixels(submit.key) == expected, "another take");
    // What was told stands in the take's record.
    let take = room.take(submit.key);
    let [told] = &take.description().warnings[..] else { panic!() };
    assert!(told.message.contains("the transformer is let go"), "{told}");
    assert_eq!(client.warnings(submit.key), std::slice::from_ref(told));
    assert!(room.log().contains("the transformer is let go"), "{}", room.log());

    // Where that does not help either, the latent is kept, and the next attempt decodes it.
    let room = Room::new(&[
        (Stage::Decode, 3, Some(NO_MEMORY)),
        (Stage::Decode, 4, Some(NO_MEMORY)),
        (Stage::Sample, 8, Some("sampled again")),
    ]);
    let client = room.client();
    let (code, words) = failure(make(&client, &submit_to(&room, &submit)));
    assert_eq!(code, "out-of-memory");
    assert!(words.contains("while decoding") && words.contains("smaller size"), "{words}");
    assert_eq!(make(&client, &submit_to(&room, &submit)), JobState::Done);
    assert!(room.pixels(submit.key) == expected, "another take");
}

/// The same take, in another room.
fn submit_to(room: &Room, submit: &Submit) -> Submit {
    let here = room.submit(1);
    assert_eq!(here.key, submit.key);
    here
}
