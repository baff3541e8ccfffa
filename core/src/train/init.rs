//! Networks that start from nothing: names, shapes and initial numbers, as in the authors' code and,
//! where that says nothing, as PyTorch's defaults are.
//!
//! Each tensor is drawn by its own name, so that none depends on another.

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};

use super::step_rng::StepRng;
use crate::Result;
use crate::device::Device;
use crate::dit::DitConfig;
use crate::vae::LATENT_CHANNELS;
use crate::weights::MemorySet;

/// Sizes of a text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umt5Config {
    /// Rows of the token embedding.
    pub vocabulary: i64,
    /// Width of the context.
    pub dim: i64,
    /// Channels of all attention heads together.
    pub attention: i64,
    /// Attention heads of each layer.
    pub heads: i64,
    /// Hidden width of the feed-forward network.
    pub ffn: i64,
    /// Layers of attention and feed-forward network.
    pub layers: usize,
}

/// Sizes of a video autoencoder. Levels, strides and the 16 channels are those of the released one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaeConfig {
    /// Channels at full resolution: 96 in the released one.
    pub dim: i64,
}

/// Multiples of [`VaeConfig::dim`], level by level.
const WIDTHS: [i64; 4] = [1, 2, 4, 4];

/// Latents are drawn with a deviation of 0.05 at first. PyTorch's defaults would make it 1, which
/// drowns the mean of a young encoder for thousands of steps.
const FIRST_LOG_VARIANCE: f64 = -6.0;

/// How a tensor begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    Constant(f64),
    /// Normal numbers of this standard deviation, around 0.
    Normal(f64),
    /// From minus to plus a bound.
    Uniform(f64),
}

/// Draws a network's tensors.
struct Builder {
    opened: Device,
    rng: StepRng,
    /// Before every name, in draws only: networks of equal names differ.
    network: &'static str,
    set: MemorySet,
}

impl Builder {
    fn new(opened: Device, network: &'static str, seed: u64) -> Self {
        Self { opened, rng: StepRng::new(seed, 0), network, set: MemorySet::default() }
    }

    fn put(&mut self, name: &str, shape: &[i64], start: Start) -> Result<()> {
        let tensor = match start {
            Start::Constant(value) => {
                Tensor::f_full(shape, value, (Kind::Float, tch::Device::Cpu))?
            }
            Start::Normal(std) => self.normal(name, shape)?.f_mul_scalar(std)?,
            Start::Uniform(bound) => {
                let name = format!("{}/{name}", self.network);
                self.rng.uniform(self.opened, &name, shape, bound)?
            }
        };
        self.set.insert(name, tensor);
        Ok(())
    }

    fn normal(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.rng.normal(self.opened, &format!("{}/{name}", self.network), shape)
    }

    /// A layer as PyTorch makes it: weight and bias uniform within 1/√(inputs of one output).
    fn layer(&mut self, name: &str, shape: &[i64]) -> Result<()> {
        let bound = (inputs(shape) as f64).powf(-0.5);
        self.put(&format!("{name}.weight"), shape, Start::Uniform(bound))?;
        self.put(&format!("{name}.bias"), &shape[..1], Start::Uniform(bound))
    }

    /// A linear layer of the transformer: Xavier, without bias at first.
    fn xavier(&mut self, name: &str, output: i64, input: i64) -> Result<()> {
        let bound = (6.0 / (input + output) as f64).sqrt();
        self.linear(name, output, input, Start::Uniform(bound))
    }

    fn linear(&mut self, name: &str, output: i64, input: i64, start: Start) -> Result<()> {
        self.put(&format!("{name}.weight"), &[output, input], start)?;
        self.put(&format!("{name}.bias"), &[output], Start::Constant(0.0))
    }

    /// A convolution of the autoencoder: what it gives is as large as what it is given. PyTorch's
    /// third of that, over some thirty layers, leaves a young autoencoder gray for a thousand
    /// steps. In time only the present frame counts at first, so that what has been learned of
    /// frames holds for the first clip.
    fn convolution(&mut self, name: &str, shape: &[i64]) -> Result<()> {
        let taps = if shape.len() == 5 { shape[2] } else { 1 };
        let std = ((inputs(shape) / taps) as f64).powf(-0.5);
        self.put(&format!("{name}.weight"), shape, Start::Normal(std))?;
        if taps > 1 {
            let past = self.set.get(&format!("{name}.weight"))?.f_narrow(2, 0, taps - 1)?;
            let _ = { past }.f_zero_()?;
        }
        self.put(&format!("{name}.bias"), &shape[..1], Start::Constant(0.0))
    }

