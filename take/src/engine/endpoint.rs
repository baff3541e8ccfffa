//! Where the engine of a user, machine and GPU mask listens, and how it is reached.
//!
//! In one private directory, the *run directory*, lie for each engine: the socket, the lock that
//! the engine holds while it lives, the lock that a client holds while it starts one, and what the
//! engine last printed. On Windows the socket is a named pipe that only its owner may open.
//!
//! Invariants:
//! - Nothing is removed but a socket of this user on which nobody listens, and only by the holder
//!   of the engine's lock. Whatever else is in the way is reported and left alone.
//! - Both sides speak only to processes of their own user.

mod directory;
mod error;
mod peer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{
    ConnectOptions, Listener as Socket, ListenerNonblockingMode, ListenerOptions, Name, Stream,
};

pub use self::directory::choose_run_directory;
pub use self::error::EndpointError;
pub(crate) use self::peer::process as peer_process;
use crate::engine::message::PROTOCOL;

/// Where one engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    directory: PathBuf,
    /// The name of each of its files, without its ending.
    name: String,
}

impl Endpoint {
    /// The place of the engine that sees the graphics cards `mask`, as
    /// [`VisibleGpus::spelled`](crate::visible_gpus::VisibleGpus::spelled) spells them.
    /// Creates the run directory if it is absent.
    ///
    /// # Errors
    /// When the run directory is not this user's alone, not on a local disk, or its path too long.
    pub fn open(run: &Path, mask: Option<&str>) -> Result<Self, EndpointError> {
        let run = std::path::absolute(run)
            .map_err(|source| EndpointError::io("find the run directory", run, source))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(mask.is_some())]).update(mask.unwrap_or_default().as_bytes());
        hasher.update(&[0]).update(directory::machine().as_bytes());
        if cfg!(windows) {
            // Names of pipes are the machine's, not the directory's.
            hasher.update(&[0]).update(run.as_os_str().as_encoded_bytes());
        }
        let hash = hasher.finalize().to_hex();
        let name = format!("wan-alpha-{PROTOCOL}-{}", &hash.as_str()[..16]);
        let endpoint = Self { directory: run, name };
        directory::check_length(&endpoint.socket())?;
        directory::make_private(&endpoint.directory)?;
        Ok(endpoint)
    }

    /// The socket; on Windows nothing is there.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    /// What the engine started last has printed.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.file("out")
    }

    /// Connects, without blocking reads and writes. `None`: nobody listens.
    ///
    /// # Errors
    /// When something else is where the socket should be, the listener is another user's, or it
    /// accepts nobody within `patience`.
    pub fn connect(&self, patience: Duration) -> Result<Option<Stream>, EndpointError> {
        let path = self.socket();
        if !directory::is_own_socket(&path)? {
            return Ok(None);
        }
        let deadline = Instant::now() + patience;
        loop {
            let name = self.socket_name()?;
            let options = ConnectOptions::new().name(name).nonblocking_stream(true);
            let left = deadline.saturating_duration_since(Instant::now());
            match options.wait_mode(ConnectWaitMode::Timeout(left)).connect_sync() {
                // Linux calls it connected when the listener's queue is full: then nobody is there.
                Ok(stream) if peer::is_connected(&stream) => {
                    peer::check(&stream, &path)?;
                    return Ok(Some(stream));
                }
                Err(error) if nobody_listens(&error) => return Ok(None),
                Err(error) if !may_pass(&error) => {
                    return Err(EndpointError::io("connect to", &path, error));
                }
                Ok(_) | Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(_) | Err(_) => return Err(EndpointError::NotAccepted { path, patience }),
            }
        }
    }

    /// Becomes the engine of this place; waits at most `patience` for another one to end.
    ///
    /// # Errors
    /// When another engine lives, or something else is where the socket should be.
    pub fn listen(&self, patience: Duration) -> Result<Listener, EndpointError> {
        let lock = self.lock_engine(patience)?;
        let path = self.socket();
        // The lock is ours, hence no engine lives, and a socket is one that a dead engine left.
        if self.connect(Duration::from_millis(250))?.is_some() {
            return Err(EndpointError::ForeignListener { path });
        }
        if directory::is_own_socket(&path)? {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EndpointError::io("remove the stale socket", &path, error));
                }
                _ => {}
            }
        }
        let options = ListenerOptions::new()
            .name(self.socket_name()?)
            .nonblocking(ListenerNonblockingMode::Both);
        let socket = peer::owner_only(options)
            .and_then(ListenerOptions::create_sync)
            .map_err(|source| EndpointError::io("listen on", &path, source))?;
        Ok(Listener { socket: Some(socket), path, _lock: lock })
    }

    /// The process of the engine that lives here, by its lock: known even when it does not answer.
    #[must_use]
    pub fn engine_process(&self) -> Option<u32> {
        holder(&self.file("engine"))
    }

    /// The places of the engines that live in this run directory for other cards, and their
    /// processes, in the order of these.
    #[must_use]
    pub fn other_engines(&self) -> Vec<(Self, u32)> {
        let own = self.file("engine");
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut engines: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                *path != own && path.extension().is_some_and(|ending| ending == "engine")
            })
            .filter_map(|path| {
                let name = path.file_stem()?.to_str()?.to_owned();
                Some((Self { directory: self.directory.clone(), name }, holder(&path)?))
            })
            .collect();
        engines.sort_by_key(|(_, process)| *process);
        engines
    }

    /// The right to start the engine; `None` while somebody else has it. Released when dropped.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn lock_start(&self) -> Result<Option<StartLock>, EndpointError> {
        let path = self.file("start");
        let file = private_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StartLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(EndpointError::io("lock", &path, source)),
        }
    }

    fn lock_engine(&self, patience: Duration) -> Result<File, EndpointError> {
        let path = self.file("engine");
        let deadline = Instant::now() + patience;
        let mut file = private_file(&path)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = self.engine_process();
                    return Err(EndpointError::EngineLives { path: self.socket(), pid });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(EndpointError::io("lock", &path, source));
                }
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|source| EndpointError::io("write", &path, source))?;
        Ok(file)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }

    fn socket_name(&self) -> Result<Name<'static>, EndpointError> {
        #[cfg(unix)]
        let name = self.socket().to_fs_name::<interprocess::local_socket::GenericFilePath>();
        #[cfg(windows)]
        let name = self.name.clone().to_ns_name::<interprocess::local_socket::GenericNamespaced>();
        name.map_err(|source| EndpointError::io("use", &self.socket(), source))
    }
}

