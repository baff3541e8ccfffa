//! Threads that go on while another one has a library opened.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Starts a thread, and comes back once the dynamic loader cannot hold it up any more.
///
/// The loader is locked for as long as it opens a library, which is minutes where CUDA's lie in a slow
/// folder. Whatever a thread must take down at its end is registered with the loader: by its very
/// start, by the first lock that it has to wait for, by its first line of log. An engine whose service
/// met the loader there would look like one that hangs.
///
/// # Errors
/// When the system has no thread left.
pub fn start_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (ready, begun) = sync_channel(1);
    let label = name.to_owned();
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        // A wait that nobody ends makes what waiting needs.
        Condvar::new().wait_for(&mut Mutex::new(()).lock(), Duration::from_millis(1));
        log::info!("the thread {label} has begun");
        let _ = ready.send(());
        work();
    })?;
    // An error means that it has ended, which joining it will tell.
    let _ = begun.recv();
    Ok(thread)
}
