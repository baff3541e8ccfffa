//! Which handles live. A handle is a number that is given once and looked up at each use, so that a
//! wrong or stale one is a fault and never a crash.

#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::RwLock;

type Object = dyn Any + Send + Sync;

static LIVE: OnceLock<RwLock<HashMap<usize, Weak<Object>>>> = OnceLock::new();

/// Far from memory of any program, so that who follows a handle falls at once.
const FIRST: usize = 0x5a5a_0000_0000;
const STEP: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(FIRST);

/// The number under which an object is known; forgotten with the object.
#[derive(Debug)]
pub(crate) struct Handle(usize);

impl Handle {
    /// For an object that is being made.
    pub(crate) fn of<T: Any + Send + Sync>(object: &Weak<T>) -> Self {
        let number = NEXT.fetch_add(STEP, Ordering::Relaxed);
        let object: Weak<Object> = object.clone();
        LIVE.get_or_init(RwLock::default).write().insert(number, object);
        Self(number)
    }

    pub(crate) fn number(&self) -> usize {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        LIVE.get_or_init(RwLock::default).write().remove(&self.0);
    }
}

/// Why a handle leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Null,
    /// It led somewhere until that was destroyed.
    Stale,
    OfAnotherKind,
    /// No handle of this host.
    Never,
}

impl Lost {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Null => "is null",
            Self::Stale => "is of something that is gone",
            Self::OfAnotherKind => "is of something else",
            Self::Never => "is none of this host's",
        }
    }
}

/// The object behind a handle.
pub(crate) fn find<T: Any + Send + Sync>(number: usize) -> Result<Arc<T>, Lost> {
    if number == 0 {
        return Err(Lost::Null);
    }
    let given = FIRST..NEXT.load(Ordering::Relaxed);
    if !given.contains(&number) || !(number - FIRST).is_multiple_of(STEP) {
        return Err(Lost::Never);
    }
    let object = LIVE.get_or_init(RwLock::default).read().get(&number).and_then(Weak::upgrade);
    object.ok_or(Lost::Stale)?.downcast::<T>().map_err(|_| Lost::OfAnotherKind)
}
