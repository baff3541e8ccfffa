//! How the tensors of a repeated block lie in one piece of memory, so that a block is copied whole.

#![forbid(unsafe_code)]

use std::sync::Arc;

use parking_lot::Mutex;
use tch::{Kind, Tensor};

use super::stored_kind::StoredKind;
use super::{Source, Weights};
use crate::{Error, Result};

/// Where a tensor begins is a multiple of this: what cards and processors read fastest.
const PART_ALIGNMENT: usize = 256;
/// The length of a block's memory is a multiple of this: files are read past the cache by it.
pub(crate) const BLOCK_ALIGNMENT: usize = crate::direct_read::DIRECT_ALIGNMENT;

/// The places of a block's tensors in one piece of memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockLayout {
    /// In the order of their names, without gaps but for alignment.
    parts: Vec<BlockPart>,
    bytes: usize,
}

/// A tensor of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockPart {
    /// Below the block.
    pub(crate) name: String,
    /// What its numbers are in memory.
    pub(crate) stored: StoredKind,
    /// The sizes of its axes.
    pub(crate) shape: Vec<i64>,
    /// Where its bytes begin in the block's memory.
    pub(crate) offset: usize,
    /// Where its bytes come from.
    pub(crate) origin: PartOrigin,
}

/// Where the bytes of a tensor in a block's memory come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartOrigin {
    /// They are what it is computed with, adapters merged.
    Delivered,
    /// They are those of its file.
    File,
    /// They are e4m3, made of the matrix with adapters merged.
    Encoded,
    /// They are the scales of such a matrix, and come with it.
    EncodedScales,
}

impl BlockPart {
    pub(crate) fn bytes(&self) -> usize {
        let numbers = self.shape.iter().product::<i64>() as usize;
        self.stored.bytes_of(numbers)
    }

    /// The kind that its numbers are read as.
    pub(crate) fn kind(&self) -> Kind {
        self.stored.read_as()
    }

    /// Its bytes in the memory of a block, uint8 `[bytes]`.
    pub(crate) fn bytes_in(&self, memory: &Tensor) -> Result<Tensor> {
        Ok(memory.f_narrow(0, self.offset as i64, self.bytes() as i64)?)
    }

    /// In the memory of a block, uint8 `[bytes]`; of numbers that are stored each by itself.
    pub(crate) fn view(&self, memory: &Tensor) -> Result<Tensor> {
        Ok(self.bytes_in(memory)?.f_view_dtype(self.kind())?.f_view(&self.shape[..])?)
    }
}

/// What a block asks for while it is only looked at.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) prefix: String,
    parts: Mutex<Vec<(String, Kind, Vec<i64>)>>,
}

impl Asked {
    /// Notes a tensor, and gives one of its sizes that takes no memory.
    pub(super) fn note(&self, name: &str, kind: Kind, shape: &[i64]) -> Result<Tensor> {
        let name = name.strip_prefix(&self.prefix).unwrap_or(name).to_owned();
        self.parts.lock().push((name, kind, shape.to_vec()));
        let ones = vec![1; shape.len()];
        Ok(Tensor::f_empty(&ones, (kind, tch::Device::Cpu))?.f_expand(shape, false)?)
    }
}

impl BlockLayout {
    /// Of the block whose weights these are, by what `load` asks of them. Nothing is read.
    ///
    /// # Errors
    /// Those of `load`.
    pub(crate) fn of<B>(block: &Weights, load: &dyn Fn(&Weights) -> Result<B>) -> Result<Self> {
        let asked = Arc::new(Asked { prefix: block.prefix.clone(), parts: Mutex::default() });
        drop(load(&block.asking(asked.clone())?)?);
        let mut parts = asked.parts.lock().clone();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        parts.dedup();
        let parts = parts.into_iter().map(|(name, kind, shape)| {
            let (stored, origin) = (StoredKind::Plain(kind), PartOrigin::Delivered);
            BlockPart { name, stored, shape, offset: 0, origin }
        });
        Ok(Self::in_order(parts.collect()))
    }

    /// Gives parts their places, one after the other.
    pub(super) fn in_order(mut parts: Vec<BlockPart>) -> Self {
        let mut end = 0usize;
        for part in &mut parts {
            part.offset = end.next_multiple_of(PART_ALIGNMENT);
            end = part.offset + part.bytes();
        }
        Self { parts, bytes: end.next_multiple_of(BLOCK_ALIGNMENT) }
    }

    /// Bytes of a block's memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn parts(&self) -> &[BlockPart] {
        &self.parts
    }

    pub(super) fn part(&self, name: &str) -> Result<&BlockPart> {
        self.parts.iter().find(|part| part.name == name).ok_or_else(|| {
            Error::Input(format!("the block's first of its kind has no tensor `{name}`"))
        })
    }

    /// Reads a block, adapters merged, into its memory, uint8 `[bytes]` of the host.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub(crate) fn fill(&self, block: &Weights, memory: &Tensor) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for part in &self.parts {
            match part.origin {
                PartOrigin::Delivered => {
                    let tensor = block.get_as(&part.name, &part.shape, part.kind())?;
                    part.view(memory)?.f_copy_(&tensor)?;
                }
                PartOrigin::File => block.copy_stored(part, memory)?,
                PartOrigin::Encoded => block.encode(part, self, memory)?,
                PartOrigin::EncodedScales => {}
            }
        }
        Ok(())
    }
}

/// The layouts of all blocks of a network.
#[derive(Clone, Debug)]
pub(crate) struct BlockLayouts {
    each: Vec<Arc<BlockLayout>>,
    bytes: usize,
}

impl BlockLayouts {
    /// Those of blocks that may differ, as GGUF files have them.
    pub(super) fn new(each: Vec<Arc<BlockLayout>>) -> Self {
        let bytes = each.iter().map(|layout| layout.bytes).max().unwrap_or(0);
        Self { each, bytes }
    }

    /// `count` blocks that are laid out alike.
    pub(crate) fn alike(layout: Arc<BlockLayout>, count: usize) -> Self {
        Self::new(vec![layout; count])
    }

    /// How many blocks of the format a row has.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// Bytes that any block has room in.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The layout of a block.
    pub(crate) fn of(&self, block: usize) -> &Arc<BlockLayout> {
        &self.each[block]
    }
}

impl Weights {
    /// A block whose tensors lie in `memory`, uint8 `[bytes]` on the device, as the layout says: what is
    /// delivered are views of it.
    pub(crate) fn in_block(&self, layout: Arc<BlockLayout>, memory: &Tensor) -> Self {
        let memory = Arc::new(super::held_tensor::Held::new(memory.shallow_clone()));
        let source = Source::Block { layout, memory };
        Self { source, prefix: String::new(), ..self.clone() }
    }

    /// The same names, of which nothing is read: what is asked for is noted.
    fn asking(&self, asked: Arc<Asked>) -> Result<Self> {
        let Source::Files { set, .. } = &self.source else {
            return Err(Error::Input("only a network in files can be laid out anew".into()));
        };
        Ok(Self { source: Source::Asked { set: set.clone(), asked }, ..self.clone() })
    }

    /// Whether adapters are merged into it when it is read.
    pub(crate) fn has_adapters(&self) -> bool {
        matches!(&self.source, Source::Files { adapters, .. } if !adapters.is_empty())
    }

    /// Whether its tensors lie in files, and can be read block by block.
    pub(crate) fn is_in_files(&self) -> bool {
        matches!(self.source, Source::Files { .. })
    }
}
