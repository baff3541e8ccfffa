//! Files of tensors, mapped: safetensors, and the zip archives of `torch.save`.
//!
//! Opening reads the header only; a tensor's bytes are read from the map when it is asked for, so
//! that what is resident is what the model uses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Pickle, PickledTensor, Value};
use super::shared_bytes::{Lent, matrix_of};
use crate::device::Device;
use crate::{Error, Result};

/// A tensor as its file describes it.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    /// The kind of the elements in the file.
    pub kind: Kind,
    /// The sizes of the tensor's axes.
    pub shape: Vec<i64>,
    /// Strides in elements, where they are not those of a contiguous tensor.
    strides: Option<Vec<i64>>,
    /// Byte range in the file that the elements lie in.
    start: usize,
    end: usize,
}

impl TensorEntry {
    /// Bytes of the tensor in the file.
    pub fn bytes(&self) -> u64 {
        (self.end - self.start) as u64
    }
}

/// One file of named tensors.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    entries: BTreeMap<String, TensorEntry>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Opens a safetensors file or a `torch.save` archive, told apart by their first bytes.
    ///
    /// # Errors
    /// The file cannot be mapped, is damaged or truncated, or its pickle asks for more than
    /// tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let map = map(path)?;
        let mut metadata = BTreeMap::new();
        let entries = if map.starts_with(b"PK\x03\x04") {
            archive_entries(path, &map)?
        } else if map.starts_with(b"\x80\x02") {
            return Err(Error::file(
                path,
                "a torch.save file of the old form, before PyTorch 1.6; load it in PyTorch and \
                 save it again",
            ));
        } else {
            if let Ok((_, header)) = SafeTensors::read_metadata(&map) {
                metadata.extend(header.metadata().clone().unwrap_or_default());
            }
            safetensors_entries(path, &map)?
        };
        Ok(Self { path: path.to_owned(), map, entries, metadata })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor's name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A remark in a safetensors header.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// How the file describes the tensor of that name.
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.get(name)
    }

    /// A copy of a tensor, on the CPU, of its own kind, contiguous.
    ///
    /// # Errors
    /// No such tensor, or not enough memory.
    pub fn read(&self, _opened: Device, name: &str) -> Result<Tensor> {
        let entry = self.known(name)?;
        read_entry(&self.map, entry, entry.kind)
    }

    /// A tensor's numbers in the order of its indices, the last fastest. libtorch is not asked, so that
    /// what a user gives can be read and refused before a device is open.
    ///
    /// # Errors
    /// No such tensor, or its kind is none of numbers of 16 to 64 bits.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        numbers_of(&self.map, self.known(name)?).map_err(|kind| {
            Error::file(
                &self.path,
                format!("`{name}` is of {kind:?}, expected numbers of 8 to 64 bits"),
            )
        })
    }

    /// The same, of another kind.
    pub(super) fn read_as(&self, name: &str, kind: Kind) -> Result<Tensor> {
        read_entry(&self.map, self.known(name)?, kind)
    }

    /// A tensor where it lies.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub(super) fn lend(&self, name: &str) -> Result<Lent<'_>> {
        lend_entry(&self.map, self.known(name)?)
    }

    /// Has the system read a tensor's bytes, if they are not in memory, and does not wait for it
    /// longer than the system does.
    pub(super) fn read_ahead(&self, name: &str) {
        let Some(entry) = self.entries.get(name) else { return };
        #[cfg(unix)]
        let advised =
            self.map.advise_range(memmap2::Advice::WillNeed, entry.start, entry.end - entry.start);
        #[cfg(unix)]
        if let Err(error) = advised {
            log::debug!("{}: `{name}` is not read ahead: {error}", self.path.display());
        }
    }

    fn known(&self, name: &str) -> Result<&TensorEntry> {
        let missing = || Error::file(&self.path, format!("has no tensor `{name}`"));
        self.entries.get(name).ok_or_else(missing)
    }

    /// A tensor's bytes as they lie in the file; `None` where there is no such tensor, or its
    /// elements are not in order.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let entry = self.entries.get(name).filter(|entry| entry.strides.is_none())?;
        self.map.get(entry.start..entry.end)
    }

    /// Rows of a matrix, without reading the others: a token embedding is 2 GB, a prompt 512 rows.
    ///
    /// # Errors
    /// No such tensor, not a contiguous matrix, or a row out of range.
    pub fn read_rows(&self, opened: Device, name: &str, rows: &[i64]) -> Result<Tensor> {
        let entry = self.entries.get(name);
        let Some(TensorEntry { kind, shape, strides: None, start, .. }) = entry else {
            return Ok(self.read(opened, name)?.f_index_select(0, &opened.tensor(rows)?)?);
        };
        let &[count, width] = &shape[..] else {
            return Err(Error::file(&self.path, format!("`{name}` is not a matrix: {shape:?}")));
        };
        let size = width as usize * kind.elt_size_in_bytes();
        let mut bytes = Vec::with_capacity(rows.len() * size);
        for &row in rows {
            if !(0..count).contains(&row) {
                return Err(Error::file(
                    &self.path,
                    format!(
                        "`{name}` has {count} rows, row {row} was asked for; tokenizer and text encoder are not of one model"
                    ),
                ));
            }
            let from = start + row as usize * size;
            bytes.extend_from_slice(&self.map[from..from + size]);
        }
        Ok(Tensor::f_from_data_size(&bytes, &[rows.len() as i64, width], *kind)?)
    }
}