    /// A convolution in time alone: the present frame as it is, as often as there are outputs.
    fn over_time(&mut self, name: &str, output: i64, input: i64) -> Result<()> {
        let shape = [output, input, 3, 1, 1];
        self.put(&format!("{name}.weight"), &shape, Start::Constant(0.0))?;
        let present = self.set.get(&format!("{name}.weight"))?.f_select(2, 2)?;
        let same = Tensor::f_eye(input, (Kind::Float, tch::Device::Cpu))?;
        let same = same.f_repeat([output / input, 1])?.f_view([output, input, 1, 1])?;
        { present }.f_copy_(&same)?;
        self.put(&format!("{name}.bias"), &[output], Start::Constant(0.0))
    }

    /// Adds nothing at first.
    fn residual(&mut self, name: &str, input: i64, output: i64) -> Result<()> {
        self.put(&format!("{name}.residual.0.gamma"), &[input, 1, 1, 1], Start::Constant(1.0))?;
        self.convolution(&format!("{name}.residual.2"), &[output, input, 3, 3, 3])?;
        self.put(&format!("{name}.residual.3.gamma"), &[output, 1, 1, 1], Start::Constant(1.0))?;
        let last = format!("{name}.residual.6");
        self.put(&format!("{last}.weight"), &[output, output, 3, 3, 3], Start::Constant(0.0))?;
        self.put(&format!("{last}.bias"), &[output], Start::Constant(0.0))?;
        if input != output {
            self.convolution(&format!("{name}.shortcut"), &[output, input, 1, 1, 1])?;
        }
        Ok(())
    }

    /// Adds a small constant at first.
    fn attention(&mut self, name: &str, c: i64) -> Result<()> {
        self.put(&format!("{name}.norm.gamma"), &[c, 1, 1], Start::Constant(1.0))?;
        self.layer(&format!("{name}.to_qkv"), &[3 * c, c, 1, 1])?;
        self.layer(&format!("{name}.proj"), &[c, c, 1, 1])?;
        self.put(&format!("{name}.proj.weight"), &[c, c, 1, 1], Start::Constant(0.0))
    }

    fn head(&mut self, name: &str, input: i64, output: i64) -> Result<()> {
        self.put(&format!("{name}.0.gamma"), &[input, 1, 1, 1], Start::Constant(1.0))?;
        self.convolution(&format!("{name}.2"), &[output, input, 3, 3, 3])
    }
}

fn inputs(shape: &[i64]) -> i64 {
    shape[1..].iter().product()
}

/// A diffusion transformer.
///
/// # Errors
/// Memory runs out.
pub fn dit(opened: Device, config: &DitConfig, seed: u64) -> Result<MemorySet> {
    let DitConfig { dim, ffn, freq_dim, text_dim, in_channels, out_channels, layers, .. } = *config;
    let mut b = Builder::new(opened, "dit", seed);
    let patch = [dim, in_channels, 1, 2, 2];
    b.layer("patch_embedding", &patch)?;
    let bound = (6.0 / (dim + inputs(&patch)) as f64).sqrt();
    b.put("patch_embedding.weight", &patch, Start::Uniform(bound))?;
    b.linear("text_embedding.0", dim, text_dim, Start::Normal(0.02))?;
    b.linear("text_embedding.2", dim, dim, Start::Normal(0.02))?;
    b.linear("time_embedding.0", dim, freq_dim, Start::Normal(0.02))?;
    b.linear("time_embedding.2", dim, dim, Start::Normal(0.02))?;
    b.xavier("time_projection.1", 6 * dim, dim)?;
    let modulation = Start::Normal((dim as f64).powf(-0.5));
    for i in 0..layers {
        for attention in ["self_attn", "cross_attn"] {
            for part in ["q", "k", "v", "o"] {
                b.xavier(&format!("blocks.{i}.{attention}.{part}"), dim, dim)?;
            }
            for norm in ["norm_q", "norm_k"] {
                let name = format!("blocks.{i}.{attention}.{norm}.weight");
                b.put(&name, &[dim], Start::Constant(1.0))?;
            }
        }
        b.put(&format!("blocks.{i}.norm3.weight"), &[dim], Start::Constant(1.0))?;
        b.put(&format!("blocks.{i}.norm3.bias"), &[dim], Start::Constant(0.0))?;
        b.xavier(&format!("blocks.{i}.ffn.0"), ffn, dim)?;
        b.xavier(&format!("blocks.{i}.ffn.2"), dim, ffn)?;
        b.put(&format!("blocks.{i}.modulation"), &[1, 6, dim], modulation)?;
    }
    b.linear("head.head", out_channels * 4, dim, Start::Constant(0.0))?;
    b.put("head.modulation", &[1, 2, dim], modulation)?;
    Ok(b.set)
}

