//! Numbers of 8 bits with a scale for each row, multiplied out by a table: of 256 codes each row has at
//! most as many numbers.
//!
//! They are those that float32 arithmetic gives, rounded once: what [`super::stored_weight`] does by way of
//! libtorch for every other form.

#![forbid(unsafe_code)]

use half::{bf16, f16};
use tch::Kind;

/// The numbers that the codes of a kind stand for; none of a kind that has not 8 bits.
pub(super) fn numbers(kind: Kind) -> Option<[f32; 256]> {
    let number: fn(u8) -> f32 = match kind {
        Kind::Int8 => |code| f32::from(code as i8),
        Kind::Float8e4m3fn => e4m3fn,
        // A half float without its last eight bits.
        Kind::Float8e5m2 => |code| f16::from_bits(u16::from(code) << 8).to_f32(),
        _ => return None,
    };
    Some(std::array::from_fn(|code| number(code as u8)))
}

/// Four bits of exponent, three of mantissa, no infinities.
fn e4m3fn(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from((code >> 3) & 15), f32::from(code & 7));
    let size = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if code < 0x80 { size } else { -size }
}

/// The largest number that e4m3 has.
pub(super) const E4M3_MOST: f32 = 448.0;

/// The code of e4m3 that is nearest to a number, the even one of two; beyond the largest, that.
pub(super) fn e4m3_code(number: f32) -> u8 {
    /// Added to what is below the normal numbers, it shifts their three bits to the end of the mantissa.
    const BELOW_NORMAL: u32 = 141 << 23;
    let bits = number.to_bits();
    let (sign, size) = ((bits >> 24) as u8 & 0x80, bits & 0x7fff_ffff);
    let code = if size > E4M3_MOST.to_bits() {
        if number.is_nan() { 0x7f } else { 0x7e }
    } else if size < 121 << 23 {
        let shifted = f32::from_bits(size) + f32::from_bits(BELOW_NORMAL);
        (shifted.to_bits() - BELOW_NORMAL) as u8
    } else {
        let odd = (size >> 20) & 1;
        ((size - (120 << 23) + 0x7_ffff + odd) >> 20) as u8
    };
    sign | code
}

/// Puts codes times their row's scale into `to`, bfloat16 as bits; as many as there are of `codes`, in rows
/// of `width`.
pub(super) fn bfloat16_into(
    numbers: &[f32; 256],
    scales: &[f32],
    width: usize,
    codes: &[u8],
    to: &mut [u16],
) {
    let rows = codes.chunks_exact(width).zip(to.chunks_exact_mut(width));
    let mut last = None;
    let mut table = [0u16; 256];
    for ((codes, to), scale) in rows.zip(scales) {
        if last != Some(scale.to_bits()) {
            table = numbers.map(|number| bf16::from_f32(number * scale).to_bits());
            last = Some(scale.to_bits());
        }
        for (to, code) in to.iter_mut().zip(codes) {
            *to = table[usize::from(*code)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Tensor};

    fn codes() -> Tensor {
        Tensor::arange(256, (Kind::Uint8, Device::Cpu))
    }

    #[test]
    fn codes_are_what_libtorch_takes_them_for() {
        for kind in [Kind::Int8, Kind::Float8e4m3fn, Kind::Float8e5m2] {
            let expected = codes().view_dtype(kind).to_kind(Kind::Float);
            let expected: Vec<f32> = expected.try_into().unwrap();
            let found = numbers(kind).unwrap();
            let same =
                |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(found.iter().zip(&expected).all(same), "{kind:?}: {found:?} {expected:?}");
        }
        assert!(numbers(Kind::BFloat16).is_none());
    }

    #[test]
    fn numbers_get_the_codes_that_libtorch_gives_them() {
        let fine = (0..60_000).map(|step| f64::from(step).mul_add(1.5e-2, -450.0) as f32);
        let small = (0..4_000).map(|step| (f64::from(step) - 2_000.0) as f32 * 1.7e-5);
        let halves = (0..=255u8).map(|code| {
            let (a, b) = (e4m3fn(code & 0x7e), e4m3fn((code & 0x7e) | 1));
            if b.is_nan() { a } else { (a + b) / 2.0 }
        });
        let numbers: Vec<f32> = fine.chain(small).chain(halves).chain([1e9, -1e9, 0.0]).collect();
        let expected = Tensor::from_slice(&numbers).clamp(-448.0, 448.0);
        let expected = expected.to_kind(Kind::Float8e4m3fn).view_dtype(Kind::Uint8);
        let expected: Vec<u8> = expected.try_into().unwrap();
        for (number, expected) in numbers.iter().zip(expected) {
            assert_eq!(e4m3_code(*number), expected, "{number}");
        }
        assert_eq!(e4m3_code(f32::NAN), 0x7f);
    }

    #[test]
    fn products_are_rounded_as_libtorch_rounds_them() {
        for kind in [Kind::Int8, Kind::Float8e4m3fn, Kind::Float8e5m2] {
            let scales = [0.017_3f32, 0.017_3, 1.0, 3e-5];
            let bytes: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(4);
            let mut found = vec![0u16; bytes.len()];
            bfloat16_into(&numbers(kind).unwrap(), &scales, 256, &bytes, &mut found);
            let wide = codes().view_dtype(kind).to_kind(Kind::Float);
            for (row, scale) in scales.iter().enumerate() {
                let product = (&wide * f64::from(*scale)).to_kind(Kind::BFloat16);
                let expected: Vec<f32> = product.to_kind(Kind::Float).try_into().unwrap();
                for (code, expected) in expected.iter().enumerate() {
                    let found = bf16::from_bits(found[row * 256 + code]).to_f32();
                    let same = found.to_bits() == expected.to_bits();
                    assert!(same || found.is_nan() && expected.is_nan(), "{kind:?} {code} {scale}");
                }
            }
        }
    }
}
