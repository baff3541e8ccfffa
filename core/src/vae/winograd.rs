//! Convolutions of 3×3 in space with 4/9 of the multiplications, on the CPU and without gradients.
//!
//! Winograd's F(2×2, 3×3): four pixels that lie together are made of sixteen sums of the 4×4 pixels
//! around them, each multiplied by one matrix, Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The frames that a kernel
//! sees follow each other in memory, so that its taps in time are a longer row of the same matrix
//! product. Against float64 its results are as near as those of the plain convolution: sums are
//! shorter.
//!
//! Films are worked on in pieces whose sums stay in the processor's caches.

use tch::{Device, Kind, Tensor};

use crate::Result;

/// Sums of a piece, in numbers: 16 MiB.
const PIECE: i64 = 1 << 22;

/// With fewer channels the sums cost more than the multiplications that they save.
const MANY_CHANNELS: i64 = 64;

/// With fewer pixels it is not worth while to transform the kernels.
const MANY_PIXELS: i64 = 4096;

/// Whether it is faster here: `film` `[b, t + kt − 1, h, w, in]`, `weight` `[out, in, kt, kh, kw]`.
pub(super) fn is_faster(film: &Tensor, weight: &Tensor, bias: &Tensor) -> bool {
    let [seen, h, w] = [1, 2, 3].map(|axis| film.size()[axis].unsigned_abs());
    let [output, input, taps] = [0, 1, 2].map(|axis| weight.size()[axis].unsigned_abs());
    let shape = FilmShape { seen, size: [h, w], taps, input, output };
    film.device() == Device::Cpu
        && film.kind() == Kind::Float
        && weight.size()[3..] == [3, 3]
        && shape.is_worth_while()
        && ![film, weight, bias].iter().any(|tensor| tensor.requires_grad())
}

/// A film and a kernel of 3×3 in space, by their sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilmShape {
    /// Frames that the kernel sees, and the pixels of one: rows and columns.
    pub(super) seen: u64,
    pub(super) size: [u64; 2],
    /// Of the kernel in time.
    pub(super) taps: u64,
    pub(super) input: u64,
    pub(super) output: u64,
}

impl FilmShape {
    pub(super) fn is_worth_while(self) -> bool {
        let [h, w] = self.size;
        self.input.min(self.output) >= MANY_CHANNELS.unsigned_abs()
            && self.frames() * h * w >= MANY_PIXELS.unsigned_abs()
    }

    fn frames(self) -> u64 {
        self.seen + 1 - self.taps
    }

    /// Numbers of the transformed kernels.
    pub(super) fn transformed(self) -> u64 {
        16 * self.taps * self.input * self.output
    }

    /// Numbers while they are made: of the second of two axes, by four sums of a third of the first's each,
    /// with two of them halved.
    pub(super) fn while_transformed(self) -> u64 {
        let first = 4 * self.taps * self.input * self.output * 3;
        first + 8 * first / 3
    }

    /// Numbers of the result, rows and columns in pairs.
    pub(super) fn even(self) -> u64 {
        let [h, w] = self.size.map(|side| side.next_multiple_of(2));
        self.frames() * h * w * self.output
    }

    /// Numbers of the largest piece: what the tiles see and its sums, their products, and pixels.
    pub(super) fn of_a_piece(self) -> u64 {
        let Self { seen, taps: _, input, output, .. } = self;
        let [down, across] = self.size.map(|side| (side as i64 + 1) / 2);
        let longest = |count, room| spans(count, room).map(|span| span.count).max().unwrap_or(0);
        let room = self.room();
        let mut most = 0;
        for across in spans(across, room) {
            let down = longest(down, room / across.count).unsigned_abs();
            let across = across.count.unsigned_abs();
            let window = seen * (2 * down + 2) * (2 * across + 2) * input;
            let rows = 4 * seen * down * (2 * across + 2) * input;
            let sums = 16 * seen * down * across * input;
            let products = 16 * self.frames() * down * across * output;
            most = most.max(window + rows + sums).max(sums + products + products / 2);
        }
        most
    }

    /// Tiles of a piece: what lies in memory for it is read again with each of the sixteen matrices.
    fn room(self) -> i64 {
        PIECE.max(self.transformed() as i64) / (16 * self.seen * self.input) as i64
    }
}

