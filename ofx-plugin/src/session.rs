//! What all nodes of this process share: the store of takes, the models, and the engine.
//!
//! There is none until a button or a render asks for a take, and none after the plug-in was
//! unloaded. No lock here is held across a call to the host.

#![forbid(unsafe_code)]

mod images;
mod previews;
mod readiness;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use wan_alpha_take::engine::client::{ClientSetup, EngineClient, EngineState};
use wan_alpha_take::engine::message::{Holder, Identity, MemoryTerms, Submit};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{Manifest, ModelError, NamedLora};
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{
    CapSource, ContentHash, MemoryLimit, NUMERICS, TakeKey, TakeRequest, Warning,
};

use crate::host::Host;
use crate::image_file::{FileStamps, ImageFile, KeptImage};
use crate::{environment, node_log};
pub(crate) use images::ImageFacts;
use previews::PreviewsByRevision;
pub(crate) use readiness::{JobProgress, JobReadiness};

/// Takes that stay open: a few nodes at play.
const OPEN_TAKES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// The session of this process, once there was a reason to open one.
static SESSION: Mutex<Option<Arc<PluginSession>>> = Mutex::new(None);

/// What a model's record said before there was a session: when, of which model, and what.
type Glimpse = (Instant, String, Option<Manifest>);
static GLIMPSE: Mutex<Option<Glimpse>> = Mutex::new(None);

/// What all nodes of this process share.
pub(crate) struct PluginSession {
    pub(crate) environment: Environment,
    pub(crate) store: Store,
    /// Whether this host renders without an artist.
    pub(crate) batch: bool,
    client: EngineClient,
    /// Takes of the store that were looked at last.
    open_takes: Mutex<LruCache<TakeKey, Take>>,
    /// The take of each node, as last seen.
    take_of_node: Mutex<HashMap<String, TakeKey>>,
    /// What nodes that are gone asked the engine for and may still get.
    orphaned: Mutex<HashMap<TakeKey, Vec<Holder>>>,
    /// How many renders of this process wait for a take.
    waiting: Mutex<HashMap<TakeKey, usize>>,
    /// Records of models, and when they were read.
    models: Mutex<HashMap<String, (Instant, Manifest)>>,
    /// LoRAs that were looked up, and when.
    loras: Mutex<HashMap<String, (Instant, NamedLora)>>,
    /// Files of images that were kept, as they were then.
    kept_images: Mutex<HashMap<ImageFile, (FileStamps, KeptImage)>>,
    /// Images of the store that were looked at.
    image_facts: Mutex<HashMap<ContentHash, ImageFacts>>,
    /// Takes that there was a warning about because they are not there; none: one without a key.
    warned: Mutex<HashSet<Option<TakeKey>>>,
    /// What is wrong with the files of takes that were found damaged.
    damaged: Mutex<HashMap<TakeKey, String>>,
    /// Takes that projects had already when they were asked for.
    made_again: Mutex<HashSet<TakeKey>>,
    /// When the engine was last asked what it is doing.
    report_requested: Mutex<Option<Instant>>,
    /// What an engine hears of the host's renders.
    renders: Mutex<HostRenders>,
    previews: PreviewsByRevision,
}

/// For so long a record that was read is taken as it was.
const FRESH: Duration = Duration::from_secs(1);

impl PluginSession {
    /// The session of this process; opened at the first call.
    pub(crate) fn of(host: Host) -> Arc<Self> {
        // Asked before the lock is taken.
        let background = host.is_background();
        let mut session = SESSION.lock();
        Arc::clone(
            session.get_or_insert_with(|| Arc::new(Self::open(environment::read(), background))),
        )
    }

    /// Whether this host renders without an artist. Opens nothing.
    pub(crate) fn is_batch(host: Host) -> bool {
        match Self::if_open() {
            Some(session) => session.batch,
            None => host.is_background() || environment::is_batch(),
        }
    }

    /// The session, if there was a reason to open one.
    pub(crate) fn if_open() -> Option<Arc<Self>> {
        SESSION.lock().clone()
    }

    /// Ends the session and leaves nothing behind: the engine's client flushes what is left to send
    /// and its thread ends.
    pub(crate) fn close() {
        let session = SESSION.lock().take();
        drop(session);
        node_log::close();
        GLIMPSE.lock().take();
    }

