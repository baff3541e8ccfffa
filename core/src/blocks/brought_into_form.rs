//! Blocks that are kept in fewer bits than they are computed with, each brought into form when it is used:
//! in memory that all of them share.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use tch::Tensor;

use super::BlockSource;
use crate::Result;
use crate::weights::{BlockLayout, BlockLayouts, RowRatios, Weights};

/// A block as it is kept: uint8 `[bytes]`.
#[derive(Debug)]
pub(super) struct KeptBlock(pub(super) Tensor);

/// Blocks that are kept in fewer bits, resident or streamed, and one in form.
pub(super) struct BroughtIntoForm<B> {
    /// Where they come from; a slot is free again when its block is in form, and is filled while that is
    /// computed with.
    kept: Box<dyn BlockSource<KeptBlock>>,
    layouts: BlockLayouts,
    /// What is kept beside them: scales and adapters, by their names.
    weights: Weights,
    /// How the block lies that is computed with.
    layout: Arc<BlockLayout>,
    /// Its memory, uint8 `[bytes]`.
    memory: Tensor,
    block: B,
    /// Of each block, whether its numbers have been looked at.
    seen: RefCell<Vec<bool>>,
    /// What adapters multiply rows by, of the blocks that were in form.
    ratios: RefCell<RowRatios>,
}

impl<B> BroughtIntoForm<B> {
    /// `form`: a block's layout, memory that is laid out so, and the block over it.
    pub(super) fn new(
        weights: &Weights,
        kept: Box<dyn BlockSource<KeptBlock>>,
        layouts: BlockLayouts,
        form: (Arc<BlockLayout>, Tensor, B),
    ) -> Self {
        let (layout, memory, block) = form;
        let seen = RefCell::new(vec![false; layouts.count()]);
        let ratios = RefCell::default();
        Self { kept, layouts, weights: weights.clone(), layout, memory, block, seen, ratios }
    }
}

impl<B> fmt::Debug for BroughtIntoForm<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroughtIntoForm").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl<B: Send> BlockSource<B> for BroughtIntoForm<B> {
    fn len(&self) -> usize {
        self.layouts.count()
    }

    fn with(&self, index: usize, use_block: &mut dyn FnMut(&B) -> Result<()>) -> Result<()> {
        self.kept.with(index, &mut |KeptBlock(memory)| {
            let check = !self.seen.borrow()[index];
            let kept = (&**self.layouts.of(index), memory);
            let form = (&*self.layout, &self.memory);
            let ratios = &mut *self.ratios.borrow_mut();
            self.weights.sub(index).bring_into_form(kept, form, ratios, check)?;
            self.seen.borrow_mut()[index] = true;
            Ok(())
        })?;
        use_block(&self.block)
    }
}