/// The sizes and numbers of the one bare tensor in a file, as `torch.save(tensor)` writes it. libtorch
/// is not asked.
///
/// # Errors
/// As [`TensorFile::open`]; also where the file holds anything but one tensor.
pub fn read_bare_tensor(path: &Path) -> Result<(Vec<i64>, Vec<f32>)> {
    let map = map(path)?;
    let not_one = |what: &str| {
        Error::file(path, format!("expected one tensor saved by torch.save, found {what}"))
    };
    if !map.starts_with(b"PK\x03\x04") {
        return Err(not_one("a file that is not a torch.save archive"));
    }
    let archive = Archive::open(path, &map)?;
    let pickle = Pickle::read(archive.pickle).map_err(|problem| Error::file(path, problem))?;
    match &pickle.root {
        Value::Tensor(tensor) => {
            let entry = archive.entry(tensor).map_err(|problem| Error::file(path, problem))?;
            let numbers = numbers_of(&map, &entry).map_err(|kind| {
                Error::file(path, format!("holds {kind:?}, expected numbers of 8 to 64 bits"))
            })?;
            Ok((entry.shape, numbers))
        }
        Value::Dict(_) => Err(not_one("a dictionary of tensors")),
        _ => Err(not_one("no tensor")),
    }
}

#[allow(unsafe_code)]
fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    if !file.metadata().map_err(Error::io("open", path))?.is_file() {
        return Err(Error::file(path, "is not a regular file"));
    }
    // SAFETY: the map is read-only and private to this process. Weights are not rewritten in
    // place while a model is loaded: downloads and merges publish by rename. Were one truncated
    // all the same, the process would receive SIGBUS; it could not read another's memory.
    unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))
}

/// Each element as float32; its kind where that is none of plain numbers.
fn numbers_of(map: &[u8], entry: &TensorEntry) -> std::result::Result<Vec<f32>, Kind> {
    let number: fn(&[u8]) -> f32 = match entry.kind {
        Kind::Float => |bytes| bytemuck::pod_read_unaligned(bytes),
        Kind::Double => |bytes| bytemuck::pod_read_unaligned::<f64>(bytes) as f32,
        Kind::Half => |bytes| f16::from_bits(bytemuck::pod_read_unaligned(bytes)).to_f32(),
        Kind::BFloat16 => |bytes| bf16::from_bits(bytemuck::pod_read_unaligned(bytes)).to_f32(),
        Kind::Int64 => |bytes| bytemuck::pod_read_unaligned::<i64>(bytes) as f32,
        Kind::Int => |bytes| bytemuck::pod_read_unaligned::<i32>(bytes) as f32,
        Kind::Int16 => |bytes| bytemuck::pod_read_unaligned::<i16>(bytes).into(),
        Kind::Int8 => |bytes| bytemuck::pod_read_unaligned::<i8>(bytes).into(),
        Kind::Uint8 | Kind::Bool => |bytes| bytes[0].into(),
        other => return Err(other),
    };
    let size = entry.kind.elt_size_in_bytes();
    let bytes = &map[entry.start..entry.end];
    let Some(strides) = &entry.strides else {
        return Ok(bytes.chunks_exact(size).map(number).collect());
    };
    let count = entry.shape.iter().product::<i64>().max(0) as usize;
    let mut index = vec![0i64; entry.shape.len()];
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let at: i64 = index.iter().zip(strides).map(|(index, stride)| index * stride).sum();
        numbers.push(number(&bytes[at as usize * size..][..size]));
        for (axis, index) in index.iter_mut().enumerate().rev() {
            *index += 1;
            if *index < entry.shape[axis] {
                break;
            }
            *index = 0;
        }
    }
    Ok(numbers)
}

fn lend_entry<'a>(map: &'a [u8], entry: &TensorEntry) -> Result<Lent<'a>> {
    let bytes = &map[entry.start..entry.end];
    match &entry.strides {
        None => Lent::new(bytes, &entry.shape, entry.kind),
        Some(strides) => Lent::strided(bytes, &entry.shape, strides, entry.kind),
    }
}

fn read_entry(map: &[u8], entry: &TensorEntry, kind: Kind) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let tensor = Tensor::f_empty(&entry.shape, (kind, tch::Device::Cpu))?;
    let [rows, width] = matrix_of(&entry.shape);
    lend_entry(map, entry)?.copy_rows(0, rows, &mut tensor.f_view([rows, width])?)?;
    Ok(tensor)
}

