//! `wan-alpha engine`: the process that keeps a model warm and makes takes for its clients.
//!
//! One per user, machine and GPU mask. The service thread listens and keeps the jobs; this file's
//! thread is the worker that opens the device and computes, and the only one that touches libtorch. A
//! third one watches it, and ends the process where the worker cannot.

#[cfg(test)]
mod faults;
mod problem_words;
mod shown_preview;
mod status;
mod watchdog;
mod worker;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
#[cfg(not(test))]
use wan_alpha_core::device::Device;
use wan_alpha_take::engine::client::{ClientSetup, EngineClient, EngineState, JobState, Snapshot};
use wan_alpha_take::engine::endpoint::Endpoint;
use wan_alpha_take::engine::message::{
    DeviceReport, Holder, Identity, MemoryTerms, Problem, ProblemCode, Progress, StatusReport,
    Submit,
};
use wan_alpha_take::engine::server::{EngineServer, IdleLimits, ServerSetup};
use wan_alpha_take::log_file::LogFile;
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{NUMERICS, TakeKey, TakeRequest, Warning};

use crate::args::{EngineRun, EngineVerb as Verb};
use crate::console::Console;
use crate::context::CommandContext;
use crate::cpu_estimate::Hours;
use crate::device;
use crate::error_text::in_words;
use crate::exit::{Exit, OrExit};
use crate::interrupt::Interrupt;
use crate::preview::PreviewFile;
use crate::stdout::print_lines;
use crate::take;
use problem_words::at_a_terminal;
use shown_preview::ShownPreview;
use wan_alpha_take::environment::Environment;
#[cfg(not(test))]
use watchdog::Limits;
use watchdog::{ProgressSignal, Watchdog};
use worker::Worker;

/// How long an engine waits for another one to end before it gives up its place.
const TAKE_OVER: Duration = Duration::from_secs(10);
/// An engine without jobs ends, on a GPU that others may want and on the CPU.
const IDLE_CUDA: Duration = Duration::from_secs(90);
const IDLE_CPU: Duration = Duration::from_secs(15 * 60);
/// An engine of a batch host ends after its last client.
const ALONE: Duration = Duration::from_secs(30);
/// Whoever starts an engine has reached it by then.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// An engine that was told to end has ended by then.
const ANSWER: Duration = Duration::from_secs(30);
/// Seconds: who waits at a terminal for longer is told so.
const LONG: f64 = 3600.0;
/// Seconds: an engine that starts for longer is spoken of.
const SLOW_START: u64 = 5;

/// Who this program is, to the other side of the socket.
pub(crate) fn identity() -> Identity {
    Identity::new(env!("CARGO_PKG_VERSION"), NUMERICS)
}

/// An engine has no terminal: what it says goes to its own file, with times and without prompts.
pub(crate) fn log_to_file(
    logger: &mut env_logger::Builder,
    environment: &Environment,
    level: log::LevelFilter,
) -> Result<()> {
    let path = environment.engine_log();
    let file = LogFile::open(&path)
        .with_context(|| format!("cannot write the engine's log {}", path.display()))?;
    logger.filter_level(level.max(log::LevelFilter::Info));
    logger.target(env_logger::Target::Pipe(Box::new(file)));
    Ok(())
}

/// Runs a verb of `wan-alpha engine`.
pub(crate) fn run(verb: &Verb, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, interrupt, .. } = *context;
    match verb {
        Verb::Run(args) => serve(args, environment, interrupt),
        Verb::Status { json } => status::show(*json, environment),
        Verb::Unload => unload(environment),
        Verb::Pause => pause(environment, true),
        Verb::Resume => pause(environment, false),
        Verb::Stop => stop(environment),
    }
}

/// A client of the engine that this environment means; starts it where it must. One that is started for
/// a farm's job ends soon after its last client, as that of a batch host does.
pub(crate) fn client(environment: &Environment) -> Result<EngineClient> {
    Ok(EngineClient::new(client_setup(environment)?))
}

fn client_setup(environment: &Environment) -> Result<ClientSetup> {
    let program = match &environment.engine {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot find this program")?,
    };
    Ok(ClientSetup::of(environment, identity(), program, !environment.batch))
}

