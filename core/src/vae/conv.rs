//! Convolutions that are causal in time, and the norm before them.
//!
//! Activations are `[b, t, h, w, c]` in memory, channels together: libtorch's convolutions run
//! fastest on it, and norms and 1×1 convolutions work along contiguous memory. The tensors the
//! convolutions see are permuted views, never copies, but for small clips on the CPU.
//!
//! Ports `wan/modules/vae.py:74` (`CausalConv3d`) and 96 (`RMS_norm`).

use tch::{Device, Kind, Tensor};

use super::cache::{CachedFrames, FeatureCache};
use super::winograd;
use crate::Result;
use crate::weights::Weights;

/// Frames a kernel of three looks back.
pub(super) const LOOK_BACK: i64 = 2;

/// A 3-D convolution padded with zeros in space, and in time on the left only.
#[derive(Debug)]
pub(super) struct CausalConv3d {
    /// `[out, in, kt, kh, kw]`, channels last in memory
    weight: Tensor,
    bias: Tensor,
    padding: [i64; 2],
}

impl CausalConv3d {
    pub(super) fn load(
        weights: &Weights,
        input: i64,
        output: i64,
        kernel: [i64; 3],
    ) -> Result<Self> {
        let [kt, kh, kw] = kernel;
        let weight = weights.get("weight", &[output, input, kt, kh, kw])?;
        Ok(Self {
            weight: channels_last(&weight)?,
            bias: weights.get("bias", &[output])?,
            padding: [kh / 2, kw / 2],
        })
    }

    /// `x`: `[b, t, h, w, in]` → `[b, t, h, w, out]`.
    pub(super) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        if self.weight.size()[2] == 1 {
            return self.convolve(x, &self.weight);
        }
        let slot = cache.slot();
        let film = match slot {
            CachedFrames::Frames(history) => Tensor::f_cat(&[&*history, x], 1)?,
            _ => x.shallow_clone(),
        };
        *slot = CachedFrames::Frames(last_frames(&film)?);
        self.over(&film, x.size()[1])
    }

    /// The last `frames` frames of `film`, each seen with the frames before it.
    ///
    /// At the beginning of a film frames are missing. They are zeros, so a single frame needs
    /// only the taps that meet real ones.
    fn over(&self, film: &Tensor, frames: i64) -> Result<Tensor> {
        let missing = LOOK_BACK - (film.size()[1] - frames);
        if missing == 0 {
            return self.convolve(film, &self.weight);
        }
        if frames == 1 {
            let taps = self.weight.f_narrow(2, missing, LOOK_BACK + 1 - missing)?;
            return self.convolve(film, &taps);
        }
        if film.size()[0] > 1 {
            return self.over_real_frames(film, frames, missing);
        }
        self.convolve(&film.f_constant_pad_nd([0, 0, 0, 0, 0, 0, missing, 0])?, &self.weight)
    }

    /// The same without the missing frames: the first frames meet only the taps that have one. Clips of
    /// training are a few frames long, so that zeros would be a tenth of all that is multiplied, forward
    /// and backward.
    fn over_real_frames(&self, film: &Tensor, frames: i64, missing: i64) -> Result<Tensor> {
        let mut parts = Vec::new();
        for frame in 0..missing.min(frames) {
            let absent = missing - frame;
            let taps = self.weight.f_narrow(2, absent, LOOK_BACK + 1 - absent)?;
            parts.push(self.convolve(&film.f_narrow(1, 0, LOOK_BACK + 1 - absent)?, &taps)?);
        }
        if frames > missing {
            parts.push(self.convolve(film, &self.weight)?);
        }
        Ok(Tensor::f_cat(&parts, 1)?)
    }

    fn convolve(&self, film: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let [kt, kh, kw] = [2, 3, 4].map(|axis| weight.size()[axis]);
        if [kt, kh, kw] == [1, 1, 1] {
            let matrix = weight.f_flatten(1, 4)?;
            return Ok(film.f_linear(&matrix, Some(&self.bias))?);
        }
        if winograd::is_faster(film, weight, &self.bias) {
            return winograd::convolve(film, weight, &self.bias);
        }
        if kt == 1 || is_slow_in_3d(film) {
            return self.over_images(film, weight);
        }
        let [ph, pw] = self.padding;
        let x = film.f_permute([0, 4, 1, 2, 3])?;
        let y = x.f_conv3d(weight, Some(&self.bias), [1, 1, 1], [0, ph, pw], [1, 1, 1], 1)?;
        Ok(y.f_permute([0, 2, 3, 4, 1])?.f_contiguous()?)
    }

    /// The same in two dimensions: the frames that a kernel sees are channels of one image.
    fn over_images(&self, film: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let size = film.size();
        let &[output, input, kt, kh, kw] = &weight.size()[..] else {
            return Ok(film.shallow_clone());
        };
        let [b, h, w] = [0, 2, 3].map(|axis| size[axis]);
        let frames = size[1] - (kt - 1);
        let seen = if kt == 1 {
            film.shallow_clone()
        } else {
            let seen = (0..kt).map(|tap| Ok(film.f_narrow(1, tap, frames)?));
            Tensor::f_cat(&seen.collect::<Result<Vec<_>>>()?, -1)?
        };
        // [out, kh, kw, kt·in]
        let weight = weight.f_permute([0, 3, 4, 2, 1])?.f_reshape([output, kh, kw, kt * input])?;
        let y = if (kh, kw) == (1, 1) {
            seen.f_linear(&weight.f_view([output, kt * input])?, Some(&self.bias))?
        } else {
            let images = seen.f_reshape([b * frames, h, w, kt * input])?.f_permute([0, 3, 1, 2])?;
            let weight = weight.f_permute([0, 3, 1, 2])?;
            let y = images.f_conv2d(&weight, Some(&self.bias), [1, 1], self.padding, [1, 1], 1)?;
            y.f_permute([0, 2, 3, 1])?.f_contiguous()?
        };
        Ok(y.f_view([b, frames, h, w, output])?)
    }
}

