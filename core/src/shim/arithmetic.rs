//! How libtorch computes: its switches, whether gradients are recorded, and oneDNN's product of
//! matrices.

use std::ffi::{c_char, c_int, c_void};

use tch::Tensor;

use super::{adopted, call, made};
use crate::Result;

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

// SAFETY: as `shim.cpp` defines them, and as the parent module says of all of them.
unsafe extern "C" {
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

/// x·Wᵀ + b on a processor by oneDNN, whatever library libtorch would take; with `gelu` the tanh
/// form of GELU follows in the same pass. `x`: `[…, in]`, `weight`: `[out, in]`, `bias`: `[out]`,
/// of one kind: float32 or bfloat16. The gradient in `x` can be had, without `gelu`; those in
/// `weight` and `bias` cannot.
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

#[cfg(test)]
mod tests {
    use super::*;

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
