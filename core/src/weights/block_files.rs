//! Blocks that lie in a network's files as they are computed with: read from there into a block's memory.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::Tensor;

use super::block_layout::{BlockLayout, BlockLayouts, PartOrigin};
use super::file::TensorFile;
use super::{Source, Weights, is_finite};
use crate::{Error, Result};

/// The places of all blocks in files.
#[derive(Debug)]
pub(crate) struct BlockFiles {
    layouts: BlockLayouts,
    blocks: Vec<BlockInFiles>,
    /// Whether what was read may stay in the system's cache.
    cached: bool,
}

#[derive(Debug)]
struct BlockInFiles {
    segments: Vec<Segment>,
    /// The file of each part of the layout, and its name there.
    parts: Vec<(Arc<TensorFile>, String)>,
}

/// Bytes that lie in a file in the order and at the distances that they have in memory.
#[derive(Debug)]
struct Segment {
    file: Arc<TensorFile>,
    start: u64,
    /// Where they begin in the block's memory.
    offset: usize,
    bytes: usize,
}

impl BlockFiles {
    /// Of the blocks below `weights`, if each of their tensors lies in a file as it does in memory, and no
    /// adapter is merged into it before.
    ///
    /// # Errors
    /// A tensor is missing or of another shape.
    pub(crate) fn find(
        weights: &Weights,
        layouts: &BlockLayouts,
        cached: bool,
    ) -> Result<Option<Self>> {
        let mut blocks = Vec::with_capacity(layouts.count());
        for index in 0..layouts.count() {
            match BlockInFiles::find(&weights.sub(index), layouts.of(index))? {
                Some(block) => blocks.push(block),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { layouts: layouts.clone(), blocks, cached }))
    }

    /// Fills `into` with the bytes of a block's memory from `from` on; those between tensors are left
    /// or become anything.
    ///
    /// # Errors
    /// A file has changed since it was opened, or cannot be read.
    pub(crate) fn read(&self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        let end = from + into.len();
        for segment in &self.blocks[block].segments {
            let first = segment.offset.max(from);
            let last = (segment.offset + segment.bytes).min(end);
            if first >= last {
                continue;
            }
            let place = segment.start + (first - segment.offset) as u64;
            segment.file.read_bytes(place, &mut into[first - from..last - from], self.cached)?;
        }
        Ok(())
    }

    /// A block's memory where it lies, uint8 `[bytes]` on the CPU, for as long as this is kept; nothing where
    /// it does not lie in one piece, or cannot be computed with there.
    ///
    /// # Errors
    /// libtorch makes no tensor of it.
    pub(crate) fn mapped(&self, block: usize) -> Result<Option<Tensor>> {
        match self.whole(block) {
            Some(Segment { file, start, bytes, .. }) => file.mapped(*start, *bytes),
            None => Ok(None),
        }
    }

    /// Has the system bring the memory of such a block in, and waits for it.
    pub(crate) fn bring_in(&self, block: usize) {
        if let Some(Segment { file, start, bytes, .. }) = self.whole(block) {
            file.bring_in(*start, *bytes);
        }
    }

    /// Whether what lies in such a block's memory is still what was opened.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn unchanged(&self, block: usize) -> Result<()> {
        self.whole(block).map_or(Ok(()), |segment| segment.file.unchanged())
    }

    /// The one piece that a block is, where the system may keep it.
    fn whole(&self, block: usize) -> Option<&Segment> {
        match &self.blocks[block].segments[..] {
            [one] if self.cached && one.offset == 0 => Some(one),
            _ => None,
        }
    }

    /// Whether all numbers of a block in `memory` are finite.
    ///
    /// # Errors
    /// A tensor has numbers that are not: with its file and name.
    pub(crate) fn check(&self, block: usize, memory: &Tensor) -> Result<()> {
        let parts = self.layouts.of(block).parts();
        for (part, (file, name)) in parts.iter().zip(&self.blocks[block].parts) {
            if !is_finite(&part.view(memory)?)? {
                return Err(Error::Tensor {
                    path: file.path().to_owned(),
                    name: name.clone(),
                    expected: "finite numbers".into(),
                    found: "NaN or infinity; the file is damaged, fetch it again".into(),
                });
            }
        }
        Ok(())
    }
}

