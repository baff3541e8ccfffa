//! Projects: a timeline, a format, and nodes.

#![forbid(unsafe_code)]

pub(crate) mod file;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::node::lifecycle::{self, Refused};
use crate::node::{Node, NodeState};
use crate::params::change::{self, Reason};
use crate::plugin::Loaded;
use crate::profile::{Context, Profile};
use crate::rules::fail;

/// Format and timing of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Width and height, in canonical coordinates.
    pub size: [f64; 2],
    /// Where the lower left corner lies.
    pub offset: [f64; 2],
    /// Width of a pixel by its height.
    pub pixel_aspect: f64,
    /// Frames per second of the project.
    pub frame_rate: f64,
    /// First and last frame.
    pub timeline: [f64; 2],
}

impl Settings {
    fn of(profile: &Profile) -> Self {
        Self {
            size: profile.size,
            offset: profile.offset,
            pixel_aspect: profile.pixel_aspect,
            frame_rate: profile.frame_rate,
            timeline: profile.timeline,
        }
    }
}

pub(crate) struct ProjectState {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) time: Mutex<f64>,
    nodes: Mutex<Vec<Arc<NodeState>>>,
}

impl ProjectState {
    pub(crate) fn now(&self) -> f64 {
        *self.time.lock()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.lock().clone()
    }

    pub(crate) fn remove(&self, node: &Arc<NodeState>) {
        self.nodes.lock().retain(|other| !Arc::ptr_eq(other, node));
    }
}

/// A project with nodes of one plug-in. Its nodes go with it.
pub struct Project {
    state: Arc<ProjectState>,
}

impl Project {
    pub(crate) fn new(loaded: &Arc<Loaded>) -> Self {
        let settings = Settings::of(&loaded.host.profile);
        let state = ProjectState {
            loaded: loaded.clone(),
            time: Mutex::new(settings.timeline[0]),
            settings: Mutex::new(settings),
            nodes: Mutex::default(),
        };
        Self { state: Arc::new(state) }
    }

    pub(crate) fn open(loaded: &Arc<Loaded>, path: &Path) -> Result<Self, file::OpenError> {
        let project = Self::new(loaded);
        file::open(&project.state, path, |node| project.keep(node))?;
        Ok(project)
    }

    fn keep(&self, node: Arc<NodeState>) {
        self.state.nodes.lock().push(node);
    }

    /// Adds a node, and opens its panel where there is an artist.
    ///
    /// # Errors
    /// Where the plug-in is not for that context, or refuses to be created.
    #[track_caller]
    pub fn add(&self, context: Context) -> Result<Node, Refused> {
        let count = self.state.nodes.lock().len();
        let name = (count + 1..)
            .map(|nth| format!("Node{nth}"))
            .find(|name| self.node(name).is_none())
            .unwrap_or_default();
        let state = lifecycle::add(&self.state, &name, context, &[])?;
        self.keep(state.clone());
        let node = Node { state };
        if !node.state.host().profile.background {
            node.open_panel();
        }
        self.state.loaded.host.faults.check();
        Ok(node)
    }

    /// Adds a node in the context that the host prefers.
    ///
    /// # Errors
    /// Where the plug-in refuses to be created.
    #[track_caller]
    pub fn add_preferred(&self) -> Result<Node, Refused> {
        let preferred = self.state.loaded.host.profile.contexts.iter();
        let mut known = preferred.filter(|c| self.state.loaded.contexts.contains_key(c));
        self.add(known.next().copied().unwrap_or(Context::General))
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Node> {
        let nodes = self.state.nodes.lock();
        nodes.iter().find(|node| node.name == name).map(|state| Node { state: state.clone() })
    }

    /// All nodes, oldest first.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.state.nodes.lock().iter().map(|state| Node { state: state.clone() }).collect()
    }

    /// Another node with the same values, as by copy and paste.
    ///
    /// # Errors
    /// Where the plug-in refuses to be created.
    #[track_caller]
    pub fn duplicate(&self, node: &Node) -> Result<Node, Refused> {
        let values = node.state.values();
        let count = self.state.nodes.lock().len();
        let name = (count + 1..)
            .map(|nth| format!("Node{nth}"))
            .find(|name| self.node(name).is_none())
            .unwrap_or_default();
        let state = lifecycle::add(&self.state, &name, node.state.context, &values)?;
        self.keep(state.clone());
        self.state.loaded.host.faults.check();
        Ok(Node { state })
    }

    /// Format and timing, as they are now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.state.settings()
    }

    /// Changes format and timing.
    #[track_caller]
    pub fn set_settings(&self, settings: Settings) {
        *self.state.settings.lock() = settings;
        for node in self.nodes() {
            node.state.describe_project();
        }
    }

    /// Where the artist is in time.
    #[must_use]
    pub fn time(&self) -> f64 {
        self.state.now()
    }

    /// Goes to a time. Nodes with animated parameters hear of it.
    #[track_caller]
    pub fn go_to(&self, time: f64) {
        self.state.loaded.host.on_main_thread();
        let before = std::mem::replace(&mut *self.state.time.lock(), time);
        for node in self.nodes() {
            for effect in node.state.instances() {
                let changed = |param: &Arc<crate::params::Param>| {
                    let curve = param.curve.lock();
                    curve.is_animating()
                        && curve.at(before, param.kind) != curve.at(time, param.kind)
                };
                let params: Vec<_> = effect.params.all().into_iter().filter(changed).collect();
                let names: Vec<_> = params.iter().map(|param| param.id.as_str()).collect();
                if self.state.loaded.host.profile.bare_time_changes {
                    change::tell(&effect, "OfxTypeParameter", &[], Reason::Time, time);
                } else if !names.is_empty() {
                    change::tell(&effect, "OfxTypeParameter", &names, Reason::Time, time);
                }
            }
            node.state.after_action();
        }
        self.state.loaded.host.faults.check();
    }

    /// Saves what hosts save: values of persistent parameters.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) {
        self.state.loaded.host.on_main_thread();
        for node in self.nodes() {
            node.sync();
        }
        if let Err(error) = file::save(&self.state, &self.state.nodes.lock(), path.as_ref()) {
            fail(&format!("{}: {error}", path.as_ref().display()));
        }
    }

    /// Something outside the host has changed (a take was made, say): a state may from now on look
    /// different from before.
    pub fn world_changed(&self) {
        self.state.loaded.host.forget_digests();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for node in std::mem::take(&mut *self.state.nodes.lock()) {
            lifecycle::destroy(&node);
        }
        self.state.loaded.host.faults.check();
    }
}
