//! Memory of a device: what libtorch keeps for later, given back to whoever else needs it, and what is
//! free where it ran out.

use crate::device::Device;
use crate::shim::{self, MemoryInfo, memory_info};
use crate::{Error, Result};

/// Gives memory that is free in libtorch's own books back to the driver, where other programs find it.
/// On the CPU it goes back to the system as soon as a tensor goes.
///
/// # Errors
/// The device has failed.
pub fn give_back(device: Device) -> Result<()> {
    if device.is_cuda() { shim::empty_cache() } else { Ok(()) }
}

/// Adds what is free on `device` now, where its memory ran out and libtorch gave no number: the errors
/// of the driver, cuBLAS and cuDNN have none.
#[must_use]
pub(crate) fn with_free_memory(error: Error, device: Device) -> Error {
    match error {
        Error::OutOfMemory { stage, mut shortage, asked } => {
            if !shortage.host
                && shortage.free.is_none()
                && let Ok(MemoryInfo { free, total }) = memory_info(device.tch())
            {
                shortage.free = Some(free);
                shortage.total = Some(total);
            }
            Error::OutOfMemory { stage, shortage, asked }
        }
        other => other,
    }
}
