//! How the engine is reached, greeted, kept and given up.

use std::time::{Duration, Instant};

use super::client_thread::ClientThread;
use super::launch::{self, Launched};
use super::{EngineError, EngineState};
use crate::engine::endpoint::{Endpoint, EndpointError};
use crate::engine::message::{Identity, MessageError, ToClient, ToEngine, decode};
use crate::engine::transport::{Wire, WireError};

/// Between two looks for an engine that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Lines before orders have their turn.
const LINES_PER_TURN: usize = 64;

/// How the engine is reached.
pub(super) enum ConnectionState {
    /// Not; tried again at a time, if there is something to say.
    Closed { again: Instant },
    /// The handshake has begun.
    Greeting { wire: Wire, since: Instant, checked: bool },
    /// It has answered.
    Open { wire: Wire, engine: Identity, changed: Instant },
    /// It is of another version, and its end is waited for. `told`: it was told to end, when.
    OtherVersion { wire: Wire, changed: Instant, told: Option<Instant> },
}

impl ConnectionState {
    pub(super) fn wire(&self) -> Option<&Wire> {
        match self {
            Self::Closed { .. } => None,
            Self::Greeting { wire, .. }
            | Self::Open { wire, .. }
            | Self::OtherVersion { wire, .. } => Some(wire),
        }
    }

    fn wire_mut(&mut self) -> Option<&mut Wire> {
        match self {
            Self::Closed { .. } => None,
            Self::Greeting { wire, .. }
            | Self::Open { wire, .. }
            | Self::OtherVersion { wire, .. } => Some(wire),
        }
    }

    /// Whether the engine is there, or about to answer.
    pub(super) fn is_up(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }

