//! GGUF's blocks multiplied out by the widest vectors that the processor has: the loops of their formats
//! compiled once more. No operation is fused or left out, so that the bits are the same.

/// A format with plain loops that multiply its blocks out, each to be compiled into what calls it.
pub(super) trait PlainLoops: Copy {
    /// The numbers of whole blocks, as many as `into` has room for.
    fn numbers_into(self, blocks: &[u8], into: &mut [f32]);

    /// The same rounded to bfloat16, as its bits.
    fn bfloat16_into(self, blocks: &[u8], into: &mut [u16]);
}

/// What [`PlainLoops::numbers_into`] gives.
pub(super) fn dequantize(format: impl PlainLoops, blocks: &[u8], into: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the processor has AVX2.
        return unsafe { dequantize_avx2(format, blocks, into) };
    }
    format.numbers_into(blocks, into);
}

/// What [`PlainLoops::bfloat16_into`] gives.
pub(super) fn dequantize_to_bfloat16(format: impl PlainLoops, blocks: &[u8], into: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the processor has AVX2.
        return unsafe { dequantize_to_bfloat16_avx2(format, blocks, into) };
    }
    format.bfloat16_into(blocks, into);
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dequantize_avx2(format: impl PlainLoops, blocks: &[u8], into: &mut [f32]) {
    format.numbers_into(blocks, into);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dequantize_to_bfloat16_avx2(format: impl PlainLoops, blocks: &[u8], into: &mut [u16]) {
    format.bfloat16_into(blocks, into);
}

#[cfg(test)]
mod tests {
    use super::super::block_format::BlockFormat;
    use super::*;

    #[test]
    fn wide_vectors_give_the_bits_of_plain_loops() {
        let mut state = 5u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for format in BlockFormat::ALL {
            // Whatever bytes there are: scales that are infinite or no numbers too.
            let blocks: Vec<u8> = (0..50 * format.bytes()).map(|_| byte()).collect();
            let count = 50 * format.numbers();
            let (mut wide, mut plain) = (vec![0f32; count], vec![0f32; count]);
            dequantize(format, &blocks, &mut wide);
            format.numbers_into(&blocks, &mut plain);
            for (wide, plain) in wide.iter().zip(&plain) {
                assert!(wide.to_bits() == plain.to_bits() || wide.is_nan() && plain.is_nan());
            }
            let (mut wide, mut plain) = (vec![0u16; count], vec![0u16; count]);
            dequantize_to_bfloat16(format, &blocks, &mut wide);
            format.bfloat16_into(&blocks, &mut plain);
            assert!(wide == plain, "{format:?}");
        }
    }
}
