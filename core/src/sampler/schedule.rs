//! Noise levels and the times the network is told.
//!
//! Ports `wan/utils/fm_solvers_unipc.py:162` and `wan/utils/fm_solvers.py:228` (`set_timesteps`); LightX2V's
//! (`lightx2v/models/schedulers/wan/step_distill/scheduler.py` at f8aee98) and rCM's
//! (`rcm/inference/wan2pt1_t2v_rcm_infer.py` at 5b41aa9) are computed anew in `core/tests/samplers`.

use half::bf16;
use wan_alpha_take::Solver;

/// The largest u of the released UniPC schedule: the float32 nearest to 1 − 1/1000.
const UNIPC_MAX: f32 = 0.999;

/// Where rCM begins: the largest σ of the noise in the terms of EDM.
const RCM_SIGMA_MAX: f64 = 80.0;
/// The times of `TrigFlow` that follow it, as rCM and TurboDiffusion have them ("for better visual
/// quality"); for fewer steps the last are left out.
const RCM_TIMES: [f64; 3] = [1.5, 1.4, 1.0];

/// n + 1 noise levels from (nearly) 1 to 0, and n timesteps.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f64>,
    timesteps: Vec<f64>,
    start: f64,
}

impl Schedule {
    /// σ = s·u / (1 + (s − 1)·u) for equally spaced u, rounded to float32.
    ///
    /// UniPC starts at u = 0.999 and DPM-Solver++ at 1; both give the network whole timesteps,
    /// truncated. Euler and LCM start at 1 and give 1000·σ as it is: at four steps the times 1000, 750,
    /// 500 and 250 before the shift, which LightX2V distilled for. rCM has times of its own, four at
    /// most, and no shift.
    pub fn new(solver: Solver, steps: usize, shift: f64) -> Self {
        if solver == Solver::Rcm {
            return Self::rcm(steps);
        }
        let largest = if solver == Solver::UniPc { f64::from(UNIPC_MAX) } else { 1.0 };
        // As numpy's linspace rounds: a timestep truncated from 499.999… would be one less.
        let spacing = -largest / steps as f64;
        let shifted = (0..steps).map(|i| {
            let u = i as f64 * spacing + largest;
            shift * u / (1.0 + (shift - 1.0) * u)
        });
        let exact: Vec<f64> = shifted.collect();
        let whole = matches!(solver, Solver::UniPc | Solver::DpmPlusPlus);
        let timestep = |sigma: &f64| {
            if whole { (1000.0 * sigma).trunc() } else { 1000.0 * sigma }
        };
        let timesteps = exact.iter().map(timestep).collect();
        let sigmas = exact.iter().map(|&sigma| f64::from(sigma as f32)).chain([0.0]).collect();
        Self { sigmas, timesteps, start: 1.0 }
    }

    /// The times of `TrigFlow`, x = cos t·x₀ + sin t·ε, as levels of the flow: scaled so that the
    /// weights of x₀ and ε add up to 1, ε has sin t / (cos t + sin t). The network is told 1000·σ in
    /// bfloat16, as it was in training.
    fn rcm(steps: usize) -> Self {
        let times = [RCM_SIGMA_MAX.atan()].into_iter().chain(RCM_TIMES).take(steps);
        let levels: Vec<f64> = times.map(|t| t.sin() / (t.cos() + t.sin())).collect();
        let timesteps =
            levels.iter().map(|level| bf16::from_f64(1000.0 * level).to_f64()).collect();
        let start = levels.first().copied().unwrap_or(1.0);
        Self { sigmas: levels.into_iter().chain([0.0]).collect(), timesteps, start }
    }

    /// What noise is multiplied by to start from.
    pub fn start(&self) -> f64 {
        self.start
    }

    /// The n + 1 levels; the last is 0.
    pub fn levels(&self) -> &[f64] {
        &self.sigmas
    }

    /// The n times, 0…1000.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }
}

/// ln((1 − σ) / σ): −∞ at 1, +∞ at 0.
pub(super) fn lambda(sigma: f64) -> f64 {
    (1.0 - sigma).ln() - sigma.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_schedules() {
        let unipc = Schedule::new(Solver::UniPc, 4, 5.0);
        for (sigma, expected) in
            unipc.levels().iter().zip([0.999_799_85, 0.937_265_46, 0.833_055_38, 0.624_687_37, 0.0])
        {
            assert!((sigma - expected).abs() < 1e-8, "{sigma}");
        }
        assert_eq!(unipc.timesteps(), [999.0, 937.0, 833.0, 624.0]);
        let fifty = Schedule::new(Solver::UniPc, 50, 5.0);
        assert_eq!(fifty.timesteps()[..5], [999.0, 995.0, 991.0, 987.0, 982.0]);
        assert_eq!(Schedule::new(Solver::UniPc, 4, 3.0).timesteps(), [999.0, 899.0, 749.0, 499.0]);
        assert_eq!(
            Schedule::new(Solver::DpmPlusPlus, 4, 5.0).timesteps(),
            [1000.0, 937.0, 833.0, 625.0]
        );
        assert_eq!(
            Schedule::new(Solver::DpmPlusPlus, 6, 5.0).timesteps(),
            [1000.0, 961.0, 909.0, 833.0, 714.0, 500.0]
        );
        assert_eq!(Schedule::new(Solver::Euler, 4, 5.0).timesteps()[1], 937.5);
    }
}
