//! The worker of an engine: the thread that computes, one take after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use wan_alpha_core::device::{Device, Opened};
use wan_alpha_core::generate::{Arithmetic, Pipeline};
use wan_alpha_core::tch::{self, Tensor};
use wan_alpha_core::{Stage, Watch, preview};
use wan_alpha_take::counted::counted;
use wan_alpha_take::engine::message::{PreviewPicture, ProblemCode, Progress, Submit};
use wan_alpha_take::engine::server::{EngineServer, Outcome, WorkerOrder};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::models::{LatentPreview, ModelRoots};
use wan_alpha_take::store::Store;
use wan_alpha_take::{TakeKey, TakeRequest, Warning};

#[cfg(test)]
use super::faults;
use super::watchdog::{self, ProgressSignal};
use crate::announcement::{self, ExpectedTime};
use crate::cpu_estimate::CpuEstimate;
use crate::device;
use crate::maker::{MakeContext, MakeError, Maker};
use crate::memory;
use crate::timing_history::{self, TimingHistory, pace_class};

/// Between two looks at whether a paused take may go on.
const MOMENT: Duration = Duration::from_millis(100);

/// Bytes that a host which renders is to find on a device.
const ROOM_FOR_HOST: u64 = 2_000_000_000;

/// Whether a device has less left than a host that renders may want; not where nobody tells.
fn is_memory_tight(device: Device) -> bool {
    memory::free(device).is_some_and(|free| free < ROOM_FOR_HOST)
}

/// What makes takes, one after the other.
pub(super) struct Worker<'a> {
    pub(super) service: &'a EngineServer,
    pub(super) pulse: ProgressSignal,
    pub(super) environment: &'a Environment,
}

impl Worker<'_> {
    /// Computes what the service orders, until it says to leave.
    pub(super) fn work(&self, opened: &Opened) {
        let state = &self.environment.state;
        let mut maker = Maker::new(opened, self.environment);
        let mut pace = TimingHistory::read(state);
        let loaded =
            |maker: &Maker| self.service.loaded(maker.loaded(), device::memory(opened.device));
        loop {
            match self.service.next_order() {
                WorkerOrder::Make(submit) => {
                    let outcome = self.make(&submit, opened, &mut maker, &mut pace);
                    self.pulse.done();
                    if let Outcome::Failed(problem) = &outcome
                        && problem.code == ProblemCode::GpuFault
                    {
                        self.service.fail(Some(submit.key), problem);
                        watchdog::end(self.service, 1);
                    }
                    loaded(&maker);
                    self.service.finish(submit.key, outcome);
                }
                WorkerOrder::Unload => {
                    self.unload(&mut maker);
                    loaded(&maker);
                }
                WorkerOrder::MakeRoom if is_memory_tight(opened.device) => {
                    log::info!("a host renders and memory is short: the model's is freed");
                    self.unload(&mut maker);
                    loaded(&maker);
                }
                WorkerOrder::MakeRoom => {}
                WorkerOrder::Leave => return,
            }
        }
    }

    fn unload(&self, maker: &mut Maker) {
        self.pulse.unload();
        #[cfg(test)]
        faults::while_unloading();
        // With the process the memory goes too.
        if let Err(error) = maker.unload() {
            log::error!("the model's memory is freed by ending: {error}");
            watchdog::end(self.service, 1);
        }
        self.pulse.done();
    }

    fn make(
        &self,
        submit: &Submit,
        opened: &Opened,
        maker: &mut Maker,
        pace: &mut TimingHistory,
    ) -> Outcome {
        let Self { service, environment, .. } = *self;
        let request = match submit.verified_request() {
            Ok(request) => request,
            Err(problem) => return Outcome::Failed(problem),
        };
        let store = Store::new(submit.stores.clone());
        let models = ModelRoots { roots: submit.model_roots.clone(), ..environment.models.clone() };
        let class = pace_class(maker.device_class(), tch::get_num_threads());
        let run = pace.begin(&request, &class);
        let learned = run.learned();
        let pulse = self.pulse.clone();
        pulse.begin(submit.key);
        let device = maker.device();
        let model = request.model.clone();
        let mut watch = JobWatch::new((submit.key, model), service, pulse, run, device);
        watch.map = preview_of(&request, &models);
        let history = &*pace;
        let may_begin = |pipeline: &Pipeline| {
            watch.count(pipeline, &request);
            let slow = CpuEstimate::of(pipeline, &request, device, learned)?;
            let expected = slow.as_ref().map_or_else(
                || announcement::expected(history, pipeline, &request, opened),
                CpuEstimate::expected,
            );
            watch.expect(&expected);
            let with = announcement::line(&request, opened, environment, expected)
                + &memory::told(pipeline, &request);
            self.may_begin(slow, with, &watch)
        };
        let place = MakeContext {
            store: &store,
            models: &models,
            limit: environment.store_limit,
            memory: memory::limits_by(environment, submit.memory),
            named: None,
            may_begin: &may_begin,
        };
        log::info!(
            "take {}: {} of {}×{}",
            submit.key,
            counted(request.frames, "frame"),
            request.width,
            request.height
        );
        let made = maker.make(&request, None, &place, &watch);
        let run = watch.pace.into_inner();
        match made {
            Ok(take) => {
                pace.learn(run);
                log::info!("take {}: {}", submit.key, take.path().display());
                Outcome::Done
            }
            Err(MakeError::Stopped) => Outcome::Stopped,
            Err(MakeError::Failed(problem)) => {
                log::error!("take {}: {problem}", submit.key);
                Outcome::Failed(problem)
            }
        }
    }
}

