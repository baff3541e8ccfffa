//! The client's thread: takes orders, keeps what is wanted, tells others what has become of it.
//! How the engine is reached and kept is in `link`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::ConnectionState;
use super::launch::Launched;
use super::{ClientCommand, ClientSetup, EngineError, EngineState, JobState, Shared};
use crate::engine::endpoint::Endpoint;
use crate::engine::message::{Holder, Problem, Submit, ToClient, ToEngine};
use crate::engine::transport::{Waker, wait};
use crate::key::TakeKey;

/// Finished takes that are remembered.
const REMEMBERED: usize = 128;

/// How often a take may lose its engine: it is tried once more after the first time.
const LOSSES: u32 = 2;

/// How long an engine that is there is waited for to be told what was ordered before the end.
const LAST_WORDS: Duration = Duration::from_millis(300);

pub(super) struct ClientThread {
    pub(super) shared: Arc<Shared>,
    waker: Arc<Waker>,
    pub(super) setup: ClientSetup,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) link: ConnectionState,
    /// The engine, if this process has started it.
    pub(super) launched: Option<Launched>,
    /// An engine that was ended and may not be gone yet, and when.
    pub(super) ended: Option<(u32, Instant)>,
    /// Why the engine ends, as it said itself.
    pub(super) ending: Option<Problem>,
    /// Since when another process is starting the engine.
    pub(super) others_start: Option<Instant>,
    /// Since when the engine has not accepted a connection.
    pub(super) not_accepted: Option<Instant>,
    pub(super) wanted: BTreeMap<TakeKey, Wanted>,
    /// Takes that are finished, the oldest first.
    finished: VecDeque<TakeKey>,
    /// What is to be said besides takes, and needs no engine if there is none.
    pub(super) pending_commands: VecDeque<ToEngine>,
}

/// A take that is not finished.
pub(super) struct Wanted {
    submit: Submit,
    holders: BTreeSet<Holder>,
    unsent: BTreeSet<Holder>,
    /// How often its engine was lost.
    losses: u32,
    running: bool,
}

