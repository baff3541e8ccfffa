//! The engine as plug-in and command use it.
//!
//! One thread per process owns the connection, starts the engine where there is none, and starts it
//! once more when it dies or hangs. Everybody else leaves commands and reads a [`Snapshot`]: no call
//! here waits for the engine, the disk or another process, but [`EngineClient::wait`], which says so.
//!
//! Invariants:
//! - No thread, file, socket or process before the first command.
//! - Whatever happens to the engine ends as a [`JobState`] with a sentence, and the next command works.
//! - Only a take starts an engine; status, unload, cancel and stop find one or do nothing.
//! - An engine of another version is replaced when idle and waited for when busy.

mod client_thread;
mod connection;
mod deadlines;
mod error;
mod launch;
mod snapshot;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::client_thread::ClientThread;
pub use self::deadlines::Deadlines;
pub use self::error::EngineError;
pub use self::snapshot::{EngineState, JobState, Snapshot};
use crate::engine::endpoint::Endpoint;
use crate::engine::message::{Holder, Identity, PreviewPicture, Problem, ProblemCode, Submit};
use crate::engine::transport::Waker;
use crate::environment::Environment;
use crate::key::TakeKey;
use crate::visible_gpus::VisibleGpus;
use crate::warning::Warning;

/// How the engine is started.
#[derive(Clone, Debug)]
pub struct EngineCommand {
    /// The program: a path, or a name that is looked up in the environment's `PATH`.
    pub program: PathBuf,
    /// All that it is told; the library adds nothing.
    pub arguments: Vec<OsString>,
    /// All that it finds in its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it writes its log; named when it fails.
    pub log: PathBuf,
    /// Whether it lives on when the process group of its starter is ended: a GUI host's does, a
    /// batch host's does not.
    pub detached: bool,
}

/// What a client needs to know; its binary knows the environment.
#[derive(Clone, Debug)]
pub struct ClientSetup {
    /// Who asks: the version of this program and its numerics.
    pub identity: Identity,
    /// The run directory: [`choose_run_directory`](crate::engine::endpoint::choose_run_directory).
    pub run: PathBuf,
    /// Which graphics cards the engine sees.
    pub gpus: VisibleGpus,
    /// How the engine is started.
    pub engine: EngineCommand,
    /// How long what may take.
    pub deadlines: Deadlines,
}

impl ClientSetup {
    /// The engine that an environment means: its run directory, cards, log and program, which is
    /// `program` where the environment names none. `detached`: it outlives whoever starts it; else it
    /// ends soon after its last client, as that of a batch host does.
    #[must_use]
    pub fn of(
        environment: &Environment,
        identity: Identity,
        program: PathBuf,
        detached: bool,
    ) -> Self {
        let mut arguments = vec![OsString::from("engine"), OsString::from("run")];
        if !detached {
            arguments.push("--batch".into());
        }
        Self {
            identity,
            run: environment.run.clone(),
            gpus: environment.gpus.clone(),
            engine: EngineCommand {
                program: environment.engine.clone().unwrap_or(program),
                arguments,
                environment: environment.for_engine.clone(),
                log: environment.engine_log(),
                detached,
            },
            deadlines: Deadlines::default(),
        }
    }
}

/// The engine, from outside. Cheap to make; make one per process.
#[derive(Debug)]
pub struct EngineClient {
    setup: ClientSetup,
    /// Where the engine is, if that does not follow from the set-up.
    place: Option<Endpoint>,
    thread: Mutex<Option<Running>>,
    shared: Arc<ClientShared>,
}

#[derive(Debug)]
struct Running {
    waker: Arc<Waker>,
    handle: JoinHandle<()>,
}

/// What everybody shares, under a lock that nobody holds for longer than a copy takes.
#[derive(Debug, Default)]
struct ClientShared {
    /// Every change of it is whole before anything can panic.
    state: Mutex<ClientState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ClientState {
    commands: VecDeque<ClientCommand>,
    snapshot: Snapshot,
    quit: bool,
    ended: bool,
}

/// What the thread is asked to do.
#[derive(Debug)]
enum ClientCommand {
    Submit(Box<Submit>),
    Cancel(TakeKey, Holder),
    Report,
    Unload,
    Pause,
    Resume,
    HostRender { begins: bool },
    Stop,
}

impl ClientShared {
    /// Changes what others see.
    fn publish(&self, change: impl FnOnce(&mut ClientState)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.snapshot.revision += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Lets others see how the engine is.
    fn publish_engine(&self, engine: EngineState) {
        if self.state.lock().snapshot.engine != engine {
            self.publish(|state| {
                state.snapshot.engine = engine;
                // What was said of it was said by the engine before.
                state.snapshot.device = None;
            });
        }
    }
}

impl EngineClient {
    /// A client that does nothing before its first command.
    #[must_use]
    pub fn new(setup: ClientSetup) -> Self {
        Self { setup, place: None, thread: Mutex::new(None), shared: Arc::default() }
    }

    /// The same, of the engine at a place, whatever cards it sees: for questions, since an engine that
    /// was started from here would be one for other cards.
    #[must_use]
    pub fn at(place: Endpoint, setup: ClientSetup) -> Self {
        let mut client = Self::new(setup);
        client.place = Some(place);
        client
    }

