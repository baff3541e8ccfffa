//! The engine's side of the protocol: one thread that listens, answers and keeps the jobs, for one
//! worker that makes takes.
//!
//! The worker asks for its [`next_order`](EngineServer::next_order), says how far it is, asks whether
//! anybody still [wants](EngineServer::is_wanted) the take, and says how it ended. The thread never
//! computes: its heartbeats say that the engine lives however long a step takes.
//!
//! Invariants:
//! - Nothing blocks the thread: a client that does not read is disconnected, and costs at most a
//!   bounded backlog until then.
//! - A client is spoken to only after its hello; whatever else it says is answered in words.

mod answers;
mod deadlines;
mod event_loop;
mod thread_start;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

pub use self::deadlines::ServerDeadlines;
use self::event_loop::EventLoop;
pub use self::thread_start::start_thread;
use crate::engine::endpoint::Listener;
use crate::engine::message::{
    DeviceMemory, DeviceReport, Identity, PreviewPicture, Problem, Progress, Submit, ToClient,
};
use crate::engine::queue::{ConnectionId, Job, JobTable};
use crate::engine::transport::Waker;
use crate::key::TakeKey;
use crate::warning::Warning;

/// The longest wait for an order, and until a signal is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// When an engine without jobs ends.
#[derive(Clone, Copy, Debug)]
pub struct IdleLimits {
    /// After its last job, or its start.
    pub idle: Duration,
    /// After its last client went, if that is sooner; for engines of batch hosts.
    pub alone: Option<Duration>,
}

/// What an engine is.
#[derive(Clone, Debug)]
pub struct ServerSetup {
    /// Who the engine is, as told to clients.
    pub identity: Identity,
    /// What it computes on. Where that is still to be opened, [`EngineServer::opened`] says when it is.
    pub device: DeviceReport,
    /// When it ends by itself, for want of jobs or clients.
    pub leave: IdleLimits,
    /// How long what may take.
    pub deadlines: ServerDeadlines,
    /// Whether a submitted take can be made at all; what it says otherwise is the answer.
    pub check: fn(&Submit) -> Result<(), Problem>,
    /// Set from outside when the engine is to end, by a signal for example.
    pub end: Arc<AtomicBool>,
}

impl ServerSetup {
    /// The usual deadlines; every take can be made.
    #[must_use]
    pub fn new(identity: Identity, device: DeviceReport, leave: IdleLimits) -> Self {
        Self {
            identity,
            device,
            leave,
            deadlines: ServerDeadlines::default(),
            check: |_| Ok(()),
            end: Arc::default(),
        }
    }
}

/// What the worker is to do.
#[derive(Debug)]
pub enum WorkerOrder {
    /// Make this take, and say how it ended with [`EngineServer::finish`].
    Make(Arc<Submit>),
    /// Free the model's memory, then say so with [`EngineServer::loaded`].
    Unload,
    /// A host renders and no take is made: do the same where the device has little memory left.
    MakeRoom,
    /// End: there is nothing to do, or somebody said so.
    Leave,
}

/// How a take ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is published in one of the stores of its request.
    Done,
    /// It cannot be made.
    Failed(Problem),
    /// Nobody wanted it any more.
    Stopped,
}

