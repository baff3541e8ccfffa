//! What memory holds before the plug-in has written to it, such that a pixel that stays as it was
//! shows.

#![forbid(unsafe_code)]

use super::{Depth, Image, Rect, height, width};

pub(super) const GUARD_UNIT: u128 = u128::from_ne_bytes([
    0xc3, 0x5a, 0xa7, 0x1d, 0xe9, 0x36, 0x8b, 0x74, 0xd2, 0x4f, 0xb1, 0x68, 0x97, 0x2c, 0xf5, 0x0e,
]);

pub(super) fn guard_byte(at: usize) -> u8 {
    GUARD_UNIT.to_ne_bytes()[at % 16]
}

/// Numbers that are none, with a payload that no arithmetic makes.
const FLOAT: u32 = 0x7fa5_a5a5;
const HALF: u16 = 0x7da5;

/// Whole numbers have no such value: colors far above an alpha that is almost nothing, another
/// such pixel in every place.
fn noise(x: i32, y: i32) -> u64 {
    let mixed = (u64::from(x as u32) << 32 | u64::from(y as u32)) ^ 0x9e37_79b9_7f4a_7c15;
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn pixel(depth: Depth, x: i32, y: i32, into: &mut Vec<u8>) {
    match depth {
        Depth::Float => (0..4).for_each(|_| into.extend(FLOAT.to_ne_bytes())),
        Depth::Half => (0..4).for_each(|_| into.extend(HALF.to_ne_bytes())),
        Depth::Byte => {
            let noise = noise(x, y).to_ne_bytes();
            into.extend([0, 1, 2].map(|n| noise[n] | 0x80));
            into.push(1 + noise[3] % 7);
        }
        Depth::Short => {
            let noise = noise(x, y).to_ne_bytes();
            for n in [0, 2, 4] {
                into.extend((u16::from_ne_bytes([noise[n], noise[n + 1]]) | 0x8000).to_ne_bytes());
            }
            into.extend((1 + u16::from_ne_bytes([noise[6], noise[7]]) % 1021).to_ne_bytes());
        }
    }
}

pub(super) fn row(depth: Depth, bounds: Rect, y: i32) -> Vec<u8> {
    match depth {
        Depth::Float => FLOAT.to_ne_bytes().repeat(4 * width(bounds)),
        Depth::Half => HALF.to_ne_bytes().repeat(4 * width(bounds)),
        Depth::Byte | Depth::Short => {
            let mut bytes = Vec::with_capacity(width(bounds) * depth.pixel_bytes());
            (bounds[0]..bounds[2]).for_each(|x| pixel(depth, x, y, &mut bytes));
            bytes
        }
    }
}

/// What is wrong with a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It, or a component of it that can tell, is as it was before.
    Unwritten,
    /// It is infinite or no number.
    NotFinite,
}

fn flaw(depth: Depth, found: &[u8], x: i32, y: i32) -> Option<Flaw> {
    // Poison is no number, so that one look at the exponent clears almost every pixel.
    match depth {
        Depth::Float => {
            let words =
                || found.chunks_exact(4).map(|c| u32::from_ne_bytes([c[0], c[1], c[2], c[3]]));
            let special = words().any(|word| word & 0x7f80_0000 == 0x7f80_0000);
            let unwritten = special && words().any(|word| word == FLOAT);
            special.then_some(if unwritten { Flaw::Unwritten } else { Flaw::NotFinite })
        }
        Depth::Half => {
            let words = || found.chunks_exact(2).map(|c| u16::from_ne_bytes([c[0], c[1]]));
            let special = words().any(|word| word & 0x7c00 == 0x7c00);
            let unwritten = special && words().any(|word| word == HALF);
            special.then_some(if unwritten { Flaw::Unwritten } else { Flaw::NotFinite })
        }
        Depth::Byte | Depth::Short => {
            // The alpha of poison is almost nothing, and hardly ever that of a picture.
            let alpha = &found[3 * depth.bytes()..];
            if alpha.iter().all(|byte| *byte == 0) || (depth == Depth::Byte && alpha[0] > 7) {
                return None;
            }
            let mut before = Vec::with_capacity(8);
            pixel(depth, x, y, &mut before);
            (found == before).then_some(Flaw::Unwritten)
        }
    }
}

/// The first pixel that something is wrong with.
pub(super) fn first_flaw(image: &Image) -> Option<(i32, i32, Flaw)> {
    if width(image.bounds) == 0 || height(image.bounds) == 0 {
        return None;
    }
    let size = image.depth.pixel_bytes();
    let rows = image.bytes.chunks_exact(width(image.bounds) * size);
    (image.bounds[1]..).zip(rows).find_map(|(y, row)| {
        let pixels = (image.bounds[0]..).zip(row.chunks_exact(size));
        pixels.into_iter().find_map(|(x, found)| Some((x, y, flaw(image.depth, found, x, y)?)))
    })
}

/// Pixels of a row that are no longer as they were, given from where on it is looked at.
pub(super) fn first_touched(depth: Depth, found: &[u8], x: i32, y: i32) -> Option<i32> {
    let size = depth.pixel_bytes();
    let mut before = Vec::with_capacity(found.len());
    (x..).take(found.len() / size).for_each(|x| pixel(depth, x, y, &mut before));
    if before == found {
        return None;
    }
    let pairs = found.chunks_exact(size).zip(before.chunks_exact(size));
    (x..).zip(pairs).find(|(_, (found, before))| found != before).map(|(x, _)| x)
}