fn safetensors_entries(path: &Path, map: &[u8]) -> Result<BTreeMap<String, TensorEntry>> {
    let parsed = SafeTensors::deserialize(map).map_err(|error| {
        Error::file(
            path,
            format!(
                "not a whole safetensors file ({error}); {} bytes are there. Fetch it again",
                map.len()
            ),
        )
    })?;
    let base = map.as_ptr() as usize;
    parsed
        .iter()
        .map(|(name, view)| {
            let start = view.data().as_ptr() as usize - base;
            let shape = view.shape().iter().map(|&size| size as i64).collect();
            let kind = safetensors_kind(view.dtype()).ok_or_else(|| Error::Tensor {
                path: path.to_owned(),
                name: name.to_owned(),
                expected: "numbers of 8 to 64 bits".into(),
                found: format!("{:?}", view.dtype()),
            })?;
            let entry =
                TensorEntry { kind, shape, strides: None, start, end: start + view.data().len() };
            Ok((name.to_owned(), entry))
        })
        .collect()
}

fn safetensors_kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F8_E4M3 => Kind::Float8e4m3fn,
        Dtype::F8_E5M2 => Kind::Float8e5m2,
        _ => return None,
    })
}

fn archive_entries(path: &Path, map: &[u8]) -> Result<BTreeMap<String, TensorEntry>> {
    let archive = Archive::open(path, map)?;
    let pickle = Pickle::read(archive.pickle).map_err(|problem| Error::file(path, problem))?;
    let Value::Dict(mut dict) = pickle.root else {
        return Err(Error::file(path, "expected a dictionary of tensors, found another value"));
    };
    // Training checkpoints keep the weights one level down.
    for (key, value) in pickle.entries(dict) {
        if let (Value::Str(key), Value::Dict(inner)) = (key, value)
            && &**key == "state_dict"
        {
            dict = *inner;
            break;
        }
    }
    let mut entries = BTreeMap::new();
    for (key, value) in pickle.entries(dict) {
        if let (Value::Str(name), Value::Tensor(tensor)) = (key, value) {
            let entry = archive
                .entry(tensor)
                .map_err(|problem| Error::file(path, format!("tensor `{name}`: {problem}")))?;
            entries.insert(name.to_string(), entry);
        }
    }
    Ok(entries)
}

/// The pickle and the storages of a `torch.save` archive, as byte ranges of the map.
struct Archive<'a> {
    pickle: &'a [u8],
    storages: BTreeMap<String, (usize, usize)>,
}

impl<'a> Archive<'a> {
    fn open(path: &Path, map: &'a [u8]) -> Result<Self> {
        let damaged = |problem: String| {
            Error::file(path, format!("not a whole torch.save archive ({problem}); fetch it again"))
        };
        let mut zip =
            ZipArchive::new(Cursor::new(map)).map_err(|error| damaged(error.to_string()))?;
        let mut pickle = None;
        let mut storages = BTreeMap::new();
        for index in 0..zip.len() {
            let entry = zip.by_index(index).map_err(|error| damaged(error.to_string()))?;
            let name = entry.name().map_err(|error| damaged(error.to_string()))?.into_owned();
            let stored = entry.compression() == CompressionMethod::Stored;
            let range = entry.data_start().and_then(|start| {
                let start = usize::try_from(start).ok()?;
                let end = start.checked_add(usize::try_from(entry.size()).ok()?)?;
                (stored && end <= map.len()).then_some((start, end))
            });
            let (start, end) =
                range.ok_or_else(|| damaged(format!("`{name}` is compressed or cut off")))?;
            // Names are `<archive>/data.pkl`, `<archive>/data/<key>`, `<archive>/byteorder`.
            let inner = name.split_once('/').map_or(name.as_str(), |(_, inner)| inner);
            if inner == "data.pkl" {
                pickle = Some(&map[start..end]);
            } else if inner == "byteorder" && &map[start..end] != b"little" {
                return Err(damaged("its numbers are big-endian".into()));
            } else if let Some(key) = inner.strip_prefix("data/") {
                storages.insert(key.to_owned(), (start, end));
            }
        }
        let pickle = pickle.ok_or_else(|| damaged("no data.pkl in it".into()))?;
        Ok(Self { pickle, storages })
    }

    /// Checks that every element the view can reach lies inside its storage.
    fn entry(&self, tensor: &PickledTensor) -> Result<TensorEntry, String> {
        let PickledTensor { storage, offset, shape, strides } = tensor;
        let &(start, end) = self
            .storages
            .get(&*storage.key)
            .ok_or_else(|| format!("its storage data/{} is missing", storage.key))?;
        let size = storage.kind.elt_size_in_bytes();
        let outside = || {
            format!(
                "shape {shape:?} with strides {strides:?} at {offset} lies outside its storage of {} numbers",
                storage.numel
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
        let span = if empty { 0 } else { last + 1 };
        let held = ((end - start) / size) as i64;
        if offset.checked_add(span).is_none_or(|needed| needed > held || needed > storage.numel) {
            return Err(outside());
        }
        // A view may repeat its elements; nothing a model needs is larger than its storage.
        if numel > held {
            return Err(outside());
        }
        let contiguous = is_contiguous(shape, strides);
        let first = start + *offset as usize * size;
        Ok(TensorEntry {
            kind: storage.kind,
            shape: shape.clone(),
            strides: (!contiguous).then(|| strides.clone()),
            start: first,
            end: first + span as usize * size,
        })
    }
}

fn is_contiguous(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}
