//! Every kind of damage to a take's file: it is never shown, it is set aside and reported, and
//! the take can be made again.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::error::Aside;
use super::test_takes::{FRAMES, names, pixels, publish, store};
use super::{Damage, Store, StoreError};
use crate::key::TakeKey;

struct Bench {
    folder: TempDir,
    store: Store,
    key: TakeKey,
    path: PathBuf,
    whole: Vec<u8>,
}

impl Bench {
    /// A store with one take, never read through this handle: nothing is cached.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let take = publish(&store(folder.path()), 1);
        let (key, path) = (take.description().key, take.path().to_owned());
        let whole = fs::read(&path).unwrap();
        Self { store: store(folder.path()), folder, key, path, whole }
    }

    fn put(&self, bytes: &[u8]) {
        for name in names(self.folder.path()) {
            fs::remove_file(self.folder.path().join(name)).unwrap();
        }
        fs::write(&self.path, bytes).unwrap();
    }

    /// Looks the take up and reads all of it, as a host does.
    fn show(&self) -> Result<(), StoreError> {
        let mut found = Store::new([self.folder.path().to_owned()]).find(&self.key);
        let Some(take) = found.take else { return Err(found.problems.remove(0)) };
        for frame in 0..FRAMES {
            assert_eq!(*take.frame(frame)?, *pixels(1, frame), "a damaged frame was shown");
        }
        Ok(())
    }

    /// The file is not shown, is set aside as it is, and the take is made again.
    fn is_set_aside(&self, bytes: &[u8]) -> Damage {
        self.put(bytes);
        let error = self.show().unwrap_err();
        assert_eq!(error.code().as_str(), "store-damaged");
        let words = error.to_string();
        let StoreError::Damaged { path, damage, aside: Aside::Moved(moved) } = error else {
            panic!("{words}");
        };
        assert_eq!(path, self.path);
        assert!(words.contains("will be made again"), "{words}");
        assert!(moved.to_string_lossy().contains(".take.damaged-"));
        assert!(fs::read(moved).unwrap() == bytes);
        assert!(!self.path.exists());
        publish(&self.store, 1);
        self.show().unwrap();
        damage
    }
}

#[test]
fn truncated_anywhere() {
    let bench = Bench::new();
    let whole = bench.whole.len();
    let lengths = [0, 1, 7, 8, 31, 63, 64, 65, 300, 1000, 4095, 4096, 4097, 8191, 8192, whole - 1];
    for length in lengths {
        let damage = bench.is_set_aside(&bench.whole[..length]);
        match damage {
            Damage::NotATake => assert!(length < 8),
            Damage::Length { found, .. } => assert_eq!(found, length as u64),
            _ => panic!("{length}: {damage}"),
        }
    }
}

#[test]
fn longer_than_it_should_be() {
    let bench = Bench::new();
    let longer = [&bench.whole[..], &[0]].concat();
    let expected = bench.whole.len() as u64;
    assert_eq!(bench.is_set_aside(&longer), Damage::Length { expected, found: expected + 1 });
}

#[test]
fn foreign_files() {
    let bench = Bench::new();
    for foreign in [&b"\x89PNG\r\n\x1a\n and so on"[..], b"{}", &[0; 100_000]] {
        assert_eq!(bench.is_set_aside(foreign), Damage::NotATake);
    }
    // Mangled by a transfer as text.
    let mangled: Vec<u8> = bench.whole.iter().copied().filter(|&byte| byte != b'\r').collect();
    assert_eq!(bench.is_set_aside(&mangled), Damage::NotATake);
}

#[test]
fn a_newer_form() {
    let bench = Bench::new();
    let mut newer = bench.whole.clone();
    newer[8] = 2;
    assert_eq!(bench.is_set_aside(&newer), Damage::Newer { version: 2 });
}

#[test]
fn another_take_under_this_name() {
    let bench = Bench::new();
    let other = publish(&bench.store, 2);
    let bytes = fs::read(other.path()).unwrap();
    let found = other.description().key.to_string();
    assert_eq!(bench.is_set_aside(&bytes), Damage::OtherTake { found });
}

/// Huge lengths in a header are refused before memory is asked for.
#[test]
fn boastful_headers() {
    let bench = Bench::new();
    for at in [12, 16, 24] {
        let mut boastful = bench.whole.clone();
        boastful[at..at + 4].fill(0xff);
        assert_eq!(bench.is_set_aside(&boastful), Damage::Header);
    }
}

/// A header that is whole and that this version does not understand is another version's, not
/// damaged: its file stays.
#[test]
fn another_versions_request_is_left_alone() {
    let bench = Bench::new();
    let mut header = super::header::Header::new(super::test_takes::seeded(1, 5, 32, 16)).unwrap();
    header.checksums = vec![[0; 8]; 5];
    let mut bytes = header.encode();
    let at = bytes.windows(11).position(|window| window == b"\"version\":1").unwrap();
    bytes[at + 10] = b'9';
    reseal(&mut bytes);
    bench.put(&[&bytes[..], &bench.whole[bytes.len()..]].concat());
    let error = bench.show().unwrap_err();
    assert_eq!(error.code().as_str(), "other-version");
    assert!(bench.path.exists(), "{error}");
}