impl Worker<'_> {
    /// Whether a take is made that is `slow` here, if it is; who waits hears `with` what.
    fn may_begin(
        &self,
        slow: Option<CpuEstimate>,
        with: String,
        watch: &JobWatch<'_>,
    ) -> Result<(), MakeError> {
        let key = watch.key;
        log::info!("take {key}: {with}");
        match slow {
            Some(slow) if self.environment.allow_cpu || self.service.may_take_hours(key) => {
                log::warn!("take {key}: {slow}");
            }
            Some(slow) => return Err(slow.refusal().into()),
            None => {}
        }
        self.service.begun(key, with);
        Ok(())
    }
}

/// Tells the service how far a take is, and asks it whether anybody still wants it.
struct JobWatch<'a> {
    key: TakeKey,
    /// What the request calls its model.
    model: String,
    /// It is in memory, as was said.
    is_loaded: AtomicBool,
    service: &'a EngineServer,
    pulse: ProgressSignal,
    pace: Mutex<timing_history::TimedRun>,
    device: Device,
    /// Memory was given back for a host's render, which has not ended.
    yielded: AtomicBool,
    /// What was last said of the take while its memory is given back.
    resting: Mutex<Option<Progress>>,
    /// What latents of the model look like.
    map: Option<LatentPreview>,
}

/// What the record of a request's model says that latents look like; without it there is no preview.
fn preview_of(request: &TakeRequest, models: &ModelRoots) -> Option<LatentPreview> {
    let named = models.with_fingerprint(request.model_fingerprint?).ok()??;
    named.manifest.preview
}

impl<'a> JobWatch<'a> {
    fn new(
        (key, model): (TakeKey, String),
        service: &'a EngineServer,
        pulse: ProgressSignal,
        pace: timing_history::TimedRun,
        device: Device,
    ) -> Self {
        let [is_loaded, yielded] = [AtomicBool::new(false), AtomicBool::new(false)];
        let (pace, resting) = (Mutex::new(pace), Mutex::default());
        Self { key, model, is_loaded, service, pulse, pace, device, yielded, resting, map: None }
    }

    /// Has estimates follow from the operations of a take that no earlier one tells of.
    fn count(&self, pipeline: &Pipeline, request: &TakeRequest) {
        let Arithmetic { products, attention, decoding, .. } = pipeline.arithmetic(request);
        let mut pace = self.pace.lock();
        pace.count(Stage::Sample, products + attention);
        pace.count(Stage::Decode, decoding);
    }

    /// What was counted holds until it is known better.
    fn expect(&self, expected: &ExpectedTime) {
        if let ExpectedTime::Counted(time) = expected {
            let mut pace = self.pace.lock();
            pace.suppose(Stage::Sample, time.sampling);
            pace.suppose(Stage::Decode, time.decoding);
        }
    }
}

impl Watch for JobWatch<'_> {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        self.pulse.progress(self.key, stage, step, of);
        let seconds_left = self.pace.lock().step(stage, step, of);
        let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let stage = stage.to_string();
        let progress = Progress { stage, step: whole(step), of: whole(of), seconds_left };
        *self.resting.lock() = None;
        // Before its first step it has been read, and after a pause it has been again.
        if progress.stage == Stage::Sample.to_string()
            && !self.is_loaded.swap(true, Ordering::Relaxed)
        {
            self.service.loaded(Some(self.model.clone()), device::memory(self.device));
        }
        self.service.progress(self.key, &progress);
    }

    fn wants_prediction(&self) -> bool {
        self.map.is_some()
    }

    fn prediction(&self, latent: &Tensor) {
        let Some(map) = &self.map else { return };
        match preview::middle_cells(latent) {
            Ok((width, height, cells)) => {
                let picture = PreviewPicture::of(&map.picture(width, height, &cells));
                self.service.preview(self.key, &picture);
            }
            Err(error) => log::warn!("take {}: no preview: {error}", self.key),
        }
    }

    fn go_on(&self) -> bool {
        self.pulse.beat();
        self.service.is_wanted(self.key)
    }

    fn pauses(&self) -> bool {
        let renders = self.service.is_host_rendering();
        let yields =
            renders && (self.yielded.load(Ordering::Relaxed) || is_memory_tight(self.device));
        self.yielded.store(yields, Ordering::Relaxed);
        yields || self.service.is_paused()
    }

    fn rest_paused(&self, _stage: Stage, step: usize, of: usize) {
        let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (step, of) = (whole(step), whole(of));
        let is_paused = self.yielded.load(Ordering::Relaxed) || self.service.is_paused();
        let words = if is_paused { Progress::paused } else { Progress::short_of_memory };
        let said = words(step, of);
        let before = self.resting.lock().replace(said.clone());
        if before.is_none() {
            self.pace.lock().interrupt();
            self.pulse.begin(self.key);
            self.is_loaded.store(false, Ordering::Relaxed);
            self.service.loaded(None, device::memory(self.device));
        }
        if before.as_ref() != Some(&said) {
            self.service.progress(self.key, &said);
        }
        self.pulse.waits_for_others(true);
        std::thread::sleep(MOMENT);
        self.pulse.waits_for_others(false);
    }

    #[cfg(test)]
    fn check(&self, stage: Stage) -> wan_alpha_core::Result<()> {
        faults::strike(stage)?;
        if self.go_on() { Ok(()) } else { Err(wan_alpha_core::Error::Cancelled(stage)) }
    }

    fn waits_for_others(&self, waits: bool) {
        self.pulse.waits_for_others(waits);
    }

    fn tell(&self, warning: &Warning) {
        // The log is read by more people than the prompt.
        if warning.is_remark() {
            log::info!("take {}: {}", self.key, warning.for_log());
        } else {
            log::warn!("take {}: {}", self.key, warning.for_log());
        }
        self.service.warn(self.key, warning);
    }
}
