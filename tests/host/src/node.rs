//! A node of a project: what an artist does with it, and what he sees.

#![forbid(unsafe_code)]

mod ask;
pub(crate) mod colors;
mod edit;
pub(crate) mod geometry;
pub(crate) mod lifecycle;
mod look;
mod render;
pub(crate) mod told;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::effect::Effect;
use crate::host::HostState;
use crate::params::undo::Steps;
use crate::params::{Curve, Param};
use crate::profile::Context;
use crate::project::ProjectState;
use crate::rules::fail;

pub use ask::{Frame, Made, RenderAsk, Tiles};

/// A node, and the instances that the host has of it.
pub(crate) struct NodeState {
    pub(crate) name: String,
    pub(crate) context: Context,
    pub(crate) project: Arc<ProjectState>,
    /// The first is the one whose panel is shown.
    instances: RwLock<Vec<Arc<Effect>>>,
    pub(crate) steps: Mutex<Steps>,
    panel_open: AtomicBool,
    pub(crate) told: Mutex<told::Told>,
    /// Raised with each change that the artist or the plug-in makes.
    changes: AtomicU64,
    /// What it was when the instances were made.
    built_at: AtomicU64,
}

impl NodeState {
    pub(crate) fn host(&self) -> Arc<HostState> {
        self.project.loaded.host.clone()
    }

    pub(crate) fn instances(&self) -> Vec<Arc<Effect>> {
        self.instances.read().clone()
    }

    pub(crate) fn primary(&self) -> Option<Arc<Effect>> {
        self.instances.read().first().cloned()
    }

    #[track_caller]
    pub(crate) fn effect(&self) -> Arc<Effect> {
        match self.primary() {
            Some(effect) => effect,
            None => fail(&format!("{} has been deleted", self.name)),
        }
    }

    pub(crate) fn is_panel_open(&self) -> bool {
        self.panel_open.load(Ordering::Relaxed)
    }

    /// A value has changed.
    pub(crate) fn touch(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// What one instance has been told, the others have too: the values are the node's.
    pub(crate) fn mirror(&self, from: &Arc<Effect>, param: &Param) {
        for other in self.instances() {
            if !Arc::ptr_eq(&other, from)
                && let Some(same) = other.params.find(&param.id)
            {
                same.replace(param.curve());
            }
        }
    }

    /// Every value that differs from the default.
    pub(crate) fn values(&self) -> Vec<(String, Curve)> {
        let params = self.primary().map(|effect| effect.params.all()).unwrap_or_default();
        let changed = |param: &&Arc<Param>| {
            param.kind.count() > 0 && param.curve() != Curve::of(param.default())
        };
        params.iter().filter(changed).map(|param| (param.id.clone(), param.curve())).collect()
    }

    pub(crate) fn describe_project(&self) {
        for effect in self.instances() {
            geometry::describe_project(&effect, &self.project.settings());
        }
    }

    /// After everything that the artist does: where instances are rebuilt at each edit, they are.
    #[track_caller]
    pub(crate) fn after_action(self: &Arc<Self>) {
        let changes = self.changes.load(Ordering::Relaxed);
        let host = self.host();
        if host.profile.rebuilds_instances
            && self.built_at.swap(changes, Ordering::Relaxed) != changes
        {
            lifecycle::rebuild(self);
        }
        host.faults.check();
    }
}

/// A node of a project. Copies are the same node; any thread may render it.
#[derive(Clone)]
pub struct Node {
    pub(crate) state: Arc<NodeState>,
}

impl Node {
    /// Its name in the project.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// In which role the plug-in is used.
    #[must_use]
    pub fn context(&self) -> Context {
        self.state.context
    }

    /// Deletes it from its project.
    #[track_caller]
    pub fn delete(&self) {
        self.state.host().on_main_thread();
        self.state.project.remove(&self.state);
        lifecycle::destroy(&self.state);
        self.state.host().faults.check();
    }

    #[track_caller]
    fn param(&self, id: &str) -> Arc<Param> {
        match self.state.effect().params.find(id) {
            Some(param) => param,
            None => fail(&format!("{} has no parameter {id:?}", self.state.name)),
        }
    }

    /// Asks for the actions that the host owes before it lets the plug-in's state be written.
    #[track_caller]
    pub fn sync(&self) {
        lifecycle::sync(&self.state.effect());
        self.state.after_action();
    }

    /// The host is short of memory.
    #[track_caller]
    pub fn purge(&self) {
        lifecycle::purge(&self.state.effect());
        self.state.after_action();
    }

    /// Opens the panel of parameters.
    #[track_caller]
    pub fn open_panel(&self) {
        self.state.host().on_main_thread();
        if !self.state.panel_open.swap(true, Ordering::Relaxed) {
            lifecycle::begin_edit(&self.state.effect());
            self.state.after_action();
        }
    }

    /// Closes the panel of parameters.
    #[track_caller]
    pub fn close_panel(&self) {
        self.state.host().on_main_thread();
        if self.state.panel_open.swap(false, Ordering::Relaxed) {
            lifecycle::end_edit(&self.state.effect());
            self.state.after_action();
        }
    }

    /// Makes its instances anew, as a host does when its timeline is edited.
    #[track_caller]
    pub fn rebuild(&self) {
        self.state.host().on_main_thread();
        lifecycle::rebuild(&self.state);
        self.state.host().faults.check();
    }

    /// The persistent message that stands now, if there is one.
    #[must_use]
    pub fn message(&self) -> Option<told::Message> {
        self.state.told.lock().persistent.clone()
    }

    /// Messages that were shown, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<told::Message> {
        self.state.told.lock().messages.clone()
    }

    /// What the plug-in has told of its progress, oldest first.
    #[must_use]
    pub fn progress(&self) -> Vec<told::Progress> {
        self.state.told.lock().progress.clone()
    }

    /// Forgets messages and progress.
    pub fn forget_told(&self) {
        *self.state.told.lock() = told::Told::default();
    }

    /// Its overlay, where the plug-in has one and makes it, and the host shows it.
    #[must_use]
    #[track_caller]
    pub fn overlay(&self) -> Option<crate::overlay::Overlay> {
        self.state.host().on_main_thread();
        let overlay = crate::overlay::Overlay::of(&self.state);
        self.state.host().faults.check();
        overlay
    }
}
