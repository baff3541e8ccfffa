//! Which blocks stay and where the others come from.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use tch::Tensor;

use super::brought_into_form::{BroughtIntoForm, KeptBlock};
use super::image::{FileImage, HostImage, check_room, slot_memory, without_a_file};
use super::mapped::{MappedBlocks, MappedSlabs, UncheckedFiles, memory_of_all};
use super::streamed::Streamed;
use super::{BlockSource, Resident};
use crate::device::Device;
use crate::guarded_map::GuardedMap;
use crate::weights::{BlockFiles, BlockLayout, BlockLayouts, Weights};
use crate::{Error, Result};

/// Where blocks lie that come into the device's memory when they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockStore {
    /// Memory of the host that a card reads by itself.
    Pinned,
    /// Memory of the host, copied from by the processor.
    Paged,
    /// The model's files where they have the blocks as they are computed with, else a file of their own
    /// that goes with the process; `cached`: the system may keep what it has read of it.
    File {
        /// Whether memory of the host is free for all of it.
        cached: bool,
    },
}

/// How many blocks of a network stay in the device's memory, and where the others come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPlacement {
    /// Blocks that stay; all of them where this is no less than their number.
    pub resident: usize,
    /// Blocks that others have room for at once, besides: 2 or 3. With 1 nothing is read meanwhile.
    pub slots: usize,
    /// Where the others come from.
    pub store: BlockStore,
    /// Where a file may be made of blocks that the model's own files do not have in form.
    pub folder: Option<PathBuf>,
}

impl BlockPlacement {
    /// Every block stays in memory.
    pub const RESIDENT: Self = Self {
        resident: usize::MAX,
        slots: 0,
        store: BlockStore::File { cached: true },
        folder: None,
    };

    /// Blocks of `count` that come: as evenly among those that stay as can be, so that reading has as
    /// long for each.
    pub fn streamed(&self, count: usize) -> Vec<usize> {
        let coming = self.coming(count);
        let comes = |index: usize| (index + 1) * coming / count > index * coming / count;
        (0..count).filter(|&index| comes(index)).collect()
    }

    /// Blocks of `count` that are in the device's memory at once.
    pub fn blocks_in_memory(&self, count: usize) -> usize {
        match self.coming(count) {
            0 => count,
            coming => count - coming + self.slots,
        }
    }

    /// Whether blocks of `count` come by way of a file that the system keeps in its cache.
    pub(crate) fn is_by_cache(&self, count: usize) -> bool {
        self.store == BlockStore::File { cached: true } && self.coming(count) > 0
    }

    /// How many of `count` come. Where they would fit into the slots, none.
    fn coming(&self, count: usize) -> usize {
        let coming = count.saturating_sub(self.resident);
        if coming <= self.slots { 0 } else { coming }
    }
}

/// `count` blocks below `weights`, each made by `load`, where `placement` says. Of every block that comes
/// an image is made, unless files have it. Blocks that are kept in fewer bits than they are computed with
/// are placed as they are kept.
///
/// # Errors
/// As [`Weights::get`]; `placed` ends it; or there is no room for an image.
pub fn place<B: std::fmt::Debug + Send + 'static>(
    weights: &Weights,
    count: usize,
    placement: &BlockPlacement,
    load: &dyn Fn(&Weights) -> Result<B>,
    placed: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Box<dyn BlockSource<B>>> {
    let comes = !placement.streamed(count).is_empty();
    if !weights.is_in_files() {
        if comes {
            return Err(Error::Input("only blocks of a network in files can come and go".into()));
        }
        let blocks = (0..count).map(|index| {
            let block = load(&weights.sub(index))?;
            placed(index + 1, count)?;
            Ok(block)
        });
        return Ok(Box::new(Resident(blocks.collect::<Result<_>>()?)));
    }
    let layout = Arc::new(BlockLayout::of(&weights.sub(0), load)?);
    let Some(kept) = weights.kept_layouts(&layout, count)? else {
        let in_block = layout.clone();
        let making = BlockMaking {
            weights,
            layouts: BlockLayouts::alike(layout, count),
            checks: true,
            resident: &|index| load(&weights.sub(index)),
            slot: &|memory| load(&weights.in_block(in_block.clone(), memory)),
        };
        return making.place(placement, placed);
    };
    let making = BlockMaking {
        weights,
        layouts: kept.clone(),
        // They are looked at when they are brought into form.
        checks: false,
        resident: &|index| {
            let memory = slot_memory(kept.of(index).bytes(), Device::cpu())?;
            kept.of(index).fill(&weights.sub(index), &memory)?;
            Ok(KeptBlock(memory.f_to_device(weights.device().tch())?))
        },
        slot: &|memory| Ok(KeptBlock(memory.shallow_clone())),
    };
    let blocks = making.place(placement, placed)?;
    let memory = slot_memory(layout.bytes(), weights.device())?;
    let block = load(&weights.in_block(layout.clone(), &memory))?;
    Ok(Box::new(BroughtIntoForm::new(weights, blocks, kept, (layout, memory, block))))
}