/// A film convolved with a kernel of 3×3 in space, padded with zeros there and not in time.
///
/// `film`: `[b, t + kt − 1, h, w, in]`; `weight`: `[out, in, kt, 3, 3]`; `bias`: `[out]`. Returns
/// `[b, t, h, w, out]`.
pub(super) fn convolve(film: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (film_size, weight_size) = (film.size(), weight.size());
    let [clips, seen, h, w] = [0, 1, 2, 3].map(|axis| film_size[axis]);
    let [output, taps] = [0, 2].map(|axis| weight_size[axis]);
    let frames = seen - taps + 1;
    let kernels = Kernels { matrices: transformed(weight)?, bias, taps, frames };
    let large = [clips, frames, 2 * ((h + 1) / 2), 2 * ((w + 1) / 2), output];
    let y = Tensor::f_empty(large, (film.kind(), film.device()))?;
    for clip in 0..clips {
        kernels.convolve(&film.f_select(0, clip)?, &y.f_select(0, clip)?)?;
    }
    if (h % 2, w % 2) == (0, 0) {
        return Ok(y);
    }
    Ok(y.f_narrow(2, 0, h)?.f_narrow(3, 0, w)?.f_contiguous()?)
}

/// Some tiles of a row or column of them.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    count: i64,
}

/// All tiles, in spans of nearly one length of at most `longest`.
fn spans(tiles: i64, longest: i64) -> impl Iterator<Item = Span> {
    let longest = longest.clamp(1, tiles.max(1));
    let pieces = (tiles + longest - 1) / longest;
    (0..pieces).map(move |piece| {
        let [first, end] = [piece, piece + 1].map(|piece| piece * tiles / pieces);
        Span { first, count: end - first }
    })
}

/// The pixels that the tiles see, with zeros beyond the edges: `[seen, 2·down + 2, 2·across + 2, in]`.
fn window(film: &Tensor, down: Span, across: Span) -> Result<Tensor> {
    let side = |axis: i64, span: Span| {
        let (first, end) = (2 * span.first - 1, 2 * (span.first + span.count) + 1);
        let (from, to) = (first.max(0), end.min(film.size()[axis as usize]));
        (from, to - from, [from - first, end - to])
    };
    let (top, rows, beyond_rows) = side(1, down);
    let (left, columns, beyond_columns) = side(2, across);
    let inside = film.f_narrow(1, top, rows)?.f_narrow(2, left, columns)?;
    if (beyond_rows, beyond_columns) == ([0; 2], [0; 2]) {
        return Ok(inside);
    }
    let [[above, below], [before, after]] = [beyond_rows, beyond_columns];
    Ok(inside.f_constant_pad_nd([0, 0, before, after, above, below])?)
}

/// Bᵀ d B of each tile: `[seen, 2·down + 2, 2·across + 2, in]` → `[4, 4, down, across, seen, in]`,
/// by row and column of the sums.
fn sums(window: &Tensor) -> Result<Tensor> {
    let size = window.size();
    let (seen, down, across, input) = (size[0], size[1] / 2 - 1, size[2] / 2 - 1, size[3]);
    let like = (window.kind(), window.device());
    let rows = Tensor::f_empty([4, seen, down, 2 * across + 2, input], like)?;
    four_sums(window, 1, &rows)?;
    let sums = Tensor::f_empty([4, 4, down, across, seen, input], like)?;
    // [column, row, seen, down, across, in]
    four_sums(&rows, 3, &sums.f_permute([1, 0, 4, 2, 3, 5])?)?;
    Ok(sums)
}

/// d₀ − d₂, d₁ + d₂, d₂ − d₁, d₁ − d₃ of every four that follow each other on `axis`, from each
/// second one on, into the first axis of `to`.
fn four_sums(d: &Tensor, axis: i64, to: &Tensor) -> Result<()> {
    let count = d.size()[axis as usize] / 2 - 1;
    let each = |first: i64| d.f_slice(axis, first, first + 2 * count - 1, 2);
    let (d0, d1, d2, d3) = (each(0)?, each(1)?, each(2)?, each(3)?);
    let _ = d0.f_sub_out(&to.f_select(0, 0)?, &d2)?;
    let _ = d1.f_add_out(&to.f_select(0, 1)?, &d2)?;
    let _ = d2.f_sub_out(&to.f_select(0, 2)?, &d1)?;
    let _ = d1.f_sub_out(&to.f_select(0, 3)?, &d3)?;
    Ok(())
}

