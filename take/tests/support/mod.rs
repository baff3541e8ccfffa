//! A scripted engine as a real process, in a run directory of its own.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use wan_alpha_take::engine::client::{
    ClientSetup, Deadlines, EngineClient, EngineCommand, EngineState, JobState, Snapshot,
};
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::{Holder, Identity, Submit};
use wan_alpha_take::visible_gpus::VisibleGpus;
use wan_alpha_take::{
    DecodePrecision, DecodeTiling, Ellipse, Fingerprint, NUMERICS, Precision, Solver, TakeKey,
    TakeRequest,
};

/// Longer than anything takes on a machine that does other things too. Only a failure lasts so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What opens the gate of [`Bench::gated`].
const GATE: &str = "gate";

/// The program, built by the same cargo into the same place as this test.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // The whole workspace's features, with which most of its crates are there.
        build
            .args([
                "build",
                "--quiet",
                "--offline",
                "--workspace",
                "--bin",
                "scripted-engine",
                "--target-dir",
            ])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the scripted engine cannot be built");
        profile.join(format!("scripted-engine{}", std::env::consts::EXE_SUFFIX))
    })
}

/// A run directory and a script; ends its engines when dropped.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) script: PathBuf,
}

impl Bench {
    pub(crate) fn new(script: Value) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("script.json");
        fs::write(&path, script.to_string()).unwrap();
        Self { directory, script: path }
    }

    /// With one thing that goes wrong in the first so many engines.
    pub(crate) fn with_fault(stage: &str, step: u32, engines: u32, what: Value) -> Self {
        let fault = json!({ "stage": stage, "step": step, "engines": engines, "what": what });
        Self::new(json!({ "faults": [fault] }))
    }

    /// At this place every take waits until the gate is open.
    pub(crate) fn gated(stage: &str, step: u32) -> Self {
        Self::new(json!({ "faults": [gate(stage, step)] }))
    }

    /// Lets takes that wait at the gate go on.
    pub(crate) fn open_gate(&self) {
        fs::write(self.directory.path().join(GATE), "").unwrap();
    }

    /// Lets takes wait at the gate again.
    pub(crate) fn close_gate(&self) {
        fs::remove_file(self.directory.path().join(GATE)).unwrap();
    }

    /// Another script in the same run directory.
    pub(crate) fn beside(&self, name: &str, script: Value) -> PathBuf {
        let path = self.directory.path().join(format!("{name}.json"));
        fs::write(&path, script.to_string()).unwrap();
        path
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::open(&self.run(), None).unwrap()
    }

    pub(crate) fn setup(&self) -> ClientSetup {
        self.setup_of("0.1.0", &self.script)
    }

    pub(crate) fn setup_of(&self, version: &str, script: &Path) -> ClientSetup {
        let run = self.run();
        let arguments = ["--run".into(), run.clone().into(), "--script".into(), script.into()];
        ClientSetup {
            identity: Identity::new(version, NUMERICS),
            run,
            gpus: VisibleGpus::default(),
            engine: EngineCommand {
                program: program().to_owned(),
                arguments: arguments.into(),
                environment: Vec::new(),
                log: self.directory.path().join("engine.log"),
                detached: true,
            },
            deadlines: Deadlines { silence: Duration::from_secs(60), ..Deadlines::default() },
        }
    }

    pub(crate) fn client(&self) -> EngineClient {
        EngineClient::new(self.setup())
    }

    /// One that takes an engine for hung soon; but not one that has to share a slow machine, and
    /// whose heartbeat of 100 ms comes late.
    pub(crate) fn impatient_client(&self) -> EngineClient {
        let mut setup = self.setup();
        setup.deadlines.silence = Duration::from_millis(5500);
        setup.deadlines.handshake = Duration::from_secs(2);
        setup.deadlines.start = Duration::from_secs(10);
        EngineClient::new(setup)
    }

    /// The processes of the engines that were started, in this order.
    pub(crate) fn starts(&self) -> Vec<u32> {
        starts(&self.script)
    }
}

/// A place of a script at which takes wait for [`Bench::open_gate`].
pub(crate) fn gate(stage: &str, step: u32) -> Value {
    json!({ "stage": stage, "step": step, "what": { "gate": { "file": GATE } } })
}

