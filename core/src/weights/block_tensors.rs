//! GGUF's blocks multiplied out where they lie on a device, by libtorch's operators: the numbers of
//! [`super::block_format`], bit for bit.

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};

use super::block_format::BlockFormat;
use crate::Result;

/// The numbers of blocks, float32 `[blocks, numbers]`, where `blocks`, uint8 `[blocks, bytes]`, lie.
pub(super) fn dequantized(format: BlockFormat, blocks: &Tensor) -> Result<Tensor> {
    match format {
        BlockFormat::Q4_0 => below_zero(&nibbles(blocks, 2)?, 8.0, &half_float(blocks, 0)?),
        BlockFormat::Q4_1 => offset(&nibbles(blocks, 4)?, blocks),
        BlockFormat::Q5_0 => {
            let codes = nibbles(blocks, 6)?.f_bitwise_or_tensor(&fifths(blocks, 2)?)?;
            below_zero(&codes, 16.0, &half_float(blocks, 0)?)
        }
        BlockFormat::Q5_1 => {
            offset(&nibbles(blocks, 8)?.f_bitwise_or_tensor(&fifths(blocks, 4)?)?, blocks)
        }
        BlockFormat::Q8_0 => {
            let codes = blocks.f_narrow(1, 2, 32)?.f_contiguous()?.f_view_dtype(Kind::Int8)?;
            Ok(codes.f_to_kind(Kind::Float)?.f_mul(&half_float(blocks, 0)?)?)
        }
        BlockFormat::Q4_K => k_block(&k_nibbles(blocks, 16)?, blocks),
        BlockFormat::Q5_K => {
            let bits = blocks.f_narrow(1, 16, 32)?.f_unsqueeze(1)?;
            let bits = bits.f_bitwise_right_shift(&shifts(blocks, 8, 1)?.f_view([8, 1])?)?;
            let bits = bits.f_bitwise_and(1i64)?.f_bitwise_left_shift_tensor_scalar(4i64)?;
            k_block(&k_nibbles(blocks, 48)?.f_bitwise_or_tensor(&bits)?, blocks)
        }
        BlockFormat::Q6_K => q6_k(blocks),
    }
}

/// The half float that begins at a byte of each block: float32 `[blocks, 1]`.
fn half_float(blocks: &Tensor, from: i64) -> Result<Tensor> {
    let bytes = blocks.f_narrow(1, from, 2)?.f_contiguous()?;
    Ok(bytes.f_view_dtype(Kind::Half)?.f_to_kind(Kind::Float)?)
}

/// 0, `step`, 2·`step` …, `count` of them, uint8.
fn shifts(blocks: &Tensor, count: i64, step: i64) -> Result<Tensor> {
    let options = (Kind::Uint8, blocks.device());
    Ok(Tensor::f_arange_start_step(0, count * step, step, options)?)
}

/// Codes of 16 bytes, the low four bits of all before the high ones: uint8 `[blocks, 32]`.
fn nibbles(blocks: &Tensor, from: i64) -> Result<Tensor> {
    let bytes = blocks.f_narrow(1, from, 16)?;
    let halves = [bytes.f_bitwise_and(15i64)?, bytes.f_bitwise_right_shift_tensor_scalar(4i64)?];
    Ok(Tensor::f_cat(&halves, 1)?)
}

/// The fifth bits of 32 codes, one after the other in four bytes: uint8 `[blocks, 32]`.
fn fifths(blocks: &Tensor, from: i64) -> Result<Tensor> {
    let bytes = blocks.f_narrow(1, from, 4)?.f_unsqueeze(2)?;
    let bits = bytes.f_bitwise_right_shift(&shifts(blocks, 8, 1)?)?.f_bitwise_and(1i64)?;
    Ok(bits.f_bitwise_left_shift_tensor_scalar(4i64)?.f_reshape([-1, 32])?)
}

/// d·(code − zero)
fn below_zero(codes: &Tensor, zero: f64, d: &Tensor) -> Result<Tensor> {
    Ok(codes.f_to_kind(Kind::Float)?.f_sub_scalar(zero)?.f_mul(d)?)
}

/// d·code + m, both half floats at the beginning of a block.
fn offset(codes: &Tensor, blocks: &Tensor) -> Result<Tensor> {
    let (d, m) = (half_float(blocks, 0)?, half_float(blocks, 2)?);
    Ok(codes.f_to_kind(Kind::Float)?.f_mul(&d)?.f_add(&m)?)
}