/// A convolution's kernels as matrices.
struct Kernels<'a> {
    /// A matrix for each of the 16 places of a tile: `[16, taps·in, out]`.
    matrices: Tensor,
    bias: &'a Tensor,
    taps: i64,
    frames: i64,
}

impl Kernels<'_> {
    /// One film `[seen, h, w, in]` into `y` `[frames, 2·⌈h/2⌉, 2·⌈w/2⌉, out]`.
    fn convolve(&self, film: &Tensor, y: &Tensor) -> Result<()> {
        let [seen, h, w, input] = film.size()[..] else { return Ok(()) };
        let (tiles_down, tiles_across) = ((h + 1) / 2, (w + 1) / 2);
        let sizes = [seen, h, w, self.taps, input, self.matrices.size()[2]];
        let [seen, h, w, taps, input, output] = sizes.map(i64::unsigned_abs);
        let room = FilmShape { seen, size: [h, w], taps, input, output }.room();
        for across in spans(tiles_across, room) {
            for down in spans(tiles_down, room / across.count) {
                let sums = sums(&window(film, down, across)?)?;
                let there = y
                    .f_narrow(1, 2 * down.first, 2 * down.count)?
                    .f_narrow(2, 2 * across.first, 2 * across.count)?
                    .f_unflatten(2, [across.count, 2])?
                    .f_unflatten(1, [down.count, 2])?;
                pixels(&self.multiply(&sums)?, &there)?;
            }
        }
        Ok(())
    }

    /// `[4, 4, down, across, seen, in]` → `[frames, 4, 4, down, across, out]`
    fn multiply(&self, sums: &Tensor) -> Result<Tensor> {
        let size = sums.size();
        let [down, across, seen, input] = [2, 3, 4, 5].map(|axis| size[axis]);
        let (tiles, output) = (down * across, self.matrices.size()[2]);
        let like = (sums.kind(), sums.device());
        let products = Tensor::f_empty([self.frames, 16, tiles, output], like)?;
        for frame in 0..self.frames {
            // The frames that this one sees, side by side.
            let rows = sums.f_as_strided(
                [16, tiles, self.taps * input],
                [tiles * seen * input, seen * input, 1],
                frame * input,
            )?;
            let _ = rows.f_bmm_out(&products.f_select(0, frame)?, &self.matrices)?;
        }
        let products = products.f_view([self.frames, 4, 4, down, across, output])?;
        // Aᵀ(·)A adds the one in this place to each of the four pixels once.
        let _ = products.f_select(1, 1)?.f_select(1, 1)?.f_add_(self.bias)?;
        Ok(products)
    }
}

/// Aᵀ m A: `[frames, 4, 4, down, across, out]` into `[frames, down, 2, across, 2, out]`.
fn pixels(products: &Tensor, to: &Tensor) -> Result<()> {
    let size = products.size();
    let [frames, _, _, down, across, output] = size[..] else { return Ok(()) };
    let like = (products.kind(), products.device());
    let columns = Tensor::f_empty([2, frames, 4, down, across, output], like)?;
    two_sums(products, 2, &columns)?;
    // [row, column, frames, down, across, out]
    two_sums(&columns, 2, &to.f_permute([2, 4, 0, 1, 3, 5])?)
}

/// m₀ + m₁ + m₂ and m₁ − m₂ − m₃ of the four on `axis`, into the first axis of `to`.
fn two_sums(m: &Tensor, axis: i64, to: &Tensor) -> Result<()> {
    let (m0, m1, m2, m3) =
        (m.f_select(axis, 0)?, m.f_select(axis, 1)?, m.f_select(axis, 2)?, m.f_select(axis, 3)?);
    let (even, odd) = (to.f_select(0, 0)?, to.f_select(0, 1)?);
    let _ = m1.f_add_out(&even, &m2)?.f_add_(&m0)?;
    let _ = m1.f_sub_out(&odd, &m2)?.f_sub_(&m3)?;
    Ok(())
}

