//! Losses that know the strides of a latent: eight pixels across and down, four frames. A decoder that
//! is a little wrong everywhere is seen less than one that is wrong in a grid, or every fourth frame.
//!
//! Clips are `[b, t, h, w, 3]` in [−1, 1]. The released training has neither loss.

#![forbid(unsafe_code)]

use tch::Tensor;

use crate::Result;
use crate::weights::at_least_float32;

/// Pixels across and down that a latent's cell stands for.
const CELL: i64 = 8;
/// Frames that a latent frame after the first stands for.
const FRAMES: i64 = 4;
/// Keeps the root's slope finite where nothing is wrong.
const LEAST: f64 = 1e-12;

/// How wrong the steps between neighboring pixels of `x` are beside those of `y`, and how unevenly: the
/// mean squared error of each of the eight places that a step may have in a cell, and the root of their
/// mean square, which the worst place counts most in; the mean of across and down, `[]`. None of clips
/// that are narrower and lower than two cells.
///
/// # Errors
/// Shapes that do not fit, or memory runs out.
pub(super) fn phases(x: &Tensor, y: &Tensor) -> Result<Option<Tensor>> {
    let error = x.f_sub(y)?;
    let mut each = Vec::new();
    for axis in [-2, -3] {
        let length = error.size_at(axis) / CELL * CELL - CELL;
        if length <= 0 {
            continue;
        }
        // The first is that from the first cell into the second.
        let step = error.f_narrow(axis, CELL, length)?.f_sub(&error.f_narrow(
            axis,
            CELL - 1,
            length,
        )?)?;
        let places = step.f_square()?.f_movedim_int(axis, -1)?.f_reshape([-1, CELL])?;
        let kind = at_least_float32(places.kind());
        let places = places.f_mean_dim(0i64, false, kind)?;
        each.push(mean(&places.f_square()?)?.f_add_scalar(LEAST)?.f_sqrt()?);
    }
    if each.is_empty() {
        return Ok(None);
    }
    Ok(Some(mean(&Tensor::f_stack(&each, 0)?)?))
}

/// Mean |(x₂ − x₁) − (y₂ − y₁)| over the pairs of frames of which the second is the first of a latent
/// frame: how wrong a clip changes where one latent frame hands over to the next, `[]`. None of stills.
///
/// # Errors
/// As [`phases`].
pub(super) fn borders(x: &Tensor, y: &Tensor) -> Result<Option<Tensor>> {
    let error = x.f_sub(y)?;
    let frames = error.size_at(1);
    if frames < 2 {
        return Ok(None);
    }
    let after = error.f_slice(1, 1, frames, FRAMES)?;
    let before = error.f_slice(1, 0, frames - 1, FRAMES)?;
    Ok(Some(mean(&after.f_sub(&before)?.f_abs()?)?))
}

fn mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_mean(at_least_float32(x.kind()))?)
}

/// The size along an axis, which may count from the end.
trait SizeAt {
    fn size_at(&self, axis: i64) -> i64;
}

impl SizeAt for Tensor {
    fn size_at(&self, axis: i64) -> i64 {
        let size = self.size();
        let place = if axis < 0 { axis + size.len() as i64 } else { axis };
        size.get(place as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const OPTIONS: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn number(tensor: Option<Tensor>) -> f64 {
        tensor.unwrap().double_value(&[])
    }

    /// Zeros, but for steps of 0.1 up and down: `[1, 1, 32, 32, 3]`, with a step at every column of
    /// these places in a cell.
    fn stepped(places: &[i64]) -> Tensor {
        let x = Tensor::zeros([1, 1, 32, 32, 3], OPTIONS);
        let mut high = false;
        for column in 0..32 {
            high ^= places.contains(&(column % CELL));
            let _ = x.narrow(3, column, 1).fill_(if high { 0.1 } else { 0.0 });
        }
        x
    }

    #[test]
    fn the_same_steps_count_more_where_they_are_all_at_one_place_of_the_cells() {
        let flat = Tensor::zeros([1, 1, 32, 32, 3], OPTIONS);
        // 0.01 at one place of eight: the root of the mean square is 0.01 / √8; half of it, since
        // nothing is wrong downwards.
        let grid = number(phases(&stepped(&[0]), &flat).unwrap());
        assert!((grid - 0.005 / 8_f64.sqrt()).abs() < 1e-6, "{grid}");
        let even = number(phases(&stepped(&[0, 1, 2, 3, 4, 5, 6, 7]), &flat).unwrap());
        assert!((even - 0.005).abs() < 1e-6, "{even}");
        assert!(8.0 * grid > 2.5 * even, "the same steps: {grid} of one place, {even} of eight");
        // Of what is true nothing counts, nor does a clip that is equally wrong everywhere.
        let grid = stepped(&[0]);
        assert!(number(phases(&grid, &grid).unwrap()) < 1e-5);
        assert!(number(phases(&(&grid + 0.3), &grid).unwrap()) < 1e-5);
        let narrow = Tensor::zeros([1, 1, 8, 15, 3], OPTIONS);
        assert!(phases(&narrow, &narrow).unwrap().is_none());
    }

    #[test]
    fn borders_are_the_pairs_where_one_latent_frame_hands_over_to_the_next() {
        let flat = Tensor::zeros([1, 9, 8, 8, 3], OPTIONS);
        let jump = |frame: i64| {
            let x = flat.copy();
            let _ = x.narrow(1, frame, 9 - frame).fill_(0.5);
            number(borders(&x, &flat).unwrap())
        };
        // Frames 0 | 1 to 4 | 5 to 8.
        let found: Vec<f64> = (1..9).map(jump).collect();
        let expected = [0.25, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0];
        assert_eq!(found, expected);
        assert!(borders(&flat.narrow(1, 0, 1), &flat.narrow(1, 0, 1)).unwrap().is_none());
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let draw = || Tensor::randn([1, 5, 16, 24, 3], OPTIONS);
        let (x, y, way) = (draw().set_requires_grad(true), draw(), draw());
        for loss in [phases, borders] {
            let value = loss(&x, &y).unwrap().unwrap();
            let gradient = Tensor::run_backward(&[value], &[&x], false, false).remove(0);
            let along = (gradient * &way).sum(Kind::Double).double_value(&[]);
            let at = |by: f64| number(loss(&(x.detach() + &way * by), &y).unwrap());
            let found = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((found - along).abs() < 1e-5 * (1.0 + along.abs()), "{found} {along}");
        }
    }
}
