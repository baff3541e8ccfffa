//! What a network that is causal in time remembers between chunks of a film.

use tch::Tensor;

/// One place of memory in each layer that looks back in time, visited in the same order for every
/// chunk. Decoding a whole latent at once is decoding one chunk with an empty cache.
#[derive(Debug, Default)]
pub struct FeatureCache {
    slots: Vec<CachedFrames>,
    next: usize,
}

/// The memory of one layer.
#[derive(Debug, Default)]
pub(super) enum CachedFrames {
    /// Nothing has passed yet.
    #[default]
    Fresh,
    /// The first frame has passed, and left nothing that matters.
    Begun,
    /// The last one or two frames: `[b, 1…2, h, w, c]`.
    Frames(Tensor),
}

impl FeatureCache {
    /// Whether nothing has passed yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.slots.is_empty()
    }

    /// Begins a chunk: the first layer's slot comes next.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The slot of the layer that asks next.
    pub(super) fn slot(&mut self) -> &mut CachedFrames {
        let index = self.next;
        self.next += 1;
        if index == self.slots.len() {
            self.slots.push(CachedFrames::Fresh);
        }
        &mut self.slots[index]
    }
}
