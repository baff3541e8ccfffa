//! The loops that a picture spends its time in, once more, in what processors of x86-64 have had since
//! 2013: to the same bits as the plain ones, in a third of the time.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256, __m256i, _CMP_GT_OQ, _CMP_LT_OQ, _mm_add_ps, _mm_loadu_ps, _mm_loadu_si128, _mm_mul_ps,
    _mm_set1_ps, _mm_storeu_ps, _mm_sub_ps, _mm256_add_ps, _mm256_and_ps, _mm256_and_si256,
    _mm256_blend_ps, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
    _mm256_i32gather_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_epu16, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_permute_ps, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps, _mm256_testz_si256,
};

use half::f16;

use super::pixel::{AlphaMode, Pixel};
use super::taps::TapPair;
use super::transfer::{LinearTable, SLOTS};

/// A processor that can do what is written here. Only asking gives one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vectors(());

impl Vectors {
    /// What this processor can do; asked once, then remembered.
    pub(super) fn here() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
        has_all.then_some(Self(()))
    }

    /// Display-referred pixels as they are.
    pub(super) fn read_display(self, from: &[[f16; 4]], alpha: AlphaMode, to: &mut [Pixel]) {
        // SAFETY: `here` has found what the function is compiled for.
        unsafe { read_display(from, alpha, to) }
    }

    /// Linear light of pixels, and of all their values that whose bits are the greatest number. Where
    /// the table does not have that one, what was made of the pixels is of no use.
    pub(super) fn read_linear(
        self,
        from: &[[f16; 4]],
        table: &LinearTable,
        alpha: AlphaMode,
        to: &mut [Pixel],
    ) -> f16 {
        // SAFETY: as above.
        f16::from_bits(unsafe { read_linear(from, table, alpha, to) })
    }

    /// Two rows, the second by a weight; alpha within \[0, 1\].
    pub(super) fn mix_rows(
        self,
        to: &mut [Pixel],
        rows: [&[Pixel]; 2],
        weight: f32,
        coverage: f32,
    ) {
        // SAFETY: as above.
        unsafe { mix_rows(to, rows, weight, coverage) }
    }

    /// Two pixels of a row for each output pixel, the second by a weight.
    pub(super) fn mix_columns(self, to: &mut [Pixel], row: &[Pixel], pairs: &[TapPair]) {
        // SAFETY: as above.
        unsafe { mix_columns(to, row, pairs) }
    }
}

#[target_feature(enable = "avx2,f16c")]
fn read_display(from: &[[f16; 4]], alpha: AlphaMode, to: &mut [Pixel]) {
    read(from, alpha, to, |halves| values(halves));
}

/// Eight pixels at a time: where none of them has alpha, as most of a take, there is nothing to look up.
#[target_feature(enable = "avx2,f16c")]
fn read_linear(from: &[[f16; 4]], table: &LinearTable, alpha: AlphaMode, to: &mut [Pixel]) -> u16 {
    let alphas = _mm256_set1_epi64x(0xFFFF << 48);
    let mut most = _mm256_setzero_si256();
    let (many, rest) = from.as_chunks::<8>();
    let (to_many, to_rest) = to.as_chunks_mut::<8>();
    for (pixels, to) in many.iter().zip(to_many) {
        let halves = pixels.as_ptr().cast::<__m256i>();
        // SAFETY: eight pixels of four half-floats are 64 bytes.
        let [first, second] =
            unsafe { [_mm256_loadu_si256(halves), _mm256_loadu_si256(halves.add(1))] };
        let either = _mm256_or_si256(first, second);
        most = _mm256_max_epu16(most, _mm256_max_epu16(first, second));
        if _mm256_testz_si256(either, alphas) == 1 {
            *to = [[0.0; 4]; 8];
        } else {
            read(pixels, alpha, to, |halves| linear(halves, table));
        }
    }
    read(rest, alpha, to_rest, |halves| linear(halves, table));
    let mut each = [0_u16; 16];
    // SAFETY: sixteen numbers of 16 bits are 32 bytes.
    unsafe { _mm256_storeu_si256(each.as_mut_ptr().cast(), most) };
    let rest = rest.as_flattened().iter().map(|half| half.to_bits());
    each.into_iter().chain(rest).max().unwrap_or(0)
}

/// Two pixels at a time; `color` makes eight values of eight half-floats.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn read(
    from: &[[f16; 4]],
    alpha: AlphaMode,
    to: &mut [Pixel],
    color: impl Fn(&[f16; 8]) -> __m256,
) {
    let finish = |halves: &[f16; 8]| match alpha {
        AlphaMode::Premultiplied => premultiplied(color(halves), values(halves)),
        AlphaMode::Straight => straight(color(halves), values(halves)),
    };
    let (pairs, last) = from.as_flattened().as_chunks::<8>();
    let (to_pairs, to_last) = to.as_flattened_mut().as_chunks_mut::<8>();
    for (halves, to) in pairs.iter().zip(to_pairs) {
        // SAFETY: the place holds eight floats.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), finish(halves)) };
    }
    if let ([r, g, b, a], [_, _, _, _]) = (last, &to_last) {
        let halves = [*r, *g, *b, *a, f16::ZERO, f16::ZERO, f16::ZERO, f16::ZERO];
        let mut both = [0.0; 8];
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(both.as_mut_ptr(), finish(&halves)) };
        to_last.copy_from_slice(&both[..4]);
    }
}

