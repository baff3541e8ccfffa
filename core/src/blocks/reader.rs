//! The thread that fills slots, and the way that bytes take into them.
#![allow(unsafe_code)]

use std::sync::Arc;

use parking_lot::Mutex;
use tch::Tensor;

use super::queue::{SlotQueue, ToFill};
use super::slab_source::SlabSource;
use crate::Result;
use crate::shim::{Event, Stream, copy_without_blocking, pinned};

/// Bytes that go to a card at once where they come from a file: a power of two, as libtorch takes for
/// pinned memory.
const RING_PIECE: usize = 64 << 20;
/// One is filled while the other is copied.
const RING_PIECES: usize = 2;

/// Fills the slots of a queue from a source, until it is told to end.
#[derive(Debug)]
pub(super) struct SlotReader {
    pub(super) source: Box<dyn SlabSource>,
    /// uint8 `[bytes]`, on the device
    pub(super) slots: Vec<Tensor>,
    /// Where the device is a card.
    pub(super) card: Option<CardCopies>,
}

impl SlotReader {
    pub(super) fn run(mut self, queue: &SlotQueue) {
        let _guard = tch::no_grad_guard();
        // However this ends, nobody waits for it any more.
        let _end = EndOf(queue);
        while let Some(given) = queue.to_fill() {
            let outcome = self.fill(given);
            queue.filled(given, outcome);
        }
        if let Some(card) = &self.card
            && let Err(error) = card.stream.synchronize()
        {
            log::warn!("copies to the card did not end: {error}");
        }
    }

    fn fill(&mut self, ToFill { slot, block, .. }: ToFill) -> Result<()> {
        let memory = &self.slots[slot];
        match &mut self.card {
            Some(card) => card.fill(&mut *self.source, block, slot, memory),
            None => self.source.read(block, 0, bytes_of(memory)),
        }
    }
}

struct EndOf<'a>(&'a SlotQueue);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Copies to a card in a stream of their own, beside what computes.
#[derive(Debug)]
pub(super) struct CardCopies {
    stream: Stream,
    events: Arc<SlotEvents>,
    /// Pinned memory, each with what is reached once it has been copied.
    ring: Vec<(Tensor, Event)>,
}

impl CardCopies {
    pub(super) fn new(device: tch::Device, events: Arc<SlotEvents>) -> Result<Self> {
        Ok(Self { stream: Stream::new(device, true)?, events, ring: Vec::new() })
    }

    fn fill(
        &mut self,
        source: &mut dyn SlabSource,
        block: usize,
        slot: usize,
        memory: &Tensor,
    ) -> Result<()> {
        self.events.wait_until_free(slot, &self.stream)?;
        if let Some(pinned) = source.pinned(block) {
            copy_without_blocking(memory, pinned, &self.stream)?;
        } else {
            self.by_ring(source, block, memory)?;
        }
        self.events.is_ready(slot, &self.stream)
    }

    fn by_ring(
        &mut self,
        source: &mut dyn SlabSource,
        block: usize,
        memory: &Tensor,
    ) -> Result<()> {
        while self.ring.len() < RING_PIECES {
            self.ring.push((pinned(RING_PIECE)?, Event::new()?));
        }
        let bytes = memory.numel();
        for (index, from) in (0..bytes).step_by(RING_PIECE).enumerate() {
            let (piece, copied) = &mut self.ring[index % RING_PIECES];
            copied.synchronize()?;
            let count = RING_PIECE.min(bytes - from);
            let piece = piece.f_narrow(0, 0, count as i64)?;
            source.read(block, from, bytes_of(&piece))?;
            let to = memory.f_narrow(0, from as i64, count as i64)?;
            copy_without_blocking(&to, &piece, &self.stream)?;
            copied.record(&self.stream)?;
        }
        Ok(())
    }
}

/// What tells stream and stream when a slot is filled and when it has been used.
#[derive(Debug)]
pub(super) struct SlotEvents {
    device: tch::Device,
    slots: Mutex<Vec<SlotEvent>>,
}

#[derive(Debug)]
struct SlotEvent {
    ready: Event,
    free: Event,
}

impl SlotEvents {
    pub(super) fn new(device: tch::Device, count: usize) -> Result<Self> {
        let event = || Ok(SlotEvent { ready: Event::new()?, free: Event::new()? });
        let slots = (0..count).map(|_| event()).collect::<Result<_>>()?;
        Ok(Self { device, slots: Mutex::new(slots) })
    }

    /// What is computed from now on waits for the copy into a slot.
    pub(super) fn wait_until_ready(&self, slot: usize) -> Result<()> {
        Stream::current(self.device)?.wait(&self.slots.lock()[slot].ready)
    }

    /// What has been queued until now is the last that uses a slot.
    pub(super) fn is_free(&self, slot: usize) -> Result<()> {
        let stream = Stream::current(self.device)?;
        self.slots.lock()[slot].free.record(&stream)
    }

    fn wait_until_free(&self, slot: usize, copies: &Stream) -> Result<()> {
        copies.wait(&self.slots.lock()[slot].free)
    }

    fn is_ready(&self, slot: usize, copies: &Stream) -> Result<()> {
        self.slots.lock()[slot].ready.record(copies)
    }
}

/// The memory of a uint8 tensor `[bytes]` of the host.
#[allow(clippy::mut_from_ref, reason = "a tensor is a handle: its memory is not borrowed with it")]
pub(super) fn bytes_of(memory: &Tensor) -> &mut [u8] {
    if memory.device() != tch::Device::Cpu || memory.numel() == 0 {
        return &mut [];
    }
    // SAFETY: the tensor is contiguous, of bytes and of the host, and lives as long as the borrow. What
    // it is the memory of is left alone by everybody else while it is filled: slots by the queue, images
    // and pieces of the ring because nobody else has them.
    unsafe { std::slice::from_raw_parts_mut(memory.data_ptr().cast(), memory.numel()) }
}
