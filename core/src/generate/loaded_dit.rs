//! The transformer as it comes into memory: from a merged copy that is whole, else from the model's files.

use std::sync::Arc;

use wan_alpha_take::Precision;
use wan_alpha_take::counted::{counted, verb};

use super::Pipeline;
use super::prompt::{kind_of, storage_of};
use crate::blocks::BlockPlacement;
use crate::dit::Dit;
use crate::plan::MemoryPlan;
use crate::weights::{Adapter, MergedTransformer, Strengths, TensorSet, Weights};
use crate::{Error, Result, Watch};

/// A transformer in memory.
#[derive(Debug)]
pub(super) struct LoadedDit {
    /// What it computes in, and how its blocks are kept.
    pub(super) precision: Precision,
    pub(super) dit: Dit,
    /// Where its blocks lie.
    pub(super) placement: BlockPlacement,
    /// What adapters have beside blocks that stay quantized is in memory too.
    pub(super) keeps_adapters: bool,
    /// How many tensors of its files have no place in it, and the first of them.
    pub(super) unused: Option<(usize, String)>,
}

impl LoadedDit {
    /// Whether some of its blocks come and go.
    pub(super) fn streams(&self) -> bool {
        !self.placement.streamed(self.dit.config().layers).is_empty()
    }

    /// Whether it may stay as it is where a plan says `wanted`: it takes no more memory, and no blocks
    /// come that need not.
    fn serves(&self, wanted: &BlockPlacement) -> bool {
        let layers = self.dit.config().layers;
        let fits = self.placement.blocks_in_memory(layers) <= wanted.blocks_in_memory(layers);
        fits && (wanted.slots > 0 || !self.streams())
    }
}

impl Pipeline {
    /// Loads the transformer, adapters merged, unless it is there, its blocks where `plan` says; from
    /// its merged copy where that is whole. What it leaves unused is said with every take.
    pub(super) fn load_dit(
        &mut self,
        precision: Precision,
        plan: Option<&MemoryPlan>,
        watch: &dyn Watch,
    ) -> Result<()> {
        let placement = self.placement(plan);
        let keeps_adapters = plan.is_none_or(|plan| plan.keeps_adapters);
        let serves = |loaded: &LoadedDit| {
            loaded.precision == precision
                && loaded.serves(&placement)
                && (keeps_adapters || !loaded.keeps_adapters)
        };
        if !self.dit.as_ref().is_some_and(serves) {
            self.dit = None;
            self.dit = Some(self.read_dit(precision, (&placement, keeps_adapters), watch)?);
        }
        if let Some(loaded) = &mut self.dit {
            loaded.dit.keep_text_keys(plan.is_none_or(|plan| plan.keeps_text_keys));
        }
        if let Some((count, first)) = self.dit.as_ref().and_then(|loaded| loaded.unused.as_ref()) {
            watch.warn(&format!(
                "{} of the transformer {} no place in it, the first is `{first}`",
                counted(*count, "tensor"),
                verb(*count, "has", "have")
            ));
        }
        Ok(())
    }

    fn read_dit(
        &mut self,
        precision: Precision,
        placement: (&BlockPlacement, bool),
        watch: &dyn Watch,
    ) -> Result<LoadedDit> {
        if let Some(set) = self.merged_set(precision).cloned() {
            match self.read_dit_of((set, Vec::new()), precision, placement, watch) {
                Err(error @ (Error::File { .. } | Error::Tensor { .. } | Error::Input(_))) => {
                    watch.warn(&format!(
                        "the merged copy is damaged ({error}), and the model itself is read; add the \
                         model again with --keep-merged"
                    ));
                    self.merged = None;
                }
                read => return read,
            }
        }
        let model = (self.files.dit.clone(), self.files.merged_adapters());
        self.read_dit_of(model, precision, placement, watch)
    }

    /// The tensors of the merged copy, where the transformer is read from that. A copy in bfloat16 is
    /// rounded already; what is merged, and what is brought into fewer bits, is so before that.
    pub(super) fn merged_set(&self, precision: Precision) -> Option<&Arc<TensorSet>> {
        let full = self.strengths == Strengths::default() && !self.files.has_further_loras();
        let fits = |copy: &&MergedTransformer| {
            full && precision != Precision::Fp8 && copy.kind() == kind_of(precision)
        };
        self.merged.as_ref().filter(fits).map(MergedTransformer::set)
    }

    /// Whether there is room on disk for the blocks that come, as `plan` says, where they need a file.
    pub(super) fn check_disk(&self, precision: Precision, plan: &MemoryPlan) -> Result<()> {
        let (set, adapters) = match self.merged_set(precision) {
            Some(copy) => (copy.clone(), Vec::new()),
            None => (self.files.dit.clone(), self.files.merged_adapters()),
        };
        let weights = self.weights_of(set, adapters, precision);
        Dit::check_room(&weights, &self.config, &self.placement(Some(plan)))
    }

    fn weights_of(
        &self,
        set: Arc<TensorSet>,
        adapters: Vec<Adapter>,
        precision: Precision,
    ) -> Weights {
        let weights = Weights::new(set, adapters, kind_of(precision), self.device);
        weights.storing(storage_of(precision))
    }

    fn read_dit_of(
        &self,
        (set, adapters): (Arc<TensorSet>, Vec<Adapter>),
        precision: Precision,
        (placement, keeps_adapters): (&BlockPlacement, bool),
        watch: &dyn Watch,
    ) -> Result<LoadedDit> {
        let weights = self.weights_of(set.clone(), adapters, precision);
        let weights = if keeps_adapters { weights.keeping_adapters() } else { weights };
        let dit = Dit::load_placed(&weights, self.config.clone(), placement, watch)?;
        Ok(LoadedDit {
            precision,
            dit,
            placement: placement.clone(),
            keeps_adapters,
            unused: set.unused().first().map(|first| (set.unused().len(), (*first).to_owned())),
        })
    }
}
