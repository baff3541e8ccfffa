//! How fast this machine computes, measured in a moment: operations of the kinds that a take consists of,
//! with matrices as wide as the model's.

use std::time::{Duration, Instant};

use wan_alpha_core::Result;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Arithmetic, ModelWidths};
use wan_alpha_core::tch::{Kind, Tensor};

/// How long each kind of operation is timed. The first wakes threads and clocks up, and the best of those
/// that fit into this counts: a draft take of seconds is not held up, and one of hours is timed better.
const BRIEFLY: Duration = Duration::from_millis(20);
const THOROUGHLY: Duration = Duration::from_millis(150);

/// Rows, depth and columns of the products that are timed, at most: done within a second on any machine
/// that so wide a model fits into.
const ON_CPU: [i64; 3] = [512, 4096, 1024];
/// A card is kept busy for as long as it takes to be asked.
const ON_CARD: [i64; 3] = [4096, 4096, 4096];

/// Numbers that a convolution of the decoders adds for each channel: 3 × 3 of three frames.
const TAPS: i64 = 27;

/// Operations in a second, by kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MachinePace {
    /// Matrix products of the transformer, in its precision.
    pub(crate) products: f64,
    /// Attention, in the same precision.
    pub(crate) attention: f64,
    /// The products that convolutions of the decoders are, in float32.
    pub(crate) decoding: f64,
}

/// Seconds of a take's stages, and operations in a second over both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CountedTime {
    pub(crate) sampling: f64,
    pub(crate) decoding: f64,
    pub(crate) rate: f64,
}

impl MachinePace {
    /// Measures a large model's, on as many threads as a take has.
    pub(crate) fn of_large(device: Device, kind: Kind) -> Result<Self> {
        Ok(Self {
            products: product_rate(device, kind, ON_CPU, THOROUGHLY)?,
            attention: attention_rate(device, kind, [8, 1024, 128], THOROUGHLY)?,
            decoding: product_rate(device, Kind::Float, ON_CPU, THOROUGHLY)?,
        })
    }

    /// Measures those of a model of these widths, which attends over so many tokens.
    pub(crate) fn of_model(
        device: Device,
        kind: Kind,
        widths: ModelWidths,
        tokens: i64,
    ) -> Result<Self> {
        let most = if device.is_cuda() { ON_CARD } else { ON_CPU };
        let fit = |sizes: [i64; 3]| [0, 1, 2].map(|axis| sizes[axis].clamp(1, most[axis]));
        let ModelWidths { dim, ffn, heads, decoder } = widths;
        let head = (dim / heads.max(1)).max(1);
        let attention = [heads.clamp(1, 16), tokens.clamp(1, most[2]), head];
        // A quarter as wide where most of its work is: at the full size of a frame.
        let narrow = (decoder / 4).max(1);
        let convolution = [most[0] * 8, TAPS * narrow, narrow];
        Ok(Self {
            products: product_rate(device, kind, fit([tokens, dim, ffn]), BRIEFLY)?,
            attention: attention_rate(device, kind, attention, BRIEFLY)?,
            decoding: product_rate(device, Kind::Float, convolution, BRIEFLY)?,
        })
    }

    /// What the operations of a take come to.
    pub(crate) fn time(&self, arithmetic: Arithmetic) -> CountedTime {
        let Arithmetic { products, attention, conditioning, decoding } = arithmetic;
        // Encoders convolve as decoders do.
        let sampling =
            products / self.products + attention / self.attention + conditioning / self.decoding;
        let seconds = decoding / self.decoding;
        let operations = products + attention + conditioning + decoding;
        let rate = operations / (sampling + seconds);
        CountedTime { sampling, decoding: seconds, rate }
    }
}

/// Operations in a second of products of `[rows, depth]` and `[depth, columns]`.
fn product_rate(opened: Device, kind: Kind, sizes: [i64; 3], within: Duration) -> Result<f64> {
    let [rows, depth, columns] = sizes;
    let (left, right) = (opened.ones(&[rows, depth], kind)?, opened.ones(&[depth, columns], kind)?);
    rate(2 * rows * depth * columns, within, || Ok(left.f_matmul(&right)?))
}

/// The same of attention, with heads, tokens and channels of a head.
fn attention_rate(opened: Device, kind: Kind, sizes: [i64; 3], within: Duration) -> Result<f64> {
    let [heads, tokens, channels] = sizes;
    let x = opened.ones(&[1, heads, tokens, channels], kind)?;
    rate(4 * heads * tokens * tokens * channels, within, || {
        let none = None::<&Tensor>;
        Ok(Tensor::f_scaled_dot_product_attention(&x, &x, &x, none, 0.0, false, None, false)?)
    })
}

fn rate(operations: i64, within: Duration, compute: impl Fn() -> Result<Tensor>) -> Result<f64> {
    // A card says at once that it will compute: a number that is wanted here has been computed.
    let done = || -> Result<f64> { Ok(compute()?.f_reshape([-1])?.f_double_value(&[0])?) };
    done()?;
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || begun.elapsed() < within {
        let now = Instant::now();
        done()?;
        best = best.min(now.elapsed().as_secs_f64());
    }
    Ok(operations as f64 / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_are_such_as_a_machine_can_have() {
        let cpu = Device::cpu();
        let draft = ModelWidths { dim: 256, ffn: 1024, heads: 4, decoder: 64 };
        for kind in [Kind::Float, Kind::BFloat16] {
            let large = MachinePace::of_large(cpu, kind).unwrap();
            let small = MachinePace::of_model(cpu, kind, draft, 180).unwrap();
            for MachinePace { products, attention, decoding } in [large, small] {
                for rate in [products, attention, decoding] {
                    assert!((1e7..1e15).contains(&rate), "{rate:e}");
                }
            }
        }
    }

    #[test]
    fn the_time_of_a_take_is_its_operations_by_their_paces() {
        let pace = MachinePace { products: 50e9, attention: 40e9, decoding: 100e9 };
        let arithmetic = Arithmetic {
            products: 3.1e15,
            attention: 3.6e15,
            conditioning: 0.0,
            decoding: 0.551e15,
        };
        let time = pace.time(arithmetic);
        assert_eq!((time.sampling, time.decoding), (152_000.0, 5_510.0));
        assert!((time.rate - 46.04e9).abs() < 1e7, "{}", time.rate);
    }
}
