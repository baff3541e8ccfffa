//! Frames that have been read and found whole, the latest used first, within a number of bytes.

use std::sync::Arc;

use half::f16;
use lru::LruCache;
use parking_lot::Mutex;

use super::folder::Identity;

/// Buffers of dropped frames that are kept for the next ones: fresh memory costs as much as
/// verifying does.
const SPARE: usize = 2;

/// Which frame of which file.
type FramePlace = (Identity, u32);

pub(super) type Pixels = Arc<Vec<f16>>;

#[derive(Debug)]
pub(super) struct FrameCache {
    most: usize,
    /// Whoever panics with it leaves whole entries behind.
    state: Mutex<CachedFrames>,
}

#[derive(Debug)]
struct CachedFrames {
    frames: LruCache<FramePlace, Pixels>,
    bytes: usize,
    spare: Vec<Vec<f16>>,
}

impl FrameCache {
    pub(super) fn new(most: usize) -> Self {
        let state = CachedFrames { frames: LruCache::unbounded(), bytes: 0, spare: Vec::new() };
        Self { most, state: Mutex::new(state) }
    }

    pub(super) fn get(&self, file: Identity, frame: u32) -> Option<Pixels> {
        self.state.lock().frames.get(&(file, frame)).cloned()
    }

    /// Memory for a frame of so many values; what it holds is arbitrary.
    pub(super) fn buffer(&self, values: usize) -> Vec<f16> {
        let mut state = self.state.lock();
        let fitting = state.spare.iter().position(|spare| spare.len() == values);
        match fitting {
            Some(at) => state.spare.swap_remove(at),
            None => {
                drop(state);
                // Zeros of integers come from the system as they are.
                bytemuck::allocation::cast_vec(vec![0_u16; values])
            }
        }
    }

    /// Keeps a verified frame, and lets go of those unused for longest.
    pub(super) fn put(&self, file: Identity, frame: u32, pixels: &Pixels) {
        let size = bytes_of(pixels);
        if size > self.most {
            return;
        }
        let mut state = self.state.lock();
        if let Some((_, replaced)) = state.frames.push((file, frame), pixels.clone()) {
            state.let_go(replaced);
        }
        state.bytes += size;
        while state.bytes > self.most {
            let Some((_, oldest)) = state.frames.pop_lru() else { break };
            state.let_go(oldest);
        }
    }
}

impl CachedFrames {
    fn let_go(&mut self, pixels: Pixels) {
        self.bytes -= bytes_of(&pixels);
        if let Ok(buffer) = Arc::try_unwrap(pixels) {
            self.spare.truncate(SPARE - 1);
            self.spare.insert(0, buffer);
        }
    }
}

fn bytes_of(pixels: &Pixels) -> usize {
    pixels.len() * size_of::<f16>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Identity {
        Identity::of(&std::fs::metadata(env!("CARGO_MANIFEST_DIR")).unwrap())
    }

    fn frame(value: f32) -> Pixels {
        Arc::new(vec![f16::from_f32(value); 100])
    }

    fn held(cache: &FrameCache) -> Vec<u32> {
        (0..10).filter(|&at| cache.state.lock().frames.contains(&(file(), at))).collect()
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let cache = FrameCache::new(600);
        for at in 0..3 {
            cache.put(file(), at, &frame(0.0));
        }
        assert!(cache.get(file(), 0).is_some());
        cache.put(file(), 3, &frame(0.0));
        assert_eq!(held(&cache), [0, 2, 3]);
        assert_eq!(cache.state.lock().bytes, 600);
    }

    #[test]
    fn a_frame_put_twice_counts_once() {
        let cache = FrameCache::new(1000);
        for value in [1.0, 2.0] {
            cache.put(file(), 0, &frame(value));
        }
        assert_eq!(cache.state.lock().bytes, 200);
        assert_eq!(cache.get(file(), 0).unwrap()[0], f16::from_f32(2.0));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let cache = FrameCache::new(199);
        cache.put(file(), 0, &frame(0.0));
        assert_eq!((held(&cache).len(), cache.state.lock().bytes), (0, 0));
    }

    #[test]
    fn only_memory_that_nobody_holds_is_used_again() {
        let cache = FrameCache::new(200);
        let held = frame(1.0);
        cache.put(file(), 0, &held);
        cache.put(file(), 1, &frame(2.0));
        assert!(cache.state.lock().spare.is_empty());
        for at in 2..9 {
            cache.put(file(), at, &frame(3.0));
        }
        assert_eq!(cache.state.lock().spare.len(), SPARE);
        assert_eq!(cache.buffer(100).len(), 100);
        assert_eq!(cache.state.lock().spare.len(), SPARE - 1);
        assert_eq!(cache.buffer(7).len(), 7);
        assert_eq!(held[0], f16::from_f32(1.0));
    }
}
