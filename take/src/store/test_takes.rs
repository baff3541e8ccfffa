//! Small takes for tests: five frames of 32 × 16.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use half::f16;

use super::{Description, Store, Take, TakeWriter};
use crate::ellipse::Ellipse;
use crate::request::{TakeRequest, test_requests};

pub(super) const WIDTH: u32 = 32;
pub(super) const HEIGHT: u32 = 16;
pub(super) const FRAMES: u32 = 5;

pub(super) fn store(folder: &Path) -> Store {
    Store::new([folder.to_owned()])
}

pub(super) fn description(frames: u32, width: u32, height: u32) -> Description {
    seeded(3, frames, width, height)
}

pub(super) fn seeded(seed: u32, frames: u32, width: u32, height: u32) -> Description {
    let latent = frames as usize / 4 + 1;
    let (ellipse, mu) = (vec![Ellipse::default(); latent], vec![0.05; latent]);
    let request =
        TakeRequest { seed, frames, width, height, ellipse, mu, ..test_requests::request() };
    Description::new(&request, "cpu").unwrap()
}

/// What frame `frame` of the take of `seed` shows.
pub(super) fn pixels(seed: u32, frame: u32) -> Vec<f16> {
    let value = |at: u32| f16::from_f32(((at * 31 + frame * 7 + seed * 13) % 257) as f32 / 256.0);
    (0..WIDTH * HEIGHT * 4).map(value).collect()
}

/// A take of which every frame has been written.
pub(super) fn written(store: &Store, seed: u32) -> TakeWriter {
    let mut writer = store.create(seeded(seed, FRAMES, WIDTH, HEIGHT)).unwrap();
    for frame in 0..FRAMES {
        writer.frame(&pixels(seed, frame)).unwrap();
    }
    writer
}

pub(super) fn publish(store: &Store, seed: u32) -> Take {
    written(store, seed).publish().unwrap().take
}

pub(super) fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
