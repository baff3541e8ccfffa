//! What the networks of an RGBA autoencoder begin as.

#![forbid(unsafe_code)]

use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::train::parameters::Parameters;
use crate::train::step_rng::StepRng;
use crate::train::task::{ComputeOptions, NewAdapter};
use crate::vae::LATENT_CHANNELS;
use crate::weights::MemorySet;

/// Makes a merge block what the base has behind its encoder's features: their normalization, the
/// last convolution, and the mean's rows of `conv1`. Its own residual blocks add nothing at first.
pub(super) fn pass_color(merge: &MemorySet, base: &MemorySet) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let numbers = |set: &MemorySet, name: &str| -> Result<Tensor> {
        Ok(set.get(name)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?)
    };
    let write = |name: &str, tensor: &Tensor| -> Result<()> {
        merge.get(&format!("middle.block.{name}"))?.f_copy_(tensor)?;
        Ok(())
    };
    let z = LATENT_CHANNELS;
    // [2z, 2z]: mean and logarithm of the variance, of which only the mean's rows count.
    let mean = numbers(base, "conv1.weight")?.f_narrow(0, 0, z)?.f_view([z, -1])?;
    let weight = numbers(base, "encoder.head.2.weight")?;
    let mut shape = weight.size();
    let composed = mean.f_mm(&weight.f_flatten(1, -1)?)?;
    shape[0] = z;
    write("head.0.gamma", &numbers(base, "encoder.head.0.gamma")?)?;
    write("head.2.weight", &composed.f_view(&shape[..])?)?;
    let bias = mean.f_mv(&numbers(base, "encoder.head.2.bias")?)?;
    write("head.2.bias", &bias.f_add(&numbers(base, "conv1.bias")?.f_narrow(0, 0, z)?)?)?;
    // All that attention adds at first.
    for attention in ["middle.1", "middle.3"] {
        let _ = merge.get(&format!("middle.block.{attention}.proj.bias"))?.f_zero_()?;
    }
    // Color's features, and nothing of alpha's.
    let width = shape[1];
    let eye = Tensor::f_eye(width, (Kind::Float, Device::Cpu))?;
    let conv1 = Tensor::f_cat(&[&eye, &eye.f_zeros_like()?], 1)?;
    write("conv1.weight", &conv1.f_view([width, 2 * width, 1, 1, 1])?)
}

/// A frozen decoder with a LoRA beside each of its convolutions, named as released.
pub(super) fn with_loras(
    base: &MemorySet,
    side: &str,
    rank: i64,
    seed: u64,
    compute: ComputeOptions,
    parameters: &mut Parameters,
) -> Result<MemorySet> {
    let mut set = MemorySet::default();
    for name in
        base.names().filter(|name| name.starts_with("decoder.") || name.starts_with("conv2."))
    {
        set.insert(name, base.get(name)?);
    }
    for name in base.names().filter(|name| name.starts_with("decoder.")) {
        let Some(module) = name.strip_suffix(".weight") else { continue };
        // A causal convolution is a module around its convolution.
        let inner = if base.shape(name)?.len() == 5 { ".conv3D" } else { "" };
        let key = format!("{side}.{module}{inner}");
        let scale = 1.0 / rank as f64;
        let rng = StepRng::new(seed, 0);
        let opened = compute.device;
        let adapter = NewAdapter { key: &key, rank, scale, magnitude: false, rng, opened };
        set.adapt(name, adapter.make(&base.get(name)?, compute.master_dtype(), parameters)?);
    }
    Ok(set)
}
