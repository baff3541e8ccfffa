//! GGUF's quantized blocks, and their numbers in float32.
//!
//! Each number is computed by the operations of the `gguf` package's `dequantize` in their order, so
//! that its bits are the same (`core/tests/stored_formats.rs`).

#![forbid(unsafe_code)]
#![allow(clippy::inline_always, reason = "the loops are compiled for several kinds of processor")]

use half::f16;

use super::wide_vectors::PlainLoops;
use super::{block_encoders, wide_vectors};

/// A format in which a fixed count of numbers shares its scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names that everybody uses")]
pub enum BlockFormat {
    /// 32 numbers of 4 bits, a scale.
    Q4_0,
    /// 32 numbers of 4 bits, a scale and an offset.
    Q4_1,
    /// 32 numbers of 5 bits, a scale.
    Q5_0,
    /// 32 numbers of 5 bits, a scale and an offset.
    Q5_1,
    /// 32 numbers of 8 bits, a scale.
    Q8_0,
    /// 256 numbers of 4 bits, a scale and an offset for each 32.
    Q4_K,
    /// 256 numbers of 5 bits, a scale and an offset for each 32.
    Q5_K,
    /// 256 numbers of 6 bits, a scale for each 16.
    Q6_K,
}

/// Does something with the function that multiplies a block of the format out; each as a copy of its own, so
/// that the function is compiled into it.
macro_rules! by_format {
    ($format:expr, $block:ident => $work:expr) => {
        by_format!($format, $block => $work,
            Q4_0 q4_0, Q4_1 q4_1, Q5_0 q5_0, Q5_1 q5_1, Q8_0 q8_0, Q4_K q4_k, Q5_K q5_k, Q6_K q6_k)
    };
    ($format:expr, $block:ident => $work:expr, $($name:ident $function:ident),*) => {
        match $format {
            $(BlockFormat::$name => {
                let $block = $function;
                $work
            })*
        }
    };
}

impl BlockFormat {
    /// Every format that is read.
    pub const ALL: [Self; 8] = [
        Self::Q8_0,
        Self::Q6_K,
        Self::Q5_K,
        Self::Q4_K,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
    ];

    /// Numbers of a block.
    pub fn numbers(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes that a block takes in a file.
    pub fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Brings as many whole blocks of numbers into the format as `into` has room for; whether anything is
    /// written in it at all.
    pub fn quantize(self, numbers: &[f32], into: &mut [u8]) -> bool {
        let block: fn(&[f32], &mut [u8]) = match self {
            Self::Q8_0 => block_encoders::q8_0,
            Self::Q5_K => block_encoders::q5_k,
            Self::Q4_K => block_encoders::q4_k,
            _ => return false,
        };
        let numbers = numbers.chunks_exact(self.numbers());
        for (numbers, bytes) in numbers.zip(into.chunks_exact_mut(self.bytes())) {
            block(numbers, bytes);
        }
        true
    }

    /// The numbers of whole blocks, as many as `into` has room for.
    pub fn dequantize(self, blocks: &[u8], into: &mut [f32]) {
        wide_vectors::dequantize(self, blocks, into);
    }

    /// The same rounded to bfloat16, as its bits.
    pub(super) fn dequantize_to_bfloat16(self, blocks: &[u8], into: &mut [u16]) {
        wide_vectors::dequantize_to_bfloat16(self, blocks, into);
    }
}

impl PlainLoops for BlockFormat {
    #[inline(always)]
    fn numbers_into(self, blocks: &[u8], into: &mut [f32]) {
        let blocks = blocks.chunks_exact(self.bytes()).zip(into.chunks_exact_mut(self.numbers()));
        by_format!(self, block => {
            for (bytes, numbers) in blocks {
                block(bytes, numbers);
            }
        });
    }

