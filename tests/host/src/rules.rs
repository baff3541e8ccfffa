//! What a plug-in must not do, and what it was seen doing.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

/// A rule that a plug-in can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An action is answered with a number that OpenFX knows.
    KnownStatus,
    /// An action is answered with a status that this action may have.
    FittingStatus,
    /// A handle is of the right kind and still lives.
    LiveHandle,
    /// What must not be null is not.
    NotNull,
    /// A property has the type that OpenFX gives it.
    PropertyType,
    /// A property is set from its first index on, within its dimension.
    PropertyIndex,
    /// Only what the plug-in may write is written.
    ReadOnlyProperty,
    /// A string that the host lent is copied before the next call to the host.
    DanglingString,
    /// A string is UTF-8.
    Utf8,
    /// Suites are called inside an action, on a thread of the host.
    HostThread,
    /// `setHost` stores the pointer and calls nothing.
    QuietSetHost,
    /// Describing twice says the same.
    SameDescription,
    /// A parameter or clip is defined once, with a type that exists, while describing in a context.
    Definition,
    /// A default lies within its range, an option exists.
    DefaultInRange,
    /// Parameters are set where that is allowed, never where pictures are made or asked about.
    SetWhereAllowed,
    /// No parameter is set while an instance is created.
    NoSetInCreate,
    /// While rendering, a parameter is read at a time.
    ReadAtTime,
    /// An edit that is begun is ended in the same action.
    BalancedEdit,
    /// Nothing undoable is written in answer to undo and redo.
    UndisturbedUndo,
    /// A change does not lead to changes without end.
    BoundedRecursion,
    /// Every image is released once, before the action ends.
    ReleasedImage,
    /// Images are fetched in actions that may fetch them.
    ImageInRender,
    /// Only pixels of the window are written.
    InsideWindow,
    /// Every pixel of the window is written.
    EveryPixel,
    /// No pixel is infinite or not a number.
    FinitePixels,
    /// One state gives one picture.
    OnePicture,
    /// An answer is a region, range or word that makes sense.
    SensibleAnswer,
    /// The interact and draw suites are used where there is something to draw on.
    DrawInDraw,
    /// Progress is started, updated and ended in this order.
    OrderedProgress,
    /// Messages that wait for the artist are not shown while rendering, nor questions asked of a
    /// host without one.
    MessageWhereAllowed,
    /// Mutexes and memory of the host are given back, once.
    GivenBack,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule that was broken.
    pub rule: Rule,
    /// The action in which that was.
    pub during: String,
    /// How it was broken, in words.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} (in {})", self.rule, self.words, self.during)
    }
}

/// What was seen of one host's plug-ins.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seen: Mutex<Vec<Fault>>,
    tolerated: Mutex<BTreeSet<Rule>>,
    collecting: AtomicBool,
}

/// Every host there is. What cannot be laid at one's door is laid at that of the only one.
static ALL: OnceLock<Mutex<Vec<Weak<Faults>>>> = OnceLock::new();

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        let faults = Arc::new(Self::default());
        let mut all = ALL.get_or_init(Mutex::default).lock();
        all.retain(|faults| faults.strong_count() > 0);
        all.push(Arc::downgrade(&faults));
        faults
    }

    /// Of the only host there is, where there is only one.
    pub(crate) fn of_the_only_host() -> Option<Arc<Self>> {
        let all = ALL.get_or_init(Mutex::default).lock();
        let mut all = all.iter().filter_map(Weak::upgrade);
        all.next().filter(|_| all.next().is_none())
    }

    pub(crate) fn add(&self, rule: Rule, during: &str, words: String) {
        if self.tolerated.lock().contains(&rule) {
            return;
        }
        let fault = Fault { rule, during: during.to_owned(), words };
        let mut seen = self.seen.lock();
        // A loop that breaks a rule at each pixel need not be told a million times.
        if seen.len() < 1000 && seen.last() != Some(&fault) {
            seen.push(fault);
        }
    }

    pub(crate) fn tolerate(&self, rule: Rule) {
        self.tolerated.lock().insert(rule);
        self.seen.lock().retain(|fault| fault.rule != rule);
    }

    pub(crate) fn collect(&self) {
        self.collecting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> Vec<Fault> {
        self.seen.lock().clone()
    }

    pub(crate) fn take(&self) -> Vec<Fault> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// Fails the test where a rule was broken, unless faults are only collected.
    #[track_caller]
    pub(crate) fn check(&self) {
        if self.collecting.load(Ordering::Relaxed) || std::thread::panicking() {
            return;
        }
        let seen = self.seen.lock().clone();
        if !seen.is_empty() {
            let told: Vec<_> = seen.iter().map(ToString::to_string).collect();
            fail(&format!("the plug-in broke rules:\n  {}", told.join("\n  ")));
        }
    }
}

/// Ends the test: a rule was broken, or the test asks for what is not there.
#[track_caller]
#[allow(clippy::panic, reason = "this is how a test fails")]
pub(crate) fn fail(words: &str) -> ! {
    panic!("{words}");
}
