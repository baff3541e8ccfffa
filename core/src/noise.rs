//! The noise a take starts from: seeded, and shifted in its mean outside the ellipse.
//!
//! Ports `wan/text2video_dora_lightx2v.py:383` to 394 and, for training,
//! `Wan-Alpha-train/diffsynth/pipelines/wan_video_new_1010_ellipse.py:275`.

use parking_lot::Mutex;
use tch::{Kind, Tensor};
use wan_alpha_take::Mask;

use crate::device::Device;
use crate::{Error, Result};

/// libtorch seeds only its global generator: one draw at a time.
static GENERATOR: Mutex<()> = Mutex::new(());

/// What `torch.manual_seed(seed); torch.randn(shape)` gives on the CPU in float32, whatever device
/// is open and computes the take: a tensor of `shape`. Seeding asks libtorch about CUDA: hence the
/// device.
///
/// # Errors
/// Memory runs out.
pub fn draw(_opened: Device, seed: u32, shape: &[i64]) -> Result<Tensor> {
    seeded(seed.into(), || Ok(Tensor::f_randn(shape, (Kind::Float, tch::Device::Cpu))?))
}

/// What `draw` draws after `torch.manual_seed(seed)`.
pub(crate) fn seeded<T>(seed: i64, draw: impl FnOnce() -> Result<T>) -> Result<T> {
    let _one_at_a_time = GENERATOR.lock();
    tch::manual_seed(seed);
    draw()
}

/// Standard normal numbers for tests: another test, in another thread, may be between seed and draw.
#[cfg(test)]
pub(crate) fn unseeded(size: impl AsRef<[i64]>, options: (Kind, tch::Device)) -> Tensor {
    let _one_at_a_time = GENERATOR.lock();
    Tensor::randn(size.as_ref(), options)
}

/// ε + (1 − G)·μ: the mean is raised outside the ellipse, where the take is to be transparent.
///
/// The paper's equation 19 writes N(G·μ, I); training and inference of the released model, and
/// the caption of its figure 3, have the complement. `noise` is `[16, frames, h, w]`, `mask` is
/// `[frames, h, w]`, and `shift` (μ·mu_scale) has one entry for each latent frame.
///
/// # Errors
/// Frames that do not agree, or memory runs out.
pub fn shift_mean(noise: &Tensor, mask: &Tensor, shift: &[f64]) -> Result<Tensor> {
    let size = noise.size();
    if mask.size()[..] != size[1..] || shift.len() as i64 != size[1] {
        return Err(Error::Input(format!(
            "the mask {:?} and {} shifts do not fit the noise {size:?}",
            mask.size(),
            shift.len()
        )));
    }
    raise_mean_outside(noise, mask, shift)
}

/// [`shift_mean`] for a batch, with one shift μ for all: noise `[b, 16, frames, h, w]`, masks
/// `[b, frames, h, w]`.
///
/// # Errors
/// Shapes that do not fit, or memory runs out.
pub fn shift_mean_batch(noise: &Tensor, masks: &Tensor, mu: f64) -> Result<Tensor> {
    let (noise_size, size) = (noise.size(), masks.size());
    if size.len() != 4 || size[0] != noise_size[0] || size[1..] != noise_size[2..] {
        return Err(Error::Input(format!("masks {size:?} do not fit latents {noise_size:?}")));
    }
    raise_mean_outside(noise, masks, &vec![mu; size[1] as usize])
}

/// ε + (1 − G)·μ: noise `[…, 16, frames, h, w]`, mask `[…, frames, h, w]`, a shift for each frame.
fn raise_mean_outside(noise: &Tensor, mask: &Tensor, shift: &[f64]) -> Result<Tensor> {
    let shift = Tensor::f_from_slice(shift)?.f_to_device(mask.device())?.f_to_kind(mask.kind())?;
    let outside = mask.f_neg()?.f_add_scalar(1.0)?.f_mul(&shift.f_view([-1, 1, 1])?)?;
    // One mean for all channels.
    Ok(noise.f_add(&outside.f_unsqueeze(-4)?)?)
}

/// A mask of `frames` frames as a tensor `[frames, height, width]` on a latent grid of another
/// size: bilinear, without antialiasing, frame by frame. The released code does this in bfloat16
/// (up to 0.006 away).
///
/// # Errors
/// Memory runs out.
pub fn mask_on_grid(opened: Device, mask: &Mask, height: i64, width: i64) -> Result<Tensor> {
    let [frames, h, w] = mask.shape().map(|size| size as i64);
    let tensor = opened.tensor(mask.values())?.f_view([frames, 1, h, w])?;
    if [h, w] == [height, width] {
        return Ok(tensor.f_squeeze_dim(1)?);
    }
    let resized = tensor.f_upsample_bilinear2d([height, width], false, None, None)?;
    Ok(resized.f_squeeze_dim(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_full_outside_and_nothing_at_the_center() {
        let noise = draw(Device::cpu(), 3, &[16, 2, 1, 2]).unwrap();
        let mask = Tensor::from_slice(&[1f32, 0.0, 0.5, 0.25]).view([2, 1, 2]);
        let shifted = shift_mean(&noise, &mask, &[0.2, -0.4]).unwrap();
        let added: Vec<f32> = (shifted - noise).get(7).view([-1]).try_into().unwrap();
        for (value, expected) in added.iter().zip([0.0, 0.2, -0.2, -0.3]) {
            assert!((value - expected).abs() < 1e-6, "{added:?}");
        }
    }

    #[test]
    fn concurrent_draws_do_not_disturb_each_other() {
        let alone = draw(Device::cpu(), 7, &[1000]).unwrap();
        let draws: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| draw(Device::cpu(), 7, &[1000]).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(draws.iter().all(|draw| *draw == alone));
    }

    #[test]
    fn a_mask_must_fit() {
        let noise = draw(Device::cpu(), 1, &[16, 2, 4, 4]).unwrap();
        let mask = Tensor::zeros([3, 4, 4], (Kind::Float, tch::Device::Cpu));
        assert!(shift_mean(&noise, &mask, &[0.0; 2]).is_err());
    }
}
