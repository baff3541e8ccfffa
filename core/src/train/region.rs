//! Where a latent cell lies: in opaque, transparent or other regions of its clip.
//!
//! Ports `Wan-Alpha-VAE-train/loss_mask_find_rgb_pha_3value_semi.py:49`
//! (`gen_gauss_mask_for_video`).

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};

use crate::vae::FRAMES_PER_LATENT;
use crate::{Error, Result};

/// Pixels to a cell, in either direction.
const CELL: i64 = 8;
/// The tolerances of numpy's `isclose`, by which the released code compares.
const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-8;

/// M of the bidirectional loss for alpha `[b, t, h, w]` in [−1, 1]: `[b, t', h/8, w/8]`, float32.
///
/// 1 where all of a cell's pixels are opaque; −1 where all are transparent or all strictly between;
/// else 0, and −1 in the first latent frame, as released.
///
/// # Errors
/// Frames or sizes that no latent has, or memory runs out.
pub fn region_mask(alpha: &Tensor) -> Result<Tensor> {
    let &[b, t, h, w] = &alpha.size()[..] else {
        return Err(Error::Input(format!("alpha is [b, t, h, w], not {:?}", alpha.size())));
    };
    if t % FRAMES_PER_LATENT != 1 || h % CELL != 0 || w % CELL != 0 {
        return Err(Error::Input(format!(
            "{t} frames of {w} × {h} are no clip of 4n+1 frames and multiples of {CELL} pixels"
        )));
    }
    let _guard = tch::no_grad_guard();
    let alpha = alpha.f_to_kind(Kind::Double)?;
    // [b, groups, frames, h/8, 8, w/8, 8] → [b, groups, h/8, w/8, pixels]
    let cells = |frames: Tensor, groups: i64, each: i64| -> Result<Tensor> {
        let split = frames.f_reshape([b, groups, each, h / CELL, CELL, w / CELL, CELL])?;
        let split = split.f_permute([0, 1, 3, 5, 2, 4, 6])?;
        Ok(split.f_reshape([b, groups, h / CELL, w / CELL, -1])?)
    };
    let first = mask_of(&cells(alpha.f_narrow(1, 0, 1)?, 1, 1)?, -1.0)?;
    let groups = (t - 1) / FRAMES_PER_LATENT;
    if groups == 0 {
        return Ok(first);
    }
    let rest = cells(alpha.f_narrow(1, 1, t - 1)?, groups, FRAMES_PER_LATENT)?;
    Ok(Tensor::f_cat(&[first, mask_of(&rest, 0.0)?], 1)?)
}

/// The region of each cell, from its pixels: `[…, pixels]` → `[…]`, `mixed` for the rest.
fn mask_of(cells: &Tensor, mixed: f64) -> Result<Tensor> {
    let mean = cells.f_mean_dim(-1i64, false, Kind::Double)?;
    let is = |value: f64| -> Result<Tensor> {
        let near = ABSOLUTE + RELATIVE * value.abs();
        Ok(mean.f_sub_scalar(value)?.f_abs()?.f_le(near)?)
    };
    let between = cells.f_gt(-1.0)?.f_logical_and(&cells.f_lt(1.0)?)?;
    let between = between.f_all_dim(-1, false)?;
    let lower = is(-1.0)?.f_logical_or(&between)?;
    let mask = mean.f_full_like(mixed)?;
    let mask = mask.f_masked_fill(&lower, -1.0)?.f_masked_fill(&is(1.0)?, 1.0)?;
    Ok(mask.f_to_kind(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn regions_of_the_first_and_of_later_latent_frames() {
        // Cells: opaque, transparent, half, one opaque pixel among half, one transparent among opaque.
        let cells = [1f32, -1.0, 0.0, 0.0, 1.0];
        let row = |x: usize, odd: bool| match (x / 8, odd && x % 8 == 3) {
            (3, true) => 1.0,
            (4, true) => -1.0,
            (cell, _) => cells[cell],
        };
        let frame: Vec<f32> = (0..8).flat_map(|y| (0..40).map(move |x| row(x, y == 5))).collect();
        let alpha = Tensor::from_slice(&frame).view([1, 1, 8, 40]).repeat([2, 5, 1, 1]);
        let mask = region_mask(&alpha).unwrap();
        assert_eq!(mask.size(), [2, 2, 1, 5]);
        let values: Vec<f32> = mask.get(1).view([-1]).try_into().unwrap();
        assert_eq!(values, [1., -1., -1., -1., -1., 1., -1., -1., 0., 0.]);
        assert_eq!(region_mask(&alpha.narrow(1, 0, 1)).unwrap(), mask.narrow(1, 0, 1));
        assert!(region_mask(&alpha.narrow(1, 0, 4)).is_err());
    }

    #[test]
    fn nearly_one_is_one() {
        let alpha = |value: f64| Tensor::full([1, 1, 8, 8], value, (Kind::Float, Device::Cpu));
        let first = |value: f64| region_mask(&alpha(value)).unwrap().double_value(&[0, 0, 0, 0]);
        assert_eq!(first(1.0 - 0.9e-5), 1.0);
        assert_eq!(first(1.0 - 1.2e-5), -1.0);
    }
}