    /// Wants a take; [`job`](Self::job) says how it goes. Wanted before and failed: tried again.
    pub fn submit(&self, submit: Submit) {
        let key = submit.key;
        self.shared.publish(|state| {
            state.snapshot.jobs.insert(key, JobState::Sent);
            state.snapshot.warnings.remove(&key);
            state.commands.push_back(ClientCommand::Submit(Box::new(submit)));
        });
        self.wake();
    }

    /// No longer wants a take, be it asked for by this process or by an earlier one of this user.
    pub fn cancel(&self, key: TakeKey, holder: Holder) {
        self.enqueue(ClientCommand::Cancel(key, holder));
    }

    /// Asks for a [`StatusReport`](crate::engine::message::StatusReport): it comes with a snapshot.
    pub fn ask_report(&self) {
        self.enqueue(ClientCommand::Report);
    }

    /// Frees the model's memory.
    pub fn unload(&self) {
        self.enqueue(ClientCommand::Unload);
    }

    /// Has the engine give the device's memory back between two steps, and begin no other take; a report
    /// comes with a snapshot.
    pub fn pause(&self) {
        self.enqueue(ClientCommand::Pause);
    }

    /// Has a paused engine go on; a report comes with a snapshot.
    pub fn resume(&self) {
        self.enqueue(ClientCommand::Resume);
    }

    /// Tells an engine that is there that this host begins to render pictures of its own, or ends.
    pub fn host_renders(&self, begins: bool) {
        self.enqueue(ClientCommand::HostRender { begins });
    }

    /// Ends the engine, whoever's takes it makes.
    pub fn stop_engine(&self) {
        self.enqueue(ClientCommand::Stop);
    }

    /// What is known now of the engine and of the takes that were asked for.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.state.lock().snapshot.clone()
    }

    /// How a take goes; `None` if this process never asked for it, or long ago.
    #[must_use]
    pub fn job(&self, key: TakeKey) -> Option<JobState> {
        self.shared.state.lock().snapshot.jobs.get(&key).cloned()
    }

    /// What the engine has said of a take besides how it goes; all of it stands in the take's record
    /// once there is one.
    #[must_use]
    pub fn warnings(&self, key: TakeKey) -> Vec<Warning> {
        self.shared.state.lock().snapshot.warnings.get(&key).cloned().unwrap_or_default()
    }

    /// What a take is going to be, where the engine has said so of it last; the take may be there by now.
    #[must_use]
    pub fn preview(&self, key: TakeKey) -> Option<Arc<PreviewPicture>> {
        let state = self.shared.state.lock();
        let (_, picture) = state.snapshot.preview.as_ref().filter(|(of, _)| *of == key)?;
        Some(Arc::clone(picture))
    }

    /// Waits until something changes after revision `seen`, at most `patience`. Returns the present
    /// revision.
    pub fn wait(&self, seen: u64, patience: Duration) -> u64 {
        let mut state = self.shared.state.lock();
        let is_seen = |state: &mut ClientState| state.snapshot.revision <= seen;
        self.shared.changed.wait_while_for(&mut state, is_seen, patience);
        state.snapshot.revision
    }

    fn enqueue(&self, command: ClientCommand) {
        self.shared.state.lock().commands.push_back(command);
        self.wake();
    }

    /// Wakes the thread; at first, starts it.
    fn wake(&self) {
        let mut thread = self.thread.lock();
        if let Some(running) = thread.as_ref().filter(|running| !running.handle.is_finished()) {
            running.waker.wake();
            return;
        }
        match self.start() {
            Ok(running) => *thread = Some(running),
            Err(source) => {
                let problem = EngineError::Thread { reason: source }.problem();
                self.shared.publish(|state| {
                    state.commands.clear();
                    state.snapshot.fail_all(&problem);
                });
            }
        }
    }

    fn start(&self) -> std::io::Result<Running> {
        let waker = Arc::new(Waker::new()?);
        let (waker_of_thread, place) = (Arc::clone(&waker), self.place.clone());
        let client_thread =
            ClientThread::new(Arc::clone(&self.shared), waker_of_thread, self.setup.clone(), place);
        let shared = Arc::clone(&self.shared);
        shared.state.lock().ended = false;
        let handle = Builder::new().name("engine-client".to_owned()).spawn(move || {
            let _ended = ThreadEnd(shared);
            client_thread.run();
        })?;
        Ok(Running { waker, handle })
    }
}

/// Tells that the thread has ended, however it did.
struct ThreadEnd(Arc<ClientShared>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.0.publish(|state| {
            state.ended = true;
            if std::thread::panicking() {
                let remedy = "try again, and report this with the host's log";
                let problem =
                    Problem::new(ProblemCode::Internal, "the engine's client failed", remedy);
                state.snapshot.fail_all(&problem);
            }
        });
    }
}

impl Drop for EngineClient {
    /// Ends the thread, which sends what it has to say; waits for it at most `deadlines.drop`.
    fn drop(&mut self) {
        let thread = self.thread.get_mut().take();
        let Some(running) = thread else { return };
        self.shared.state.lock().quit = true;
        running.waker.wake();
        let end = Instant::now() + self.setup.deadlines.drop;
        let left = || end.saturating_duration_since(Instant::now());
        let mut state = self.shared.state.lock();
        self.shared.changed.wait_while_for(&mut state, |state| !state.ended, left());
        let ended = state.ended;
        drop(state);
        if !ended {
            log::warn!("the thread of the engine's client does not end; it is left behind");
        } else if running.handle.join().is_err() {
            log::error!("the thread of the engine's client ended with a panic");
        }
    }
}
