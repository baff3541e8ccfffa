//! Files that something has happened to: whatever is read of them, nothing crashes, hangs or takes all
//! memory. More of them by hand:
//!
//! `FUZZ_FILES=1000000 cargo test -p wan-alpha --bin wan-alpha media::fuzz -- --nocapture`
//!
//! The corpus is `tests/data/pictures` and three tables; every mutation is drawn from a seed, so that
//! a number names a file. Files that bring down somebody else's library are told to its authors and
//! not kept here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mask::MaskSequence;
use super::reading::PictureReading;
use super::rgba::RgbaSequence;
use super::sequence::is_image;

const FILES: u64 = 10_000;
const LONGEST: Duration = Duration::from_secs(5);
const MOST_MEMORY: u64 = 1 << 30;

const TABLES: [(&str, &str); 3] = [
    ("a.csv", "colour,alpha,caption,kind\n\"a, b.png\",m.png,\"A \"\"red\"\" ball\",still\nc,,,\n"),
    ("b.csv", "video_fgr,video_pha,prompt,frame_height,frame_width,num_frames\nf,p,x,104,60,21\n"),
    ("c.jsonl", "{\"colour\":\"a.mov\",\"labels\":{\"kind\":\"ball\"},\"captions\":[\"x\"]}\n"),
];

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
    let pictures = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pictures: Vec<PathBuf> = pictures.filter(|path| is_image(path)).collect();
    pictures.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = pictures.iter().map(|path| (name(path), std::fs::read(path).unwrap()));
    let tables = TABLES.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    files.chain(tables).collect()
}

/// SplitMix64: the same numbers on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

fn mutated(mut bytes: Vec<u8>, draw: &mut SplitMix) -> Vec<u8> {
    const NUMBERS: [u32; 10] =
        [0, 1, 0x7f, 0xff, 0xffff, 0x4000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000];
    let changes = if draw.bits().is_multiple_of(4) { 1 + draw.bits() % 6 } else { 1 };
    for _ in 0..changes {
        let at = draw.bits() as usize % bytes.len().max(1);
        match draw.bits() % 12 {
            0..6 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            6 | 7 => {
                let random = draw.bits() as u8;
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random);
            }
            8 | 9 => {
                let number = NUMBERS[draw.bits() as usize % NUMBERS.len()];
                let order = draw.bits().is_multiple_of(2);
                let number = if order { number.to_le_bytes() } else { number.to_be_bytes() };
                bytes.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = new);
            }
            10 => bytes.truncate(at.max(bytes.len() / 2)),
            _ => {
                let part: Vec<u8> = bytes.iter().skip(at).take(16).copied().collect();
                let to = draw.bits() as usize % bytes.len().max(1);
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

/// Else nearly every change of a PNG would be found by its checksums, and nothing behind them tried.
fn with_checksums(bytes: &mut [u8]) {
    let mut place = 8;
    while let Some(size) = bytes.get(place..place + 4) {
        let size = u32::from_be_bytes(size.try_into().unwrap()) as usize;
        let Some(chunk) = bytes.get(place + 4..place.saturating_add(8).saturating_add(size)) else {
            return;
        };
        let sum = checksum(chunk).to_be_bytes();
        let end = place + 8 + size;
        let Some(old) = bytes.get_mut(end..end + 4) else {
            return;
        };
        old.copy_from_slice(&sum);
        place = end + 4;
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        let sum = sum ^ u32::from(*byte);
        (0..8).fold(sum, |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// The most memory that this process has held, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[test]
fn nothing_that_happens_to_a_file_crashes_hangs_or_takes_all_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, before) = (corpus(), peak_memory());
    let (mut read, mut wrong) = (0, Vec::new());
    let files = std::env::var("FUZZ_FILES").map_or(FILES, |files| files.parse().unwrap());
    for number in 0..files {
        let mut draw = SplitMix(number << 32);
        let (name, bytes) = &corpus[number as usize % corpus.len()];
        let mut bytes = mutated(bytes.clone(), &mut draw);
        if name.ends_with("png") && !draw.bits().is_multiple_of(8) {
            with_checksums(&mut bytes);
        }
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let begun = Instant::now();
        let look = || {
            if !is_image(&path) {
                return crate::data::table::read(&path).is_ok();
            }
            let mask = MaskSequence::find(&path, None).and_then(|mask| mask.read()).is_ok();
            let clip = RgbaSequence::find(std::slice::from_ref(&path), &PictureReading::default());
            mask | clip.and_then(|mut clip| clip.read_next()).is_ok()
        };
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(good) => read += u64::from(good),
            Err(_) => wrong.push(format!("{number} ({name}) panics")),
        }
        if begun.elapsed() > LONGEST {
            wrong.push(format!("{number} ({name}) takes {:?}", begun.elapsed()));
        }
        std::fs::remove_file(&path).unwrap();
    }
    let memory = peak_memory().saturating_sub(before);
    println!("{files} files, {read} of them still readable; {} MB at most", memory >> 20);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(memory <= MOST_MEMORY, "{memory} bytes");
    // What is refused throughout tries nothing.
    assert!(read > files / 10, "only {read} are readable");
}
