//! Blocks that lie in a network's files as they are computed with: read from there into a block's memory.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::Tensor;

use super::block_layout::BlockLayout;
use super::file::TensorFile;
use super::stored_kind::StoredKind;
use super::{Source, Weights, is_finite};
use crate::{Error, Result};

/// The places of all blocks in files.
#[derive(Debug)]
pub(crate) struct BlockFiles {
    layout: Arc<BlockLayout>,
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
    /// Of `count` blocks below `weights`, if each of their tensors lies in a file in its kind, and no
    /// adapter changes it.
    ///
    /// # Errors
    /// A tensor is missing or of another shape.
    pub(crate) fn find(
        weights: &Weights,
        layout: &Arc<BlockLayout>,
        count: usize,
        cached: bool,
    ) -> Result<Option<Self>> {
        let mut blocks = Vec::with_capacity(count);
        for index in 0..count {
            match BlockInFiles::find(&weights.sub(index), layout)? {
                Some(block) => blocks.push(block),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { layout: layout.clone(), blocks, cached }))
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

    /// Whether all numbers of a block in `memory` are finite.
    ///
    /// # Errors
    /// A tensor has numbers that are not: with its file and name.
    pub(crate) fn check(&self, block: usize, memory: &Tensor) -> Result<()> {
        for (part, (file, name)) in self.layout.parts().iter().zip(&self.blocks[block].parts) {
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

    /// The fewest reads that a block takes: one where the files were written for it.
    #[cfg(test)]
    pub(crate) fn reads_of(&self, block: usize) -> usize {
        self.blocks[block].segments.len()
    }
}

impl BlockInFiles {
    fn find(block: &Weights, layout: &BlockLayout) -> Result<Option<Self>> {
        let Source::Files { set, adapters, .. } = &block.source else { return Ok(None) };
        let mut found = Self { segments: Vec::new(), parts: Vec::new() };
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
            let plain = entry.stored == StoredKind::Plain(part.kind) && entry.strides.is_none();
            let changed = adapters.iter().any(|adapter| adapter.changes(&name));
            if !plain || changed || set.stored(&name)?.is_computed() {
                return Ok(None);
            }
            let (file, raw) = set.locate(&name)?;
            let segment =
                Segment { file: file.clone(), start: entry.start, offset: part.offset, bytes: part.bytes() };
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
