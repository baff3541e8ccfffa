//! The thread: who is connected, what arrives, what goes out and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ServerSetup, ServerShared};
use crate::engine::endpoint::Listener;
use crate::engine::message::{DeviceReport, Problem, ProblemCode, ToClient};
use crate::engine::queue::ConnectionId;
use crate::engine::transport::{Wire, WireError, wait};

/// Lines of one client before the others have their turn.
const LINES_PER_TURN: usize = 64;

/// Above it a client is not told of progress and life, both of which come again.
const ENOUGH_BACKLOG: usize = 64 * 1024;

/// The most connections at once; further ones are closed.
const MAX_PEERS: usize = 500;

/// How long a connection may last that said no hello, or that is to be closed.
const SHORT_LIFE: Duration = Duration::from_secs(5);

pub(super) struct EventLoop {
    pub(super) shared: Arc<ServerShared>,
    pub(super) setup: ServerSetup,
    pub(super) started: Instant,
    listener: Listener,
    peers: BTreeMap<ConnectionId, Peer>,
    next: u64,
    beat: Instant,
    /// While the system has no descriptor left.
    accept_paused_until: Instant,
}

/// A connection and how far its handshake is.
pub(super) struct Peer {
    wire: Wire,
    since: Instant,
    pub(super) state: PeerState,
}

/// How a peer may be spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerState {
    /// It said no hello yet.
    Unauthenticated,
    /// Of the same version.
    Client,
    /// Of another version, which waits for the end of this engine.
    OtherVersion,
    /// To be disconnected once it has read why.
    Leaving,
}

impl EventLoop {
    pub(super) fn new(shared: Arc<ServerShared>, listener: Listener, setup: ServerSetup) -> Self {
        let started = Instant::now();
        Self {
            shared,
            setup,
            started,
            listener,
            peers: BTreeMap::new(),
            next: 0,
            beat: started,
            accept_paused_until: started,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            if now >= self.accept_paused_until {
                self.accept(now);
            }
            self.read_all();
            self.send_outbox();
            self.disconnect_stale(now);
            if self.shared.mailbox.lock().close {
                return self.flush_and_close();
            }
            let listener = Some(&self.listener).filter(|_| now >= self.accept_paused_until);
            let wires = self.peers.values().map(|peer| &peer.wire);
            wait(&self.shared.waker, listener, wires, Some(self.until_next(now)));
        }
    }

    fn accept(&mut self, now: Instant) {
        loop {
            match self.listener.accept() {
                // Disconnected: the client tries again.
                Ok(Some(_)) if self.peers.len() >= MAX_PEERS => {}
                Ok(Some(stream)) => {
                    let peer = Peer {
                        wire: Wire::new(stream),
                        since: now,
                        state: PeerState::Unauthenticated,
                    };
                    self.peers.insert(ConnectionId(self.next), peer);
                    self.next += 1;
                }
                Ok(None) => return,
                Err(error) => {
                    log::warn!("{error}");
                    self.accept_paused_until = now + Duration::from_millis(100);
                    return;
                }
            }
        }
    }

    fn read_all(&mut self) {
        let connections: Vec<_> = self.peers.keys().copied().collect();
        for connection in connections {
            if let Err(error) = self.read_lines(connection) {
                self.disconnect(connection, &error);
            }
        }
    }

