//! What stands in a take's record besides how it was computed: its report, measured while its frames
//! pass by, and its warnings, kept while they come.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wan_alpha_core::generate::{FrameSink, SinkError};
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::{Result, Stage, Watch};
use wan_alpha_take::fit::FitError;
use wan_alpha_take::frame::Frame;
use wan_alpha_take::{ReportMeter, TakeReport, TakeRequest, Warning, WarningCode};

/// Measures frames on their way to a sink.
pub(crate) struct ReportSink<'a> {
    sink: &'a mut dyn FrameSink,
    meter: ReportMeter,
    /// What measuring has cost so far.
    spent: Duration,
}

impl<'a> ReportSink<'a> {
    /// For the frames of an accepted request.
    pub(crate) fn new(
        request: &TakeRequest,
        sink: &'a mut dyn FrameSink,
    ) -> std::result::Result<Self, FitError> {
        Ok(Self { sink, meter: ReportMeter::new(request)?, spent: Duration::ZERO })
    }

    /// What the take came to, once all of its frames have passed.
    pub(crate) fn finish(self) -> std::result::Result<TakeReport, FitError> {
        let begun = Instant::now();
        let report = self.meter.finish();
        let spent = self.spent + begun.elapsed();
        log::debug!("the report of the take took {:.1} ms", spent.as_secs_f64() * 1e3);
        report
    }
}

impl FrameSink for ReportSink<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> std::result::Result<(), SinkError> {
        let begun = Instant::now();
        self.meter.push(&frame)?;
        self.spent += begun.elapsed();
        self.sink.frame(frame)
    }

    fn wants_tensors(&self) -> bool {
        self.sink.wants_tensors()
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> std::result::Result<(), SinkError> {
        self.sink.tensor(name, tensor)
    }
}

/// Hands everything on to a [`Watch`], and keeps the warnings.
pub(crate) struct WarningKeeper<'a> {
    watch: &'a dyn Watch,
    /// What kind those are of that come without one.
    code: WarningCode,
    kept: Mutex<Vec<Warning>>,
}

impl<'a> WarningKeeper<'a> {
    pub(crate) fn new(watch: &'a dyn Watch, code: WarningCode) -> Self {
        Self { watch, code, kept: Mutex::default() }
    }

    /// What there has been so far, in its order, each once.
    pub(crate) fn kept(&self) -> Vec<Warning> {
        self.kept.lock().clone()
    }

    pub(crate) fn into_kept(self) -> Vec<Warning> {
        self.kept.into_inner()
    }
}

impl Watch for WarningKeeper<'_> {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        self.watch.progress(stage, step, of);
    }

    fn wants_prediction(&self) -> bool {
        self.watch.wants_prediction()
    }

    fn prediction(&self, latent: &Tensor) {
        self.watch.prediction(latent);
    }

    fn go_on(&self) -> bool {
        self.watch.go_on()
    }

    fn check(&self, stage: Stage) -> Result<()> {
        self.watch.check(stage)
    }

    fn waits_for_others(&self, waits: bool) {
        self.watch.waits_for_others(waits);
    }

    fn pauses(&self) -> bool {
        self.watch.pauses()
    }

    fn rest_paused(&self, stage: Stage, step: usize, of: usize) {
        self.watch.rest_paused(stage, step, of);
    }

    fn warn(&self, message: &str) {
        self.tell(&Warning::new(self.code.clone(), message, ""));
    }

    fn warn_quoting(&self, message: &str) {
        self.tell(&Warning::new(WarningCode::PromptCut, message, ""));
    }

    fn tell(&self, warning: &Warning) {
        let mut kept = self.kept.lock();
        if !kept.contains(warning) {
            kept.push(warning.clone());
        }
        drop(kept);
        self.watch.tell(warning);
    }
}

/// Warnings in the order in which a record has them: the weightiest first, each once.
pub(crate) fn in_order(lists: impl IntoIterator<Item = Vec<Warning>>) -> Vec<Warning> {
    let mut all: Vec<Warning> = Vec::new();
    for warning in lists.into_iter().flatten() {
        if !all.contains(&warning) {
            all.push(warning);
        }
    }
    all.sort_by_key(Warning::is_remark);
    all
}
