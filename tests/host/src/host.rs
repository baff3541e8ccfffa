//! The host itself.

#![forbid(unsafe_code)]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

use crate::binary::{Binary, LoadError};
use crate::cache::FrameCache;
use crate::node::colors;
use crate::plugin::Plugin;
use crate::profile::Profile;
use crate::properties::{Place, Properties, PropertySet};
use crate::rules::{Fault, Faults, Rule, fail};
use crate::suites::Suites;

/// What all plug-ins of a host share.
pub(crate) struct HostState {
    pub(crate) profile: Profile,
    pub(crate) faults: Arc<Faults>,
    properties: OnceLock<Arc<PropertySet>>,
    pub(crate) suites: Suites,
    /// Names that the plug-in asked for and that the host does not know, with where it asked.
    pub(crate) unknown_properties: Mutex<BTreeSet<String>>,
    main_thread: ThreadId,
    actions: AtomicU64,
    pub(crate) artist: Mutex<Artist>,
    pub(crate) cache: FrameCache,
    /// What was made of each state.
    pub(crate) digests: Mutex<Digests>,
    /// Memory that plug-ins have of the memory suite, by address.
    pub(crate) allocated: Mutex<HashMap<usize, Allocated>>,
}

/// A piece of memory, and which plug-in has it.
pub(crate) type Allocated = (usize, Box<[u128]>);

/// Pictures by the state that they are of.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    /// How often the world has changed.
    pub(crate) epoch: u64,
    pub(crate) of_states: HashMap<[u8; 32], [u8; 32]>,
}

/// What the artist does when asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Artist {
    pub(crate) says_yes: bool,
    pub(crate) cancels_at: Option<u32>,
    pub(crate) deletes_at: Option<u32>,
}

impl HostState {
    pub(crate) fn properties(&self) -> Option<&Arc<PropertySet>> {
        self.properties.get()
    }

    pub(crate) fn count_action(&self) {
        self.actions.fetch_add(1, Ordering::Relaxed);
    }

    /// A state may look different from now on; also where it is being rendered at this moment.
    pub(crate) fn forget_digests(&self) {
        let mut digests = self.digests.lock();
        digests.epoch += 1;
        digests.of_states.clear();
    }

    /// Instances are made, changed and destroyed on one thread.
    #[track_caller]
    pub(crate) fn on_main_thread(&self) {
        if thread::current().id() != self.main_thread {
            fail("only the thread that made the host may do this; others may render");
        }
    }
}

/// A headless OpenFX host. The thread that makes it is its main thread.
pub struct Host {
    pub(crate) state: Arc<HostState>,
}

