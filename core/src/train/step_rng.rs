//! Every random draw of a run, each from (run seed, step, purpose): a run that is taken up again
//! draws what an unbroken one would have drawn, and one draw more or less moves no other.

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};

use crate::device::Device;
use crate::vae::Corner;
use crate::{Result, noise};

/// The draws of one step, or of one part of a step where gradients are accumulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRng {
    run: u64,
    step: u64,
    part: u64,
}

impl StepRng {
    /// Of step `step` in the run with seed `run`. What precedes the first step (initial weights, the
    /// order of data) counts as step 0, steps count from 1.
    pub fn new(run: u64, step: u64) -> Self {
        Self { run, step, part: 0 }
    }

    /// Of one batch among several that make up a step.
    #[must_use]
    pub fn part(self, part: u64) -> Self {
        Self { part, ..self }
    }

    /// The seed of a draw; the one place where seeds are made.
    pub fn seed(&self, purpose: &str) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("wan-alpha train draw 1");
        for number in [self.run, self.step, self.part] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(purpose.as_bytes());
        let mut seed = [0; 8];
        hasher.finalize_xof().fill(&mut seed);
        u64::from_le_bytes(seed)
    }

    /// A number from 0 to `count` − 1, each as likely; 0 where there is none.
    pub fn index(&self, purpose: &str, count: u64) -> u64 {
        // The high half of a product: without a remainder's preference for small numbers.
        ((u128::from(self.seed(purpose)) * u128::from(count)) >> 64) as u64
    }

    /// One of the eight colors.
    pub fn corner(&self, purpose: &str) -> Corner {
        let index = self.index(purpose, Corner::all().len() as u64);
        Corner::all().nth(index as usize).unwrap_or(Corner::WHITE)
    }

    /// Standard normal numbers: float32, drawn on the CPU whatever device is open.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn normal(&self, _opened: Device, purpose: &str, shape: &[i64]) -> Result<Tensor> {
        self.with(purpose, || Ok(Tensor::f_randn(shape, (Kind::Float, tch::Device::Cpu))?))
    }

    /// Numbers from −`bound` to `bound`, each as likely: float32, drawn on the CPU whatever device is open.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn uniform(
        &self,
        _opened: Device,
        purpose: &str,
        shape: &[i64],
        bound: f64,
    ) -> Result<Tensor> {
        self.with(purpose, || {
            let unit = Tensor::f_rand(shape, (Kind::Float, tch::Device::Cpu))?;
            Ok(unit.f_mul_scalar(2.0 * bound)?.f_sub_scalar(bound)?)
        })
    }

    /// Draws with libtorch's generator, which is one for the whole process.
    fn with(&self, purpose: &str, draw: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        noise::seeded(self.seed(purpose) as i64, draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_run_step_part_and_purpose_and_on_nothing_else() {
        let base = StepRng::new(1, 2);
        let draw =
            |rng: StepRng, purpose: &str| rng.normal(Device::cpu(), purpose, &[100]).unwrap();
        let first = draw(base, "noise");
        let _ = draw(base, "other");
        assert_eq!(draw(base, "noise"), first);
        for other in [StepRng::new(2, 2), StepRng::new(1, 3), base.part(1)] {
            assert_ne!(draw(other, "noise"), first);
        }
        assert_ne!(draw(base, "time"), first);
    }

    #[test]
    fn indices_and_uniform_numbers_fill_their_range() {
        let mut counts = [0; 8];
        for step in 0..4000 {
            counts[StepRng::new(7, step).index("colour", 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
        assert_eq!(StepRng::new(7, 0).index("colour", 0), 0);
        let numbers = StepRng::new(7, 0).uniform(Device::cpu(), "weight", &[10_000], 0.5).unwrap();
        let (low, high) = (numbers.min().double_value(&[]), numbers.max().double_value(&[]));
        assert!((-0.5..-0.49).contains(&low) && (0.49..=0.5).contains(&high), "{low} {high}");
    }
}
