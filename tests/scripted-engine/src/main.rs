//! An engine without a model: the real protocol, the real job table, and a script that says how
//! takes go and what goes wrong at which step.
//!
//! `scripted-engine --run DIRECTORY --script FILE [--mask GPUS]`, or, where a plug-in takes it for
//! the engine, `scripted-engine engine run [--batch]` with `WAN_ALPHA_RUN`, `WAN_ALPHA_SCRIPT` and
//! `CUDA_VISIBLE_DEVICES`. And `scripted-engine take keep-image …`, as a plug-in has images read: see
//! `keep_image`.

#![forbid(unsafe_code)]

mod keep_image;
mod script;
mod take;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::{
    DeviceReport, Identity, MAX_LINE, PreviewPicture, Problem, ProblemCode, Progress, Submit,
};
use wan_alpha_take::engine::server::{
    EngineServer, IdleLimits, Outcome, ServerDeadlines, ServerSetup, WorkerOrder,
};
use wan_alpha_take::visible_gpus::VisibleGpus;

use crate::script::{Action, Script, count_start, note_end};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wan-alpha: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    run: PathBuf,
    script: PathBuf,
    /// Which graphics cards it sees, as clients spell them.
    gpus: Option<String>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        if std::env::args_os().nth(1).is_some_and(|verb| verb == "engine") {
            return Self::of_environment();
        }
        let (mut run, mut script, mut mask) = (None, None, None);
        let mut given = std::env::args_os().skip(1);
        while let Some(name) = given.next() {
            let value = given.next().context("every argument has a value")?;
            match name.to_str() {
                Some("--run") => run = Some(PathBuf::from(value)),
                Some("--script") => script = Some(PathBuf::from(value)),
                Some("--mask") => mask = Some(value.to_string_lossy().into_owned()),
                _ => bail!("{} is none of --run, --script, --mask", name.display()),
            }
        }
        let script = script.context("--script is missing")?;
        Ok(Self { run: run.context("--run is missing")?, script, gpus: mask })
    }

    fn of_environment() -> Result<Self> {
        let set = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"))
        };
        let (run, script) = (set("WAN_ALPHA_RUN")?, set("WAN_ALPHA_SCRIPT")?);
        let variable = |name| std::env::var(name).ok();
        let gpus = VisibleGpus {
            mask: variable("CUDA_VISIBLE_DEVICES"),
            order: variable("CUDA_DEVICE_ORDER"),
            device: variable("WAN_ALPHA_DEVICE"),
        };
        Ok(Self { run, script, gpus: gpus.spelled() })
    }
}

/// An engine at work.
struct Engine {
    script: Script,
    /// Where the script lies.
    path: PathBuf,
    number: u32,
    service: Option<EngineServer>,
    /// Whether a take has rested in it.
    has_rested: Cell<bool>,
}

fn run() -> Result<()> {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "take") {
        return keep_image::run(std::env::args_os().skip(2));
    }
    let arguments = Arguments::parse()?;
    let script = Script::read(&arguments.script)?;
    let number = count_start(&arguments.script)?;
    let has_rested = Cell::new(false);
    let mut engine = Engine { script, path: arguments.script, number, service: None, has_rested };
    engine.misbehave("start", 0, None);
    let endpoint = Endpoint::open(&arguments.run, arguments.gpus.as_deref())?;
    let listener = endpoint.listen(Duration::from_secs(5))?;
    engine.misbehave("listen", 0, None);
    engine.service = Some(EngineServer::start(listener, engine.setup())?);
    if !engine.open_device() {
        return Ok(());
    }
    while let Some(service) = &engine.service {
        match service.next_order() {
            WorkerOrder::Make(submit) => engine.make(&submit)?,
            WorkerOrder::Unload | WorkerOrder::MakeRoom => service.loaded(None, None),
            WorkerOrder::Leave => break,
        }
    }
    Ok(())
}

impl Engine {
    fn setup(&self) -> ServerSetup {
        let script = &self.script;
        let identity = Identity {
            protocol: script.protocol,
            ..Identity::new(script.version.clone(), script.numerics)
        };
        let leave = IdleLimits {
            idle: Duration::from_millis(script.idle_ms),
            alone: script.alone_ms.map(Duration::from_millis),
        };
        ServerSetup {
            deadlines: ServerDeadlines {
                heartbeat: Duration::from_millis(script.heartbeat_ms),
                unread: Duration::from_millis(script.unread_ms),
            },
            check: take::check,
            ..ServerSetup::new(identity, self.device(), leave)
        }
    }

    fn device(&self) -> DeviceReport {
        let opening = self.script.opening_ms > 0;
        if opening { DeviceReport::opening("script") } else { DeviceReport::open("script") }
    }

    /// Takes as long as the script says; false where it says that this fails.
    fn open_device(&self) -> bool {
        let Some(service) = &self.service else { return false };
        let end = Instant::now() + Duration::from_millis(self.script.opening_ms);
        while Instant::now() < end && !service.is_to_end() {
            sleep(Duration::from_millis(5));
        }
        if let Some(message) = &self.script.not_opened {
            let problem = Problem::new(ProblemCode::NoGpu, message, "use another device");
            service.refuse_all(&problem, Duration::from_secs(5));
            return false;
        }
        let (unused, idle) = (self.script.unused.clone(), self.script.idle_ms);
        let device = DeviceReport { unused, ..DeviceReport::open("script") };
        service.opened(device, Duration::from_millis(idle));
        true
    }