/// G g Gᵀ of every kernel: `[out, in, kt, 3, 3]` → `[16, kt·in, out]`.
fn transformed(weight: &Tensor) -> Result<Tensor> {
    // g₀, (g₀ + g₁ + g₂)/2, (g₀ − g₁ + g₂)/2, g₂ of the last axis, as a first one.
    let four = |g: &Tensor| -> Result<Tensor> {
        let [g0, g1, g2] = [g.f_select(-1, 0)?, g.f_select(-1, 1)?, g.f_select(-1, 2)?];
        let (outer, middle) = (g0.f_add(&g2)?.f_mul_scalar(0.5)?, g1.f_mul_scalar(0.5)?);
        Ok(Tensor::f_stack(&[&g0, &outer.f_add(&middle)?, &outer.f_sub(&middle)?, &g2], 0)?)
    };
    let size = weight.size();
    let [output, input, taps] = [0, 1, 2].map(|axis| size[axis]);
    // [4 (rows), 4 (columns), out, in, kt]
    let both = four(&four(weight)?)?;
    Ok(both.f_permute([0, 1, 4, 3, 2])?.f_reshape([16, taps * input, output])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(film: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let x = film.permute([0, 4, 1, 2, 3]);
        let y = x.conv3d(weight, Some(bias), [1, 1, 1], [0, 1, 1], [1, 1, 1], 1);
        y.permute([0, 2, 3, 4, 1])
    }

    #[test]
    fn it_is_the_plain_convolution() {
        let options = (Kind::Double, Device::Cpu);
        // Even and odd sides, one tap and three, one piece and many.
        for (film, output, taps) in [
            ([1, 3, 8, 6, 5], 7, 3),
            ([1, 4, 7, 9, 5], 3, 3),
            ([1, 2, 1, 5, 4], 4, 1),
            ([1, 6, 121, 83, 48], 5, 3),
            ([3, 4, 9, 8, 6], 5, 3),
        ] {
            let film = crate::noise::unseeded(film, options);
            let weight = crate::noise::unseeded([output, film.size()[4], taps, 3, 3], options);
            let bias = crate::noise::unseeded([output], options);
            let y = convolve(&film, &weight, &bias).unwrap();
            let expected = plain(&film, &weight, &bias);
            assert_eq!((y.size(), y.is_contiguous()), (expected.size(), true));
            let off = (y - expected).abs().max().double_value(&[]);
            assert!(off < 1e-11, "{:?}: {off}", film.size());
        }
    }

    #[test]
    fn its_rounding_is_that_of_the_plain_convolution() {
        tch::manual_seed(3);
        let options = (Kind::Double, Device::Cpu);
        let film = crate::noise::unseeded([1, 4, 33, 64, 96], options);
        let weight = crate::noise::unseeded([96, 96, 3, 3, 3], options) / 51.0;
        let bias = crate::noise::unseeded([96], options);
        let expected = plain(&film, &weight, &bias);
        let [film, weight, bias] = [&film, &weight, &bias].map(|exact| exact.to_kind(Kind::Float));
        assert!(is_faster(&film, &weight, &bias));
        let off = |y: Tensor| (y - &expected).norm().double_value(&[]);
        let (here, there) =
            (off(convolve(&film, &weight, &bias).unwrap()), off(plain(&film, &weight, &bias)));
        assert!(here < 2.0 * there, "{here} beside {there}");
    }

    #[test]
    fn what_may_need_gradients_or_is_small_is_left_alone() {
        let options = (Kind::Float, Device::Cpu);
        let film = crate::noise::unseeded([1, 3, 64, 64, 64], options);
        let weight = crate::noise::unseeded([64, 64, 3, 3, 3], options);
        let bias = crate::noise::unseeded([64], options);
        assert!(is_faster(&film, &weight, &bias));
        assert!(!is_faster(&film.narrow(2, 0, 63), &weight, &bias));
        assert!(!is_faster(&film, &weight.narrow(1, 0, 32), &bias));
        assert!(!is_faster(&film, &weight.narrow(3, 0, 1), &bias));
        assert!(!is_faster(&film.to_kind(Kind::BFloat16), &weight, &bias));
        assert!(!is_faster(&film, &weight.set_requires_grad(true), &bias));
    }
}
