//! UniPC of order 2 in the B₂ form (Zhao et al., 2023), on the prediction of x₀: each step first
//! corrects the state with the new prediction, then predicts the next.
//!
//! Ports `wan/utils/fm_solvers_unipc.py:352` (`multistep_uni_p_bh_update`) and 488
//! (`multistep_uni_c_bh_update`).

use tch::Tensor;

use super::schedule::lambda;
use super::{combine, data_prediction};
use crate::Result;

#[derive(Debug, Default)]
pub(super) struct UniPc {
    /// Predictions of x₀ so far, newest last; at most two.
    data: Vec<Tensor>,
    /// The corrected state of the previous step and the order it was advanced with.
    advanced: Option<(Tensor, usize)>,
}

impl UniPc {
    pub(super) fn step(
        &mut self,
        sigmas: &[f64],
        i: usize,
        x: &Tensor,
        velocity: &Tensor,
    ) -> Result<Tensor> {
        // From the state the network saw, not from the corrected one.
        let data = data_prediction(x, velocity, sigmas[i])?;
        let corrected = match self.advanced.take() {
            Some((previous, order)) => self.correct(sigmas, i, &previous, &data, order)?,
            None => x.shallow_clone(),
        };
        self.data.push(data);
        if self.data.len() > 2 {
            drop(self.data.remove(0));
        }
        let steps = sigmas.len() - 1;
        let order = self.data.len().min(steps - i);
        let next = self.predict(sigmas, i, &corrected, order)?;
        self.advanced = Some((corrected, order));
        Ok(next)
    }

    /// All that the next step looks back on.
    pub(super) fn remembered(&mut self) -> Vec<&mut Tensor> {
        let advanced = self.advanced.iter_mut().map(|(state, _)| state);
        self.data.iter_mut().chain(advanced).collect()
    }

    fn predict(&self, sigmas: &[f64], i: usize, x: &Tensor, order: usize) -> Result<Tensor> {
        let (sigma, next) = (sigmas[i], sigmas[i + 1]);
        let data = &self.data[self.data.len() - 1];
        if next == 0.0 {
            return Ok(data.shallow_clone());
        }
        let h = lambda(next) - lambda(sigma);
        let weight = -(1.0 - next) * ((-h).exp() - 1.0);
        if order < 2 {
            return combine(&[(next / sigma, x), (weight, data)]);
        }
        let ratio = (lambda(sigmas[i - 1]) - lambda(sigma)) / h;
        let slope = 0.5 / ratio;
        combine(&[
            (next / sigma, x),
            (weight * (1.0 - slope), data),
            (weight * slope, &self.data[self.data.len() - 2]),
        ])
    }

    /// Corrects the state at level i, reached from `x` at level i − 1 with `order`, by the
    /// prediction `data` made there.
    fn correct(
        &self,
        sigmas: &[f64],
        i: usize,
        x: &Tensor,
        data: &Tensor,
        order: usize,
    ) -> Result<Tensor> {
        let (sigma, next) = (sigmas[i - 1], sigmas[i]);
        let newest = &self.data[self.data.len() - 1];
        let h = lambda(next) - lambda(sigma);
        let e = (-h).exp() - 1.0;
        let weight = -(1.0 - next) * e;
        if order < 2 {
            return combine(&[(next / sigma, x), (0.5 * weight, newest), (0.5 * weight, data)]);
        }
        // ρ₁ + ρ₂ = b₁ and r·ρ₁ + ρ₂ = b₂
        let ratio = (lambda(sigmas[i - 2]) - lambda(sigma)) / h;
        let phi2 = e / -h - 1.0;
        let phi3 = phi2 / -h - 0.5;
        let (b1, b2) = (phi2 / e, 2.0 * phi3 / e);
        let rho1 = (b1 - b2) / (1.0 - ratio);
        let rho2 = b1 - rho1;
        combine(&[
            (next / sigma, x),
            (weight * (1.0 - rho1 / ratio - rho2), newest),
            (weight * rho1 / ratio, &self.data[self.data.len() - 2]),
            (weight * rho2, data),
        ])
    }
}
