//! Numbers brought into GGUF's blocks: what [`super::block_format`] reads, written.
//!
//! Q8_0 is written as the `gguf` package writes it, bit for bit (`core/tests/quantizing.rs`). For Q4_K and
//! Q5_K every reader knows the layout and nobody prescribes which scale and offset a sub-block is given:
//! those of the least squared error among several rounded alike are, by least squares.

#![forbid(unsafe_code)]

use half::f16;

/// Numbers that share a scale and an offset.
const SUB_BLOCK: usize = 32;
/// Sub-blocks of a block.
const SUB_BLOCKS: usize = 8;
/// The largest code of a scale or an offset: six bits.
const MOST_SCALE: f32 = 63.0;
/// Scales that are tried for a sub-block besides the one that spans it: the number range is cut into a few
/// steps more or fewer than there are.
const TRIED: [f32; 16] =
    [-1.0, -0.85, -0.7, -0.55, -0.4, -0.25, -0.1, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1, 1.25];

/// 32 numbers as Q8_0: 34 bytes.
pub(super) fn q8_0(numbers: &[f32], block: &mut [u8]) {
    let most = numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
    let d = most / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (q, number) in block[2..].iter_mut().zip(numbers) {
        *q = away_from_zero(number * inverse) as i8 as u8;
    }
}

/// The nearest whole number, halves away from 0; by arithmetic alone, since a call for each would take
/// most of the time. The largest that is asked for is 127.
fn away_from_zero(number: f32) -> f32 {
    let size = number.abs();
    let whole = size as i32 as f32;
    // As the package has it: the fraction doubled and rounded down.
    let rounded = whole + (2.0 * (size - whole)) as i32 as f32;
    rounded.copysign(number)
}

/// 256 numbers as Q4_K: 144 bytes.
pub(super) fn q4_k(numbers: &[f32], block: &mut [u8]) {
    let (head, nibbles) = block.split_at_mut(16);
    let codes = k_block(numbers, 15.0, head);
    write_nibbles(&codes, nibbles);
}

/// 256 numbers as Q5_K: 176 bytes.
pub(super) fn q5_k(numbers: &[f32], block: &mut [u8]) {
    let (head, rest) = block.split_at_mut(16);
    let codes = k_block(numbers, 31.0, head);
    let (fifths, nibbles) = rest.split_at_mut(32);
    fifths.fill(0);
    for (sub_block, codes) in codes.chunks_exact(SUB_BLOCK).enumerate() {
        for (bits, code) in fifths.iter_mut().zip(codes) {
            *bits |= (code >> 4) << sub_block;
        }
    }
    write_nibbles(&codes, nibbles);
}

/// The low four bits of 256 codes: of each 64 the first half in the low nibbles.
fn write_nibbles(codes: &[u8; 256], nibbles: &mut [u8]) {
    for (codes, nibbles) in codes.chunks_exact(64).zip(nibbles.chunks_exact_mut(32)) {
        let (low, high) = codes.split_at(32);
        for ((nibble, low), high) in nibbles.iter_mut().zip(low).zip(high) {
            *nibble = (low & 15) | (high & 15) << 4;
        }
    }
}