/// The values of half-floats; what is not a finite number counts as 0.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn values(halves: &[f16; 8]) -> __m256 {
    // SAFETY: eight half-floats are 16 bytes.
    let values = _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.as_ptr().cast()) });
    let magnitude = _mm256_and_ps(values, _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX)));
    let is_finite = _mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, _mm256_set1_ps(f32::INFINITY));
    _mm256_and_ps(values, is_finite)
}

/// Linear light of half-floats that the table has.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn linear(halves: &[f16; 8], table: &LinearTable) -> __m256 {
    let last = i32::try_from(SLOTS - 1).unwrap_or_default();
    // SAFETY: eight half-floats are 16 bytes; the masked bits are places of the table, which has
    // `SLOTS` of them.
    unsafe {
        let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves.as_ptr().cast()));
        let places = _mm256_and_si256(bits, _mm256_set1_epi32(last));
        _mm256_i32gather_ps::<4>(table.slots().as_ptr(), places)
    }
}

/// Alpha, in the place of each value of its pixel.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn alphas(values: __m256) -> __m256 {
    _mm256_permute_ps::<0b11_11_11_11>(values)
}

/// The last value of each pixel is alpha.
const ALPHA: i32 = 0b1000_1000;

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn premultiplied(colors: __m256, values: __m256) -> __m256 {
    // In this order an alpha of −0 stays what it is.
    let alpha = _mm256_max_ps(_mm256_setzero_ps(), alphas(values));
    let alpha = _mm256_min_ps(alpha, _mm256_set1_ps(1.0));
    let colors = _mm256_add_ps(_mm256_mul_ps(colors, alpha), _mm256_setzero_ps());
    _mm256_blend_ps::<ALPHA>(colors, alpha)
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn straight(colors: __m256, values: __m256) -> __m256 {
    let alpha = alphas(values);
    let is_seen = _mm256_cmp_ps::<_CMP_GT_OQ>(alpha, _mm256_setzero_ps());
    let clamped = _mm256_min_ps(alpha, _mm256_set1_ps(1.0));
    _mm256_and_ps(_mm256_blend_ps::<ALPHA>(colors, clamped), is_seen)
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn mix_rows(to: &mut [Pixel], [near, tap]: [&[Pixel]; 2], weight: f32, coverage: f32) {
    const NO: f32 = f32::INFINITY;
    let least = _mm256_setr_ps(-NO, -NO, -NO, 0.0, -NO, -NO, -NO, 0.0);
    let most = _mm256_setr_ps(NO, NO, NO, 1.0, NO, NO, NO, 1.0);
    let (weight, coverage) = (_mm256_set1_ps(weight), _mm256_set1_ps(coverage));
    let mixed = |near: &[f32; 8], tap: &[f32; 8]| {
        // SAFETY: both hold eight floats.
        let (near, tap) =
            unsafe { (_mm256_loadu_ps(near.as_ptr()), _mm256_loadu_ps(tap.as_ptr())) };
        let sum = _mm256_add_ps(near, _mm256_mul_ps(_mm256_sub_ps(tap, near), weight));
        let sum = _mm256_mul_ps(sum, coverage);
        _mm256_min_ps(most, _mm256_max_ps(least, sum))
    };
    let (nears, last_near) = near.as_flattened().as_chunks::<8>();
    let (taps, last_tap) = tap.as_flattened().as_chunks::<8>();
    let (to, to_last) = to.as_flattened_mut().as_chunks_mut::<8>();
    for ((near, tap), to) in nears.iter().zip(taps).zip(to) {
        // SAFETY: the place holds eight floats.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), mixed(near, tap)) };
    }
    if let ([_, _, _, _], [_, _, _, _], [_, _, _, _]) = (last_near, last_tap, &to_last) {
        let (mut near, mut tap, mut both) = ([0.0; 8], [0.0; 8], [0.0; 8]);
        near[..4].copy_from_slice(last_near);
        tap[..4].copy_from_slice(last_tap);
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(both.as_mut_ptr(), mixed(&near, &tap)) };
        to_last.copy_from_slice(&both[..4]);
    }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn mix_columns(to: &mut [Pixel], row: &[Pixel], pairs: &[TapPair]) {
    let pixel = |at: u32| row.get(at as usize).copied().unwrap_or_default();
    for (to, pair) in to.iter_mut().zip(pairs) {
        let [near, tap] = pair.places.map(pixel);
        // SAFETY: each of them holds four floats.
        unsafe {
            let (near, tap) = (_mm_loadu_ps(near.as_ptr()), _mm_loadu_ps(tap.as_ptr()));
            let part = _mm_mul_ps(_mm_sub_ps(tap, near), _mm_set1_ps(pair.weight));
            let sum = _mm_mul_ps(_mm_add_ps(near, part), _mm_set1_ps(pair.coverage));
            _mm_storeu_ps(to.as_mut_ptr(), sum);
        }
    }
}
