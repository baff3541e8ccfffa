//! A frame of a take as the filters want it: finite, in the host's transfer, and color nowhere
//! without alpha.

#![forbid(unsafe_code)]

use half::f16;
use multiversion::multiversion;
use wan_alpha_take::store::Frame;

pub(super) use super::pixel::{AlphaMode, Pixel};
use super::transfer::{LinearTable, Transfer, to_ap1};
use super::vector::Vectors;

/// A borrowed frame: half-float straight RGBA, display-referred, row 0 on top.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pixels: &'a [[f16; 4]],
    size: [u32; 2],
    width: usize,
    /// The size that it is fitted as.
    stands_for: [u32; 2],
}

impl<'a> Source<'a> {
    /// `None` where there are not exactly so many pixels.
    #[must_use]
    pub fn new(values: &'a [f16], size: [u32; 2]) -> Option<Self> {
        let (width, height) = (usize::try_from(size[0]).ok()?, usize::try_from(size[1]).ok()?);
        let (pixels, rest) = values.as_chunks();
        let fits = rest.is_empty() && Some(pixels.len()) == width.checked_mul(height);
        fits.then_some(Self { pixels, size, width, stands_for: size })
    }

    /// Pixels of a frame.
    ///
    /// # Errors
    /// Where there are not exactly so many.
    pub fn of(values: &'a [f16], size: [u32; 2]) -> Result<Self, SizeMismatch> {
        Self::new(values, size).ok_or(SizeMismatch { size, values: values.len() })
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(self) -> [u32; 2] {
        self.size
    }

    /// The same pixels in the place of a frame of another size: each of them covers several of it.
    #[must_use]
    pub fn standing_for(self, size: [u32; 2]) -> Self {
        Self { stands_for: size, ..self }
    }

    /// Width and height of the frame that it is or stands for.
    pub(super) fn placed_size(self) -> [u32; 2] {
        self.stands_for
    }

    /// Row 0 is on top; a row that the frame does not have is empty.
    pub(super) fn row(self, row: usize) -> &'a [[f16; 4]] {
        let begin = row.saturating_mul(self.width);
        self.pixels.get(begin..begin.saturating_add(self.width)).unwrap_or_default()
    }
}

impl<'a> TryFrom<&'a Frame> for Source<'a> {
    type Error = SizeMismatch;

    fn try_from(frame: &'a Frame) -> Result<Self, SizeMismatch> {
        Self::of(frame, [frame.width, frame.height])
    }
}

/// A frame whose values are not as many as its size says.
#[derive(Debug, thiserror::Error)]
#[error(
    "a frame of {} × {} has {values} values where {} were expected: the take is damaged, \
     generate it again",
    size[0], size[1], u64::from(size[0]) * u64::from(size[1]) * 4
)]
pub struct SizeMismatch {
    size: [u32; 2],
    values: usize,
}

/// Fills `to` from as many pixels of a frame, by the processor's vectors where it has those.
pub(super) fn read(from: &[[f16; 4]], transfer: Transfer, alpha: AlphaMode, to: &mut [Pixel]) {
    let vectors = Vectors::here();
    match (transfer, vectors) {
        (Transfer::AsGenerated, Some(vectors)) => vectors.read_display(from, alpha, to),
        (Transfer::LinearRec709, Some(vectors)) => {
            let table = LinearTable::get();
            for (from, to) in from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
                // Whether all is as it should be is found on the way, without a question per value.
                if !table.has(vectors.read_linear(from, table, alpha, to)) {
                    read_plainly(from, transfer, alpha, to);
                }
            }
        }
        _ => read_plainly(from, transfer, alpha, to),
    }
}

/// Pixels that are worked on at a time.
const BLOCK: usize = 256;