/// Codes of 0 to `most` for 256 numbers; `head` receives the two half floats and the twelve bytes of
/// scales and offsets that they are multiplied out by.
fn k_block(numbers: &[f32], most: f32, head: &mut [u8]) -> [u8; 256] {
    let mut fits = [SubBlockScales::default(); SUB_BLOCKS];
    for (fit, numbers) in fits.iter_mut().zip(numbers.chunks_exact(SUB_BLOCK)) {
        *fit = SubBlockScales::of(numbers, most);
    }
    let largest = |of: fn(&SubBlockScales) -> f32| fits.iter().map(of).fold(0f32, f32::max);
    let (scale, offset) = (largest(|fit| fit.scale), largest(|fit| fit.offset));
    let (d, dmin) = (f16::from_f32(scale / MOST_SCALE), f16::from_f32(offset / MOST_SCALE));
    head[..2].copy_from_slice(&d.to_le_bytes());
    head[2..4].copy_from_slice(&dmin.to_le_bytes());
    let inverse = |largest: f32| if largest > 0.0 { MOST_SCALE / largest } else { 0.0 };
    let (inverse_scale, inverse_offset) = (inverse(scale), inverse(offset));
    let mut scales = [(0u8, 0u8); SUB_BLOCKS];
    let mut codes = [0u8; 256];
    let parts = codes.chunks_exact_mut(SUB_BLOCK).zip(numbers.chunks_exact(SUB_BLOCK));
    for ((codes, numbers), (fit, scales)) in parts.zip(fits.iter().zip(&mut scales)) {
        let code = |value: f32| value.min(MOST_SCALE).round() as u8;
        *scales = (code(fit.scale * inverse_scale), code(fit.offset * inverse_offset));
        let (step, m) = (d.to_f32() * f32::from(scales.0), dmin.to_f32() * f32::from(scales.1));
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        for (code, number) in codes.iter_mut().zip(numbers) {
            *code = nearest((number + m) * inverse, most) as u8;
        }
    }
    pack_scales(&scales, &mut head[4..16]);
    codes
}

/// Scales and offsets of six bits each, as `block_format` takes them apart.
fn pack_scales(scales: &[(u8, u8); SUB_BLOCKS], packed: &mut [u8]) {
    packed.fill(0);
    for (index, &(scale, offset)) in scales.iter().enumerate() {
        if index < 4 {
            packed[index] |= scale;
            packed[index + 4] |= offset;
        } else {
            packed[index + 4] = (scale & 15) | (offset & 15) << 4;
            packed[index - 4] |= (scale >> 4) << 6;
            packed[index] |= (offset >> 4) << 6;
        }
    }
}

/// The nearest whole number from 0 to `most`, as a float.
fn nearest(number: f32, most: f32) -> f32 {
    /// Added and taken away again it leaves whole numbers, with no call and no conversion.
    const ROUNDS: f32 = 12_582_912.0;
    (number.clamp(0.0, most) + ROUNDS) - ROUNDS
}

/// What the codes of a sub-block are multiplied by, and what is taken off then; neither is negative.
#[derive(Clone, Copy, Debug, Default)]
struct SubBlockScales {
    scale: f32,
    offset: f32,
}

impl SubBlockScales {
    /// For 32 numbers and codes of 0 to `most`.
    fn of(numbers: &[f32], most: f32) -> Self {
        let smallest = numbers.iter().fold(0f32, |least, &number| least.min(number));
        let largest = numbers.iter().fold(f32::MIN, |most, &number| most.max(number));
        let span = largest - smallest;
        if span <= 0.0 || !span.is_finite() {
            return Self { scale: 0.0, offset: -smallest };
        }
        let spanning = Self { scale: span / most, offset: -smallest };
        let (mut best, mut least) = (spanning, spanning.error(numbers, most));
        for steps in TRIED {
            let fit = Self::least_squares(numbers, smallest, (most + steps) / span, most);
            let error = fit.error(numbers, most);
            if error < least {
                (best, least) = (fit, error);
            }
        }
        best
    }

    /// The best for the codes that the numbers have from `smallest` on in steps of 1 / `inverse`.
    fn least_squares(numbers: &[f32], smallest: f32, inverse: f32, most: f32) -> Self {
        let mut codes = [0f32; SUB_BLOCK];
        for (code, number) in codes.iter_mut().zip(numbers) {
            *code = nearest((number - smallest) * inverse, most);
        }
        let count = SUB_BLOCK as f32;
        let mut products = [0f32; SUB_BLOCK];
        for ((product, code), number) in products.iter_mut().zip(&codes).zip(numbers) {
            *product = code * number;
        }
        let (sum, squares) = (total(&codes), total(&codes.map(|code| code * code)));
        let (of_numbers, products) = (numbers.iter().sum::<f32>(), total(&products));
        let determinant = count * squares - sum * sum;
        if determinant <= 0.0 {
            return Self { scale: 0.0, offset: (-of_numbers / count).max(0.0) };
        }
        let scale = (count * products - of_numbers * sum) / determinant;
        let offset = -(squares * of_numbers - sum * products) / determinant;
        if offset < 0.0 {
            return Self { scale: (products / squares).max(0.0), offset: 0.0 };
        }
        Self { scale: scale.max(0.0), offset }
    }