impl Host {
    /// One that behaves like that, and fails the test when a plug-in breaks a rule.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let suites = Suites::new(&profile);
        let state = Arc::new(HostState {
            profile,
            faults: Faults::new(),
            properties: OnceLock::new(),
            suites,
            unknown_properties: Mutex::default(),
            main_thread: thread::current().id(),
            actions: AtomicU64::new(0),
            artist: Mutex::new(Artist { says_yes: true, ..Artist::default() }),
            cache: FrameCache::default(),
            digests: Mutex::default(),
            allocated: Mutex::default(),
        });
        let properties = PropertySet::new(&state, Place::Host);
        describe_host(&state.profile, &properties);
        state.suites.introduce(properties.handle());
        let _ = state.properties.set(properties);
        Self { state }
    }

    /// Only writes down what rules are broken, for whoever wants to look at it.
    #[must_use]
    pub fn collecting(self) -> Self {
        self.state.faults.collect();
        self
    }

    /// Does not mind that a rule is broken.
    #[must_use]
    pub fn tolerating(self, rule: Rule) -> Self {
        self.state.faults.tolerate(rule);
        self
    }

    /// Keeps frames in this folder too, as hosts keep them from one session to the next.
    #[must_use]
    pub fn caching_in(self, folder: &Path) -> Self {
        self.state.cache.keep_in(folder);
        self
    }

    /// Loads the first plug-in of a bundle folder, or of a binary on its own.
    ///
    /// # Errors
    /// Where there is no binary, it cannot be loaded, or the plug-in refuses to be used.
    #[track_caller]
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Plugin, LoadError> {
        let plugin = self.open(path)?.plugin(0)?;
        self.state.faults.check();
        Ok(plugin)
    }

    /// Opens a binary without using it. Each opening is a copy with statics of its own; what is
    /// beside the binary in its bundle is reached through links.
    ///
    /// # Errors
    /// Where there is no binary or it cannot be loaded.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Binary, LoadError> {
        Binary::open(&self.state, path.as_ref())
    }

    /// What the host says about itself.
    #[must_use]
    pub fn properties(&self) -> Properties {
        let set = self.state.properties().cloned();
        Properties(set.unwrap_or_else(|| PropertySet::arguments(&self.state)))
    }

    /// The profile it was made with.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.state.profile
    }

    /// Rules that were broken so far.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.state.faults.seen()
    }

    /// Rules that were broken so far, which are forgotten by this.
    pub fn take_faults(&self) -> Vec<Fault> {
        self.state.faults.take()
    }

    /// Fails the test if a rule was broken.
    #[track_caller]
    pub fn check(&self) {
        self.state.faults.check();
    }

    /// Property names that plug-ins used and this host does not know, with where.
    #[must_use]
    pub fn unknown_properties(&self) -> Vec<String> {
        self.state.unknown_properties.lock().iter().cloned().collect()
    }

    /// How many actions plug-ins were asked for so far.
    #[must_use]
    pub fn actions(&self) -> u64 {
        self.state.actions.load(Ordering::Relaxed)
    }

    /// From now on the artist answers questions so.
    pub fn answer_questions(&self, yes: bool) {
        self.state.artist.lock().says_yes = yes;
    }

    /// From now on the artist presses Cancel at the nth update of a progress; never where none.
    pub fn cancel_progress_at(&self, update: Option<u32>) {
        self.state.artist.lock().cancels_at = update;
    }

    /// From now on the artist deletes the node at the nth update of its progress; never where none.
    /// Hosts that handle events while they show a bar let that happen.
    pub fn delete_at_progress(&self, update: Option<u32>) {
        self.state.artist.lock().deletes_at = update;
    }

    /// Something outside the host has changed (a take was made, say): a state may from now on look
    /// different from before.
    pub fn world_changed(&self) {
        self.state.forget_digests();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.state.faults.check();
    }
}

fn describe_host(profile: &Profile, set: &PropertySet) {
    let texts = |name, values: Vec<&str>| set.put(name, values);
    set.put("OfxPropType", ["OfxTypeImageEffectHost"]);
    set.put("OfxPropName", [profile.name.as_str()]);
    set.put("OfxPropLabel", [profile.label.as_str()]);
    set.put("OfxPropVersion", profile.version);
    let version = profile.version.map(|part| part.to_string()).join(".");
    set.put("OfxPropVersionLabel", [version]);
    set.put("OfxPropAPIVersion", profile.api);
    if profile.lists_contexts {
        let contexts = profile.contexts.iter().map(|context| context.name()).collect();
        texts("OfxImageEffectPropSupportedContexts", contexts);
    } else {
        set.forget("OfxImageEffectPropSupportedContexts");
        set.put("OfxImageEffectPropContext", profile.contexts.first().map(|first| first.name()));
    }
    texts(
        "OfxImageEffectPropSupportedPixelDepths",
        profile.depths.iter().map(|depth| depth.name()).collect(),
    );
    texts(
        "OfxImageEffectPropSupportedComponents",
        vec!["OfxImageComponentRGBA", "OfxImageComponentAlpha"],
    );
    if let Some(style) = profile.color_management {
        texts("OfxImageEffectPropColourManagementStyle", vec![style]);
        texts("OfxImageEffectPropColourManagementAvailableConfigs", vec![colors::CONFIGURATION]);
    }
    for (name, flag) in [
        ("OfxImageEffectHostPropIsBackground", profile.background),
        ("OfxImageEffectPropSupportsOverlays", profile.overlays),
        ("OfxImageEffectPropSupportsMultiResolution", profile.multi_resolution),
        ("OfxImageEffectPropSupportsTiles", profile.tiles),
        ("OfxImageEffectPropTemporalClipAccess", true),
        ("OfxParamHostPropSupportsStringAnimation", profile.animates_strings),
        ("OfxParamHostPropSupportsCustomInteract", false),
    ] {
        set.put(name, [i32::from(flag)]);
    }
}