/// The same, pixel by pixel. Compiled twice, of which the processor's features choose one, to equal
/// results.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn read_plainly(
    from: &[[f16; 4]],
    transfer: Transfer,
    alpha: AlphaMode,
    to: &mut [Pixel],
) {
    match (transfer, alpha) {
        (Transfer::AsGenerated, AlphaMode::Premultiplied) => read_display(from, to, premultiplied),
        (Transfer::AsGenerated, AlphaMode::Straight) => read_display(from, to, straight),
        (Transfer::LinearRec709, AlphaMode::Premultiplied) => {
            read_linear(from, to, |rgb| rgb, premultiplied);
        }
        (Transfer::LinearRec709, AlphaMode::Straight) => read_linear(from, to, |rgb| rgb, straight),
        (Transfer::AcesCg, AlphaMode::Premultiplied) => {
            read_linear(from, to, to_ap1, premultiplied);
        }
        (Transfer::AcesCg, AlphaMode::Straight) => read_linear(from, to, to_ap1, straight),
    }
}

#[inline(always)]
fn read_display(from: &[[f16; 4]], to: &mut [Pixel], finish: impl Fn(Pixel) -> Pixel) {
    for (from, to) in from.iter().zip(to) {
        *to = finish(from.map(display));
    }
}

#[inline(always)]
fn read_linear(
    from: &[[f16; 4]],
    to: &mut [Pixel],
    matrix: impl Fn([f32; 3]) -> [f32; 3],
    finish: impl Fn(Pixel) -> Pixel,
) {
    let table = LinearTable::get();
    for (&[r, g, b, a], to) in from.iter().zip(to) {
        let alpha = display(a);
        *to = if alpha > 0.0 {
            let [r, g, b] = matrix([r, g, b].map(|value| table.linear(value)));
            finish([r, g, b, alpha])
        } else {
            [0.0; 4]
        };
    }
}

/// The value of a half-float; what is not a finite number counts as 0. The same as
/// `f16::to_f32` of the crate `half`, in steps that the compiler does for many pixels at once.
#[inline(always)]
fn display(value: f16) -> f32 {
    /// Moves the exponent from where a half-float has its zero to where a float has.
    const REBIASED: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let bits = u32::from(value.to_bits());
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * REBIASED;
    let is_finite = bits & 0x7C00 != 0x7C00;
    f32::from_bits(if is_finite { magnitude.to_bits() | (bits & 0x8000) << 16 } else { 0 })
}

#[inline(always)]
fn premultiplied(pixel: Pixel) -> Pixel {
    let alpha = pixel[3].clamp(0.0, 1.0);
    // Adding 0 leaves no −0 where alpha is 0.
    let [r, g, b, _] = pixel.map(|value| value * alpha + 0.0);
    [r, g, b, alpha]
}

#[inline(always)]
fn straight([r, g, b, alpha]: Pixel) -> Pixel {
    if alpha > 0.0 { [r, g, b, alpha.min(1.0)] } else { [0.0; 4] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every half-float there is as color and as alpha, each bit the same.
    #[test]
    fn vectors_and_plain_loops_make_the_same_bits() {
        let halves: Vec<[f16; 4]> =
            (0..=u16::MAX)
                .map(|bits| [bits, bits.rotate_left(5), bits ^ 0x5555, bits.rotate_left(9)])
                .chain((0..=0x3C00).map(|bits| [bits, 0x3C00 - bits, bits / 2, 0x3C00 - bits]))
                // Stretches without alpha, of every length.
                .chain((0..2048).map(|at: u16| {
                    [at, at * 3, at * 7, u16::from((at / 5).is_multiple_of(3)) * at]
                }))
                .map(|pixel| pixel.map(f16::from_bits))
                .collect();
        for transfer in [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg] {
            for alpha in [AlphaMode::Premultiplied, AlphaMode::Straight] {
                for pixels in [&halves[..], &halves[..255], &halves[70_000..70_001]] {
                    let (mut found, mut plain) =
                        (vec![[9.0; 4]; pixels.len()], vec![[9.0; 4]; pixels.len()]);
                    read(pixels, transfer, alpha, &mut found);
                    read_plainly(pixels, transfer, alpha, &mut plain);
                    let bits = |pixel: &Pixel| pixel.map(f32::to_bits);
                    for (at, (found, plain)) in found.iter().zip(&plain).enumerate() {
                        assert_eq!(bits(found), bits(plain), "{transfer:?} {alpha:?} {at}");
                    }
                }
            }
        }
    }
}
