//! Whether a movie file is whole, as far as its container says how long it is.
//!
//! ffmpeg reads a file that is cut off as a shorter one: some of its readers say so, some do not, and its
//! versions differ. Transport and program streams (MPEG) say nowhere how long they are.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

/// What of a file is missing, in words; None where nothing is, or where its format does not say.
pub(super) fn missing(path: &Path) -> Result<Option<String>> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.seek(SeekFrom::End(0))?;
    let head: [u8; 12] = at(&mut file, 0)?;
    match &head {
        [0x89, b'P', b'N', b'G', ..] => of_png(&mut file, length),
        [0xff, 0xd8, 0xff, ..] => Ok(of_jpeg(&std::fs::read(path)?)),
        [b'G', b'I', b'F', b'8', ..] => Ok(of_gif(&std::fs::read(path)?)),
        [b'R', b'I', b'F', b'F', ..] => of_riff(&mut file, length),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => of_matroska(&mut file, length),
        [_, _, _, _, kind @ ..] if BOXES.iter().any(|known| kind.starts_with(*known)) => {
            of_boxes(&mut file, length)
        }
        _ => Ok(None),
    }
}

/// What movies of QuickTime and MP4 are made of; the ends of others are not looked at.
const BOXES: [&[u8; 4]; 8] =
    [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"pnot"];

/// The bytes at a place; zeros behind the end of the file.
fn at<const COUNT: usize>(file: &mut (impl Read + Seek), place: u64) -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    file.seek(SeekFrom::Start(place))?;
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let read = file.read(rest)?;
        if read == 0 {
            break;
        }
        rest = &mut rest[read..];
    }
    Ok(bytes)
}

fn cut(what: &str, end: u64, length: u64) -> Option<String> {
    (end > length).then(|| {
        format!("it is cut off: its {what} ends at byte {end}, but the file has {length} bytes")
    })
}

fn of_boxes(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let (mut place, mut has_index) = (0, false);
    while place + 8 <= length {
        let [a, b, c, d, kind @ ..] = at::<8>(file, place)?;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => length - place,
            1 => u64::from_be_bytes(at(file, place + 8)?),
            size => size.into(),
        };
        has_index |= [b"moov", b"moof"].contains(&&kind);
        let end = place.saturating_add(size);
        if BOXES.contains(&&kind)
            && let Some(words) = cut(&String::from_utf8_lossy(&kind), end, length)
        {
            return Ok(Some(words));
        }
        if size < 8 {
            break;
        }
        place = end;
    }
    let unfinished = "it has no index (moov), which is written last: it is cut off, or its recording was \
                      never finished";
    Ok((!has_index).then(|| unfinished.to_owned()))
}

/// AVI and WebP.
fn of_riff(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let [.., a, b, c, d, kind_0, kind_1, kind_2, kind_3] = at::<12>(file, 0)?;
    let end = 8 + u64::from(u32::from_le_bytes([a, b, c, d]));
    let kind = [kind_0, kind_1, kind_2, kind_3];
    if let Some(words) = cut("content (RIFF)", end, length) {
        return Ok(Some(words));
    }
    let mut place = 12;
    while kind == *b"WEBP" && place + 8 <= end {
        let [name @ .., a, b, c, d] = at::<8>(file, place)?;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let after = place + 8 + size;
        if !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') || after > end {
            return Ok(Some(format!(
                "it is damaged: what begins at byte {place} is no part of it"
            )));
        }
        place = after + size % 2;
    }
    Ok(None)
}

fn of_matroska(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
    let Some((size, digits)) = matroska_size(at(file, 4)?) else { return Ok(None) };
    let place = (4 + digits).saturating_add(size);
    // The segment's name and size follow.
    if let Some(words) = cut("header", place.saturating_add(12), length) {
        return Ok(Some(words));
    }
    if at::<4>(file, place)? != SEGMENT {
        return Ok(None);
    }
    let Some((size, digits)) = matroska_size(at(file, place + 4)?) else { return Ok(None) };
    // A size of ones alone is that of a file which is watched while it is written.
    let is_open = size == (1 << (7 * digits)) - 1;
    let end = (place + 4 + digits).saturating_add(size);
    Ok(if is_open { None } else { cut("segment", end, length) })
}