    /// The sum of squares that is left where every number takes its nearest code.
    fn error(&self, numbers: &[f32], most: f32) -> f32 {
        let inverse = if self.scale > 0.0 { 1.0 / self.scale } else { 0.0 };
        let mut lost = [0f32; SUB_BLOCK];
        for (lost, number) in lost.iter_mut().zip(numbers) {
            let code = nearest((number + self.offset) * inverse, most);
            let difference = code * self.scale - self.offset - number;
            *lost = difference * difference;
        }
        total(&lost)
    }
}

/// A sum in eight lanes, which a processor adds at once.
fn total(numbers: &[f32; SUB_BLOCK]) -> f32 {
    let mut lanes = [0f32; 8];
    for numbers in numbers.chunks_exact(8) {
        for (lane, number) in lanes.iter_mut().zip(numbers) {
            *lane += number;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::block_format::BlockFormat;

    /// Numbers that fall off like those of a trained matrix, one far off.
    fn numbers() -> Vec<f32> {
        let mut state = 1u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        let mut numbers: Vec<f32> = (0..256 * 40)
            .map(|_| ((0..12).map(|_| uniform()).sum::<f64>() - 6.0) as f32 * 0.03)
            .collect();
        numbers[700] = 0.9;
        numbers
    }

    /// The error of a format, as the square root of its share.
    fn relative_error(format: BlockFormat, numbers: &[f32]) -> f64 {
        let mut blocks = vec![0; numbers.len() / format.numbers() * format.bytes()];
        assert!(format.quantize(numbers, &mut blocks));
        let mut back = vec![0f32; numbers.len()];
        format.dequantize(&blocks, &mut back);
        let squares = |numbers: &mut dyn Iterator<Item = f32>| -> f64 {
            numbers.map(|number| f64::from(number).powi(2)).sum()
        };
        let lost = squares(&mut numbers.iter().zip(&back).map(|(a, b)| a - b));
        (lost / squares(&mut numbers.iter().copied())).sqrt()
    }

    #[test]
    fn errors_stay_where_the_bits_of_a_format_allow() {
        let numbers = numbers();
        for (format, most) in
            [(BlockFormat::Q8_0, 0.007), (BlockFormat::Q5_K, 0.04), (BlockFormat::Q4_K, 0.08)]
        {
            let error = relative_error(format, &numbers);
            assert!(error > most / 4.0 && error < most, "{format:?}: {error}");
        }
    }

    #[test]
    fn what_is_one_number_or_none_comes_back() {
        for format in [BlockFormat::Q8_0, BlockFormat::Q5_K, BlockFormat::Q4_K] {
            for value in [0f32, 0.5, -0.5] {
                let numbers = vec![value; 256];
                let error = if value == 0.0 { 0.0 } else { relative_error(format, &numbers) };
                assert!(error < 1e-3, "{format:?} of {value}: {error}");
                let mut blocks = vec![7; 256 / format.numbers() * format.bytes()];
                assert!(format.quantize(&vec![0.0; 256], &mut blocks));
                let mut back = vec![1f32; 256];
                format.dequantize(&blocks, &mut back);
                assert!(back.iter().all(|number| *number == 0.0), "{format:?}");
            }
        }
    }

    #[test]
    fn a_format_that_nothing_is_written_in_says_so() {
        assert!(!BlockFormat::Q6_K.quantize(&[0.0; 256], &mut [0; 210]));
    }
}
