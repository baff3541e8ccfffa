//! What each thread is doing: the actions that the host has called and that have not returned.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::action::Action;
use crate::effect::Effect;
use crate::host::HostState;
use crate::images::Fetched;
use crate::images::rendering::Rendering;
use crate::overlay::Canvas;
use crate::rules::{Faults, Rule};
use crate::status::Status;

/// One action under way.
pub(crate) struct Doing {
    pub(crate) action: Action,
    pub(crate) host: Arc<HostState>,
    /// Tells plug-ins of one host apart.
    pub(crate) plugin: usize,
    pub(crate) effect: Option<Arc<Effect>>,
    /// Of the action, where it has one.
    pub(crate) time: Option<f64>,
    pub(crate) rendering: Option<Arc<Rendering>>,
    pub(crate) canvas: Option<Arc<Canvas>>,
    /// Whether it tells of what the artist has done by hand.
    pub(crate) by_artist: bool,
    /// Fetched in this action and not yet released.
    pub(crate) images: Mutex<HashMap<usize, Fetched>>,
    /// Edits begun less edits ended.
    pub(crate) edits: AtomicI32,
}

impl Doing {
    pub(crate) fn new(host: &Arc<HostState>, plugin: usize, action: Action) -> Self {
        Self {
            action,
            host: host.clone(),
            plugin,
            effect: None,
            time: None,
            rendering: None,
            canvas: None,
            by_artist: false,
            images: Mutex::default(),
            edits: AtomicI32::new(0),
        }
    }

    pub(crate) fn fault(&self, rule: Rule, words: String) {
        let mut during = self.action.name().to_owned();
        if let Some(effect) = &self.effect {
            during = format!("{during} of {}", effect.title());
        }
        self.host.faults.add(rule, &during, words);
    }

    /// When it has returned.
    pub(crate) fn check_left(&self) {
        let kept = self.images.lock().len();
        if kept > 0 {
            self.fault(Rule::ReleasedImage, format!("{kept} images were not released"));
        }
        let edits = self.edits.load(Ordering::Relaxed);
        if edits != 0 {
            let words = format!("{edits} edits were begun and not ended");
            self.fault(Rule::BalancedEdit, words);
        }
    }
}

thread_local! {
    static STACK: RefCell<Vec<Arc<Doing>>> = const { RefCell::new(Vec::new()) };
    /// On a thread of the plug-in's: the host that it was seen to call.
    static STRANGER_TO: RefCell<Weak<HostState>> = const { RefCell::new(Weak::new()) };
}

/// A thread of the plug-in's calls this host.
pub(crate) fn note_stranger(host: &Arc<HostState>, words: String) {
    STRANGER_TO.set(Arc::downgrade(host));
    host.faults.add(Rule::HostThread, NO_ACTION, words);
}

/// The innermost action of this thread.
pub(crate) fn now() -> Option<Arc<Doing>> {
    STACK.with_borrow(|stack| stack.last().cloned())
}

/// The innermost action of this thread; a fault where there is none.
pub(crate) fn here() -> Result<Arc<Doing>, Status> {
    now().ok_or_else(|| {
        let words = "a suite is called outside of every action".to_owned();
        fault(Rule::HostThread, words);
        Status::FAILED
    })
}

/// The innermost action of this thread that has what is looked for.
pub(crate) fn innermost<T>(look: impl Fn(&Doing) -> Option<T>) -> Option<T> {
    STACK.with_borrow(|stack| stack.iter().rev().find_map(|doing| look(doing)))
}

/// How many actions of this kind this thread is in.
pub(crate) fn depth(action: &Action) -> usize {
    STACK.with_borrow(|stack| stack.iter().filter(|doing| doing.action == *action).count())
}

/// Does something as part of an action.
pub(crate) fn within<R>(doing: &Arc<Doing>, work: impl FnOnce() -> R) -> R {
    /// Leaves the action however the work ends.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            STACK.with_borrow_mut(Vec::pop);
        }
    }
    STACK.with_borrow_mut(|stack| stack.push(doing.clone()));
    let _leave = Leave;
    work()
}

/// Where a fault shows outside of every action.
const NO_ACTION: &str = "no action";

/// Lays a fault at the door of the action under way; where there is none, at that of the host that
/// the thread is known to call, or of the only host.
pub(crate) fn fault(rule: Rule, words: String) {
    if let Some(doing) = now() {
        return doing.fault(rule, words);
    }
    let known = STRANGER_TO.with_borrow(Weak::upgrade).map(|host| host.faults.clone());
    if let Some(faults) = known.or_else(Faults::of_the_only_host) {
        faults.add(rule, NO_ACTION, words);
    }
}

/// A suite is called.
pub(crate) fn note_call(function: &str) {
    if let Some(doing) = now()
        && doing.action == Action::SetHost
    {
        doing.fault(Rule::QuietSetHost, format!("{function} is called"));
    }
}
