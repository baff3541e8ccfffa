//! What happens when a page of a mapped file is not there: zeros take its place, and the map is marked.
//!
//! The system tells it by SIGBUS, to the thread that wanted the page. Its handler looks whether the page is
//! of one of our maps, and puts pages of zeros where the rest of that map was: the thread goes on. Whatever
//! else is wrong goes the way that it went before.

use std::io;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// Files that are mapped at once at most: a model's shards and a few models more.
const MOST: usize = 128;

/// Each place for a map; read by the handler, which may not wait for a lock.
static PLACES: [MapPlace; MOST] = [const { MapPlace::free() }; MOST];

/// Where a map lies.
struct MapPlace {
    taken: AtomicBool,
    /// Both 0 where there is no map.
    begin: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

impl MapPlace {
    const fn free() -> Self {
        let (begin, end) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { taken: AtomicBool::new(false), begin, end, lost: AtomicBool::new(false) }
    }
}

/// What the handler needs besides.
struct Handling {
    page: usize,
    /// Who had the signal before.
    before: libc::sigaction,
}

static HANDLING: OnceLock<Option<Handling>> = OnceLock::new();

/// A map that the handler knows, as long as this lives.
#[derive(Debug)]
pub(super) struct GuardedRange(usize);

impl GuardedRange {
    /// Of so many bytes from an address on, a multiple of a page; nothing where the system does not let its
    /// signal be handled, or there are too many maps.
    pub(super) fn of(begin: usize, bytes: usize) -> Option<Self> {
        HANDLING
            .get_or_init(|| match handle() {
                Ok(handling) => Some(handling),
                Err(error) => {
                    log::info!("files are not computed with where they are mapped: {error}");
                    None
                }
            })
            .as_ref()?;
        let free = PLACES.iter().position(|place| !place.taken.swap(true, Ordering::AcqRel))?;
        let place = &PLACES[free];
        place.lost.store(false, Ordering::Release);
        place.end.store(begin + bytes, Ordering::Release);
        place.begin.store(begin, Ordering::Release);
        Some(Self(free))
    }

    /// Whether no page of it was lost.
    pub(super) fn is_whole(&self) -> bool {
        !PLACES[self.0].lost.load(Ordering::Acquire)
    }
}

impl Drop for GuardedRange {
    fn drop(&mut self) {
        let place = &PLACES[self.0];
        place.begin.store(0, Ordering::Release);
        place.end.store(0, Ordering::Release);
        place.taken.store(false, Ordering::Release);
    }
}

/// Has the signal come to [`lost_page`].
fn handle() -> io::Result<Handling> {
    // SAFETY: all of it is plain numbers and pointers, for which zeros are a value; the system fills it.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the same; the handler is async-signal-safe: it reads atomics and makes one system call.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = lost_page as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before)
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Handling { page: page_bytes(), before })
}

/// Bytes of a page of the system.
pub(super) fn page_bytes() -> usize {
    // SAFETY: it only answers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).unwrap_or(4096).max(1)
}

extern "C" fn lost_page(signal: c_int, about: *mut siginfo_t, context: *mut c_void) {
    let Some(Some(handling)) = HANDLING.get() else { return leave_to_the_system() };
    // SAFETY: the system says where.
    let wanted = unsafe { (*about).si_addr() } as usize;
    let found = PLACES.iter().find(|place| {
        wanted >= place.begin.load(Ordering::Acquire) && wanted < place.end.load(Ordering::Acquire)
    });
    if let Some(place) = found {
        place.lost.store(true, Ordering::Release);
        if zeros(wanted - wanted % handling.page, place.end.load(Ordering::Acquire)) {
            return;
        }
    }
    match handling.before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => leave_to_the_system(),
        // SAFETY: whoever set it handles this signal by a function that takes what it is given.
        other if handling.before.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(other)(
                signal, about, context,
            );
        },
        // SAFETY: the same, of one that takes the signal's number alone.
        other => unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(other)(signal) },
    }
}

/// Puts pages of zeros where a map was, from a page of it to its end; whether that could be done.
fn zeros(begin: usize, end: usize) -> bool {
    let (protection, kind) =
        (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: those pages are a map's of ours, which is read through pointers only and unmapped as a whole;
    // the thread that was interrupted finds the place for its errors as it was.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        let place = without_provenance_mut(begin);
        let made = libc::mmap(place, end - begin, protection, kind, -1, 0);
        *errno = kept;
        made != libc::MAP_FAILED
    }
}

/// The signal comes again, to the system itself, which ends the process as if nobody handled it.
fn leave_to_the_system() {
    // SAFETY: this system call may be made by a handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGBUS, &raw const action, null_mut());
    }
}
