//! The zip archives of `torch.save`: which tensors there are, and where their numbers lie.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::BufReader;

use tch::Kind;
use zip::{CompressionMethod, ZipArchive};

use super::file_bytes::FileBytes;
use super::pickle::{ElementKind, Pickle, PickledTensor, Value};
use super::stored_kind::{StoredKind, TensorEntry};
use crate::{Error, Result};

/// Keys that training programs keep the weights under, one level down.
const WRAPS: [&str; 4] = ["state_dict", "model", "module", "model_state_dict"];
/// How many levels down.
const DEPTH: usize = 3;
/// Bytes of the largest pickle that is read: those of the largest models have a few hundred thousand.
const LARGEST_PICKLE: u64 = 1 << 28;

/// The tensors of a dictionary that `torch.save` wrote.
///
/// # Errors
/// The archive is damaged, or its pickle asks for more than tensors.
pub(super) fn dictionary(file: &FileBytes) -> Result<BTreeMap<String, TensorEntry>> {
    let archive = Archive::open(file)?;
    let path = file.path();
    let pickle = Pickle::read(&archive.pickle).map_err(|problem| Error::file(path, problem))?;
    let Value::Dict(dict) = pickle.root else {
        return Err(Error::file(path, "expected a dictionary of tensors, found another value"));
    };
    let mut entries = BTreeMap::new();
    for (key, value) in pickle.entries(unwrapped(&pickle, dict)) {
        if let (Value::Str(name), Value::Tensor(tensor)) = (key, value) {
            let entry = archive
                .entry(tensor)
                .map_err(|problem| Error::file(path, format!("tensor `{name}`: {problem}")))?;
            entries.insert(name.to_string(), entry);
        }
    }
    Ok(entries)
}

/// The one tensor that a file holds bare; what there is instead where that is not so.
///
/// # Errors
/// As [`dictionary`].
pub(super) fn bare_tensor(file: &FileBytes) -> Result<Result<TensorEntry, &'static str>> {
    let archive = Archive::open(file)?;
    let refuse = |problem| Error::file(file.path(), problem);
    let pickle = Pickle::read(&archive.pickle).map_err(refuse)?;
    Ok(match &pickle.root {
        Value::Tensor(tensor) => Ok(archive.entry(tensor).map_err(refuse)?),
        Value::Dict(_) => Err("a dictionary of tensors"),
        _ => Err("no tensor"),
    })
}

/// The dictionary that has the tensors: `state_dict` of a training checkpoint wherever it is, any other
/// wrap where nothing beside it is a tensor.
fn unwrapped(pickle: &Pickle, mut dict: usize) -> usize {
    for _ in 0..DEPTH {
        let entries = pickle.entries(dict);
        let bare = !entries.iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
        let inner = |wrap: &str| {
            entries.iter().find_map(|(key, value)| match (key, value) {
                (Value::Str(key), Value::Dict(inner)) if &**key == wrap => Some(*inner),
                _ => None,
            })
        };
        let mut wraps = WRAPS.iter().filter(|wrap| bare || **wrap == WRAPS[0]);
        match wraps.find_map(|wrap| inner(wrap)) {
            Some(inner) => dict = inner,
            None => break,
        }
    }
    dict
}

/// The pickle and the storages of an archive, as byte ranges of the file.
struct Archive {
    pickle: Vec<u8>,
    storages: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    fn open(file: &FileBytes) -> Result<Self> {
        let damaged = |problem: String| {
            Error::file(
                file.path(),
                format!("not a whole torch.save archive ({problem}); fetch it again"),
            )
        };
        let mut zip = ZipArchive::new(BufReader::new(file.file()))
            .map_err(|error| damaged(error.to_string()))?;
        let mut pickle = None;
        let mut storages = BTreeMap::new();
        for index in 0..zip.len() {
            let entry = zip.by_index(index).map_err(|error| damaged(error.to_string()))?;
            let name = entry.name().map_err(|error| damaged(error.to_string()))?.into_owned();
            let stored = entry.compression() == CompressionMethod::Stored;
            let range = entry.data_start().and_then(|start| {
                let end = start.checked_add(entry.size())?;
                (stored && end <= file.len()).then_some((start, end))
            });
            let (start, end) =
                range.ok_or_else(|| damaged(format!("`{name}` is compressed or cut off")))?;
            // Names are `<archive>/data.pkl`, `<archive>/data/<key>`, `<archive>/byteorder`.
            let inner = name.split_once('/').map_or(name.as_str(), |(_, inner)| inner);
            if inner == "data.pkl" {
                if end - start > LARGEST_PICKLE {
                    return Err(damaged("its data.pkl is too large to be one of tensors".into()));
                }
                pickle = Some((start, end));
            } else if inner == "byteorder"
                && (end - start != 6 || file.read(start, end)? != b"little")
            {
                return Err(damaged("its numbers are big-endian".into()));
            } else if let Some(key) = inner.strip_prefix("data/") {
                storages.insert(key.to_owned(), (start, end));
            }
        }
        let (start, end) = pickle.ok_or_else(|| damaged("no data.pkl in it".into()))?;
        Ok(Self { pickle: file.read(start, end)?, storages })
    }

    /// Checks that every element the view can reach lies inside its storage.
    fn entry(&self, tensor: &PickledTensor) -> Result<TensorEntry, String> {
        let PickledTensor { storage, kind, offset, shape, strides } = tensor;
        let &(start, end) = self
            .storages
            .get(&*storage.key)
            .ok_or_else(|| format!("its storage data/{} is missing", storage.key))?;
        let (stored, size) = stored_kind(kind);
        // A storage without a kind counts its bytes.
        let said = storage.numel.saturating_mul(storage.bytes_each) / size as i64;
        let outside = || {
            format!(
                "shape {shape:?} with strides {strides:?} at {offset} lies outside its storage of {said} numbers"
            )
        };
        let valid = shape.len() == strides.len()
            && *offset >= 0
            && shape.iter().chain(strides).all(|&value| value >= 0);
        if !valid {
            return Err(outside());
        }
        let empty = shape.contains(&0);
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(0i64, |last, (&size, &stride)| {
                last.checked_add((size - 1).max(0).checked_mul(stride)?)
            })
            .ok_or_else(outside)?;
        let numel =
            shape.iter().try_fold(1i64, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
        let span = if empty { 0 } else { last.checked_add(1).ok_or_else(outside)? };
        let held = ((end - start) / size) as i64;
        if offset.checked_add(span).is_none_or(|needed| needed > held || needed > said) {
            return Err(outside());
        }
        // A view may repeat its elements; nothing a model needs is larger than its storage.
        if numel > held {
            return Err(outside());
        }
        let first = start + *offset as u64 * size;
        let end = first + span as u64 * size;
        let entry = TensorEntry::contiguous(stored, shape.clone(), first, end);
        let contiguous = is_contiguous(shape, strides);
        Ok(TensorEntry { strides: (!contiguous).then(|| strides.clone()), ..entry })
    }
}

/// What the numbers are, and the bytes of each.
fn stored_kind(kind: &ElementKind) -> (StoredKind, u64) {
    match kind {
        ElementKind::Known(kind) => {
            (StoredKind::Plain(*kind), Kind::elt_size_in_bytes(*kind) as u64)
        }
        ElementKind::Unreadable { name, bytes } => {
            (StoredKind::Unreadable((*name).to_owned()), *bytes as u64)
        }
    }
}

fn is_contiguous(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1i64;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected = expected.saturating_mul(size);
        fits
    })
}
