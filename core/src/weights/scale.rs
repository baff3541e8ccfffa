//! The scales of a quantized weight: which of its numbers each belongs to.

#![forbid(unsafe_code)]

use tch::{Device, Kind, Tensor};

use super::held_tensor::Held;
use crate::Result;

/// How many rows and columns of a matrix share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScaleLayout {
    /// Scales down and across.
    scales: [i64; 2],
    /// Numbers that each is for, down and across; the last may be for fewer.
    each: [i64; 2],
}

impl ScaleLayout {
    /// The layout of scales of `shape` for a matrix of `[rows, columns]`: one for all of it, one for each
    /// row, or one for each block. None where nothing says what each is for.
    pub(super) fn of(shape: &[i64], [rows, columns]: [i64; 2]) -> Option<Self> {
        if shape.iter().product::<i64>() == 1 {
            return Some(Self { scales: [1, 1], each: [rows.max(1), columns.max(1)] });
        }
        // [out, groups, 1] is spelled for matrices cut into groups.
        let shape = match shape {
            [head @ .., 1] if shape.len() > 2 => head,
            other => other,
        };
        let scales = match *shape {
            [down] if down == rows => [down, 1],
            // One for each column is no format that anybody writes.
            [1, across] if across == columns => return None,
            [down, across] => [down, across],
            _ => return None,
        };
        let each = [block(rows, scales[0])?, block(columns, scales[1])?];
        Some(Self { scales, each })
    }
}

/// Numbers of each of `count` blocks that `size` numbers are cut into: a power of two, as every format
/// has it, the last block being shorter, or what divides.
fn block(size: i64, count: i64) -> Option<i64> {
    if count == 1 {
        return Some(size.max(1));
    }
    if count < 1 || count > size {
        return None;
    }
    let power = (0..31).map(|power| 1i64 << power).find(|each| (size + each - 1) / each == count);
    power.or_else(|| (size % count == 0).then(|| size / count))
}

/// Scales that a matrix is multiplied by; float32.
#[derive(Debug)]
pub(super) struct WeightScale {
    /// `[down, across]`
    values: Held,
    layout: ScaleLayout,
}

impl WeightScale {
    /// Takes the scales of a matrix, in whatever shape they come.
    pub(super) fn new(values: &Tensor, layout: ScaleLayout) -> Result<Self> {
        let values = values.f_to_kind(Kind::Float)?.f_reshape(layout.scales)?;
        Ok(Self { values: Held::new(values), layout })
    }

    /// One for each row of a matrix of `columns`.
    pub(super) fn of_each_row(values: &Tensor, columns: i64) -> Result<Self> {
        let rows = values.numel() as i64;
        Self::new(values, ScaleLayout { scales: [rows, 1], each: [1, columns.max(1)] })
    }

    /// The same on another device.
    pub(super) fn to(&self, device: Device) -> Result<Self> {
        Self::new(&self.values.tensor().f_to_device(device)?, self.layout)
    }

    /// The scale of each of `count` rows from `first` on; none where a row has several.
    pub(super) fn of_rows(&self, first: i64, count: i64) -> Result<Option<Vec<f32>>> {
        let ScaleLayout { scales: [down, across], each } = self.layout;
        if across != 1 {
            return Ok(None);
        }
        let values: Vec<f32> = self.values.tensor().f_view([-1])?.try_into()?;
        let of_row = |row: i64| values.get(if down == 1 { 0 } else { (row / each[0]) as usize });
        Ok((first..first + count).map(|row| of_row(row).copied()).collect())
    }

    /// Multiplies rows of the matrix, from `first` on, in place: `[count, columns]`, float32.
    pub(super) fn multiply(&self, first: i64, rows: &mut Tensor) -> Result<()> {
        let ScaleLayout { scales: [down, across], each } = self.layout;
        let size = rows.size();
        let (count, columns) = (size[0], size[1]);
        let values = self.values.tensor();
        let values = if down == 1 {
            values
        } else if each[0] == 1 {
            values.f_narrow(0, first, count)?
        } else {
            let of_row: Vec<i64> = (first..first + count).map(|row| row / each[0]).collect();
            let of_row = Tensor::f_from_slice(&of_row)?.f_to_device(values.device())?;
            values.f_index_select(0, &of_row)?
        };
        if across == 1 {
            let _ = rows.f_mul_(&values)?;
        } else if across * each[1] == columns {
            let mut blocks = rows.f_view([count, across, each[1]])?;
            let _ = blocks.f_mul_(&values.f_unsqueeze(2)?)?;
        } else {
            let wide = values.f_repeat_interleave_self_int(each[1], 1i64, None::<i64>)?;
            let _ = rows.f_mul_(&wide.f_narrow(1, 0, columns)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number by number, as the formats are described.
    fn expected(matrix: &Tensor, scales: &Tensor, each: [i64; 2]) -> Tensor {
        let product = matrix.copy();
        for row in 0..matrix.size()[0] {
            for column in 0..matrix.size()[1] {
                let scale = scales.double_value(&[row / each[0], column / each[1]]);
                let _ = product.get(row).get(column).f_mul_scalar_(scale).unwrap();
            }
        }
        product
    }

    #[test]
    fn each_number_meets_its_own_scale() {
        let random = |shape: &[i64]| crate::noise::unseeded(shape, (Kind::Float, Device::Cpu));
        for (size, scales, each) in [
            ([6, 4], vec![], [6, 4]),
            ([6, 4], vec![1, 1], [6, 4]),
            ([6, 4], vec![6], [1, 4]),
            ([6, 4], vec![6, 1], [1, 4]),
            ([8, 16], vec![2, 4], [4, 4]),
            // The last block is cut off.
            ([10, 21], vec![3, 6], [4, 4]),
            ([6, 12], vec![6, 3, 1], [1, 4]),
            ([5, 5], vec![5, 5], [1, 1]),
        ] {
            let layout = ScaleLayout::of(&scales, size).unwrap();
            assert_eq!(layout.each, each, "{scales:?} for {size:?}");
            let (matrix, values) = (random(&size), random(&scales));
            let scale = WeightScale::new(&values, layout).unwrap();
            let expected = expected(&matrix, &values.reshape(layout.scales), each);
            for (first, count) in [(0, size[0]), (3, 2)] {
                let mut rows = matrix.narrow(0, first, count).copy();
                scale.multiply(first, &mut rows).unwrap();
                let error = (rows - expected.narrow(0, first, count)).abs().max();
                assert!(error.double_value(&[]) < 1e-6, "{scales:?} for {size:?}");
            }
        }
    }

    #[test]
    fn scales_that_fit_nothing_are_no_layout() {
        for (size, scales) in [
            ([6, 4], vec![4]),
            ([6, 4], vec![1, 4]),
            ([6, 4], vec![7, 1]),
            ([6, 4], vec![6, 5]),
            ([256, 256], vec![3, 2]),
            ([6, 4], vec![0]),
            ([6, 4], vec![6, 2, 2]),
        ] {
            assert_eq!(ScaleLayout::of(&scales, size), None, "{scales:?} for {size:?}");
        }
    }
}
