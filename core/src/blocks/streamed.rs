//! Blocks of which some stay and others come into slots, one read while another computes.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tch::Tensor;

use super::BlockSource;
use super::image::{Converted, slot_memory};
use super::queue::SlotQueue;
use super::reader::{CardCopies, SlotEvents, SlotReader};
use super::slab_source::SlabSource;
use crate::weights::{BlockFiles, BlockLayout, BlockLayouts, Weights};
use crate::{Error, Result};

/// Blocks of which some stay in the device's memory, and the others are read into slots in turn, by a
/// thread that reads while another block is used.
pub struct Streamed<B> {
    /// Those that stay; none for those that come.
    resident: Vec<Option<B>>,
    /// A block over the memory of each slot.
    slots: Vec<(Tensor, B)>,
    queue: Arc<SlotQueue>,
    events: Option<Arc<SlotEvents>>,
    unchecked: Option<Unchecked>,
    reader: Option<JoinHandle<()>>,
}

/// Files whose numbers have been looked at by nobody before they are used.
#[derive(Debug)]
struct Unchecked {
    files: Arc<BlockFiles>,
    /// Of each block, whether it has been.
    seen: Mutex<Vec<bool>>,
}

impl<B> fmt::Debug for Streamed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("blocks", &self.resident.len())
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<B: Send> Streamed<B> {
    /// `resident` has a block for each index that stays; the others come from `source` into the memory
    /// of `slots`, uint8 `[bytes]` each on one device, over which a block has been built.
    ///
    /// # Errors
    /// There is no slot though blocks come, or the system gives no thread.
    pub fn new(
        resident: Vec<Option<B>>,
        slots: Vec<(Tensor, B)>,
        source: Box<dyn SlabSource>,
    ) -> Result<Self> {
        let order: Vec<usize> =
            (0..resident.len()).filter(|&index| resident[index].is_none()).collect();
        let Some(device) = slots.first().map(|(memory, _)| memory.device()) else {
            return Err(Error::Input("blocks that come need a slot to come into".into()));
        };
        let is_card = matches!(device, tch::Device::Cuda(_));
        let events = is_card.then(|| SlotEvents::new(device, slots.len()).map(Arc::new));
        let events = events.transpose()?;
        let card = events.clone().map(|events| CardCopies::new(device, events)).transpose()?;
        let queue = Arc::new(SlotQueue::new(slots.len(), order));
        let memory = slots.iter().map(|(memory, _)| memory.shallow_clone()).collect();
        let reader = SlotReader { source, slots: memory, card };
        let given = queue.clone();
        let reader = thread::Builder::new()
            .name("blocks".into())
            .spawn(move || reader.run(&given))
            .map_err(|error| {
                Error::Input(format!(
                    "the system gives no thread to read the model's blocks with: {error}; end other \
                     programs"
                ))
            })?;
        Ok(Self { resident, slots, queue, events, unchecked: None, reader: Some(reader) })
    }

    /// The same from files that nobody has looked into: a block's numbers are, when it first comes.
    pub(super) fn from_files(
        resident: Vec<Option<B>>,
        slots: Vec<(Tensor, B)>,
        files: Arc<BlockFiles>,
    ) -> Result<Self> {
        let seen = Mutex::new(vec![false; resident.len()]);
        let mut streamed = Self::new(resident, slots, Box::new(files.clone()))?;
        streamed.unchecked = Some(Unchecked { files, seen });
        Ok(streamed)
    }

    /// What a block in a slot is used for, from when it is there until the slot is given back.
    fn use_slot(
        &self,
        index: usize,
        slot: usize,
        use_block: &mut dyn FnMut(&B) -> Result<()>,
    ) -> Result<()> {
        let (memory, block) = &self.slots[slot];
        if let Some(events) = &self.events {
            events.wait_until_ready(slot)?;
        }
        if let Some(Unchecked { files, seen }) = &self.unchecked
            && !seen.lock()[index]
        {
            files.check(index, memory)?;
            seen.lock()[index] = true;
        }
        use_block(block)
    }
}

impl<B: Send> BlockSource<B> for Streamed<B> {
    fn len(&self) -> usize {
        self.resident.len()
    }

    fn with(&self, index: usize, use_block: &mut dyn FnMut(&B) -> Result<()>) -> Result<()> {
        if let Some(block) = &self.resident[index] {
            return use_block(block);
        }
        let slot = self.queue.take(index)?;
        let used = self.use_slot(index, slot, use_block);
        let freed = self.events.as_ref().map_or(Ok(()), |events| events.is_free(slot));
        self.queue.release(slot);
        used.and(freed)
    }
}

impl<B> Drop for Streamed<B> {
    fn drop(&mut self) {
        self.queue.stop();
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            log::error!("the thread that reads the model's blocks has panicked");
        }
    }
}

/// `count` blocks below `weights`, for a network that is gone through once: none stays. Where they do
/// not lie in files as they are computed with, the reader brings them into that form.
///
/// # Errors
/// As [`Weights::get`], of what is known without reading.
pub(crate) fn stream_once<B: Send>(
    weights: &Weights,
    count: usize,
    slots: usize,
    load: &dyn Fn(&Weights) -> Result<B>,
) -> Result<Streamed<B>> {
    let layout = Arc::new(BlockLayout::of(&weights.sub(0), load)?);
    let slots = (0..slots.min(count))
        .map(|_| {
            let memory = slot_memory(layout.bytes(), weights.device())?;
            let block = load(&weights.in_block(layout.clone(), &memory))?;
            Ok((memory, block))
        })
        .collect::<Result<Vec<_>>>()?;
    let resident = (0..count).map(|_| None).collect();
    match BlockFiles::find(weights, &BlockLayouts::alike(layout.clone(), count), true)? {
        Some(files) => Streamed::from_files(resident, slots, Arc::new(files)),
        None => Streamed::new(resident, slots, Box::new(Converted::new(weights.clone(), layout))),
    }
}
