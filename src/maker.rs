//! Making takes into a store: what the engine does for its clients, and `wan-alpha take make` in
//! place.
//!
//! A model stays loaded from take to take. A take's final latent is on disk until the take is
//! published: whoever makes it again after a crash begins with decoding. Another machine that makes
//! the same take is waited for; the first publisher wins.

mod claim_heartbeat;
mod content_check;
mod error;
mod latent_cache;
mod named_files;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use wan_alpha_core::device::{Device, Opened};
use wan_alpha_core::generate::{
    DecodeSettings, FrameSink, Keep, MemoryLimits, Pipeline, SinkError,
};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{Error, Watch, give_back};
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::frame::Frame;
use wan_alpha_take::models::{Defaults, MadeFor, ModelRoots};
use wan_alpha_take::store::{
    Claimant, Claiming, Computed, Description, Published, Store, StoreError, Take, TakeOutcome,
    TakeWriter,
};
use wan_alpha_take::{
    Fingerprint, LoraSource, Mask, NUMERICS, TakeKey, TakeRequest, Warning, WarningCode,
};

use crate::model::use_merged;
use crate::take_images::TakeImages;
use crate::take_record::{ReportSink, WarningKeeper, in_order};
pub(crate) use claim_heartbeat::ClaimHeartbeat;
use content_check::AcceptedFiles;
pub(crate) use error::MakeError;
use error::{no_model, no_thread};
use latent_cache::{Latents, Made};
pub(crate) use named_files::NamedFiles;
use named_files::find_files;

/// A claim whose holder was silent for this long is taken over.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two heartbeats of our own claim.
const BEAT: Duration = Duration::from_secs(10);
/// Between two looks whether another machine has finished.
const LOOK: Duration = Duration::from_millis(500);

/// Where the contexts of prompts are kept; they can be made again.
pub(crate) fn contexts_folder(environment: &Environment, class: &str) -> Option<PathBuf> {
    // A home may be shared by machines whose processors and cards round otherwise.
    let machine = blake3::hash(format!("{}\n{class}", environment.host).as_bytes()).to_hex();
    environment.cache.as_ref().map(|folder| folder.join("contexts").join(&machine[..16]))
}

/// Where a take is to be made and published.
pub(crate) struct MakeContext<'a> {
    pub(crate) store: &'a Store,
    pub(crate) models: &'a ModelRoots,
    /// What one's own takes may fill in each folder of the store.
    pub(crate) limit: Option<u64>,
    /// What the take may use of memory.
    pub(crate) memory: MemoryLimits,
    /// The files of the request's model, where a command line names them; else it is found by its
    /// fingerprint.
    pub(crate) named: Option<&'a NamedFiles>,
    /// Asked once it is known that a take must be computed, and with which model: whether to.
    pub(crate) may_begin: &'a dyn Fn(&Pipeline) -> Result<(), MakeError>,
}

/// Makes takes; keeps the model of the last one.
pub(crate) struct Maker {
    device: Device,
    class: String,
    latents: Latents,
    /// Of prompts, from engine to engine.
    contexts: Option<PathBuf>,
    /// What takes were made with.
    accepted: AcceptedFiles,
    claimant: Claimant,
    warm: Option<LoadedModel>,
}

/// A loaded model and what it is.
struct LoadedModel {
    fingerprint: Fingerprint,
    strengths: Strengths,
    loras: Vec<LoraSource>,
    name: String,
    pipeline: Pipeline,
    /// What its record says it does where a request is silent, and what it was made for.
    defaults: Defaults,
    made_for: MadeFor,
    /// What was warned of as it was opened: it holds for every take of it.
    warnings: Vec<Warning>,
}

impl Maker {
    /// Keeps latents and contexts in the user's folders.
    pub(crate) fn new(opened: &Opened, environment: &Environment) -> Self {
        Self {
            device: opened.device,
            class: opened.class(),
            latents: Latents::in_folder(opened.device, environment.state.join("latents")),
            contexts: contexts_folder(environment, &opened.class()),
            accepted: AcceptedFiles::new(environment),
            claimant: Claimant::this_process(&environment.host),
            warm: None,
        }
    }

    /// The model in memory.
    pub(crate) fn loaded(&self) -> Option<String> {
        let loaded = self.warm.as_ref().filter(|warm| warm.pipeline.is_loaded());
        loaded.map(|warm| warm.name.clone())
    }

    /// Frees the model, for other programs too.
    pub(crate) fn unload(&mut self) -> Result<(), Error> {
        self.warm = None;
        give_back(self.device)
    }

    /// What it computes on.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// What makes equal bits, as [`Opened::class`].
    pub(crate) fn device_class(&self) -> &str {
        &self.class
    }

    /// The take of a request: from the store, or made and published.
    pub(crate) fn make(
        &mut self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        place: &MakeContext<'_>,
        watch: &dyn Watch,
    ) -> Result<Take, MakeError> {
        loop {
            if let Some(take) = self.make_unless_claimed(request, mask, place, watch)? {
                return Ok(take);
            }
            // Another machine is at it.
            if !watch.go_on() {
                return Err(MakeError::Stopped);
            }
            watch.waits_for_others(true);
            thread::sleep(LOOK);
            watch.waits_for_others(false);
        }
    }

