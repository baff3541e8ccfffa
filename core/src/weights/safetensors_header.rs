//! The header of a safetensors file.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use tch::Kind;

use super::file_bytes::FileBytes;
use super::stored_kind::{StoredKind, TensorEntry};
use crate::{Error, Result};

/// Bytes of the longest header that the format allows.
const LONGEST: u64 = 100_000_000;

/// What a header says.
pub(super) struct SafetensorsHeader {
    pub(super) entries: BTreeMap<String, TensorEntry>,
    pub(super) remarks: BTreeMap<String, String>,
    /// How long the file must be.
    expected: u64,
}

impl SafetensorsHeader {
    /// Reads the header of a whole file; `remedy` is how another one is come by, as a sentence.
    ///
    /// # Errors
    /// It is none, or the file is cut off or longer.
    pub(super) fn read(file: &FileBytes, remedy: &str) -> Result<Self> {
        let refuse = |problem: String| {
            Error::file(
                file.path(),
                format!(
                    "not a whole safetensors file ({problem}); {} bytes are there. {remedy}",
                    file.len()
                ),
            )
        };
        let header = Self::of_any(file)?.map_err(refuse)?;
        if header.expected != file.len() {
            return Err(refuse(format!("{} bytes are expected", header.expected)));
        }
        Ok(header)
    }

    /// Reads the header of a file that may be cut off after it; what is wrong with the header where it
    /// is none.
    pub(super) fn of_any(file: &FileBytes) -> Result<Result<Self, String>> {
        if file.len() < 8 {
            return Ok(Err("its header is cut off".into()));
        }
        let mut length = [0; 8];
        file.read_into(0, &mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST {
            return Ok(Err("its header is too large".into()));
        }
        let data = 8 + length;
        if data > file.len() {
            return Ok(Err("its header is cut off".into()));
        }
        let text = file.read(8, data)?;
        Ok(serde_json::from_slice::<Metadata>(&text)
            .map(|metadata| Self::of(&metadata, data))
            .map_err(|error| error.to_string()))
    }

    fn of(metadata: &Metadata, data: u64) -> Self {
        let entries = metadata.tensors().into_iter().map(|(name, info)| {
            let shape = info.shape.iter().map(|&size| size as i64).collect();
            let (start, end) = info.data_offsets;
            let (start, end) = (data + start as u64, data + end as u64);
            (name, TensorEntry::contiguous(stored_kind(info.dtype), shape, start, end))
        });
        let remarks = metadata.metadata().clone().unwrap_or_default();
        Self {
            entries: entries.collect(),
            remarks: remarks.into_iter().collect(),
            expected: data + metadata.data_len() as u64,
        }
    }
}

fn stored_kind(dtype: Dtype) -> StoredKind {
    StoredKind::Plain(match dtype {
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
        other => return StoredKind::Unreadable(format!("{other:?}")),
    })
}
