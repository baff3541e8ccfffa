//! What a take is computed with, told in one line before it is: model, device, threads, precision and
//! the time to expect.

use std::fmt;
use std::time::Duration;

use wan_alpha_core::device::Opened;
use wan_alpha_core::generate::{Arithmetic, Pipeline};
use wan_alpha_core::tch::{self, Kind};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::{Precision, TakeRequest};

use crate::calibration::{CountedTime, MachinePace};
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
    /// By the operations of the take and what this machine does of them.
    Counted(CountedTime),
    /// This model has made nothing here yet, and the machine's pace could not be measured.
    Unknown,
}

impl ExpectedTime {
    /// Seconds, where anything is known.
    pub(crate) fn seconds(&self) -> Option<f64> {
        match *self {
            Self::Learned(seconds) | Self::Scaled(seconds) => Some(seconds),
            Self::Counted(CountedTime { sampling, decoding, .. }) => Some(sampling + decoding),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for ExpectedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |seconds: f64| match seconds {
            // Rounded it would be none at all.
            ..0.5 => "less than 1 s".to_owned(),
            // An hour and more as hours and minutes; nothing is longer than a year.
            _ => format!("about {}", in_words(Duration::from_secs_f64(seconds.clamp(0.0, 3e7)))),
        };
        match self {
            Self::Learned(seconds) => write!(f, "{} expected", about(*seconds)),
            Self::Scaled(seconds) => {
                write!(f, "{} expected by takes of other sizes", about(*seconds))
            }
            Self::Counted(CountedTime { sampling, decoding, rate }) => write!(
                f,
                "{} expected by its operations, at {:.0} GFLOP/s as just measured",
                about(sampling + decoding),
                rate / 1e9
            ),
            Self::Unknown => {
                f.write_str("the first with this model here, so the time is not known")
            }
        }
    }
}

/// What is made of the image of a take of so many steps before the first of them; nothing where it begins with
/// none.
pub(crate) fn of_image(arithmetic: &Arithmetic, steps: u32) -> Option<String> {
    let Arithmetic { products, attention, conditioning, .. } = *arithmetic;
    let step = (products + attention) / f64::from(steps.max(1));
    (conditioning > 0.0).then(|| {
        format!(
            "the image is encoded with its fillers first: {} TFLOP, {:.2} of a step; it is kept while the image \
             stays the same",
            significant(conditioning / 1e12),
            conditioning / step
        )
    })
}

/// Three digits that matter.
fn significant(number: f64) -> String {
    let digits = (2.0 - number.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{number:.digits$}")
}

/// The line: ``model `draft` in f32, about 3 s expected; computing on the CPU, 2 threads``.
pub(crate) fn line(
    request: &TakeRequest,
    opened: &Opened,
    environment: &Environment,
    expected: ExpectedTime,
) -> String {
    let precision = request.precision;
    format!(
        "model `{}` in {precision}, {expected}; {}",
        request.model,
        describe(opened, environment)
    )
}

/// How long the take of a request may last: by what earlier takes have taught, else by its operations and
/// the pace that the machine has at the moment.
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
    if let Some(seconds) = history.scaled(request, &class, &work) {
        return ExpectedTime::Scaled(seconds);
    }
    let (width, height) = request.latent_size();
    let tokens = (width / 2 * (height / 2) * request.latent_frames()) as i64;
    let kind = kind_of(request.precision);
    match MachinePace::of_model(opened.device, kind, pipeline.widths(), tokens) {
        Ok(pace) => ExpectedTime::Counted(pace.time(pipeline.arithmetic(request))),
        Err(error) => {
            log::info!("the pace of this machine cannot be measured: {error}");
            ExpectedTime::Unknown
        }
    }
}

/// What the transformer multiplies in.
pub(crate) fn kind_of(precision: Precision) -> Kind {
    if precision == Precision::F32 { Kind::Float } else { Kind::BFloat16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_with_what_it_rests_on() {
        assert_eq!(ExpectedTime::Learned(2.6).to_string(), "about 3 s expected");
        assert_eq!(ExpectedTime::Learned(0.2).to_string(), "less than 1 s expected");
        assert!(
            ExpectedTime::Scaled(5000.0).to_string().starts_with("about 1 h 23 min expected by")
        );
        let counted = |sampling| {
            let time = CountedTime { sampling, decoding: 1.0, rate: 31e9 };
            ExpectedTime::Counted(time).to_string()
        };
        assert_eq!(
            counted(1.2),
            "about 2 s expected by its operations, at 31 GFLOP/s as just measured"
        );
        assert!(counted(f64::INFINITY).contains(" h "));
        assert!(ExpectedTime::Unknown.to_string().contains("not known"));
    }
}
