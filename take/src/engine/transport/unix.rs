//! Waiting with `poll(2)`; the waker is a pair of sockets.
//!
//! The crate `polling` would not make one file of this and its neighbor for Windows: there connections
//! are named pipes, and `polling` waits for sockets alone. Its sources are registered in unsafe calls,
//! too, and this crate forbids unsafe code.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use interprocess::local_socket::{Listener as Socket, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Wire;
use crate::engine::endpoint::Listener;

/// Wakes the thread that waits.
#[derive(Debug)]
pub(crate) struct Waker {
    sender: UnixStream,
    receiver: UnixStream,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Ends the present wait, or the next.
    pub(crate) fn wake(&self) {
        // A full pipe wakes the thread already.
        let _ = (&self.sender).write(&[1]);
    }

    fn drain(&self) {
        let mut wakes = [0; 256];
        while matches!((&self.receiver).read(&mut wakes), Ok(256)) {}
    }
}

/// Waits until the waker is used, somebody connects, or a connection can be read, or be written to if
/// something waits for that; at most `timeout`.
pub(crate) fn wait<'a>(
    waker: &Waker,
    listener: Option<&Listener>,
    wires: impl Iterator<Item = &'a Wire>,
    timeout: Option<Duration>,
) {
    let mut fds = vec![PollFd::new(&waker.receiver, PollFlags::IN)];
    if let Some(Socket::UdSocket(socket)) = listener.and_then(Listener::socket) {
        fds.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
    }
    let mut timeout = timeout;
    for wire in wires {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, wire.backlog() > 0);
        let Stream::UdSocket(stream) = wire.stream();
        fds.push(PollFd::from_borrowed_fd(stream.as_fd(), flags));
        if wire.has_more() {
            timeout = Some(Duration::ZERO);
        }
    }
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        // Out of memory, or of descriptors: do not spin.
        Err(_) => std::thread::sleep(Duration::from_millis(20)),
    }
    waker.drain();
}
