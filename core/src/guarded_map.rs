//! Files seen as memory, for who computes with what lies in them.
//!
//! Of a mapped file that somebody makes shorter, or that the disk cannot read, the system would end the
//! process. Here the pages that are lost become zeros ([`lost_pages`]), and [`GuardedMap::is_whole`] says
//! ever after that what was computed with them is worth nothing: whoever computes with a map asks it
//! before the result is used.
//!
//! On Linux alone; elsewhere there are no maps, and blocks are read into memory of their own.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod lost_pages;

#[cfg(target_os = "linux")]
pub(crate) use on_linux::GuardedMap;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::NoMap as GuardedMap;

#[cfg(target_os = "linux")]
mod on_linux {
    use std::fs::File;
    use std::sync::atomic::{AtomicBool, Ordering};

    use memmap2::{Advice, Mmap};
    use tch::{Device, Kind, Tensor};

    use super::lost_pages::{GuardedRange, page_bytes};
    use crate::Result;
    use crate::direct_read::read_exact_at;

    /// Bytes that are brought into memory at once: memory of the process is not taken or given back
    /// meanwhile.
    const PIECE: usize = 8 << 20;

    /// A whole file, mapped and guarded.
    #[derive(Debug)]
    pub(crate) struct GuardedMap {
        // Dropped first: what is no longer guarded is no longer looked at.
        range: GuardedRange,
        map: Mmap,
        file: File,
        /// Of each piece, whether its pages have been entered into the process's table once.
        entered: Vec<AtomicBool>,
    }

    impl GuardedMap {
        /// Whether this system has them.
        pub(crate) const ARE_THERE: bool = true;

        /// Of a file as it is now; nothing where the system maps or guards none.
        pub(crate) fn of(file: &File) -> Option<Self> {
            let file = file.try_clone().ok()?;
            // SAFETY: no reference to its bytes is made here, and what `tensor` gives is computed with by
            // libtorch alone, which takes whatever bytes there are for numbers. Who uses it asks afterwards
            // whether the file was left alone.
            let map = unsafe { Mmap::map(&file) }.ok()?;
            let range = GuardedRange::of(map.as_ptr() as usize, map.len())?;
            let entered = (0..map.len().div_ceil(PIECE)).map(|_| AtomicBool::new(false)).collect();
            Some(Self { range, map, file, entered })
        }

        /// Part of the file as uint8 `[bytes]` on the CPU; nothing where it ends before. The tensor does not
        /// keep the map: it may not be used after that is gone.
        pub(crate) fn tensor(&self, start: usize, bytes: usize) -> Result<Option<Tensor>> {
            if start.checked_add(bytes).is_none_or(|end| end > self.map.len()) {
                return Ok(None);
            }
            // SAFETY: the bytes lie within the map, which whoever asks keeps as long as the tensor; nothing
            // writes to a tensor of weights.
            let tensor = unsafe {
                let first = self.map.as_ptr().add(start);
                Tensor::f_from_blob(first, &[bytes as i64], &[1], Kind::Uint8, Device::Cpu)
            };
            Ok(Some(tensor?))
        }

        /// Has the system bring part of the file into memory, and waits until it is there. What is there
        /// already costs next to nothing.
        pub(crate) fn bring_in(&self, start: usize, bytes: usize) {
            let end = start.saturating_add(bytes).min(self.map.len());
            let mut scratch = Vec::new();
            for piece in start / PIECE..end.div_ceil(PIECE) {
                let from = start.max(piece * PIECE);
                let bytes = end.min((piece + 1) * PIECE) - from;
                let is_there = self.is_in_memory(from, bytes);
                if is_there && self.entered[piece].load(Ordering::Relaxed) {
                    continue;
                }
                if !is_there {
                    // Read as a file is, it comes at the disk's own rate, and by page faults it does not.
                    scratch.resize(bytes, 0);
                    if let Err(error) = read_exact_at(&self.file, &mut scratch, from as u64) {
                        log::debug!("a mapped file is not read ahead: {error}");
                        return;
                    }
                }
                // Systems before Linux 5.14 do not know it; then whoever computes has pages entered.
                if self.map.advise_range(Advice::PopulateRead, from, bytes).is_err() {
                    return;
                }
                self.entered[piece].store(true, Ordering::Relaxed);
            }
        }

        /// Whether the system has all pages of a part in memory; no where it does not tell.
        fn is_in_memory(&self, from: usize, bytes: usize) -> bool {
            let page = page_bytes();
            let first = from - from % page;
            let length = from + bytes - first;
            let mut pages = vec![0u8; length.div_ceil(page)];
            // SAFETY: the part lies within the map and begins with a page of it; for each of its pages there
            // is a byte, which the system writes to and nobody else has.
            let told = unsafe {
                let first = self.map.as_ptr().add(first).cast_mut().cast();
                libc::mincore(first, length, pages.as_mut_ptr())
            };
            told == 0 && pages.iter().all(|page| page & 1 == 1)
        }

        /// Whether no page that somebody wanted was lost since the file was mapped.
        pub(crate) fn is_whole(&self) -> bool {
            self.range.is_whole()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::convert::Infallible;
    use std::fs::File;

    use tch::Tensor;

    use crate::Result;

    /// There are none.
    #[derive(Debug)]
    pub(crate) struct NoMap(Infallible);

    impl NoMap {
        pub(crate) const ARE_THERE: bool = false;

        /// None on this system.
        pub(crate) fn of(_file: &File) -> Option<Self> {
            None
        }

        pub(crate) fn tensor(&self, _start: usize, _bytes: usize) -> Result<Option<Tensor>> {
            match self.0 {}
        }

        pub(crate) fn bring_in(&self, _start: usize, _bytes: usize) {
            match self.0 {}
        }

        pub(crate) fn is_whole(&self) -> bool {
            match self.0 {}
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Write;

    use tch::Kind;

    use super::*;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_is_memory_until_it_is_cut_off_and_then_zeros_and_no_longer_whole() {
        let bytes = vec![7u8; 1 << 20];
        let (file, other) = (file(&bytes), file(&bytes));
        let (map, beside) = (GuardedMap::of(&file).unwrap(), GuardedMap::of(&other).unwrap());
        assert!(map.tensor(1 << 19, (1 << 19) + 1).unwrap().is_none());
        let tensor = map.tensor(1 << 19, 1 << 19).unwrap().unwrap();
        map.bring_in(0, 1 << 20);
        assert_eq!(tensor.sum(Kind::Int64).int64_value(&[]), 7 << 19);
        assert!(map.is_whole());
        file.set_len((1 << 19) + 4096).unwrap();
        // Cut off while nobody looks, it is known when somebody does; from several threads at once too.
        assert!(map.is_whole());
        map.bring_in(0, 1 << 20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let part = map.tensor(1 << 19, 1 << 19).unwrap().unwrap();
                scope.spawn(move || assert_eq!(part.sum(Kind::Int64).int64_value(&[]), 7 << 12));
            }
        });
        assert!(!map.is_whole());
        assert!(beside.is_whole());
        // What the file is again does not come back.
        file.set_len(1 << 20).unwrap();
        assert!(!map.is_whole());
        drop(map);
        let again = GuardedMap::of(&file).unwrap();
        assert!(again.is_whole());
    }
}