pub(crate) fn starts(script: &Path) -> Vec<u32> {
    let text = fs::read_to_string(script.with_extension("starts")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

impl Drop for Bench {
    fn drop(&mut self) {
        let files = fs::read_dir(self.directory.path()).unwrap();
        let scripts = files.map(|file| file.unwrap().path());
        for script in scripts.filter(|path| path.extension().is_some_and(|e| e == "json")) {
            for process in starts(&script) {
                if is_engine(process) {
                    let pid = rustix::process::Pid::from_raw(process.try_into().unwrap()).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
    }
}

/// Whether a process lives and is a scripted engine. A zombie has no command line.
pub(crate) fn is_engine(process: u32) -> bool {
    let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("scripted-engine")
}

pub(crate) fn key(number: u8) -> TakeKey {
    TakeKey([number; 32])
}

pub(crate) fn node(name: &str) -> Holder {
    Holder::Generate { node: name.to_owned() }
}

pub(crate) fn take(number: u8, holder: Holder) -> Submit {
    Submit {
        key: key(number),
        request: json!({ "version": 1 }),
        stores: Vec::new(),
        model_roots: Vec::new(),
        holder,
        memory: None,
    }
}

/// A request that is accepted, small enough to be made at once.
pub(crate) fn request(prompt: &str) -> TakeRequest {
    let request = TakeRequest {
        version: 1,
        numerics: 1,
        prompt: prompt.to_owned(),
        negative_prompt: None,
        seed: 1,
        frames: 9,
        width: 64,
        height: 48,
        take_rate: TakeRequest::TAKE_RATE,
        ellipse: vec![Ellipse::default(); 3],
        mask: None,
        mu: vec![0.05; 3],
        mu_scale: 1.0,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::F32,
        decode_tiling: DecodeTiling::Whole,
        model: "scripted".to_owned(),
        model_fingerprint: Some(Fingerprint([5; 32])),
        first_image: None,
        loras: Vec::new(),
        decode_precision: DecodePrecision::F32,
        last_image: None,
        first_image_name: None,
        last_image_name: None,
    };
    request.accept().unwrap()
}

/// Waits for something to become visible.
pub(crate) fn wait_for(
    client: &EngineClient,
    what: &str,
    mut seen: impl FnMut(&Snapshot) -> bool,
) -> Snapshot {
    let end = Instant::now() + PATIENCE;
    let mut revision = 0;
    loop {
        let snapshot = client.snapshot();
        if seen(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "no {what} within {PATIENCE:?}: {snapshot:?}");
        revision = client.wait(revision.max(snapshot.revision), Duration::from_millis(200));
    }
}

/// Waits for the end of a take.
pub(crate) fn finish(client: &EngineClient, number: u8) -> JobState {
    let finished = |snapshot: &Snapshot| snapshot.jobs[&key(number)].is_finished();
    wait_for(client, "end of the take", finished).jobs[&key(number)].clone()
}

/// Asks for a take and waits for its end.
pub(crate) fn make(client: &EngineClient, number: u8) -> JobState {
    client.submit(take(number, Holder::Render));
    finish(client, number)
}

/// Waits until a take is being made.
pub(crate) fn run_until_made(client: &EngineClient, number: u8) {
    wait_for(client, "progress", |snapshot| {
        matches!(snapshot.jobs.get(&key(number)), Some(JobState::Running(_)))
    });
}

/// The sentence with which a take failed, and its code.
pub(crate) fn failure(state: JobState) -> (String, String) {
    match state {
        JobState::Failed(problem) => (problem.code.as_str().to_owned(), problem.to_string()),
        other => panic!("not failed: {other:?}"),
    }
}

pub(crate) fn is_unavailable(snapshot: &Snapshot) -> bool {
    matches!(snapshot.engine, EngineState::Unavailable(_))
}

/// How long something took this thread: without the time in which it was ready to go on and the
/// machine had no processor for it, which is the machine's affair.
pub(crate) fn own_time(what: impl FnOnce()) -> Duration {
    let waited = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = text.split(' ').nth(1).and_then(|waited| waited.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or(0))
    };
    let (begun, before) = (Instant::now(), waited());
    what();
    begun.elapsed().saturating_sub(waited() - before)
}

/// Waits until something is so, for as long as any test may.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
