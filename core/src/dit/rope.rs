//! Rotary position embedding on three axes.
//!
//! Adjacent channels form complex pairs. Of a head's c pairs the last two thirds encode height
//! and width, c/3 each rounded down, and the first the remaining ones encode time. Angles are
//! computed in float64.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:34` (`rope_params`) and 45 (`rope_apply`).

use tch::{Kind, Tensor};

use crate::Result;
use crate::device::Device;
use crate::weights::at_least_float32;

const THETA: f64 = 10_000.0;

/// The rotation of every token of a grid: `[tokens, 1, pairs]`, complex64, or complex128 for a network
/// in float64.
#[derive(Debug)]
pub struct Rope(Tensor);

impl Rope {
    /// For tokens ordered by frame, then row, then column; every axis counts from 0.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn new(
        [frames, rows, columns]: [i64; 3],
        head_dim: i64,
        kind: Kind,
        device: Device,
    ) -> Result<Self> {
        let pairs = head_dim / 2;
        let space = pairs / 3;
        let axes = [pairs - 2 * space, space, space];
        let frequencies = axes.map(|pairs| {
            let exponent = move |j| -((2 * j) as f64) / (2 * pairs) as f64;
            (0..pairs).map(|j| THETA.powf(exponent(j))).collect::<Vec<_>>()
        });
        let mut angles = Vec::with_capacity((frames * rows * columns * pairs) as usize);
        for frame in 0..frames {
            for row in 0..rows {
                for column in 0..columns {
                    for (position, frequencies) in [frame, row, column].iter().zip(&frequencies) {
                        angles.extend(
                            frequencies.iter().map(|frequency| *position as f64 * frequency),
                        );
                    }
                }
            }
        }
        let angles = Tensor::f_from_slice(&angles)?.f_view([-1, 1, pairs])?;
        let cosine = angles.f_cos()?.f_to_kind(kind)?;
        let sine = angles.f_sin()?.f_to_kind(kind)?;
        Ok(Self(Tensor::f_complex(&cosine, &sine)?.f_to_device(device.tch())?))
    }

    /// Queries or keys `x` (`[b, tokens, heads·d]`) times `weight` (`[heads·d]`) and `factor`
    /// (`[b, tokens, 1]`, at least float32), rotated: `[b, tokens, heads·d]`, a norm and a rotation
    /// with one rounding to the kind of `x`.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub(super) fn apply(
        &self,
        x: &Tensor,
        heads: i64,
        factor: &Tensor,
        weight: &Tensor,
    ) -> Result<Tensor> {
        let float32 = at_least_float32(x.kind());
        let weighted = x.f_to_kind(float32)?.f_mul(&weight.f_to_kind(float32)?)?;
        let rotated = pairs(&weighted, heads)?.f_mul(&self.rotation(0, factor)?)?;
        Ok(rotated.f_view_as_real()?.f_view(&x.size()[..])?.f_to_kind(x.kind())?)
    }

    /// [`Rope::apply`], to the bit, in the memory of `x`, whose first token is `first` of the grid.
    ///
    /// # Errors
    /// As [`Rope::apply`].
    pub(super) fn apply_in_place(
        &self,
        x: &mut Tensor,
        heads: i64,
        first: i64,
        factor: &Tensor,
        weight: &Tensor,
    ) -> Result<()> {
        let rotation = self.rotation(first, factor)?;
        if x.kind() == at_least_float32(x.kind()) {
            let _ = pairs(&x.f_mul_(weight)?, heads)?.f_mul_(&rotation)?;
            return Ok(());
        }
        let weighted = x.f_mul(&weight.f_to_kind(at_least_float32(x.kind()))?)?;
        let _ = pairs(&weighted, heads)?.f_mul_(&rotation)?;
        Ok(x.f_copy_(&weighted)?)
    }

    /// Of the tokens from `first` on, times each token's factor: `[b, tokens, 1, pairs]`. There are
    /// fewer numbers in the rotation of a token than in its heads.
    fn rotation(&self, first: i64, factor: &Tensor) -> Result<Tensor> {
        let tokens = factor.size()[1];
        Ok(self.0.f_narrow(0, first, tokens)?.f_mul(&factor.f_unsqueeze(-1)?)?)
    }
}

/// `[b, tokens, heads·d]` as complex numbers `[b, tokens, heads, d/2]`, in the same memory.
fn pairs(x: &Tensor, heads: i64) -> Result<Tensor> {
    let (batch, tokens, _) = x.size3()?;
    Ok(x.f_view([batch, tokens, heads, -1, 2])?.f_view_as_complex()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_over_time_height_and_width() {
        // Head 128: 22 + 21 + 21 pairs. Token (1, 2, 3) of a grid (2, 3, 4).
        let rope = Rope::new([2, 3, 4], 128, Kind::Float, Device::cpu()).unwrap();
        let token = rope.0.get((3 + 2) * 4 + 3).view_as_real();
        let angle = |pair: i64| {
            let pair = token.get(0).get(pair);
            pair.double_value(&[1]).atan2(pair.double_value(&[0]))
        };
        for (pair, expected) in [
            (0, 1.0),
            (1, 10_000f64.powf(-2.0 / 44.0)),
            (22, 2.0),
            (43, 3.0),
            (63, 3.0 * 10_000f64.powf(-40.0 / 42.0)),
        ] {
            assert!((angle(pair) - expected).abs() < 1e-6, "pair {pair}: {}", angle(pair));
        }
    }

    #[test]
    fn rotates_adjacent_channels() {
        let rope = Rope::new([2, 1, 1], 6, Kind::Float, Device::cpu()).unwrap();
        let x = Tensor::from_slice(&[1f32, 0., 0., 1., 0., 0.]).repeat([1, 2, 1]).view([1, 2, 6]);
        let one = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, tch::Device::Cpu));
        let y = rope.apply(&x, 1, &one(&[1, 2, 1]), &one(&[6])).unwrap();
        let y: Vec<f32> = y.get(0).get(1).view([-1]).try_into().unwrap();
        let (sine, cosine) = 1f32.sin_cos();
        // The first pair turns by one radian in frame 1; the spatial pairs do not turn.
        for (value, expected) in y.iter().zip([cosine, sine, 0., 1., 0., 0.]) {
            assert!((value - expected).abs() < 1e-6, "{y:?}");
        }
    }

    #[test]
    fn rotating_in_place_gives_the_bits_of_the_other() {
        let rope = Rope::new([2, 3, 2], 12, Kind::Float, Device::cpu()).unwrap();
        for kind in [Kind::Float, Kind::BFloat16] {
            let random =
                |shape: &[i64]| crate::noise::unseeded(shape, (Kind::Float, tch::Device::Cpu));
            let (x, weight) = (random(&[2, 12, 36]).to_kind(kind), random(&[36]).to_kind(kind));
            let factor = random(&[2, 12, 1]);
            let expected = rope.apply(&x, 3, &factor, &weight).unwrap();
            for (first, tokens) in [(0, 5), (5, 7)] {
                let mut part = x.narrow(1, first, tokens);
                let factor = factor.narrow(1, first, tokens);
                rope.apply_in_place(&mut part, 3, first, &factor, &weight).unwrap();
            }
            assert_eq!(x, expected, "{kind:?}");
        }
    }
}