impl ClientThread {
    pub(super) fn new(shared: Arc<Shared>, waker: Arc<Waker>, setup: ClientSetup) -> Self {
        Self {
            shared,
            waker,
            setup,
            endpoint: None,
            link: ConnectionState::Closed { again: Instant::now() },
            launched: None,
            ended: None,
            ending: None,
            others_start: None,
            not_accepted: None,
            wanted: BTreeMap::new(),
            finished: VecDeque::new(),
            pending_commands: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut end = None;
        loop {
            let (orders, quit) = {
                let mut state = self.shared.state();
                (std::mem::take(&mut state.orders), state.quit)
            };
            for order in orders {
                self.take(order);
            }
            if let Err(error) = self.go_on(Instant::now()) {
                self.give_up(&error);
            }
            let now = Instant::now();
            let mut timeout = self.until_next(now);
            if quit {
                let end = *end.get_or_insert(now + LAST_WORDS);
                if now >= end || !self.link.is_up() || !self.has_more_to_say() {
                    return self.link.say_goodbye();
                }
                timeout = Some(end - now);
            }
            wait(&self.waker, None, self.link.wire().into_iter(), timeout);
        }
    }

    /// Whether an engine must be there.
    pub(super) fn wants_engine(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether there are orders that the engine has not been told.
    fn has_more_to_say(&self) -> bool {
        !self.pending_commands.is_empty()
            || self.wanted.values().any(|wanted| !wanted.unsent.is_empty())
    }

    /// Whether an engine is to be looked for.
    pub(super) fn has_business(&self) -> bool {
        self.wants_engine() || !self.pending_commands.is_empty()
    }

    fn take(&mut self, order: ClientCommand) {
        match order {
            ClientCommand::Submit(submit) => self.want(*submit),
            ClientCommand::Cancel(key, holder) => {
                self.release(key, &holder);
                self.pending_commands.push_back(ToEngine::Cancel { key, holder });
            }
            ClientCommand::Report => self.pending_commands.push_back(ToEngine::Status),
            ClientCommand::Unload => self.pending_commands.push_back(ToEngine::Unload),
            ClientCommand::Stop => {
                self.pending_commands.push_back(ToEngine::Stop { only_if_idle: false })
            }
        }
    }

    fn want(&mut self, submit: Submit) {
        let key = submit.key;
        let holder = submit.holder.clone();
        if let Holder::Generate { .. } = holder {
            // The engine does the same with what it knows of.
            let others: Vec<_> =
                self.wanted.keys().copied().filter(|&other| other != key).collect();
            for other in others {
                self.release(other, &holder);
            }
        }
        // A cancel that was not sent yet is overtaken.
        self.pending_commands
            .retain(|command| *command != ToEngine::Cancel { key, holder: holder.clone() });
        self.finished.retain(|&other| other != key);
        let wanted = self.wanted.entry(key).or_insert_with(|| Wanted {
            submit,
            holders: BTreeSet::new(),
            unsent: BTreeSet::new(),
            losses: 0,
            running: false,
        });
        wanted.holders.insert(holder.clone());
        wanted.unsent.insert(holder);
    }

    fn release(&mut self, key: TakeKey, holder: &Holder) {
        let Some(wanted) = self.wanted.get_mut(&key) else { return };
        wanted.holders.remove(holder);
        wanted.unsent.remove(holder);
        if wanted.holders.is_empty() {
            self.finish(key, JobState::Cancelled);
        }
    }

    fn finish(&mut self, key: TakeKey, how: JobState) {
        if self.wanted.remove(&key).is_none() {
            return;
        }
        self.finished.push_back(key);
        let forgotten = (self.finished.len() > REMEMBERED).then(|| self.finished.pop_front());
        let forgotten = forgotten.flatten();
        self.see(key, how);
        if let Some(forgotten) = forgotten {
            self.shared.publish(|state| {
                state.snapshot.jobs.remove(&forgotten);
            });
        }
    }

    /// Lets others see how a take goes, unless they have just asked for it anew.
    fn see(&self, key: TakeKey, how: JobState) {
        self.shared.publish(|state| {
            let anew = |order: &ClientCommand| matches!(order, ClientCommand::Submit(submit) if submit.key == key);
            if !state.orders.iter().any(anew) {
                state.snapshot.jobs.insert(key, how);
            }
        });
    }

    /// Lets others see how the engine is.
    pub(super) fn see_engine(&self, engine: EngineState) {
        if self.shared.state().snapshot.engine != engine {
            self.shared.publish(|state| {
                state.snapshot.engine = engine;
                // What was said of it was said by the engine before.
                state.snapshot.device = None;
            });
        }
    }

    /// Everything that is wanted and not said yet.
    pub(super) fn unsent(&mut self) -> Vec<ToEngine> {
        let mut messages: Vec<_> = self.pending_commands.drain(..).collect();
        for wanted in self.wanted.values_mut() {
            for holder in std::mem::take(&mut wanted.unsent) {
                let submit = Submit { holder, ..wanted.submit.clone() };
                messages.push(ToEngine::Submit(Box::new(submit)));
            }
        }
        messages
    }

    /// A message cannot be said at all.
    pub(super) fn unsayable(&mut self, message: &ToEngine, error: EngineError) {
        match message {
            ToEngine::Submit(submit) => {
                self.finish(submit.key, JobState::Failed(error.problem()));
            }
            _ => log::warn!("{error}"),
        }
    }

    /// What the engine says of takes.
    pub(super) fn on_message(&mut self, message: ToClient) {
        match message {
            ToClient::Accepted { key, ahead } | ToClient::Attached { key, ahead } => {
                if self.wanted.get(&key).is_some_and(|wanted| !wanted.running) {
                    self.see(key, JobState::Queued { ahead });
                }
            }
            ToClient::Progress { key, progress } => {
                if let Some(wanted) = self.wanted.get_mut(&key) {
                    wanted.running = true;
                    self.see(key, JobState::Running(progress));
                }
            }
            ToClient::Done { key } => self.finish(key, JobState::Done),
            ToClient::Failed { key, problem } => self.finish(key, JobState::Failed(problem)),
            ToClient::StatusReport(report) => self.shared.publish(|state| {
                state.snapshot.report = Some(report);
                state.snapshot.reports += 1;
            }),
            ToClient::Device(device) => {
                self.shared.publish(|state| state.snapshot.device = Some(device));
            }
            ToClient::Ending(problem) => self.ending = Some(problem),
            ToClient::Refused(problem) => log::warn!("the engine refuses: {problem}"),
            ToClient::Welcome(_)
            | ToClient::BusyOtherVersion { .. }
            | ToClient::OtherProtocol(_)
            | ToClient::Heartbeat => {}
        }
    }

    /// The engine is gone. The take that it was making is tried once more, and so are those that
    /// only waited.
    pub(super) fn lost(&mut self, reason: &EngineError) {
        log::warn!("the engine was lost: {reason}");
        let problem = reason.problem();
        let any_running = self.wanted.values().any(|wanted| wanted.running);
        let mut failed = Vec::new();
        for (key, wanted) in &mut self.wanted {
            if wanted.running || !any_running {
                wanted.losses += 1;
            }
            wanted.running = false;
            wanted.unsent.clone_from(&wanted.holders);
            if wanted.losses >= LOSSES {
                failed.push(*key);
            }
        }
        // First of all, so that whoever sees a take fail sees why.
        self.see_engine(if failed.len() < self.wanted.len() {
            EngineState::Connecting
        } else {
            EngineState::Unavailable(problem.clone())
        });
        for key in failed {
            self.finish(key, JobState::Failed(problem.clone()));
        }
        for key in self.wanted.keys() {
            self.see(*key, JobState::Sent);
        }
        self.pending_commands.clear();
        self.close(Instant::now());
    }

    /// There is no engine and will be none.
    fn give_up(&mut self, error: &EngineError) {
        log::warn!("{error}");
        if let Some(mut launched) = self.launched.take_if(|launched| launched.is_starting()) {
            launched.kill();
            // Ends at once; without this it would stay a zombie as long as the host lives.
            for _ in 0..20 {
                if launched.end().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let problem: Problem = error.problem();
        self.see_engine(EngineState::Unavailable(problem.clone()));
        let keys: Vec<_> = self.wanted.keys().copied().collect();
        for key in keys {
            self.finish(key, JobState::Failed(problem.clone()));
        }
        self.pending_commands.clear();
        self.close(Instant::now());
    }
}
