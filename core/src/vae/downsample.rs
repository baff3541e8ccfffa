//! Half the size in space, and half the frames where there is a `time_conv`.
//!
//! Ports `wan/modules/vae.py:123` (`Resample`).

use tch::Tensor;

use super::cache::{CachedFrames, FeatureCache};
use super::conv::channels_last;
use crate::Result;
use crate::weights::Weights;

/// Zeros on the right and below, a 3×3 convolution of stride 2; then, in time, three frames to one
/// at every second frame.
#[derive(Debug)]
pub(super) struct Downsample {
    time_conv: Option<Convolution>,
    resample: Convolution,
    channels: i64,
}

#[derive(Debug)]
struct Convolution {
    /// Channels last in memory.
    weight: Tensor,
    bias: Tensor,
}

impl Convolution {
    fn load(weights: &Weights, shape: &[i64]) -> Result<Self> {
        let weight = channels_last(&weights.get("weight", shape)?)?;
        Ok(Self { weight, bias: weights.get("bias", &shape[..1])? })
    }
}

impl Downsample {
    pub(super) fn load(weights: &Weights, channels: i64) -> Result<Self> {
        let c = channels;
        let time_conv = weights
            .contains("time_conv.weight")
            .then(|| Convolution::load(&weights.sub("time_conv"), &[c, c, 3, 1, 1]))
            .transpose()?;
        let resample = Convolution::load(&weights.sub("resample.1"), &[c, c, 3, 3])?;
        Ok(Self { time_conv, resample, channels })
    }

    /// Whether it halves the frames as well.
    pub(super) fn in_both(&self) -> bool {
        self.time_conv.is_some()
    }

    pub(super) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
        let x = self.in_space(x)?;
        match &self.time_conv {
            Some(time_conv) => in_time(time_conv, &x, cache),
            None => Ok(x),
        }
    }

    /// `[b, t, h, w, c]` → `[b, t, h/2, w/2, c]`
    fn in_space(&self, x: &Tensor) -> Result<Tensor> {
        let &[b, t, h, w, c] = &x.size()[..] else {
            return Ok(x.shallow_clone());
        };
        let padded = x.f_reshape([b * t, h, w, c])?.f_constant_pad_nd([0, 0, 0, 1, 0, 1])?;
        let Convolution { weight, bias } = &self.resample;
        let images = padded.f_permute([0, 3, 1, 2])?;
        let y = images.f_conv2d(weight, Some(bias), [2, 2], [0, 0], [1, 1], 1)?;
        let y = y.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        Ok(y.f_view([b, t, h / 2, w / 2, self.channels])?)
    }
}

/// One frame for each two, except that the first of a film stays one: it does not pass through the
/// convolution, but the next frames look back on it.
fn in_time(time_conv: &Convolution, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor> {
    let slot = cache.slot();
    let (first, film) = match slot {
        CachedFrames::Frames(last) => (None, Tensor::f_cat(&[&*last, x], 1)?),
        _ => (Some(x.f_narrow(1, 0, 1)?), x.shallow_clone()),
    };
    let frames = film.size()[1];
    *slot = CachedFrames::Frames(film.f_slice_copy(1, frames - 1, frames, 1)?);
    if frames == 1 {
        return Ok(film);
    }
    let Convolution { weight, bias } = time_conv;
    let y = film.f_permute([0, 4, 1, 2, 3])?.f_conv3d(
        weight,
        Some(bias),
        [2, 1, 1],
        [0, 0, 0],
        [1, 1, 1],
        1,
    )?;
    let halved = y.f_permute([0, 2, 3, 4, 1])?.f_contiguous()?;
    match first {
        Some(first) => Ok(Tensor::f_cat(&[first, halved], 1)?),
        None => Ok(halved),
    }
}
