//! How a tensor lies in its file: kind, sizes, place.

#![forbid(unsafe_code)]

use std::fmt;

use tch::Kind;

pub use super::block_format::BlockFormat;

/// What the numbers of a tensor are stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredKind {
    /// Each number by itself.
    Plain(Kind),
    /// Blocks of numbers that share their scales, as GGUF has them.
    Blocks(BlockFormat),
    /// Numbers that cannot be read, by the name that their file gives them.
    Unreadable(String),
}

impl StoredKind {
    /// The kind that its numbers are read as.
    pub fn read_as(&self) -> Kind {
        match self {
            Self::Plain(kind) => *kind,
            Self::Blocks(_) => Kind::Float,
            Self::Unreadable(_) => Kind::Uint8,
        }
    }

    /// Whether each number takes less than 16 bits.
    pub fn is_quantized(&self) -> bool {
        match self {
            Self::Plain(kind) => kind.elt_size_in_bytes() < 2,
            Self::Blocks(_) => true,
            Self::Unreadable(_) => false,
        }
    }

    /// Bytes of as many numbers, in whole blocks.
    pub fn bytes_of(&self, numbers: usize) -> usize {
        match self {
            Self::Plain(kind) => numbers * kind.elt_size_in_bytes(),
            Self::Blocks(format) => numbers / format.numbers() * format.bytes(),
            Self::Unreadable(_) => 0,
        }
    }

    /// The spelling that counts in fingerprints: it may never change.
    pub(super) fn fingerprint_name(&self) -> String {
        match self {
            Self::Plain(kind) => format!("{kind:?}"),
            Self::Blocks(format) => format!("{format:?}"),
            Self::Unreadable(name) => name.clone(),
        }
    }
}

impl fmt::Display for StoredKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Plain(kind) => match kind {
                Kind::Float => "float32",
                Kind::Double => "float64",
                Kind::Half => "float16",
                Kind::BFloat16 => "bfloat16",
                Kind::Float8e4m3fn => "fp8 (e4m3fn)",
                Kind::Float8e5m2 => "fp8 (e5m2)",
                Kind::Int8 => "int8",
                Kind::Uint8 => "uint8",
                Kind::Int16 => "int16",
                Kind::Int => "int32",
                Kind::Int64 => "int64",
                Kind::Bool => "bool",
                other => return write!(formatter, "{other:?}"),
            },
            Self::Blocks(format) => return write!(formatter, "{format:?}"),
            Self::Unreadable(name) => name,
        };
        formatter.write_str(name)
    }
}

/// A tensor as its file describes it.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    /// The kind that its numbers are read as: float32 where they are stored in blocks.
    pub kind: Kind,
    /// What they are in the file.
    pub stored: StoredKind,
    /// The sizes of the tensor's axes.
    pub shape: Vec<i64>,
    /// Strides in elements, where they are not those of a contiguous tensor.
    pub(super) strides: Option<Vec<i64>>,
    /// Where its bytes begin in the file.
    pub(super) start: u64,
    /// Where they end.
    pub(super) end: u64,
}

impl TensorEntry {
    /// A tensor whose numbers lie in order between two places of a file.
    pub(super) fn contiguous(stored: StoredKind, shape: Vec<i64>, start: u64, end: u64) -> Self {
        Self { kind: stored.read_as(), stored, shape, strides: None, start, end }
    }

    /// Bytes of the tensor in the file.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// The product of its sizes.
    pub fn numbers(&self) -> i64 {
        self.shape.iter().product()
    }
}
