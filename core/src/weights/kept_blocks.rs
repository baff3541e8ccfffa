//! A transformer's blocks kept in fewer bits than they are computed with: as their file has them, or as
//! e4m3 made when they are loaded; and how one of them becomes what is computed with.
//!
//! What a layer gets has the bits that loading it whole would have given: rows take the same way through
//! float32. Adapters over a matrix that its file has quantized are kept beside it and merged, in float32,
//! when the block is brought into form: nothing is rounded a second time. Over a matrix that is made e4m3
//! here they are merged before.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::adapter::Adapter;
use super::block_layout::{BlockLayout, BlockLayouts, BlockPart, PartOrigin};
use super::marks::SCALE;
use super::merge::{Delivery, RowRatios};
use super::quantize::{QuantizedForm, is_block_matrix, quantize};
use super::scale::WeightScale;
use super::set::TensorSet;
use super::stored_kind::{StoredKind, TensorEntry};
use super::stored_weight::{StoredWeight, memory_in};
use super::{BlockStorage, Source, Weights, not_finite};
use crate::{Error, Result};

/// How a block's tensor is kept: what its numbers are in memory, and where they come from.
fn kept_as(
    set: &TensorSet,
    storage: BlockStorage,
    name: &str,
    shape: &[i64],
) -> Result<(StoredKind, PartOrigin)> {
    let (entry, _, _) = set.find(name)?;
    let encoded = storage == BlockStorage::Fp8
        && is_block_matrix(name, shape)
        && !entry.stored.is_quantized();
    Ok(if encoded {
        (QuantizedForm::Fp8.stored(), PartOrigin::Encoded)
    } else {
        (entry.stored.clone(), PartOrigin::File)
    })
}

/// Bytes of a transformer's block as it is kept, alignment aside; nothing where every tensor of every
/// block is kept as it is computed with.
///
/// # Errors
/// A tensor is missing.
pub(crate) fn kept_bytes(
    set: &TensorSet,
    storage: BlockStorage,
    blocks: usize,
) -> Result<Option<u64>> {
    let (mut most, mut quantized) = (0, false);
    for block in 0..blocks {
        let mut bytes = 0;
        for name in set.below(&format!("blocks.{block}.")) {
            let shape = set.shape(name)?;
            let (stored, origin) = kept_as(set, storage, name, shape)?;
            quantized |= is_block_matrix(name, shape) && stored.is_quantized();
            bytes += stored.bytes_of(shape.iter().product::<i64>() as usize) as u64;
            if origin == PartOrigin::Encoded {
                bytes += 4 * shape[0] as u64;
            }
        }
        most = most.max(bytes);
    }
    Ok(quantized.then_some(most))
}

/// Bytes that adapters have beside the blocks of a transformer whose blocks are kept quantized, as their files
/// store it: all of what changes a tensor that is merged when its block is brought into form.
///
/// # Errors
/// A tensor is missing.
pub(crate) fn adapter_bytes(
    set: &TensorSet,
    storage: BlockStorage,
    adapters: &[Adapter],
) -> Result<u64> {
    let mut bytes = 0;
    for adapter in adapters {
        for (changed, raw) in adapter.parts() {
            let name = changed.rsplit_once('/').map_or(&*changed, |(name, _)| name);
            if name.starts_with("blocks.")
                && set.contains(name)
                && kept_as(set, storage, name, set.shape(name)?)?.1 == PartOrigin::File
            {
                bytes += adapter.file().entry(raw).map_or(0, TensorEntry::bytes);
            }
        }
    }
    Ok(bytes)
}

impl Weights {
    /// The same, reading what adapters have beside blocks that stay quantized once, and keeping it.
    #[must_use]
    pub fn keeping_adapters(self) -> Self {
        Self { kept_adapters: Some(Arc::default()), ..self }
    }

    /// The same, with the blocks' matrices of 16 bits or more kept otherwise.
    #[must_use]
    pub fn storing(self, storage: BlockStorage) -> Self {
        Self { storage, ..self }
    }