    fn read_lines(&mut self, connection: ConnectionId) -> Result<(), WireError> {
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.wire.begin_turn()?;
        }
        for _ in 0..LINES_PER_TURN {
            let Some(peer) = self.peers.get_mut(&connection) else { break };
            let state = peer.state;
            match peer.wire.receive() {
                Ok(None) => break,
                Ok(Some(_)) | Err(WireError::TooLong(_)) if state == PeerState::Leaving => {}
                Ok(Some(line)) => {
                    let (answers, state) = self.answer(connection, state, &line);
                    self.reply(connection, state, &answers)?;
                }
                Err(WireError::TooLong(reason)) => {
                    let remedy = "send shorter lines";
                    let problem =
                        Problem::new(ProblemCode::LineTooLong, reason.to_string(), remedy);
                    let answer = [ToClient::Refused(problem)];
                    self.reply(connection, PeerState::Leaving, &answer)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reply(
        &mut self,
        connection: ConnectionId,
        state: PeerState,
        answers: &[ToClient],
    ) -> Result<(), WireError> {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if state != peer.state {
            peer.since = Instant::now();
            let clients = |state| usize::from(state == PeerState::Client);
            let mut mailbox = self.shared.mailbox.lock();
            mailbox.clients = mailbox.clients + clients(state) - clients(peer.state);
            peer.state = state;
        }
        answers.iter().try_for_each(|answer| peer.wire.send(answer))
    }

    fn send_outbox(&mut self) {
        let (outbox, to_all, raw, device) = {
            let mut mailbox = self.shared.mailbox.lock();
            let (outbox, to_all) =
                (std::mem::take(&mut mailbox.outbox), std::mem::take(&mut mailbox.to_all));
            let device = mailbox.opening.map(|_| mailbox.device_report());
            (outbox, to_all, std::mem::take(&mut mailbox.raw), device)
        };
        for (connection, message) in outbox {
            self.send(connection, &message);
        }
        for message in to_all {
            self.send_to_all(&message);
        }
        for bytes in raw {
            for peer in self.peers.values_mut() {
                // Whoever cannot be sent anything is disconnected when next listened to.
                let _ = peer.wire.send_raw(&bytes);
            }
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.beat) >= self.setup.deadlines.heartbeat {
            self.beat = now;
            let ready = self.peers.iter().filter(|(_, peer)| peer.has_completed_handshake());
            let ready: Vec<_> = ready.map(|(connection, _)| *connection).collect();
            for connection in ready {
                self.send(connection, &ToClient::Heartbeat);
            }
            if let Some(device) = device {
                self.send_to_all(&ToClient::Device(device));
            }
        }
    }

    /// To every client of our version.
    fn send_to_all(&mut self, message: &ToClient) {
        let clients = self.peers.iter().filter(|(_, peer)| peer.state == PeerState::Client);
        let clients: Vec<_> = clients.map(|(connection, _)| *connection).collect();
        for connection in clients {
            self.send(connection, message);
        }
    }

    fn send(&mut self, connection: ConnectionId, message: &ToClient) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let repeated = matches!(
            message,
            ToClient::Progress { .. }
                | ToClient::Preview { .. }
                | ToClient::Device(DeviceReport { opening_seconds: Some(_), .. })
                | ToClient::Heartbeat
        );
        if repeated && peer.wire.backlog() > ENOUGH_BACKLOG {
            return;
        }
        if let Err(error) = peer.wire.send(message) {
            self.disconnect(connection, &error);
        }
    }

    /// Closes connections of which nothing is to be expected.
    fn disconnect_stale(&mut self, now: Instant) {
        let unread = self.setup.deadlines.unread;
        let stale = |peer: &Peer| {
            let old = now.saturating_duration_since(peer.since) >= SHORT_LIFE;
            match peer.state {
                PeerState::Unauthenticated => old,
                PeerState::Leaving => old || peer.wire.backlog() == 0,
                PeerState::Client | PeerState::OtherVersion => {
                    peer.wire.not_reading_for(now) >= unread
                }
            }
        };
        let stale: Vec<_> = self.peers.iter().filter(|(_, peer)| stale(peer)).collect();
        let stale: Vec<_> = stale.into_iter().map(|(connection, _)| *connection).collect();
        for connection in stale {
            self.disconnect(connection, &WireError::NotReading);
        }
    }

    fn disconnect(&mut self, connection: ConnectionId, reason: &WireError) {
        let Some(peer) = self.peers.remove(&connection) else { return };
        log::debug!("connection {} ends: {reason}", connection.0);
        let mut mailbox = self.shared.mailbox.lock();
        let was_idle = mailbox.jobs.is_idle();
        mailbox.jobs.disconnect(connection);
        mailbox.rendering_hosts.remove(&connection);
        mailbox.note_idle(was_idle);
        if peer.state == PeerState::Client {
            mailbox.clients -= 1;
            mailbox.alone_since = Instant::now();
        }
        drop(mailbox);
        self.shared.turn.notify_all();
    }

    fn until_next(&self, now: Instant) -> Duration {
        let beat = (self.beat + self.setup.deadlines.heartbeat).saturating_duration_since(now);
        let soon = now < self.accept_paused_until
            || self
                .peers
                .values()
                .any(|peer| !peer.has_completed_handshake() || peer.wire.backlog() > 0);
        if soon { beat.min(Duration::from_millis(100)) } else { beat }
    }

    /// Gives clients a moment to read what was sent last.
    fn flush_and_close(mut self) {
        // First of all: whoever finds its connection closed must not come back to this socket.
        self.listener.close();
        let end = Instant::now() + Duration::from_millis(300);
        self.send_outbox();
        loop {
            self.peers.retain(|_, peer| peer.wire.flush().is_ok() && peer.wire.backlog() > 0);
            if self.peers.is_empty() || Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Peer {
    fn has_completed_handshake(&self) -> bool {
        matches!(self.state, PeerState::Client | PeerState::OtherVersion)
    }
}
