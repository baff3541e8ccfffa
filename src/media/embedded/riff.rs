//! WebP: chunks of a RIFF file. XMP is one of them, and is put in where it is missing.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Result, ensure};

use super::{EmbeddedTexts, bytes, length};

/// `RIFF`, the length of what follows, and `WEBP`.
const FIRST: usize = 12;
/// Flags of the chunk VP8X: there is a packet; there is alpha.
const HAS_XMP: u8 = 0x04;
const HAS_ALPHA: u8 = 0x10;

pub(super) fn read(mut file: impl Read + Seek) -> Result<EmbeddedTexts> {
    let mut found = EmbeddedTexts::of_kind("a WebP image");
    let end = length(&mut file)?;
    let mut place = FIRST as u64;
    while place + 8 <= end {
        file.seek(SeekFrom::Start(place))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [kind @ .., a, b, c, d] = head;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        match &kind {
            b"XMP " => found.add_packet(&bytes(&mut file, size)?),
            b"ANIM" => found.kind = "an animated WebP",
            b"C2PA" => found.has_c2pa = true,
            _ => {}
        }
        place += 8 + size + size % 2;
    }
    Ok(found)
}

/// The chunks of a file: their kinds and what they hold.
pub(in crate::media) fn chunks(file: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    ensure!(
        file.get(..4) == Some(b"RIFF") && file.get(8..FIRST) == Some(b"WEBP"),
        "it is no WebP file"
    );
    let mut rest = &file[FIRST..];
    let mut found = Vec::new();
    while let Some((kind, size)) = rest.get(..4).zip(rest.get(4..8)) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        let end = 8 + size + size % 2;
        let Some(data) = rest.get(8..8 + size) else { break };
        found.push((kind, data));
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(found)
}

/// The file with this packet. Where pictures have alpha the file says so, though all that moves in it is
/// opaque, which its encoder takes for having none.
pub(in crate::media) fn with_xmp(
    file: &[u8],
    packet: &str,
    [width, height]: [usize; 2],
    has_alpha: bool,
) -> Result<Vec<u8>> {
    let chunks = chunks(file)?;
    let alpha = if has_alpha { HAS_ALPHA } else { 0 };
    let mut body: Vec<u8> = Vec::with_capacity(file.len() + packet.len() + 32);
    let mut add = |kind: &[u8], data: &[u8]| -> Result<()> {
        body.extend(kind);
        body.extend(u32::try_from(data.len())?.to_le_bytes());
        body.extend(data);
        body.extend(std::iter::repeat_n(0, data.len() % 2));
        Ok(())
    };
    if !chunks.iter().any(|(kind, _)| *kind == b"VP8X") {
        // A still picture: the long form begins with its size, less one, in 24 bits.
        let side = |pixels: usize| -> Result<[u8; 3]> {
            let [a, b, c, _] = u32::try_from(pixels.saturating_sub(1))?.to_le_bytes();
            Ok([a, b, c])
        };
        let sides = [side(width)?, side(height)?].concat();
        add(b"VP8X", &[&[HAS_XMP | alpha, 0, 0, 0][..], &sides].concat())?;
    }
    for (kind, data) in chunks.iter().filter(|(kind, _)| *kind != b"XMP ") {
        match (*kind, data) {
            (b"VP8X", [flags, rest @ ..]) => {
                add(b"VP8X", &[&[flags | HAS_XMP | alpha][..], rest].concat())?;
            }
            (kind, data) => add(kind, data)?,
        }
    }
    add(b"XMP ", packet.as_bytes())?;
    let mut whole = b"RIFF".to_vec();
    whole.extend(u32::try_from(body.len() + 4)?.to_le_bytes());
    whole.extend(b"WEBP");
    whole.extend(body);
    Ok(whole)
}
