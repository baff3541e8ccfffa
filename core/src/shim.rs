//! What the binding of libtorch leaves out: memory of a device, streams, events, copies that do not
//! block, pinned memory, switches of arithmetic, random numbers of one's own generator, and measures of
//! memory and traffic on any device.
//!
//! `shim.cpp` beside this file is compiled by the build script. It names no symbol of CUDA: what
//! needs a card answers with an error where CUDA is not open, and never asks libtorch whether it
//! could be, which would keep it off for good. The modules here are the only callers of that file:
//! `memory` (what a device has and what libtorch holds of it), `host_memory` (what the host's tensors
//! leave behind), `stream` (streams, events, copies), `arithmetic` (switches, and oneDNN's product),
//! `generator` (random numbers) and `measure` (live bytes and traffic).
//!
//! All of its functions that can fail write a reason of at most `capacity` bytes, the closing zero
//! among them, where they return something other than 0, and let no exception through.

#![allow(unsafe_code)]

mod arithmetic;
mod generator;
mod host_memory;
mod measure;
mod memory;
mod stream;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use tch::{Device, TchError, Tensor};

pub use arithmetic::{Switch, gradients_enabled};
pub(crate) use arithmetic::{has_onednn_linear, onednn_linear};
pub(crate) use generator::Generator;
pub use host_memory::{KEPT_MEMORY, freed_memory, keep_freed_memory, release_freed_memory};
pub use measure::{LiveBytes, Operator, Traffic};
pub use memory::{
    AllocatorStatistics, MemoryInfo, allocator_statistics, empty_cache, memory_info, pinned,
    reset_peak,
};
pub use stream::{Event, Stream, copy_without_blocking};

use crate::{Error, Result};

/// The index of a CUDA device; an error in words for any other device.
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

/// The text before the closing zero of a buffer.
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
}