    /// The same; none where another process is making it.
    pub(crate) fn make_unless_claimed(
        &mut self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        place: &MakeContext<'_>,
        watch: &dyn Watch,
    ) -> Result<Option<Take>, MakeError> {
        let key = check(request, mask)?;
        if let Some(take) = look(place.store, &key, watch) {
            take.description().warnings.iter().for_each(|warning| watch.tell(warning));
            return Ok(Some(take));
        }
        let Claiming::Ours(claim) = place.store.claim(&key, &self.claimant, PATIENCE)? else {
            return Ok(None);
        };
        // It may have been published between the look and the claim.
        if let Some(take) = look(place.store, &key, watch) {
            return Ok(Some(take));
        }
        let images = TakeImages::in_store(request, place.store, watch)?;
        let heartbeat = ClaimHeartbeat::begin(claim, BEAT).map_err(no_thread)?;
        let made = self
            .warm_up(request, place, watch)
            .and_then(|()| self.publish(&key, request, (&images, mask), place, watch));
        if let Err(MakeError::Failed(Problem { code, .. })) = &made
            && *code == ProblemCode::OutOfMemory
        {
            // What is held half-loaded helps nobody, and others may need the room.
            self.unload()?;
        }
        let take = made?;
        drop(heartbeat);
        self.latents.forget(&key);
        let trimmed = place.store.trim(place.limit);
        for problem in &trimmed.problems {
            log::info!("while making room: {problem}");
        }
        Ok(Some(take))
    }

    /// Holds what is not a take, the files of one for example, against other processes that would make the
    /// same at the same time; none where one does. `key` is the hash that both know it by.
    pub(crate) fn hold(
        &self,
        store: &Store,
        key: &TakeKey,
    ) -> Result<Option<ClaimHeartbeat>, MakeError> {
        match store.claim(key, &self.claimant, PATIENCE)? {
            Claiming::Ours(claim) => {
                Ok(Some(ClaimHeartbeat::begin(claim, BEAT).map_err(no_thread)?))
            }
            Claiming::Theirs(_) => Ok(None),
        }
    }

    /// Opens the model of the request, unless it is there, if the take may be begun with it.
    fn warm_up(
        &mut self,
        request: &TakeRequest,
        place: &MakeContext<'_>,
        watch: &dyn Watch,
    ) -> Result<(), MakeError> {
        let strengths =
            Strengths { dora: Some(request.dora_strength), distill: request.distill_strength };
        let Some(fingerprint) = request.model_fingerprint else {
            return Err(no_model("the request names no model"));
        };
        // Weights that were written over are opened anew, and then found to be of another model.
        let fits = |warm: &LoadedModel| {
            warm.fingerprint == fingerprint
                && warm.strengths == strengths
                && same_loras(&warm.loras, &request.loras)
                && warm.pipeline.files().unchanged().is_ok()
        };
        if let Some(warm) = self.warm.as_mut().filter(|warm| fits(warm)) {
            warm.pipeline.limit_memory(place.memory.clone());
            warm.warnings.iter().for_each(|warning| watch.tell(warning));
            return (place.may_begin)(&warm.pipeline);
        }
        if self.warm.is_some() {
            self.unload()?;
        }
        let found = match place.named {
            Some(_) => None,
            None => Some(find_files(request, fingerprint, place.models)?),
        };
        let Some(files) = place.named.or(found.as_ref().map(|(files, _)| files)) else {
            return Err(no_model("the request names no model"));
        };
        let keeper = WarningKeeper::new(watch, WarningCode::ModelFiles);
        let mut pipeline =
            Pipeline::open(&files.paths, strengths, self.device, Keep::Everything, &keeper)?;
        pipeline.add_loras(&files.loras, &keeper)?;
        pipeline.limit_memory(place.memory.clone());
        if let Some(folder) = &self.contexts {
            pipeline.keep_contexts(folder.clone());
        }
        // Files that came into their places after the look above.
        if let Some(change) = found.as_ref().and_then(|(_, named)| named.changed()) {
            return Err(no_model(&format!("model `{}`: {change}", files.name)));
        }
        self.accepted.check((pipeline.files(), files), request, fingerprint, &keeper)?;
        (place.may_begin)(&pipeline)?;
        use_merged(&mut pipeline, &files.name, files.merged.clone(), fingerprint, &keeper);
        let NamedFiles { name, made_for, .. } = files;
        let (name, made_for) = (name.clone(), made_for.clone());
        let defaults = files.defaults.clone().or(pipeline.defaults());
        let warnings = keeper.into_kept();
        self.warm = Some(LoadedModel {
            fingerprint,
            strengths,
            loras: request.loras.clone(),
            name,
            pipeline,
            defaults,
            made_for,
            warnings,
        });
        Ok(())
    }