/// Codes of 128 bytes, of each 32 the low four bits before the high ones: uint8 `[blocks, 8, 32]`.
fn k_nibbles(blocks: &Tensor, from: i64) -> Result<Tensor> {
    let bytes = blocks.f_narrow(1, from, 128)?.f_reshape([-1, 4, 32])?;
    let halves = [bytes.f_bitwise_and(15i64)?, bytes.f_bitwise_right_shift_tensor_scalar(4i64)?];
    Ok(Tensor::f_stack(&halves, 2)?.f_view([-1, 8, 32])?)
}

/// d·scale·code − dmin·offset of codes `[blocks, 8, 32]`.
fn k_block(codes: &Tensor, blocks: &Tensor) -> Result<Tensor> {
    let packed = |from: i64| blocks.f_narrow(1, 4 + from, 4);
    let low = |bytes: &Tensor| bytes.f_bitwise_and(63i64);
    let top = |bytes: &Tensor| -> Result<Tensor> {
        Ok(bytes.f_bitwise_right_shift_tensor_scalar(2i64)?.f_bitwise_and(0x30i64)?)
    };
    let (first, second, both) = (packed(0)?, packed(4)?, packed(8)?);
    let scale = both.f_bitwise_and(15i64)?.f_bitwise_or_tensor(&top(&first)?)?;
    let offset = both.f_bitwise_right_shift_tensor_scalar(4i64)?;
    let offset = offset.f_bitwise_or_tensor(&top(&second)?)?;
    let times = |halves: [Tensor; 2], factor: &Tensor| -> Result<Tensor> {
        let codes = Tensor::f_cat(&halves, 1)?.f_to_kind(Kind::Float)?;
        Ok(codes.f_mul(factor)?.f_unsqueeze(2)?)
    };
    let d = times([low(&first)?, scale], &half_float(blocks, 0)?)?;
    let m = times([low(&second)?, offset], &half_float(blocks, 2)?)?;
    Ok(codes.f_to_kind(Kind::Float)?.f_mul(&d)?.f_sub(&m)?.f_view([-1, 256])?)
}

fn q6_k(blocks: &Tensor) -> Result<Tensor> {
    let low = blocks.f_narrow(1, 0, 128)?.f_reshape([-1, 2, 64])?;
    let halves = [low.f_bitwise_and(15i64)?, low.f_bitwise_right_shift_tensor_scalar(4i64)?];
    let low = Tensor::f_stack(&halves, 2)?.f_view([-1, 2, 4, 32])?;
    let high = blocks.f_narrow(1, 128, 64)?.f_reshape([-1, 2, 1, 32])?;
    let high = high.f_bitwise_right_shift(&shifts(blocks, 4, 2)?.f_view([4, 1])?)?;
    let high = high.f_bitwise_and(3i64)?.f_bitwise_left_shift_tensor_scalar(4i64)?;
    let codes = low.f_bitwise_or_tensor(&high)?.f_to_kind(Kind::Float)?.f_sub_scalar(32.0)?;
    let scales = blocks.f_narrow(1, 192, 16)?.f_contiguous()?.f_view_dtype(Kind::Int8)?;
    let d = scales.f_to_kind(Kind::Float)?.f_mul(&half_float(blocks, 208)?)?;
    let numbers = codes.f_view([-1, 16, 16])?.f_mul(&d.f_unsqueeze(2)?)?;
    Ok(numbers.f_view([-1, 256])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_give_the_bits_of_the_plain_loops() {
        let mut state = 9u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for format in BlockFormat::ALL {
            let mut bytes: Vec<u8> = (0..7 * format.bytes()).map(|_| byte()).collect();
            // What may be half floats is finite: their exponents are not all ones.
            for block in bytes.chunks_exact_mut(format.bytes()) {
                let last = block.len() - 1;
                for place in [1, 3, last] {
                    block[place] &= 0xbb;
                }
            }
            let mut expected = vec![0f32; 7 * format.numbers()];
            format.dequantize(&bytes, &mut expected);
            let blocks = Tensor::from_slice(&bytes).view([7, format.bytes() as i64]);
            let found = dequantized(format, &blocks).unwrap();
            let found: Vec<f32> = found.view([-1]).try_into().unwrap();
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found.to_bits(), expected.to_bits(), "{format:?} {index}");
            }
        }
    }
}
