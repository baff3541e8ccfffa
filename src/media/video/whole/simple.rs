//! Formats that hold one frame, page or packet after the other: Y4M, IVF, Ogg, DV, ASF (WMV), and MPEG's
//! transport streams.
//!
//! Where such a file is cut off within a frame it shows; where it ends with one, only IVF, Ogg and ASF tell.

use std::collections::BTreeMap;
use std::io::{Read, Result, Seek};

use super::places::{at, cut, damaged};

/// What of a file with these first bytes is missing, in words.
pub(super) fn missing(
    head: &[u8],
    file: &mut (impl Read + Seek),
    length: u64,
) -> Result<Option<String>> {
    match head {
        [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', b'2', b' ', ..] => of_y4m(file, length),
        [b'D', b'K', b'I', b'F', ..] => of_ivf(file, length),
        [b'O', b'g', b'g', b'S', ..] => of_ogg(file, length),
        _ if head.starts_with(&ASF) => of_asf(file, length),
        // The head of a sequence of blocks; the next byte tells lines by a bit.
        [0x1f, 0x07, 0x00, lines, ..] if lines & 0x7f == 0x3f => Ok(of_dv(head, length)),
        _ => Ok(None),
    }
}

/// The last packet of a transport stream, of packets of `packet` bytes.
pub(super) fn of_transport_stream(packet: u64, length: u64) -> Option<String> {
    let rest = length % packet;
    (rest > 0).then(|| format!("it is cut off: its last packet has {rest} of {packet} bytes"))
}

/// Frames of a known size, each behind a line of its own.
fn of_y4m(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let Some(header) = line(file, 0)? else {
        return Ok(Some("it is cut off: the line that it begins with has no end".to_owned()));
    };
    let Some(size) = y4m_frame_size(&header) else { return Ok(None) };
    let mut place = header.len() as u64 + 1;
    for frame in 1.. {
        if place >= length {
            break;
        }
        let end = match line(file, place)? {
            Some(line) if line.starts_with(b"FRAME") => place + line.len() as u64 + 1 + size,
            None if length - place < LINE as u64 => place + b"FRAME\n".len() as u64 + size,
            _ => return Ok(Some(damaged(place))),
        };
        if let Some(words) = cut(&format!("frame {frame}"), end, length) {
            return Ok(Some(words));
        }
        place = end;
    }
    Ok(None)
}

/// The most bytes of a line of Y4M.
const LINE: usize = 256;

/// The line at a place, without its end; None where that is not near.
fn line(file: &mut (impl Read + Seek), place: u64) -> Result<Option<Vec<u8>>> {
    let bytes: [u8; LINE] = at(file, place)?;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    Ok(end.map(|end| bytes[..end].to_vec()))
}

/// Bytes of a frame by the header `YUV4MPEG2 W64 H48 F16:1 C420p10`; None of a layout that is not known.
fn y4m_frame_size(header: &[u8]) -> Option<u64> {
    const LARGEST: u64 = 1 << 20;
    let header = std::str::from_utf8(header).ok()?;
    let value = |name: char| header.split(' ').skip(1).find_map(|word| word.strip_prefix(name));
    let side = |name: char| value(name)?.parse().ok().filter(|side| (1..=LARGEST).contains(side));
    let (width, height) = (side('W')?, side('H')?);
    let layout = value('C').unwrap_or("420jpeg");
    let name = ["444alpha", "mono", "420", "411", "410", "422", "444"]
        .into_iter()
        .find(|name| layout.starts_with(name))?;
    let rest = &layout[name.len()..];
    let bits = rest.strip_prefix('p').unwrap_or(rest).parse::<u32>();
    let sample = match (bits, rest) {
        (Ok(bits), _) => u64::from(bits.div_ceil(8)),
        (Err(_), "" | "jpeg" | "mpeg2" | "paldv") => 1,
        _ => return None,
    };
    let color = |across: u64, down: u64| 2 * width.div_ceil(across) * height.div_ceil(down);
    let samples = width * height
        + match name {
            "mono" => 0,
            "420" => color(2, 2),
            "411" => color(4, 1),
            "410" => color(4, 4),
            "422" => color(2, 1),
            "444" => color(1, 1),
            _ => 3 * width * height,
        };
    Some(samples * sample)
}

/// The most frames that a second of a movie has.
const SHORTEST_FRAMES: u64 = 240;

/// Frames behind their lengths. The header says how many there are or, as ffmpeg writes it, how long they
/// are shown, in the units of their times.
fn of_ivf(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    let header: [u8; 28] = at(file, 0)?;
    let number = |place: usize| {
        let bytes = [0, 1, 2, 3].map(|byte| header[place + byte]);
        u64::from(u32::from_le_bytes(bytes))
    };
    let (rate, scale, claimed) = (number(16), number(20), number(24));
    let mut place = number(4) >> 16;
    let (mut frames, mut first, mut last) = (0u64, None, 0);
    while place < length {
        let [size @ .., _, _, _, _, _, _, _, _] = at::<12>(file, place)?;
        let end = place + 12 + u64::from(u32::from_le_bytes(size));
        frames += 1;
        if let Some(words) = cut(&format!("frame {frames}"), end, length) {
            return Ok(Some(words));
        }
        last = u64::from_le_bytes(at(file, place + 4)?);
        first.get_or_insert(last);
        place = end;
    }
    // Zero and ones alone are those of files that were never finished.
    if [0, u32::MAX.into()].contains(&claimed) || claimed <= frames {
        return Ok(None);
    }
    let span = last.saturating_sub(first.unwrap_or_default());
    let is_time = match frames {
        // No frame is shown for so short a time.
        0 | 1 => rate > SHORTEST_FRAMES * scale,
        // Within half a frame.
        _ => 2 * claimed * (frames - 1) < span.saturating_mul(2 * frames + 1),
    };
    Ok((!is_time)
        .then(|| format!("it is cut off: it says that it has {claimed} frames, and has {frames}")))
}

/// Pages of streams that lie among each other; the last one of each says that it is.
fn of_ogg(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    const HEADER: usize = 27;
    const FIRST: u8 = 2;
    const LAST: u8 = 4;
    let mut streams: BTreeMap<[u8; 4], OggStream> = BTreeMap::new();
    let mut place = 0;
    while place < length {
        let header: [u8; HEADER] = at(file, place)?;
        if !header.starts_with(b"OggS") {
            let is_begun = length - place < HEADER as u64 && header[0] == b'O';
            return Ok(Some(if is_begun {
                "it is cut off within the header of a page".to_owned()
            } else {
                damaged(place)
            }));
        }
        let parts: [u8; 255] = at(file, place + HEADER as u64)?;
        let parts = &parts[..usize::from(header[26])];
        let content = place + (HEADER + parts.len()) as u64;
        let end = content + parts.iter().map(|part| u64::from(*part)).sum::<u64>();
        if let Some(words) = cut("last page", end, length) {
            return Ok(Some(words));
        }
        let [flags, number] = [header[5], header[18]];
        let serial = [header[14], header[15], header[16], header[17]];
        let stream = streams.entry(serial).or_default();
        if flags & FIRST != 0 {
            let head: [u8; 8] = at(file, content)?;
            let is_movie = MOVIES_OF_OGG.iter().any(|magic| head.starts_with(magic));
            *stream =
                OggStream { is_movie, number: number.wrapping_sub(1), ..OggStream::default() };
        }
        if stream.is_movie && number != stream.number.wrapping_add(1) {
            return Ok(Some(format!("it is damaged: pages are missing before byte {place}")));
        }
        stream.number = number;
        stream.has_ended = flags & LAST != 0;
        place = end;
    }
    let is_open = streams.values().any(|stream| stream.is_movie && !stream.has_ended);
    Ok(is_open.then(|| {
        "it is cut off: the page that ends its movie is missing, or it was never finished"
            .to_owned()
    }))
}

/// How the first pages of movies begin: Theora, VP8, Dirac.
const MOVIES_OF_OGG: [&[u8]; 3] = [b"\x80theora", b"OVP80", b"BBCD"];

/// What has been seen of a stream of pages.
#[derive(Debug, Default)]
struct OggStream {
    is_movie: bool,
    /// The lowest byte of the number of its last page.
    number: u8,
    has_ended: bool,
}

/// How ASF files begin.
const ASF: [u8; 8] = [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11];

fn of_asf(file: &mut (impl Read + Seek), length: u64) -> Result<Option<String>> {
    Ok(asf_end(file, length)?.and_then(|end| cut("content", end, length)))
}

/// Where a second file begins behind the end of the first.
pub(super) fn asf_behind(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let Some(end) = asf_end(file, length)?.filter(|end| *end < length) else { return Ok(None) };
    Ok((at(file, end)? == ASF).then_some(end))
}

/// Where a file ends by its own word. It is made of objects, each with a name of 16 bytes and its size; one of
/// those in the header says it.
fn asf_end(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    const PROPERTIES: [u8; 16] = [
        0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9, 0xcf, 0x11, 0x8e, 0xe4, 0x00, 0xc0, 0x0c, 0x20, 0x53,
        0x65,
    ];
    // Where, in that object, the file's size and the kind of its source stand.
    const SIZE: u64 = 40;
    const SOURCE: u64 = 88;
    const LONGEST_HEADER: u64 = 1 << 20;
    let header = u64::from_le_bytes(at(file, 16)?).min(length).min(LONGEST_HEADER);
    let mut place = 30;
    while place + 24 <= header {
        if at::<16>(file, place)? == PROPERTIES {
            let size = u64::from_le_bytes(at(file, place + SIZE)?);
            // Who sends what it records does not know how long it will be.
            let is_sent = at::<1>(file, place + SOURCE)?[0] & 1 != 0;
            return Ok((!is_sent).then_some(size));
        }
        let size = u64::from_le_bytes(at(file, place + 16)?);
        place = place.saturating_add(size.max(24));
    }
    Ok(None)
}

/// Where a second FLV file begins behind the tags of the first, each of which has its size.
pub(super) fn flv_behind(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let mut place = u64::from(u32::from_be_bytes(at(file, 5)?)).max(9) + 4;
    while place + 11 <= length {
        let [kind, size @ .., _, _, _, _, _, _, _] = at::<11>(file, place)?;
        if [kind, size[0], size[1]] == *b"FLV" {
            return Ok(Some(place));
        }
        place += 15 + u64::from(u32::from_be_bytes([0, size[0], size[1], size[2]]));
    }
    Ok(None)
}

/// Frames of one size, by their lines and how many blocks a second they have.
fn of_dv(head: &[u8], length: u64) -> Option<String> {
    /// Where the kind of signal stands in the blocks that are about video.
    const SIGNAL: usize = 80 * 5 + 48 + 3;
    let lines = if head[3] & 0x80 == 0 { 120_000 } else { 144_000 };
    let rates = match head.get(SIGNAL).map(|byte| byte & 0x1f) {
        Some(0x04 | 0x18) => 2,
        Some(0x14) => 4,
        _ => 1,
    };
    let frame = lines * rates;
    let rest = length % frame;
    (rest > 0).then(|| format!("it is cut off: its last frame has {rest} of {frame} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8]) -> Option<String> {
        let mut head = bytes.to_vec();
        head.resize(512, 0);
        missing(&head, &mut Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    /// Whether a file is doubted when it ends at a place behind its header.
    #[track_caller]
    fn check_cuts(whole: &[u8], header: usize, is_told: impl Fn(usize) -> bool) {
        assert_eq!(of(whole), None);
        for end in header + 1..whole.len() {
            let found = of(&whole[..end]);
            assert_eq!(found.is_some(), is_told(end), "{end} of {} bytes: {found:?}", whole.len());
        }
    }

    #[test]
    fn y4m_ends_with_a_frame_of_its_size() {
        for (layout, size) in [
            ("", 6 * 3 + 2 * 3 * 2),
            (" C420paldv", 6 * 3 + 2 * 3 * 2),
            (" C422p10", 2 * (6 * 3 + 2 * 3 * 3)),
            (" C411", 6 * 3 + 2 * 2 * 3),
            (" C444", 3 * 6 * 3),
            (" C444alpha", 4 * 6 * 3),
            (" Cmono", 6 * 3),
            (" Cmono12", 2 * 6 * 3),
        ] {
            let header = format!("YUV4MPEG2 W6 H3 F16:1 Ip A1:1{layout}\n");
            let frame = [&b"FRAME\n"[..], &vec![b'\n'; size]].concat();
            let whole = [header.as_bytes(), &frame.repeat(3)].concat();
            check_cuts(&whole, header.len(), |end| {
                !(end - header.len()).is_multiple_of(frame.len())
            });
        }
        let other = b"YUV4MPEG2 W6 H3 F16:1 Cxyz\nFRAME\n123";
        assert_eq!(of(other), None);
        let damaged = b"YUV4MPEG2 W2 H1 F16:1 Cmono\nFRAME\n12YUV4MPEG2 W2 H1\n";
        assert!(of(damaged).unwrap().contains("no part of it"));
    }

    /// Frames of 5 bytes, 16 a second, each shown for so many units; the header says `claimed`.
    fn ivf(frames: u64, unit: u32, claimed: u32) -> Vec<u8> {
        let mut bytes = b"DKIF\0\0\x20\0VP90\x40\0\x30\0".to_vec();
        bytes.extend((16 * unit).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(claimed.to_le_bytes());
        bytes.extend([0; 4]);
        for frame in 0..frames {
            bytes.extend(5u32.to_le_bytes());
            bytes.extend((frame * u64::from(unit)).to_le_bytes());
            bytes.extend(b"frame");
        }
        bytes
    }

    #[test]
    fn ivf_has_as_many_frames_as_it_says_or_as_long_ones() {
        const HEADER: usize = 32;
        const FRAME: usize = 17;
        check_cuts(&ivf(6, 1, 6), HEADER, |_| true);
        // As ffmpeg writes what it has copied: of one frame it cannot be told which is meant.
        check_cuts(&ivf(6, 62, 372), HEADER, |end| end != HEADER + FRAME);
        check_cuts(&ivf(6, 1, 0), HEADER, |end| !(end - HEADER).is_multiple_of(FRAME));
        assert_eq!(of(&ivf(1, 62, 1)), None);
    }

    /// A page of a stream, and what it holds.
    fn page(flags: u8, number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"OggS\0".to_vec();
        bytes.push(flags);
        bytes.extend([0; 8]);
        bytes.extend([7, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 1, content.len() as u8]);
        bytes.extend(content);
        bytes
    }

    #[test]
    fn ogg_ends_with_the_page_that_says_so() {
        let one = [page(2, 0, b"\x80theora header"), page(0, 1, b"frames"), page(4, 2, b"more")];
        check_cuts(&one.concat(), 3, |_| true);
        let lost = [&one[0][..], &one[2]].concat();
        assert!(of(&lost).unwrap().contains("pages are missing before byte 42"), "{:?}", of(&lost));
        let chained = [one.concat(), one.concat()].concat();
        assert_eq!(of(&chained), None);
        // Sound may end as it likes.
        assert_eq!(of(&[page(2, 0, b"OpusHead"), page(0, 1, b"sound")].concat()), None);
    }

    #[test]
    fn asf_says_how_long_it_is() {
        let file = |is_sent: u8| {
            let mut bytes = vec![0; 200];
            bytes[..8].copy_from_slice(&ASF);
            bytes[16] = 180;
            // Another object of 24 bytes before the one that counts.
            bytes[46] = 24;
            let properties = 54;
            bytes[properties..properties + 16].copy_from_slice(&[
                0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9, 0xcf, 0x11, 0x8e, 0xe4, 0x00, 0xc0, 0x0c, 0x20,
                0x53, 0x65,
            ]);
            bytes[properties + 40] = 200;
            bytes[properties + 88] = is_sent;
            bytes
        };
        let mut cursor = Cursor::new([file(0), file(0)].concat());
        assert_eq!(asf_behind(&mut cursor, 400).unwrap(), Some(200));
        check_cuts(&file(0), 180, |_| true);
        check_cuts(&file(1), 180, |_| false);
    }

    #[test]
    fn dv_ends_with_a_frame() {
        for (lines, signal, frame) in [(0x3f, 0, 120_000), (0xbf, 0, 144_000), (0xbf, 4, 288_000)] {
            let mut whole = vec![0; 2 * frame];
            whole[..4].copy_from_slice(&[0x1f, 0x07, 0, lines]);
            whole[80 * 5 + 48 + 3] = signal;
            assert_eq!(of(&whole), None);
            assert_eq!(of(&whole[..frame]), None);
            let words = of(&whole[..frame + 80]).unwrap();
            assert!(words.contains(&format!("80 of {frame} bytes")), "{words}");
        }
        assert_eq!(of_transport_stream(188, 376), None);
        assert!(of_transport_stream(188, 400).unwrap().contains("24 of 188 bytes"));
    }
}
