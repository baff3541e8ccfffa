//! The client's thread: takes commands, keeps what is wanted, tells others what has become of it.
//! How the engine is reached and kept is the business of [`Connection`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionEvent, Demand};
use super::{ClientCommand, ClientSetup, ClientShared, EngineError, EngineState, JobState};
use crate::engine::endpoint::Endpoint;
use crate::engine::message::{Holder, Submit, ToClient, ToEngine};
use crate::engine::transport::{Waker, WireError, wait};
use crate::key::TakeKey;
use crate::problem::ProblemCode;

/// Finished takes that are remembered.
const REMEMBERED: usize = 128;

/// How often a take may lose its engine: it is tried once more after the first time.
const LOSSES: u32 = 2;

/// How long an engine that is there is waited for to be told the last commands before the end.
const FLUSH_AT_END: Duration = Duration::from_millis(300);

/// What the thread keeps from turn to turn.
pub(super) struct ClientThread {
    shared: Arc<ClientShared>,
    waker: Arc<Waker>,
    connection: Connection,
    wanted: BTreeMap<TakeKey, Wanted>,
    /// Takes that are finished, the oldest first.
    finished: VecDeque<TakeKey>,
    /// What is to be said besides takes, and needs no engine if there is none.
    pending_commands: VecDeque<ToEngine>,
}

/// A take that is not finished.
struct Wanted {
    submit: Submit,
    holders: BTreeSet<Holder>,
    unsent: BTreeSet<Holder>,
    /// How often its engine was lost.
    losses: u32,
    standing: Standing,
}

/// How near a take is to being made, as far as the engine has said.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// There was progress.
    running: bool,
    /// Jobs of the engine before it when it was told, less those of this client that have gone since;
    /// none before the engine has answered.
    ahead: Option<u32>,
}