/// A text encoder.
///
/// # Errors
/// Memory runs out.
pub fn umt5(opened: Device, config: &Umt5Config, seed: u64) -> Result<MemorySet> {
    let Umt5Config { vocabulary, dim, attention, heads, ffn, layers } = *config;
    /// Buckets of relative distance.
    const BUCKETS: i64 = 32;
    let mut b = Builder::new(opened, "umt5", seed);
    let std = |n: i64| Start::Normal((n as f64).powf(-0.5));
    b.put("token_embedding.weight", &[vocabulary, dim], Start::Normal(1.0))?;
    for i in 0..layers {
        let mut put =
            |name: &str, shape: &[i64], start| b.put(&format!("blocks.{i}.{name}"), shape, start);
        put("norm1.weight", &[dim], Start::Constant(1.0))?;
        put("attn.q.weight", &[attention, dim], std(dim * attention))?;
        put("attn.k.weight", &[attention, dim], std(dim))?;
        put("attn.v.weight", &[attention, dim], std(dim))?;
        put("attn.o.weight", &[dim, attention], std(heads * attention))?;
        put("pos_embedding.embedding.weight", &[BUCKETS, heads], std(2 * BUCKETS * heads))?;
        put("norm2.weight", &[dim], Start::Constant(1.0))?;
        put("ffn.gate.0.weight", &[ffn, dim], std(dim))?;
        put("ffn.fc1.weight", &[ffn, dim], std(dim))?;
        put("ffn.fc2.weight", &[dim, ffn], std(ffn))?;
    }
    b.put("norm.weight", &[dim], Start::Constant(1.0))?;
    Ok(b.set)
}

/// A video autoencoder.
///
/// # Errors
/// Memory runs out.
pub fn vae(opened: Device, config: &VaeConfig, seed: u64) -> Result<MemorySet> {
    let z = LATENT_CHANNELS;
    let [first, .., last] = WIDTHS.map(|width| width * config.dim);
    let mut b = Builder::new(opened, "vae", seed);
    b.convolution("encoder.conv1", &[first, 3, 3, 3, 3])?;
    let (mut index, mut channels) = (0, first);
    for (level, width) in WIDTHS.map(|width| width * config.dim).into_iter().enumerate() {
        for input in [channels, width] {
            b.residual(&format!("encoder.downsamples.{index}"), input, width)?;
            index += 1;
        }
        channels = width;
        if level + 1 < WIDTHS.len() {
            let name = format!("encoder.downsamples.{index}");
            b.convolution(&format!("{name}.resample.1"), &[channels, channels, 3, 3])?;
            if level > 0 {
                b.over_time(&format!("{name}.time_conv"), channels, channels)?;
            }
            index += 1;
        }
    }
    b.residual("encoder.middle.0", last, last)?;
    b.attention("encoder.middle.1", last)?;
    b.residual("encoder.middle.2", last, last)?;
    b.head("encoder.head", last, 2 * z)?;
    b.convolution("conv1", &[2 * z, 2 * z, 1, 1, 1])?;
    // The variance's rows say nothing of the frames yet.
    let _ = b.set.get("conv1.weight")?.f_narrow(0, z, z)?.f_zero_()?;
    let mut variance = b.set.get("conv1.bias")?.f_narrow(0, z, z)?;
    let _ = variance.f_fill_(FIRST_LOG_VARIANCE)?;

    b.convolution("conv2", &[z, z, 1, 1, 1])?;
    b.convolution("decoder.conv1", &[last, z, 3, 3, 3])?;
    b.residual("decoder.middle.0", last, last)?;
    b.attention("decoder.middle.1", last)?;
    b.residual("decoder.middle.2", last, last)?;
    let (mut index, mut channels) = (0, last);
    for (level, width) in WIDTHS.map(|width| width * config.dim).into_iter().rev().enumerate() {
        for input in [channels, width, width] {
            b.residual(&format!("decoder.upsamples.{index}"), input, width)?;
            index += 1;
        }
        channels = width;
        if level + 1 < WIDTHS.len() {
            let name = format!("decoder.upsamples.{index}");
            b.convolution(&format!("{name}.resample.1"), &[width / 2, width, 3, 3])?;
            if level < 2 {
                b.over_time(&format!("{name}.time_conv"), 2 * width, width)?;
            }
            channels = width / 2;
            index += 1;
        }
    }
    b.head("decoder.head", first, 3)?;
    Ok(b.set)
}

