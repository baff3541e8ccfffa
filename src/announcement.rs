//! What a take is computed with, told in one line before it is: model, device, threads, precision and
//! the time to expect.

use std::fmt;
use std::time::Duration;

use wan_alpha_core::device::Opened;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_core::tch;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::{Precision, TakeRequest};

use crate::device::describe;
use crate::progress::in_words;
use crate::timing_history::{TimingHistory, pace_class};

/// How long a take may last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ExpectedTime {
    /// Seconds, as takes of this kind took here.
    Learned(f64),
    /// Seconds, by takes of this model of other sizes.
    Scaled(f64),
    /// Seconds, by the operations of the take and what this machine does of them.
    Counted(f64),
    /// This model has made nothing here yet.
    Unknown,
}

impl ExpectedTime {
    /// Seconds, where anything is known.
    pub(crate) fn seconds(&self) -> Option<f64> {
        match *self {
            Self::Learned(seconds) | Self::Scaled(seconds) | Self::Counted(seconds) => {
                Some(seconds)
            }
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for ExpectedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |seconds: f64| {
            // An hour and more as hours and minutes; nothing is longer than a year.
            in_words(Duration::from_secs_f64(seconds.clamp(0.0, 3e7)))
        };
        match self {
            Self::Learned(seconds) => write!(f, "about {} expected", words(*seconds)),
            Self::Scaled(seconds) => {
                write!(f, "about {} expected by takes of other sizes", words(*seconds))
            }
            Self::Counted(seconds) => {
                write!(f, "about {} expected by its operations", words(*seconds))
            }
            Self::Unknown => {
                f.write_str("the first with this model here, so the time is not known")
            }
        }
    }
}

/// The line: ``model `draft` in f32, about 3 s expected; computing on the CPU, 2 threads``.
pub(crate) fn line(
    request: &TakeRequest,
    opened: &Opened,
    environment: &Environment,
    expected: ExpectedTime,
) -> String {
    let precision = if request.precision == Precision::F32 { "f32" } else { "bf16" };
    format!(
        "model `{}` in {precision}, {expected}; {}",
        request.model,
        describe(opened, environment)
    )
}

/// How long the take of a request may last, by what earlier takes have taught.
pub(crate) fn expected(
    history: &TimingHistory,
    pipeline: &Pipeline,
    request: &TakeRequest,
    opened: &Opened,
) -> ExpectedTime {
    let class = pace_class(&opened.class(), tch::get_num_threads());
    if let Some((sampling, decoding)) = history.begin(request, &class).learned() {
        return ExpectedTime::Learned(sampling + decoding);
    }
    let work = |request: &TakeRequest| {
        let arithmetic = pipeline.arithmetic(request);
        arithmetic.products + arithmetic.attention
    };
    history.scaled(request, &class, &work).map_or(ExpectedTime::Unknown, ExpectedTime::Scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_with_what_it_rests_on() {
        assert_eq!(ExpectedTime::Learned(2.6).to_string(), "about 3 s expected");
        assert!(
            ExpectedTime::Scaled(5000.0).to_string().starts_with("about 1 h 23 min expected by")
        );
        assert!(ExpectedTime::Counted(f64::INFINITY).to_string().contains(" h "));
        assert!(ExpectedTime::Unknown.to_string().contains("not known"));
    }
}
