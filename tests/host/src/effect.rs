//! An effect: a plug-in's description of itself, or one instance of it.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::boundary::Handled;
use crate::clip::Clip;
use crate::host::HostState;
use crate::node::NodeState;
use crate::overlay::Interact;
use crate::params::{Param, ParamSet};
use crate::plugin::Entry;
use crate::profile::Context;
use crate::properties::{Place, PropertySet};
use crate::registry::Handle;

/// What an effect stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Descriptor,
    InContext(Context),
    Instance,
}

/// What the plug-in wants of the host, by `GetClipPreferences`.
#[derive(Clone, Debug, PartialEq)]
pub struct Preferences {
    /// How color and alpha of the output go together.
    pub premultiplication: String,
    /// Whether the picture changes with time though no parameter does.
    pub frame_varying: bool,
    /// Whether there are pictures between frames.
    pub continuous_samples: bool,
    /// Components of the output.
    pub components: String,
    /// Width of an output's pixel by its height.
    pub pixel_aspect: f64,
    /// Frames per second of its output.
    pub frame_rate: f64,
}

pub(crate) struct Effect {
    handle: Handle,
    pub(crate) host: Arc<HostState>,
    pub(crate) entry: Entry,
    pub(crate) role: Role,
    name: String,
    pub(crate) properties: Arc<PropertySet>,
    pub(crate) params: Arc<ParamSet>,
    clips: RwLock<Vec<Arc<Clip>>>,
    pub(crate) node: Weak<NodeState>,
    /// Whether it was created and not yet destroyed.
    pub(crate) lives: AtomicBool,
    /// Held by whoever renders; to destroy is to wait for them.
    pub(crate) in_use: RwLock<()>,
    /// Held by the one who renders, where the plug-in wants one at a time.
    pub(crate) rendering: Mutex<()>,
    preferences: Mutex<Option<Preferences>>,
    /// Its overlay, where one is shown.
    pub(crate) interact: Mutex<Option<Arc<Interact>>>,
}

impl Handled for Effect {
    const WHAT: &'static str = "an effect";

    fn host(&self) -> Option<Arc<HostState>> {
        Some(self.host.clone())
    }
}

impl Effect {
    /// An effect to be described, which is no instance.
    pub(crate) fn descriptor(
        host: &Arc<HostState>,
        entry: Entry,
        role: Role,
        name: &str,
        file: &str,
    ) -> Arc<Self> {
        let properties = PropertySet::new(host, Place::Descriptor);
        properties.put("OfxPropType", ["OfxTypeImageEffect"]);
        properties.put("OfxPluginPropFilePath", [file]);
        Self::new(host, entry, role, name, properties, Weak::new(), |_| (Vec::new(), Vec::new()))
    }

    /// As described in a context.
    pub(crate) fn instance(&self, node: &Arc<NodeState>) -> Arc<Self> {
        let host = &self.host;
        let properties = self.properties.made_from(host, Place::Instance);
        properties.put("OfxPropType", ["OfxTypeImageEffectInstance"]);
        let instance = Self::new(
            host,
            self.entry,
            Role::Instance,
            &node.name,
            properties,
            Arc::downgrade(node),
            |me| {
                let params =
                    self.params.all().iter().map(|param| param.made(host, me.clone())).collect();
                let clips = self.clips().iter().map(|clip| clip.made(host, me.clone())).collect();
                (params, clips)
            },
        );
        // The instance is itself; older plug-ins ask.
        instance.properties.put("OfxImageEffectPropPluginHandle", [instance.handle()]);
        instance
    }

    fn new(
        host: &Arc<HostState>,
        entry: Entry,
        role: Role,
        name: &str,
        properties: Arc<PropertySet>,
        node: Weak<NodeState>,
        parts: impl FnOnce(&Weak<Self>) -> (Vec<Arc<Param>>, Vec<Arc<Clip>>),
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let (params, clips) = parts(me);
            Self {
                handle: Handle::of(me),
                host: host.clone(),
                entry,
                role,
                name: name.to_owned(),
                properties,
                params: ParamSet::new(host, me, params),
                clips: RwLock::new(clips),
                node,
                lives: AtomicBool::new(false),
                in_use: RwLock::default(),
                rendering: Mutex::default(),
                preferences: Mutex::default(),
                interact: Mutex::default(),
            }
        })
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle.number()
    }

    pub(crate) fn title(&self) -> String {
        match self.role {
            Role::Descriptor => format!("{}'s descriptor", self.name),
            Role::InContext(context) => format!("{}'s descriptor for {context:?}", self.name),
            Role::Instance => self.name.clone(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.lives.load(Ordering::Acquire)
    }

    pub(crate) fn clips(&self) -> Vec<Arc<Clip>> {
        self.clips.read().clone()
    }

    pub(crate) fn clip(&self, name: &str) -> Option<Arc<Clip>> {
        self.clips.read().iter().find(|clip| clip.name == name).cloned()
    }

    pub(crate) fn add_clip(&self, clip: Arc<Clip>) {
        self.clips.write().push(clip);
    }

    pub(crate) fn preferences(&self) -> Option<Preferences> {
        self.preferences.lock().clone()
    }

    pub(crate) fn prefer(&self, preferences: Preferences) {
        if let Some(output) = self.clip("Output") {
            let put = |name, value: &str| output.properties.put(name, [value]);
            put("OfxImageEffectPropPreMultiplication", &preferences.premultiplication);
            put("OfxImageEffectPropComponents", &preferences.components);
            output.properties.put("OfxImagePropPixelAspectRatio", [preferences.pixel_aspect]);
            output.properties.put("OfxImageEffectPropFrameRate", [preferences.frame_rate]);
        }
        *self.preferences.lock() = Some(preferences);
    }
}
