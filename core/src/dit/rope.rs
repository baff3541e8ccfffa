//! Rotary position embedding on three axes.
//!
//! Adjacent channels form complex pairs. Of a head's c pairs the last two thirds encode height
//! and width, c/3 each rounded down, and the first the remaining ones encode time. Angles are
//! computed in float64.

use tch::{Kind, Tensor};

use crate::Result;
use crate::device::Device;
use crate::weights::wide;

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

    /// Rotates `x`: `[b, tokens, heads, d]`, in at least float32, back in its own kind.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        let pairs = x.f_to_kind(wide(x.kind()))?.f_reshape([size[0], size[1], size[2], -1, 2])?;
        let rotated = pairs.f_view_as_complex()?.f_mul(&self.0)?;
        Ok(rotated.f_view_as_real()?.f_view(&size[..])?.f_to_kind(x.kind())?)
    }
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
        let x =
            Tensor::from_slice(&[1f32, 0., 0., 1., 0., 0.]).repeat([1, 2, 1, 1]).view([1, 2, 1, 6]);
        let y = rope.apply(&x).unwrap();
        let y: Vec<f32> = y.get(0).get(1).view([-1]).try_into().unwrap();
        let (sine, cosine) = 1f32.sin_cos();
        // The first pair turns by one radian in frame 1; the spatial pairs do not turn.
        for (value, expected) in y.iter().zip([cosine, sine, 0., 1., 0., 0.]) {
            assert!((value - expected).abs() < 1e-6, "{y:?}");
        }
    }
}