    fn open(environment: Environment, background: bool) -> Self {
        let batch = background || environment.batch;
        node_log::open(&environment, batch);
        let store = Store::new(environment.stores.clone());
        let identity = Identity::new(env!("CARGO_PKG_VERSION"), NUMERICS);
        let setup = ClientSetup::of(&environment, identity, bundled_engine(), !batch);
        let client = EngineClient::new(setup);
        Self {
            environment,
            store,
            batch,
            client,
            open_takes: Mutex::new(LruCache::new(OPEN_TAKES)),
            take_of_node: Mutex::default(),
            orphaned: Mutex::default(),
            waiting: Mutex::default(),
            models: Mutex::default(),
            loras: Mutex::default(),
            kept_images: Mutex::default(),
            image_facts: Mutex::default(),
            warned: Mutex::default(),
            damaged: Mutex::default(),
            made_again: Mutex::default(),
            report_requested: Mutex::default(),
            renders: Mutex::default(),
            previews: PreviewsByRevision::default(),
        }
    }

    /// Has a take made for somebody who pressed Generate, and gives up what that node wanted before.
    pub(crate) fn generate(
        &self,
        request: &TakeRequest,
        key: TakeKey,
        node: &str,
        memory: Option<MemoryLimit>,
    ) {
        log::info!("take {key}: asked for");
        self.made_again.lock().remove(&key);
        self.submit(request, key, Holder::Generate { node: node.to_owned() }, memory);
    }

    /// Has a take made that a project has already: whatever becomes of that, the project keeps it.
    pub(crate) fn make_again(
        &self,
        request: &TakeRequest,
        key: TakeKey,
        node: &str,
        memory: Option<MemoryLimit>,
    ) {
        self.generate(request, key, node, memory);
        self.made_again.lock().insert(key);
    }

    /// Whether a take was asked for last by who had it already.
    pub(crate) fn is_made_again(&self, key: TakeKey) -> bool {
        self.made_again.lock().contains(&key)
    }

    /// Notes which take a node has in its parameters, or that it has none.
    pub(crate) fn set_take_of_node(&self, node: &str, key: Option<TakeKey>) {
        let mut take_of_node = self.take_of_node.lock();
        match key {
            Some(key) => take_of_node.insert(node.to_owned(), key),
            None => take_of_node.remove(node),
        };
    }

    /// Gives up the take that a node asked for and no longer wants.
    pub(crate) fn cancel(&self, key: TakeKey, node: &str) {
        self.client.cancel(key, Holder::Generate { node: node.to_owned() });
    }

    /// Gives up a take that a node no longer wants and that was asked for by one that is gone: by an
    /// earlier instance of it, or in an earlier session. Where other nodes have the take too, it may
    /// be theirs.
    pub(crate) fn cancel_inherited(&self, key: TakeKey, node: &str) {
        if self.take_of_node.lock().iter().any(|(other, take)| other != node && *take == key) {
            return;
        }
        let orphaned = self.orphaned.lock().remove(&key).unwrap_or_default();
        for holder in orphaned {
            self.client.cancel(key, holder);
        }
        self.cancel(key, node);
    }

    /// Notes that a node is gone; its take may be wanted by the next one that has its parameters.
    pub(crate) fn node_destroyed(&self, key: Option<TakeKey>, node: String) {
        self.set_take_of_node(&node, None);
        let Some(key) = key else { return };
        if self.client.job(key).is_some_and(|job| !job.is_finished()) {
            self.orphaned.lock().entry(key).or_default().push(Holder::Generate { node });
        }
    }

