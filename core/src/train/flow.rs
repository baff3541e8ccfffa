//! Flow matching as the released model was trained: 1,000 times with their noise levels and weights.
//!
//! Ports `Wan-Alpha-train/diffsynth/schedulers/flow_match.py:18` (`set_timesteps`), 66
//! (`add_noise`) and 84 (`training_weight`).

#![forbid(unsafe_code)]

use half::bf16;
use tch::{Kind, Tensor};

use super::step_rng::StepRng;
use crate::Result;

/// How many times the table has.
const TIMES: i64 = 1000;
/// Of the noise levels: σ = s·u / (1 + (s − 1)·u).
const SHIFT: f64 = 5.0;

/// Whether a time is rounded before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeRounding {
    /// As it stands in the table.
    #[default]
    None,
    /// To bfloat16, as the released trainer does (294 of the 1,000 times remain); noise level and
    /// weight are then those of the nearest time in the table.
    BFloat16,
}

/// The times of training, with their noise levels and the weights of their losses.
#[derive(Debug)]
pub struct Flow {
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
    weights: Vec<f32>,
    rounding: TimeRounding,
}

/// One time of training, drawn for a clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// What the transformer is told, 0…1000.
    pub timestep: f64,
    /// The noise level: 0 is the latent, 1 is noise.
    pub sigma: f64,
    /// The weight of a loss at this time, 1 on average.
    pub weight: f64,
}

impl Flow {
    /// Computes the table, in float32 as the released code does.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn new(rounding: TimeRounding) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let options = (Kind::Float, tch::Device::Cpu);
        let u = Tensor::f_linspace(1.0, 0.0, TIMES + 1, options)?.f_narrow(0, 0, TIMES)?;
        let below = u.f_mul_scalar(SHIFT - 1.0)?.f_add_scalar(1.0)?;
        let sigmas = u.f_mul_scalar(SHIFT)?.f_div(&below)?;
        let timesteps = sigmas.f_mul_scalar(TIMES)?;
        // A bell around the middle, moved to touch 0, of mean 1.
        let from_middle = timesteps.f_sub_scalar(TIMES as f64 / 2.0)?.f_div_scalar(TIMES)?;
        let bell = from_middle.f_square()?.f_mul_scalar(-2.0)?.f_exp()?;
        let bell = bell.f_sub(&bell.f_min()?)?;
        let scale = bell.f_sum(Kind::Float)?.f_reciprocal()?.f_mul_scalar(TIMES)?;
        let values = |x: &Tensor| Ok::<_, crate::Error>(Vec::<f32>::try_from(x)?);
        Ok(Self {
            sigmas: values(&sigmas)?,
            timesteps: values(&timesteps)?,
            weights: values(&bell.f_mul(&scale)?)?,
            rounding,
        })
    }

    /// The time at a place in the table, 0…999; beyond it the last.
    pub fn at(&self, index: usize) -> Time {
        let index = index.min(self.timesteps.len() - 1);
        match self.rounding {
            TimeRounding::None => self.entry(index, self.timesteps[index]),
            TimeRounding::BFloat16 => {
                // To the nearest, ties to even, as torch rounds.
                let rounded = bf16::from_f32(self.timesteps[index]).to_f32();
                self.entry(self.nearest(rounded), rounded)
            }
        }
    }

    /// A time drawn at random, each place in the table as likely.
    pub fn draw(&self, rng: &StepRng, purpose: &str) -> Time {
        self.at(rng.index(purpose, self.timesteps.len() as u64) as usize)
    }

    /// Noise levels, from 1 downwards.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What the transformer is told at them, not rounded.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The weights of losses at these times.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn entry(&self, index: usize, timestep: f32) -> Time {
        Time {
            timestep: timestep.into(),
            sigma: self.sigmas[index].into(),
            weight: self.weights[index].into(),
        }
    }

    /// The first of those that are nearest.
    fn nearest(&self, timestep: f32) -> usize {
        let distance = |index: &usize| (self.timesteps[*index] - timestep).abs();
        (0..self.timesteps.len())
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .unwrap_or_default()
    }
}

impl Time {
    /// xₜ = (1 − σ)·x₀ + σ·ε, of a latent and noise of one shape, which is the result's.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub fn noisy(&self, latent: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let clean = latent.f_mul_scalar(1.0 - self.sigma)?;
        Ok(clean.f_add(&noise.f_mul_scalar(self.sigma)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_released_table() {
        let flow = Flow::new(TimeRounding::None).unwrap();
        for (timestep, weight) in
            [(999.0, 0.0064), (850.0, 0.932), (900.0, 0.631), (700.0, 1.671), (300.0, 1.671)]
        {
            let found = f64::from(flow.weights()[flow.nearest(timestep)]);
            assert!((found - weight).abs() < 0.01, "{timestep}: {found}");
        }
        let sum: f64 = flow.weights().iter().map(|&weight| f64::from(weight)).sum();
        assert!((sum - 1000.0).abs() < 1e-2, "{sum}");
    }

    #[test]
    fn rounding_to_bfloat16_leaves_294_times() {
        let flow = Flow::new(TimeRounding::BFloat16).unwrap();
        let mut seen: Vec<_> = (0..1000).map(|i| flow.at(i).timestep.to_bits()).collect();
        seen.dedup();
        assert_eq!(seen.len(), 294);
        let number = Tensor::from_slice(flow.timesteps()).to_kind(Kind::BFloat16);
        let expected: Vec<f32> = number.to_kind(Kind::Float).try_into().unwrap();
        for (index, expected) in expected.into_iter().enumerate() {
            let time = flow.at(index);
            assert_eq!(time.timestep, f64::from(expected));
            // Noise level and weight belong together.
            let place = flow.sigmas().iter().position(|&s| f64::from(s) == time.sigma).unwrap();
            assert_eq!(f64::from(flow.weights()[place]), time.weight);
        }
    }
}