impl ClientThread {
    pub(super) fn new(
        shared: Arc<ClientShared>,
        waker: Arc<Waker>,
        setup: ClientSetup,
        place: Option<Endpoint>,
    ) -> Self {
        Self {
            connection: Connection::new(Arc::clone(&shared), setup, place),
            shared,
            waker,
            wanted: BTreeMap::new(),
            finished: VecDeque::new(),
            pending_commands: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut end = None;
        loop {
            let (commands, quit) = {
                let mut state = self.shared.state.lock();
                (std::mem::take(&mut state.commands), state.quit)
            };
            for command in commands {
                self.on_command(command);
            }
            if let Err(error) = self.take_turn(Instant::now()) {
                self.give_up(&error);
            }
            let now = Instant::now();
            let mut timeout = self.connection.until_next(self.demand(), now);
            if quit {
                let end = *end.get_or_insert(now + FLUSH_AT_END);
                if now >= end || !self.connection.is_up() || !self.has_more_to_say() {
                    return self.connection.flush();
                }
                timeout = Some(end - now);
            }
            wait(&self.waker, None, self.connection.wire().into_iter(), timeout);
        }
    }

    /// Does what can be done without waiting.
    fn take_turn(&mut self, now: Instant) -> Result<(), EngineError> {
        self.connection.begin_turn();
        while let Some(event) = self.connection.next_event(self.demand())? {
            self.on_event(event);
        }
        if let Some(event) = self.connection.advance(self.demand(), now)? {
            self.on_event(event);
        }
        self.send_unsent();
        Ok(())
    }

    /// What an engine is needed for at the moment.
    fn demand(&self) -> Demand {
        if !self.wanted.is_empty() {
            Demand::Takes
        } else if !self.pending_commands.is_empty() {
            Demand::Commands
        } else {
            Demand::Nothing
        }
    }

    /// Whether there are commands that the engine has not been told.
    fn has_more_to_say(&self) -> bool {
        !self.pending_commands.is_empty()
            || self.wanted.values().any(|wanted| !wanted.unsent.is_empty())
    }

    fn on_command(&mut self, command: ClientCommand) {
        match command {
            ClientCommand::Submit(submit) => self.want(*submit),
            ClientCommand::Cancel(key, holder) => {
                self.release(key, &holder);
                self.pending_commands.push_back(ToEngine::Cancel { key, holder });
            }
            ClientCommand::Report => self.pending_commands.push_back(ToEngine::Status),
            ClientCommand::Unload => self.pending_commands.push_back(ToEngine::Unload),
            ClientCommand::Pause => self.pending_commands.push_back(ToEngine::Pause),
            ClientCommand::Resume => self.pending_commands.push_back(ToEngine::Resume),
            ClientCommand::HostRender { begins } => {
                self.pending_commands.push_back(ToEngine::HostRender { begins });
            }
            ClientCommand::Stop => {
                self.pending_commands.push_back(ToEngine::Stop { only_if_idle: false });
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
            standing: Standing::default(),
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
        let Some(gone) = self.wanted.remove(&key) else { return };
        if let Some(place) = gone.standing.ahead {
            move_up(self.wanted.values_mut().map(|wanted| &mut wanted.standing), place);
        }
        self.finished.push_back(key);
        let forgotten = (self.finished.len() > REMEMBERED).then(|| self.finished.pop_front());
        let forgotten = forgotten.flatten();
        self.publish_job(key, how);
        if let Some(forgotten) = forgotten {
            self.shared.publish(|state| {
                state.snapshot.jobs.remove(&forgotten);
                state.snapshot.warnings.remove(&forgotten);
            });
        }
    }

    /// Lets others see how a take goes, unless they have just asked for it anew.
    fn publish_job(&self, key: TakeKey, how: JobState) {
        self.shared.publish(|state| {
            let anew = |command: &ClientCommand| matches!(command, ClientCommand::Submit(submit) if submit.key == key);
            if !state.commands.iter().any(anew) {
                state.snapshot.jobs.insert(key, how);
            }
        });
    }

    /// Sends what is wanted and was not sent yet, as far as the engine takes it.
    fn send_unsent(&mut self) {
        let stop = self.connection.stop_other_version(self.demand());
        self.pending_commands.extend(stop);
        if !self.connection.takes_commands() {
            return;
        }
        let mut messages: Vec<_> = self.pending_commands.drain(..).collect();
        if self.connection.takes_submissions() {
            messages.extend(self.unsent_submissions());
        }
        for message in messages {
            match self.connection.send(&message) {
                Ok(()) => {}
                Err(WireError::Message(error)) => self.on_unsendable(&message, &error.into()),
                // The next read says why.
                Err(_) => return,
            }
        }
    }

    /// A submission for each holder that the engine has not been told of.
    fn unsent_submissions(&mut self) -> Vec<ToEngine> {
        let mut messages = Vec::new();
        for wanted in self.wanted.values_mut() {
            for holder in std::mem::take(&mut wanted.unsent) {
                let submit = Submit { holder, ..wanted.submit.clone() };
                messages.push(ToEngine::Submit(Box::new(submit)));
            }
        }
        messages
    }

    /// A message cannot be sent to any engine.
    fn on_unsendable(&mut self, message: &ToEngine, error: &EngineError) {
        match message {
            ToEngine::Submit(submit) => {
                self.finish(submit.key, JobState::Failed(error.problem()));
            }
            _ => log::warn!("{error}"),
        }
    }

    fn on_event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Message(message) => self.on_message(message),
            ConnectionEvent::Lost(reason) => self.on_lost(&reason),
            ConnectionEvent::Absent => {
                self.pending_commands.clear();
                self.shared.publish_engine(EngineState::Absent);
            }
        }
    }

    /// What the engine says of takes, and of itself when asked.
    fn on_message(&mut self, message: ToClient) {
        match message {
            ToClient::Accepted { key, ahead } | ToClient::Attached { key, ahead } => {
                if let Some(wanted) = self.wanted.get_mut(&key)
                    && !wanted.standing.running
                {
                    wanted.standing.ahead = Some(ahead);
                    self.publish_job(key, JobState::Queued { ahead });
                }
            }
            ToClient::Progress { key, progress } => {
                if let Some(wanted) = self.wanted.get_mut(&key) {
                    // One that waits for an engine that is paused has not begun.
                    wanted.standing.running |= !progress.is_paused();
                    self.publish_job(key, JobState::Running(progress));
                }
            }
            ToClient::Preview { key, picture } if self.wanted.contains_key(&key) => {
                self.shared.publish(|state| {
                    state.snapshot.preview = Some((key, Arc::new(picture)));
                });
            }
            ToClient::Preview { .. } => {}
            ToClient::Begun { key, with } => self.shared.publish(|state| {
                state.snapshot.begun = Some((key, with));
            }),
            ToClient::Warning { key, warning } if self.wanted.contains_key(&key) => {
                self.shared.publish(|state| {
                    let said = state.snapshot.warnings.entry(key).or_default();
                    // An engine that was lost is followed by one that says it again.
                    if !said.contains(&warning) {
                        said.push(warning);
                    }
                });
            }
            ToClient::Warning { .. } => {}
            ToClient::Done { key } => self.finish(key, JobState::Done),
            ToClient::Failed { key, problem } => self.finish(key, JobState::Failed(problem)),
            ToClient::StatusReport(report) => self.shared.publish(|state| {
                state.snapshot.report = Some(report);
                state.snapshot.reports += 1;
            }),
            ToClient::Device(device) => {
                self.shared.publish(|state| state.snapshot.device = Some(device));
            }
            ToClient::Refused(problem) => log::warn!("the engine refuses: {problem}"),
            // These concern the connection alone.
            ToClient::Welcome(_)
            | ToClient::BusyOtherVersion { .. }
            | ToClient::OtherProtocol(_)
            | ToClient::Ending(_)
            | ToClient::Heartbeat => {}
        }
    }

    /// The engine is gone. The take that it was making is tried once more, and so are those that
    /// only waited.
    fn on_lost(&mut self, reason: &EngineError) {
        log::warn!("the engine was lost: {reason}");
        let problem = reason.problem();
        let standings: Vec<_> = self.wanted.values().map(|wanted| wanted.standing).collect();
        let mut failed = Vec::new();
        // A GPU that is lost is so for whichever comes next: not each take has an engine end by it.
        let is_for_all =
            problem.code == ProblemCode::GpuFault && !standings.iter().any(|at| at.running);
        for ((key, wanted), is_suspect) in self.wanted.iter_mut().zip(suspects(&standings)) {
            wanted.losses += u32::from(is_suspect || is_for_all);
            wanted.standing = Standing::default();
            wanted.unsent.clone_from(&wanted.holders);
            if wanted.losses >= LOSSES {
                failed.push(*key);
            }
        }
        // First of all, so that whoever sees a take fail sees why.
        self.shared.publish_engine(if failed.len() < self.wanted.len() {
            EngineState::Connecting
        } else {
            EngineState::Unavailable(problem.clone())
        });
        for key in failed {
            self.finish(key, JobState::Failed(problem.clone()));
        }
        for key in self.wanted.keys() {
            self.publish_job(*key, JobState::Sent);
        }
        self.pending_commands.clear();
    }

    /// There is no engine and will be none.
    fn give_up(&mut self, error: &EngineError) {
        log::warn!("{error}");
        self.connection.give_up();
        let problem = error.problem();
        self.shared.publish_engine(EngineState::Unavailable(problem.clone()));
        let keys: Vec<_> = self.wanted.keys().copied().collect();
        for key in keys {
            self.finish(key, JobState::Failed(problem.clone()));
        }
        self.pending_commands.clear();
    }
}

/// A take that had so many jobs before it is gone: those behind it have one fewer.
fn move_up<'a>(standings: impl Iterator<Item = &'a mut Standing>, place: u32) {
    for ahead in standings.filter_map(|standing| standing.ahead.as_mut()) {
        if *ahead > place {
            *ahead -= 1;
        }
    }
}

