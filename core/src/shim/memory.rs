//! Memory of a CUDA device as the driver and libtorch's allocator count it, and pinned memory of
//! the host.

use std::ffi::{c_char, c_int, c_void};

use tch::{Device, Tensor};

use super::{adopted, call, index_of, made};
use crate::{Error, Result};

/// Bytes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Not taken by any process.
    pub free: u64,
    /// Bytes that the device has in all.
    pub total: u64,
}

/// What libtorch's allocator holds of a device, in bytes, and how often that was not enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorStatistics {
    /// Of tensors that live.
    pub allocated: u64,
    /// The most at once, since the process began or [`reset_peak`].
    pub allocated_peak: u64,
    /// Taken from the driver, in use or kept for the next tensor.
    pub reserved: u64,
    /// The most at once, since the process began or [`reset_peak`].
    pub reserved_peak: u64,
    /// Allocations that succeeded only after kept memory had been given back.
    pub retries: u64,
    /// Allocations that failed, even after kept memory had been given back.
    pub out_of_memory: u64,
}

// SAFETY: as `shim.cpp` defines them, and as the parent module says of all of them.
unsafe extern "C" {
    fn wan_alpha_memory_info(
        device: c_int,
        free: *mut u64,
        total: *mut u64,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_allocator_statistics(
        device: c_int,
        numbers: *mut i64,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_reset_peak(device: c_int, message: *mut c_char, capacity: usize) -> c_int;
    fn wan_alpha_empty_cache(message: *mut c_char, capacity: usize) -> c_int;
    fn wan_alpha_pinned(
        bytes: i64,
        tensor: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
}

/// Free and total memory of a CUDA device, of all processes together.
///
/// # Errors
/// CUDA is not open, or the driver fails.
pub fn memory_info(device: Device) -> Result<MemoryInfo> {
    let (mut free, mut total) = (0, 0);
    let index = index_of(device)?;
    // SAFETY: the numbers outlive the call.
    call(|message, capacity| unsafe {
        wan_alpha_memory_info(index, &raw mut free, &raw mut total, message, capacity)
    })?;
    Ok(MemoryInfo { free, total })
}

/// What libtorch's allocator holds of a CUDA device. Tensors must have been made there before.
///
/// # Errors
/// CUDA is not open, or nothing has been made on the device yet.
pub fn allocator_statistics(device: Device) -> Result<AllocatorStatistics> {
    let mut numbers = [0i64; 6];
    let index = index_of(device)?;
    // SAFETY: six numbers are written, and they outlive the call.
    call(|message, capacity| unsafe {
        wan_alpha_allocator_statistics(index, numbers.as_mut_ptr(), message, capacity)
    })?;
    let [allocated, allocated_peak, reserved, reserved_peak, retries, out_of_memory] =
        numbers.map(|number| u64::try_from(number).unwrap_or(0));
    Ok(AllocatorStatistics {
        allocated,
        allocated_peak,
        reserved,
        reserved_peak,
        retries,
        out_of_memory,
    })
}

/// Begins the peaks of [`allocator_statistics`] anew.
///
/// # Errors
/// As [`allocator_statistics`].
pub fn reset_peak(device: Device) -> Result<()> {
    let index = index_of(device)?;
    // SAFETY: nothing but the buffer for the reason is handed over.
    call(|message, capacity| unsafe { wan_alpha_reset_peak(index, message, capacity) })
}

/// Gives the memory that no tensor uses back to the driver, on every CUDA device, and pinned memory
/// back to the system.
///
/// # Errors
/// CUDA is not open, or the driver fails.
pub fn empty_cache() -> Result<()> {
    // SAFETY: nothing but the buffer for the reason is handed over.
    call(|message, capacity| unsafe { wan_alpha_empty_cache(message, capacity) })
}

/// `[bytes]`, uint8, on the host, at an address that a card can read by itself. libtorch takes the
/// next power of two.
///
/// # Errors
/// CUDA is not open, or the system lends no more.
pub fn pinned(bytes: usize) -> Result<Tensor> {
    let bytes = i64::try_from(bytes)
        .map_err(|_| Error::Input(format!("{bytes} bytes of pinned memory are too many")))?;
    // SAFETY: the place for the tensor outlives the call.
    let tensor = made(|tensor, message, capacity| unsafe {
        wan_alpha_pinned(bytes, tensor, message, capacity)
    })?;
    Ok(adopted(tensor))
}
