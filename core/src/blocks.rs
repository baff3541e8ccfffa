//! Where a network's repeated blocks come from.

use crate::Result;

/// Blocks by index: resident in memory, or read when they are needed. The network's forward pass
/// is the same for both.
pub trait BlockSource<B>: std::fmt::Debug + Send {
    /// Number of blocks that the network has.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lends block `index` of [`len`](BlockSource::len) to `use_block`, once.
    ///
    /// # Errors
    /// The block's weights cannot be read, or `use_block` fails.
    fn with(&self, index: usize, use_block: &mut dyn FnMut(&B) -> Result<()>) -> Result<()>;
}

/// Blocks that stay in memory.
#[derive(Debug)]
pub struct Resident<B>(pub Vec<B>);

impl<B: std::fmt::Debug + Send> BlockSource<B> for Resident<B> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn with(&self, index: usize, use_block: &mut dyn FnMut(&B) -> Result<()>) -> Result<()> {
        use_block(&self.0[index])
    }
}
