//! The connection to the engine: how it is reached, greeted, kept and given up.
//!
//! It starts the engine where there is none and ends one that hangs, and lets others see how the
//! engine is. Of takes it knows nothing: whoever owns it says what an engine is needed for
//! ([`Demand`]), and hears of what concerns takes ([`ConnectionEvent`]). A turn is
//! [`begin_turn`](Connection::begin_turn), [`next_event`](Connection::next_event) until there is none,
//! [`advance`](Connection::advance), and [`send`](Connection::send) for what can be sent.

mod process;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::process::EngineProcess;
use self::state::ConnectionState;
use super::launch::Launched;
use super::{ClientSetup, ClientShared, EngineError, EngineState};
use crate::engine::endpoint::{Endpoint, EndpointError};
use crate::engine::message::{Identity, MessageError, Problem, ToClient, ToEngine, decode};
use crate::engine::transport::{Wire, WireError};

/// Between two looks for an engine that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Lines that are read in a turn, before commands have theirs.
const LINES_PER_TURN: usize = 64;

/// What an engine is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// For nothing: none is looked for.
    Nothing,
    /// There is something to say to an engine that runs; none is started for it.
    Commands,
    /// Takes are wanted: one is started where there is none.
    Takes,
}

/// What happens that concerns takes.
pub(super) enum ConnectionEvent {
    /// The engine says something after its handshake.
    Message(ToClient),
    /// The engine was there and is gone, or was ended; the connection is closed.
    Lost(EngineError),
    /// There is no engine, and no take needs one.
    Absent,
}

/// What comes of a step: nothing for takes, an event, or why there will be no engine.
type StepResult = Result<Option<ConnectionEvent>, EngineError>;

/// The connection to the engine, and the engine's process where this process has started it.
pub(super) struct Connection {
    /// Where others see how the engine is.
    shared: Arc<ClientShared>,
    setup: ClientSetup,
    /// Where the engine is, if that does not follow from the set-up.
    place: Option<Endpoint>,
    endpoint: Option<Endpoint>,
    state: ConnectionState,
    /// Lines that may still be read in this turn.
    lines_left: usize,
    process: EngineProcess,
    /// Why the engine ends, as it said itself.
    ending: Option<Problem>,
    /// Since when another process is starting the engine.
    others_start: Option<Instant>,
    /// Since when the engine has not accepted a connection.
    not_accepted: Option<Instant>,
}

impl Connection {
    /// Not reached yet; it will be in the first turn that has something to say.
    pub(super) fn new(
        shared: Arc<ClientShared>,
        setup: ClientSetup,
        place: Option<Endpoint>,
    ) -> Self {
        Self {
            shared,
            setup,
            place,
            endpoint: None,
            state: ConnectionState::Closed { again: Instant::now() },
            lines_left: 0,
            process: EngineProcess::default(),
            ending: None,
            others_start: None,
            not_accepted: None,
        }
    }

    /// What can be waited on for the engine's next line.
    pub(super) fn wire(&self) -> Option<&Wire> {
        self.state.wire()
    }

    /// Whether the engine is there, or about to answer.
    pub(super) fn is_up(&self) -> bool {
        !matches!(self.state, ConnectionState::Closed { .. })
    }

    /// Whether takes can be submitted now.
    pub(super) fn takes_submissions(&self) -> bool {
        matches!(self.state, ConnectionState::Open { .. })
    }

    /// Whether anything else can be sent now.
    pub(super) fn takes_commands(&self) -> bool {
        self.takes_submissions() || matches!(self.state, ConnectionState::OtherVersion { .. })
    }

    /// A turn begins: sends what waited, and may read again.
    pub(super) fn begin_turn(&mut self) {
        if !self.is_up() {
            self.process.reap();
        }
        if let Some(wire) = self.state.wire_mut() {
            // Where this fails the read says why, after what was still to be read.
            let _ = wire.begin_turn();
        }
        self.lines_left = LINES_PER_TURN;
    }

