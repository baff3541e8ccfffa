//! Who is at the other end, and who may be.

use std::io;
use std::path::Path;

use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{ListenerOptions, Stream};

use super::EndpointError;

/// Whether anybody is at the other end.
pub(super) fn is_connected(stream: &Stream) -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    process(stream).is_some()
}

/// The process at the other end: the kernel's word, not its own.
pub(crate) fn process(stream: &Stream) -> Option<u32> {
    let pid = stream.peer_creds().ok()?.pid()?;
    u32::try_from(pid).ok().filter(|&pid| pid > 0)
}

/// Refuses processes of other users.
#[cfg(unix)]
pub(super) fn check(stream: &Stream, path: &Path) -> Result<(), EndpointError> {
    let user = super::directory::user();
    let unknown = || io::Error::other("the system does not say whose process is at its other end");
    let peer = stream
        .peer_creds()
        .and_then(|peer| peer.euid().ok_or_else(unknown))
        .map_err(|source| EndpointError::io("trust", path, source))?;
    if peer == user {
        return Ok(());
    }
    Err(EndpointError::Peer { path: path.to_owned(), peer, user })
}

/// The pipe lets nobody else in.
#[cfg(windows)]
pub(super) fn check(_stream: &Stream, _path: &Path) -> Result<(), EndpointError> {
    Ok(())
}

/// Lets nobody else in.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn owner_only(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::unix::local_socket::ListenerOptionsExt;
    Ok(options.mode(0o600))
}

/// The run directory lets nobody else in.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub(super) fn owner_only(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    Ok(options)
}

/// Lets nobody else in.
#[cfg(windows)]
pub(super) fn owner_only(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
    use interprocess::os::windows::local_socket::ListenerOptionsExt;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;
    /// Protected; full access to the owner, none to anybody else.
    const OWNER: &str = "D:P(A;;GA;;;OW)";
    let text = widestring::U16CString::from_str(OWNER).map_err(io::Error::other)?;
    SecurityDescriptor::deserialize(&text).map(|owner| options.security_descriptor(owner))
}
