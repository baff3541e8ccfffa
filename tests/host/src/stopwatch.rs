//! How long something takes, whatever else the machine does meanwhile.

#![forbid(unsafe_code)]

use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Measures the thread that has started it: the time that passes, without that in which the thread
/// was ready to go on and the machine had no processor for it. Waiting for a lock, a timer or
/// another thread counts; sharing a busy machine does not.
///
/// Where the system does not say how long a thread was without a processor, all time counts.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    thread: ThreadId,
    begun: Instant,
    waited: Duration,
}

impl Stopwatch {
    /// Of this thread, from now on.
    #[must_use]
    pub fn start() -> Self {
        Self { thread: thread::current().id(), begun: Instant::now(), waited: without_processor() }
    }

    /// How long the thread has taken so far.
    #[must_use]
    pub fn taken(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.waited())
    }

    /// For how long the thread was without a processor; nothing where another thread asks.
    pub(crate) fn waited(&self) -> Duration {
        if self.thread != thread::current().id() {
            return Duration::ZERO;
        }
        without_processor().saturating_sub(self.waited)
    }
}

/// How long this thread has waited for a processor since it began, as Linux counts it.
fn without_processor() -> Duration {
    // Nanoseconds on a processor, nanoseconds ready and without one, turns.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').nth(1).and_then(|waited| waited.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_counts_and_another_threads_wait_does_not() {
        let stopwatch = Stopwatch::start();
        thread::sleep(Duration::from_millis(30));
        let taken = stopwatch.taken();
        assert!(
            taken > Duration::from_millis(20) && taken <= stopwatch.begun.elapsed(),
            "{taken:?}"
        );
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(stopwatch.waited(), Duration::ZERO));
        });
    }

    /// Three threads for each processor, none of which ever rests, are without one most of the time.
    #[test]
    #[cfg(target_os = "linux")]
    fn sharing_a_processor_does_not_count() {
        const LONG: Duration = Duration::from_millis(400);
        let count = 3 * thread::available_parallelism().unwrap().get();
        let together = std::sync::Barrier::new(count);
        let work = || {
            together.wait();
            let stopwatch = Stopwatch::start();
            while stopwatch.begun.elapsed() < LONG {
                std::hint::spin_loop();
            }
            stopwatch.taken()
        };
        let taken = thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<Duration>()
        });
        assert!(taken < LONG * count as u32 * 3 / 4, "{taken:?} by {count} threads");
    }
}
