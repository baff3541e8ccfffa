//! Large models without a GPU: how long a take would last, and in what words that is said.
//!
//! A farm is watched by nobody: a batch render that would keep a machine busy for days is refused,
//! with the estimate. Somebody who typed a command, or pressed Generate, is told and goes on.

use std::fmt;

use wan_alpha_core::Result;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Arithmetic, Pipeline};
use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::message::{Problem, ProblemCode};

use crate::announcement::{ExpectedTime, kind_of};
use crate::calibration::{CountedTime, MachinePace};

/// Parameters of a transformer that is too large for processors.
pub(crate) const LARGE: u64 = 2_000_000_000;

/// A take that would take hours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CpuEstimate {
    parameters: u64,
    /// Seconds that denoising would take, and what is made of images before it.
    pub(crate) sampling: f64,
    /// Seconds that decoding would take.
    pub(crate) decoding: f64,
    basis: Basis,
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Basis {
    /// Takes of this size that this model made here.
    Learned,
    /// Operations of the take, and what this machine does of them in a second.
    Counted { operations: f64, rate: f64 },
}

/// Seconds of sampling and of decoding that earlier takes of this kind took.
pub(crate) type MeasuredPace = Option<(f64, f64)>;

impl CpuEstimate {
    /// `None` for a take that a processor may be asked for.
    pub(crate) fn of(
        pipeline: &Pipeline,
        request: &TakeRequest,
        device: Device,
        learned: MeasuredPace,
    ) -> Result<Option<Self>> {
        let parameters = pipeline.files().dit.parameters();
        if !is_slow(parameters, device) {
            return Ok(None);
        }
        if let Some((sampling, decoding)) = learned {
            return Ok(Some(Self { parameters, sampling, decoding, basis: Basis::Learned }));
        }
        let pace = MachinePace::of_large(device, kind_of(request.precision))?;
        Ok(Some(Self::counted(parameters, pipeline.arithmetic(request), &pace)))
    }

    fn counted(parameters: u64, arithmetic: Arithmetic, pace: &MachinePace) -> Self {
        let Arithmetic { products, attention, conditioning, decoding } = arithmetic;
        let operations = products + attention + conditioning + decoding;
        let CountedTime { sampling, decoding, rate } = pace.time(arithmetic);
        Self { parameters, sampling, decoding, basis: Basis::Counted { operations, rate } }
    }

    /// How long the take would last, with what that rests on.
    pub(crate) fn expected(&self) -> ExpectedTime {
        let seconds = self.sampling + self.decoding;
        match self.basis {
            Basis::Learned => ExpectedTime::Learned(seconds),
            Basis::Counted { rate, .. } => {
                let (sampling, decoding) = (self.sampling, self.decoding);
                ExpectedTime::Counted(CountedTime { sampling, decoding, rate })
            }
        }
    }

    /// The answer to a batch render.
    pub(crate) fn refusal(&self) -> Problem {
        Problem::new(
            ProblemCode::NeedsGpu,
            self.to_string(),
            "render where there is a GPU and CUDA's part of libtorch, make the take ahead with \
             `wan-alpha take make`, or set WAN_ALPHA_ALLOW_CPU=1",
        )
    }
}

impl fmt::Display for CpuEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let billions = self.parameters as f64 / 1e9;
        let hours = Hours(self.sampling + self.decoding);
        write!(
            f,
            "a model of {billions:.1} billion parameters computes without a GPU here: this take is about {hours} of work"
        )?;
        match self.basis {
            Basis::Learned => f.write_str(" (earlier takes of this size were)"),
            Basis::Counted { operations, rate } => {
                write!(f, " ({:.0} TFLOP, at {:.0} GFLOP/s)", operations / 1e12, rate / 1e9)
            }
        }
    }
}

/// Seconds, said as hours.
pub(crate) struct Hours(pub(crate) f64);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 3600.0 {
            hours if hours < 0.1 => f.write_str("less than 0.1 hours"),
            hours if hours < 10.0 => write!(f, "{hours:.1} hours"),
            hours => write!(f, "{hours:.0} hours"),
        }
    }
}

fn is_slow(parameters: u64, device: Device) -> bool {
    parameters > LARGE && !device.is_cuda()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_models_on_processors_are_slow_and_no_others() {
        assert!(!is_slow(1_418_996_800, Device::cpu()));
        assert!(!is_slow(LARGE, Device::cpu()));
        assert!(is_slow(LARGE + 1, Device::cpu()));
        assert!(is_slow(14_288_491_584, Device::cpu()));
    }

    #[test]
    fn the_estimate_is_in_the_message() {
        let arithmetic = Arithmetic {
            products: 3.1e15,
            attention: 3.6e15,
            conditioning: 0.0,
            decoding: 0.551e15,
        };
        let pace = MachinePace { products: 50e9, attention: 40e9, decoding: 100e9 };
        let slow = CpuEstimate::counted(14_288_491_584, arithmetic, &pace);
        assert_eq!((slow.sampling, slow.decoding), (152_000.0, 5_510.0));
        let Problem { code, message, remedy } = slow.refusal();
        assert_eq!(code, ProblemCode::NeedsGpu);
        assert_eq!(
            message,
            "a model of 14.3 billion parameters computes without a GPU here: this take is about \
             44 hours of work (7251 TFLOP, at 46 GFLOP/s)"
        );
        assert!(remedy.contains("WAN_ALPHA_ALLOW_CPU=1"), "{remedy}");

        let basis = Basis::Learned;
        let slow =
            CpuEstimate { parameters: 2_500_000_000, sampling: 3600.0, decoding: 1800.0, basis };
        assert!(
            slow.to_string().ends_with("about 1.5 hours of work (earlier takes of this size were)")
        );
    }
}
