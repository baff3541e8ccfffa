//! A stored tensor, read where the system has mapped its file.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use super::held_tensor::Held;
use crate::Result;

/// A tensor as stored, as a matrix `[shape[0], …]`; its numbers lie in a file's map, or in memory
/// where they cannot be used there. They can be copied out, and nothing else.
pub(super) struct Lent<'a> {
    matrix: Held,
    /// What the numbers are borrowed from.
    map: PhantomData<&'a [u8]>,
}

impl<'a> Lent<'a> {
    /// The numbers of `bytes`, in order; in memory where they are not aligned in the map.
    pub(super) fn new(bytes: &'a [u8], shape: &[i64], kind: Kind) -> Result<Self> {
        let tensor = match borrow(bytes, shape, kind)? {
            Some(tensor) => tensor,
            None => Tensor::f_from_data_size(bytes, shape, kind)?,
        };
        Self::of(&tensor)
    }

    /// A view of the numbers of `bytes`, which are not in order: put in order in memory.
    pub(super) fn strided(
        bytes: &[u8],
        shape: &[i64],
        strides: &[i64],
        kind: Kind,
    ) -> Result<Self> {
        let flat = [(bytes.len() / kind.elt_size_in_bytes()) as i64];
        let storage = match borrow(bytes, &flat, kind)? {
            Some(storage) => storage,
            None => Tensor::f_from_data_size(bytes, &flat, kind)?,
        };
        let view = storage.f_as_strided(shape, strides, 0)?;
        let ordered = Tensor::f_empty(shape, (kind, Device::Cpu))?;
        ordered.shallow_clone().f_copy_(&view)?;
        Self::of(&ordered)
    }

    fn of(tensor: &Tensor) -> Result<Self> {
        let [rows, width] = matrix_of(&tensor.size());
        Ok(Self { matrix: Held::new(tensor.f_view([rows, width])?), map: PhantomData })
    }

    /// Copies `count` rows from `first` on into `to`, which may be of another kind and elsewhere.
    pub(super) fn copy_rows(&self, first: i64, count: i64, to: &mut Tensor) -> Result<()> {
        Ok(to.f_copy_(&self.matrix.tensor().f_narrow(0, first, count)?)?)
    }
}

/// Rows and width of a tensor as a matrix: a kernel is `[out, in·taps]`, a vector a column.
pub(super) fn matrix_of(shape: &[i64]) -> [i64; 2] {
    let (rows, rest) = shape.split_first().map_or((1, shape), |(&rows, rest)| (rows, rest));
    [rows, rest.iter().product()]
}

/// A tensor over borrowed bytes; none where they are not aligned for its kind. It must neither be
/// written to nor be kept for longer than they live.
fn borrow(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Option<Tensor>> {
    let size = kind.elt_size_in_bytes();
    let numbers = usize::try_from(shape.iter().product::<i64>()).ok();
    let whole = numbers.and_then(|numbers| numbers.checked_mul(size)) == Some(bytes.len());
    // Of truth values not any byte is one: they are copied, byte by byte.
    if kind == Kind::Bool || !whole || !(bytes.as_ptr() as usize).is_multiple_of(size) {
        return Ok(None);
    }
    // SAFETY: `bytes` holds exactly the numbers of the shape, aligned, and any bytes are numbers.
    // The callers hold the tensor no longer than the borrow (`Lent` carries its lifetime, and gives
    // neither the tensor nor a view of it away) and only copy from it, so that the map, which is
    // read-only, is never written to.
    Ok(Some(unsafe { Tensor::f_from_blob(bytes.as_ptr(), shape, &[], kind, Device::Cpu) }?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_place_where_they_are_aligned_and_copied_where_they_are_not() {
        let numbers: Vec<f32> = (0..13).map(|n| n as f32).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&numbers);
        assert!(borrow(&bytes[4..], &[3, 4], Kind::Float).unwrap().is_some());
        assert!(borrow(&bytes[2..50], &[3, 4], Kind::Float).unwrap().is_none());
        assert!(borrow(&bytes[8..], &[3, 4], Kind::Float).unwrap().is_none());
        let expected = Tensor::from_slice(&numbers[5..13]).view([2, 4]);
        let mut shifted = vec![0];
        shifted.extend_from_slice(bytes);
        for bytes in [&bytes[4..], &shifted[5..]] {
            let lent = Lent::new(bytes, &[3, 2, 2], Kind::Float).unwrap();
            let mut to = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
            lent.copy_rows(1, 2, &mut to).unwrap();
            assert_eq!(to, expected);
        }
    }

    #[test]
    fn a_view_is_put_in_order() {
        let numbers: Vec<f32> = (0..6).map(|n| n as f32).collect();
        let lent = Lent::strided(bytemuck::cast_slice(&numbers), &[3, 2], &[1, 3], Kind::Float);
        let mut to = Tensor::zeros([3, 2], (Kind::BFloat16, Device::Cpu));
        lent.unwrap().copy_rows(0, 3, &mut to).unwrap();
        assert_eq!(
            to.to_kind(Kind::Float),
            Tensor::from_slice(&numbers).view([2, 3]).transpose(0, 1)
        );
    }
}
