//! How much a command works, whatever else the machine does meanwhile.

use std::fs;
use std::time::Duration;

/// The processor time that a child has used so far, in all of its threads. It may have ended, but
/// not been waited for.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn worked(child: u32) -> Duration {
    /// Of the kernel's `USER_HZ`, the same on every machine.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
    // After the name, which may hold anything, the third field: the state.
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = |nth: usize| after_name.split(' ').nth(nth - 3).unwrap().parse::<u64>().unwrap();
    Duration::from_millis((ticks(14) + ticks(15)) * 1000 / TICKS_PER_SECOND)
}
