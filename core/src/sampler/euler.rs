//! Euler's method, to which the step-distillation LoRA was matched.

use tch::Tensor;

use crate::Result;

/// x + (σ₊ − σ)·v, of a state and a velocity of one shape, which is the result's.
pub(super) fn step(sigmas: &[f64], step: usize, x: &Tensor, velocity: &Tensor) -> Result<Tensor> {
    super::combine(&[(1.0, x), (sigmas[step + 1] - sigmas[step], velocity)])
}