/// A contradiction under a good checksum: somebody's program is wrong.
#[test]
fn a_key_that_is_not_that_of_the_request() {
    let bench = Bench::new();
    let mut bytes = bench.whole.clone();
    let at = bytes.windows(8).position(|window| window == b"\"seed\":1").unwrap();
    bytes[at + 7] = b'4';
    reseal(&mut bytes[..4096]);
    let damage = bench.is_set_aside(&bytes);
    assert!(damage.to_string().contains("the key of its request is"), "{damage}");
}

/// The checksum of a header of this form, made again.
fn reseal(header: &mut [u8]) {
    header[32..64].fill(0);
    let hash = blake3::hash(header);
    header[32..64].copy_from_slice(hash.as_bytes());
}

#[test]
fn every_damaged_frame_is_named_by_verifying() {
    let bench = Bench::new();
    let mut bytes = bench.whole.clone();
    let frame = pixels(1, 0).len() * 2;
    for at in [1, 4] {
        bytes[4096 + at * frame + 17] ^= 4;
    }
    bench.put(&bytes);
    let take = bench.store.find(&bench.key).take.unwrap();
    let mut seen = 0;
    assert_eq!(take.verify(|frames| seen = frames).unwrap(), [1, 4]);
    assert_eq!(seen, FRAMES);
    assert!(bench.path.exists());
    let words = take.set_aside(1).to_string();
    assert!(words.contains("its frame 1 does not match its checksum"), "{words}");
    assert!(!bench.path.exists());
    // Said again by another frame, it is no news; what has been made again stays.
    let again = publish(&bench.store, 1);
    let words = take.frame(4).unwrap_err().to_string();
    assert!(words.contains("it is gone already"), "{words}");
    assert_eq!(again.verify(|_| ()).unwrap(), [0_u32; 0]);
    bench.show().unwrap();
}

#[test]
fn truncated_while_it_is_open() {
    let bench = Bench::new();
    let take = bench.store.find(&bench.key).take.unwrap();
    fs::File::options().write(true).open(&bench.path).unwrap().set_len(5000).unwrap();
    let error = take.frame(0).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { damage: Damage::Frame { frame: 0 }, .. }));
}

#[test]
fn a_damaged_take_gives_way_to_the_next_folder() {
    let bench = Bench::new();
    let second = tempfile::tempdir().unwrap();
    publish(&store(second.path()), 1);
    let mut bytes = bench.whole.clone();
    bytes[100] ^= 1;
    bench.put(&bytes);
    let both = Store::new([bench.folder.path().to_owned(), second.path().to_owned()]);
    let found = both.find(&bench.key);
    assert!(found.take.unwrap().path().starts_with(second.path()));
    assert_eq!(found.problems.len(), 1);
}

#[test]
fn a_damaged_take_gives_way_to_one_being_published() {
    let bench = Bench::new();
    let writer = super::test_takes::written(&bench.store, 1);
    let mut bytes = bench.whole.clone();
    bytes[100] ^= 1;
    fs::write(&bench.path, bytes).unwrap();
    assert!(writer.publish().unwrap().first);
    bench.show().unwrap();
}

/// A folder is in the way, which cannot be opened as a file.
#[test]
fn a_folder_of_that_name() {
    let bench = Bench::new();
    fs::remove_file(&bench.path).unwrap();
    fs::create_dir(&bench.path).unwrap();
    let found = bench.store.find(&bench.key);
    assert!(found.take.is_none() && found.problems.len() == 1);
    assert!(Path::new(&bench.path).is_dir());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// In the header every bit counts; after it, every bit of a frame.
    #[test]
    fn one_bit_flipped(at in prop_oneof![0..64_usize, 64..4096_usize, 4096..24_576_usize], bit in 0..8) {
        let bench = Bench::new();
        prop_assert_eq!(bench.whole.len(), 24_576);
        let mut flipped = bench.whole.clone();
        flipped[at] ^= 1_u8 << bit;
        let damage = bench.is_set_aside(&flipped);
        let expected = match at {
            0..8 => damage == Damage::NotATake,
            8..12 => matches!(damage, Damage::Newer { .. } | Damage::Header),
            12..20 => matches!(damage, Damage::Header | Damage::Length { .. }),
            20..4096 => damage == Damage::Header,
            _ => damage == Damage::Frame { frame: (at as u32 - 4096) / 4096 },
        };
        prop_assert!(expected, "{}: {}", at, damage);
    }

    #[test]
    fn garbage_after_the_magic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bench = Bench::new();
        bench.is_set_aside(&[&bench.whole[..8], &bytes].concat());
    }
}
