//! Tensors outside the blocks that stay as their files have them: in 16 bits, though they are computed with
//! in float32, and where their file is mapped, where its blocks are too.

#![forbid(unsafe_code)]

use tch::{Kind, Tensor};

use super::adapter::Adapter;
use super::set::TensorSet;
use super::stored_kind::StoredKind;
use crate::Result;

/// The kind of 16 bits that a tensor's numbers have in their file, where they are what is computed with:
/// neither a scale nor one of the adapters changes them.
///
/// # Errors
/// The tensor is missing.
pub(crate) fn narrow_kind(
    set: &TensorSet,
    adapters: &[Adapter],
    name: &str,
) -> Result<Option<Kind>> {
    let (entry, _, _) = set.find(name)?;
    let StoredKind::Plain(kind @ (Kind::BFloat16 | Kind::Half)) = entry.stored else {
        return Ok(None);
    };
    Ok((!is_changed(set, adapters, name)).then_some(kind))
}

/// Whether what is computed with is not what the file has.
fn is_changed(set: &TensorSet, adapters: &[Adapter], name: &str) -> bool {
    set.scale_layout(name).is_some() || adapters.iter().any(|adapter| adapter.changes(name))
}

/// A tensor where its file is mapped, on the CPU, for as long as the file is open; nothing where it
/// cannot be computed with there: its file has it otherwise, or it begins where no tensor would.
///
/// # Errors
/// The tensor is missing, or libtorch makes none of it.
pub(super) fn mapped(
    set: &TensorSet,
    adapters: &[Adapter],
    name: &str,
    kind: Kind,
) -> Result<Option<Tensor>> {
    let (entry, _, _) = set.find(name)?;
    let is_there = entry.stored == StoredKind::Plain(kind) && entry.strides.is_none();
    if !is_there || is_changed(set, adapters, name) {
        return Ok(None);
    }
    let (file, _) = set.locate(name)?;
    let bytes = usize::try_from(entry.bytes()).ok();
    let memory = bytes.map(|bytes| file.mapped(entry.start, bytes)).transpose()?.flatten();
    let Some(memory) = memory.filter(|memory| memory.numel() > 0) else { return Ok(None) };
    Ok(Some(memory.f_view_dtype(kind)?.f_view(&entry.shape[..])?))
}

/// Whether [`mapped`] gives a tensor.
///
/// # Errors
/// As [`mapped`].
pub(crate) fn is_mapped(
    set: &TensorSet,
    adapters: &[Adapter],
    name: &str,
    kind: Kind,
) -> Result<bool> {
    Ok(mapped(set, adapters, name, kind)?.is_some())
}
