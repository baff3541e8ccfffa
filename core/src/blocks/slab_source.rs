//! Where the memory of blocks comes from, a slab for each.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use tch::Tensor;

use crate::Result;
use crate::weights::BlockFiles;

/// Where the memory of blocks is read from.
pub trait SlabSource: Send + fmt::Debug {
    /// Fills `into` with the bytes of a block's memory from `from` on.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()>;

    /// A block's memory, uint8 `[bytes]`, where a card can take it from the host by itself.
    fn pinned(&self, block: usize) -> Option<&Tensor> {
        let _ = block;
        None
    }
}

impl SlabSource for Arc<BlockFiles> {
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        BlockFiles::read(self, block, from, into)
    }
}
