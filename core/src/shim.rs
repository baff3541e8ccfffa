//! What the binding of libtorch leaves out: memory of a device, streams, events, copies that do not
//! block, pinned memory, switches of arithmetic, and measures of memory and traffic on any device.
//!
//! `shim.cpp` beside this file is compiled by the build script. It names no symbol of CUDA: what
//! needs a card answers with an error where CUDA is not open, and never asks libtorch whether it
//! could be, which would keep it off for good. This is the only caller of that file.

#![allow(unsafe_code)]

mod measure;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use tch::{Device, TchError, Tensor};

pub use measure::{LiveBytes, Operator, Traffic};

use crate::{Error, Result};

/// Bytes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Not taken by any process.
    pub free: u64,
    /// Of the device.
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
    /// Allocations that failed.
    pub out_of_memory: u64,
}

/// A switch of libtorch's arithmetic, of the whole process. They can be read and set before CUDA is
/// open, and act on CUDA alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Attention may be computed as products of whole matrices, memory quadratic in tokens.
    MathAttention,
    /// Convolutions in float32 may round what they multiply to TF32: ten bits of mantissa.
    Tf32Convolutions,
    /// Products of matrices in float32 may, likewise.
    Tf32Products,
    /// Products of bfloat16 may add up in bfloat16.
    Bf16Sums,
    /// cuDNN may only use algorithms that give equal bits each time.
    DeterministicCudnn,
}

/// A queue of work of a CUDA device.
#[derive(Debug)]
pub struct Stream(NonNull<c_void>);

/// A point in a [`Stream`], reached when everything queued before it has ended.
#[derive(Debug)]
pub struct Event(NonNull<c_void>);

// SAFETY: a `c10::Stream` is three numbers, never changed once made.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}
// SAFETY: a `c10::Event` belongs to no thread; it is not `Sync`, being used by one at a time.
unsafe impl Send for Event {}

