//! The blocks of the autoencoder: residual, attention, upsampling.
//!
//! Ports `wan/modules/vae.py:243` (`ResidualBlock`), 280 (`AttentionBlock`), 114 (`Upsample`) and
//! 123 (`Resample`).

use tch::Tensor;

use super::cache::{CachedFrames, FeatureCache};
use super::conv::{CausalConv3d, NormConv, RmsNorm, channels_last};
use crate::Result;
use crate::linear::Linear;
use crate::weights::Weights;

/// Two norm-SiLU-convolutions beside a shortcut.
#[derive(Debug)]
pub(super) struct ResidualBlock {
    first: NormConv,
    second: NormConv,
    shortcut: Option<CausalConv3d>,
    output: i64,
}

impl ResidualBlock {
    pub(super) fn load(weights: &Weights, input: i64) -> Result<Self> {
        let output = weights.shape("residual.2.weight")?.first().copied().unwrap_or(0);
        let shortcut = (input != output)
            .then(|| CausalConv3d::load(&weights.sub("shortcut"), input, output, [1, 1, 1]))
            .transpose()?;
        Ok(Self {
            first: NormConv::load(weights, "residual.0", "residual.2", input, output)?,
            second: NormConv::load(weights, "residual.3", "residual.6", output, output)?,
            shortcut,
            output,
        })
    }

    pub(super) fn output(&self) -> i64 {
        self.output
    }

    pub(super) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        let y = self.first.forward(x, cache)?;
        let mut y = self.second.forward_owned(y, cache)?;
        let x = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x, cache)?,
            None => x,
        };
        if y.requires_grad() || x.requires_grad() { Ok(y.f_add(x)?) } else { Ok(y.f_add_(x)?) }
    }
}

/// Every pixel of a frame attends to every other, with a single head.
#[derive(Debug)]
pub(super) struct AttentionBlock {
    norm: RmsNorm,
    to_qkv: Linear,
    proj: Linear,
}

