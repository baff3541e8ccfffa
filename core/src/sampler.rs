//! Samplers of the flow: from noise (sigma 1) to a latent (sigma 0) along the velocity.
//!
//! x_σ = (1 − σ)·x₀ + σ·ε and v = ε − x₀, so that x₀ = x − σ·v. Some of them add fresh noise at each
//! step, which their caller draws; given that, all are deterministic. Coefficients are float64, states
//! float32.

mod dpm;
mod euler;
mod renoise;
mod schedule;
mod unipc;

use tch::{Device, Tensor};
use wan_alpha_take::Solver;

pub use schedule::Schedule;

use crate::Result;

/// A sampler in the middle of its schedule.
#[derive(Debug)]
pub struct Sampler {
    schedule: Schedule,
    solver: State,
    step: usize,
}

#[derive(Debug)]
enum State {
    UniPc(unipc::UniPc),
    DpmPlusPlus(dpm::DpmPlusPlus),
    Euler,
    Renoise,
}

impl Sampler {
    /// A sampler at the start of `steps` steps with the given shift of the schedule.
    pub fn new(solver: Solver, steps: usize, shift: f64) -> Self {
        let schedule = Schedule::new(solver, steps, shift);
        let solver = match solver {
            Solver::UniPc => State::UniPc(unipc::UniPc::default()),
            Solver::DpmPlusPlus => State::DpmPlusPlus(dpm::DpmPlusPlus::default()),
            Solver::Euler => State::Euler,
            Solver::Lcm | Solver::Rcm => State::Renoise,
        };
        Self { schedule, solver, step: 0 }
    }

    /// The noise levels and timesteps of its steps.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The state that it starts at, of noise of the same shape.
    ///
    /// A schedule that begins near 1 takes noise as it is, as the authors' samplers do, and rCM's, which
    /// begins at 80/81, σ·ε.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn start(&self, noise: &Tensor) -> Result<Tensor> {
        let scale = self.schedule.start();
        if scale == 1.0 { Ok(noise.shallow_clone()) } else { Ok(noise.f_mul_scalar(scale)?) }
    }

    /// Whether the next step adds fresh noise.
    pub fn needs_noise(&self) -> bool {
        let next = self.schedule.levels().get(self.step + 1);
        matches!(self.solver, State::Renoise) && next.is_some_and(|next| *next > 0.0)
    }

    /// The timestep at which the network is asked next; `None` at the end.
    pub fn timestep(&self) -> Option<f64> {
        self.schedule.timesteps().get(self.step).copied()
    }

    /// Advances the state `x`, of which the network said `velocity`, by one step, with fresh `noise`
    /// where [`Sampler::needs_noise`] says so. All are of one shape, such as `[b, 16, t, h, w]`, which is
    /// the result's.
    ///
    /// # Errors
    /// Noise is needed and there is none, or memory runs out.
    pub fn step(
        &mut self,
        x: &Tensor,
        velocity: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (sigmas, step) = (self.schedule.levels(), self.step);
        self.step += 1;
        match &mut self.solver {
            State::UniPc(solver) => solver.step(sigmas, step, x, velocity),
            State::DpmPlusPlus(solver) => solver.step(sigmas, step, x, velocity),
            State::Euler => euler::step(sigmas, step, x, velocity),
            State::Renoise => renoise::step(sigmas, step, x, velocity, noise),
        }
    }
}

impl Sampler {
    /// Moves what it remembers to a device; the numbers stay.
    ///
    /// # Errors
    /// Memory runs out, or a device has failed.
    pub fn to_device(&mut self, device: Device) -> Result<()> {
        let remembered = match &mut self.solver {
            State::UniPc(solver) => solver.remembered(),
            State::DpmPlusPlus(solver) => solver.remembered(),
            State::Euler | State::Renoise => Vec::new(),
        };
        for tensor in remembered {
            *tensor = tensor.f_to_device(device)?;
        }
        Ok(())
    }
}

/// The prediction of x₀: x − σ·v.
pub(crate) fn data_prediction(x: &Tensor, velocity: &Tensor, sigma: f64) -> Result<Tensor> {
    Ok(x.f_sub(&velocity.f_mul_scalar(sigma)?)?)
}

/// Σ coefficient·tensor, float32, of tensors of one shape: of that shape.
fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut terms = terms.iter().filter(|(coefficient, _)| *coefficient != 0.0);
    let Some((coefficient, tensor)) = terms.next() else {
        return Err(crate::Error::Input("a sampler step combines nothing".into()));
    };
    let first = tensor.f_mul_scalar(*coefficient)?;
    terms.try_fold(first, |sum, (coefficient, tensor)| {
        Ok(sum.f_add(&tensor.f_mul_scalar(*coefficient)?)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// The linear coefficients of a sampler: feeds unit vectors as noise and velocities.
    fn coefficients(solver: Solver, steps: usize, shift: f64) -> Vec<Vec<f64>> {
        let unit = |i: i64| {
            let x = Tensor::zeros([steps as i64 + 1], (Kind::Double, Device::Cpu));
            let _ = x.get(i).fill_(1.0);
            x
        };
        let mut sampler = Sampler::new(solver, steps, shift);
        let mut x = unit(0);
        (0..steps)
            .map(|step| {
                x = sampler.step(&x, &unit(step as i64 + 1), None).unwrap();
                Vec::<f64>::try_from(&x).unwrap()
            })
            .collect()
    }

    #[test]
    fn unipc_in_four_steps_has_the_released_coefficients() {
        let expected = [
            vec![1.0, -0.062_534_39],
            vec![1.0, -0.026_650_92, -0.140_093_55],
            vec![1.0, -0.027_460_98, 0.004_176_74, -0.351_828_22],
            vec![1.0, -0.027_460_98, 0.004_176_74, -0.351_828_22, -0.624_687_37],
        ];
        for (row, expected) in coefficients(Solver::UniPc, 4, 5.0).iter().zip(&expected) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 2e-7, "{row:?}");
            }
        }
    }

    #[test]
    fn every_sampler_integrates_a_constant_velocity_exactly() {
        // With v the same everywhere, x₀ = x − σ₀·v whatever the steps are.
        for &solver in Solver::ALL.iter().filter(|solver| !solver.adds_noise()) {
            for steps in [1, 2, 3, 7, 20] {
                let last = coefficients(solver, steps, 5.0).pop().unwrap();
                let sigma = Schedule::new(solver, steps, 5.0).levels()[0];
                let sum: f64 = last[1..].iter().sum();
                assert!((last[0] - 1.0).abs() < 1e-9, "{solver} {steps}");
                assert!((sum + sigma).abs() < 1e-9, "{solver} {steps}: {sum} {sigma}");
                assert!(last.iter().all(|value| value.is_finite()));
            }
        }
    }
}