/// The engine's side of the protocol. Ends its thread when dropped.
#[derive(Debug)]
pub struct EngineServer {
    shared: Arc<ServerShared>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the worker and the thread share.
#[derive(Debug)]
struct ServerShared {
    /// Every change of it is whole before anything can panic.
    mailbox: Mutex<Mailbox>,
    /// The worker may have something to do.
    turn: Condvar,
    waker: Waker,
}

#[derive(Debug)]
struct Mailbox {
    jobs: JobTable<Arc<Submit>>,
    /// What the worker has to say.
    outbox: VecDeque<(ConnectionId, ToClient)>,
    /// What every client is to hear, after that.
    to_all: VecDeque<ToClient>,
    raw: VecDeque<Vec<u8>>,
    clients: usize,
    device: DeviceReport,
    /// Since when the device is being opened; none once it is open.
    opening: Option<Instant>,
    leave: IdleLimits,
    model: Option<String>,
    /// What the take that was begun last is computed with.
    begun: Option<(TakeKey, String)>,
    /// Somebody wants the model's memory freed.
    unload: bool,
    /// The worker was told to free it, and has not said yet that it has.
    unloading: bool,
    /// Somebody has paused it: nothing is computed until somebody resumes.
    paused: bool,
    /// So that the model's memory is to be freed, as soon as the worker makes no take.
    to_empty: bool,
    /// Clients whose hosts render pictures of their own.
    rendering_hosts: BTreeSet<ConnectionId>,
    /// One of them has begun to, and the worker has not looked at the memory since.
    make_room: bool,
    /// A client has told the engine to stop, or it ends by itself.
    stop: bool,
    /// Why no take can be made here: whatever is asked for until the end fails with it.
    refusing: Option<Problem>,
    /// Somebody was told so.
    refused: bool,
    /// A client of another version waits for the end.
    retire: bool,
    /// The service is being dropped.
    close: bool,
    idle_since: Instant,
    alone_since: Instant,
}

impl EngineServer {
    /// Starts to listen; from here on clients are answered, whatever the calling thread does.
    ///
    /// # Errors
    /// When the system has no thread or no descriptor left.
    pub fn start(listener: Listener, setup: ServerSetup) -> io::Result<Self> {
        let now = Instant::now();
        let mailbox = Mailbox {
            jobs: JobTable::default(),
            outbox: VecDeque::new(),
            to_all: VecDeque::new(),
            raw: VecDeque::new(),
            clients: 0,
            opening: setup.device.opening_seconds.map(|_| now),
            device: setup.device.clone(),
            leave: setup.leave,
            model: None,
            begun: None,
            unload: false,
            unloading: false,
            paused: false,
            to_empty: false,
            rendering_hosts: BTreeSet::new(),
            make_room: false,
            stop: false,
            refusing: None,
            refused: false,
            retire: false,
            close: false,
            idle_since: now,
            alone_since: now,
        };
        let shared = Arc::new(ServerShared {
            mailbox: Mutex::new(mailbox),
            turn: Condvar::new(),
            waker: Waker::new()?,
        });
        let end = Arc::clone(&setup.end);
        let event_loop = EventLoop::new(Arc::clone(&shared), listener, setup);
        let thread = start_thread("engine-service", || event_loop.run())?;
        Ok(Self { shared, end, thread: Some(thread) })
    }

    /// Waits for something to do. A worker that was given a take comes back only after
    /// [`finish`](Self::finish).
    pub fn next_order(&self) -> WorkerOrder {
        let mut mailbox = self.shared.mailbox.lock();
        loop {
            if mailbox.stop || self.is_over() {
                return WorkerOrder::Leave;
            }
            if !mailbox.paused
                && let Some(job) = mailbox.jobs.start_next()
            {
                return WorkerOrder::Make(job.request());
            }
            if std::mem::take(&mut mailbox.make_room) {
                return WorkerOrder::MakeRoom;
            }
            if mailbox.unload || mailbox.to_empty {
                (mailbox.unload, mailbox.to_empty) = (false, false);
                mailbox.unloading = true;
                return WorkerOrder::Unload;
            }
            let left = mailbox.time_left(Instant::now());
            if left.is_zero() {
                // From here on a submission is refused, and its client starts another engine.
                mailbox.stop = true;
                return WorkerOrder::Leave;
            }
            self.shared.turn.wait_for(&mut mailbox, left.min(LOOK_AGAIN));
        }
    }

    /// Whether anybody still wants the take that is being made: asked before each block of work.
    #[must_use]
    pub fn is_wanted(&self, key: TakeKey) -> bool {
        let mailbox = self.shared.mailbox.lock();
        !mailbox.stop && mailbox.jobs.is_wanted(key) && !self.is_over()
    }

    /// Whether somebody has paused the engine: asked between two steps of a take.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let mailbox = self.shared.mailbox.lock();
        mailbox.paused && !mailbox.stop && !self.is_over()
    }

    /// Whether a host renders pictures of its own, which may need the device's memory.
    #[must_use]
    pub fn is_host_rendering(&self) -> bool {
        !self.shared.mailbox.lock().rendering_hosts.is_empty()
    }