/// The process that holds an engine's lock.
fn holder(lock: &Path) -> Option<u32> {
    let lock = File::open(lock).ok()?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            lock.take(16).read_to_string(&mut text).ok()?;
            text.trim().parse().ok()
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// The right to start an engine.
#[derive(Debug)]
pub struct StartLock {
    _file: File,
}

/// Accepts connections of this user. The socket goes when it is dropped, then the engine's lock.
#[derive(Debug)]
pub struct Listener {
    socket: Option<Socket>,
    path: PathBuf,
    _lock: File,
}

impl Listener {
    /// Accepts a connection, without blocking reads and writes; `None` when nobody waits.
    ///
    /// # Errors
    /// When the peer is another user's (it is disconnected), or the system has no more descriptors.
    pub fn accept(&self) -> Result<Option<Stream>, EndpointError> {
        let Some(socket) = &self.socket else { return Ok(None) };
        match socket.accept() {
            Ok(stream) => peer::check(&stream, &self.path).map(|()| Some(stream)),
            Err(error) if may_pass(&error) => Ok(None),
            Err(error) => Err(EndpointError::io("accept a connection on", &self.path, error)),
        }
    }

    /// Accepts nobody from now on; no other engine begins before this is dropped.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }

    /// What is waited on.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionAborted)
}

fn private_file(path: &Path) -> Result<File, EndpointError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| EndpointError::io("open", path, source))
}

#[cfg(test)]
mod tests;
