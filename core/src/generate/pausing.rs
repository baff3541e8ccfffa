//! Denoising that gives the device's memory back between two steps, and goes on with the same take later.
//!
//! Invariant: the latent has the bits of one without a pause (`core/tests/pausing.rs`).

use tch::{Device, Tensor};
use wan_alpha_take::TakeRequest;

use super::sampling::{Contexts, PartlyDenoised, SamplingNoise, SamplingOptions};
use super::{FrameSink, LoadedDit, Pipeline};
use crate::plan::MemoryPlan;
use crate::watch::check;
use crate::{Error, Result, Stage, Watch};

impl Pipeline {
    /// Denoises the noise of a request by the transformer, whose blocks lie as `plan` says. Where `watch`
    /// pauses, or others have taken memory that the plan counted on, the transformer goes, and comes back
    /// by a new plan once there is room.
    pub(super) fn denoise(
        &mut self,
        request: &TakeRequest,
        (contexts, noise): (&Contexts, &mut SamplingNoise),
        mut plan: Option<MemoryPlan>,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let asked = self.asked(request.precision);
        let while_sampling = |error: Error| error.during(Stage::Sample).for_what(asked);
        let mut sink = Some(sink);
        let options = SamplingOptions::of(request);
        let mut latent =
            PartlyDenoised::begin(noise, &options, self.device).map_err(while_sampling)?;
        latent.show_schedule(&mut sink)?;
        let mut rests = watch.pauses();
        loop {
            if rests {
                plan = self.rest(&mut latent, request, watch)?;
            }
            self.load_dit(request.precision, plan.as_ref(), watch)
                .map_err(|error| error.during(Stage::Load).for_what(asked))?;
            let Some(LoadedDit { dit, .. }) = &self.dit else {
                return Err(Error::Input("the transformer is not loaded".into()));
            };
            latent.to_device(self.device.tch()).map_err(while_sampling)?;
            let first = latent.steps_done();
            // At least one step is taken before memory that is short counts: there is always progress.
            let pauses = |done| watch.pauses() || (done > first && self.is_short(plan.as_ref()));
            latent
                .advance((dit, contexts), noise, &mut sink, watch, &pauses)
                .map_err(while_sampling)?;
            if latent.is_finished() {
                return latent.finished();
            }
            rests = true;
        }
    }

    /// Gives the device's memory back between two steps of a latent, until nobody pauses and there is room
    /// again. The plan for what is left of the take.
    fn rest(
        &mut self,
        latent: &mut PartlyDenoised,
        request: &TakeRequest,
        watch: &dyn Watch,
    ) -> Result<Option<MemoryPlan>> {
        latent.to_device(Device::Cpu)?;
        self.unload()?;
        let at = (Stage::Sample, latent.steps_done(), request.steps as usize);
        log::info!("paused after step {} of {}", at.1, at.2);
        let plan = self.wait_for_room(at, watch, |pipeline| pipeline.plan(request))?;
        if let Some(plan) = &plan {
            log::info!("going on; memory: {plan}");
            self.check_disk(request.precision, plan)?;
        }
        Ok(plan)
    }

    /// Before decoding: where `watch` pauses, everything goes, until it no longer does.
    pub(super) fn pause_before_decoding(
        &mut self,
        latent_frames: usize,
        watch: &dyn Watch,
    ) -> Result<()> {
        if !watch.pauses() {
            return Ok(());
        }
        self.unload()?;
        log::info!("paused before decoding");
        self.wait_for_room((Stage::Decode, 0, latent_frames), watch, |_| Ok(()))
    }

    /// Waits until nobody pauses and there is room by `plan`. `at`: stage, steps done, steps.
    fn wait_for_room<T>(
        &self,
        at: (Stage, usize, usize),
        watch: &dyn Watch,
        plan: impl Fn(&Self) -> Result<T>,
    ) -> Result<T> {
        loop {
            check(watch, at.0)?;
            if !watch.pauses() {
                match plan(self) {
                    Err(Error::DoesNotFit { .. }) => {}
                    planned => return planned,
                }
            }
            watch.rest_paused(at.0, at.1, at.2);
        }
    }

    /// Whether others have taken so much meanwhile that, at the most that denoising holds, less than half
    /// would be left of what is to be left free.
    fn is_short(&self, plan: Option<&MemoryPlan>) -> bool {
        let (Some(plan), Ok(Some(budget))) = (plan, self.budget()) else { return false };
        let short = plan.peaks.sample + budget.headroom / 2 > budget.free;
        if short {
            log::info!("memory is short: denoising takes {} bytes, {budget:?}", plan.peaks.sample);
        }
        short
    }
}
