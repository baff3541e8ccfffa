//! Which library multiplies matrices on a processor.
//!
//! libtorch leaves float32 to MKL, whose kernels for AMD's processors stay behind oneDNN's by a tenth
//! of the time, and bfloat16 to oneDNN, which can apply GELU to a product before it is written.

use std::sync::LazyLock;

use tch::{Kind, Tensor};

use crate::Result;
use crate::device::processor_has_bfloat16;
use crate::shim::{gradients_enabled, has_onednn_linear, onednn_linear};

/// Of this machine and this build of libtorch: whether products in float32 go to oneDNN.
static FLOAT32: LazyLock<bool> = LazyLock::new(|| is_amd() && has_onednn_linear());

/// Whether oneDNN takes products in bfloat16.
static BFLOAT16: LazyLock<bool> = LazyLock::new(|| processor_has_bfloat16() && has_onednn_linear());

/// x·Wᵀ + b: `[…, in]` → `[…, out]`, by whichever library is the faster here.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if *FLOAT32 && x.kind() == Kind::Float && fits(x, weight, bias) {
        return onednn_linear(x, weight, bias, false);
    }
    Ok(x.f_linear(weight, bias)?)
}

/// Whether there is [`linear_gelu`] for these.
pub(super) fn has_gelu(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let by_kind = match x.kind() {
        Kind::Float => *FLOAT32,
        Kind::BFloat16 => *BFLOAT16,
        _ => false,
    };
    by_kind && !gradients_enabled() && fits(x, weight, bias)
}

/// GELU, in its tanh form, of x·Wᵀ + b.
pub(super) fn linear_gelu(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    onednn_linear(x, weight, bias, true)
}

/// On a processor, of one kind, and nothing but `x` may want a gradient.
fn fits(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let trained = || weight.requires_grad() || bias.is_some_and(Tensor::requires_grad);
    x.device() == tch::Device::Cpu
        && x.dim() >= 2
        && x.numel() > 0
        && weight.kind() == x.kind()
        && bias.is_none_or(|bias| bias.kind() == x.kind())
        && !(gradients_enabled() && trained())
}

#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    let found = std::arch::x86_64::__cpuid(0);
    let vendor = [found.ebx, found.edx, found.ecx].map(u32::to_le_bytes);
    matches!(vendor.as_flattened(), b"AuthenticAMD" | b"HygonGenuine")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_amd() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64], kind: Kind) -> Tensor {
        (crate::noise::unseeded(shape, (Kind::Float, tch::Device::Cpu)) * 0.3).to_kind(kind)
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
        (a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[])
    }

    #[test]
    fn onednn_computes_what_libtorch_does() {
        if !has_onednn_linear() {
            return;
        }
        let _guard = tch::no_grad_guard();
        // A processor without instructions for bfloat16 has no such product, and is asked for none.
        let narrow = BFLOAT16.then_some((Kind::BFloat16, 1e-2));
        for (kind, tolerance) in [(Kind::Float, 1e-6)].into_iter().chain(narrow) {
            let (weight, bias) = (random(&[7, 12], kind), random(&[7], kind));
            // A piece of a batch is not contiguous.
            for x in [random(&[3, 5, 12], kind), random(&[2, 9, 12], kind).narrow(1, 2, 4)] {
                for bias in [None, Some(&bias)] {
                    let expected = x.linear(&weight, bias);
                    let found = onednn_linear(&x, &weight, bias, false).unwrap();
                    assert_eq!(found.size(), expected.size());
                    assert!(difference(&found, &expected) < tolerance, "{kind:?}");
                    let found = onednn_linear(&x, &weight, bias, true).unwrap();
                    assert!(difference(&found, &expected.gelu("tanh")) < tolerance, "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_frozen_layer_passes_the_gradient_on() {
        if !has_onednn_linear() {
            return;
        }
        let (weight, bias) = (random(&[7, 12], Kind::Float), random(&[7], Kind::Float));
        let (x, toward) = (random(&[2, 5, 12], Kind::Float), random(&[2, 5, 7], Kind::Float));
        let gradient = |linear: &dyn Fn(&Tensor) -> Tensor| {
            let x = x.copy().set_requires_grad(true);
            (linear(&x) * &toward).sum(Kind::Float).backward();
            x.grad()
        };
        let found = gradient(&|x| onednn_linear(x, &weight, Some(&bias), false).unwrap());
        let expected = gradient(&|x| x.linear(&weight, Some(&bias)));
        assert!(difference(&found, &expected) < 1e-6);
        let x = x.copy().set_requires_grad(true);
        assert!(
            onednn_linear(&x, &weight, None, true).is_err(),
            "GELU keeps nothing for the way back"
        );
    }

    #[test]
    fn a_trained_layer_keeps_its_gradients() {
        let weight = random(&[7, 12], Kind::Float).set_requires_grad(true);
        let x = random(&[2, 12], Kind::Float);
        assert!(!has_gelu(&x, &weight, None));
        linear(&x, &weight, None).unwrap().sum(Kind::Float).backward();
        assert!(weight.grad().defined());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_maker_of_the_processor_is_who_its_system_says() {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let said = text.contains("AuthenticAMD") || text.contains("HygonGenuine");
        assert_eq!(is_amd(), said);
    }
}
