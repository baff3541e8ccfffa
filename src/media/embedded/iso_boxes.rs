//! MOV and MP4: boxes within boxes. Packets lie in `moov/udta/XMP_` (MOV) or in a box of their own (MP4).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail, ensure};

use super::{EmbeddedTexts, bytes, length};

/// The boxes of kind `uuid` that hold a packet, and a C2PA manifest.
const XMP: [u8; 16] = *b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
const C2PA: [u8; 16] = *b"\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81";

/// Boxes within boxes are not followed deeper than this.
const DEEPEST: usize = 4;

/// Whether what stands after the first four bytes of a file is the kind of a box that files begin with.
pub(super) fn begins_a_file(kind: &[u8]) -> bool {
    [&b"ftyp"[..], b"moov", b"wide", b"mdat", b"free", b"skip"]
        .iter()
        .any(|one| kind.starts_with(one))
}

/// A box's kind, and where what it holds begins and ends.
struct BoxPlace {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

/// The box that begins at `place`; the box around it ends at `end`.
fn box_at(file: &mut (impl Read + Seek), place: u64, end: u64) -> Result<Option<BoxPlace>> {
    if place + 8 > end {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(place))?;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let [a, b, c, d, kind @ ..] = head;
    let (start, size) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (place + 8, end - place),
        1 => {
            let mut size = [0; 8];
            file.read_exact(&mut size)?;
            (place + 16, u64::from_be_bytes(size))
        }
        size => (place + 8, size.into()),
    };
    let last = place.saturating_add(size);
    ensure!(start <= last && last <= end, "a box at byte {place} ends outside of what it lies in");
    Ok(Some(BoxPlace { kind, start, end: last }))
}

pub(super) fn read(mut file: impl Read + Seek) -> Result<EmbeddedTexts> {
    let mut found = EmbeddedTexts::of_kind("a QuickTime or MP4 movie");
    let end = length(&mut file)?;
    within(&mut file, (0, end), DEEPEST, &mut found)?;
    Ok(found)
}

fn within(
    file: &mut (impl Read + Seek),
    (mut place, end): (u64, u64),
    deep: usize,
    found: &mut EmbeddedTexts,
) -> Result<()> {
    while let Some(one) = box_at(file, place, end)? {
        let BoxPlace { kind, start, end } = one;
        file.seek(SeekFrom::Start(start))?;
        match &kind {
            b"moov" | b"udta" if deep > 0 => within(file, (start, end), deep - 1, found)?,
            b"XMP_" => found.add_packet(&bytes(file, end - start)?),
            b"uuid" if end - start >= 16 => {
                let name = bytes(file, 16)?;
                found.has_c2pa |= name == C2PA;
                if name == XMP {
                    found.add_packet(&bytes(file, end - start - 16)?);
                }
            }
            _ => {}
        }
        place = end;
    }
    Ok(())
}

/// Puts a packet into a MOV file whose box `moov` is the last one, as it is where nobody asked for
/// another order: nothing that lies before it moves.
pub(in crate::media) fn add_xmp(file: &mut File, packet: &str) -> Result<()> {
    let end = length(file)?;
    let (mut place, mut last) = (0, None);
    while let Some(one) = box_at(file, place, end)? {
        last = Some((place, one.kind));
        place = one.end;
    }
    let Some((start, kind)) = last else { bail!("it has no boxes") };
    ensure!(&kind == b"moov", "its last box is no moov");
    file.seek(SeekFrom::Start(start + 8))?;
    let mut moov = Vec::new();
    file.read_to_end(&mut moov)?;
    let mut packet_box = boxed(b"XMP_", packet.as_bytes())?;
    let mut around = Vec::new();
    let mut rest = moov.as_slice();
    while let Some(size) = rest.get(..4) {
        let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize;
        let one = rest.get(..size).filter(|one| one.len() >= 8).context("its moov is damaged")?;
        rest = &rest[size..];
        if &one[4..8] != b"udta" {
            around.extend(one);
            continue;
        }
        // A list of QuickTime may end with a 0, behind which nothing is read.
        let held = one[8..].strip_suffix(&[0; 4]).unwrap_or(&one[8..]);
        packet_box = [held, &packet_box].concat();
    }
    around.extend(boxed(b"udta", &packet_box)?);
    file.seek(SeekFrom::Start(start))?;
    file.write_all(&boxed(b"moov", &around)?)?;
    file.flush()?;
    Ok(())
}

fn boxed(kind: &[u8; 4], data: &[u8]) -> Result<Vec<u8>> {
    let size = u32::try_from(data.len() + 8).context("a box of more than 4 GB")?;
    Ok([&size.to_be_bytes()[..], kind, data].concat())
}