impl AttentionBlock {
    pub(super) fn load(weights: &Weights, channels: i64) -> Result<Self> {
        Ok(Self {
            norm: RmsNorm::load(&weights.sub("norm"), channels)?,
            to_qkv: load_1x1(&weights.sub("to_qkv"), channels, 3 * channels)?,
            proj: load_1x1(&weights.sub("proj"), channels, channels)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        let (frames, pixels, channels) = (size[0] * size[1], size[2] * size[3], size[4]);
        let qkv = self.to_qkv.forward(&self.norm.forward(x)?)?;
        let qkv = qkv.f_view([frames, 1, pixels, 3 * channels])?.f_chunk(3, -1)?;
        let y = Tensor::f_scaled_dot_product_attention(
            &qkv[0],
            &qkv[1],
            &qkv[2],
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        Ok(x.f_add(&self.proj.forward(&y.f_reshape(&size[..])?)?)?)
    }
}

/// A 1×1 convolution over an image is a linear layer over channels.
fn load_1x1(weights: &Weights, input: i64, output: i64) -> Result<Linear> {
    let weight = weights.get("weight", &[output, input, 1, 1])?;
    let bias = weights.get("bias", &[output])?;
    Ok(Linear::Plain { weight: weight.f_view([output, input])?, bias: Some(bias) })
}

/// Twice the size in space, and twice the frames where there is a `time_conv`.
#[derive(Debug)]
pub(super) struct Upsample {
    time_conv: Option<CausalConv3d>,
    /// `[4·out, in, 2, 2]`: the four phases of the 3×3 kernel, see [`phases`].
    weight: Tensor,
    bias: Tensor,
    output: i64,
}

impl Upsample {
    pub(super) fn load(weights: &Weights, input: i64) -> Result<Self> {
        let output = weights.shape("resample.1.weight")?.first().copied().unwrap_or(0);
        let time_conv = weights
            .contains("time_conv.weight")
            .then(|| CausalConv3d::load(&weights.sub("time_conv"), input, 2 * input, [3, 1, 1]))
            .transpose()?;
        let weight = weights.get("resample.1.weight", &[output, input, 3, 3])?;
        Ok(Self {
            time_conv,
            weight: channels_last(&phases(&weight)?)?,
            bias: weights.get("resample.1.bias", &[output])?.f_repeat([4])?,
            output,
        })
    }

    pub(super) fn output(&self) -> i64 {
        self.output
    }

    pub(super) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        match &self.time_conv {
            Some(time_conv) => self.in_space(&in_time(time_conv, x, cache)?),
            None => self.in_space(x),
        }
    }

    /// Nearest-neighbor doubling and the 3×3 convolution after it, in one: each of the four
    /// pixels that a pixel becomes sees 2×2 of the pixels before, so four 2×2 kernels do the work
    /// of one 3×3 on four times the pixels with 4/9 of its multiplications.
    fn in_space(&self, x: &Tensor) -> Result<Tensor> {
        let &[b, t, h, w, c] = &x.size()[..] else {
            return Ok(x.shallow_clone());
        };
        let images = x.f_reshape([b * t, h, w, c])?.f_permute([0, 3, 1, 2])?;
        // [b·t, 4·out, h + 1, w + 1]: entry (i, j) has seen rows i − 1, i and columns j − 1, j.
        let y = images.f_conv2d(&self.weight, Some(&self.bias), [1, 1], [1, 1], [1, 1], 1)?;
        let y = y.f_permute([0, 2, 3, 1])?;
        if y.requires_grad() {
            let large = joined_phases(&y, h, w)?;
            return Ok(large.f_view([b, t, 2 * h, 2 * w, self.output])?);
        }
        let large = Tensor::f_empty([b * t, h, 2, w, 2, self.output], (x.kind(), x.device()))?;
        for (phase, (row, column)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let pixels = y.f_narrow(1, row, h)?.f_narrow(2, column, w)?.f_narrow(
                3,
                phase as i64 * self.output,
                self.output,
            )?;
            large.f_select(2, row)?.f_select(3, column)?.f_copy_(&pixels)?;
        }
        Ok(large.f_view([b, t, 2 * h, 2 * w, self.output])?)
    }
}

/// What [`Upsample::in_space`] does by copying, with a way back: `[n, h + 1, w + 1, 4·out]` →
/// `[n, h, 2, w, 2, out]`.
fn joined_phases(y: &Tensor, h: i64, w: i64) -> Result<Tensor> {
    let phases = y.f_chunk(4, 3)?;
    let at = |phase: usize, row, column| -> Result<Tensor> {
        Ok(phases[phase].f_narrow(1, row, h)?.f_narrow(2, column, w)?)
    };
    let even = Tensor::f_stack(&[at(0, 0, 0)?, at(1, 0, 1)?], 3)?;
    let odd = Tensor::f_stack(&[at(2, 1, 0)?, at(3, 1, 1)?], 3)?;
    Ok(Tensor::f_stack(&[even, odd], 2)?)
}

/// The 2×2 kernels that a 3×3 kernel becomes on an image whose pixels stand for 2×2 equal ones.
///
/// An even row 2y sees rows 2y−1, 2y, 2y+1, which are y−1, y, y before doubling: taps w₀ and
/// w₁+w₂. An odd row sees y, y, y+1: taps w₀+w₁ and w₂. Columns likewise.
/// `[out, in, 3, 3]` → `[4·out, in, 2, 2]`.
fn phases(weight: &Tensor) -> Result<Tensor> {
    let fold = |w: &Tensor, axis: i64, odd: bool| -> Result<Tensor> {
        let tap = |i| w.f_narrow(axis, i, 1);
        let pair = if odd {
            [tap(0)?.f_add(&tap(1)?)?, tap(2)?]
        } else {
            [tap(0)?, tap(1)?.f_add(&tap(2)?)?]
        };
        Ok(Tensor::f_cat(&pair, axis)?)
    };
    let mut kernels = Vec::with_capacity(4);
    for odd_row in [false, true] {
        for odd_column in [false, true] {
            kernels.push(fold(&fold(weight, 2, odd_row)?, 3, odd_column)?);
        }
    }
    Ok(Tensor::f_cat(&kernels, 0)?)
}

/// Two frames for each frame, except that the first of a film stays one.
///
/// The first frame does not pass through the convolution, and is not part of what later frames
/// look back on.
fn in_time(time_conv: &CausalConv3d, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
    let slot = cache.slot();
    let first = matches!(slot, CachedFrames::Fresh);
    if first {
        *slot = CachedFrames::Begun;
    }
    let frames = x.size()[1];
    let rest = if first { x.f_narrow(1, 1, frames - 1)? } else { x.shallow_clone() };
    if rest.size()[1] == 0 {
        // The convolution's own slot keeps its place in the order.
        cache.slot();
        return Ok(x.shallow_clone());
    }
    let doubled = interleave(&time_conv.forward(&rest, cache)?)?;
    if first { Ok(Tensor::f_cat(&[x.f_narrow(1, 0, 1)?, doubled], 1)?) } else { Ok(doubled) }
}

/// `[b, t, h, w, 2·c]` → `[b, 2·t, h, w, c]`: the first half of the channels is the earlier frame.
fn interleave(x: &Tensor) -> Result<Tensor> {
    let &[b, t, h, w, c] = &x.size()[..] else {
        return Ok(x.shallow_clone());
    };
    let split = x.f_view([b, t, h, w, 2, c / 2])?.f_permute([0, 1, 4, 2, 3, 5])?;
    Ok(split.f_reshape([b, 2 * t, h, w, c / 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn four_phases_do_what_doubling_and_a_3x3_convolution_do() {
        let options = (Kind::Double, Device::Cpu);
        let (weight, bias) =
            (crate::noise::unseeded([5, 3, 3, 3], options), crate::noise::unseeded([5], options));
        let x = crate::noise::unseeded([2, 1, 4, 7, 3], options);
        let images = x.view([2, 4, 7, 3]).permute([0, 3, 1, 2]);
        let large = images.upsample_nearest2d([8, 14], None, None);
        let expected = large.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1);
        let upsample = Upsample {
            time_conv: None,
            weight: phases(&weight).unwrap(),
            bias: bias.repeat([4]),
            output: 5,
        };
        let y = upsample.in_space(&x).unwrap().view([2, 8, 14, 5]).permute([0, 3, 1, 2]);
        assert!((y - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn with_gradients_the_phases_come_to_the_same_places() {
        let options = (Kind::Float, Device::Cpu);
        let upsample = |weight: Tensor| Upsample {
            time_conv: None,
            weight,
            bias: Tensor::zeros([20], options),
            output: 5,
        };
        let weight = phases(&crate::noise::unseeded([5, 3, 3, 3], options)).unwrap();
        let x = crate::noise::unseeded([2, 1, 4, 7, 3], options);
        let copied = upsample(weight.copy()).in_space(&x).unwrap();
        let joined = upsample(weight.set_requires_grad(true)).in_space(&x).unwrap();
        assert!(joined.requires_grad() && !copied.requires_grad());
        assert_eq!(joined, copied);
    }

    #[test]
    fn the_first_half_of_the_channels_is_the_earlier_frame() {
        let x = Tensor::from_slice(&[1f32, 2., 3., 4.]).view([1, 2, 1, 1, 2]);
        let frames: Vec<f32> = interleave(&x).unwrap().view([-1]).try_into().unwrap();
        assert_eq!(frames, [1., 2., 3., 4.]);
    }
}
