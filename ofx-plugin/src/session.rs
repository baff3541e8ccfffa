//! What all nodes of this process share: the store of takes, the models, and the engine.
//!
//! There is none until a button or a render asks for a take, and none after the plug-in was
//! unloaded. No lock here is held across a call to the host.

#![forbid(unsafe_code)]

mod readiness;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use wan_alpha_take::engine::client::{ClientSetup, EngineClient};
use wan_alpha_take::engine::message::{Holder, Identity, Submit};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{Manifest, ModelError};
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{NUMERICS, TakeKey, TakeRequest};

use crate::environment;
use crate::host::Host;
use crate::parsed_request::ParsedRequest;
pub(crate) use readiness::{JobProgress, JobReadiness};

/// Takes that stay open: a few nodes at play.
const OPEN_TAKES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// Hidden texts whose meaning is remembered: two of each of many nodes.
const READ_TEXTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

static STUDIO: Mutex<Option<Arc<PluginSession>>> = Mutex::new(None);

/// What all nodes of this process share.
pub(crate) struct PluginSession {
    pub(crate) environment: Environment,
    pub(crate) store: Store,
    /// Nobody sits before this host.
    pub(crate) batch: bool,
    client: EngineClient,
    open: Mutex<LruCache<TakeKey, Take>>,
    read: Mutex<LruCache<String, Arc<ParsedRequest>>>,
    /// The take of each node, as last seen.
    nodes: Mutex<HashMap<String, TakeKey>>,
    /// Generates whose node is gone, and which may still be at work.
    left: Mutex<HashMap<TakeKey, Vec<Holder>>>,
    /// Renders of this process that wait for a take.
    waiting: Mutex<HashMap<TakeKey, usize>>,
    /// Records of models, and when they were read.
    models: Mutex<HashMap<String, (Instant, Manifest)>>,
    /// Takes whose absence was told.
    missed: Mutex<HashSet<TakeKey>>,
    /// When the engine was last asked what it is doing.
    asked: Mutex<Option<Instant>>,
}

impl PluginSession {
    /// The session of this process; opened at the first call.
    pub(crate) fn of(host: Host) -> Arc<Self> {
        // Asked before the lock is taken.
        let background = host.is_background();
        let mut session = STUDIO.lock();
        Arc::clone(
            session.get_or_insert_with(|| Arc::new(Self::open(environment::read(), background))),
        )
    }

    /// Whether nobody sits before this host. Opens nothing.
    pub(crate) fn is_batch(host: Host) -> bool {
        match Self::opened() {
            Some(session) => session.batch,
            None => host.is_background() || environment::says_batch(),
        }
    }

    /// The session, if there was a reason to open one.
    pub(crate) fn opened() -> Option<Arc<Self>> {
        STUDIO.lock().clone()
    }

    /// Leaves nothing behind: the engine's client flushes what is left to send and its thread ends.
    pub(crate) fn close() {
        let session = STUDIO.lock().take();
        drop(session);
    }

