//! Multi-thread suite, version 1, with real threads.

#![allow(unsafe_code, reason = "a function of the plug-in is called, and one answers otherwise")]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{with_exposed_provenance_mut, without_provenance_mut};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use openfx_sys::{OfxMultiThreadSuiteV1, OfxMutexHandle, OfxThreadFunctionV1};
use parking_lot::{Condvar, Mutex};

use crate::boundary::{Handled, Opaque, Place, Received, suite_functions, without};
use crate::doing;
use crate::host::HostState;
use crate::registry::Handle;
use crate::rules::Rule;
use crate::status::Status;

thread_local! {
    /// Number of a thread that this suite started.
    static INDEX: Cell<Option<u32>> = const { Cell::new(None) };
}

/// As many as the host lets the plug-in use.
fn processors() -> Result<u32, Status> {
    let there = || {
        let count = thread::available_parallelism().map_or(1, |count| count.get());
        u32::try_from(count).unwrap_or(1)
    };
    Ok(doing::here()?.host.profile.processors.unwrap_or_else(there))
}

/// A mutex of the host's, which one thread may lock several times.
struct Lock {
    handle: Handle,
    host: Arc<HostState>,
    plugin: usize,
    held: Mutex<(Option<ThreadId>, u32)>,
    freed: Condvar,
}

impl Handled for Lock {
    const WHAT: &'static str = "a mutex";

    fn host(&self) -> Option<Arc<HostState>> {
        Some(self.host.clone())
    }
}

/// Until they are destroyed.
static LOCKS: OnceLock<Mutex<Vec<Arc<Lock>>>> = OnceLock::new();

/// How many mutexes a plug-in has not destroyed; they are gone by this.
pub(crate) fn take_from(host: &Arc<HostState>, plugin: usize) -> usize {
    let mut locks = LOCKS.get_or_init(Mutex::default).lock();
    let before = locks.len();
    locks.retain(|other| other.plugin != plugin || !Arc::ptr_eq(&other.host, host));
    before - locks.len()
}

impl Lock {
    fn try_take(held: &mut (Option<ThreadId>, u32)) -> bool {
        let me = thread::current().id();
        let free = held.1 == 0 || held.0 == Some(me);
        if free {
            *held = (Some(me), held.1 + 1);
        }
        free
    }
}

struct Work(OfxThreadFunctionV1);

impl Received<OfxThreadFunctionV1> for Work {
    unsafe fn received(given: OfxThreadFunctionV1) -> Result<Self, Status> {
        Ok(Self(given))
    }
}

suite_functions! {
    fn multi_thread(work: Work as OfxThreadFunctionV1, threads: u32 as c_uint, argument: Opaque as *mut c_void) {
        let work = work.0.ok_or(Status::ERR_VALUE)?;
        if INDEX.get().is_some() {
            return Err(Status::ERR_EXISTS);
        }
        let doing = doing::here()?;
        let most = doing.host.profile.processors.unwrap_or(64);
        let threads = if threads == 0 { processors()? } else { threads.min(most) };
        let argument = argument.0;
        thread::scope(|scope| {
            for index in 0..threads {
                let doing = &doing;
                scope.spawn(move || {
                    INDEX.set(Some(index));
                    doing::within(doing, || {
                        // SAFETY: the plug-in gives a function of this type and its argument, and
                        // waits here until all have returned.
                        unsafe { work(index, threads, with_exposed_provenance_mut(argument)) }
                    });
                });
            }
        });
        Ok(())
    }

    fn count(place: Place<c_uint> as *mut c_uint) {
        place.put(processors()?);
        Ok(())
    }

    fn index(place: Place<c_uint> as *mut c_uint) {
        place.put(INDEX.get().ok_or(Status::FAILED)?);
        Ok(())
    }

    fn create(place: Place<OfxMutexHandle> as *mut OfxMutexHandle, locked: i32 as c_int) {
        let doing = doing::here()?;
        let locked = u32::try_from(locked).map_err(|_| Status::ERR_VALUE)?;
        let made = Arc::new_cyclic(|me| Lock {
            handle: Handle::of(me),
            host: doing.host.clone(),
            plugin: doing.plugin,
            held: Mutex::new(((locked > 0).then(|| thread::current().id()), locked)),
            freed: Condvar::new(),
        });
        place.put(without_provenance_mut(made.handle.number()));
        LOCKS.get_or_init(Mutex::default).lock().push(made);
        Ok(())
    }

    fn destroy(mutex: Arc<Lock> as OfxMutexHandle) {
        if mutex.held.lock().1 > 0 {
            doing::fault(Rule::GivenBack, "a mutex is destroyed while it is locked".to_owned());
        }
        LOCKS.get_or_init(Mutex::default).lock().retain(|other| !Arc::ptr_eq(other, &mutex));
        Ok(())
    }

    fn take(mutex: Arc<Lock> as OfxMutexHandle) {
        let mut held = mutex.held.lock();
        while !Lock::try_take(&mut held) {
            mutex.freed.wait(&mut held);
        }
        Ok(())
    }

    fn give(mutex: Arc<Lock> as OfxMutexHandle) {
        let mut held = mutex.held.lock();
        if held.1 == 0 {
            doing::fault(Rule::GivenBack, "a mutex is unlocked that is not locked".to_owned());
            return Err(Status::FAILED);
        }
        held.1 -= 1;
        mutex.freed.notify_one();
        Ok(())
    }

    fn try_take(mutex: Arc<Lock> as OfxMutexHandle) {
        if Lock::try_take(&mut mutex.held.lock()) { Ok(()) } else { Err(Status::FAILED) }
    }
}

unsafe extern "C" fn is_spawned() -> c_int {
    c_int::from(INDEX.get().is_some())
}

pub(super) fn suite(nulls: &[String]) -> OfxMultiThreadSuiteV1 {
    let mut suite = OfxMultiThreadSuiteV1 {
        multiThread: Some(multi_thread),
        multiThreadNumCPUs: Some(count),
        multiThreadIndex: Some(index),
        multiThreadIsSpawnedThread: Some(is_spawned),
        mutexCreate: Some(create),
        mutexDestroy: Some(destroy),
        mutexLock: Some(take),
        mutexUnLock: Some(give),
        mutexTryLock: Some(try_take),
    };
    without!(
        suite,
        nulls,
        [
            multiThread,
            multiThreadNumCPUs,
            multiThreadIndex,
            multiThreadIsSpawnedThread,
            mutexCreate,
            mutexDestroy,
            mutexLock,
            mutexUnLock,
            mutexTryLock,
        ]
    );
    suite
}
