//! Large models without a GPU: how long a take would last, and in what words that is said.
//!
//! A farm is watched by nobody: a batch render that would keep a machine busy for days is refused,
//! with the estimate. Somebody who typed a command, or pressed Generate, is told and goes on.

use std::fmt;
use std::time::{Duration, Instant};

use wan_alpha_core::Result;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Arithmetic, Pipeline};
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::{Precision, TakeRequest};

use crate::announcement::ExpectedTime;

/// Parameters of a transformer that is too large for processors.
const LARGE: u64 = 2_000_000_000;

/// Rows, depth and columns of the product that is timed: as in a take, and done within a second on
/// any machine that such a model fits into.
const PRODUCT: [i64; 3] = [512, 4096, 1024];
/// Heads, tokens and channels of the attention that is timed.
const ATTENTION: [i64; 3] = [8, 1024, 128];
/// The first of the timed operations wakes threads and clocks up; the best of those that fit into
/// this counts.
const TIMED: Duration = Duration::from_millis(150);

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
        let kind = match request.precision {
            Precision::F32 => Kind::Float,
            _ => Kind::BFloat16,
        };
        let rates = [
            product_rate(device, kind)?,
            attention_rate(device, kind)?,
            product_rate(device, Kind::Float)?,
        ];
        Ok(Some(Self::counted(parameters, pipeline.arithmetic(request), rates)))
    }

    /// From operations, and how many of them a second has: products, attention, decoding.
    fn counted(parameters: u64, arithmetic: Arithmetic, rates: [f64; 3]) -> Self {
        let Arithmetic { products, attention, conditioning, decoding } = arithmetic;
        let operations = products + attention + conditioning + decoding;
        let sampling = products / rates[0] + attention / rates[1] + conditioning / rates[2];
        let decoding = decoding / rates[2];
        let rate = operations / (sampling + decoding);
        Self { parameters, sampling, decoding, basis: Basis::Counted { operations, rate } }
    }

    /// How long the take would last, with what that rests on.
    pub(crate) fn expected(&self) -> ExpectedTime {
        let seconds = self.sampling + self.decoding;
        match self.basis {
            Basis::Learned => ExpectedTime::Learned(seconds),
            Basis::Counted { .. } => ExpectedTime::Counted(seconds),
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

/// Whether a model is too large for processors: the released ones are.
pub(crate) fn is_large(pipeline: &Pipeline) -> bool {
    pipeline.files().dit.parameters() > LARGE
}

fn is_slow(parameters: u64, device: Device) -> bool {
    parameters > LARGE && !device.is_cuda()
}

/// Operations in a second of matrix products, on as many threads as a take has.
fn product_rate(opened: Device, kind: Kind) -> Result<f64> {
    let [rows, depth, columns] = PRODUCT;
    let (left, right) = (opened.ones(&[rows, depth], kind)?, opened.ones(&[depth, columns], kind)?);
    rate(2 * rows * depth * columns, || Ok(left.f_matmul(&right)?))
}

/// The same of attention.
fn attention_rate(opened: Device, kind: Kind) -> Result<f64> {
    let [heads, tokens, channels] = ATTENTION;
    let x = opened.ones(&[1, heads, tokens, channels], kind)?;
    rate(4 * heads * tokens * tokens * channels, || {
        let none = None::<&Tensor>;
        Ok(Tensor::f_scaled_dot_product_attention(&x, &x, &x, none, 0.0, false, None, false)?)
    })
}

fn rate(operations: i64, compute: impl Fn() -> Result<Tensor>) -> Result<f64> {
    drop(compute()?);
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while begun.elapsed() < TIMED {
        let now = Instant::now();
        drop(compute()?);
        best = best.min(now.elapsed().as_secs_f64());
    }
    Ok(operations as f64 / best)
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
        let slow = CpuEstimate::counted(14_288_491_584, arithmetic, [50e9, 40e9, 100e9]);
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

    #[test]
    fn the_rate_is_one_that_a_machine_can_have() {
        let cpu = Device::cpu();
        for kind in [Kind::Float, Kind::BFloat16] {
            for rate in [product_rate(cpu, kind), attention_rate(cpu, kind)].map(Result::unwrap) {
                assert!((1e8..1e15).contains(&rate), "{rate:e}");
            }
        }
    }
}
