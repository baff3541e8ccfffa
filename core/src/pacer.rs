//! Keeps what is queued on a device short.
//!
//! A GPU is given work far ahead of what it has done: a step of a network is queued in milliseconds
//! and computed in seconds. Whoever cancels would wait for all of it, and progress would run ahead of
//! what it tells of.

use tch::{Device, Tensor};

use crate::Result;

/// Waits, block by block, for what was queued.
#[derive(Debug, Default)]
pub(crate) struct Pacer;

impl Pacer {
    /// To be called when a block has been queued, with what comes out of it: returns once it has run,
    /// and the device rests for the microseconds until it has more. Nothing to do on the CPU, which
    /// computes when it is told to; nor in training, where blocks are short and a step is what is
    /// waited for.
    ///
    /// # Errors
    /// What went wrong on the device meanwhile.
    pub(crate) fn queued(&mut self, result: &Tensor) -> Result<()> {
        if result.device() != Device::Cpu && !result.requires_grad() {
            first_number(result)?;
        }
        Ok(())
    }
}

/// Reads one number, which is there once all that it comes from has been computed.
fn first_number(tensor: &Tensor) -> Result<f64> {
    let mut one = tensor.f_detach()?;
    while one.dim() > 0 {
        one = one.f_select(0, 0)?;
    }
    Ok(one.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn the_number_that_is_read_is_the_first_and_leaves_no_trace() {
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([2, 3, 4]).permute([2, 0, 1]);
        let x = (x + 5.0).set_requires_grad(true);
        assert_eq!(first_number(&x).unwrap(), 5.0);
        assert_eq!(first_number(&x.to_kind(Kind::BFloat16)).unwrap(), 5.0);
        let y = (&x * 2.0).sum(Kind::Float);
        Pacer.queued(&y).unwrap();
        y.backward();
        assert_eq!(x.grad().sum(Kind::Float).double_value(&[]), 48.0);
    }
}