impl BlockInFiles {
    fn find(block: &Weights, layout: &BlockLayout) -> Result<Option<Self>> {
        let Source::Files { set, adapters, .. } = &block.source else { return Ok(None) };
        let mut found = Self { segments: Vec::new(), parts: Vec::new() };
        if layout.parts().iter().any(|part| part.origin == PartOrigin::Encoded) {
            return Ok(None);
        }
        for part in layout.parts() {
            let name = block.name(&part.name);
            let (entry, path, raw) = set.find(&name)?;
            if entry.shape != part.shape {
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name: raw.to_owned(),
                    expected: format!("{:?}, as in the first block", part.shape),
                    found: format!("{:?}", entry.shape),
                });
            }
            let alike = entry.stored == part.stored && entry.strides.is_none();
            let made = match part.origin {
                PartOrigin::File => false,
                PartOrigin::Delivered => {
                    set.stored(&name)?.is_computed()
                        || adapters.iter().any(|adapter| adapter.changes(&name))
                }
                // None has come this far.
                PartOrigin::Encoded | PartOrigin::EncodedScales => true,
            };
            if !alike || made {
                return Ok(None);
            }
            set.mark(&name);
            let (file, raw) = set.locate(&name)?;
            let segment = Segment {
                file: file.clone(),
                start: entry.start,
                offset: part.offset,
                bytes: part.bytes(),
            };
            found.add(segment);
            found.parts.push((file.clone(), raw.to_owned()));
        }
        Ok(Some(found))
    }

    /// Adds a segment, to the last one where both lie alike in file and memory.
    fn add(&mut self, segment: Segment) {
        if let Some(last) = self.segments.last_mut() {
            let between = segment.offset - last.offset;
            let alike = Arc::ptr_eq(&last.file, &segment.file)
                && segment.start.checked_sub(last.start) == Some(between as u64);
            if alike {
                last.bytes = between + segment.bytes;
                return;
            }
        }
        self.segments.push(segment);
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::device::Device;
    use crate::weights::{Network, TensorSet};

    #[test]
    fn a_block_that_lies_in_a_file_as_in_memory_is_one_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aligned.safetensors");
        let numbers = |count: i64| Tensor::arange(count, (Kind::Float, tch::Device::Cpu));
        // As names sort, so they lie: 10 numbers, a filler up to 256 bytes, 6 numbers.
        let named = [("blocks.0.norm3.bias", numbers(10)), ("blocks.0.norm3.weight", numbers(6))];
        let set = |fillers: bool| {
            let bytes: Vec<(&str, Vec<u8>, usize)> = named
                .iter()
                .map(|(name, tensor)| {
                    let bytes: Vec<u8> = tensor.view_dtype(Kind::Uint8).try_into().unwrap();
                    (*name, bytes, tensor.numel())
                })
                .collect();
            let mut header = serde_json::Map::new();
            let mut data = Vec::new();
            for (index, (name, bytes, count)) in bytes.iter().enumerate() {
                if fillers && index > 0 {
                    let gap = 256 - data.len();
                    let entry = serde_json::json!({
                        "dtype": "U8", "shape": [gap], "data_offsets": [data.len(), 256],
                    });
                    header.insert(format!("{}0", crate::weights::FILLER), entry);
                    data.resize(256, 0);
                }
                let entry = serde_json::json!({
                    "dtype": "F32", "shape": [count],
                    "data_offsets": [data.len(), data.len() + bytes.len()],
                });
                header.insert((*name).to_owned(), entry);
                data.extend(bytes);
            }
            let header = serde_json::to_vec(&header).unwrap();
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend(header);
            file.extend(data);
            std::fs::write(&path, file).unwrap();
            Arc::new(TensorSet::open(Network::Dit, std::slice::from_ref(&path)).unwrap())
        };
        for (fillers, reads) in [(true, 1), (false, 2)] {
            let set = set(fillers);
            assert!(set.foreign().is_empty());
            let weights = Weights::new(set, vec![], Kind::Float, Device::cpu()).sub("blocks");
            let load = |block: &Weights| {
                Ok((block.get("norm3.bias", &[10])?, block.get("norm3.weight", &[6])?))
            };
            let layout = Arc::new(BlockLayout::of(&weights.sub(0), &load).unwrap());
            let layouts = BlockLayouts::alike(layout.clone(), 1);
            let files = BlockFiles::find(&weights, &layouts, true).unwrap().unwrap();
            assert_eq!(files.blocks[0].segments.len(), reads);
            let mut bytes = vec![9u8; layout.bytes()];
            files.read(0, 0, &mut bytes).unwrap();
            let memory = Tensor::from_slice(&bytes);
            for (part, (_, expected)) in layout.parts().iter().zip(&named) {
                assert_eq!(part.view(&memory).unwrap(), *expected);
            }
        }
    }
}
