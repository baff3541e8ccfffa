//! DPM-Solver++ 2M, midpoint form (Lu et al., 2022), on the prediction of x₀.
//!
//! Ports `wan/utils/fm_solvers.py:417` (`dpm_solver_first_order_update`) and 488
//! (`multistep_dpm_solver_second_order_update`).

use tch::Tensor;

use super::schedule::lambda;
use super::{combine, data_prediction};
use crate::Result;

#[derive(Debug, Default)]
pub(super) struct DpmPlusPlus {
    previous: Option<Tensor>,
}

impl DpmPlusPlus {
    /// All that the next step looks back on.
    pub(super) fn remembered(&mut self) -> Vec<&mut Tensor> {
        self.previous.iter_mut().collect()
    }

    pub(super) fn step(
        &mut self,
        sigmas: &[f64],
        i: usize,
        x: &Tensor,
        velocity: &Tensor,
    ) -> Result<Tensor> {
        let (sigma, next) = (sigmas[i], sigmas[i + 1]);
        let data = data_prediction(x, velocity, sigma)?;
        // The level 1 has λ = −∞: h is then infinite, e = −1, and the step mixes x and data.
        let h = lambda(next) - lambda(sigma);
        let e = (-h).exp() - 1.0;
        let alpha = 1.0 - next;
        let last = i + 2 == sigmas.len();
        let advanced = match &self.previous {
            Some(previous) if !last => {
                // Second order; from the level 1 the ratio is infinite and the term vanishes.
                let ratio = (lambda(sigma) - lambda(sigmas[i - 1])) / h;
                let slope = 0.5 / ratio;
                combine(&[
                    (next / sigma, x),
                    (-alpha * e * (1.0 + slope), &data),
                    (alpha * e * slope, previous),
                ])?
            }
            _ => combine(&[(next / sigma, x), (-alpha * e, &data)])?,
        };
        self.previous = Some(data);
        Ok(advanced)
    }
}
