//! What this process takes: anonymous memory (what it has made itself, files that are mapped left out)
//! and processors' time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Error;

/// Looks at it every few milliseconds.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    before: u64,
    thread: JoinHandle<()>,
}

/// Bytes beyond those at the beginning.
pub(super) struct Memory {
    pub(super) peak: u64,
    pub(super) now: u64,
}

impl Watch {
    pub(super) fn begin() -> Result<Self, Error> {
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, highest) = (ended.clone(), peak.clone());
        let before = anonymous()?;
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                highest.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(Self { ended, peak, before, thread })
    }

    pub(super) fn end(self) -> Result<Memory, Error> {
        let now = anonymous()?;
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        let peak = self.peak.load(Ordering::Relaxed).max(now);
        Ok(Memory { peak: peak.saturating_sub(self.before), now: now.saturating_sub(self.before) })
    }
}

/// Seconds of all threads so far, in the program and in the system; to a hundredth.
pub(super) fn processor_time() -> Result<[f64; 2], Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err("this system does not tell processors' time (/proc/self/stat)".into());
    };
    Ok([user / 100.0, system / 100.0])
}

fn anonymous() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes = kilobytes.ok_or("this system does not tell anonymous memory (RssAnon)")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}
