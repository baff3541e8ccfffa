//! Random numbers of a generator of one's own: libtorch's binding knows only the one of the process.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

use tch::Tensor;

use super::{adopted, made};
use crate::Result;

// SAFETY: as `shim.cpp` defines them, and as the parent module says of all of them.
unsafe extern "C" {
    fn wan_alpha_generator_new(
        seed: u64,
        generator: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_generator_randn(
        generator: *mut c_void,
        sizes: *const i64,
        axes: usize,
        tensor: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_generator_free(generator: *mut c_void);
}

/// A generator of random numbers on the processor, seeded once. Nobody else draws from it.
#[derive(Debug)]
pub(crate) struct Generator(NonNull<c_void>);

impl Generator {
    /// A generator that gives what the process's does after `torch.manual_seed(seed)`.
    ///
    /// # Errors
    /// Memory runs out.
    pub(crate) fn new(seed: u32) -> Result<Self> {
        // SAFETY: the place for the generator outlives the call.
        let generator = made(|generator, message, capacity| unsafe {
            wan_alpha_generator_new(seed.into(), generator, message, capacity)
        })?;
        Ok(Self(generator))
    }

    /// What `torch.randn(shape)` gives next: of `shape`, float32, on the processor.
    ///
    /// # Errors
    /// A size is below 0, or memory runs out.
    pub(crate) fn randn(&mut self, shape: &[i64]) -> Result<Tensor> {
        // SAFETY: the generator lives as long as this value and is borrowed mutably; the sizes and the
        // place for the tensor outlive the call.
        let tensor = made(|tensor, message, capacity| unsafe {
            let (sizes, axes) = (shape.as_ptr(), shape.len());
            wan_alpha_generator_randn(self.0.as_ptr(), sizes, axes, tensor, message, capacity)
        })?;
        Ok(adopted(tensor))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and freed once.
        unsafe { wan_alpha_generator_free(self.0.as_ptr()) }
    }
}