    /// How `count` blocks below here, of which each asks for the tensors of `asked`, are kept in fewer
    /// bits; nothing where they are kept as they are computed with.
    ///
    /// # Errors
    /// A tensor is missing.
    pub(crate) fn kept_layouts(
        &self,
        asked: &BlockLayout,
        count: usize,
    ) -> Result<Option<BlockLayouts>> {
        let Source::Files { set, .. } = &self.source else { return Ok(None) };
        let mut layouts: Vec<Arc<BlockLayout>> = Vec::with_capacity(count);
        let mut quantized = false;
        for index in 0..count {
            let block = self.sub(index);
            let mut parts = Vec::with_capacity(asked.parts().len());
            for BlockPart { name, shape, .. } in asked.parts() {
                let whole = block.name(name);
                if set.shape(&whole)? != shape {
                    // Who loads it says what is expected.
                    return Ok(None);
                }
                let (stored, origin) = kept_as(set, self.storage, &whole, shape)?;
                quantized |= is_block_matrix(&whole, shape) && stored.is_quantized();
                let part = |name: String, stored, shape, origin| BlockPart {
                    name,
                    stored,
                    shape,
                    offset: 0,
                    origin,
                };
                parts.push(part(name.clone(), stored, shape.clone(), origin));
                let scale = format!("{name}{SCALE}");
                if origin == PartOrigin::Encoded {
                    let (kind, origin) =
                        (StoredKind::Plain(Kind::Float), PartOrigin::EncodedScales);
                    parts.push(part(scale, kind, vec![shape[0], 1], origin));
                } else if set.contains(&block.name(&scale)) {
                    let (entry, _, _) = set.find(&block.name(&scale))?;
                    parts.push(part(scale, entry.stored.clone(), entry.shape.clone(), origin));
                }
            }
            let layout = BlockLayout::in_order(parts);
            match layouts.last().filter(|last| ***last == layout) {
                Some(last) => layouts.push(last.clone()),
                None => layouts.push(Arc::new(layout)),
            }
        }
        Ok(quantized.then(|| BlockLayouts::new(layouts)))
    }

    /// Copies the bytes of a tensor of a file into a block's memory, uint8 `[bytes]` of the host.
    pub(super) fn copy_stored(&self, part: &BlockPart, memory: &Tensor) -> Result<()> {
        let Source::Files { set, .. } = &self.source else { return Err(not_in_files()) };
        let stored = set.stored(&self.name(&part.name))?;
        stored.copy_to(&mut part.bytes_in(memory)?)
    }

    /// Brings a matrix, adapters merged, into fewer bits, into a block's memory.
    pub(super) fn encode(
        &self,
        part: &BlockPart,
        layout: &BlockLayout,
        memory: &Tensor,
    ) -> Result<()> {
        let cpu = crate::device::Device::cpu();
        let block = Self { device: cpu, ..self.clone() };
        let matrix = block.get_as(&part.name, &part.shape, Kind::Float)?;
        let made = quantize(cpu, &matrix, QuantizedForm::Fp8)?;
        drop(matrix);
        part.bytes_in(memory)?.f_copy_(&Tensor::f_from_slice(&made.codes)?)?;
        let scales = layout.part(&format!("{}{SCALE}", part.name))?;
        let made = Tensor::f_from_slice(&made.scales)?.f_view(&scales.shape[..])?;
        scales.view(memory)?.f_copy_(&made)?;
        Ok(())
    }

    /// Brings the block of these weights, kept in `memory` as `kept` says, into the form that it is
    /// computed with: into `form`, which `asked` says the places of. Both are uint8 `[bytes]` on the device.
    /// `ratios`: of the blocks that were brought into form before. `check`: whether its numbers are finite
    /// is looked at.
    ///
    /// # Errors
    /// A number is not finite; an adapter cannot be read; or memory runs out.
    pub(crate) fn bring_into_form(
        &self,
        (kept, memory): (&BlockLayout, &Tensor),
        (asked, form): (&BlockLayout, &Tensor),
        ratios: &mut RowRatios,
        check: bool,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let Source::Files { set, adapters, scratch } = &self.source else {
            return Err(not_in_files());
        };
        let (device, known) = (self.device.tch(), self.kept_adapters.as_deref());
        for part in asked.parts() {
            let name = self.name(&part.name);
            let from = kept.part(&part.name)?;
            let scale_name = format!("{}{SCALE}", part.name);
            let scale = match (from.origin, set.scale_layout(&name)) {
                (PartOrigin::Encoded, _) => {
                    let values = kept.part(&scale_name)?.view(memory)?;
                    Some(WeightScale::of_each_row(&values, from.shape[1])?)
                }
                (_, Some(layout)) => {
                    Some(WeightScale::new(&kept.part(&scale_name)?.view(memory)?, layout)?)
                }
                (_, None) => None,
            };
            let bytes = from.bytes_in(memory)?;
            let stored = match memory_in(&bytes) {
                Some(bytes) => StoredWeight::in_memory(bytes, &from.stored, &from.shape),
                None => StoredWeight::on_device(bytes, &from.stored, &from.shape),
            };
            let merges = adapters
                .iter()
                .filter(|_| from.origin == PartOrigin::File)
                .filter_map(|adapter| adapter.merging(&name, device, known).transpose());
            let mut merges = merges.collect::<Result<Vec<_>>>()?;
            let noted = ratios.prepare(&name, &mut merges)?;
            let delivery =
                Delivery { stored: stored.scaled(scale), merges, kind: part.kind(), device };
            if !delivery.deliver_into(&part.view(form)?, check, scratch)? {
                return Err(not_finite(self.device, set, adapters, &name)?);
            }
            ratios.keep(noted);
        }
        Ok(())
    }
}

fn not_in_files() -> Error {
    Error::Input("only blocks of a network in files are kept in fewer bits".into())
}
