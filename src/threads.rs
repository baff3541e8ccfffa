//! On how many threads the processor computes.
//!
//! libtorch's own default knows the processors that a process may use, and not the share of them that
//! its group may have, which a container or a farm's class limits.

use std::thread::available_parallelism;

use wan_alpha_core::tch;
use wan_alpha_take::counted::counted;
use wan_alpha_take::environment::Environment;

use crate::args::Threads;

/// Sets the threads of libtorch, and of what reads and draws pictures: `--threads`, or else what the
/// user's `OMP_NUM_THREADS` says, which libtorch has taken already, or else what this process may use.
/// libtorch is asked for nothing that could concern a card.
pub(crate) fn set(asked: Threads, environment: &Environment) {
    let usable = available_parallelism().ok().and_then(|count| i32::try_from(count.get()).ok());
    let (threads, source) = match asked.threads.and_then(|count| i32::try_from(count).ok()) {
        Some(count) => (Some(count), "--threads"),
        None if environment.has_thread_count => (None, "OMP_NUM_THREADS"),
        None => (usable, "what this process may use"),
    };
    if let Some(threads) = threads {
        tch::set_num_threads(threads);
    }
    let count = tch::get_num_threads();
    log::info!("computing with {}, by {source}", counted(count, "thread"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::try_from(count).unwrap_or(1));
    if let Err(error) = pool.build_global() {
        log::debug!("the threads for pictures are set already: {error}");
    }
}