/// Which takes may have brought down the engine that was lost: those that were running; where no progress
/// was read yet, those with the fewest jobs before them; where the engine has answered none, all.
fn suspects(standings: &[Standing]) -> Vec<bool> {
    let any_running = standings.iter().any(|standing| standing.running);
    let first = standings.iter().filter_map(|standing| standing.ahead).min();
    let is_suspect = |standing: &Standing| match first {
        _ if any_running => standing.running,
        Some(first) => standing.ahead == Some(first),
        None => true,
    };
    standings.iter().map(is_suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_take_that_an_engine_worked_on_is_charged_with_its_loss_and_no_other() {
        let charged = |takes: &[(bool, Option<u32>)]| {
            let standing = |&(running, ahead): &_| Standing { running, ahead };
            suspects(&takes.iter().map(standing).collect::<Vec<_>>())
        };
        let (running, waiting) = (|ahead| (true, Some(ahead)), |ahead| (false, Some(ahead)));
        assert_eq!(charged(&[waiting(1), running(0), waiting(2)]), [false, true, false]);
        // Its first progress was not read yet.
        assert_eq!(charged(&[waiting(0), waiting(1), waiting(2)]), [true, false, false]);
        assert_eq!(charged(&[waiting(4), (false, None), waiting(3)]), [false, false, true]);
        // Others' takes were before it when it was told, and have been made since.
        assert_eq!(charged(&[waiting(0), running(3)]), [false, true]);
        assert_eq!(charged(&[(false, None), (false, None)]), [true, true]);
        assert_eq!(charged(&[]), [false; 0]);
    }

    #[test]
    fn what_comes_after_a_take_that_is_gone_is_not_taken_for_the_first() {
        let at = |ahead| Standing { running: false, ahead: Some(ahead) };
        // The first of three is gone; one more is told that one job, the last of these, is before it.
        let mut standings = vec![at(1), at(2)];
        move_up(standings.iter_mut(), 0);
        move_up(standings.iter_mut(), 0);
        standings.remove(0);
        standings.push(at(1));
        assert_eq!(suspects(&standings), [true, false]);
        move_up(standings.iter_mut(), 5);
        assert_eq!(suspects(&standings), [true, false]);
    }
}
