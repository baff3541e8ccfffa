//! Work that cannot ask whether to go on: opening a pipe that nobody writes to, a library's own loop. It
//! has a thread of its own, which Ctrl-C leaves behind.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use wan_alpha_core::Watch;

use crate::exit::{Exit, OrExit};

/// Between two looks at whether to go on.
const LOOK: Duration = Duration::from_millis(50);

/// What `work` comes to. `doing` says what it is, as the end of a sentence: `waiting for a.txt`.
///
/// # Errors
/// `watch` says to stop: then `work` goes on without anybody to hear of it until the process ends. Or
/// there is no thread for it, or it has broken off.
pub(crate) fn run<T: Send + 'static>(
    doing: &str,
    watch: &dyn Watch,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = channel();
    thread::Builder::new()
        .name("stoppable".to_owned())
        .spawn(move || sender.send(work()))
        .with_context(|| format!("cannot start a thread for {doing}"))?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) if watch.go_on() => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(anyhow!("cancelled while {doing}")).or_exit(Exit::Cancelled);
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{doing} has broken off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wan_alpha_core::Unwatched;

    use super::*;

    /// Goes on for a few looks.
    #[derive(Default)]
    struct Impatient(AtomicUsize);

    impl Watch for Impatient {
        fn go_on(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) < 3
        }
    }

    #[test]
    fn what_never_ends_is_left_when_asked() {
        assert_eq!(run("adding", &Unwatched, || 1 + 1).unwrap(), 2);
        let (_held, never) = channel::<()>();
        let error = run("waiting", &Impatient::default(), move || never.recv()).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Cancelled);
        assert_eq!(error.to_string(), "cancelled while waiting");
    }
}