/// A merge block for an encoder whose features have `width` channels.
///
/// # Errors
/// Memory runs out.
pub fn merge_block(opened: Device, width: i64, seed: u64) -> Result<MemorySet> {
    let mut b = Builder::new(opened, "merge", seed);
    b.convolution("middle.block.conv1", &[width, 2 * width, 1, 1, 1])?;
    for index in 0..5 {
        let name = format!("middle.block.middle.{index}");
        if index % 2 == 0 { b.residual(&name, width, width)? } else { b.attention(&name, width)? }
    }
    b.head("middle.block.head", width, LATENT_CHANNELS)?;
    Ok(b.set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(set: &MemorySet, name: &str) -> (f64, f64) {
        let tensor = set.get(name).unwrap();
        (tensor.abs().max().double_value(&[]), tensor.std(false).double_value(&[]))
    }

    #[test]
    fn numbers_begin_as_the_authors_have_them() {
        let config = DitConfig {
            dim: 64,
            heads: 4,
            layers: 1,
            ffn: 128,
            freq_dim: 32,
            text_dim: 24,
            in_channels: 16,
            image: None,
            out_channels: 16,
            text_length: 8,
            eps: 1e-6,
        };
        let set = dit(Device::cpu(), &config, 1).unwrap();
        let (largest, std) = spread(&set, "blocks.0.ffn.0.weight");
        let bound = (6.0f64 / 192.0).sqrt();
        assert!(largest <= bound && largest > 0.98 * bound, "{largest}");
        assert!((std - bound / 3f64.sqrt()).abs() < 0.01 * bound, "{std}");
        assert_eq!(spread(&set, "blocks.0.ffn.0.bias").0, 0.0);
        assert_eq!(spread(&set, "head.head.weight").0, 0.0);
        assert!((spread(&set, "time_embedding.2.weight").1 - 0.02).abs() < 1e-3);
        assert!((spread(&set, "blocks.0.modulation").1 - 0.125).abs() < 0.02);

        let vae = vae(Device::cpu(), &VaeConfig { dim: 8 }, 1).unwrap();
        let first = vae.get("decoder.middle.0.residual.2.weight").unwrap();
        let present = first.select(2, 2).std(true).double_value(&[]) * (32.0f64 * 9.0).sqrt();
        assert!((present - 1.0).abs() < 0.02, "{present}");
        assert_eq!(first.narrow(2, 0, 2).abs().max().double_value(&[]), 0.0);
        assert_eq!(spread(&vae, "decoder.middle.0.residual.6.weight").0, 0.0);
        assert_eq!(spread(&vae, "encoder.middle.1.proj.weight").0, 0.0);
        // Equal shapes, other names, other numbers; the same seed, the same numbers.
        let same = super::vae(Device::cpu(), &VaeConfig { dim: 8 }, 1).unwrap();
        let (a, b) = ("decoder.middle.0.residual.2.weight", "decoder.middle.2.residual.2.weight");
        assert_eq!(vae.get(a).unwrap(), same.get(a).unwrap());
        assert_ne!(vae.get(a).unwrap(), vae.get(b).unwrap());
    }
}