/// Blocks that the system is asked to read before they are needed.
const READ_AHEAD: usize = 4;

/// How blocks are made where a placement has them.
struct BlockMaking<'a, B> {
    weights: &'a Weights,
    layouts: BlockLayouts,
    /// Whether what comes straight from files is looked at when it first comes.
    checks: bool,
    /// One that stays, by its number.
    resident: &'a dyn Fn(usize) -> Result<B>,
    /// One over the memory of a slot, uint8 `[bytes]`.
    slot: &'a dyn Fn(&Tensor) -> Result<B>,
}

impl<B: std::fmt::Debug + Send + 'static> BlockMaking<'_, B> {
    fn place(
        &self,
        placement: &BlockPlacement,
        placed: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Box<dyn BlockSource<B>>> {
        let count = self.layouts.count();
        let coming = placement.streamed(count);
        let mut done = 0;
        let mut next = |done: &mut usize| {
            *done += 1;
            placed(*done, count)
        };
        let mut resident = Vec::with_capacity(count);
        for index in 0..count {
            if coming.contains(&index) {
                resident.push(None);
                continue;
            }
            // What lies in few bits is in form sooner than it is read: more than one is asked for.
            let asked = if done == 0 { index + 1 } else { index + READ_AHEAD };
            for following in asked..=index + READ_AHEAD {
                if following < count && !coming.contains(&following) {
                    self.weights.sub(following).read_ahead();
                }
            }
            resident.push(Some((self.resident)(index)?));
            next(&mut done)?;
        }
        if coming.is_empty() {
            return Ok(Box::new(Resident(resident.into_iter().flatten().collect())));
        }
        // An image takes memory while it is made: slots come after it.
        let making = (self.weights, &self.layouts);
        let source = source(making, &coming, placement, &mut || next(&mut done))?;
        if let Some(slabs) = self.mappable(&source)
            && let Some(memory) = memory_of_all(&*slabs, &coming)?
        {
            return self.mapped(resident, memory, slabs);
        }
        let slots = (0..placement.slots.max(1))
            .map(|_| {
                let memory = slot_memory(self.layouts.bytes(), self.weights.device())?;
                let block = (self.slot)(&memory)?;
                Ok((memory, block))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(match source {
            Source::Host(image) => Streamed::new(resident, slots, Box::new(image))?,
            Source::File(image) => Streamed::new(resident, slots, Box::new(image))?,
            Source::Files(files) if self.checks => Streamed::from_files(resident, slots, files)?,
            Source::Files(files) => Streamed::new(resident, slots, Box::new(files))?,
        }))
    }

    /// A source whose blocks the CPU may use where they lie.
    fn mappable(&self, source: &Source) -> Option<Arc<dyn MappedSlabs>> {
        match source {
            _ if self.weights.device().is_cuda() => None,
            Source::Host(_) => None,
            Source::File(image) => Some(image.clone()),
            Source::Files(files) => {
                let (files, checks) = (files.clone(), self.checks);
                Some(Arc::new(UncheckedFiles { files, checks }))
            }
        }
    }

    /// Those that stay, and the others over `memory` of `slabs`, in their order.
    fn mapped(
        &self,
        resident: Vec<Option<B>>,
        memory: Vec<Tensor>,
        slabs: Arc<dyn MappedSlabs>,
    ) -> Result<Box<dyn BlockSource<B>>> {
        let mut memory = memory.into_iter();
        let blocks = resident.into_iter().map(|stays| match stays {
            Some(block) => Ok((block, None)),
            None => {
                let memory =
                    memory.next().ok_or_else(|| Error::Input("a block is nowhere".into()))?;
                Ok(((self.slot)(&memory)?, Some(memory)))
            }
        });
        Ok(Box::new(MappedBlocks::new(blocks.collect::<Result<_>>()?, slabs)?))
    }
}

/// Whether there is room for the file of blocks that [`place`] would make, where it would make one: asked
/// before anything is read.
///
/// # Errors
/// There is none, with the numbers; as [`Weights::get`].
pub fn check_room_for_blocks<B>(
    weights: &Weights,
    count: usize,
    placement: &BlockPlacement,
    load: &dyn Fn(&Weights) -> Result<B>,
) -> Result<()> {
    let coming = placement.streamed(count).len() as u64;
    let (BlockStore::File { cached }, Some(folder)) = (placement.store, &placement.folder) else {
        return Ok(());
    };
    if coming == 0 || !weights.is_in_files() {
        return Ok(());
    }
    let layout = Arc::new(BlockLayout::of(&weights.sub(0), load)?);
    let kept = weights.kept_layouts(&layout, count)?;
    let layouts = kept.unwrap_or_else(|| BlockLayouts::alike(layout, count));
    match BlockFiles::find(weights, &layouts, cached)? {
        Some(_) => Ok(()),
        None => check_room(folder, coming * layouts.bytes() as u64, without_a_file(weights)),
    }
}

/// Whether the CPU uses `count` blocks below `weights` where they are mapped, if they come by way of a file
/// that the system keeps in its cache. Nothing is read.
///
/// # Errors
/// As [`Weights::get`].
pub(crate) fn maps_blocks<B>(
    weights: &Weights,
    count: usize,
    load: &dyn Fn(&Weights) -> Result<B>,
) -> Result<bool> {
    if weights.device().is_cuda() || !weights.is_in_files() || !GuardedMap::ARE_THERE {
        return Ok(false);
    }
    let layout = Arc::new(BlockLayout::of(&weights.sub(0), load)?);
    let kept = weights.kept_layouts(&layout, count)?;
    let layouts = kept.unwrap_or_else(|| BlockLayouts::alike(layout, count));
    match BlockFiles::find(weights, &layouts, true)? {
        Some(files) => {
            let files = UncheckedFiles { files: Arc::new(files), checks: false };
            let all: Vec<usize> = (0..count).collect();
            Ok(memory_of_all(&files, &all)?.is_some())
        }
        // An image is laid out for it.
        None => Ok(true),
    }
}

enum Source {
    /// Memory of the host.
    Host(HostImage),
    /// A file of their own.
    File(Arc<FileImage>),
    /// The model's files.
    Files(Arc<BlockFiles>),
}

/// Where the blocks `coming` come from; `made` is told of each.
fn source(
    (weights, layouts): (&Weights, &BlockLayouts),
    coming: &[usize],
    placement: &BlockPlacement,
    made: &mut dyn FnMut() -> Result<()>,
) -> Result<Source> {
    let BlockStore::File { cached } = placement.store else {
        let pinned = placement.store == BlockStore::Pinned;
        let image = HostImage::make((weights, layouts), coming, pinned, made)?;
        return Ok(Source::Host(image));
    };
    if let Some(files) = BlockFiles::find(weights, layouts, cached)? {
        for _ in coming {
            made()?;
        }
        return Ok(Source::Files(Arc::new(files)));
    }
    let Some(folder) = &placement.folder else {
        return Err(Error::Input(format!(
            "the model's files do not have its blocks as they are computed with, and there is no folder \
             for a file that has (HOME, XDG_CACHE_HOME); or {}",
            without_a_file(weights)
        )));
    };
    let image = FileImage::make((weights, layouts), coming, (folder, cached), made)?;
    Ok(Source::File(Arc::new(image)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(resident: usize, slots: usize) -> BlockPlacement {
        BlockPlacement { resident, slots, ..BlockPlacement::RESIDENT }
    }

    #[test]
    fn those_that_come_lie_evenly_among_those_that_stay() {
        for count in [1usize, 2, 5, 30, 40] {
            assert!(BlockPlacement::RESIDENT.streamed(count).is_empty());
            for resident in 0..=count {
                let coming = placement(resident, 2).streamed(count);
                let expected = if count - resident <= 2 { 0 } else { count - resident };
                assert_eq!(coming.len(), expected, "{resident} of {count}");
                let gaps: Vec<usize> = coming.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let (least, most) = (gaps.iter().min(), gaps.iter().max());
                assert!(most <= least.map(|gap| gap + 1).as_ref(), "{coming:?}");
            }
        }
        assert_eq!(placement(4, 2).streamed(8), [1, 3, 5, 7]);
    }
}
