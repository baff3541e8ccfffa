//! The thread: who is connected, what arrives, what goes out and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ServerSetup, Shared};
use crate::engine::endpoint::Listener;
use crate::engine::message::{DeviceReport, Problem, ProblemCode, ToClient};
use crate::engine::queue::Connection;
use crate::engine::transport::{Wire, WireError, wait};

/// Lines of one client before the others have their turn.
const LINES_PER_TURN: usize = 64;

/// Above it a client is not told of progress and life, both of which come again.
const ENOUGH_BACKLOG: usize = 64 * 1024;

/// Connections at once.
const MOST_PEERS: usize = 500;

/// How long a connection may last that said no hello, or that is to be closed.
const SHORT: Duration = Duration::from_secs(5);

pub(super) struct EventLoop {
    pub(super) shared: Arc<Shared>,
    pub(super) setup: ServerSetup,
    pub(super) started: Instant,
    listener: Listener,
    peers: BTreeMap<Connection, Peer>,
    next: u64,
    beat: Instant,
    /// While the system has no descriptor left.
    accept_paused_until: Instant,
}

/// A connection.
pub(super) struct Peer {
    wire: Wire,
    since: Instant,
    pub(super) standing: PeerState,
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
    pub(super) fn new(shared: Arc<Shared>, listener: Listener, setup: ServerSetup) -> Self {
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
            self.listen_to_all();
            self.send_outbox();
            self.hang_up(now);
            if self.shared.mailbox.lock().close {
                return self.say_goodbye();
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
                Ok(Some(_)) if self.peers.len() >= MOST_PEERS => {}
                Ok(Some(stream)) => {
                    let peer = Peer {
                        wire: Wire::new(stream),
                        since: now,
                        standing: PeerState::Unauthenticated,
                    };
                    self.peers.insert(Connection(self.next), peer);
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

    fn listen_to_all(&mut self) {
        let connections: Vec<_> = self.peers.keys().copied().collect();
        for connection in connections {
            if let Err(error) = self.listen_to(connection) {
                self.part(connection, &error);
            }
        }
    }

    fn listen_to(&mut self, connection: Connection) -> Result<(), WireError> {
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.wire.begin_turn()?;
        }
        for _ in 0..LINES_PER_TURN {
            let Some(peer) = self.peers.get_mut(&connection) else { break };
            let standing = peer.standing;
            match peer.wire.receive() {
                Ok(None) => break,
                Ok(Some(_)) | Err(WireError::TooLong(_)) if standing == PeerState::Leaving => {}
                Ok(Some(line)) => {
                    let (answers, standing) = self.answer(connection, standing, &line);
                    self.reply(connection, standing, &answers)?;
                }
                Err(WireError::TooLong(reason)) => {
                    let remedy = "send shorter lines";
                    let problem = Problem::new(ProblemCode::LineTooLong, reason.to_string(), remedy);
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
        connection: Connection,
        standing: PeerState,
        answers: &[ToClient],
    ) -> Result<(), WireError> {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if standing != peer.standing {
            peer.since = Instant::now();
            let clients = |standing| usize::from(standing == PeerState::Client);
            let mut mailbox = self.shared.mailbox.lock();
            mailbox.clients = mailbox.clients + clients(standing) - clients(peer.standing);
            peer.standing = standing;
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
        if now.saturating_duration_since(self.beat) >= self.setup.heartbeat {
            self.beat = now;
            let greeted = self.peers.iter().filter(|(_, peer)| peer.is_greeted());
            let greeted: Vec<_> = greeted.map(|(connection, _)| *connection).collect();
            for connection in greeted {
                self.send(connection, &ToClient::Heartbeat);
            }
            if let Some(device) = device {
                self.send_to_all(&ToClient::Device(device));
            }
        }
    }

    /// To every client of our version.
    fn send_to_all(&mut self, message: &ToClient) {
        let clients = self.peers.iter().filter(|(_, peer)| peer.standing == PeerState::Client);
        let clients: Vec<_> = clients.map(|(connection, _)| *connection).collect();
        for connection in clients {
            self.send(connection, message);
        }
    }

    fn send(&mut self, connection: Connection, message: &ToClient) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let repeated = matches!(
            message,
            ToClient::Progress { .. }
                | ToClient::Device(DeviceReport { opening_seconds: Some(_), .. })
                | ToClient::Heartbeat
        );
        if repeated && peer.wire.backlog() > ENOUGH_BACKLOG {
            return;
        }
        if let Err(error) = peer.wire.send(message) {
            self.part(connection, &error);
        }
    }

    /// Closes connections of which nothing is to be expected.
    fn hang_up(&mut self, now: Instant) {
        let unread = self.setup.unread;
        let hopeless = |peer: &Peer| {
            let old = now.saturating_duration_since(peer.since) >= SHORT;
            match peer.standing {
                PeerState::Unauthenticated => old,
                PeerState::Leaving => old || peer.wire.backlog() == 0,
                PeerState::Client | PeerState::OtherVersion => {
                    peer.wire.not_reading_for(now) >= unread
                }
            }
        };
        let hopeless: Vec<_> = self.peers.iter().filter(|(_, peer)| hopeless(peer)).collect();
        let hopeless: Vec<_> = hopeless.into_iter().map(|(connection, _)| *connection).collect();
        for connection in hopeless {
            self.part(connection, &WireError::NotReading);
        }
    }

    fn part(&mut self, connection: Connection, reason: &WireError) {
        let Some(peer) = self.peers.remove(&connection) else { return };
        log::debug!("connection {} ends: {reason}", connection.0);
        let mut mailbox = self.shared.mailbox.lock();
        let was_idle = mailbox.jobs.is_idle();
        mailbox.jobs.disconnect(connection);
        mailbox.note_idle(was_idle);
        if peer.standing == PeerState::Client {
            mailbox.clients -= 1;
            mailbox.alone_since = Instant::now();
        }
        drop(mailbox);
        self.shared.turn.notify_all();
    }

    fn until_next(&self, now: Instant) -> Duration {
        let beat = (self.beat + self.setup.heartbeat).saturating_duration_since(now);
        let soon = now < self.accept_paused_until
            || self.peers.values().any(|peer| !peer.is_greeted() || peer.wire.backlog() > 0);
        if soon { beat.min(Duration::from_millis(100)) } else { beat }
    }

    /// Gives clients a moment to read what was sent last.
    fn say_goodbye(mut self) {
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
    fn is_greeted(&self) -> bool {
        matches!(self.standing, PeerState::Client | PeerState::OtherVersion)
    }
}
