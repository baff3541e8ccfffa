//! Whether a movie file is whole, as far as its container says how long it is, and one movie.
//!
//! ffmpeg reads a file that is cut off as a shorter one: some of its readers say so, some do not, and its
//! versions differ. Of files that were put behind each other most of its readers take the first alone.
//! Program streams (MPEG) and bare streams of a codec say nowhere how long they are.

mod places;
mod simple;

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

use super::transport_stream::PacketLayout;
use places::{at, cut, damaged};

/// What of a file is missing, or would be left out, in words that say what to do; None where nothing is, or
/// where its format does not say.
pub(super) fn missing(path: &Path) -> Result<Option<String>> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.seek(SeekFrom::End(0))?;
    let joined = match &at::<4>(&mut file, 0)? {
        [0x1a, 0x45, 0xdf, 0xa3] => matroska_behind(&mut file, length)?,
        [0x89, b'P', b'N', b'G'] => png_behind(&mut file, length)?,
        [0x30, 0x26, 0xb2, 0x75] => simple::asf_behind(&mut file, length)?,
        [b'F', b'L', b'V', _] => simple::flv_behind(&mut file, length)?,
        _ => second_index(&mut file, length)?,
    };
    let cut =
        of_kind(path, &mut file, length)?.map(|words| format!("{words}; copy or write it again"));
    let joined = joined.map(|place| {
        format!(
            "it is several movies behind each other (the next begins at byte {place}), of which ffmpeg reads the \
             first alone: take them apart, and join them by ffmpeg (`ffmpeg -f concat -i LIST -c copy OUT`)"
        )
    });
    Ok(cut.or(joined))
}

fn of_kind(path: &Path, file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let head: [u8; 512] = at(file, 0)?;
    if let Some(layout) = PacketLayout::of(&head) {
        return Ok(simple::of_transport_stream(layout.length() as u64, length));
    }
    match &head {
        [0x89, b'P', b'N', b'G', ..] => of_png(file, length),
        [0xff, 0xd8, 0xff, ..] => Ok(of_jpeg(&std::fs::read(path)?)),
        [b'G', b'I', b'F', b'8', ..] => Ok(of_gif(&std::fs::read(path)?)),
        [b'R', b'I', b'F', b'F', ..] => of_riff(file, length),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => of_matroska(file, length),
        [_, _, _, _, kind @ ..] if BOXES.iter().any(|known| kind.starts_with(*known)) => {
            of_boxes(file, length)
        }
        _ => simple::missing(&head, file, length),
    }
}

/// What movies of QuickTime and MP4 are made of; the ends of others are not looked at.
const BOXES: [&[u8; 4]; 8] =
    [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"pnot"];

/// The boxes of a file, one after the other: kind, place and end.
fn boxes(file: &mut (impl Read + Seek), length: u64) -> Result<Vec<([u8; 4], u64, u64)>> {
    const MOST: usize = 1 << 20;
    let (mut place, mut boxes) = (0, Vec::new());
    while place + 8 <= length {
        let [a, b, c, d, kind @ ..] = at::<8>(file, place)?;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => length - place,
            1 => u64::from_be_bytes(at(file, place + 8)?),
            size => size.into(),
        };
        let end = place.saturating_add(size);
        boxes.push((kind, place, end));
        if size < 8 || boxes.len() == MOST {
            break;
        }
        place = end;
    }
    Ok(boxes)
}

/// Where the index of a second movie begins; fragments are parts of one.
fn second_index(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let [_, _, _, _, kind @ ..] = at::<8>(file, 0)?;
    if !BOXES.contains(&&kind) {
        return Ok(None);
    }
    let mut indices = boxes(file, length)?.into_iter().filter(|(kind, ..)| kind == b"moov");
    Ok(indices.nth(1).map(|(_, place, _)| place))
}

fn of_boxes(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let mut has_index = false;
    for (kind, _, end) in boxes(file, length)? {
        has_index |= [b"moov", b"moof"].contains(&&kind);
        if BOXES.contains(&&kind)
            && let Some(words) = cut(&String::from_utf8_lossy(&kind), end, length)
        {
            return Ok(Some(words));
        }
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
    // An AVI of more than a gigabyte goes on in further parts, which ffmpeg reads, as it does those behind it.
    let mut part = end + end % 2;
    while kind == *b"AVI " && part + 8 <= length {
        let [name @ .., a, b, c, d] = at::<8>(file, part)?;
        let end = part + 8 + u64::from(u32::from_le_bytes([a, b, c, d]));
        if name != *b"RIFF" {
            break;
        }
        if let Some(words) = cut("content (RIFF)", end, length) {
            return Ok(Some(words));
        }
        part = end + end % 2;
    }
    let mut place = 12;
    while kind == *b"WEBP" && place + 8 <= end {
        let [name @ .., a, b, c, d] = at::<8>(file, place)?;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let after = place + 8 + size;
        if !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') || after > end {
            return Ok(Some(damaged(place)));
        }
        place = after + size % 2;
    }
    Ok(None)
}

/// Where another file of the kind begins behind the end of the first.
fn matroska_behind(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let Some(end) = matroska_end(file)? else { return Ok(None) };
    let is_next = end < length && at::<4>(file, end)? == [0x1a, 0x45, 0xdf, 0xa3];
    Ok(is_next.then_some(end))
}

