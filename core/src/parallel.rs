//! Work in pieces, on the threads that libtorch computes with.
//!
//! An operator of libtorch splits itself, but between two of them all threads wait for the slowest,
//! and what one has left in its cache the next finds in another's. Where a chain of operators works
//! on rows that do not meet, each thread goes through the whole chain here, row by row.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Result;

/// Calls `piece` with each number below `count`, once, on as many threads as libtorch computes with
/// on the CPU. Operators called from a piece run on its thread alone; they record no gradients.
///
/// # Errors
/// The first error of a piece; pieces not yet begun are left out then.
pub(crate) fn for_each(count: usize, piece: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
    let pieces = Pieces {
        count,
        piece,
        next: AtomicUsize::new(0),
        ended: AtomicBool::new(false),
        failed: Mutex::default(),
    };
    // All of them, even for fewer pieces: OpenMP ends the threads that a smaller team has no use for.
    let threads = tch::get_num_threads();
    if threads < 2 || count < 2 || !region::run(&pieces, threads) {
        pieces.work();
    }
    match pieces.failed.into_inner() {
        None => Ok(()),
        Some(Failure::Error(error)) => Err(error),
        Some(Failure::Panic(cause)) => std::panic::resume_unwind(cause),
    }
}

struct Pieces<'a> {
    count: usize,
    piece: &'a (dyn Fn(usize) -> Result<()> + Sync),
    next: AtomicUsize,
    ended: AtomicBool,
    failed: Mutex<Option<Failure>>,
}

enum Failure {
    Error(crate::Error),
    Panic(Box<dyn std::any::Any + Send>),
}

impl Pieces<'_> {
    /// What each thread does: takes pieces until none is left.
    fn work(&self) {
        let _guard = tch::no_grad_guard();
        while !self.ended.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            // A panic must not unwind into OpenMP.
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.piece)(index)));
            let failure = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => Failure::Error(error),
                Err(cause) => Failure::Panic(cause),
            };
            self.ended.store(true, Ordering::Relaxed);
            self.failed.lock().get_or_insert(failure);
        }
    }
}

/// OpenMP's threads, which libtorch and its BLAS use: from threads of our own, each would start a
/// team of its own beside them.
#[cfg(unix)]
#[allow(unsafe_code)]
mod region {
    use std::ffi::{c_uint, c_void};
    use std::sync::LazyLock;

    use super::Pieces;

    type Member = unsafe extern "C" fn(*mut c_void);
    /// What a compiler makes of `#pragma omp parallel num_threads(n)`: every member of a team of n
    /// threads calls the function, and all have returned when this does.
    type Parallel = unsafe extern "C" fn(Member, *mut c_void, c_uint, c_uint);

    /// Of the OpenMP that libtorch was linked with: GNU's, or LLVM's, which has it too.
    static PARALLEL: LazyLock<Option<Parallel>> = LazyLock::new(|| {
        let process = libloading::os::unix::Library::this();
        // SAFETY: the name belongs to OpenMP's runtime in any process, with this type (GOMP_4.0).
        let found = unsafe { process.get::<Parallel>(b"GOMP_parallel\0") };
        if found.is_err() {
            log::info!("no OpenMP in this process: weights are merged on one thread");
        }
        // The runtime is never unloaded: libtorch is linked with it.
        found.ok().map(|symbol| *symbol)
    });

    /// Whether there are such threads; if so, the work is done.
    pub(super) fn run(pieces: &Pieces<'_>, threads: i32) -> bool {
        let (Some(parallel), Ok(threads)) = (*PARALLEL, c_uint::try_from(threads)) else {
            return false;
        };
        let context = std::ptr::from_ref(pieces).cast_mut().cast::<c_void>();
        // SAFETY: `pieces` outlives the call, which returns when every member has; members only
        // share it, and it is Sync.
        unsafe { parallel(member, context, threads, 0) };
        true
    }

    unsafe extern "C" fn member(context: *mut c_void) {
        // SAFETY: `run` passes a live `Pieces`, which nobody changes but through its atomics and
        // its lock.
        let pieces = unsafe { &*context.cast::<Pieces<'_>>() };
        pieces.work();
    }
}

#[cfg(not(unix))]
mod region {
    pub(super) fn run(_pieces: &super::Pieces<'_>, _threads: i32) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::Error;

    #[test]
    fn each_piece_is_done_once_and_by_more_than_one_thread() {
        let threads = tch::get_num_threads();
        tch::set_num_threads(2);
        let done = Mutex::new(Vec::new());
        for_each(20, &|index| {
            thread::sleep(Duration::from_millis(5));
            done.lock().push((index, thread::current().id()));
            Ok(())
        })
        .unwrap();
        tch::set_num_threads(threads);
        let done = done.into_inner();
        let pieces: BTreeSet<_> = done.iter().map(|(index, _)| *index).collect();
        assert_eq!((done.len(), pieces), (20, (0..20).collect()));
        let by: std::collections::HashSet<_> = done.iter().map(|(_, thread)| *thread).collect();
        assert_eq!(by.len(), 2, "libtorch's OpenMP was not found in this process");
    }

    #[test]
    fn an_error_ends_the_work_and_a_panic_goes_on_in_the_caller() {
        let done = AtomicUsize::new(0);
        let error = for_each(1000, &|index| {
            done.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
            if index == 3 { Err(Error::Input("no".into())) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "no");
        assert!(done.into_inner() < 1000);
        let panicked = std::panic::catch_unwind(|| for_each(4, &|_| panic!("lost")));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "lost");
    }
}
