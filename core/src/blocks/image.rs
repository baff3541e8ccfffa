//! Blocks as they are computed with, adapters merged, made once: in memory of the host, or in a file that
//! nobody else sees. And those of a network that is gone through once, brought into that form on the way.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_take::disk_space::available;

use super::mapped::MappedSlabs;
use super::reader::bytes_of;
use super::slab_source::SlabSource;
use crate::device::{Device, PinnedMemory};
use crate::direct_read::{make_direct, read_exact_at, read_past_cache};
use crate::guarded_map::GuardedMap;
use crate::weights::{BLOCK_ALIGNMENT, BlockLayout, BlockLayouts, Weights};
use crate::{Error, Result};

/// Bytes of a disk that are left to others.
const LEFT_ON_DISK: u64 = 1 << 30;

/// Memory for one block, uint8 `[bytes]`, at an address that files can be read to past the cache.
pub(super) fn slot_memory(bytes: usize, device: Device) -> Result<Tensor> {
    let most = BLOCK_ALIGNMENT - 1;
    if device.is_cuda() {
        return Ok(Tensor::f_empty([bytes as i64], (Kind::Uint8, device.tch()))?);
    }
    let memory = Tensor::f_empty([(bytes + most) as i64], (Kind::Uint8, tch::Device::Cpu))?;
    let first = (memory.data_ptr() as usize).next_multiple_of(BLOCK_ALIGNMENT);
    let first = first - memory.data_ptr() as usize;
    Ok(memory.f_narrow(0, first as i64, bytes as i64)?)
}

/// Blocks in memory of the host.
#[derive(Debug)]
pub(super) struct HostImage {
    /// What has a card read them by itself, where it does; fields are dropped in order, and these before
    /// the memory.
    pins: Vec<PinnedMemory>,
    /// uint8 `[bytes]` of each block that comes
    blocks: Vec<Option<Tensor>>,
}

impl HostImage {
    /// Of the blocks of `order` below `weights`; `made` is told of each.
    pub(super) fn make(
        (weights, layouts): (&Weights, &BlockLayouts),
        order: &[usize],
        pinned: bool,
        made: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let mut blocks: Vec<_> = (0..layouts.count()).map(|_| None).collect();
        let mut pins = Vec::new();
        for &index in order {
            let memory = slot_memory(layouts.bytes(), Device::cpu())?;
            layouts.of(index).fill(&weights.sub(index), &memory)?;
            if pinned && pins.len() == blocks.iter().flatten().count() {
                match PinnedMemory::of(&memory) {
                    Ok(pin) => pins.push(pin),
                    // What is not pinned is copied in two steps, and as fast as memory is.
                    Err(reason) => {
                        log::info!("blocks stay in memory that no card reads by itself: {reason}");
                        pins.clear();
                    }
                }
            }
            blocks[index] = Some(memory);
            made()?;
        }
        if pins.len() < order.len() {
            pins.clear();
        }
        Ok(Self { pins, blocks })
    }
}

impl SlabSource for HostImage {
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        let memory = self.blocks[block].as_ref().map(bytes_of);
        let found = memory.and_then(|bytes| bytes.get(from..from + into.len()));
        let found = found.ok_or_else(|| not_there(block))?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn pinned(&self, block: usize) -> Option<&Tensor> {
        self.blocks[block].as_ref().filter(|_| !self.pins.is_empty())
    }
}

/// Blocks in a file without a name, which goes with the process.
#[derive(Debug)]
pub(super) struct FileImage {
    file: File,
    /// For words.
    folder: PathBuf,
    /// The place of each block that comes, counted in blocks.
    places: Vec<Option<u64>>,
    bytes: u64,
    direct: bool,
    cached: bool,
    /// The file as memory, where the system may keep it there and has it so.
    map: Option<GuardedMap>,
}

impl FileImage {
    /// Writes the blocks of `order` below `weights` to a file in `folder`; `made` is told
    /// of each.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be written; as [`Weights::get`].
    pub(super) fn make(
        (weights, layouts): (&Weights, &BlockLayouts),
        order: &[usize],
        (folder, cached): (&Path, bool),
        made: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let explain = |reason| Error::io("write the blocks of the model to", folder)(reason);
        std::fs::create_dir_all(folder).map_err(explain)?;
        let bytes = layouts.bytes() as u64;
        check_room(folder, bytes * order.len() as u64, without_a_file(weights))?;
        let mut file = tempfile::tempfile_in(folder).map_err(explain)?;
        let mut places = vec![None; layouts.count()];
        let memory = slot_memory(layouts.bytes(), Device::cpu())?;
        for (place, &index) in order.iter().enumerate() {
            layouts.of(index).fill(&weights.sub(index), &memory)?;
            file.write_all(bytes_of(&memory)).map_err(explain)?;
            places[index] = Some(place as u64);
            made()?;
        }
        file.sync_all().map_err(explain)?;
        let direct = !cached && make_direct(&file);
        let map = if cached { GuardedMap::of(&file) } else { None };
        Ok(Self { file, folder: folder.to_owned(), places, bytes, direct, cached, map })
    }