    /// Waits for a take on a render's thread, as long as `keep_waiting` says; where `wanted`, has it
    /// made, within so much memory. None where it was not waited for to the end.
    pub(crate) fn wait(
        &self,
        key: TakeKey,
        wanted: Option<(&TakeRequest, Option<MemoryLimit>)>,
        keep_waiting: impl Fn() -> bool,
    ) -> Option<JobReadiness> {
        /// Often enough for a host that wants its thread back.
        const POLL: Duration = Duration::from_millis(15);
        let _waiting = wanted.map(|wanted| WaitingRender::begin(self, key, wanted));
        let _room = RoomForTake::begin(self);
        let mut seen = 0;
        // In a farm's log: what the frames that it waits for are computed with.
        let mut to_tell = wanted.is_some();
        // And where that may last for good.
        let mut was_paused = !self.batch;
        loop {
            match self.readiness(key) {
                JobReadiness::Pending(JobProgress::Running(progress)) if progress.is_paused() => {
                    if !std::mem::replace(&mut was_paused, true) {
                        log::warn!(
                            "take {key}: the engine is paused; the render waits until \
                             `wan-alpha engine resume`, or Resume in a node"
                        );
                    }
                }
                JobReadiness::Pending(_) => {}
                settled => return Some(settled),
            }
            if to_tell
                && let Some((begun, with)) = self.client.snapshot().begun
                && begun == key
            {
                log::info!("take {key}: {with}");
                to_tell = false;
            }
            if !keep_waiting() {
                return None;
            }
            seen = self.client.wait(seen, POLL);
        }
    }

    /// The record of a model by its name. Events come in floods, and records hardly ever change: one
    /// that was read a moment ago will do.
    ///
    /// # Errors
    /// As [`ModelRoots::find`](wan_alpha_take::models::ModelRoots::find).
    pub(crate) fn model(&self, name: &str) -> Result<Manifest, ModelError> {
        if let Some((_, manifest)) =
            self.models.lock().get(name).filter(|(read, _)| read.elapsed() < FRESH)
        {
            return Ok(manifest.clone());
        }
        let manifest = self.environment.models.find(name)?.manifest;
        self.models.lock().insert(name.to_owned(), (Instant::now(), manifest.clone()));
        Ok(manifest)
    }

    /// A LoRA of a name, not read again for a second either.
    ///
    /// # Errors
    /// As [`ModelRoots::find_lora`](wan_alpha_take::models::ModelRoots::find_lora).
    pub(crate) fn lora(&self, name: &str) -> Result<NamedLora, ModelError> {
        let mut known = self.loras.lock();
        if let Some((_, lora)) = known.get(name).filter(|(read, _)| read.elapsed() < FRESH) {
            return Ok(lora.clone());
        }
        let lora = self.environment.models.find_lora(name)?;
        known.insert(name.to_owned(), (Instant::now(), lora.clone()));
        Ok(lora)
    }

    /// The record of a model, without a session where there is none yet: it is read and nothing else,
    /// and not again for a while, since overlays are drawn all the time.
    pub(crate) fn record_of_model(name: &str) -> Option<Manifest> {
        const FRESH: Duration = Duration::from_secs(2);
        if let Some(session) = Self::if_open() {
            return session.model(name).ok();
        }
        let is_fresh = |glimpse: &&Glimpse| glimpse.1 == name && glimpse.0.elapsed() < FRESH;
        if let Some((_, _, manifest)) = GLIMPSE.lock().as_ref().filter(is_fresh) {
            return manifest.clone();
        }
        let manifest = environment::read().models.find(name).ok().map(|found| found.manifest);
        *GLIMPSE.lock() = Some((Instant::now(), name.to_owned(), manifest.clone()));
        manifest
    }

    /// Waits until the engine says something new, or some time is over.
    pub(crate) fn wait_for_progress(&self, timeout: Duration) {
        let seen = self.client.snapshot().revision;
        self.client.wait(seen, timeout);
    }

    /// Why the engine uses no GPU, where it chose so itself.
    pub(crate) fn unused_gpu(&self) -> Option<String> {
        self.client.snapshot().device?.unused
    }

    /// What the engine has warned of while it makes a take.
    pub(crate) fn warnings(&self, key: TakeKey) -> Vec<Warning> {
        self.client.warnings(key)
    }

    /// Frees the model's memory, where an engine is running.
    pub(crate) fn unload(&self) {
        self.client.unload();
    }

    /// Has the engine give the GPU back between two steps, where one is running.
    pub(crate) fn pause(&self) {
        self.client.pause();
    }

    /// Has the engine go on, whatever the host renders.
    pub(crate) fn resume(&self) {
        let mut renders = self.renders.lock();
        // A host may have ended a render without saying so. The engine hears of the next one anew.
        (renders.begun, renders.told) = (0, false);
        self.client.resume();
    }

