//! Memory that libtorch keeps on a device for later, given back to whoever else needs it.

use crate::Result;
use crate::device::Device;
use crate::shim;

/// Gives memory that is free in libtorch's own books back to the driver, where other programs find it.
/// On the CPU it goes back to the system as soon as a tensor goes.
///
/// # Errors
/// The device has failed.
pub fn give_back(device: Device) -> Result<()> {
    if device.is_cuda() { shim::empty_cache() } else { Ok(()) }
}
