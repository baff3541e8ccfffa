//! Memory of the host that no tensor uses any more, kept for the next one.

use std::ffi::{c_char, c_int};

use super::call;
use crate::Result;

// SAFETY: as `shim.cpp` defines them, and as the parent module says of all of them.
unsafe extern "C" {
    fn wan_alpha_keep_freed_memory(most: usize, message: *mut c_char, capacity: usize) -> c_int;
    fn wan_alpha_release_freed_memory();
    fn wan_alpha_freed_memory() -> usize;
}

/// Bytes that the command keeps of what its tensors leave: more than a layer of the decoder at 832×480
/// leaves behind.
pub const KEPT_MEMORY: usize = 4 << 30;

/// Has large tensors of the host made in memory that earlier ones have left, of which at most `most`
/// bytes are kept, for the life of the process. The system clears what it hands out anew, which costs
/// a fifth of the time of decoding and some percent elsewhere.
///
/// What lives and what is kept together pass what has lived at once before by a thirty-second part at
/// most, so that a process that keeps memory is hardly larger than one that does not.
///
/// # Errors
/// libtorch has another allocator that does not give way.
pub fn keep_freed_memory(most: usize) -> Result<()> {
    // SAFETY: a number and the buffer for the reason are handed over.
    call(|message, capacity| unsafe { wan_alpha_keep_freed_memory(most, message, capacity) })
}

/// Gives the memory that is kept back to the system.
pub fn release_freed_memory() {
    // SAFETY: nothing is handed over.
    unsafe { wan_alpha_release_freed_memory() }
}

/// Bytes that are kept for the next tensor.
pub fn freed_memory() -> usize {
    // SAFETY: nothing is handed over.
    unsafe { wan_alpha_freed_memory() }
}