    /// Gives the engine a moment to read what was sent last.
    pub(super) fn say_goodbye(&mut self) {
        let end = Instant::now() + Duration::from_millis(200);
        while let Some(wire) = self.wire_mut() {
            if wire.flush().is_err() || wire.backlog() == 0 || Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl ClientThread {
    /// Does what can be done without waiting.
    pub(super) fn go_on(&mut self, now: Instant) -> Result<(), EngineError> {
        self.look_after_process();
        self.listen()?;
        match &self.link {
            ConnectionState::Closed { again } if *again <= now && self.has_business() => {
                self.reach(now)?
            }
            ConnectionState::Closed { .. } => {}
            ConnectionState::Greeting { since, checked, .. } => {
                let waited = now.saturating_duration_since(*since);
                if waited >= self.setup.deadlines.silence {
                    self.end_hung();
                } else if waited >= self.setup.deadlines.greeting && !*checked {
                    self.check_unanswered()?;
                }
            }
            ConnectionState::Open { changed, .. }
            | ConnectionState::OtherVersion { changed, told: None, .. } => {
                if now.saturating_duration_since(*changed) >= self.setup.deadlines.silence {
                    self.end_hung();
                }
            }
            ConnectionState::OtherVersion { told: Some(told), .. } => {
                if now.saturating_duration_since(*told) >= self.setup.deadlines.start {
                    self.end_hung();
                }
            }
        }
        self.flush();
        Ok(())
    }

    /// Until something is to be done that nobody rings for.
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        let deadlines = &self.setup.deadlines;
        let until = |since: &Instant, longest: Duration| {
            Some((*since + longest).saturating_duration_since(now))
        };
        match &self.link {
            ConnectionState::Closed { again } if self.has_business() => {
                Some(again.saturating_duration_since(now))
            }
            // The process that ended is buried.
            ConnectionState::Closed { .. } => {
                self.launched.as_ref().map(|_| Duration::from_millis(100))
            }
            ConnectionState::Greeting { since, checked: false, .. } => {
                until(since, deadlines.greeting)
            }
            ConnectionState::Greeting { since, .. } => until(since, deadlines.silence),
            ConnectionState::OtherVersion { told: Some(told), .. } => until(told, deadlines.start),
            ConnectionState::Open { changed, .. }
            | ConnectionState::OtherVersion { changed, .. } => until(changed, deadlines.silence),
        }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self, again: Instant) {
        self.link = ConnectionState::Closed { again };
        self.others_start = None;
        self.not_accepted = None;
    }

    fn reach(&mut self, now: Instant) -> Result<(), EngineError> {
        let endpoint = self.endpoint()?;
        self.see_engine(match &self.launched {
            Some(launched) if launched.is_starting() => EngineState::Starting,
            _ => EngineState::Connecting,
        });
        if self.is_ending(&endpoint, now) {
            self.link = ConnectionState::Closed { again: now + LOOK_AGAIN };
            return Ok(());
        }
        match endpoint.connect(self.setup.deadlines.connect) {
            Ok(Some(stream)) => self.greet(Wire::new(stream), now),
            Ok(None) => self.start_or_wait(&endpoint, now)?,
            Err(error @ EndpointError::NotAccepted { .. }) => {
                self.not_accepted(&endpoint, error, now)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether an engine that was ended may still accept connections.
    fn is_ending(&mut self, endpoint: &Endpoint, now: Instant) -> bool {
        let Some((process, when)) = self.ended else { return false };
        let lives = endpoint.engine_process() == Some(process);
        if !lives || now.saturating_duration_since(when) >= self.setup.deadlines.greeting {
            // Its socket closes a moment after its lock: looked at once more.
            self.ended = None;
        }
        true
    }

    fn endpoint(&mut self) -> Result<Endpoint, EngineError> {
        // Looked at each time: the directory may have been removed since.
        let gpus = self.setup.gpus.spelled();
        let endpoint = Endpoint::open(&self.setup.run, gpus.as_deref())?;
        Ok(self.endpoint.insert(endpoint).clone())
    }

    fn greet(&mut self, mut wire: Wire, now: Instant) {
        self.others_start = None;
        self.not_accepted = None;
        // Where this fails the next read fails too, and says why.
        let _ = wire.send(&ToEngine::Hello(self.setup.identity.clone()));
        self.link = ConnectionState::Greeting { wire, since: now, checked: false };
    }

    /// Nobody listens.
    fn start_or_wait(&mut self, endpoint: &Endpoint, now: Instant) -> Result<(), EngineError> {
        let longest = self.setup.deadlines.start;
        let log = || self.setup.engine.log.clone();
        if let Some(launched) = &mut self.launched {
            if let Some(end) = launched.end() {
                let starting = launched.is_starting();
                self.launched = None;
                if starting {
                    return Err(EngineError::DiedAtStart { end, log: log() });
                }
            } else if launched.is_starting() && launched.age(now) >= longest {
                let last_words = launched.kill();
                return Err(EngineError::SlowStart { after: longest, last_words, log: log() });
            } else {
                if !launched.is_starting() && launched.age(now) >= longest {
                    // It listens no more, and had its time to end.
                    launched.kill();
                }
                self.link = ConnectionState::Closed { again: now + LOOK_AGAIN };
                return Ok(());
            }
        }
        if !self.wants_engine() {
            self.pending_commands.clear();
            self.see_engine(EngineState::Absent);
            return Ok(());
        }
        self.see_engine(EngineState::Starting);
        let Some(lock) = endpoint.lock_start()? else {
            let since = *self.others_start.get_or_insert(now);
            if now.saturating_duration_since(since) >= longest + longest / 4 {
                return Err(EngineError::StartedByOthers { after: now - since });
            }
            self.link = ConnectionState::Closed { again: now + LOOK_AGAIN };
            return Ok(());
        };
        // Whoever had the lock until now may have started one.
        if let Some(stream) = endpoint.connect(self.setup.deadlines.connect)? {
            self.greet(Wire::new(stream), now);
            return Ok(());
        }
        let launched = Launched::start(&self.setup.engine, &endpoint.output(), lock)?;
        log::info!("started the engine (process {})", launched.process());
        self.launched = Some(launched);
        self.link = ConnectionState::Closed { again: now + LOOK_AGAIN };
        Ok(())
    }

    /// Somebody listens who accepts nobody: a hanging engine, whose queue is full.
    fn not_accepted(
        &mut self,
        endpoint: &Endpoint,
        error: EndpointError,
        now: Instant,
    ) -> Result<(), EngineError> {
        let since = *self.not_accepted.get_or_insert(now);
        let Some(process) = endpoint.engine_process() else { return Err(error.into()) };
        self.see_engine(EngineState::Silent);
        if now.saturating_duration_since(since) >= self.setup.deadlines.silence {
            self.end_process(process, now);
            let (after, log) = (self.setup.deadlines.silence, self.setup.engine.log.clone());
            self.lost(&EngineError::Hung { after, log });
        } else {
            self.link = ConnectionState::Closed { again: now + LOOK_AGAIN };
        }
        Ok(())
    }

    /// The hello was not answered in time: a busy or hanging engine is waited for, anything else not.
    fn check_unanswered(&mut self) -> Result<(), EngineError> {
        if self.engine_at_other_end().is_none() {
            let path = self.endpoint()?.socket();
            return Err(EndpointError::ForeignListener { path }.into());
        }
        self.see_engine(EngineState::Silent);
        if let ConnectionState::Greeting { checked, .. } = &mut self.link {
            *checked = true;
        }
        Ok(())
    }

    /// The process at the other end, if it is known to be an engine.
    fn engine_at_other_end(&self) -> Option<u32> {
        let peer = self.link.wire().and_then(Wire::process);
        let told = match &self.link {
            ConnectionState::Open { engine, .. } => return peer.or(Some(engine.pid)),
            ConnectionState::OtherVersion { .. } => return peer,
            // Locked files cannot be read there.
            _ if cfg!(windows) => peer,
            _ => self.endpoint.as_ref().and_then(Endpoint::engine_process),
        };
        told.filter(|&told| peer.is_none_or(|peer| peer == told))
    }

    fn end_hung(&mut self) {
        let (after, log) = (self.setup.deadlines.silence, self.setup.engine.log.clone());
        self.end_engine();
        self.lost(&EngineError::Hung { after, log });
    }

    fn end_engine(&mut self) {
        if let Some(process) = self.engine_at_other_end() {
            self.end_process(process, Instant::now());
        }
    }

    fn end_process(&mut self, process: u32, now: Instant) {
        self.ended = Some((process, now));
        match &mut self.launched {
            Some(launched) if launched.process() == process => {
                launched.kill();
                launched.answered();
            }
            _ => launch::kill(process),
        }
    }

    /// Reaps the process of the engine, where this process has started it and is not waiting for it to listen.
    fn look_after_process(&mut self) {
        if !matches!(self.link, ConnectionState::Closed { .. }) {
            return;
        }
        if let Some(launched) = self.launched.as_mut().filter(|launched| !launched.is_starting())
            && launched.end().is_some()
        {
            self.launched = None;
        }
    }

    fn listen(&mut self) -> Result<(), EngineError> {
        if let Some(wire) = self.link.wire_mut() {
            // Where this fails the read says why, after what was still to be read.
            let _ = wire.begin_turn();
        }
        for _ in 0..LINES_PER_TURN {
            let Some(wire) = self.link.wire_mut() else { return Ok(()) };
            let what = match wire.receive() {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => match decode(&line) {
                    Ok(message) => {
                        self.changed();
                        self.understand(message)?;
                        continue;
                    }
                    Err(error @ MessageError::UnknownKind { .. }) => {
                        log::info!("the engine says something newer: {error}");
                        self.changed();
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(WireError::TooLong(error)) => error.to_string(),
                Err(error) => return self.hung_up(&error),
            };
            return self.garbage(what);
        }
        Ok(())
    }

    fn changed(&mut self) {
        if let ConnectionState::Open { changed, .. }
        | ConnectionState::OtherVersion { changed, .. } = &mut self.link
        {
            *changed = Instant::now();
        }
    }

    fn understand(&mut self, message: ToClient) -> Result<(), EngineError> {
        match (&self.link, message) {
            (ConnectionState::Greeting { .. }, ToClient::Welcome(engine)) => self.welcomed(engine),
            (_, ToClient::BusyOtherVersion { engine, jobs }) => {
                self.answered();
                self.wait_for_end(None);
                self.see_engine(EngineState::OtherVersion { engine, jobs });
            }
            (_, ToClient::OtherProtocol(Identity { protocol, version, .. })) => {
                return Err(EngineError::OtherProtocol { protocol, version });
            }
            (ConnectionState::Greeting { .. }, ToClient::Refused(problem)) => {
                return Err(EngineError::Refused(problem));
            }
            (ConnectionState::Greeting { .. }, _) => {}
            (_, message) => self.on_message(message),
        }
        Ok(())
    }

    fn welcomed(&mut self, engine: Identity) {
        self.answered();
        self.ending = None;
        self.see_engine(EngineState::Ready(engine.clone()));
        let closed = ConnectionState::Closed { again: Instant::now() };
        if let ConnectionState::Greeting { wire, .. } = std::mem::replace(&mut self.link, closed) {
            self.link = ConnectionState::Open { wire, engine, changed: Instant::now() };
        }
    }

    fn answered(&mut self) {
        if let Some(launched) = &mut self.launched {
            launched.answered();
        }
    }

    /// From now on the engine is to end; then this version's is started.
    fn wait_for_end(&mut self, told: Option<Instant>) {
        let closed = ConnectionState::Closed { again: Instant::now() };
        self.link = match std::mem::replace(&mut self.link, closed) {
            ConnectionState::Greeting { wire, .. }
            | ConnectionState::Open { wire, .. }
            | ConnectionState::OtherVersion { wire, .. } => {
                ConnectionState::OtherVersion { wire, changed: Instant::now(), told }
            }
            closed @ ConnectionState::Closed { .. } => closed,
        };
    }

    /// Says what is to be said, to whom it can be said.
    fn flush(&mut self) {
        if let ConnectionState::Open { engine, .. } = &self.link
            && self.wants_engine()
            && !engine.agrees_with(&self.setup.identity)
        {
            // Idle, and not ours.
            self.see_engine(EngineState::OtherVersion { engine: engine.clone(), jobs: 0 });
            self.pending_commands.push_back(ToEngine::Stop { only_if_idle: true });
            self.wait_for_end(Some(Instant::now()));
        }
        let messages = match &self.link {
            ConnectionState::Open { .. } => self.unsent(),
            ConnectionState::OtherVersion { .. } => self.pending_commands.drain(..).collect(),
            ConnectionState::Closed { .. } | ConnectionState::Greeting { .. } => return,
        };
        for message in messages {
            let Some(wire) = self.link.wire_mut() else { return };
            match wire.send(&message) {
                Ok(()) => {}
                Err(WireError::Message(error)) => self.unsayable(&message, error.into()),
                // The next read says why.
                Err(_) => return,
            }
        }
    }

    fn hung_up(&mut self, error: &WireError) -> Result<(), EngineError> {
        match self.link {
            // As it was told to, or after its jobs.
            ConnectionState::OtherVersion { .. } => {
                self.close(Instant::now());
                return Ok(());
            }
            // It ended because there was nothing to do.
            ConnectionState::Open { .. } if !self.wants_engine() => {
                self.pending_commands.clear();
                self.close(Instant::now());
                self.see_engine(EngineState::Absent);
                return Ok(());
            }
            _ => {}
        }
        let said = self.ending.take();
        let end = self.launched.as_mut().and_then(|launched| {
            // Its connection closes a moment before it ends, a longer one on a machine that is busy.
            (0..100).find_map(|_| {
                launched.end().or_else(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    None
                })
            })
        });
        let end = end.unwrap_or_else(|| error.to_string());
        let log = self.setup.engine.log.clone();
        if let ConnectionState::Open { engine, .. } = &self.link {
            // Its connections close before its socket: another one would be lost at once.
            self.ended = Some((engine.pid, Instant::now()));
        }
        if self.launched.as_ref().is_some_and(Launched::is_starting) {
            return Err(EngineError::DiedAtStart { end, log });
        }
        self.lost(&said.map_or(EngineError::Died { end, log }, EngineError::Ended));
        Ok(())
    }

    fn garbage(&mut self, what: String) -> Result<(), EngineError> {
        if self.engine_at_other_end().is_none() {
            let path = self.endpoint()?.socket();
            return Err(EngineError::NotAnEngine { path, what });
        }
        self.end_engine();
        let log = self.setup.engine.log.clone();
        self.lost(&EngineError::Garbage { what, log });
        Ok(())
    }
}