    fn open(environment: Environment, background: bool) -> Self {
        let batch = background || environment.batch;
        let store = Store::new(environment.stores.clone());
        let identity = Identity::new(env!("CARGO_PKG_VERSION"), NUMERICS);
        let setup = ClientSetup::of(&environment, identity, engine_of_bundle(), !batch);
        let client = EngineClient::new(setup);
        Self {
            environment,
            store,
            batch,
            client,
            open: Mutex::new(LruCache::new(OPEN_TAKES)),
            read: Mutex::new(LruCache::new(READ_TEXTS)),
            nodes: Mutex::default(),
            left: Mutex::default(),
            waiting: Mutex::default(),
            models: Mutex::default(),
            missed: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// What a hidden text of a node means.
    pub(crate) fn read(&self, text: String) -> Arc<ParsedRequest> {
        if let Some(known) = self.read.lock().get(&text) {
            return Arc::clone(known);
        }
        let entry = Arc::new(ParsedRequest::read(&text));
        self.read.lock().put(text, Arc::clone(&entry));
        entry
    }

    /// Has a take made for somebody who pressed Generate, and gives up what that node wanted before.
    pub(crate) fn generate(&self, request: &TakeRequest, key: TakeKey, node: &str) {
        self.submit(request, key, Holder::Generate { node: node.to_owned() });
    }

    /// A node has this take in its parameters, or none.
    pub(crate) fn has(&self, node: &str, key: Option<TakeKey>) {
        let mut nodes = self.nodes.lock();
        match key {
            Some(key) => nodes.insert(node.to_owned(), key),
            None => nodes.remove(node),
        };
    }

    /// A node no longer wants the take that it asked for.
    pub(crate) fn give_up(&self, key: TakeKey, node: &str) {
        self.client.cancel(key, Holder::Generate { node: node.to_owned() });
    }

    /// A node no longer wants a take that was asked for by one that is gone: by an earlier instance
    /// of it, or in an earlier session. Where other nodes have the take too, it may be theirs.
    pub(crate) fn give_up_inherited(&self, key: TakeKey, node: &str) {
        if self.nodes.lock().iter().any(|(other, has)| other != node && *has == key) {
            return;
        }
        let left = self.left.lock().remove(&key).unwrap_or_default();
        for holder in left {
            self.client.cancel(key, holder);
        }
        self.give_up(key, node);
    }

    /// A node is gone; its take may be wanted by the next one that has its parameters.
    pub(crate) fn leave(&self, key: Option<TakeKey>, node: String) {
        self.has(&node, None);
        let Some(key) = key else { return };
        if self.client.job(key).is_some_and(|job| !job.is_finished()) {
            self.left.lock().entry(key).or_default().push(Holder::Generate { node });
        }
    }

    /// Waits for a take on a render's thread, as long as `go_on` says; where `wanted`, has it made.
    pub(crate) fn wait(
        &self,
        key: TakeKey,
        wanted: Option<&TakeRequest>,
        go_on: impl Fn() -> bool,
    ) -> Option<JobReadiness> {
        /// Often enough for a host that wants its thread back.
        const LOOK: Duration = Duration::from_millis(15);
        let _waiting = wanted.map(|request| Waiting::begin(self, key, request));
        let mut seen = 0;
        loop {
            match self.readiness(key) {
                JobReadiness::Pending(_) => {}
                settled => return Some(settled),
            }
            if !go_on() {
                return None;
            }
            seen = self.client.wait(seen, LOOK);
        }
    }

    /// The record of a model by its name. Events come in floods, and records hardly ever change: one
    /// that was read a moment ago will do.
    ///
    /// # Errors
    /// As [`ModelRoots::find`](wan_alpha_take::models::ModelRoots::find).
    pub(crate) fn model(&self, name: &str) -> Result<Manifest, ModelError> {
        const FRESH: Duration = Duration::from_secs(1);
        if let Some((_, manifest)) =
            self.models.lock().get(name).filter(|(read, _)| read.elapsed() < FRESH)
        {
            return Ok(manifest.clone());
        }
        let manifest = self.environment.models.find(name)?.manifest;
        self.models.lock().insert(name.to_owned(), (Instant::now(), manifest.clone()));
        Ok(manifest)
    }

    /// Waits a moment for the engine to go on.
    pub(crate) fn pause(&self, patience: Duration) {
        let seen = self.client.snapshot().revision;
        self.client.wait(seen, patience);
    }

    /// Why the engine uses no GPU, where it chose so itself.
    pub(crate) fn unused_gpu(&self) -> Option<String> {
        self.client.snapshot().device?.unused
    }

    /// Frees the model's memory, where an engine is running.
    pub(crate) fn unload(&self) {
        self.client.unload();
    }

    /// Whether this take is missed for the first time.
    pub(crate) fn warn_once(&self, key: TakeKey) -> bool {
        self.missed.lock().insert(key)
    }

    /// Every place a take is looked for, for messages.
    pub(crate) fn searched(&self) -> String {
        let folders = self.store.folders().iter().map(|folder| folder.display().to_string());
        folders.collect::<Vec<_>>().join(", ")
    }

    fn batch_holder(&self) -> Holder {
        if self.environment.allow_cpu { Holder::PatientRender } else { Holder::Render }
    }

    fn submit(&self, request: &TakeRequest, key: TakeKey, holder: Holder) {
        // An accepted request is strings, numbers and lists: JSON refuses none of it.
        let request = serde_json::to_value(request).unwrap_or_default();
        self.client.submit(Submit {
            key,
            request,
            stores: self.environment.stores.clone(),
            model_roots: self.environment.models.roots.clone(),
            holder,
        });
    }
}

/// A render that waits. The first one asks for the take; the last one to leave gives it up.
struct Waiting<'a> {
    session: &'a PluginSession,
    key: TakeKey,
}

impl<'a> Waiting<'a> {
    fn begin(session: &'a PluginSession, key: TakeKey, request: &TakeRequest) -> Self {
        let mut waiting = session.waiting.lock();
        let count = waiting.entry(key).or_default();
        *count += 1;
        // Asked for and given up under the lock, so that each is done in its turn.
        if *count == 1 {
            session.submit(request, key, session.batch_holder());
        }
        Self { session, key }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.session.waiting.lock();
        let Some(count) = waiting.get_mut(&self.key) else { return };
        *count -= 1;
        if *count == 0 {
            waiting.remove(&self.key);
            self.session.client.cancel(self.key, self.session.batch_holder());
        }
    }
}

/// The engine lies beside the plug-in.
fn engine_of_bundle() -> PathBuf {
    let name = format!("wan-alpha{}", std::env::consts::EXE_SUFFIX);
    let plugin = process_path::get_dylib_path();
    plugin
        .as_deref()
        .and_then(Path::parent)
        .map_or_else(|| name.clone().into(), |dir| dir.join(&name))
}