    fn make(&mut self, submit: &Submit) -> Result<()> {
        let outcome = self.go_through_stages(submit);
        let how = match &outcome {
            Outcome::Done => "done",
            Outcome::Failed(_) => "failed",
            Outcome::Stopped => "stopped",
        };
        note_end(&self.path, how)?;
        if let (Some(service), Outcome::Failed(problem)) = (&self.service, &outcome)
            && problem.code == ProblemCode::GpuFault
        {
            service.fail(Some(submit.key), problem);
            return Ok(());
        }
        if let Some(service) = &self.service {
            service.loaded(Some("scripted".to_owned()), None);
            service.finish(submit.key, outcome);
        }
        Ok(())
    }

    fn go_through_stages(&mut self, submit: &Submit) -> Outcome {
        let stages: Vec<_> =
            self.script.stages.iter().map(|stage| (stage.name.clone(), stage.steps)).collect();
        for warning in &self.script.warnings {
            let Some(service) = &self.service else { return Outcome::Stopped };
            service.warn(submit.key, warning);
        }
        for (stage, of) in stages {
            for step in 0..=of {
                let Some(service) = &self.service else { return Outcome::Stopped };
                if !service.is_wanted(submit.key) {
                    return Outcome::Stopped;
                }
                let seconds_left = self.script.estimates.then(|| f64::from(of - step));
                let progress = Progress { stage: stage.clone(), step, of, seconds_left };
                service.progress(submit.key, &progress);
                if self.script.previews && stage == "sampling" && step > 0 {
                    let red = u8::try_from(255 * step / of).unwrap_or(u8::MAX);
                    let rgba = vec![red, 0, 0, 128, 0, 0, 255, 255];
                    service.preview(submit.key, &PreviewPicture { width: 2, height: 1, rgba });
                }
                if let Some(problem) = self.misbehave(&stage, step, Some(submit.key)) {
                    return Outcome::Failed(problem);
                }
                self.wait_paused(submit.key, &stage, step, of);
                sleep(Duration::from_millis(self.script.step_ms));
            }
        }
        take::deliver(submit, &self.script.warnings).map_or_else(
            |error| {
                Outcome::Failed(Problem::new(
                    ProblemCode::Other("store".to_owned()),
                    format!("{error:#}"),
                    "look at it",
                ))
            },
            |()| Outcome::Done,
        )
    }

    /// Waits while somebody has paused the engine, or a host renders, and somebody wants the take; not in
    /// the middle of decoding.
    fn wait_paused(&self, key: TakeKey, stage: &str, step: u32, of: u32) {
        let Some(service) = self.service.as_ref().filter(|_| stage != "decode" || step == 0) else {
            return;
        };
        let rests =
            || (service.is_paused() || service.is_host_rendering()) && service.is_wanted(key);
        if rests() {
            self.has_rested.set(true);
            service.loaded(None, None);
            service.progress(key, &Progress::paused(step, of));
        }
        while rests() {
            sleep(Duration::from_millis(2));
        }
    }

    /// Does what the script says for this place of a take. A problem is how it fails.
    fn misbehave(&mut self, stage: &str, step: u32, take: Option<TakeKey>) -> Option<Problem> {
        match self.script.fault(stage, step, self.number)?.clone() {
            Action::Exit => {
                eprintln!("exit at {stage} {step}, as the script says");
                std::process::exit(3);
            }
            Action::Abort => std::process::abort(),
            Action::Hang => hang(),
            Action::Sleep { ms } => sleep(Duration::from_millis(ms)),
            Action::Gate { file } => self.wait_at(&self.path.with_file_name(file), take),
            Action::UntilPaused => self.wait_to_be_paused(take),
            Action::Garbage => self.say(b"\x7fELF\x00\xff no message\n".to_vec()),
            Action::LongLine => {
                let mut line = vec![b'x'; MAX_LINE];
                line.push(b'\n');
                self.say(line);
            }
            Action::Close => {
                self.service = None;
                sleep(Duration::from_millis(300));
            }
            Action::Fail { code, message, remedy } => {
                return Some(Problem::new(code, message, remedy));
            }
            Action::GpuFault { message, remedy } => {
                return Some(Problem::new(ProblemCode::GpuFault, message, remedy));
            }
        }
        None
    }

    /// Waits until the gate is open or nobody waits behind it.
    fn wait_at(&self, gate: &Path, take: Option<TakeKey>) {
        let is_wanted = || match (&self.service, take) {
            (Some(service), Some(take)) => service.is_wanted(take),
            _ => true,
        };
        while !gate.exists() && is_wanted() {
            sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has been paused once, since who presses a button does not wait for the engine.
    fn wait_to_be_paused(&self, take: Option<TakeKey>) {
        let (Some(service), Some(take)) = (&self.service, take) else { return };
        let is_told = || service.is_paused() || service.is_host_rendering();
        while !self.has_rested.get() && !is_told() && service.is_wanted(take) {
            sleep(Duration::from_millis(2));
        }
    }

    fn say(&self, bytes: Vec<u8>) {
        if let Some(service) = &self.service {
            service.send_raw(bytes);
        }
        sleep(Duration::from_millis(50));
    }
}

/// Stops every thread of this process, as a fault in a driver may.
#[cfg(unix)]
fn hang() {
    use rustix::process::{Signal, getpid, kill_process};
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        eprintln!("cannot stop: {error}");
    }
}

#[cfg(not(unix))]
fn hang() {
    sleep(Duration::from_secs(3600));
}
