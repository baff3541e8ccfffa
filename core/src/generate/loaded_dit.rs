//! The transformer as it comes into memory: from a merged copy that is whole, else from the model's files.

use std::sync::Arc;

use tch::Kind;
use wan_alpha_take::Precision;
use wan_alpha_take::counted::{counted, verb};

use super::Pipeline;
use super::prompt::kind_of;
use crate::blocks::BlockPlacement;
use crate::dit::Dit;
use crate::plan::MemoryPlan;
use crate::weights::{Adapter, Strengths, TensorSet, Weights};
use crate::{Error, Result, Watch};

/// A transformer in memory.
#[derive(Debug)]
pub(super) struct LoadedDit {
    pub(super) kind: Kind,
    pub(super) dit: Dit,
    /// Where its blocks lie.
    pub(super) placement: BlockPlacement,
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
        let kind = kind_of(precision);
        let placement = self.placement(plan);
        let serves = |loaded: &LoadedDit| loaded.kind == kind && loaded.serves(&placement);
        if !self.dit.as_ref().is_some_and(serves) {
            self.dit = None;
            self.dit = Some(self.read_dit(kind, &placement, watch)?);
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
        kind: Kind,
        placement: &BlockPlacement,
        watch: &dyn Watch,
    ) -> Result<LoadedDit> {
        // A copy in bfloat16 is rounded already; what is merged is merged before that.
        let full = self.strengths == Strengths::default() && !self.files.has_further_loras();
        let copy = self.merged.as_ref().filter(|copy| full && copy.kind() == kind);
        if let Some(set) = copy.map(|copy| copy.set().clone()) {
            match self.read_dit_of((set, Vec::new()), kind, placement, watch) {
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
        self.read_dit_of(model, kind, placement, watch)
    }

    fn read_dit_of(
        &self,
        (set, adapters): (Arc<TensorSet>, Vec<Adapter>),
        kind: Kind,
        placement: &BlockPlacement,
        watch: &dyn Watch,
    ) -> Result<LoadedDit> {
        let weights = Weights::new(set.clone(), adapters, kind, self.device);
        let dit = Dit::load_placed(&weights, self.config.clone(), placement, watch)?;
        Ok(LoadedDit {
            kind,
            dit,
            placement: placement.clone(),
            unused: set.unused().first().map(|first| (set.unused().len(), (*first).to_owned())),
        })
    }
}
