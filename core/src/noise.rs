//! The noise a take starts from: seeded, and shifted in its mean outside the ellipse.
//!
//! Ports `wan/text2video_dora_lightx2v.py:383` to 394 and, for training,
//! `Wan-Alpha-train/diffsynth/pipelines/wan_video_new_1010_ellipse.py:275`.

use parking_lot::Mutex;
use tch::Tensor;
use wan_alpha_take::Mask;

use crate::device::Device;
use crate::shim::Generator;
use crate::{Error, Result};

/// libtorch seeds only its global generator: one draw at a time.
static GENERATOR: Mutex<()> = Mutex::new(());

/// What `torch.manual_seed(seed); torch.randn(shape)` gives on the CPU in float32, whatever device
/// is open and computes the take: a tensor of `shape`.
///
/// # Errors
/// Memory runs out.
pub fn draw(_opened: Device, seed: u32, shape: &[i64]) -> Result<Tensor> {
    Generator::new(seed)?.randn(shape)
}

/// What `draw` draws after `torch.manual_seed(seed)`. Seeding asks libtorch about CUDA.
pub(crate) fn seeded<T>(seed: i64, draw: impl FnOnce() -> Result<T>) -> Result<T> {
    let _one_at_a_time = GENERATOR.lock();
    tch::manual_seed(seed);
    draw()
}

/// The noises of a take, one after another: what `torch.manual_seed(seed)` and then
/// `torch.randn(shape)` time and again give on the CPU in float32, each with its mean raised outside the
/// ellipse.
///
/// A sampler that adds fresh noise needs the mean in all of it. The transformer knows x at the time t
/// as (1 − t)·x₀ + t·ε̃ with ε̃ = ε + (1 − G)·μ: without it in the fresh part the mean that says where
/// the subject is would be gone after the first step.
#[derive(Debug)]
pub struct ShiftedNoise {
    generator: Generator,
    shape: Vec<i64>,
    /// (1 − G)·μ, `[1, frames, h, w]`: one mean for all channels.
    outside: Tensor,
}

impl ShiftedNoise {
    /// Noises of `shape` (`[16, frames, h, w]`) for a mask `[frames, h, w]` and a `shift` (μ·mu_scale)
    /// for each latent frame.
    ///
    /// # Errors
    /// Frames that do not agree, or memory runs out.
    pub fn new(
        _opened: Device,
        seed: u32,
        shape: &[i64],
        mask: &Tensor,
        shift: &[f64],
    ) -> Result<Self> {
        check_frames(shape, mask, shift)?;
        let generator = Generator::new(seed)?;
        Ok(Self { generator, shape: shape.to_vec(), outside: raised_mean(mask, shift)? })
    }

    /// The next noise as it is drawn: float32, on the CPU.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn draw(&mut self) -> Result<Tensor> {
        self.generator.randn(&self.shape)
    }

    /// A noise that was drawn, with its mean raised.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn raise(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(noise.f_add(&self.outside)?)
    }
}

/// Standard normal numbers for tests: another test, in another thread, may be between seed and draw.
#[cfg(test)]
pub(crate) fn unseeded(size: impl AsRef<[i64]>, options: (tch::Kind, tch::Device)) -> Tensor {
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
    check_frames(&noise.size(), mask, shift)?;
    Ok(noise.f_add(&raised_mean(mask, shift)?)?)
}

/// Whether a mask and shifts are for noise of this size.
fn check_frames(size: &[i64], mask: &Tensor, shift: &[f64]) -> Result<()> {
    if size.get(1..) == Some(&mask.size()[..]) && size.get(1) == Some(&(shift.len() as i64)) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "the mask {:?} and {} shifts do not fit the noise {size:?}",
        mask.size(),
        shift.len()
    )))
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
    Ok(noise.f_add(&raised_mean(masks, &vec![mu; size[1] as usize])?)?)
}

/// (1 − G)·μ: mask `[…, frames, h, w]`, a shift for each frame; one mean for all channels,
/// `[…, 1, frames, h, w]`.
fn raised_mean(mask: &Tensor, shift: &[f64]) -> Result<Tensor> {
    let shift = Tensor::f_from_slice(shift)?.f_to_device(mask.device())?.f_to_kind(mask.kind())?;
    let outside = mask.f_neg()?.f_add_scalar(1.0)?.f_mul(&shift.f_view([-1, 1, 1])?)?;
    Ok(outside.f_unsqueeze(-4)?)
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
    use tch::Kind;

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
    fn noises_of_a_take_are_those_of_torch_one_after_another() {
        for shape in [[16, 2, 4, 6], [16, 1, 1, 1], [16, 3, 5, 7]] {
            let mask = unseeded(&shape[1..], (Kind::Float, tch::Device::Cpu));
            let shift: Vec<f64> = (0..shape[1]).map(|frame| 0.3 - 0.2 * frame as f64).collect();
            let torch = seeded(11, || {
                let next = || Tensor::randn(shape, (Kind::Float, tch::Device::Cpu));
                Ok([next(), next(), next()])
            });
            let mut noises = ShiftedNoise::new(Device::cpu(), 11, &shape, &mask, &shift).unwrap();
            for expected in torch.unwrap() {
                // Somebody else draws in between.
                drop(draw(Device::cpu(), 5, &[33]).unwrap());
                let noise = noises.draw().unwrap();
                assert_eq!(noise, expected);
                assert_eq!(
                    noises.raise(&noise).unwrap(),
                    shift_mean(&noise, &mask, &shift).unwrap()
                );
            }
            assert_eq!(
                ShiftedNoise::new(Device::cpu(), 11, &shape, &mask, &shift)
                    .unwrap()
                    .draw()
                    .unwrap(),
                draw(Device::cpu(), 11, &shape).unwrap()
            );
        }
    }

    #[test]
    fn a_mask_must_fit() {
        let noise = draw(Device::cpu(), 1, &[16, 2, 4, 4]).unwrap();
        let mask = Tensor::zeros([3, 4, 4], (Kind::Float, tch::Device::Cpu));
        assert!(shift_mean(&noise, &mask, &[0.0; 2]).is_err());
        assert!(ShiftedNoise::new(Device::cpu(), 1, &[16, 2, 4, 4], &mask, &[0.0; 2]).is_err());
    }
}
