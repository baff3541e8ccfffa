//! Tags of WebM and Matroska files.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Result, bail, ensure};

use super::{EmbeddedTexts, bytes, length};

const SEGMENT: u64 = 0x1853_8067;
const TRACKS: u64 = 0x1654_ae6b;
const TRACK: u64 = 0xae;
const VIDEO: u64 = 0xe0;
const ALPHA_MODE: u64 = 0x53c0;
const CLUSTER: u64 = 0x1f43_b675;
const TAGS: u64 = 0x1254_c367;
const TAG: u64 = 0x7373;
const SIMPLE_TAG: u64 = 0x67c8;
const TAG_NAME: u64 = 0x45a3;
const TAG_STRING: u64 = 0x4487;

pub(super) fn read(mut file: impl Read + Seek) -> Result<EmbeddedTexts> {
    let mut found = EmbeddedTexts::of_kind("a WebM or Matroska movie");
    let end = length(&mut file)?;
    let mut name = String::new();
    within(&mut file, (0, end), &mut name, &mut found)?;
    Ok(found)
}

/// Whether a track says that its pictures have alpha, in pictures of their own; in an element that no tag can
/// stand for.
pub(super) fn has_alpha_mode(mut file: impl Read + Seek) -> Result<bool> {
    let end = length(&mut file)?;
    alpha_mode_within(&mut file, (0, end))
}

fn alpha_mode_within(file: &mut (impl Read + Seek), (mut place, end): (u64, u64)) -> Result<bool> {
    while place < end {
        file.seek(SeekFrom::Start(place))?;
        let (id, id_length) = number(file, false)?;
        let (size, size_length) = number(file, true)?;
        let start = place + id_length + size_length;
        let last = start.saturating_add(size).min(end);
        let found = match id {
            SEGMENT | TRACKS | TRACK | VIDEO => alpha_mode_within(file, (start, last))?,
            ALPHA_MODE => bytes(file, last - start)?.iter().any(|byte| *byte != 0),
            // Tracks stand before pictures.
            CLUSTER => break,
            _ => false,
        };
        if found {
            return Ok(true);
        }
        place = last;
    }
    Ok(false)
}

/// Elements from one place to another. `name` is that of the tag whose text is still to come.
fn within(
    file: &mut (impl Read + Seek),
    (mut place, end): (u64, u64),
    name: &mut String,
    found: &mut EmbeddedTexts,
) -> Result<()> {
    while place < end {
        file.seek(SeekFrom::Start(place))?;
        let (id, id_length) = number(file, false)?;
        let (size, size_length) = number(file, true)?;
        let start = place + id_length + size_length;
        // A size of ones alone is not known yet: what is written while it is watched.
        let is_open = size == (1 << (7 * size_length)) - 1;
        let last = if is_open { end } else { start.saturating_add(size) };
        ensure!(last <= end, "an element at byte {place} ends outside of what it lies in");
        match id {
            SEGMENT | TAGS | TAG | SIMPLE_TAG => within(file, (start, last), name, found)?,
            TAG_NAME => *name = text(file, last - start)?,
            TAG_STRING => {
                let words = text(file, last - start)?;
                found.texts.push((std::mem::take(name), words));
            }
            _ if is_open => return Ok(()),
            _ => {}
        }
        place = last;
    }
    Ok(())
}

fn text(file: &mut impl Read, length: u64) -> Result<String> {
    let text = String::from_utf8_lossy(&bytes(file, length)?).into_owned();
    Ok(text.trim_end_matches('\0').to_owned())
}

/// A number that says its own length, with its mark or without, and how many bytes it takes.
fn number(file: &mut impl Read, without_mark: bool) -> Result<(u64, u64)> {
    let first = bytes(file, 1)?[0];
    let length = u64::from(first.leading_zeros()) + 1;
    if length > 8 {
        bail!("it is damaged: no number begins with a byte 0");
    }
    let mark = 0x80u8 >> (length - 1);
    let mut value = u64::from(if without_mark { first & !mark } else { first });
    for byte in bytes(file, length - 1)? {
        value = value << 8 | u64::from(byte);
    }
    Ok((value, length))
}
