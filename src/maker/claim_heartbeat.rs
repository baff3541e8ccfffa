//! A claim that is kept alive: by a thread of its own, since a block of a large model on a
//! processor takes longer than others are patient.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use wan_alpha_take::store::Claim;

/// Says every now and then that a take is still being made. The claim ends when this is dropped.
pub(crate) struct ClaimHeartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ClaimHeartbeat {
    /// Beats each time `pause` has gone by.
    pub(super) fn begin(mut claim: Claim, pause: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let beat = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // Lost: the take may be made twice, and the first publisher wins.
                if let Err(error) = claim.beat() {
                    log::warn!("{error}");
                }
            }
        };
        let thread = Builder::new().name("claim".to_owned()).spawn(beat)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ClaimHeartbeat {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was its own, and has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Instant, SystemTime};

    use wan_alpha_take::TakeKey;
    use wan_alpha_take::store::{Claimant, Claiming, Store};

    use super::*;

    #[test]
    fn a_claim_is_kept_alive_and_ends_with_its_keeper() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new([folder.path().to_owned()]);
        let claimant = Claimant::this_process("here");
        let patience = Duration::from_secs(60);
        let Claiming::Ours(claim) = store.claim(&TakeKey([7; 32]), &claimant, patience).unwrap()
        else {
            panic!("nobody else claims")
        };
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();

        let heartbeat = ClaimHeartbeat::begin(claim, Duration::from_millis(5)).unwrap();
        let begun = Instant::now();
        while fs::metadata(&path).unwrap().modified().unwrap() == old {
            assert!(begun.elapsed() < Duration::from_secs(10), "no heartbeat");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(heartbeat);
        assert!(!path.exists());
    }
}
