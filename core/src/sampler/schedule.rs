//! Noise levels and the times the network is told.
//!
//! Ports `wan/utils/fm_solvers_unipc.py:162` and `wan/utils/fm_solvers.py:228` (`set_timesteps`).

use wan_alpha_take::Solver;

/// The largest u of the released UniPC schedule: the float32 nearest to 1 − 1/1000.
const UNIPC_MAX: f32 = 0.999;

/// n + 1 noise levels from (nearly) 1 to 0, and n timesteps.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f64>,
    timesteps: Vec<f64>,
}

impl Schedule {
    /// σ = s·u / (1 + (s − 1)·u) for equally spaced u, rounded to float32.
    ///
    /// UniPC starts at u = 0.999 and DPM-Solver++ at 1; both give the network whole timesteps,
    /// truncated. Euler starts at 1 and gives 1000·σ as it is.
    pub fn new(solver: Solver, steps: usize, shift: f64) -> Self {
        let largest = if solver == Solver::UniPc { f64::from(UNIPC_MAX) } else { 1.0 };
        // As numpy's linspace rounds: a timestep truncated from 499.999… would be one less.
        let spacing = -largest / steps as f64;
        let shifted = (0..steps).map(|i| {
            let u = i as f64 * spacing + largest;
            shift * u / (1.0 + (shift - 1.0) * u)
        });
        let exact: Vec<f64> = shifted.collect();
        let whole = solver != Solver::Euler;
        let timestep = |sigma: &f64| {
            if whole { (1000.0 * sigma).trunc() } else { 1000.0 * sigma }
        };
        let timesteps = exact.iter().map(timestep).collect();
        let sigmas = exact.iter().map(|&sigma| f64::from(sigma as f32)).chain([0.0]).collect();
        Self { sigmas, timesteps }
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
