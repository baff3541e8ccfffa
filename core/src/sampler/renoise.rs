//! Steps that predict x₀ and add fresh noise to it, as models are sampled that were distilled to land
//! on x₀ at once: consistency models, and those matched in distribution.
//!
//! Computes what `step_post` of LightX2V's `WanStepDistillScheduler` did until it became Euler's (commit
//! 21ef47a), and what rCM's `wan2pt1_t2v_rcm_infer.py` does (commit 5b41aa9).

use tch::Tensor;

use super::{combine, data_prediction};
use crate::{Error, Result};

/// (1 − σ₊)·(x − σ·v) + σ₊·ε̃, of tensors of one shape, which is the result's. The last step has no
/// noise. ε̃ is noise as it was at the start, its mean raised outside the ellipse.
pub(super) fn step(
    sigmas: &[f64],
    step: usize,
    x: &Tensor,
    velocity: &Tensor,
    noise: Option<&Tensor>,
) -> Result<Tensor> {
    let (sigma, next) = (sigmas[step], sigmas[step + 1]);
    if next == 0.0 {
        return data_prediction(x, velocity, sigma);
    }
    let Some(noise) = noise else {
        return Err(Error::Input("a step of this solver adds noise, and there is none".into()));
    };
    let kept = 1.0 - next;
    combine(&[(kept, x), (-kept * sigma, velocity), (next, noise)])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;
    use wan_alpha_take::Solver;

    use super::*;
    use crate::sampler::Sampler;

    fn row(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    fn assert_near(found: &[f64], expected: &[f64], within: f64, what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < within, "{what}: {found:?} {expected:?}");
        }
    }

    /// The velocity of the script's network.
    fn network(x: &Tensor, time: f64) -> Tensor {
        let x = Vec::<f64>::try_from(x).unwrap().into_iter().enumerate();
        let v: Vec<f64> = x.map(|(i, x)| 0.5 * x - 0.3 * (time / 300.0 + i as f64).cos()).collect();
        Tensor::from_slice(&v)
    }

    /// `core/tests/samplers/authors.py` computes them anew from the authors' formulas, rCM's in the
    /// coordinates of `TrigFlow`.
    #[test]
    fn states_are_those_of_the_authors_formulas() {
        let cases = include_str!("../../tests/samplers/golden.json");
        let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let solver: Solver = case["solver"].as_str().unwrap().parse().unwrap();
            let states = case["states"].as_array().unwrap();
            let name = format!("{solver} in {}", states.len());
            let mut sampler = Sampler::new(solver, states.len(), case["shift"].as_f64().unwrap());
            // LightX2V's table is of float32.
            assert_near(sampler.schedule().levels(), &row(&case["levels"]), 1e-7, &name);
            assert_near(sampler.schedule().timesteps(), &row(&case["times"]), 1e-4, &name);
            let mut noises = case["noises"].as_array().unwrap().iter();
            let mut x = sampler.start(&Tensor::from_slice(&row(&case["noise"]))).unwrap();
            for state in states {
                let v = network(&x, sampler.timestep().unwrap());
                let noise = if sampler.needs_noise() { noises.next() } else { None };
                let noise = noise.map(|noise| Tensor::from_slice(&row(noise)));
                x = sampler.step(&x, &v, noise.as_ref()).unwrap();
                assert_near(&Vec::<f64>::try_from(&x).unwrap(), &row(state), 1e-6, &name);
            }
            assert_eq!((sampler.timestep(), noises.next()), (None, None), "{name}");
        }
    }

    /// Of the forward process x = (1 − t)·x₀ + t·ε̃, whose noise has the mean m, a network that knows x₀
    /// gives back states of the same process: with mean (1 − t)·x₀ + t·m, as it was trained to see them.
    /// Without m in the fresh noise the mean is (1 − t)·x₀ after the first step, and of m nothing is left.
    #[test]
    fn fresh_noise_keeps_the_mean_of_the_first_only_if_it_is_shifted_too() {
        const DRAWS: i64 = 200_000;
        let (x0, m) = (0.7, 0.4);
        for solver in [Solver::Lcm, Solver::Rcm] {
            let mean = |shifted: bool| -> Vec<f64> {
                let mut sampler = Sampler::new(solver, 4, 5.0);
                let draw = || crate::noise::unseeded([DRAWS], (Kind::Double, tch::Device::Cpu));
                let mut x = sampler.start(&(draw() + m)).unwrap();
                let levels = sampler.schedule().levels().to_vec();
                levels[..4]
                    .iter()
                    .map(|level| {
                        // v = ε̃ − x₀ = (x − x₀) / t
                        let v = (&x - x0) / *level;
                        let noise = draw() + if shifted { m } else { 0.0 };
                        x = sampler.step(&x, &v, Some(&noise)).unwrap();
                        x.mean(Kind::Double).double_value(&[])
                    })
                    .collect()
            };
            let levels = Sampler::new(solver, 4, 5.0).schedule().levels().to_vec();
            let expected = |m: f64| levels[1..].iter().map(|t| (1.0 - t) * x0 + t * m).collect();
            let (with, without): (Vec<f64>, Vec<f64>) = (expected(m), expected(0.0));
            // A mean of that many draws is known within 0.002; with and without are 0.24 apart and more.
            assert_near(&mean(true), &with, 0.015, "with");
            assert_near(&mean(false), &without, 0.015, "without");
        }
    }

    #[test]
    fn noise_that_is_missing_is_said_to_be() {
        let x = Tensor::from_slice(&[1.0]);
        let mut sampler = Sampler::new(Solver::Lcm, 2, 5.0);
        assert!(sampler.needs_noise());
        assert!(sampler.step(&x, &x, None).unwrap_err().to_string().contains("adds noise"));
        // The last step adds none.
        assert!(!sampler.needs_noise() && sampler.step(&x, &x, None).is_ok());
        assert!(!Sampler::new(Solver::Rcm, 1, 1.0).needs_noise());
        assert!(!Sampler::new(Solver::Euler, 4, 5.0).needs_noise());
    }
}
