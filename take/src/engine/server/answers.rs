//! What a client's message changes, and what is answered.

use std::sync::Arc;

use super::event_loop::{EventLoop, PeerState};
use super::{Mailbox, ServerSetup};
use crate::engine::message::{
    Identity, JobReport, MessageError, PROTOCOL, Problem, ProblemCode, Progress, StatusReport,
    Submit, ToClient, ToEngine, decode,
};
use crate::engine::queue::{ConnectionId, Submitted};
use crate::key::TakeKey;

impl EventLoop {
    /// The answers to a line, and how its sender stands after it.
    pub(super) fn answer(
        &self,
        connection: ConnectionId,
        state: PeerState,
        line: &[u8],
    ) -> (Vec<ToClient>, PeerState) {
        let message = match decode(line) {
            Ok(message) => message,
            Err(error) => return refuse_line(state, &error),
        };
        let mut mailbox = self.shared.mailbox.lock();
        let was_idle = mailbox.jobs.is_idle();
        let answer = match (state, message) {
            (PeerState::Unauthenticated, ToEngine::Hello(client)) => {
                answer_hello(&mut mailbox, &self.setup, &client)
            }
            (PeerState::Unauthenticated, _) => (vec![hello_first()], PeerState::Leaving),
            (_, ToEngine::Hello(_)) => (vec![ToClient::Welcome(self.identity())], state),
            (PeerState::Client, ToEngine::Submit(submit)) => {
                (submitted(&mut mailbox, &self.setup, connection, *submit), state)
            }
            (_, ToEngine::Submit(submit)) => {
                (vec![other_version(submit.key, self.identity())], state)
            }
            (_, ToEngine::Cancel { key, holder }) => {
                mailbox.jobs.cancel(connection, key, &holder);
                (Vec::new(), state)
            }
            (_, ToEngine::Status) => (vec![self.report(&mailbox)], state),
            (_, ToEngine::Unload) => {
                mailbox.unload = true;
                (vec![self.report(&mailbox)], state)
            }
            (_, ToEngine::Pause) => {
                pause(&mut mailbox);
                (vec![self.report(&mailbox)], state)
            }
            (_, ToEngine::Resume) => {
                resume(&mut mailbox);
                (vec![self.report(&mailbox)], state)
            }
            (_, ToEngine::HostRender { begins }) => {
                if begins {
                    mailbox.rendering_hosts.insert(connection);
                    // A take that is made asks by itself.
                    mailbox.make_room |= !mailbox.jobs.is_running();
                } else {
                    mailbox.rendering_hosts.remove(&connection);
                }
                (Vec::new(), state)
            }
            (_, ToEngine::Stop { only_if_idle: true }) if !was_idle => {
                (vec![busy(&mut mailbox, self.identity())], state)
            }
            (_, ToEngine::Stop { .. }) => {
                stop(&mut mailbox);
                (Vec::new(), state)
            }
        };
        mailbox.note_idle(was_idle);
        drop(mailbox);
        self.shared.turn.notify_all();
        answer
    }

    fn identity(&self) -> Identity {
        self.setup.identity.clone()
    }

    fn report(&self, mailbox: &Mailbox) -> ToClient {
        let with = |key: TakeKey| {
            let begun = mailbox.begun.as_ref().filter(|(begun, _)| *begun == key);
            begun.map(|(_, with)| with.clone())
        };
        let jobs = mailbox.jobs.jobs().iter().map(|job| JobReport {
            key: job.key(),
            holders: count(job.holders()),
            progress: job.progress().cloned(),
            with: with(job.key()),
        });
        ToClient::StatusReport(StatusReport {
            engine: self.identity(),
            device: mailbox.device_report(),
            model: mailbox.model.clone(),
            unloading: mailbox.unload || mailbox.to_empty || mailbox.unloading,
            paused: mailbox.paused,
            uptime_seconds: self.started.elapsed().as_secs(),
            clients: count(mailbox.clients),
            jobs: jobs.collect(),
        })
    }
}

fn refuse_line(state: PeerState, error: &MessageError) -> (Vec<ToClient>, PeerState) {
    let (code, state) = match error {
        MessageError::UnknownKind { .. } if state != PeerState::Unauthenticated => {
            (ProblemCode::UnknownMessage, state)
        }
        _ => (ProblemCode::Unreadable, PeerState::Leaving),
    };
    let problem = Problem::new(code, error.to_string(), "speak as this version of wan-alpha does");
    (vec![ToClient::Refused(problem)], state)
}

fn hello_first() -> ToClient {
    ToClient::Refused(Problem::new(
        ProblemCode::NoHello,
        "the first message of a connection is hello",
        "say hello first",
    ))
}

fn other_version(key: TakeKey, engine: Identity) -> ToClient {
    let message = format!("the engine is of version {}", engine.version);
    let problem =
        Problem::new(ProblemCode::OtherVersion, message, "end it with `wan-alpha engine stop`");
    ToClient::Failed { key, problem }
}