    /// Where a block begins in the file, and its bytes, as the memory that the map is.
    fn place(&self, block: usize) -> Option<(usize, usize)> {
        let (start, bytes) = (self.places[block]? * self.bytes, usize::try_from(self.bytes).ok()?);
        Some((usize::try_from(start).ok()?, bytes))
    }
}

impl MappedSlabs for FileImage {
    fn memory(&self, block: usize) -> Result<Option<Tensor>> {
        match (&self.map, self.place(block)) {
            (Some(map), Some((start, bytes))) => map.tensor(start, bytes),
            _ => Ok(None),
        }
    }

    fn bring_in(&self, block: usize) {
        if let (Some(map), Some((start, bytes))) = (&self.map, self.place(block)) {
            map.bring_in(start, bytes);
        }
    }

    fn unchanged(&self, _block: usize) -> Result<()> {
        if self.map.as_ref().is_none_or(GuardedMap::is_whole) {
            return Ok(());
        }
        Err(Error::file(
            &self.folder,
            "the blocks of the model that lie there could not be read while they were computed with: its disk \
             has failed; look at it, then begin again",
        ))
    }
}

impl SlabSource for Arc<FileImage> {
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        let place = self.places[block].ok_or_else(|| not_there(block))?;
        let start = place * self.bytes + from as u64;
        let read = if self.cached {
            read_exact_at(&self.file, into, start)
        } else {
            read_past_cache(&self.file, self.direct.then_some(&self.file), into, start)
        };
        read.map_err(Error::io("read the blocks of the model in", &self.folder))
    }
}

fn not_there(block: usize) -> Error {
    Error::Input(format!("block {block} is in no image: it stays in memory"))
}

/// What has blocks come from files that are there, in place of one of their own.
pub(super) fn without_a_file(weights: &Weights) -> &'static str {
    if weights.has_adapters() {
        "keep a merged copy, from which blocks come as they are (`wan-alpha model add --keep-merged`)"
    } else {
        "compute in the number format that the model's files are in (--dtype)"
    }
}

/// Fails where the disk of `folder`, which need not be there yet, has no room for a file of so many bytes of
/// blocks and some more; `helps` says what else than room does.
pub(super) fn check_room(folder: &Path, bytes: u64, helps: &str) -> Result<()> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    // Where the system does not tell, writing does.
    let free = available(there).unwrap_or(u64::MAX);
    let needed = bytes.saturating_add(LEFT_ON_DISK);
    if free >= needed {
        return Ok(());
    }
    let [needed, free] = [needed, free].map(|bytes| bytes as f64 / 1e9);
    Err(Error::NoRoomOnDisk {
        what: format!(
            "{}: the blocks of the model that do not stay in memory do not fit there while the take is \
             made: {needed:.1} GB are needed, {free:.1} GB are free",
            folder.display()
        ),
        remedy: format!(
            "make room, have the cache elsewhere (XDG_CACHE_HOME), allow more memory, or {helps}"
        ),
    })
}

/// Blocks that are brought into form, one tensor after the other, when they are read.
#[derive(Debug)]
pub(super) struct Converted {
    weights: Weights,
    layout: Arc<BlockLayout>,
    /// The block that pieces were last read of.
    staged: Option<(usize, Tensor)>,
}

impl Converted {
    pub(super) fn new(weights: Weights, layout: Arc<BlockLayout>) -> Self {
        Self { weights, layout, staged: None }
    }
}

impl SlabSource for Converted {
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        if self.staged.as_ref().is_none_or(|(staged, _)| *staged != block) {
            let memory = match self.staged.take() {
                Some((_, memory)) => memory,
                None => slot_memory(self.layout.bytes(), Device::cpu())?,
            };
            self.layout.fill(&self.weights.sub(block), &memory)?;
            self.staged = Some((block, memory));
        }
        let staged = self.staged.as_ref().map(|(_, memory)| bytes_of(memory));
        let found = staged.and_then(|bytes| bytes.get(from..from + into.len()));
        into.copy_from_slice(found.ok_or_else(|| not_there(block))?);
        Ok(())
    }
}
