//! Where the parts of a loaded model lie, as the plan says: asked before each stage, of what is free then.

use std::path::PathBuf;

use wan_alpha_take::{CapSource, Precision, TakeRequest};

use super::loaded_dit::LoadedDit;
use super::prompt::{kind_of, storage_of};
use super::{Keep, Pipeline};
use crate::blocks::BlockPlacement;
use crate::plan::{
    DecodePlan, Headroom, MemoryBudget, MemoryPlan, MemoryRefusal, ModelSizes, PROCESS_CPU,
    TakeSizes, plan,
};
use crate::shim::{MemoryInfo, allocator_statistics, memory_info};
use crate::{Error, Result};

/// Memory of the host, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// What programs may still take.
    pub free: u64,
    /// All that there is.
    pub total: u64,
    /// What this process holds of it: anonymous and shared memory, no mapped files.
    pub own: u64,
}

/// How much memory a model may use, and where files may be made of what does not fit.
#[derive(Clone, Debug)]
pub struct MemoryLimits {
    /// Bytes of the device that may be used at most, whatever is free.
    pub cap: Option<u64>,
    /// Where that was set, to be told where a take does not fit.
    pub cap_by: CapSource,
    /// Bytes of the device that are left free; as [`Headroom`] has it where nothing is said.
    pub headroom: Option<u64>,
    /// Asks what the host has.
    pub host: fn() -> Option<HostMemory>,
    /// Where a file of blocks may be made, which goes with the process.
    pub folder: Option<PathBuf>,
}

impl Pipeline {
    /// Places the model's parts by a plan from now on, anew for each take. Without limits everything is
    /// in the device's memory. What is computed is the same to the bit.
    pub fn limit_memory(&mut self, limits: MemoryLimits) {
        self.limits = Some(limits);
    }

    /// Where everything will lie for the take of a request, by what memory is free now; nothing where no
    /// limits are set, or the system does not tell.
    ///
    /// # Errors
    /// The take does not fit, with what would.
    pub fn plan(&self, request: &TakeRequest) -> Result<Option<MemoryPlan>> {
        self.plan_for(request.precision, &TakeSizes::of(request))
    }

    /// The sizes of its parts where a request asks for a precision.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn sizes(&self, precision: Precision) -> Result<ModelSizes> {
        let transformer = self.merged_set(precision).unwrap_or(&self.files.dit);
        let form = (kind_of(precision), storage_of(precision));
        ModelSizes::of(&self.files, transformer, &self.config, form, self.device.is_cuda())
    }

    fn plan_for(&self, precision: Precision, take: &TakeSizes) -> Result<Option<MemoryPlan>> {
        let sizes = self.sizes(precision)?;
        let Some(budget) = self.budget()? else { return Ok(None) };
        plan(&sizes, take, &budget).map(Some).map_err(|refusal| does_not_fit(&refusal))
    }

    /// What may be used now: what is free, and what this model holds already.
    ///
    /// # Errors
    /// The device has failed.
    pub fn budget(&self) -> Result<Option<MemoryBudget>> {
        let Some(limits) = &self.limits else { return Ok(None) };
        let host = (limits.host)();
        let is_card = self.device.is_cuda();
        let (free, total) = if is_card {
            let MemoryInfo { free, total } = memory_info(self.device.tch())?;
            // Nothing has been made there yet: nothing is held.
            let held = allocator_statistics(self.device.tch()).map_or(0, |found| found.reserved);
            (free + held, total)
        } else {
            let Some(HostMemory { free, total, own }) = host else { return Ok(None) };
            // Tensors, and what is kept of earlier ones.
            (free + own.saturating_sub(PROCESS_CPU), total)
        };
        let host = host.unwrap_or(HostMemory { free: 0, total: 0, own: 0 });
        let usual = if is_card { Headroom::CARD } else { Headroom::CPU };
        Ok(Some(MemoryBudget {
            is_card,
            free,
            total,
            headroom: limits.headroom.unwrap_or(usual),
            cap: limits.cap,
            cap_by: limits.cap_by,
            host_free: host.free,
            host_total: host.total,
        }))
    }

    /// Bytes of the transformer where it is loaded.
    fn held_by_transformer(&self, sizes: &ModelSizes) -> u64 {
        let held = |loaded: &LoadedDit| {
            let placement = &loaded.placement;
            let coming = placement.streamed(sizes.layers).len();
            let slots = if coming == 0 { 0 } else { placement.slots };
            sizes.transformer_by(sizes.layers - coming, slots, placement.store)
                + u64::from(loaded.keeps_adapters) * sizes.adapters
        };
        self.dit.as_ref().map_or(0, held)
    }

    /// What a plan says of the blocks.
    pub(super) fn placement(&self, plan: Option<&MemoryPlan>) -> BlockPlacement {
        let Some(plan) = plan else { return BlockPlacement::RESIDENT };
        BlockPlacement {
            resident: plan.resident,
            slots: plan.slots,
            store: plan.block_store(),
            folder: self.limits.as_ref().and_then(|limits| limits.folder.clone()),
        }
    }

    /// How a latent of these sizes is decoded, by what is free now.
    pub(super) fn decode_plan(&self, take: &TakeSizes) -> Result<DecodePlan> {
        let everything = DecodePlan { together: true, beside_transformer: true };
        let precision = self.dit.as_ref().map_or(Precision::Bf16, |loaded| loaded.precision);
        let plan = self.decoding_plan_for(precision, take)?;
        Ok(plan.unwrap_or(everything))
    }

    fn decoding_plan_for(
        &self,
        precision: Precision,
        take: &TakeSizes,
    ) -> Result<Option<DecodePlan>> {
        let Some(budget) = self.budget()? else { return Ok(None) };
        let sizes = self.sizes(precision)?;
        let loaded = self.held_by_transformer(&sizes);
        let plan = crate::plan::plan_decoding(&sizes, take, loaded, &budget);
        plan.map(Some).map_err(|refusal| does_not_fit(&refusal))
    }

    /// Whether the decoders stay in memory after a take.
    pub(super) fn keeps_decoders(&self) -> bool {
        let streams = self.dit.as_ref().is_some_and(|loaded| loaded.streams());
        self.keep == Keep::Everything && !streams
    }
}

fn does_not_fit(refusal: &MemoryRefusal) -> Error {
    Error::DoesNotFit { stage: refusal.stage, what: refusal.to_string(), remedy: refusal.remedy() }
}
