//! The transformer as it comes into memory: from a merged copy that is whole, else from the model's files.

use std::sync::Arc;

use tch::Kind;
use wan_alpha_take::Precision;
use wan_alpha_take::counted::{counted, verb};

use super::Pipeline;
use super::prompt::kind_of;
use crate::dit::Dit;
use crate::weights::{Adapter, Strengths, TensorSet, Weights};
use crate::{Error, Result, Watch};

/// A transformer in memory.
#[derive(Debug)]
pub(super) struct LoadedDit {
    pub(super) kind: Kind,
    pub(super) dit: Dit,
    /// How many tensors of its files have no place in it, and the first of them.
    pub(super) unused: Option<(usize, String)>,
}

impl Pipeline {
    /// Loads the transformer, adapters merged, unless it is there; from its merged copy where that is
    /// whole. What it leaves unused is said with every take.
    pub(super) fn load_dit(&mut self, precision: Precision, watch: &dyn Watch) -> Result<()> {
        let kind = kind_of(precision);
        if self.dit.as_ref().is_none_or(|loaded| loaded.kind != kind) {
            self.dit = None;
            self.dit = Some(self.read_dit(kind, watch)?);
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

    fn read_dit(&mut self, kind: Kind, watch: &dyn Watch) -> Result<LoadedDit> {
        // A copy in bfloat16 is rounded already; what is merged is merged before that.
        let full = self.strengths == Strengths::default() && !self.files.has_further_loras();
        let copy = self.merged.as_ref().filter(|copy| full && copy.kind() == kind);
        if let Some(set) = copy.map(|copy| copy.set().clone()) {
            match self.read_dit_of(set, Vec::new(), kind, watch) {
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
        self.read_dit_of(self.files.dit.clone(), self.files.merged_adapters(), kind, watch)
    }

    fn read_dit_of(
        &self,
        set: Arc<TensorSet>,
        adapters: Vec<Adapter>,
        kind: Kind,
        watch: &dyn Watch,
    ) -> Result<LoadedDit> {
        let weights = Weights::new(set.clone(), adapters, kind, self.device);
        let dit = Dit::load(&weights, self.config.clone(), watch)?;
        Ok(LoadedDit {
            kind,
            dit,
            unused: set.unused().first().map(|first| (set.unused().len(), (*first).to_owned())),
        })
    }
}