/// Whether libtorch would unfold `film` instead of calling oneDNN, which is up to ten times as fast:
/// on the CPU it does so in float32 for one clip of few channels, frames and rows (columns do not
/// count; in two dimensions they do).
fn is_slow_in_3d(film: &Tensor) -> bool {
    film.device() == Device::Cpu && film.kind() == Kind::Float && unfolds_in_3d(&film.size())
}

/// The same of a film `[b, t, h, w, c]` in float32 on the CPU.
pub(super) fn unfolds_in_3d(size: &[i64]) -> bool {
    /// Of `use_mkldnn` in ATen's Convolution.cpp.
    const FEW: i64 = 20_480;
    matches!(size, [1, t, h, _, c] if c * t * h <= FEW)
}

/// RMS norm over channels, SiLU, causal convolution.
#[derive(Debug)]
pub(super) struct NormConv {
    norm: RmsNorm,
    conv: CausalConv3d,
}

impl NormConv {
    /// Reads `norm` (a `gamma`) and `conv` of a sequence of layers.
    pub(super) fn load(
        weights: &Weights,
        norm: &str,
        conv: &str,
        input: i64,
        output: i64,
    ) -> Result<Self> {
        Ok(Self {
            norm: RmsNorm::load(&weights.sub(norm), input)?,
            conv: CausalConv3d::load(&weights.sub(conv), input, output, [3, 3, 3])?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        self.conv.over(&self.remembered(x, cache)?, x.size()[1])
    }

    /// The same of a tensor that nobody needs any more: it is gone before the convolution's result is
    /// there, which are the two largest tensors of a decoder.
    pub(super) fn forward_owned(&self, x: Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        let film = self.remembered(&x, cache)?;
        let frames = x.size()[1];
        drop(x);
        self.conv.over(&film, frames)
    }

    /// History and activated frames, of which the last are remembered.
    fn remembered(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        let slot = cache.slot();
        let history = match slot {
            CachedFrames::Frames(history) => Some(&*history),
            _ => None,
        };
        let film = if x.requires_grad() || self.norm.gamma.requires_grad() {
            let y = self.norm.forward(x)?.f_silu()?;
            match history {
                Some(history) => Tensor::f_cat(&[history, &y], 1)?,
                None => y,
            }
        } else {
            self.film(x, history)?
        };
        *slot = CachedFrames::Frames(last_frames(&film)?);
        Ok(film)
    }

    /// History and activated frames in one piece of memory, written once: activations of a
    /// decoder are large, and memory is what limits everything but the convolutions. Of one clip that has
    /// several frames, those that are missing at the beginning are there as zeros.
    fn film(&self, x: &Tensor, history: Option<&Tensor>) -> Result<Tensor> {
        let mut size = x.size();
        let frames = size[1];
        let known = history.map_or(0, |history| history.size()[1]);
        let past = if size[0] == 1 && frames > 1 { LOOK_BACK } else { known };
        size[1] += past;
        let film = Tensor::f_empty(&size[..], (x.kind(), x.device()))?;
        let _ = film.f_narrow(1, 0, past - known)?.f_zero_()?;
        if let Some(history) = history {
            film.f_narrow(1, past - known, known)?.f_copy_(history)?;
        }
        let mut y = film.f_narrow(1, past, frames)?;
        let _ = x.f_mul_out(&y, &self.norm.factor(x)?)?;
        let _ = y.f_mul_(&self.norm.scaled_gamma()?)?.f_silu_()?;
        Ok(film)
    }
}

/// The frames the next chunk looks back on, in memory of their own.
fn last_frames(film: &Tensor) -> Result<Tensor> {
    let frames = film.size()[1];
    let kept = frames.min(LOOK_BACK);
    Ok(film.f_slice_copy(1, frames - kept, frames, 1)?)
}

/// y = x / ‖x‖ · √c · γ over the channels.
#[derive(Debug)]
pub(super) struct RmsNorm {
    /// The factor of each channel: `[c]`.
    gamma: Tensor,
}

impl RmsNorm {
    pub(super) fn load(weights: &Weights, channels: i64) -> Result<Self> {
        // Files have [c, 1, 1] in attention and [c, 1, 1, 1] elsewhere.
        let axes = weights.shape("gamma")?.len();
        let mut shape = vec![1; axes.max(1)];
        shape[0] = channels;
        Ok(Self { gamma: weights.get("gamma", &shape)?.f_view([channels])? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_mul(&self.factor(x)?)?.f_mul(&self.scaled_gamma()?)?)
    }

    /// 1 / max(‖x‖, 1e-12): `[…, 1]`
    fn factor(&self, x: &Tensor) -> Result<Tensor> {
        let norm = x.f_norm_scalaropt_dim(2.0, -1i64, true)?;
        Ok(norm.f_clamp_min(1e-12)?.f_reciprocal()?)
    }

    fn scaled_gamma(&self) -> Result<Tensor> {
        let channels = self.gamma.size()[0];
        Ok(self.gamma.f_mul_scalar((channels as f64).sqrt())?)
    }
}

/// The same numbers with the channel axis innermost in memory, seen in the usual order.
pub(crate) fn channels_last(weight: &Tensor) -> Result<Tensor> {
    let axes = weight.dim() as i64;
    let inward: Vec<i64> = [0].into_iter().chain(2..axes).chain([1]).collect();
    let outward: Vec<i64> = [0, axes - 1].into_iter().chain(1..axes - 1).collect();
    Ok(weight.f_permute(&inward[..])?.f_contiguous()?.f_permute(&outward[..])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_two_dimensions_a_convolution_gives_what_it_gives_in_three() {
        for [kt, kh, kw] in [[3, 3, 3], [2, 3, 3], [1, 3, 3], [3, 1, 1]] {
            let options = (Kind::Double, Device::Cpu);
            let conv = CausalConv3d {
                weight: channels_last(&crate::noise::unseeded([5, 4, kt, kh, kw], options))
                    .unwrap(),
                bias: crate::noise::unseeded([5], options),
                padding: [kh / 2, kw / 2],
            };
            let film = crate::noise::unseeded([2, 6, 8, 7, 4], options);
            let there = film.permute([0, 4, 1, 2, 3]).conv3d(
                &conv.weight,
                Some(&conv.bias),
                [1, 1, 1],
                [0, kh / 2, kw / 2],
                [1, 1, 1],
                1,
            );
            let here = conv.over_images(&film, &conv.weight).unwrap();
            let off = (here - there.permute([0, 2, 3, 4, 1])).abs().max().double_value(&[]);
            assert!(off < 1e-12, "{kt}×{kh}×{kw}: {off}");
        }
    }

    #[test]
    fn frames_that_are_missing_are_zeros_that_nothing_is_multiplied_with() {
        let options = (Kind::Double, Device::Cpu);
        let conv = CausalConv3d {
            weight: channels_last(&crate::noise::unseeded([5, 4, 3, 3, 3], options)).unwrap(),
            bias: crate::noise::unseeded([5], options),
            padding: [1, 1],
        };
        // (frames before, frames): none, one and two of the two that a kernel looks back on.
        for (before, frames) in [(0, 1), (0, 2), (0, 5), (1, 1), (1, 4), (2, 3)] {
            let film = crate::noise::unseeded([3, before + frames, 6, 7, 4], options);
            let padded = film.constant_pad_nd([0, 0, 0, 0, 0, 0, LOOK_BACK - before, 0]);
            let expected = conv.convolve(&padded, &conv.weight).unwrap();
            let y = conv.over(&film, frames).unwrap();
            assert_eq!(y.size(), [3, frames, 6, 7, 5]);
            let off = (y - expected).abs().max().double_value(&[]);
            assert!(off < 1e-12, "{frames} frames after {before}: {off}");
        }
    }
}