    fn publish(
        &mut self,
        key: &TakeKey,
        request: &TakeRequest,
        (images, mask): (&TakeImages, Option<&Mask>),
        place: &MakeContext<'_>,
        watch: &dyn Watch,
    ) -> Result<Take, MakeError> {
        let class = self.class.clone();
        let Some(LoadedModel { pipeline, defaults, made_for, warnings, .. }) = &mut self.warm
        else {
            return Err(no_model("no model is loaded"));
        };
        // Before anything is computed: whoever waits may think better of it.
        let mut before = request.warnings(defaults, made_for);
        before.extend(mask.and_then(|mask| request.mask_warning(mask)));
        before.extend(images.warnings(request));
        before.iter().for_each(|warning| watch.tell(warning));
        let watch = &WarningKeeper::new(watch, WarningCode::Computation);
        let recalled = self.latents.recall(key, request);
        let made_on = recalled.as_ref().map_or(&class, |(_, made)| &made.device);
        let writer = place.store.create(Description::new(request, made_on)?)?;
        let (latent, made) = match recalled {
            Some(recalled) => recalled,
            None => {
                let latent = pipeline.latent(request, images.inputs(mask), &mut Nowhere, watch)?;
                let attention = pipeline.attention_kernel().map(|kernel| kernel.to_string());
                let made = Made { device: class.clone(), attention, warnings: watch.kept() };
                if let Err(error) = self.latents.keep(key, &latent, &made) {
                    watch.tell(&latent_not_kept(&error));
                }
                (latent, made)
            }
        };
        made.warnings.iter().for_each(|warning| watch.tell(warning));
        let mut sink = Publishing { writer, failed: None };
        let mut measured = ReportSink::new(request, &mut sink)?;
        let decoded = pipeline.decode(&latent, DecodeSettings::of(request), &mut measured, watch);
        let report = decoded.map(|()| measured.finish());
        if let Some(error) = sink.failed {
            return Err(error.into());
        }
        let report = report??;
        let tf32 = pipeline.decodes_in_tf32(request.precision);
        if tf32 {
            watch.tell(&decoded_in_tf32());
        }
        let result = request.result_warnings(&report, &before);
        result.iter().for_each(|warning| watch.tell(warning));
        let decoded_on = (made.device != class).then_some(class);
        let computed = Computed { attention: made.attention, tf32, decoded_on };
        let warnings = in_order([result, before, watch.kept(), warnings.clone()]);
        sink.writer.record(TakeOutcome { computed, report: Some(report), warnings })?;
        let Published { take, closed, .. } = sink.writer.publish()?;
        if let Some(words) = closed {
            watch.warn(&words);
        }
        Ok(take)
    }
}

/// That a request was made for the pixels of this program.
pub(crate) fn check_numerics(request: &TakeRequest) -> Result<(), Problem> {
    if request.numerics == NUMERICS {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::OtherNumerics,
        format!(
            "the take is of numerics {}, this program makes numerics {NUMERICS}: its pixels would \
             differ",
            request.numerics
        ),
        "use the version of wan-alpha it was made with, or generate it anew",
    ))
}

/// A request that can be made here, and its key.
fn check(request: &TakeRequest, mask: Option<&Mask>) -> Result<TakeKey, MakeError> {
    check_numerics(request)?;
    if request.mask.is_some() && mask.is_none() {
        return Err(MakeError::Failed(Problem::new(
            ProblemCode::MaskNeeded,
            "the take was placed by a mask from a file, which the request does not hold",
            "make it with `wan-alpha render --mask`",
        )));
    }
    request.key().map_err(|error| {
        MakeError::Failed(Problem::new(error.code(), error.to_string(), "generate it anew"))
    })
}

/// Whether the same is merged in the same order, whatever it is called.
fn same_loras(loaded: &[LoraSource], wanted: &[LoraSource]) -> bool {
    let what = |lora: &LoraSource| (lora.fingerprint, lora.strength);
    loaded.iter().map(what).eq(wanted.iter().map(what))
}

fn latent_not_kept(error: &anyhow::Error) -> Warning {
    Warning::new(
        WarningCode::LatentNotKept,
        format!("the latent could not be kept: {error:#}"),
        "after a crash this take is made from its beginning",
    )
}

fn decoded_in_tf32() -> Warning {
    Warning::new(
        WarningCode::Tf32,
        "the decoders multiplied float32 as TF32, with ten bits of mantissa",
        "with precision f32 they do not",
    )
}

fn look(store: &Store, key: &TakeKey, watch: &dyn Watch) -> Option<Take> {
    let found = store.find(key);
    for problem in &found.problems {
        watch.warn(&problem.to_string());
    }
    found.take
}

/// Frames into a take that is being written.
struct Publishing {
    writer: TakeWriter,
    failed: Option<StoreError>,
}

impl FrameSink for Publishing {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        self.writer.frame_f32(frame.rgba).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            text.into()
        })
    }
}

/// For the part of the path that makes no frames.
struct Nowhere;

impl FrameSink for Nowhere {
    fn frame(&mut self, _frame: Frame<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}
