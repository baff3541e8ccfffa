//! MPEG transport streams, whose packets are numbered from 0 to 15, each stream of them by itself.
//!
//! ffmpeg takes a jump of these numbers for damage, which it may be: packets that are lost. It may also be
//! the place where whole recordings, or the segments of a playlist, were joined. That shows: each begins
//! with the tables of its streams, and each of its frames with a packet that says so. Such a stream is sent
//! to ffmpeg numbered anew. Where a frame is not whole all the same, its decoder tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Result, Write};
use std::path::Path;

/// Bytes of a packet, without what some put before it.
const PACKET: usize = 188;
const SYNC: u8 = b'G';
/// Numbers of streams: the table of programs, and packets that only fill.
const PROGRAMS: u16 = 0;
const FILLING: u16 = 0x1fff;

/// How packets lie in a file: behind each other, or each behind a time of four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketLayout {
    /// Bytes before each packet.
    before: usize,
}

impl PacketLayout {
    /// That of a file with these first bytes; None if it is no transport stream.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        [0, 4].into_iter().map(|before| Self { before }).find(|layout| {
            let at = |packet: usize| head.get(layout.before + packet * layout.length());
            [0, 1].iter().all(|packet| at(*packet) == Some(&SYNC))
        })
    }

    /// Bytes of a packet with what is before it.
    pub(super) const fn length(self) -> usize {
        self.before + PACKET
    }
}

/// How the packets of a file follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Each has the number after the one before.
    Whole,
    /// It begins anew where a frame does, and the tables of a recording are before that.
    Joined,
    /// Some are missing.
    Gap,
    /// Parts have their movies in streams of other numbers, of which ffmpeg reads the first: in words.
    Moved(String),
}

/// What is known of a stream of packets so far.
#[derive(Debug, Default)]
struct PacketStream {
    /// The number of its last packet.
    number: u8,
    /// The places of its first and its last packet, counted in packets of the file.
    first: u64,
    last: u64,
    is_video: bool,
}

/// Reads all packets of a file and compares their numbers.
pub(super) fn continuity(path: &Path, layout: PacketLayout) -> Result<Continuity> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut streams: BTreeMap<u16, PacketStream> = BTreeMap::new();
    let (mut tables, mut found) = (None, Continuity::Whole);
    let mut bytes = vec![0; layout.length()];
    for place in 0.. {
        if !read_packet(&mut file, &mut bytes)? {
            break;
        }
        let packet = &bytes[layout.before..];
        if packet[0] != SYNC {
            // ffmpeg looks for the next one by itself.
            return Ok(Continuity::Gap);
        }
        let id = stream_of(packet);
        let number = packet[3] & 0xf;
        let stream =
            streams.entry(id).or_insert(PacketStream { first: place, ..PacketStream::default() });
        let expected = following(stream.number, packet);
        let is_first = stream.first == place;
        if !is_first && number != expected && !says_discontinuity(packet) && stream.is_video {
            let begins = packet[1] & 0x40 != 0 && tables.is_some_and(|tables| tables > stream.last);
            if !begins {
                return Ok(Continuity::Gap);
            }
            found = Continuity::Joined;
        }
        stream.number = number;
        stream.last = place;
        stream.is_video |= begins_video(packet);
        if id == PROGRAMS {
            tables = Some(place);
        }
    }
    streams.remove(&FILLING);
    Ok(moved(&streams).map_or(found, Continuity::Moved))
}

/// Whether movies follow each other under several numbers.
fn moved(streams: &BTreeMap<u16, PacketStream>) -> Option<String> {
    let mut movies: Vec<_> = streams.iter().filter(|(_, stream)| stream.is_video).collect();
    movies.sort_by_key(|(_, stream)| stream.first);
    let pair = movies.windows(2).find(|pair| pair[0].1.last < pair[1].1.first)?;
    Some(format!(
        "it is joined of parts that have their movies in streams of other numbers (PID {}, then PID {}), of which \
         ffmpeg reads the first alone: write each part by itself and join them then (`ffmpeg -i PART -map 0:V:0 \
         -c copy PART.ts`)",
        pair[0].0, pair[1].0
    ))
}

/// Fills a packet; false at the end of the file, and where the last one is cut off.
fn read_packet(file: &mut impl Read, bytes: &mut [u8]) -> Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn stream_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// The number that a packet has to have after one: packets without content have that of the last one.
const fn following(number: u8, packet: &[u8]) -> u8 {
    if packet[3] & 0x10 == 0 { number } else { (number + 1) & 0xf }
}

