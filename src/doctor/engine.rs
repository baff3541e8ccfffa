//! Whether an engine starts and answers.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wan_alpha_take::engine::client::{
    ClientSetup, Deadlines, EngineClient, EngineCommand, EngineState,
};
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::DeviceReport;
use wan_alpha_take::environment::Environment;

use super::Finding;
use crate::engine::identity;

const ABOUT: &str = "engine";

/// From the start of its process until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until its device is open: libraries of gigabytes on a slow folder take their time.
const OPENING: Duration = Duration::from_secs(180);

/// Starts one in a run directory of its own, asks it, and ends it.
pub(super) fn look(environment: &Environment) -> Finding {
    let running = Endpoint::open(&environment.run, environment.gpus.spelled().as_deref())
        .map(|endpoint| endpoint.engine_process());
    let running = match running {
        Ok(process) => process,
        Err(error) => return Finding::fault(ABOUT, error.to_string(), "set WAN_ALPHA_RUN"),
    };
    match try_one(environment) {
        Ok((DeviceReport { unused: Some(reason), is_mendable: true, .. }, _)) => {
            let (reason, remedy) = reason.rsplit_once("; ").unwrap_or((&reason, "see above"));
            Finding::attention(ABOUT, format!("it computes without a GPU: {reason}"), remedy)
        }
        Ok((device, took)) => {
            let now = running.map_or("none is running now".to_owned(), |process| {
                format!("process {process} is running")
            });
            Finding::ok(
                ABOUT,
                format!(
                    "answers {:.1} s after its start, computes on {}; {now}",
                    took.as_secs_f64(),
                    device.name
                ),
            )
        }
        Err(error) => Finding::fault(
            ABOUT,
            format!("{error:#}"),
            format!("read {}; is the program whole?", environment.engine_log().display()),
        ),
    }
}

fn try_one(environment: &Environment) -> Result<(DeviceReport, Duration)> {
    let program = match &environment.engine {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("this program's own file cannot be found")?,
    };
    let folder = tempfile::tempdir().context("no folder can be made for a trial")?;
    // Made by the endpoint, for this user alone.
    let run = folder.path().join("run");
    let mut command = Command::new(&program);
    command.args(["engine", "run"]).env_clear().envs(environment.for_engine.iter().cloned());
    command.env("WAN_ALPHA_RUN", &run).env("XDG_STATE_HOME", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child =
        command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
    let mut engine = Ended(child);
    let begun = Instant::now();
    let endpoint = Endpoint::open(&run, environment.gpus.spelled().as_deref())?;
    while endpoint.engine_process().is_none() {
        if let Some(status) = engine.0.try_wait().context("the engine cannot be waited for")? {
            bail!("{} ended with {status} while it was starting", program.display());
        }
        if begun.elapsed() > PATIENCE {
            bail!("the engine did not begin to listen within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let client = EngineClient::new(ClientSetup {
        identity: identity(),
        run,
        gpus: environment.gpus.clone(),
        engine: EngineCommand {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            log: environment.engine_log(),
            detached: false,
        },
        deadlines: Deadlines::default(),
    });
    client.ask_report();
    let mut seen = 0;
    loop {
        let snapshot = client.snapshot();
        match snapshot.report {
            // It answers, and says how long that has lasted; no engine is given up for it.
            Some(report) if report.device.opening_seconds.is_some() => {
                if begun.elapsed() > OPENING {
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
                return Ok((report.device, begun.elapsed()));
            }
            None if begun.elapsed() > PATIENCE => {
                bail!("the engine did not answer within {PATIENCE:?}");
            }
            None => {}
        }
        if let Some(status) = engine.0.try_wait().context("the engine cannot be waited for")? {
            let log = folder.path().join("wan-alpha/engine.log");
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("its log is empty");
            bail!("the engine ended with {status}: {last}");
        }
        if let EngineState::Unavailable(problem) = snapshot.engine {
            bail!("{problem}");
        }
        seen = client.wait(seen, Duration::from_millis(200));
    }
}

/// Ends the trial's engine, however the trial ends.
struct Ended(Child);

impl Drop for Ended {
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
