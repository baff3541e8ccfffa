//! Whether an engine starts and answers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wan_alpha_take::engine::client::{
    ClientSetup, Deadlines, EngineClient, EngineCommand, EngineState,
};
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::DeviceReport;
use wan_alpha_take::environment::Environment;

use super::DoctorFinding;
use crate::engine::identity;
use crate::error_text::in_words;

const ABOUT: &str = "engine";

/// Until its device is open: libraries of gigabytes on a slow folder take their time.
const OPENING: Duration = Duration::from_secs(180);

/// Starts one in a run directory of its own, asks it, and ends it.
pub(super) fn look(environment: &Environment) -> DoctorFinding {
    let running = Endpoint::open(&environment.run, environment.gpus.spelled().as_deref())
        .map(|endpoint| endpoint.engine_process());
    let running = match running {
        Ok(process) => process,
        Err(error) => return DoctorFinding::fault(ABOUT, error.to_string(), "set WAN_ALPHA_RUN"),
    };
    match try_one(environment) {
        Ok((DeviceReport { unused: Some(reason), is_mendable: true, .. }, _)) => {
            let (reason, remedy) = reason.rsplit_once("; ").unwrap_or((&reason, "see above"));
            DoctorFinding::attention(ABOUT, format!("it computes without a GPU: {reason}"), remedy)
        }
        Ok((device, took)) => {
            let now = running.map_or("none is running now".to_owned(), |process| {
                format!("process {process} is running")
            });
            DoctorFinding::ok(
                ABOUT,
                format!(
                    "answers {:.1} s after its start, computes on {}; {now}",
                    took.as_secs_f64(),
                    device.name
                ),
            )
        }
        Err(error) => DoctorFinding::fault(
            ABOUT,
            in_words(&error),
            format!("read {}; is the program whole?", environment.engine_log().display()),
        ),
    }
}

/// Starts an engine in a folder of its own, and ends it once it has said what it computes on, and
/// after how long.
fn try_one(environment: &Environment) -> Result<(DeviceReport, Duration)> {
    let program = match &environment.engine {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("this program's own file cannot be found")?,
    };
    let folder = tempfile::tempdir().context("no folder can be made for a trial")?;
    let mut trial = Trial::start(environment, program, folder.path())?;
    trial.wait_until_it_listens(environment)?;
    trial.ask(environment)
}

/// An engine that was started to be asked.
struct Trial<'a> {
    program: PathBuf,
    /// Where it keeps its log and everything else.
    folder: &'a Path,
    engine: EngineToEnd,
    begun: Instant,
}

impl<'a> Trial<'a> {
    /// Starts the program as an engine.
    fn start(environment: &Environment, program: PathBuf, folder: &'a Path) -> Result<Self> {
        let mut command = Command::new(&program);
        command.args(["engine", "run"]).env_clear().envs(environment.for_engine.iter().cloned());
        command.env("WAN_ALPHA_RUN", run_directory(folder)).env("XDG_STATE_HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { program, folder, engine: EngineToEnd(child), begun: Instant::now() })
    }

    /// Its status, if it has ended.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.engine.0.try_wait().context("the engine cannot be waited for")
    }

    fn wait_until_it_listens(&mut self, environment: &Environment) -> Result<()> {
        let gpus = environment.gpus.spelled();
        let endpoint = Endpoint::open(&run_directory(self.folder), gpus.as_deref())?;
        while endpoint.engine_process().is_none() {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} while it was starting", self.program.display());
            }
            if self.begun.elapsed() > patience() {
                bail!("the engine did not begin to listen within {:?}", patience());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Asks what it computes on, until its device is open, and tells it to end.
    fn ask(mut self, environment: &Environment) -> Result<(DeviceReport, Duration)> {
        let client = self.client(environment);
        client.ask_report();
        let mut seen = 0;
        loop {
            let snapshot = client.snapshot();
            match snapshot.report {
                // It answers, and says how long that has lasted; no engine is given up for it.
                Some(report) if report.device.opening_seconds.is_some() => {
                    if self.begun.elapsed() > OPENING {
                        bail!(
                            "the engine listens, and was not done with opening {} within {OPENING:?}",
                            report.device.name
                        );
                    }
                    std::thread::sleep(Duration::from_millis(100));
                    client.ask_report();
                }
                Some(report) => {
                    client.stop_engine();
                    return Ok((report.device, self.begun.elapsed()));
                }
                None if self.begun.elapsed() > patience() => {
                    bail!("the engine did not answer within {:?}", patience());
                }
                None => {}
            }
            if let Some(status) = self.ended()? {
                bail!("the engine ended with {status}: {}", self.last_of_its_log());
            }
            if let EngineState::Unavailable(problem) = snapshot.engine {
                bail!("{problem}");
            }
            seen = client.wait(seen, Duration::from_millis(200));
        }
    }

    /// A client of this engine and no other.
    fn client(&self, environment: &Environment) -> EngineClient {
        EngineClient::new(ClientSetup {
            identity: identity(),
            run: run_directory(self.folder),
            gpus: environment.gpus.clone(),
            engine: EngineCommand {
                program: self.program.clone(),
                arguments: Vec::new(),
                environment: Vec::new(),
                log: environment.engine_log(),
                detached: false,
            },
            deadlines: Deadlines::default(),
        })
    }

    fn last_of_its_log(&self) -> String {
        let log = self.folder.join("wan-alpha/engine.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.lines().last().unwrap_or("its log is empty").to_owned()
    }
}

/// From the start of its process until it answers: as long as whoever wants a take would wait.
fn patience() -> Duration {
    Deadlines::default().start
}

/// Made by the endpoint, for this user alone.
fn run_directory(folder: &Path) -> PathBuf {
    folder.join("run")
}

/// Ends the trial's engine, however the trial ends.
struct EngineToEnd(Child);

impl Drop for EngineToEnd {
    fn drop(&mut self) {
        for _ in 0..100 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
