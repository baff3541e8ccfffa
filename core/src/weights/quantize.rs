//! A matrix brought into a form of fewer bits, row by row, and what that loses.

#![forbid(unsafe_code)]

use parking_lot::Mutex;
use tch::{Kind, Tensor};

use super::eight_bits::{self, E4M3_MOST, e4m3_code};
use super::stored_kind::{BlockFormat, StoredKind};
use crate::device::Device;
use crate::{Error, Result, parallel};

/// Numbers that are brought into a form at once: 2 MB in float32.
const PIECE: usize = 1 << 19;

/// A form that matrices are brought into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizedForm {
    /// A number of 8 bits (e4m3), a scale for each row: the largest number of the row is the format's.
    Fp8,
    /// GGUF's blocks; Q8_0, Q5_K and Q4_K are written.
    Blocks(BlockFormat),
}

impl QuantizedForm {
    /// What a matrix of rows of `width` is brought into where this form is asked for: rows that are no
    /// whole blocks of 256 become Q8_0, and those that are none of 32 nothing.
    #[must_use]
    pub fn for_rows_of(self, width: i64) -> Option<Self> {
        let whole = |format: BlockFormat| width > 0 && width % format.numbers() as i64 == 0;
        match self {
            Self::Fp8 => Some(self),
            Self::Blocks(format) if whole(format) => Some(self),
            Self::Blocks(_) if whole(BlockFormat::Q8_0) => Some(Self::Blocks(BlockFormat::Q8_0)),
            Self::Blocks(_) => None,
        }
    }

    /// How its numbers are stored.
    #[must_use]
    pub fn stored(self) -> StoredKind {
        match self {
            Self::Fp8 => StoredKind::Plain(Kind::Float8e4m3fn),
            Self::Blocks(format) => StoredKind::Blocks(format),
        }
    }
}

/// Whether a tensor of a transformer is one of those that are kept in fewer bits: the matrices of its
/// blocks. Norms, biases, modulation, and what stands around the blocks, are not.
#[must_use]
pub fn is_block_matrix(name: &str, shape: &[i64]) -> bool {
    name.starts_with("blocks.") && name.ends_with(".weight") && shape.len() == 2
}

/// A matrix in fewer bits.
#[derive(Debug)]
pub struct QuantizedMatrix {
    /// Its numbers as they are stored, row after row.
    pub codes: Vec<u8>,
    /// What the numbers of each row are multiplied by; empty where the form has scales within.
    pub scales: Vec<f32>,
    /// How far it is from what it was.
    pub error: QuantizationError,
}

/// How far a matrix in fewer bits is from what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuantizationError {
    /// The sum of squares of what was.
    pub squares: f64,
    /// The sum of squares of the differences.
    pub lost: f64,
    /// The largest difference of a number.
    pub most: f64,
}

impl QuantizationError {
    /// The root of the share of squares that is lost: 0.01 is 40 dB.
    #[must_use]
    pub fn relative(&self) -> f64 {
        if self.lost == 0.0 { 0.0 } else { (self.lost / self.squares).sqrt() }
    }

    /// The error of two matrices as one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            squares: self.squares + other.squares,
            lost: self.lost + other.lost,
            most: self.most.max(other.most),
        }
    }

    fn between(before: &[f32], after: &[f32]) -> Self {
        let mut error = Self::default();
        for (&before, &after) in before.iter().zip(after) {
            let difference = f64::from(before) - f64::from(after);
            error.squares += f64::from(before).powi(2);
            error.lost += difference.powi(2);
            error.most = error.most.max(difference.abs());
        }
        error
    }
}

/// Brings `matrix`, float32 `[rows, width]` on the CPU, into a form, on all threads.
///
/// # Errors
/// Its rows are no whole blocks of the form, nothing is written in that, or memory runs out.
pub fn quantize(_opened: Device, matrix: &Tensor, form: QuantizedForm) -> Result<QuantizedMatrix> {
    let _guard = tch::no_grad_guard();
    let (rows, width) = matrix.size2()?;
    let row_bytes = match form {
        QuantizedForm::Fp8 => width as usize,
        QuantizedForm::Blocks(format) if width % format.numbers() as i64 == 0 => {
            width as usize / format.numbers() * format.bytes()
        }
        QuantizedForm::Blocks(format) => {
            let each = format.numbers();
            return Err(Error::Input(format!(
                "rows of {width} numbers are no whole blocks of {each}, as {format:?} has them"
            )));
        }
    };
    let mut codes = vec![0u8; rows as usize * row_bytes];
    let of_rows = if form == QuantizedForm::Fp8 { rows as usize } else { 0 };
    let mut scales = vec![0f32; of_rows];
    let each = (PIECE / width.max(1) as usize).max(1);
    // Pieces are written to by one thread each; those without scales get none.
    let mut scale_pieces = scales.chunks_mut(each);
    let pieces: Vec<_> = codes
        .chunks_mut((each * row_bytes).max(1))
        .map(|codes| Mutex::new((codes, scale_pieces.next().unwrap_or_default())))
        .collect();
    let error = Mutex::new(QuantizationError::default());
    let held = super::held_tensor::Held::new(matrix.shallow_clone());
    parallel::for_each(pieces.len(), &|index| {
        let mut piece = pieces[index].lock();
        let (codes, scales) = &mut *piece;
        let first = (index * each) as i64;
        let count = (each as i64).min(rows - first);
        let numbers = held.tensor().f_narrow(0, first, count)?.f_contiguous()?.f_view([-1])?;
        let numbers: Vec<f32> = numbers.try_into()?;
        let mut back = vec![0f32; numbers.len()];
        match form {
            QuantizedForm::Fp8 => fp8(&numbers, width as usize, (codes, scales), &mut back),
            QuantizedForm::Blocks(format) => {
                if !format.quantize(&numbers, codes) {
                    return Err(Error::Input(format!("nothing is written as {format:?}")));
                }
                format.dequantize(codes, &mut back);
            }
        }
        let lost = QuantizationError::between(&numbers, &back);
        let mut error = error.lock();
        *error = error.and(lost);
        Ok(())
    })?;
    drop(pieces);
    Ok(QuantizedMatrix { codes, scales, error: error.into_inner() })
}

/// Rows of `width` as e4m3 with a scale each, and what they are then.
fn fp8(numbers: &[f32], width: usize, (codes, scales): (&mut [u8], &mut [f32]), back: &mut [f32]) {
    let Some(table) = eight_bits::numbers(Kind::Float8e4m3fn) else { return };
    let rows = numbers.chunks_exact(width).zip(codes.chunks_exact_mut(width));
    for ((numbers, codes), (scale, back)) in
        rows.zip(scales.iter_mut().zip(back.chunks_exact_mut(width)))
    {
        let most = numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
        // A row of zeros is one whatever it is multiplied by.
        *scale = most / E4M3_MOST;
        if *scale == 0.0 {
            *scale = 1.0;
        }
        for ((code, number), back) in codes.iter_mut().zip(numbers).zip(back) {
            *code = e4m3_code(number / *scale);
            *back = table[usize::from(*code)] * *scale;
        }
    }
}
