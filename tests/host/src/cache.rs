//! The host's own frames, in memory and, from one session to the next, on disk.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};

use crate::images::{Depth, Image, height, width};
use crate::node::Made;

type Key = [u8; 32];

/// Bytes of frames in memory; beyond it the oldest go.
const LIMIT: usize = 256 << 20;

#[derive(Default)]
struct Memory {
    frames: HashMap<Key, Image>,
    /// Keys of the frames, the oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Memory {
    fn keep(&mut self, key: Key, image: &Image) {
        self.bytes += image.bytes.len();
        match self.frames.insert(key, image.clone()) {
            Some(old) => self.bytes -= old.bytes.len(),
            None => self.order.push_back(key),
        }
        while self.bytes > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.frames.remove(&oldest);
            self.bytes -= gone.map_or(0, |image| image.bytes.len());
        }
    }
}

#[derive(Default)]
pub(crate) struct FrameCache {
    memory: Mutex<Memory>,
    folder: RwLock<Option<PathBuf>>,
}

impl FrameCache {
    pub(crate) fn keep_in(&self, folder: &Path) {
        *self.folder.write() = Some(folder.to_owned());
    }

    pub(crate) fn find(&self, key: &Key) -> Option<(Image, Made)> {
        if let Some(image) = self.memory.lock().frames.get(key) {
            return Some((image.clone(), Made::FromMemory));
        }
        let image = unpacked(&fs::read(self.file(key)?).ok()?)?;
        self.memory.lock().keep(*key, &image);
        Some((image, Made::FromDisk))
    }

    pub(crate) fn keep(&self, key: &Key, image: &Image) {
        self.memory.lock().keep(*key, image);
        if let Some(file) = self.file(key) {
            // A cache that cannot be written is no cache; hosts say nothing either.
            let _ = fs::write(file, packed(image));
        }
    }

    pub(crate) fn clear_memory(&self) {
        *self.memory.lock() = Memory::default();
    }

    fn file(&self, key: &Key) -> Option<PathBuf> {
        let name = blake3::Hash::from_bytes(*key).to_hex();
        self.folder.read().as_ref().map(|folder| folder.join(format!("{name}.frame")))
    }
}

/// Four sides, the depth, and the pixels.
fn packed(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + image.bytes.len());
    image.bounds.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
    let depth = Depth::ALL.iter().position(|depth| *depth == image.depth).unwrap_or_default();
    bytes.extend((depth as u32).to_le_bytes());
    bytes.extend(&image.bytes);
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Image> {
    let (head, pixels) = bytes.split_at_checked(20)?;
    let number = |nth: usize| {
        let bytes = head.get(4 * nth..4 * nth + 4)?;
        Some(i32::from_le_bytes(bytes.try_into().ok()?))
    };
    let bounds = [number(0)?, number(1)?, number(2)?, number(3)?];
    let depth = *Depth::ALL.get(usize::try_from(number(4)?).ok()?)?;
    let expected = width(bounds) * height(bounds) * depth.pixel_bytes();
    (pixels.len() == expected).then(|| Image { bounds, depth, bytes: pixels.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let image = Image::blank([0, 0, 2048, 2048], Depth::Float);
        let mut memory = Memory::default();
        for nth in 0..6 {
            memory.keep([nth; 32], &image);
        }
        assert!(memory.bytes <= LIMIT);
        assert!(!memory.frames.contains_key(&[1; 32]) && memory.frames.contains_key(&[2; 32]));
        memory.keep([2; 32], &image);
        assert_eq!((memory.frames.len(), memory.order.len()), (4, 4));
    }

    #[test]
    fn frames_survive_the_disk_and_damaged_ones_do_not() {
        let image = Image { bounds: [-1, 2, 1, 3], depth: Depth::Byte, bytes: (0..8).collect() };
        let mut bytes = packed(&image);
        assert_eq!(unpacked(&bytes), Some(image));
        bytes.pop();
        assert_eq!(unpacked(&bytes), None);
        assert_eq!(unpacked(&bytes[..7]), None);
    }
}
