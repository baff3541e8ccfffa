//! How soon an engine begins: `cargo run --release -p wan-alpha-take --example warm_engine PROGRAM
//! MODEL`, with a release build of `wan-alpha` and a folder with a small model; one line of JSON,
//! seconds. `cargo xtask bench engine` judges it.
//!
//! - `cold_start`: from asking for a take, with no engine there, to its first message of progress:
//!   a process is started, libtorch is loaded, the model is found. The files lie in the system's
//!   page cache.
//! - `first_step`: on an engine that has made a take of the same prompt, from asking for another to
//!   its first message about sampling, which says that the first step begins.
//!
//! Both are what a client sees, and so include its thread and the socket. The engine computes on the
//! CPU and has models, takes, sockets and home of its own, which go when this ends.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wan_alpha_take::engine::client::{
    ClientSetup, Deadlines, EngineClient, EngineCommand, JobState,
};
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::{Holder, Identity, Submit};
use wan_alpha_take::visible_gpus::VisibleGpus;
use wan_alpha_take::{TakeKey, TakeRequest};

const COLD_STARTS: usize = 5;
const WARM_TAKES: usize = 20;
/// The smallest take with more than one latent frame, and steps enough for none to be missed.
const TAKE: &[&str] =
    &["--width", "64", "--height", "48", "--frames", "5", "--steps", "12", "--prompt", "smoke"];
/// Nothing here takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(120);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(program), Some(model)) = (arguments.next(), arguments.next()) else {
        return Err("needs the program `wan-alpha` and the folder of a model".into());
    };
    let studio = Studio::new(program, &model)?;
    let measured = measure(&studio);
    // An engine has no business in a folder that goes.
    let ended = studio.client().stop(&studio);
    println!("{}", measured?);
    ended
}

fn measure(studio: &Studio) -> Result<Value, Failure> {
    let mut seeds = 1..;
    let mut next = || TakeRequest { seed: seeds.next().unwrap_or(0), ..studio.request.clone() };
    let mut client = studio.client();
    let mut cold = Vec::new();
    for _ in 0..COLD_STARTS {
        client.stop(studio)?;
        client = studio.client();
        cold.push(client.make(studio, &next(), |_| true)?);
    }
    let mut warm = Vec::new();
    for _ in 0..WARM_TAKES {
        warm.push(client.make(studio, &next(), |stage| stage == "sampling")?);
    }
    Ok(json!({
        "shape": [studio.request.frames, studio.request.height, studio.request.width, 4],
        "cold_start": cold,
        "first_step": warm,
    }))
}

/// A user's folders, with one model in them.
struct Studio {
    room: tempfile::TempDir,
    program: PathBuf,
    request: TakeRequest,
}

impl Studio {
    fn new(program: PathBuf, model: &Path) -> Result<Self, Failure> {
        let room = tempfile::tempdir()?;
        let told = |arguments: &[OsString]| {
            let mut command = Command::new(&program);
            command.args(arguments).env_clear().envs(environment(room.path()));
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(Failure::from(said)) }
        };
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        told(
            &[words(&["model", "add", "tiny"]), vec![std::path::absolute(model)?.into()]].concat(),
        )?;
        // The command knows best what a request looks like and which numerics are its own.
        let out = room.path().join("out");
        let render = [
            "render",
            "--model",
            "tiny",
            "--device",
            "cpu",
            "--no-store",
            "--format",
            "png",
            "--out",
        ];
        told(&[words(&render), vec![out.clone().into()], words(TAKE)].concat())?;
        let record: Value = serde_json::from_slice(&fs::read(out.join("take.json"))?)?;
        let request = TakeRequest::from_json(&record["request"].to_string())?;
        Ok(Self { room, program, request })
    }

    fn run(&self) -> PathBuf {
        self.room.path().join("run")
    }

    fn client(&self) -> Client {
        let arguments = ["engine", "run", "--device", "cpu"].map(OsString::from);
        Client(EngineClient::new(ClientSetup {
            identity: Identity::new(env!("CARGO_PKG_VERSION"), self.request.numerics),
            run: self.run(),
            gpus: VisibleGpus::default(),
            engine: EngineCommand {
                program: self.program.clone(),
                arguments: arguments.into(),
                environment: environment(self.room.path()),
                log: self.room.path().join("state"),
                detached: false,
            },
            deadlines: Deadlines::default(),
        }))
    }
}

/// All that command and engine find in their environment.
fn environment(room: &Path) -> Vec<(OsString, OsString)> {
    let passed_on = ["PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"];
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| passed_on.iter().any(|on| name == on)).collect();
    variables.push(("OMP_WAIT_POLICY".into(), "passive".into()));
    for (name, folder) in [
        ("HOME", "home"),
        ("XDG_STATE_HOME", "state"),
        ("WAN_ALPHA_MODELS", "models"),
        ("WAN_ALPHA_STORE", "takes"),
        ("WAN_ALPHA_RUN", "run"),
    ] {
        variables.push((name.into(), room.join(folder).into()));
    }
    variables
}

struct Client(EngineClient);

impl Client {
    /// Has a take made. Returns the seconds until its progress was at such a stage.
    fn make(
        &self,
        studio: &Studio,
        request: &TakeRequest,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<f64, Failure> {
        let key = request.key()?;
        let submit = Submit {
            key,
            request: serde_json::to_value(request)?,
            stores: vec![studio.room.path().join("takes")],
            model_roots: vec![studio.room.path().join("models")],
            holder: Holder::Render,
            memory: None,
        };
        let start = Instant::now();
        self.0.submit(submit);
        self.wait(key, |job| matches!(job, JobState::Running(at) if is_there(&at.stage)))?;
        let seconds = start.elapsed().as_secs_f64();
        self.wait(key, |job| *job == JobState::Done)?;
        Ok(seconds)
    }

    fn wait(&self, key: TakeKey, is_so: impl Fn(&JobState) -> bool) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            let job = self.0.job(key).ok_or("the client forgot the take")?;
            if is_so(&job) {
                return Ok(());
            }
            if job.is_finished() || Instant::now() > end {
                return Err(format!("the take ended, or took too long, as {job:?}").into());
            }
            seen = self.0.wait(seen, Duration::from_secs(1));
        }
    }

    /// Ends the engine, if there is one, and waits until it is gone.
    fn stop(&self, studio: &Studio) -> Result<(), Failure> {
        let endpoint = Endpoint::open(&studio.run(), None)?;
        let end = Instant::now() + PATIENCE;
        if endpoint.engine_process().is_some() {
            self.0.stop_engine();
        }
        while endpoint.engine_process().is_some() {
            if Instant::now() > end {
                return Err("the engine does not end".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