fn answer_hello(
    mailbox: &mut Mailbox,
    setup: &ServerSetup,
    client: &Identity,
) -> (Vec<ToClient>, PeerState) {
    let engine = setup.identity.clone();
    if client.protocol != PROTOCOL || engine.protocol != PROTOCOL {
        return (vec![ToClient::OtherProtocol(engine)], PeerState::Leaving);
    }
    if client.agrees_with(&engine) {
        let device = Some(mailbox.device_report()).filter(|device| !device.is_plain());
        let answers = [ToClient::Welcome(engine)].into_iter();
        return (answers.chain(device.map(ToClient::Device)).collect(), PeerState::Client);
    }
    let answer =
        if mailbox.jobs.is_idle() { ToClient::Welcome(engine) } else { busy(mailbox, engine) };
    (vec![answer], PeerState::OtherVersion)
}

/// The engine ends after its jobs, as somebody of another version waits.
fn busy(mailbox: &mut Mailbox, engine: Identity) -> ToClient {
    mailbox.retire = true;
    ToClient::BusyOtherVersion { engine, jobs: count(mailbox.jobs.jobs().len()) }
}

fn submitted(
    mailbox: &mut Mailbox,
    setup: &ServerSetup,
    connection: ConnectionId,
    submit: Submit,
) -> Vec<ToClient> {
    let key = submit.key;
    if let Some(problem) = mailbox.refusing.clone() {
        mailbox.refused = true;
        return vec![ToClient::Failed { key, problem }];
    }
    if mailbox.stop {
        // The end of the connection follows, and the client starts another engine.
        return Vec::new();
    }
    if let Err(problem) = (setup.check)(&submit) {
        return vec![ToClient::Failed { key, problem }];
    }
    let holder = submit.holder.clone();
    let (submitted, dropped) = mailbox.jobs.submit(connection, key, holder, Arc::new(submit));
    for (connection, key) in dropped {
        mailbox.outbox.push_back((connection, superseded(key)));
    }
    let job = mailbox.jobs.jobs().iter().find(|job| job.key() == key);
    let waits_paused = mailbox.paused && job.is_some_and(|job| !job.is_running());
    let paused = waits_paused.then(|| Progress::paused(0, 0));
    match submitted {
        Submitted::Accepted { ahead } => {
            let paused = paused.map(|progress| ToClient::Progress { key, progress });
            [ToClient::Accepted { key, ahead }].into_iter().chain(paused).collect()
        }
        Submitted::Attached { ahead } => {
            let progress = paused.or_else(|| job?.progress().cloned());
            let progress = progress.map(|progress| ToClient::Progress { key, progress });
            let said = job.map(|job| job.warnings().to_vec()).unwrap_or_default();
            let said = said.into_iter().map(|warning| ToClient::Warning { key, warning });
            let begun = mailbox.begun.clone().filter(|(begun, _)| *begun == key && ahead == 0);
            let begun = begun.map(|(key, with)| ToClient::Begun { key, with });
            let attached = [ToClient::Attached { key, ahead }].into_iter();
            attached.chain(begun).chain(progress).chain(said).collect()
        }
    }
}

fn superseded(key: TakeKey) -> ToClient {
    let message = "the node asked for another take, maybe in a second copy of this project";
    ToClient::Failed {
        key,
        problem: Problem::new(ProblemCode::Superseded, message, "press Generate again"),
    }
}

/// Nothing is begun from now on, and who waits for a take that has not been hears so; the worker asks
/// between two steps of the one that is made.
fn pause(mailbox: &mut Mailbox) {
    if std::mem::replace(&mut mailbox.paused, true) {
        return;
    }
    mailbox.to_empty = true;
    for job in mailbox.jobs.jobs().iter().filter(|job| !job.is_running()) {
        let (key, progress) = (job.key(), Progress::paused(0, 0));
        for watcher in job.watchers() {
            let progress = progress.clone();
            mailbox.outbox.push_back((watcher, ToClient::Progress { key, progress }));
        }
    }
}

/// The take that is made goes on, hosts that render notwithstanding, and who waits for another hears of its
/// place again.
fn resume(mailbox: &mut Mailbox) {
    mailbox.rendering_hosts.clear();
    mailbox.make_room = false;
    mailbox.to_empty = false;
    if !std::mem::take(&mut mailbox.paused) {
        return;
    }
    for (ahead, job) in mailbox.jobs.jobs().iter().enumerate().filter(|(_, job)| !job.is_running())
    {
        let (key, ahead) = (job.key(), count(ahead));
        for watcher in job.watchers() {
            mailbox.outbox.push_back((watcher, ToClient::Accepted { key, ahead }));
        }
    }
}

fn stop(mailbox: &mut Mailbox) {
    mailbox.stop = true;
    for (connection, key) in mailbox.jobs.stop_all() {
        let problem =
            Problem::new(ProblemCode::Stopped, "the engine was stopped", "press Generate again");
        mailbox.outbox.push_back((connection, ToClient::Failed { key, problem }));
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