/// Has the engine make a take and waits for it, with what it is going to be in `preview` meanwhile; starts
/// the engine where there is none.
pub(crate) fn have_made(
    request: &TakeRequest,
    before: &[Warning],
    preview: Option<&PreviewFile>,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Take> {
    let key = request.key().or_exit(Exit::BadInput)?;
    // A run directory that cannot be used is the user's to mend.
    endpoint(environment)?;
    let client = client(environment)?;
    client.submit(Submit {
        key,
        request: serde_json::to_value(request)?,
        stores: environment.stores.clone(),
        model_roots: environment.models.roots.clone(),
        holder: Holder::PatientRender,
        memory: Some(MemoryTerms {
            limit: environment.memory,
            limit_by: environment.memory_by,
            headroom: environment.headroom,
        }),
    });
    let mut seen = 0;
    let mut told = false;
    let mut said = SaidOfEngine::default();
    let mut preview = ShownPreview::new(preview);
    loop {
        preview.follow(&client, key, console);
        if said.follow(key, &client.snapshot(), console) {
            take::say_size(request, &Store::new(environment.stores.clone()), console);
            before.iter().for_each(|warning| console.tell(warning));
        }
        client.warnings(key).iter().for_each(|warning| console.tell(warning));
        match client.job(key) {
            Some(JobState::Done) => {
                preview.finish(&client, key, console);
                return made(key, environment, console);
            }
            Some(JobState::Failed(problem)) => {
                let exit = Exit::of_problem(&problem);
                return Err(anyhow!("{}", at_a_terminal(problem))).or_exit(exit);
            }
            Some(JobState::Cancelled) | None => {
                return Err(anyhow!("cancelled")).or_exit(Exit::Cancelled);
            }
            Some(JobState::Running(progress)) => {
                if let Some(left) = progress.seconds_left.filter(|left| *left > LONG && !told) {
                    told = true;
                    let left = Hours(left);
                    console.caution(format!("the engine needs about {left}; Ctrl-C gives it up"));
                }
                said.show(&progress, console);
            }
            Some(JobState::Sent | JobState::Queued { .. }) => {}
        }
        if !console.go_on() {
            client.cancel(key, Holder::PatientRender);
            return Err(anyhow!("cancelled; nobody else wants the take, so it is not made"))
                .or_exit(Exit::Cancelled);
        }
        seen = client.wait(seen, Duration::from_millis(250));
    }
}

/// The take that the engine has made, its warnings told.
fn made(key: TakeKey, environment: &Environment, console: &Console<'_>) -> Result<Take> {
    let take = Store::new(environment.stores.clone()).find(&key).take;
    let take = take.ok_or_else(|| anyhow!("the engine made {key}, but no store has it"))?;
    take.description().warnings.iter().for_each(|warning| console.tell(warning));
    Ok(take)
}

/// What was said of the engine to who waits for a take.
#[derive(Default)]
struct SaidOfEngine {
    slow_start: bool,
    begun: bool,
    device: DeviceReport,
    /// That the engine pauses, and what ends it.
    pausing: bool,
}

impl SaidOfEngine {
    /// Shows how far the take is, and at each pause what ends it: who waits may not be who has paused.
    fn show(&mut self, progress: &Progress, console: &Console<'_>) {
        let pauses = progress.is_paused();
        if pauses && !std::mem::replace(&mut self.pausing, pauses) {
            console.remark(
                "the engine pauses: `wan-alpha engine resume` has the take go on, and so does the end of a \
                 host's render that it has made room for",
            );
        }
        self.pausing = pauses;
        console.show(progress);
    }

    /// Tells once of an engine and of a device that take their time, and of a GPU that is not used.
    /// Whether the take has just been begun.
    fn follow(&mut self, key: TakeKey, now: &Snapshot, console: &Console<'_>) -> bool {
        let with = now.begun.as_ref().filter(|(begun, _)| *begun == key && !self.begun);
        if let Some((_, with)) = with {
            self.begun = true;
            console.remark(with);
        }
        let has_begun = with.is_some();
        if let EngineState::Starting { seconds: SLOW_START.. } = now.engine
            && !std::mem::replace(&mut self.slow_start, true)
        {
            console.caution(format!(
                "the engine is not ready {SLOW_START} s after its start, and is waited for: its files \
                 may be on a slow folder, or the machine busy; Ctrl-C gives it up"
            ));
        }
        let Some(device) = &now.device else { return has_begun };
        let before = std::mem::replace(&mut self.device, device.clone());
        // The CPU is open at once.
        if device.opening_seconds >= Some(1) && before.opening_seconds < Some(1) {
            console.remark(&format!("the engine opens {}", device.name));
        }
        if let Some(unused) = device.unused.as_ref().filter(|_| before.unused.is_none()) {
            // Where there is nothing to mend, the take's own line has it.
            if device.is_mendable {
                console.caution(format!("the engine computes on the CPU: {unused}"));
            }
        }
        has_begun
    }
}

/// Listens first and opens the device then, which may take a minute, and says so meanwhile.
fn serve(args: &EngineRun, environment: &Environment, interrupt: &Interrupt) -> Result<()> {
    let choice = args.computing.device.as_ref();
    let endpoint = endpoint(environment)?;
    let listener = endpoint.listen(TAKE_OVER).or_exit(Exit::BadInput)?;
    let idle = environment.idle.unwrap_or(IDLE_CPU);
    let leave = IdleLimits { idle, alone: args.batch.then_some(ALONE) };
    let wanted = device::wanted(choice, environment);
    let opening = DeviceReport::opening(wanted);
    let mut setup = ServerSetup::new(identity(), opening, leave);
    setup.check = check;
    setup.end = interrupt.flag();
    let service =
        Arc::new(EngineServer::start(listener, setup).context("the engine cannot listen")?);
    log::info!("engine {} listens on {}", identity().pid, endpoint.socket().display());
    let pulse = ProgressSignal::default();
    let _watchdog = Watchdog::begin(Arc::clone(&service), pulse.clone(), limits())
        .context("the engine has no thread for its watchdog")?;

    log::info!("opening {wanted}");
    let begun = Instant::now();
    #[cfg(test)]
    faults::while_opening();
    let opened = match device::open_untold(&args.computing, environment) {
        Ok(opened) => opened,
        Err(error) => {
            let said = in_words(&error);
            log::error!("{said}");
            pulse.opened(false);
            let problem = Problem::from_sentence(ProblemCode::NoGpu, &said);
            service.refuse_all(&problem, ON_ITS_WAY);
            return Err(error);
        }
    };
    let report = device::report(&opened, environment);
    // What keeps a card unused may be mended at any time: the next engine looks anew.
    let usual = if opened.device.is_cuda() || report.is_mendable { IDLE_CUDA } else { IDLE_CPU };
    let took = begun.elapsed().as_secs_f64();
    log::info!("engine {} computes on {}, opened in {took:.1} s", identity().pid, report.name);
    if let Some(unused) = &report.unused {
        log::warn!("a GPU is not used: {unused}");
    }
    pulse.opened(can_hang(opened.device));
    service.opened(report, environment.idle.unwrap_or(usual));
    Worker { service: &service, pulse, environment }.work(&opened);
    log::info!("engine {} ends", identity().pid);
    Ok(())
}

/// How long a device may be silent, and which.
#[cfg(not(test))]
fn limits() -> Limits {
    Limits::USUAL
}

#[cfg(not(test))]
fn can_hang(device: Device) -> bool {
    device.is_cuda()
}

#[cfg(test)]
use faults::{can_hang, limits};

/// A submission that can never be made is refused before it is queued.
fn check(submit: &Submit) -> Result<(), Problem> {
    submit.verified_request().map(|_| ())
}

/// That no engine serves this environment, and which others of this user do not either.
fn none_is_running(environment: &Environment) -> Result<String> {
    let others = endpoint(environment)?.other_engines();
    Ok(match others.as_slice() {
        [] => "no engine is running".to_owned(),
        others => format!("no engine is running here; {}", told_of_others(others)),
    })
}

/// Engines that were started for other cards, with what reaches them.
fn told_of_others(others: &[(Endpoint, u32)]) -> String {
    let list: Vec<String> = others.iter().map(|(_, process)| process.to_string()).collect();
    format!(
        "for other cards there are engines in the processes {}: CUDA_VISIBLE_DEVICES and \
         WAN_ALPHA_DEVICE as they were when it started reach one",
        list.join(", ")
    )
}

/// Where the engine that this environment means is, or would be.
fn endpoint(environment: &Environment) -> Result<Endpoint> {
    Endpoint::open(&environment.run, environment.gpus.spelled().as_deref()).or_exit(Exit::BadInput)
}

/// What a running engine says of itself; none is started for it.
fn report(environment: &Environment) -> Result<Option<StatusReport>> {
    if !is_running(environment)? {
        return Ok(None);
    }
    ask(&client(environment)?)
}

/// The engines of this user that were started for other cards: the process of each, and what it says
/// of itself, if it answers.
fn other_reports(environment: &Environment) -> Result<Vec<(u32, Option<StatusReport>)>> {
    let setup = client_setup(environment)?;
    let others = endpoint(environment)?.other_engines().into_iter();
    Ok(others
        .map(|(place, process)| {
            let report = ask(&EngineClient::at(place, setup.clone()));
            (
                process,
                report.inspect_err(|error| log::warn!("engine {process}: {error}")).ok().flatten(),
            )
        })
        .collect())
}

fn ask(client: &EngineClient) -> Result<Option<StatusReport>> {
    client.ask_report();
    wait(client, |snapshot| has_answered(snapshot, 0))?;
    Ok(client.snapshot().report)
}

/// Has the model's memory freed, and says so once it is.
fn unload(environment: &Environment) -> Result<()> {
    if !is_running(environment)? {
        print_lines(&[none_is_running(environment)?])?;
        return Ok(());
    }
    let client = client(environment)?;
    client.unload();
    let deadline = Instant::now() + ANSWER;
    for reports in 0.. {
        wait(&client, |snapshot| has_answered(snapshot, reports))?;
        let Snapshot { engine, report, .. } = client.snapshot();
        // What it reported before it ended is of no use any more.
        match report.filter(|_| engine != EngineState::Absent) {
            Some(report) if report.device.opening_seconds.is_some() => {
                let device = report.device.name;
                print_lines(&[format!("the engine still opens {device}: no model is in memory")])?;
                return Ok(());
            }
            Some(report) if report.unloading && !report.jobs.is_empty() => {
                print_lines(&["takes are being made; the model's memory is freed after them"])?;
                return Ok(());
            }
            Some(report) if report.unloading => {}
            Some(report) => {
                print_lines(&[status::freed(&report)])?;
                return Ok(());
            }
            None => {
                print_lines(&["the engine has ended, and the model's memory is freed"])?;
                return Ok(());
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        thread::sleep(Duration::from_millis(50));
        client.ask_report();
    }
    Err(anyhow!("the engine has not freed the model's memory; `wan-alpha engine stop` ends it"))
}

/// Has the engine give its memory back between two steps, or go on.
fn pause(environment: &Environment, pauses: bool) -> Result<()> {
    if !is_running(environment)? {
        print_lines(&[none_is_running(environment)?])?;
        return Ok(());
    }
    let client = client(environment)?;
    if pauses {
        client.pause();
    } else {
        client.resume();
    }
    wait(&client, |snapshot| has_answered(snapshot, 0))?;
    let said = match client.snapshot().report {
        Some(report) => status::pause_line(&report),
        None => "the engine has ended".to_owned(),
    };
    print_lines(&[said])
}

fn stop(environment: &Environment) -> Result<()> {
    let Some(process) = running(environment)? else {
        print_lines(&[none_is_running(environment)?])?;
        return Ok(());
    };
    let client = client(environment)?;
    client.stop_engine();
    wait(&client, |snapshot| snapshot.engine == EngineState::Absent)?;
    // Its socket closes first; until the process is gone its memory and its files are in use.
    let deadline = Instant::now() + ANSWER;
    while lives(process) {
        if Instant::now() >= deadline {
            return Err(anyhow!("the engine has closed its socket but process {process} lives on"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    print_lines(&["the engine has ended"])?;
    Ok(())
}

fn is_running(environment: &Environment) -> Result<bool> {
    Ok(running(environment)?.is_some())
}

/// The process of the engine that is running.
fn running(environment: &Environment) -> Result<Option<u32>> {
    Ok(endpoint(environment)?.engine_process())
}

/// Not one that has ended and that its parent, a host perhaps, has not asked about. Where processes
/// cannot be looked at, the closed socket has to do.
fn lives(process: u32) -> bool {
    let id = sysinfo::Pid::from_u32(process);
    let Ok(mut system) = sysinfo::System::new() else { return false };
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[id]), true);
    system.process(id).is_some_and(|found| found.status() != sysinfo::ProcessStatus::Zombie)
}

/// With a report more than so many, or by ending before it was asked: then there is none.
fn has_answered(snapshot: &Snapshot, reports: u64) -> bool {
    snapshot.reports > reports || snapshot.engine == EngineState::Absent
}

fn wait(client: &EngineClient, until: impl Fn(&Snapshot) -> bool) -> Result<()> {
    let mut seen = 0;
    for _ in 0..60 {
        let snapshot = client.snapshot();
        if until(&snapshot) {
            return Ok(());
        }
        if let EngineState::Unavailable(problem) = &snapshot.engine {
            return Err(anyhow!("{problem}"));
        }
        seen = client.wait(seen.max(snapshot.revision), Duration::from_millis(500));
    }
    Err(anyhow!("the engine did not answer within 30 s; `wan-alpha engine stop` ends it"))
}
