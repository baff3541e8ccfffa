//! Where a network's repeated blocks come from: they stay in the device's memory, or come into it one
//! after the other while others compute.
//!
//! A block that comes and goes is one piece of memory, [`BlockSource`] lends it, and the network's
//! forward pass is the same for all. [`place`] puts the blocks of a network where a
//! [`BlockPlacement`] says; [`Streamed`] is what it makes where not all stay, but on the CPU, where blocks of
//! a file that the system keeps in its cache are used where they lie (`mapped`).
//!
//! Invariants:
//! - wherever blocks come from, the same bits are computed (`core/tests/streaming.rs`);
//! - what is in a slot is never used once that is being filled again (same tests, with NaN);
//! - adapters are merged when an image is made, never while a block is waited for, but over a matrix that
//!   its file has quantized: that stays as it is, and they are merged into what is made of it.

mod brought_into_form;
mod image;
mod mapped;
mod placement;
mod queue;
mod reader;
mod slab_source;
mod streamed;

use crate::Result;
pub(crate) use placement::maps_blocks;
pub use placement::{BlockPlacement, BlockStore, check_room_for_blocks, place};
pub use slab_source::SlabSource;
pub use streamed::Streamed;
pub(crate) use streamed::stream_once;

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
