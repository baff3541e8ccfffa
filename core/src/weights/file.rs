//! Files of tensors: safetensors, the zip archives of `torch.save`, and GGUF.
//!
//! Opening reads the header only; a tensor's bytes are read when it is asked for, so that what is
//! resident is what the model uses.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use tch::{Kind, Tensor};

use super::archive;
use super::file_bytes::FileBytes;
use super::gguf::{self, GgufHeader};
use super::no_weights;
use super::safetensors_header::SafetensorsHeader;
use super::stored_kind::{StoredKind, TensorEntry};
use super::stored_weight::StoredWeight;
use crate::device::Device;
use crate::{Error, Result};

/// Bytes that are read at once where a tensor is only looked at.
const CHUNK: u64 = 1 << 22;
/// Memory of tensors begins at a multiple of this in libtorch.
const ALIGNMENT: usize = 64;
/// The first bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// One file of named tensors.
#[derive(Debug)]
pub struct TensorFile {
    bytes: FileBytes,
    entries: BTreeMap<String, TensorEntry>,
    metadata: BTreeMap<String, String>,
    gguf: bool,
}

impl TensorFile {
    /// Opens a file of tensors, whose kind is told by its first bytes.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or truncated, is none of tensors, or its pickle asks for
    /// more than tensors.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_or(path, "Fetch it again")
    }

    /// The same of a file that this program has made, and that is nowhere to be fetched.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn open_own(path: &Path) -> Result<Self> {
        Self::open_or(path, "Make it again")
    }

    /// `remedy`: how another file is come by, where this one is not whole.
    fn open_or(path: &Path, remedy: &str) -> Result<Self> {
        let bytes = FileBytes::open(path)?;
        let mut head = vec![0; bytes.len().min(64) as usize];
        bytes.read_into(0, &mut head)?;
        let gguf = head.starts_with(gguf::MAGIC);
        let (entries, metadata) = if gguf {
            let GgufHeader { entries, remarks } = GgufHeader::read(&bytes)?;
            (entries, remarks)
        } else if head.starts_with(ZIP) {
            (archive::dictionary(&bytes)?, BTreeMap::new())
        } else {
            // The length of a safetensors header may begin like anything else, so that it is tried first.
            let header =
                SafetensorsHeader::read(&bytes, remedy).map_err(|error| match no_weights::said_by(
                    &head,
                ) {
                    Some(said) => Error::file(path, said),
                    None => error,
                });
            let SafetensorsHeader { entries, remarks, .. } = header?;
            (entries, remarks)
        };
        Ok(Self { bytes, entries, metadata, gguf })
    }

    /// The names in the header of a safetensors file that is cut off after it; none of any other file.
    pub(super) fn names_in_torn(path: &Path) -> Vec<String> {
        let header = FileBytes::open(path).and_then(|bytes| SafetensorsHeader::of_any(&bytes));
        header
            .ok()
            .and_then(Result::ok)
            .map_or(Vec::new(), |header: SafetensorsHeader| header.entries.into_keys().collect())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.bytes.path()
    }

    /// Whether it is a GGUF file.
    pub(super) fn is_gguf(&self) -> bool {
        self.gguf
    }

    /// Every tensor's name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A remark in the header of a safetensors or GGUF file.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Every remark in its header: names and texts.
    pub(super) fn remarks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(name, remark)| (name.as_str(), remark.as_str()))
    }

    /// How the file describes the tensor of that name.
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.get(name)
    }

    /// Whether the file is still what it was when it was opened.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn unchanged(&self) -> Result<()> {
        self.bytes.unchanged()
    }

    /// A copy of a tensor, on the CPU, of its own kind, contiguous.
    ///
    /// # Errors
    /// No such tensor, it cannot be read, or not enough memory.
    pub fn read(&self, _opened: Device, name: &str) -> Result<Tensor> {
        self.read_as_stored(name)
    }

    /// The same of weights, which are made from a device.
    pub(super) fn read_as_stored(&self, name: &str) -> Result<Tensor> {
        self.read_as(name, self.known(name)?.kind)
    }

    /// A tensor's numbers in the order of its indices, the last fastest. libtorch is not asked, so that
    /// what a user gives can be read and refused before a device is open.
    ///
    /// # Errors
    /// No such tensor, or its kind is none of numbers of 16 to 64 bits.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        numbers_of(&self.bytes, self.known(name)?)?.map_err(|kind| {
            Error::file(
                self.path(),
                format!("`{name}` is of {kind}, expected numbers of 8 to 64 bits"),
            )
        })
    }

    /// The same, of another kind.
    pub(super) fn read_as(&self, name: &str, kind: Kind) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let stored = self.stored(name)?;
        let tensor = Tensor::f_empty(stored.shape(), (kind, tch::Device::Cpu))?;
        let [rows, width] = stored.matrix();
        stored.rows_into(0, rows, &mut tensor.f_view([rows, width])?)?;
        Ok(tensor)
    }

    /// A tensor where it lies.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub(super) fn stored(&self, name: &str) -> Result<StoredWeight<'_>> {
        StoredWeight::in_file(&self.bytes, self.known(name)?, name)
    }

    /// The bytes of a small tensor as they lie in the file; at most `most`.
    ///
    /// # Errors
    /// As [`TensorFile::read`]; also where it is larger.
    pub(super) fn small(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let entry = self.known(name)?;
        if entry.bytes() > most {
            let problem = format!("`{name}` has {} bytes, expected {most} at most", entry.bytes());
            return Err(Error::file(self.path(), problem));
        }
        self.bytes.read(entry.start, entry.end)
    }

    /// Gives the bytes of a tensor piece by piece, in the order of its numbers.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub(super) fn each_chunk(&self, name: &str, mut look: impl FnMut(&[u8])) -> Result<()> {
        let entry = self.known(name)?;
        if entry.strides.is_some() {
            let tensor = self.read_as(name, entry.kind)?;
            let bytes: Vec<u8> = tensor.f_view_dtype(Kind::Uint8)?.f_flatten(0, -1)?.try_into()?;
            look(&bytes);
            return Ok(());
        }
        let mut chunk = vec![0; entry.bytes().min(CHUNK) as usize];
        let mut place = entry.start;
        while place < entry.end {
            let piece = &mut chunk[..(entry.end - place).min(CHUNK) as usize];
            self.bytes.read_into(place, piece)?;
            look(piece);
            place += piece.len() as u64;
        }
        Ok(())
    }

    /// Fills `into` with the bytes of the file from `start` on; left in the system's cache or not.
    ///
    /// # Errors
    /// The file has changed since it was opened, or cannot be read.
    pub(super) fn read_bytes(&self, start: u64, into: &mut [u8], cached: bool) -> Result<()> {
        if !cached {
            return self.bytes.read_once(start, into);
        }
        self.bytes.read_ahead(start, start + into.len() as u64);
        self.bytes.read_into(start, into)
    }

    /// Part of the file as memory that is computed with, uint8 `[bytes]` on the CPU, where the system has it so
    /// and it begins where memory of tensors does: other kernels would take it otherwise. It is there as
    /// long as the file is open, and [`TensorFile::unchanged`] says afterwards whether it was the file's.
    ///
    /// # Errors
    /// libtorch makes no tensor of it.
    pub(super) fn mapped(&self, start: u64, bytes: usize) -> Result<Option<Tensor>> {
        let place = usize::try_from(start).ok().filter(|start| start.is_multiple_of(ALIGNMENT));
        let (Some(place), Some(map)) = (place, self.bytes.mapped()) else { return Ok(None) };
        map.tensor(place, bytes)
    }

    /// Has the system bring such a part into memory, and waits for it.
    pub(super) fn bring_in(&self, start: u64, bytes: usize) {
        if let (Ok(start), Some(map)) = (usize::try_from(start), self.bytes.mapped()) {
            map.bring_in(start, bytes);
        }
    }

    /// Has the system read a tensor's bytes, if they are not in memory, and does not wait for it
    /// longer than the system does.
    pub(super) fn read_ahead(&self, name: &str) {
        if let Some(entry) = self.entries.get(name) {
            self.bytes.read_ahead(entry.start, entry.end);
        }
    }

    fn known(&self, name: &str) -> Result<&TensorEntry> {
        let missing = || Error::file(self.path(), format!("has no tensor `{name}`"));
        self.entries.get(name).ok_or_else(missing)
    }
}

