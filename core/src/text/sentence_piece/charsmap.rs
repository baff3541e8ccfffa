//! SentencePiece's map of characters, looked through before it is used: the crate that applies it trusts
//! the places that it names.
//!
//! It is a double array (Darts) over bytes: in each unit an offset, a label and whether a value follows,
//! and behind it the texts that values point into, each ended by a zero byte.

use super::ParsedModel;

/// Whether nothing in the map points out of it.
///
/// # Errors
/// Something does.
pub(super) fn check(map: &[u8]) -> ParsedModel<()> {
    let damaged = || "its map of characters is damaged".to_owned();
    let (length, rest) = map.split_at_checked(4).ok_or_else(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?) as usize;
    let (units, texts) = rest.split_at_checked(length / 4 * 4).ok_or_else(damaged)?;
    let texts = std::str::from_utf8(texts).map_err(|_| damaged())?;
    let units: Vec<usize> = units.chunks_exact(4).map(|unit| u32_of(unit) as usize).collect();
    let offset = |unit: usize| (unit >> 10) << ((unit & (1 << 9)) >> 6);
    let mut seen = vec![false; units.len()];
    let first = *units.first().ok_or_else(damaged)?;
    let mut open = vec![offset(first)];
    while let Some(place) = open.pop() {
        // Any byte may be asked for from here, and moves the low eight bits.
        if (place | 0xff) >= units.len() {
            return Err(damaged());
        }
        if std::mem::replace(&mut seen[place], true) {
            continue;
        }
        for byte in 1..=255 {
            let unit = units[place ^ byte];
            if unit & ((1 << 31) | 0xff) != byte {
                continue;
            }
            let next = place ^ byte ^ offset(unit);
            if (unit >> 8) & 1 == 1 {
                let value = units.get(next).ok_or_else(damaged)? & ((1 << 31) - 1);
                if !texts.is_char_boundary(value) {
                    return Err(damaged());
                }
            }
            open.push(next);
        }
    }
    Ok(())
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| (number << 8) | u32::from(byte))
}
