//! One thread, many connections, no blocking: a connection that buffers both ways, a waker for other
//! threads, and the wait for either.

mod wait;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use interprocess::local_socket::Stream;
use thiserror::Error;

pub(crate) use self::wait::{Waker, wait};
use crate::engine::endpoint;
use crate::engine::message::{LineError, LineReader, Message, MessageError, encode};

/// Bytes that may wait for a peer that does not read.
const MAX_BACKLOG: usize = 4 << 20;

/// Bytes that are read from a connection before the others have their turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// Why a connection is of no more use.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("the connection was closed")]
    Closed,
    #[error("the other side does not read what it is sent")]
    NotReading,
    #[error("the connection failed: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The only one after which the connection may go on.
    #[error("{0}")]
    TooLong(LineError),
}

/// A stream that would block once a turn's bytes are read, whoever floods it.
#[derive(Debug)]
struct LimitedStream {
    stream: Stream,
    left: usize,
}

impl Read for LimitedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..length])?;
        self.left -= read;
        Ok(read)
    }
}

/// A connection that takes and gives whole lines, and never blocks.
#[derive(Debug)]
pub(crate) struct Wire {
    lines: LineReader<LimitedStream>,
    backlog: VecDeque<u8>,
    /// When the peer last read something, or had nothing to read.
    read_until: Instant,
    /// Whether the last read left nothing behind.
    drained: bool,
}

impl Wire {
    /// Of a stream that does not block.
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            lines: LineReader::new(LimitedStream { stream, left: 0 }),
            backlog: VecDeque::new(),
            read_until: Instant::now(),
            drained: true,
        }
    }

    /// The process at the other end, where the system tells.
    pub(crate) fn process(&self) -> Option<u32> {
        endpoint::peer_process(self.stream())
    }

    /// Its turn begins: sends what waits, and may be read from again.
    pub(crate) fn begin_turn(&mut self) -> Result<(), WireError> {
        self.lines.source_mut().left = BYTES_PER_TURN;
        self.flush()
    }

    /// The next line, if one has arrived in this turn.
    pub(crate) fn receive(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        self.drained = false;
        match self.lines.next_line() {
            Ok(Some(line)) => Ok(Some(line)),
            Ok(None) => Err(WireError::Closed),
            Err(LineError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drained = true;
                Ok(None)
            }
            Err(LineError::Io(error)) => Err(failed(error)),
            Err(error @ LineError::TooLong { .. }) => Err(WireError::TooLong(error)),
        }
    }

    /// Sends a message, now or when the peer reads.
    pub(crate) fn send(&mut self, message: &impl Message) -> Result<(), WireError> {
        self.send_raw(&encode(message)?)
    }

    /// Sends bytes, now or when the peer reads.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.backlog.len() + bytes.len() > MAX_BACKLOG {
            return Err(WireError::NotReading);
        }
        if self.backlog.is_empty() {
            self.read_until = Instant::now();
        }
        self.backlog.extend(bytes);
        self.flush()
    }

    /// Sends what the peer is ready to read.
    pub(crate) fn flush(&mut self) -> Result<(), WireError> {
        while !self.backlog.is_empty() {
            let (first, _) = self.backlog.as_slices();
            match (&mut &self.lines.source().stream).write(first) {
                Ok(0) => return Err(WireError::Closed),
                Ok(sent) => {
                    self.backlog.drain(..sent);
                    self.read_until = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Bytes that the peer has not read.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// For how long the peer has not read although it should.
    pub(crate) fn not_reading_for(&self, now: Instant) -> Duration {
        if self.backlog.is_empty() {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.read_until)
    }

    /// Whether lines may have arrived that waiting would not tell of.
    pub(crate) fn has_more(&self) -> bool {
        !self.drained
    }

    fn stream(&self) -> &Stream {
        &self.lines.source().stream
    }
}

fn failed(error: io::Error) -> WireError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof => WireError::Closed,
        _ => WireError::Io(error),
    }
}
