//! A weight of 16 bits that is computed with in a wider kind: brought into it some rows at a time, so that
//! a matrix that is used once in a pass does not take twice its memory for all of it.

use tch::{Device, Tensor};

use super::product;
use crate::Result;

/// Numbers that a processor brings into float32 at once: 32 MB of it.
pub(crate) const WIDENED_AT_ONCE: u64 = 1 << 23;
/// A piece is so many rows or a multiple of them: what comes out of a product does not depend on the
/// number of rows then (`tests::pieces_of_rows_give_the_bits_of_the_whole`).
const ROWS: i64 = 64;

/// x·Wᵀ + b, `[…, in]` → `[…, out]`, in the kind of `x` and `bias`; `weight` is of fewer bits. On a card it is
/// brought into that kind as a whole, since its libraries choose their kernels by the size of a matrix.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (rows, width) = weight.size2()?;
    let piece = if x.device() == Device::Cpu { rows_of_piece(width) } else { rows };
    in_pieces(x, weight, bias, piece)
}

/// Rows of a piece of a matrix so wide.
fn rows_of_piece(width: i64) -> i64 {
    (WIDENED_AT_ONCE as i64 / width.max(1) / ROWS).max(1) * ROWS
}

fn in_pieces(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, piece: i64) -> Result<Tensor> {
    let rows = weight.size2()?.0;
    let mut products = Vec::new();
    for from in (0..rows).step_by(piece.max(1) as usize) {
        let count = piece.min(rows - from);
        let weight = weight.f_narrow(0, from, count)?.f_to_kind(x.kind())?;
        let bias = bias.map(|bias| bias.f_narrow(0, from, count)).transpose()?;
        products.push(product::linear(x, &weight, bias.as_ref())?);
    }
    Ok(Tensor::f_cat(&products, -1)?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn pieces_of_rows_give_the_bits_of_the_whole() {
        let _guard = tch::no_grad_guard();
        let random = |shape: &[i64]| crate::noise::unseeded(shape, (Kind::Float, Device::Cpu));
        // As wide as the released models, a small one, and one whose rows are no multiple of anything.
        for (width, rows) in [(5120, 30_720 / 8), (1536, 9216), (256, 5120), (70, 450)] {
            for kind in [Kind::BFloat16, Kind::Half] {
                let weight = (random(&[rows, width]) * 0.05).to_kind(kind);
                let (wide, bias) = (weight.to_kind(Kind::Float), random(&[rows]));
                for batch in [1, 2] {
                    let x = random(&[batch, width]);
                    let whole = product::linear(&x, &wide, Some(&bias)).unwrap();
                    for piece in [64, 320, rows_of_piece(width)] {
                        let found = in_pieces(&x, &weight, Some(&bias), piece).unwrap();
                        assert_eq!(found, whole, "{rows}×{width}, {batch}, {piece}");
                    }
                    assert_eq!(linear(&x, &weight, Some(&bias)).unwrap(), whole);
                }
            }
        }
    }
}
