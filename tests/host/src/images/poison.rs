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

/// Whole numbers have no such value: colours far above an alpha that is almost nothing, another
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
    let mut bytes = Vec::with_capacity(width(bounds) * depth.pixel_bytes());
    for x in bounds[0]..bounds[2] {
        pixel(depth, x, y, &mut bytes);
    }
    bytes
}

/// Whether any of the pixels, or any component that can tell, is as it was.
fn is_untouched(depth: Depth, found: &[u8], x: i32, y: i32) -> bool {
    match depth {
        Depth::Float => found.chunks_exact(4).any(|c| c == FLOAT.to_ne_bytes()),
        Depth::Half => found.chunks_exact(2).any(|c| c == HALF.to_ne_bytes()),
        Depth::Byte | Depth::Short => {
            let mut before = Vec::with_capacity(8);
            pixel(depth, x, y, &mut before);
            found == before
        }
    }
}

/// A pixel and what is wrong with it.
pub(super) type Flaw = (i32, i32);

/// A pixel that the plug-in left as it was.
pub(super) fn unwritten(image: &Image) -> Option<Flaw> {
    find(image, is_untouched)
}

/// A pixel that is infinite or no number.
pub(super) fn not_finite(image: &Image) -> Option<Flaw> {
    if matches!(image.depth, Depth::Byte | Depth::Short) {
        return None;
    }
    find(image, |depth, found, _, _| {
        found.chunks_exact(depth.bytes()).any(|c| !depth.component(c).is_finite())
    })
}

fn find(image: &Image, is_flawed: impl Fn(Depth, &[u8], i32, i32) -> bool) -> Option<Flaw> {
    if width(image.bounds) == 0 || height(image.bounds) == 0 {
        return None;
    }
    let size = image.depth.pixel_bytes();
    let rows = image.bytes.chunks_exact(width(image.bounds) * size);
    for (y, row) in (image.bounds[1]..).zip(rows) {
        for (x, found) in (image.bounds[0]..).zip(row.chunks_exact(size)) {
            if is_flawed(image.depth, found, x, y) {
                return Some((x, y));
            }
        }
    }
    None
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