/// Whether a packet says itself that its number is none that follows.
const fn says_discontinuity(packet: &[u8]) -> bool {
    packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0
}

/// Whether the content of a packet begins as that of a movie does.
fn begins_video(packet: &[u8]) -> bool {
    const EXTENDED: u8 = 0xfd;
    if packet[1] & 0x40 == 0 || packet[3] & 0x10 == 0 {
        return false;
    }
    let skipped = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
    matches!(packet.get(4 + skipped..), Some([0, 0, 1, 0xe0..=0xef | EXTENDED, ..]))
}

/// Sends all packets of a file with numbers that follow each other, until nobody takes them any more.
pub(super) fn send(file: File, layout: PacketLayout, pipe: impl Write) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut pipe = BufWriter::with_capacity(1 << 16, pipe);
    let mut numbers: BTreeMap<u16, u8> = BTreeMap::new();
    let mut bytes = vec![0; layout.length()];
    while read_packet(&mut file, &mut bytes)? {
        let packet = &mut bytes[layout.before..];
        let (id, number) = (stream_of(packet), packet[3] & 0xf);
        let number = numbers.get(&id).map_or(number, |last| following(*last, packet));
        packet[3] = (packet[3] & 0xf0) | number;
        numbers.insert(id, number);
        pipe.write_all(&bytes)?;
    }
    pipe.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVIE: u16 = 256;

    /// A packet of a stream: its number, whether it begins a frame.
    fn packet(id: u16, number: u8, begins: bool) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        let mut bytes = vec![SYNC, high | if begins { 0x40 } else { 0 }, low, 0x10 | number];
        bytes.extend(if begins && id != PROGRAMS { [0, 0, 1, 0xe0] } else { [7; 4] });
        bytes.resize(PACKET, 0);
        bytes
    }

    /// A recording: its tables, and frames of two packets each.
    fn recording(id: u16, frames: u8) -> Vec<u8> {
        let frame =
            |at: u8| [packet(id, (2 * at) & 15, true), packet(id, (2 * at + 1) & 15, false)];
        let frames = (0..frames).flat_map(frame).flatten();
        packet(PROGRAMS, 0, true).into_iter().chain(frames).collect()
    }

    fn of(bytes: &[u8]) -> Continuity {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        continuity(file.path(), PacketLayout::of(bytes).unwrap()).unwrap()
    }

    #[test]
    fn joined_recordings_are_known_from_gaps_and_are_numbered_anew() {
        let one = recording(MOVIE, 11);
        assert_eq!(of(&one), Continuity::Whole);
        let joined = [&one[..], &one].concat();
        assert_eq!(of(&joined), Continuity::Joined);

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &joined).unwrap();
        let layout = PacketLayout::of(&joined).unwrap();
        let mut sent = Vec::new();
        send(File::open(file.path()).unwrap(), layout, &mut sent).unwrap();
        assert_eq!(sent.len(), joined.len());
        assert_eq!(of(&sent), Continuity::Whole);

        // A frame that begins anew without tables, one whose end is lost, one whose beginning is.
        let without_tables = [&one[..], &one[PACKET..]].concat();
        let without_end = [&one[..6 * PACKET], &one[7 * PACKET..]].concat();
        let without_beginning = [&one[..], &one[..PACKET], &one[2 * PACKET..]].concat();
        for gap in [without_tables, without_end, without_beginning] {
            assert_eq!(of(&gap), Continuity::Gap);
        }
        let Continuity::Moved(words) = of(&[one, recording(4113, 3)].concat()) else {
            panic!("the second part's frames would be missed");
        };
        assert!(words.contains("PID 256, then PID 4113"), "{words}");
    }

    #[test]
    fn packets_behind_times_are_known_too() {
        let timed: Vec<u8> = recording(MOVIE, 3)
            .chunks(PACKET)
            .flat_map(|packet| [&[0; 4], packet].concat())
            .collect();
        assert_eq!(PacketLayout::of(&timed).unwrap().length(), 192);
        assert_eq!(of(&[&timed[..], &timed].concat()), Continuity::Joined);
        assert_eq!(PacketLayout::of(b"G, which text may begin with"), None);
    }
}