/// A size and how many bytes it takes, which its first bits say.
fn matroska_size(bytes: [u8; 8]) -> Option<(u64, u64)> {
    let digits = bytes[0].leading_zeros() + 1;
    (digits <= 8).then(|| {
        let value = u64::from_be_bytes(bytes) >> (64 - 8 * digits);
        (value & !(1 << (7 * digits)), digits.into())
    })
}

fn of_png(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let mut place = 8;
    while place + 12 <= length {
        let [a, b, c, d, kind @ ..] = at::<8>(file, place)?;
        let end = place + 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if let Some(words) = cut(&String::from_utf8_lossy(&kind), end, length) {
            return Ok(Some(words));
        }
        if &kind == b"IEND" {
            return Ok(None);
        }
        place = end;
    }
    Ok(Some("it is cut off: its last part (IEND) is missing".to_owned()))
}

/// The end of an image is a mark (EOI) that stands behind its parts, each with its length, and its scans,
/// in which no mark looks so; what follows is another file's.
fn of_jpeg(bytes: &[u8]) -> Option<String> {
    let walk = || -> Option<()> {
        let mut place = 2;
        loop {
            // Bytes of a scan, and what fills up, until a mark that is neither a stuffed byte nor a restart.
            let rest = bytes.get(place..)?;
            let is_mark =
                |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
            place += rest.windows(2).position(is_mark)? + 2;
            if bytes[place - 1] == 0xd9 {
                return Some(());
            }
            let length = bytes.get(place..place + 2)?;
            place += usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
    };
    walk().is_none().then(|| "it is cut off: its last mark (EOI) is missing".to_owned())
}

/// Pictures and remarks come in blocks of up to 255 bytes, each with its length, 0 being the last.
fn of_gif(bytes: &[u8]) -> Option<String> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let walk = || -> Option<bool> {
        let mut place = 13 + table(*bytes.get(10)?);
        loop {
            place += match bytes.get(place)? {
                0x2c => 11 + table(*bytes.get(place + 9)?),
                0x21 => 2,
                0x3b => return Some(true),
                _ => return Some(false),
            };
            loop {
                let size = usize::from(*bytes.get(place)?);
                place += 1 + size;
                if size == 0 {
                    break;
                }
            }
        }
    };
    match walk() {
        Some(true) => None,
        Some(false) => Some("it is damaged: one of its parts is none that a GIF has".to_owned()),
        None => Some("it is cut off: its last part is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        missing(&path).unwrap()
    }

    /// The smallest files that are whole by what is looked at here.
    fn small_ones() -> [Vec<u8>; 4] {
        let gif = [
            &b"GIF89a\x01\0\x01\0\x80\0\0"[..],
            &[0; 6],
            b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        ];
        let avi = b"RIFF\x08\0\0\0AVI list".to_vec();
        let webp = b"RIFF\x10\0\0\0WEBPVP8L\x03\0\0\0abc\0".to_vec();
        let boxes = b"\0\0\0\x0cftypqt  \0\0\0\x0cmdat1234\0\0\0\x08moov".to_vec();
        [gif.concat(), avi, webp, boxes]
    }

    /// Each file ends where its container says: a byte less is missed.
    #[test]
    fn what_is_cut_off_is_known_at_every_byte_and_what_is_whole_is_not_doubted() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
        let files =
            ["ffv1.mkv", "vp9.webm", "prores.mov", "hevc.mov", "opaque.mp4", "p3.jpg", "p3.webp"];
        let read = |name: &&str| std::fs::read(folder.join(name)).unwrap();
        for whole in files.iter().map(read).chain(small_ones()) {
            assert_eq!(of(&whole), None);
            let step = whole.len() / 40 + 1;
            for end in (13..whole.len()).step_by(step).chain([whole.len() - 1]) {
                let found = of(&whole[..end]);
                assert!(found.is_some(), "{end} of {} bytes of {:?}", whole.len(), &whole[..12]);
            }
        }
        // What phones put behind an image is none of its scans.
        let moving = [&read(&"p3.jpg")[..], b"a movie \xff\xda that moves"].concat();
        assert_eq!(of(&moving), None);
        assert_eq!(of(b"G\x40\0\x10 a transport stream"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn a_recording_that_was_not_finished_is_told() {
        let words = of(b"\0\0\0\x0cftypqt  \0\0\0\x0cmdat1234").unwrap();
        assert!(words.contains("no index (moov)"), "{words}");
        let words = of(b"RIFF\x14\0\0\0WEBPVP8L\x80\0\0\0abc\0abcd").unwrap();
        assert!(words.contains("no part of it"), "{words}");
    }
}