/// The sizes and numbers of the one bare tensor in a file, as `torch.save(tensor)` writes it. libtorch
/// is not asked.
///
/// # Errors
/// As [`TensorFile::open`]; also where the file holds anything but one tensor.
pub fn read_bare_tensor(path: &Path) -> Result<(Vec<i64>, Vec<f32>)> {
    let bytes = FileBytes::open(path)?;
    let not_one = |what: &str| {
        Error::file(path, format!("expected one tensor saved by torch.save, found {what}"))
    };
    let mut head = vec![0; bytes.len().min(4) as usize];
    bytes.read_into(0, &mut head)?;
    if head != ZIP {
        return Err(not_one("a file that is not a torch.save archive"));
    }
    let entry = archive::bare_tensor(&bytes)?.map_err(not_one)?;
    let numbers = numbers_of(&bytes, &entry)?.map_err(|kind| {
        Error::file(path, format!("holds {kind}, expected numbers of 8 to 64 bits"))
    })?;
    Ok((entry.shape, numbers))
}

/// Each element as float32; its kind where that is none of plain numbers.
fn numbers_of(file: &FileBytes, entry: &TensorEntry) -> Result<Result<Vec<f32>, StoredKind>> {
    let StoredKind::Plain(kind) = entry.stored else { return Ok(Err(entry.stored.clone())) };
    let number: fn(&[u8]) -> f32 = match kind {
        Kind::Float => |bytes| bytemuck::pod_read_unaligned(bytes),
        Kind::Double => |bytes| bytemuck::pod_read_unaligned::<f64>(bytes) as f32,
        Kind::Half => |bytes| f16::from_bits(bytemuck::pod_read_unaligned(bytes)).to_f32(),
        Kind::BFloat16 => |bytes| bf16::from_bits(bytemuck::pod_read_unaligned(bytes)).to_f32(),
        Kind::Int64 => |bytes| bytemuck::pod_read_unaligned::<i64>(bytes) as f32,
        Kind::Int => |bytes| bytemuck::pod_read_unaligned::<i32>(bytes) as f32,
        Kind::Int16 => |bytes| bytemuck::pod_read_unaligned::<i16>(bytes).into(),
        Kind::Int8 => |bytes| bytemuck::pod_read_unaligned::<i8>(bytes).into(),
        Kind::Uint8 | Kind::Bool => |bytes| bytes[0].into(),
        _ => return Ok(Err(entry.stored.clone())),
    };
    let size = kind.elt_size_in_bytes();
    let bytes = file.read(entry.start, entry.end)?;
    let Some(strides) = &entry.strides else {
        return Ok(Ok(bytes.chunks_exact(size).map(number).collect()));
    };
    let count = entry.numbers().max(0) as usize;
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
    Ok(Ok(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_whose_length_begins_like_an_old_pickle_is_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        // 640 is 0x280: the bytes 0x80 and 0x02 come first.
        let mut bytes = 640u64.to_le_bytes().to_vec();
        bytes.extend(br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
        bytes.resize(8 + 640, b' ');
        bytes.extend(1.5f32.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(TensorFile::open(&path).unwrap().numbers("a").unwrap(), [1.5]);
    }
}