/// Where the segment of a file ends, as far as it says so.
fn matroska_end(file: &mut (impl Read + Seek)) -> Result<Option<u64>> {
    const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
    let Some((size, digits)) = matroska_size(at(file, 4)?) else { return Ok(None) };
    let place = (4 + digits).saturating_add(size);
    if at::<4>(file, place)? != SEGMENT {
        return Ok(None);
    }
    let Some((size, digits)) = matroska_size(at(file, place + 4)?) else { return Ok(None) };
    // A size of ones alone is that of a file which is watched while it is written.
    let is_open = size == (1 << (7 * digits)) - 1;
    Ok((!is_open).then(|| (place + 4 + digits).saturating_add(size)))
}

fn of_matroska(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let Some((size, digits)) = matroska_size(at(file, 4)?) else { return Ok(None) };
    // The segment's name and size follow.
    let header = (4 + digits).saturating_add(size).saturating_add(12);
    if let Some(words) = cut("header", header, length) {
        return Ok(Some(words));
    }
    Ok(matroska_end(file)?.and_then(|end| cut("segment", end, length)))
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
    Ok(png_end(file, length)?.err())
}

/// Where the last part of a file ends, or what of it is missing.
fn png_end(file: &mut (impl Read + Seek), length: u64) -> Result<std::result::Result<u64, String>> {
    let mut place = 8;
    while place + 12 <= length {
        let [a, b, c, d, kind @ ..] = at::<8>(file, place)?;
        let end = place + 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if let Some(words) = cut(&String::from_utf8_lossy(&kind), end, length) {
            return Ok(Err(words));
        }
        if &kind == b"IEND" {
            return Ok(Ok(end));
        }
        place = end;
    }
    Ok(Err("it is cut off: its last part (IEND) is missing".to_owned()))
}

/// Where a second file begins behind the end of the first.
fn png_behind(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let Ok(end) = png_end(file, length)? else { return Ok(None) };
    Ok((at::<4>(file, end)? == [0x89, b'P', b'N', b'G']).then_some(end))
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
                // The images of a movie of nothing but such follow each other.
                if bytes.get(place..)?.starts_with(&[0xff, 0xd8, 0xff]) {
                    place += 2;
                    continue;
                }
                return Some(());
            }
            let length = bytes.get(place..place + 2)?;
            place += usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
    };
    walk().is_none().then(|| "it is cut off: its last mark (EOI) is missing".to_owned())
}

/// Pictures and remarks come in blocks of up to 255 bytes, each with its length, 0 being the last. Files behind
/// each other are read as one.
fn of_gif(bytes: &[u8]) -> Option<String> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let walk = || -> Option<bool> {
        let mut place = 13 + table(*bytes.get(10)?);
        loop {
            place += match bytes.get(place)? {
                0x2c => 11 + table(*bytes.get(place + 9)?),
                0x21 => 2,
                0x3b if bytes[place + 1..].starts_with(b"GIF8") => {
                    place += 14 + table(*bytes.get(place + 11)?);
                    continue;
                }
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
        let images = [read(&"p3.jpg"), read(&"p3.jpg")].concat();
        assert_eq!(of(&images), None);
        assert!(of(&images[..images.len() - 1]).unwrap().contains("(EOI) is missing"));
        assert_eq!(of(b"\0\0\x01\xba a program stream, which says nowhere how long it is"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn movies_behind_each_other_are_told_and_parts_of_one_are_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
        let files = ["ffv1.mkv", "vp9.webm", "prores.mov", "opaque.mp4"];
        let files = files.map(|name| std::fs::read(folder.join(name)).unwrap());
        let avi = b"RIFF\x08\0\0\0AVI list".to_vec();
        let png = std::fs::read(folder.join("animated.png")).unwrap();
        let flv = b"FLV\x01\x01\0\0\0\x09\0\0\0\0\x09\0\0\x02\0\0\0\0\0\0\0xx\0\0\0\x0d".to_vec();
        for one in files.iter().chain([&png, &flv]) {
            let words = of(&[&one[..], one].concat()).unwrap();
            assert!(words.contains("several movies behind each other"), "{words}");
            assert!(words.contains("begins at byte "), "{words}");
        }
        // ffmpeg reads these on.
        let [gif, ..] = small_ones();
        for one in [&gif, &avi] {
            assert_eq!(of(&[&one[..], one].concat()), None);
        }
        assert!(of(&[&gif[..], &gif[..20]].concat()).unwrap().contains("is cut off"));
        let parts = [&avi[..], b"RIFF\x08\0\0\0AVIXmore"].concat();
        assert_eq!(of(&parts), None);
        assert!(of(&parts[..parts.len() - 1]).unwrap().contains("is cut off"));
        let fragments =
            b"\0\0\0\x0cftypqt  \0\0\0\x08moov\0\0\0\x08moof\0\0\0\x08mdat\0\0\0\x08moof";
        assert_eq!(of(fragments), None);
    }

    #[test]
    fn a_recording_that_was_not_finished_is_told() {
        let words = of(b"\0\0\0\x0cftypqt  \0\0\0\x0cmdat1234").unwrap();
        assert!(words.contains("no index (moov)"), "{words}");
        let words = of(b"RIFF\x14\0\0\0WEBPVP8L\x80\0\0\0abc\0abcd").unwrap();
        assert!(words.contains("no part of it"), "{words}");
    }
}