    #[inline(always)]
    fn bfloat16_into(self, blocks: &[u8], into: &mut [u16]) {
        let mut numbers = [0f32; MOST_NUMBERS];
        let numbers = &mut numbers[..self.numbers()];
        let blocks = blocks.chunks_exact(self.bytes()).zip(into.chunks_exact_mut(self.numbers()));
        by_format!(self, block => {
            for (bytes, into) in blocks {
                block(bytes, numbers);
                for (into, number) in into.iter_mut().zip(&*numbers) {
                    *into = bfloat16(*number);
                }
            }
        });
    }
}

/// Numbers of the longest block.
const MOST_NUMBERS: usize = 256;

/// Float32 rounded to bfloat16 as libtorch does it: to the nearest, of two the even one.
#[inline(always)]
fn bfloat16(number: f32) -> u16 {
    let bits = number.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if number.is_nan() { 0x7fc0 } else { rounded as u16 }
}

/// The half float at the beginning of `bytes`.
fn half_float(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

#[inline(always)]
fn q4_0(block: &[u8], into: &mut [f32]) {
    let d = half_float(block);
    let (low, high) = into.split_at_mut(16);
    for ((&q, low), high) in block[2..].iter().zip(low).zip(high) {
        *low = d * f32::from((q & 15) as i8 - 8);
        *high = d * f32::from((q >> 4) as i8 - 8);
    }
}

#[inline(always)]
fn q4_1(block: &[u8], into: &mut [f32]) {
    let (d, m) = (half_float(block), half_float(&block[2..]));
    let (low, high) = into.split_at_mut(16);
    for ((&q, low), high) in block[4..].iter().zip(low).zip(high) {
        *low = d * f32::from(q & 15) + m;
        *high = d * f32::from(q >> 4) + m;
    }
}

/// The fifth bits of 32 numbers, one after the other.
fn fifth_bits(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Bit `index` of `bits` as the fifth of a number.
fn fifth(bits: u32, index: usize) -> u8 {
    ((bits >> index) as u8 & 1) << 4
}

#[inline(always)]
fn q5_0(block: &[u8], into: &mut [f32]) {
    let (d, bits) = (half_float(block), fifth_bits(&block[2..]));
    let (low, high) = into.split_at_mut(16);
    for (index, ((&q, low), high)) in block[6..].iter().zip(low).zip(high).enumerate() {
        *low = d * f32::from(((q & 15) | fifth(bits, index)) as i8 - 16);
        *high = d * f32::from(((q >> 4) | fifth(bits, index + 16)) as i8 - 16);
    }
}

#[inline(always)]
fn q5_1(block: &[u8], into: &mut [f32]) {
    let (d, m) = (half_float(block), half_float(&block[2..]));
    let bits = fifth_bits(&block[4..]);
    let (low, high) = into.split_at_mut(16);
    for (index, ((&q, low), high)) in block[8..].iter().zip(low).zip(high).enumerate() {
        *low = d * f32::from((q & 15) | fifth(bits, index)) + m;
        *high = d * f32::from((q >> 4) | fifth(bits, index + 16)) + m;
    }
}

#[inline(always)]
fn q8_0(block: &[u8], into: &mut [f32]) {
    let d = half_float(block);
    for (&q, into) in block[2..].iter().zip(into) {
        *into = f32::from(q as i8) * d;
    }
}

/// Scale and offset of the sub-block `index` of 8, six bits each, packed into 12 bytes.
fn scale_and_offset(packed: &[u8], index: usize) -> (f32, f32) {
    let (scale, offset) = if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let both = packed[index + 4];
        (
            (both & 15) | ((packed[index - 4] >> 2) & 0x30),
            (both >> 4) | ((packed[index] >> 2) & 0x30),
        )
    };
    (f32::from(scale), f32::from(offset))
}

#[inline(always)]
fn q4_k(block: &[u8], into: &mut [f32]) {
    let (d, dmin) = (half_float(block), half_float(&block[2..]));
    let (packed, nibbles) = block[4..].split_at(12);
    for (index, into) in into.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = scale_and_offset(packed, index);
        let (d, m, shift) = (d * scale, dmin * offset, 4 * (index % 2));
        for (&q, into) in nibbles[index / 2 * 32..][..32].iter().zip(into) {
            *into = d * f32::from((q >> shift) & 15) - m;
        }
    }
}

#[inline(always)]
fn q5_k(block: &[u8], into: &mut [f32]) {
    let (d, dmin) = (half_float(block), half_float(&block[2..]));
    let (packed, rest) = block[4..].split_at(12);
    let (fifths, nibbles) = rest.split_at(32);
    for (index, into) in into.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = scale_and_offset(packed, index);
        let (d, m, shift) = (d * scale, dmin * offset, 4 * (index % 2));
        let nibbles = &nibbles[index / 2 * 32..][..32];
        for ((&q, &bits), into) in nibbles.iter().zip(fifths).zip(into) {
            *into = d * f32::from(((q >> shift) & 15) | fifth(bits.into(), index)) - m;
        }
    }
}

#[inline(always)]
fn q6_k(block: &[u8], into: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = half_float(d);
    // Runs of 32 numbers, four to each half of the block.
    for (run, into) in into.chunks_exact_mut(32).enumerate() {
        let (half, quarter) = (run / 4, run % 4);
        let low = &low[half * 64 + quarter % 2 * 32..][..32];
        let high = &high[half * 32..][..32];
        let (low_shift, high_shift) = (quarter / 2 * 4, quarter * 2);
        let numbers = low.iter().zip(high).zip(into).enumerate();
        for (index, ((&low, &high), into)) in numbers {
            let d = d * f32::from(scales[run * 2 + index / 16] as i8);
            let q = ((low >> low_shift) & 15) | (((high >> high_shift) & 3) << 4);
            *into = d * f32::from(q as i8 - 32);
        }
    }
}