    /// Whether somebody wants the take however long it takes: asked before hours of work are begun.
    #[must_use]
    pub fn may_take_hours(&self, key: TakeKey) -> bool {
        self.shared.mailbox.lock().jobs.may_take_hours(key)
    }

    fn wake(&self) {
        self.shared.turn.notify_all();
        self.shared.waker.wake();
    }

    /// Whether the engine is told from outside to end, or nobody listens any more, which only a
    /// panic can bring about.
    fn is_over(&self) -> bool {
        self.end.load(Ordering::Relaxed) || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The take is begun; `with` says in a line for people what it is computed with.
    pub fn begun(&self, key: TakeKey, with: String) {
        let mut mailbox = self.shared.mailbox.lock();
        let job = mailbox.jobs.jobs().iter().find(|job| job.key() == key);
        for watcher in job.map(Job::watchers).unwrap_or_default() {
            mailbox.outbox.push_back((watcher, ToClient::Begun { key, with: with.clone() }));
        }
        mailbox.begun = Some((key, with));
        self.shared.waker.wake();
    }

    /// The take goes on.
    pub fn progress(&self, key: TakeKey, progress: &Progress) {
        let mut mailbox = self.shared.mailbox.lock();
        for watcher in mailbox.jobs.advance(key, progress) {
            let progress = progress.clone();
            mailbox.outbox.push_back((watcher, ToClient::Progress { key, progress }));
        }
        self.shared.waker.wake();
    }

    /// What the take is going to be, as far as a step tells: whoever waits for it may show it.
    pub fn preview(&self, key: TakeKey, picture: &PreviewPicture) {
        let mut mailbox = self.shared.mailbox.lock();
        let job = mailbox.jobs.jobs().iter().find(|job| job.key() == key);
        for watcher in job.map(Job::watchers).unwrap_or_default() {
            let picture = picture.clone();
            mailbox.outbox.push_back((watcher, ToClient::Preview { key, picture }));
        }
        self.shared.waker.wake();
    }

    /// Something is to be known of the take that is being made; whoever waits for it hears of it, and
    /// who asks for it later does too.
    pub fn warn(&self, key: TakeKey, warning: &Warning) {
        let mut mailbox = self.shared.mailbox.lock();
        for watcher in mailbox.jobs.warn(key, warning) {
            let warning = warning.clone();
            mailbox.outbox.push_back((watcher, ToClient::Warning { key, warning }));
        }
        self.shared.waker.wake();
    }

    /// The take that was being made has ended; whoever waits for it is told how.
    pub fn finish(&self, key: TakeKey, outcome: Outcome) {
        let mut mailbox = self.shared.mailbox.lock();
        let message = match outcome {
            Outcome::Done => ToClient::Done { key },
            Outcome::Failed(problem) => ToClient::Failed { key, problem },
            Outcome::Stopped => {
                mailbox.jobs.stopped(key);
                mailbox.ended();
                return;
            }
        };
        for watcher in mailbox.jobs.finish(key) {
            mailbox.outbox.push_back((watcher, message.clone()));
        }
        mailbox.ended();
        self.shared.waker.wake();
    }

    /// The device is open, and what is known of it. An engine without jobs ends after `idle`.
    pub fn opened(&self, device: DeviceReport, idle: Duration) {
        let mut mailbox = self.shared.mailbox.lock();
        let was_plain = mailbox.device_report().is_plain();
        mailbox.opening = None;
        mailbox.device = DeviceReport { opening_seconds: None, ..device };
        mailbox.leave.idle = idle;
        let now = Instant::now();
        (mailbox.idle_since, mailbox.alone_since) = (now, now);
        if !(was_plain && mailbox.device.is_plain()) {
            let device = mailbox.device.clone();
            mailbox.to_all.push_back(ToClient::Device(device));
        }
        self.shared.waker.wake();
    }

    /// Which model is in memory now, and what is left of the device's memory.
    pub fn loaded(&self, model: Option<String>, memory: Option<DeviceMemory>) {
        let mut mailbox = self.shared.mailbox.lock();
        // Given back between two steps, for one.
        mailbox.to_empty &= model.is_some();
        mailbox.model = model;
        mailbox.device.memory = memory;
        mailbox.unloading = false;
    }

    /// Nothing can be made here, now or later: every take fails with this, and the engine is to end.
    /// Where nobody has asked for a take yet, waits for somebody who does, at most `patience`: whoever
    /// has started the engine is on its way, and would hear only that it ended.
    pub fn refuse_all(&self, problem: &Problem, patience: Duration) {
        let mut mailbox = self.shared.mailbox.lock();
        for (connection, key) in mailbox.jobs.stop_all() {
            let problem = problem.clone();
            mailbox.outbox.push_back((connection, ToClient::Failed { key, problem }));
            mailbox.refused = true;
        }
        mailbox.refusing = Some(problem.clone());
        // Nothing is being opened any more: who asks meanwhile hears why.
        mailbox.opening = None;
        mailbox.device.unused = Some(problem.to_string());
        mailbox.device.is_mendable = true;
        self.shared.waker.wake();
        let end = Instant::now() + patience;
        while !mailbox.refused && !mailbox.stop && !self.is_over() && Instant::now() < end {
            self.shared.turn.wait_for(&mut mailbox, LOOK_AGAIN.min(patience));
        }
        mailbox.stop = true;
    }

    /// What the engine computes with is lost: the take that is being made, if there is one, fails with
    /// this, and the engine ends. Takes that wait are asked for again, by their clients from the next
    /// engine.
    pub fn fail(&self, key: Option<TakeKey>, problem: &Problem) {
        let mut mailbox = self.shared.mailbox.lock();
        if let Some(key) = key {
            for watcher in mailbox.jobs.finish(key) {
                let problem = problem.clone();
                mailbox.outbox.push_back((watcher, ToClient::Failed { key, problem }));
            }
        }
        mailbox.to_all.push_back(ToClient::Ending(problem.clone()));
        mailbox.stop = true;
        drop(mailbox);
        self.wake();
    }

    /// Closes the socket once clients have had a moment to read what was sent last, and waits for that;
    /// at most `patience`. For a worker that will never come back: dropping does the same.
    pub fn shut_down(&self, patience: Duration) {
        self.shared.mailbox.lock().close = true;
        self.shared.waker.wake();
        let end = Instant::now() + patience;
        while !self.thread.as_ref().is_none_or(JoinHandle::is_finished) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the engine was told to end, by a client or from outside.
    #[must_use]
    pub fn is_to_end(&self) -> bool {
        self.shared.mailbox.lock().stop || self.is_over()
    }

    /// Bytes to every client, for engines that misbehave on purpose.
    #[doc(hidden)]
    pub fn send_raw(&self, bytes: Vec<u8>) {
        self.shared.mailbox.lock().raw.push_back(bytes);
        self.shared.waker.wake();
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        self.shared.mailbox.lock().close = true;
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the engine's service ended with a panic");
        }
    }
}

impl Mailbox {
    /// The jobs may have become none; `was_idle` before.
    fn note_idle(&mut self, was_idle: bool) {
        if !was_idle && self.jobs.is_idle() {
            self.idle_since = Instant::now();
        }
    }

    /// The worker's take has ended: what is left of it in memory may be in the way of a host.
    fn ended(&mut self) {
        self.make_room |= !self.rendering_hosts.is_empty();
        self.note_idle(false);
    }

    /// What the engine computes on, as of now.
    fn device_report(&self) -> DeviceReport {
        let opening_seconds = self.opening.map(|since| since.elapsed().as_secs());
        DeviceReport { opening_seconds, ..self.device.clone() }
    }

    /// Until an engine without jobs ends.
    fn time_left(&self, now: Instant) -> Duration {
        let leave = self.leave;
        let until = |since: Instant, longest: Duration| {
            longest.saturating_sub(now.saturating_duration_since(since))
        };
        if !self.jobs.is_idle() {
            return Duration::from_secs(3600);
        }
        if self.retire {
            return Duration::ZERO;
        }
        let idle = until(self.idle_since, leave.idle);
        match leave.alone {
            Some(alone) if self.clients == 0 => {
                idle.min(until(self.alone_since.max(self.idle_since), alone))
            }
            _ => idle,
        }
    }
}
