//! Waiting for connections, and being woken from it, by the crate `polling`: on every system its
//! notification is what wakes. It polls sockets, which connections are on Unix; the named pipes that
//! they are on Windows cannot be polled, and are looked at often instead.

use std::io;
use std::time::Duration;

use polling::{Events, Poller};

use super::Wire;
use crate::engine::endpoint::Listener;

/// Wakes the thread that waits.
#[derive(Debug)]
pub(crate) struct Waker {
    poller: Poller,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poller: Poller::new()? })
    }

    /// Ends the present wait, or the next.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.poller.notify() {
            log::warn!("cannot wake the thread that serves connections: {error}");
        }
    }
}

/// Waits until the waker is used, somebody connects, or a connection can be read, or be written to if
/// something waits for that; at most `timeout`, and on Windows at most a tick where there are
/// connections.
pub(crate) fn wait<'a>(
    waker: &Waker,
    listener: Option<&'a Listener>,
    wires: impl Iterator<Item = &'a Wire>,
    timeout: Option<Duration>,
) {
    let wires: Vec<_> = wires.collect();
    let unread = wires.iter().any(|wire| wire.has_more());
    let timeout = if unread { Some(Duration::ZERO) } else { timeout };
    if let Err(error) = system::wait(&waker.poller, listener, &wires, timeout) {
        // Out of memory, or of descriptors: do not spin.
        log::debug!("cannot wait for connections: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One event ends a wait; which it was, the next turn finds by itself.
fn one_event() -> Events {
    Events::with_capacity(std::num::NonZeroUsize::MIN)
}

#[cfg(unix)]
mod system {
    use std::os::fd::{AsFd, BorrowedFd};

    use interprocess::local_socket::{Listener as Socket, Stream};
    use polling::Event;

    use super::{Duration, Listener, Poller, Wire, io, one_event};

    /// Sockets that a poller waits for. They are taken out of it before their borrow ends.
    struct Registered<'a> {
        poller: &'a Poller,
        sockets: Vec<BorrowedFd<'a>>,
    }

    impl<'a> Registered<'a> {
        /// Has the poller wait for a socket.
        #[allow(unsafe_code, reason = "there is no other way to register a socket")]
        fn add(&mut self, socket: BorrowedFd<'a>, interest: Event) -> io::Result<()> {
            // SAFETY: the socket is borrowed for as long as this lives, so nobody closes it, and our
            // `drop` takes it out of the poller. Who would leak this holds it back: it never gets out
            // of `wait`.
            unsafe { self.poller.add(&socket, interest) }?;
            self.sockets.push(socket);
            Ok(())
        }
    }

    impl Drop for Registered<'_> {
        fn drop(&mut self) {
            for socket in &self.sockets {
                if let Err(error) = self.poller.delete(socket) {
                    log::warn!("cannot take a connection out of the poller: {error}");
                }
            }
        }
    }

    pub(super) fn wait(
        poller: &Poller,
        listener: Option<&Listener>,
        wires: &[&Wire],
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut registered = Registered { poller, sockets: Vec::with_capacity(wires.len() + 1) };
        if let Some(Socket::UdSocket(socket)) = listener.and_then(Listener::socket) {
            registered.add(socket.as_fd(), Event::readable(0))?;
        }
        for wire in wires {
            let Stream::UdSocket(stream) = wire.stream();
            registered.add(stream.as_fd(), Event::new(0, true, wire.backlog() > 0))?;
        }
        poller.wait(&mut one_event(), timeout).map(drop)
    }
}

#[cfg(windows)]
mod system {
    use super::{Duration, Listener, Poller, Wire, io, one_event};

    /// Between two looks at connections.
    const TICK: Duration = Duration::from_millis(10);

    pub(super) fn wait(
        poller: &Poller,
        listener: Option<&Listener>,
        wires: &[&Wire],
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let ticks = listener.is_some() || !wires.is_empty();
        let timeout = match timeout {
            Some(timeout) if ticks => Some(timeout.min(TICK)),
            None if ticks => Some(TICK),
            timeout => timeout,
        };
        poller.wait(&mut one_event(), timeout).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::time::Instant;

    use super::*;

    /// Longer than any machine is held up, and only waited for where the code is wrong.
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn waking_ends_the_present_wait_and_the_next_but_no_third() {
        let waker = Waker::new().unwrap();
        waker.wake();
        waker.wake();
        wait(&waker, None, std::iter::empty(), Some(LONG));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&waker, None, std::iter::empty(), Some(LONG)));
            waker.wake();
            waiting.join().unwrap();
        });
        let begun = Instant::now();
        let short = Duration::from_millis(30);
        wait(&waker, None, std::iter::empty(), Some(short));
        assert!(begun.elapsed() >= short);
    }

    /// Two ends of a connection through a listener in a folder of its own.
    #[cfg(unix)]
    #[test]
    fn what_is_waited_for_ends_a_wait_and_is_out_of_the_poller_after_it() {
        use std::io::Write;

        use crate::engine::endpoint::Endpoint;

        let folder = tempfile::tempdir().unwrap();
        let place = Endpoint::open(&folder.path().join("run"), None).unwrap();
        let listener = place.listen(Duration::ZERO).unwrap();
        let waker = Waker::new().unwrap();
        // Nobody has connected.
        let short = Duration::from_millis(20);
        wait(&waker, Some(&listener), std::iter::empty(), Some(short));
        assert!(listener.accept().unwrap().is_none());

        let mut client = place.connect(LONG).unwrap().unwrap();
        wait(&waker, Some(&listener), std::iter::empty(), Some(LONG));
        let mut wire = Wire::new(listener.accept().unwrap().unwrap());
        wire.begin_turn().unwrap();
        assert!(wire.receive().unwrap().is_none());

        client.write_all(b"{}\n").unwrap();
        // Twice: what is registered a second time must have been taken out after the first.
        for _ in 0..2 {
            wait(&waker, Some(&listener), std::iter::once(&wire), Some(LONG));
        }
        wire.begin_turn().unwrap();
        assert_eq!(wire.receive().unwrap().unwrap(), b"{}");
        // More may have come: no wait at all.
        wait(&waker, None, std::iter::once(&wire), Some(LONG));
        assert!(wire.receive().unwrap().is_none());

        // A peer that is gone ends a wait, and what is dropped was left by the poller.
        drop(client);
        wait(&waker, None, std::iter::once(&wire), Some(LONG));
        drop(wire);
        let begun = Instant::now();
        wait(&waker, Some(&listener), std::iter::empty(), Some(short));
        assert!(begun.elapsed() >= short);
    }
}