    /// Notes that the host begins to render pictures that are no look into a viewer, or ends.
    pub(crate) fn host_renders(&self, begins: bool) {
        self.note_renders(|renders| {
            let begun = renders.begun;
            renders.begun = if begins { begun + 1 } else { begun.saturating_sub(1) };
        });
    }

    /// Has an engine that this process is connected to make room where memory is short, for as long as the
    /// host renders.
    fn note_renders(&self, change: impl FnOnce(&mut HostRenders)) {
        let mut renders = self.renders.lock();
        change(&mut renders);
        // A batch host's own takes are what it waits for.
        let due = renders.begun > 0 && renders.waiting == 0 && !self.batch;
        if due == renders.told {
            return;
        }
        let is_ready = matches!(self.client.snapshot().engine, EngineState::Ready(_));
        if is_ready {
            self.client.host_renders(due);
        }
        renders.told = due && is_ready;
    }

    /// Whether there was no warning about this take yet; from now on there was.
    pub(crate) fn is_first_warning(&self, key: Option<TakeKey>) -> bool {
        self.warned.lock().insert(key)
    }

    /// Every place a take is looked for, for messages.
    pub(crate) fn searched_folders(&self) -> String {
        let folders = self.store.folders().iter().map(|folder| folder.display().to_string());
        folders.collect::<Vec<_>>().join(", ")
    }

    /// The program that makes takes, and reads images.
    fn engine_program(&self) -> PathBuf {
        self.environment.engine.clone().unwrap_or_else(bundled_engine)
    }

    fn batch_holder(&self) -> Holder {
        if self.environment.allow_cpu { Holder::PatientRender } else { Holder::Render }
    }

    fn submit(
        &self,
        request: &TakeRequest,
        key: TakeKey,
        holder: Holder,
        memory: Option<MemoryLimit>,
    ) {
        let Environment { memory: limit, memory_by: limit_by, headroom, .. } = self.environment;
        let (limit, limit_by) = match memory {
            Some(memory) => (Some(memory.bytes()), CapSource::Parameter),
            None => (limit, limit_by),
        };
        // An accepted request is strings, numbers and lists: JSON refuses none of it.
        let request = serde_json::to_value(request).unwrap_or_default();
        self.client.submit(Submit {
            key,
            request,
            stores: self.environment.stores.clone(),
            model_roots: self.environment.models.roots.clone(),
            holder,
            memory: Some(MemoryTerms { limit, limit_by, headroom }),
        });
    }
}

/// Renders of the host that are no look into a viewer.
#[derive(Debug, Default)]
struct HostRenders {
    /// How many have begun and not ended.
    begun: usize,
    /// How many renders wait for a take, which must not wait for them.
    waiting: usize,
    /// Whether an engine was told that one lasts.
    told: bool,
}

/// While a render waits for a take, the engine does not make room for renders.
struct RoomForTake<'a>(&'a PluginSession);

impl<'a> RoomForTake<'a> {
    fn begin(session: &'a PluginSession) -> Self {
        session.note_renders(|renders| renders.waiting += 1);
        Self(session)
    }
}

impl Drop for RoomForTake<'_> {
    fn drop(&mut self) {
        self.0.note_renders(|renders| renders.waiting -= 1);
    }
}

/// A render that waits. The first one asks for the take; the last one to leave gives it up.
struct WaitingRender<'a> {
    session: &'a PluginSession,
    key: TakeKey,
}

impl<'a> WaitingRender<'a> {
    fn begin(
        session: &'a PluginSession,
        key: TakeKey,
        (request, memory): (&TakeRequest, Option<MemoryLimit>),
    ) -> Self {
        let mut waiting = session.waiting.lock();
        let count = waiting.entry(key).or_default();
        *count += 1;
        // Asked for and given up under the lock, so that each is done in its turn.
        if *count == 1 {
            session.submit(request, key, session.batch_holder(), memory);
        }
        Self { session, key }
    }
}

impl Drop for WaitingRender<'_> {
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

/// Where the engine lies in a bundle: beside the plug-in.
fn bundled_engine() -> PathBuf {
    let name = format!("wan-alpha{}", std::env::consts::EXE_SUFFIX);
    let plugin = process_path::get_dylib_path();
    plugin
        .as_deref()
        .and_then(Path::parent)
        .map_or_else(|| name.clone().into(), |dir| dir.join(&name))
}