// SAFETY: as `shim.cpp` defines them. Each writes a reason of at most `capacity` bytes, the closing
// zero among them, where it returns something other than 0, and lets no exception through.
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
    fn wan_alpha_stream_new(
        device: c_int,
        high_priority: c_int,
        stream: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_current(
        device: c_int,
        stream: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_synchronize(
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_wait(
        stream: *const c_void,
        event: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_drop(stream: *mut c_void);
    fn wan_alpha_event_new(event: *mut *mut c_void, message: *mut c_char, capacity: usize)
    -> c_int;
    fn wan_alpha_event_record(
        event: *mut c_void,
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_query(
        event: *const c_void,
        passed: *mut c_int,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_synchronize(
        event: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_drop(event: *mut c_void);
    fn wan_alpha_copy(
        to: *const c_void,
        from: *const c_void,
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_pinned(
        bytes: i64,
        tensor: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_gradients_enabled() -> c_int;
    fn wan_alpha_has_onednn_linear() -> c_int;
    fn wan_alpha_onednn_linear(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        gelu: c_int,
        product: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_switch_get(
        which: c_int,
        on: *mut c_int,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_switch_set(
        which: c_int,
        on: c_int,
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

/// Copies `from` into `to`, of the same shape, in `stream`, and returns before that has ended where
/// the one that is not on a card is [`pinned`]. Memory of a card that either lets go of is not used
/// again before the copy has ended; its contents are the caller's to guard with an [`Event`].
///
/// # Errors
/// CUDA is not open, the shapes differ, or the driver fails.
pub fn copy_without_blocking(to: &Tensor, from: &Tensor, stream: &Stream) -> Result<()> {
    let (to, from) = (to.as_ptr().cast(), from.as_ptr().cast());
    // SAFETY: a tensor of the binding points to an `at::Tensor`, and lives through the call.
    call(|message, capacity| unsafe {
        wan_alpha_copy(to, from, stream.0.as_ptr(), message, capacity)
    })
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

/// Whether this thread records what it computes, so that gradients can be had.
pub fn gradients_enabled() -> bool {
    // SAFETY: nothing is handed over.
    unsafe { wan_alpha_gradients_enabled() != 0 }
}

/// Whether this build of libtorch has [`onednn_linear`].
pub(crate) fn has_onednn_linear() -> bool {
    // SAFETY: nothing is handed over.
    unsafe { wan_alpha_has_onednn_linear() != 0 }
}

/// x·Wᵀ + b on a processor by oneDNN, whatever library libtorch would take; with `gelu` the tanh form
/// of GELU follows in the same pass. `x`: `[…, in]`, `weight`: `[out, in]`, `bias`: `[out]`, of one
/// kind: float32 or bfloat16. The gradient in `x` can be had, without `gelu`; those in `weight` and
/// `bias` cannot.
///
/// # Errors
/// This libtorch is without oneDNN, shapes or kinds do not fit, or memory runs out.
pub(crate) fn onednn_linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    gelu: bool,
) -> Result<Tensor> {
    let (x, weight) = (x.as_ptr().cast(), weight.as_ptr().cast());
    let bias = bias.map_or(std::ptr::null(), |bias| bias.as_ptr().cast());
    // SAFETY: a tensor of the binding points to an `at::Tensor`, and lives through the call; so does
    // the place for the product. No bias is told by a null pointer.
    let product = made(|product, message, capacity| unsafe {
        wan_alpha_onednn_linear(x, weight, bias, c_int::from(gelu), product, message, capacity)
    })?;
    Ok(adopted(product))
}

impl Switch {
    /// Every switch, in the order of `shim.cpp`.
    pub const ALL: [Self; 5] = [
        Self::MathAttention,
        Self::Tf32Convolutions,
        Self::Tf32Products,
        Self::Bf16Sums,
        Self::DeterministicCudnn,
    ];

    /// How it stands.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn get(self) -> Result<bool> {
        let mut on = 0;
        // SAFETY: the number outlives the call.
        call(|message, capacity| unsafe {
            wan_alpha_switch_get(self as c_int, &raw mut on, message, capacity)
        })?;
        Ok(on != 0)
    }

    /// Sets it for every thread.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn set(self, on: bool) -> Result<()> {
        // SAFETY: nothing but the buffer for the reason is handed over.
        call(|message, capacity| unsafe {
            wan_alpha_switch_set(self as c_int, c_int::from(on), message, capacity)
        })
    }
}

impl Stream {
    /// One of the streams that libtorch keeps beside the one that computes.
    ///
    /// # Errors
    /// CUDA is not open, or there is no such device.
    pub fn new(device: Device, high_priority: bool) -> Result<Self> {
        let index = index_of(device)?;
        // SAFETY: the place for the stream outlives the call.
        made(|stream, message, capacity| unsafe {
            wan_alpha_stream_new(index, c_int::from(high_priority), stream, message, capacity)
        })
        .map(Self)
    }

    /// The stream in which this thread computes.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn current(device: Device) -> Result<Self> {
        let index = index_of(device)?;
        // SAFETY: the place for the stream outlives the call.
        made(|stream, message, capacity| unsafe {
            wan_alpha_stream_current(index, stream, message, capacity)
        })
        .map(Self)
    }

    /// Waits until everything queued here has ended.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the stream lives as long as `self`.
        call(|message, capacity| unsafe {
            wan_alpha_stream_synchronize(self.0.as_ptr(), message, capacity)
        })
    }

    /// What is queued here from now on begins after `event` has been reached. The host does not wait.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn wait(&self, event: &Event) -> Result<()> {
        // SAFETY: both live through the call.
        call(|message, capacity| unsafe {
            wan_alpha_stream_wait(self.0.as_ptr(), event.0.as_ptr(), message, capacity)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `shim.cpp`, dropped once.
        unsafe { wan_alpha_stream_drop(self.0.as_ptr()) }
    }
}

impl Event {
    /// An event in no stream yet.
    ///
    /// # Errors
    /// CUDA is not open.
    pub fn new() -> Result<Self> {
        // SAFETY: the place for the event outlives the call.
        made(|event, message, capacity| unsafe { wan_alpha_event_new(event, message, capacity) })
            .map(Self)
    }

    /// Puts it behind what is queued in `stream`.
    ///
    /// # Errors
    /// It is of another device's stream, or work of the device has failed.
    pub fn record(&mut self, stream: &Stream) -> Result<()> {
        // SAFETY: both live through the call, and the event is borrowed by nobody else.
        call(|message, capacity| unsafe {
            wan_alpha_event_record(self.0.as_ptr(), stream.0.as_ptr(), message, capacity)
        })
    }

    /// Whether it has been reached; one that was never recorded has.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn query(&self) -> Result<bool> {
        let mut passed = 0;
        // SAFETY: the event lives as long as `self`, the number through the call.
        call(|message, capacity| unsafe {
            wan_alpha_event_query(self.0.as_ptr(), &raw mut passed, message, capacity)
        })?;
        Ok(passed != 0)
    }

    /// Waits until it has been reached.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the event lives as long as `self`.
        call(|message, capacity| unsafe {
            wan_alpha_event_synchronize(self.0.as_ptr(), message, capacity)
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `shim.cpp`, dropped once.
        unsafe { wan_alpha_event_drop(self.0.as_ptr()) }
    }
}

fn index_of(device: Device) -> Result<c_int> {
    match device {
        Device::Cuda(index) => c_int::try_from(index)
            .map_err(|_| Error::Input(format!("{index} is no index of a CUDA device"))),
        other => Err(Error::Input(format!(
            "{other:?} is not a CUDA device, and libtorch keeps no account of its memory"
        ))),
    }
}

/// Calls a function of `shim.cpp` with a buffer for its reason.
fn call(body: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<()> {
    let mut message = [0u8; 1024];
    if body(message.as_mut_ptr().cast(), message.len()) == 0 {
        return Ok(());
    }
    Err(TchError::Torch(text_of(&message)).into())
}

/// As [`call`], for a function that makes something.
fn made(
    body: impl FnOnce(*mut *mut c_void, *mut c_char, usize) -> c_int,
) -> Result<NonNull<c_void>> {
    let mut place = null_mut();
    call(|message, capacity| body(&raw mut place, message, capacity))?;
    NonNull::new(place)
        .ok_or_else(|| TchError::Torch("nothing was made, and no reason was given".into()).into())
}

/// Of a tensor that `shim.cpp` has made.
fn adopted(tensor: NonNull<c_void>) -> Tensor {
    // SAFETY: an `at::Tensor` made by `new`, as the binding makes its own, and owned by nobody else.
    unsafe { Tensor::from_ptr(tensor.as_ptr().cast()) }
}

fn text_of(buffer: &[u8]) -> String {
    CStr::from_bytes_until_nul(buffer).unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_everything_of_a_card_is_an_error_in_words() {
        let card = Device::Cuda(0);
        for error in [
            memory_info(card).err(),
            allocator_statistics(card).err(),
            reset_peak(card).err(),
            empty_cache().err(),
            Stream::new(card, true).err(),
            Stream::current(card).err(),
            Event::new().err(),
            pinned(64).err(),
        ] {
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("CUDA is not open"), "{text}");
        }
        for error in [memory_info(Device::Cpu).err(), Stream::new(Device::Cpu, false).err()] {
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("not a CUDA device"), "{text}");
        }
    }

    #[test]
    fn switches_are_as_they_were_set() {
        for switch in Switch::ALL {
            let before = switch.get().unwrap();
            for on in [false, true, before] {
                switch.set(on).unwrap();
                assert_eq!(switch.get().unwrap(), on, "{switch:?}");
            }
        }
        // libtorch's own choice, which the program has to undo where it promises float32.
        assert!(Switch::Tf32Convolutions.get().unwrap() && !Switch::Tf32Products.get().unwrap());
    }
}