    /// The next that the engine says or does in this turn, without waiting for it.
    pub(super) fn next_event(&mut self, demand: Demand) -> StepResult {
        while self.lines_left > 0 {
            self.lines_left -= 1;
            let Some(wire) = self.state.wire_mut() else { return Ok(None) };
            let what = match wire.receive() {
                Ok(None) => return Ok(None),
                Ok(Some(line)) => match decode(&line) {
                    Ok(message) => {
                        self.state.note_heard();
                        if let Some(message) = self.on_message(message)? {
                            return Ok(Some(ConnectionEvent::Message(message)));
                        }
                        continue;
                    }
                    Err(error @ MessageError::UnknownKind { .. }) => {
                        log::info!("the engine says something newer: {error}");
                        self.state.note_heard();
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(WireError::TooLong(error)) => error.to_string(),
                Err(error) => return self.on_disconnect(&error, demand),
            };
            return self.on_garbage(what);
        }
        Ok(None)
    }

    /// Does what is due: connects, starts the engine, ends one that has been silent for too long.
    pub(super) fn advance(&mut self, demand: Demand, now: Instant) -> StepResult {
        let deadlines = &self.setup.deadlines;
        match &self.state {
            ConnectionState::Closed { again } if *again <= now && demand != Demand::Nothing => {
                return self.connect(demand, now);
            }
            ConnectionState::Closed { .. } => {}
            ConnectionState::Handshake { since, checked, .. } => {
                let waited = now.saturating_duration_since(*since);
                if waited >= deadlines.silence {
                    return Ok(Some(self.end_hung()));
                }
                if waited >= deadlines.handshake && !*checked {
                    self.check_unanswered()?;
                }
            }
            ConnectionState::Open { heard, .. }
            | ConnectionState::OtherVersion { heard, told: None, .. } => {
                if now.saturating_duration_since(*heard) >= deadlines.silence {
                    return Ok(Some(self.end_hung()));
                }
            }
            ConnectionState::OtherVersion { told: Some(told), .. } => {
                if now.saturating_duration_since(*told) >= deadlines.end {
                    return Ok(Some(self.end_hung()));
                }
            }
        }
        Ok(None)
    }

    /// Until something is due that no line and no waker tells of; forever if `None`.
    pub(super) fn until_next(&self, demand: Demand, now: Instant) -> Option<Duration> {
        let deadlines = &self.setup.deadlines;
        let until = |since: &Instant, longest: Duration| {
            Some((*since + longest).saturating_duration_since(now))
        };
        match &self.state {
            ConnectionState::Closed { again } if demand != Demand::Nothing => {
                Some(again.saturating_duration_since(now))
            }
            // The process that ended is reaped.
            ConnectionState::Closed { .. } => {
                self.process.is_launched().then_some(Duration::from_millis(100))
            }
            ConnectionState::Handshake { since, checked: false, .. } => {
                until(since, deadlines.handshake)
            }
            ConnectionState::Handshake { since, .. } => until(since, deadlines.silence),
            ConnectionState::OtherVersion { told: Some(told), .. } => until(told, deadlines.end),
            ConnectionState::Open { heard, .. } | ConnectionState::OtherVersion { heard, .. } => {
                until(heard, deadlines.silence)
            }
        }
    }

    /// An idle engine of another version is no use for takes: the message that ends it, to be sent as
    /// the last one. From now on its end is waited for; then this version's is started.
    pub(super) fn stop_other_version(&mut self, demand: Demand) -> Option<ToEngine> {
        let ConnectionState::Open { engine, .. } = &self.state else { return None };
        if demand != Demand::Takes || engine.agrees_with(&self.setup.identity) {
            return None;
        }
        let engine = engine.clone();
        self.shared.publish_engine(EngineState::OtherVersion { engine, jobs: 0 });
        self.wait_for_end(Some(Instant::now()));
        Some(ToEngine::Stop { only_if_idle: true })
    }

    /// Sends a message, now or when the engine reads.
    pub(super) fn send(&mut self, message: &ToEngine) -> Result<(), WireError> {
        self.state.wire_mut().ok_or(WireError::Closed)?.send(message)
    }

    /// Gives the engine a moment to read what was sent last.
    pub(super) fn flush(&mut self) {
        self.state.flush();
    }

    /// There is no engine and will be none: ends one that this process is starting, and closes.
    pub(super) fn give_up(&mut self) {
        self.process.abandon_start();
        self.close();
    }

    fn close(&mut self) {
        self.state = ConnectionState::Closed { again: Instant::now() };
        self.others_start = None;
        self.not_accepted = None;
    }

    fn lose(&mut self, reason: EngineError) -> ConnectionEvent {
        self.close();
        ConnectionEvent::Lost(reason)
    }

    /// Nothing can be done at the moment: looked again soon.
    fn look_again(&mut self, now: Instant) {
        self.state = ConnectionState::Closed { again: now + LOOK_AGAIN };
    }

    fn connect(&mut self, demand: Demand, now: Instant) -> StepResult {
        let endpoint = self.endpoint()?;
        self.publish_search(now);
        if self.process.is_ending(&endpoint, self.setup.deadlines.handshake, now) {
            self.look_again(now);
            return Ok(None);
        }
        match endpoint.connect(self.setup.deadlines.connect) {
            Ok(Some(stream)) => self.begin_handshake(Wire::new(stream), now),
            Ok(None) => return self.start_or_wait(&endpoint, demand, now),
            Err(error @ EndpointError::NotAccepted { .. }) => {
                return self.on_not_accepted(&endpoint, error, now);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Lets others see that no engine has answered yet, and for how long one has been starting.
    fn publish_search(&self, now: Instant) {
        let others = self.others_start.map(|since| now.saturating_duration_since(since));
        let starting = self.process.starting_for(now).or(others);
        self.shared.publish_engine(match starting {
            Some(lasted) => EngineState::Starting { seconds: lasted.as_secs() },
            None => EngineState::Connecting,
        });
    }

    fn endpoint(&mut self) -> Result<Endpoint, EngineError> {
        if let Some(place) = &self.place {
            return Ok(self.endpoint.insert(place.clone()).clone());
        }
        // Looked at each time: the directory may have been removed since.
        let gpus = self.setup.gpus.spelled();
        let endpoint = Endpoint::open(&self.setup.run, gpus.as_deref())?;
        Ok(self.endpoint.insert(endpoint).clone())
    }

    fn begin_handshake(&mut self, mut wire: Wire, now: Instant) {
        self.others_start = None;
        self.not_accepted = None;
        // Where this fails the next read fails too, and says why.
        let _ = wire.send(&ToEngine::Hello(self.setup.identity.clone()));
        self.state = ConnectionState::Handshake { wire, since: now, checked: false };
    }

    /// Nobody listens: waits for an engine that is starting, or starts one if takes are wanted.
    fn start_or_wait(&mut self, endpoint: &Endpoint, demand: Demand, now: Instant) -> StepResult {
        let ClientSetup { deadlines, engine, .. } = &self.setup;
        if self.process.is_awaited(deadlines, &engine.log, now)? {
            self.look_again(now);
            return Ok(None);
        }
        if demand != Demand::Takes {
            return Ok(Some(ConnectionEvent::Absent));
        }
        let Some(lock) = endpoint.lock_start()? else {
            let longest = self.setup.deadlines.start;
            let since = *self.others_start.get_or_insert(now);
            if now.saturating_duration_since(since) >= longest + longest / 4 {
                return Err(EngineError::StartedByOthers { after: now - since });
            }
            self.publish_search(now);
            self.look_again(now);
            return Ok(None);
        };
        self.others_start = None;
        // Whoever had the lock until now may have started one.
        if let Some(stream) = endpoint.connect(self.setup.deadlines.connect)? {
            self.begin_handshake(Wire::new(stream), now);
            return Ok(None);
        }
        let launched = Launched::start(&self.setup.engine, &endpoint.output(), lock)?;
        log::info!("started the engine (process {})", launched.process());
        self.process.set_launched(launched);
        self.publish_search(now);
        self.look_again(now);
        Ok(None)
    }

    /// Somebody listens who accepts nobody: a hanging engine, whose queue is full.
    fn on_not_accepted(
        &mut self,
        endpoint: &Endpoint,
        error: EndpointError,
        now: Instant,
    ) -> StepResult {
        let since = *self.not_accepted.get_or_insert(now);
        let Some(process) = endpoint.engine_process() else { return Err(error.into()) };
        self.shared.publish_engine(EngineState::Silent);
        if now.saturating_duration_since(since) >= self.setup.deadlines.silence {
            self.process.end(process, now);
            return Ok(Some(self.lose(self.hung())));
        }
        self.look_again(now);
        Ok(None)
    }

    /// The hello was not answered in time: a busy or hanging engine is waited for, anything else not.
    fn check_unanswered(&mut self) -> Result<(), EngineError> {
        if self.engine_at_other_end().is_none() {
            let path = self.endpoint()?.socket();
            return Err(EndpointError::ForeignListener { path }.into());
        }
        self.shared.publish_engine(EngineState::Silent);
        if let ConnectionState::Handshake { checked, .. } = &mut self.state {
            *checked = true;
        }
        Ok(())
    }

    /// The process at the other end, if it is known to be an engine.
    fn engine_at_other_end(&self) -> Option<u32> {
        let peer = self.wire().and_then(Wire::process);
        let told = match &self.state {
            ConnectionState::Open { engine, .. } => return peer.or(Some(engine.pid)),
            ConnectionState::OtherVersion { .. } => return peer,
            // Locked files cannot be read there.
            _ if cfg!(windows) => peer,
            _ => self.endpoint.as_ref().and_then(Endpoint::engine_process),
        };
        told.filter(|&told| peer.is_none_or(|peer| peer == told))
    }

    fn hung(&self) -> EngineError {
        let (after, log) = (self.setup.deadlines.silence, self.setup.engine.log.clone());
        EngineError::Hung { after, log }
    }

    fn end_hung(&mut self) -> ConnectionEvent {
        self.end_engine();
        self.lose(self.hung())
    }

    fn end_engine(&mut self) {
        if let Some(process) = self.engine_at_other_end() {
            self.process.end(process, Instant::now());
        }
    }

    /// The message, if it is for the owner of the connection.
    fn on_message(&mut self, message: ToClient) -> Result<Option<ToClient>, EngineError> {
        match (&self.state, message) {
            (ConnectionState::Handshake { .. }, ToClient::Welcome(engine)) => {
                self.complete_handshake(engine);
            }
            (_, ToClient::BusyOtherVersion { engine, jobs }) => {
                self.process.answered();
                self.wait_for_end(None);
                self.shared.publish_engine(EngineState::OtherVersion { engine, jobs });
            }
            (_, ToClient::OtherProtocol(Identity { protocol, version, .. })) => {
                return Err(EngineError::OtherProtocol { protocol, version });
            }
            (ConnectionState::Handshake { .. }, ToClient::Refused(problem)) => {
                return Err(EngineError::Refused(problem));
            }
            (ConnectionState::Handshake { .. }, _) => {}
            (_, ToClient::Ending(problem)) => self.ending = Some(problem),
            (_, message) => return Ok(Some(message)),
        }
        Ok(None)
    }

    fn complete_handshake(&mut self, engine: Identity) {
        self.process.answered();
        self.ending = None;
        self.shared.publish_engine(EngineState::Ready(engine.clone()));
        if let Some(wire) = self.state.take_wire() {
            self.state = ConnectionState::Open { wire, engine, heard: Instant::now() };
        }
    }

    /// From now on the engine is to end; then this version's is started.
    fn wait_for_end(&mut self, told: Option<Instant>) {
        if let Some(wire) = self.state.take_wire() {
            self.state = ConnectionState::OtherVersion { wire, heard: Instant::now(), told };
        }
    }

    fn on_disconnect(&mut self, error: &WireError, demand: Demand) -> StepResult {
        match self.state {
            // As it was told to, or after its jobs.
            ConnectionState::OtherVersion { .. } => {
                self.close();
                return Ok(None);
            }
            // It ended because there was nothing to do.
            ConnectionState::Open { .. } if demand != Demand::Takes => {
                self.close();
                return Ok(Some(ConnectionEvent::Absent));
            }
            _ => {}
        }
        let said = self.ending.take();
        let end = self.process.wait_for_end().unwrap_or_else(|| error.to_string());
        let log = self.setup.engine.log.clone();
        if let ConnectionState::Open { engine, .. } = &self.state {
            // Its connections close before its socket: another one would be lost at once.
            self.process.note_ending(engine.pid);
        }
        if self.process.is_starting() {
            return Err(EngineError::DiedAtStart { end, log });
        }
        let reason = said.map_or(EngineError::Died { end, log }, EngineError::Ended);
        Ok(Some(self.lose(reason)))
    }

    /// What was read is no message.
    fn on_garbage(&mut self, what: String) -> StepResult {
        if self.engine_at_other_end().is_none() {
            let path = self.endpoint()?.socket();
            return Err(EngineError::NotAnEngine { path, what });
        }
        self.end_engine();
        let log = self.setup.engine.log.clone();
        Ok(Some(self.lose(EngineError::Garbage { what, log })))
    }
}
