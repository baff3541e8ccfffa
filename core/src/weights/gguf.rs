//! GGUF files: which tensors there are, and the few remarks that matter here.
//!
//! A header is read through a buffer, field by field; what is not needed is passed over, so that a file
//! cannot ask for more memory than its own names take.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use tch::Kind;

use super::block_format::BlockFormat;
use super::file_bytes::FileBytes;
use super::stored_kind::{StoredKind, TensorEntry};
use crate::{Error, Result};

/// The first bytes of every file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// Before a tensor's name, in the remark that has its shape where a file could not.
const SHAPE_REMARK: &str = "comfy.gguf.orig_shape.";
/// The remark that says where data may begin.
const ALIGNMENT_REMARK: &str = "general.alignment";

/// Axes that a tensor may have.
const MOST_AXES: u32 = 8;
/// Bytes of the longest name or remark that is kept.
const LONGEST_KEPT: u64 = 1 << 16;
/// Arrays within arrays, of which no known file has any.
const DEEPEST: usize = 4;

/// What a header says.
pub(super) struct GgufHeader {
    pub(super) entries: BTreeMap<String, TensorEntry>,
    pub(super) remarks: BTreeMap<String, String>,
}

/// What is wrong, without the file's name.
pub(super) type Parsed<T> = std::result::Result<T, String>;

impl GgufHeader {
    /// Reads the header of a file that begins with [`MAGIC`].
    ///
    /// # Errors
    /// It is damaged, cut off, or of a version that is not known.
    pub(super) fn read(file: &FileBytes) -> Result<Self> {
        let mut source = file.file();
        source.seek(SeekFrom::Start(4)).map_err(Error::io("read", file.path()))?;
        let reader = BufReader::with_capacity(1 << 16, source);
        let mut header = HeaderReader { reader, place: 4, end: file.len() };
        header.whole().map_err(|problem| {
            Error::file(
                file.path(),
                format!(
                    "not a whole GGUF file ({problem}); {} bytes are there. Fetch it again",
                    file.len()
                ),
            )
        })
    }
}

/// A tensor as the header lists it.
struct GgufTensor {
    name: String,
    /// The fastest axis first.
    sizes: Vec<u64>,
    kind: u32,
    offset: u64,
}

pub(super) struct HeaderReader<R> {
    pub(super) reader: R,
    /// Bytes of the file that have been read.
    pub(super) place: u64,
    /// Bytes that it has.
    pub(super) end: u64,
}

impl<R: Read> HeaderReader<R> {
    fn whole(&mut self) -> Parsed<GgufHeader> {
        let version = self.u32()?;
        match version {
            2 | 3 => {}
            1 => return Err("its version is 1, of which 2 and 3 are understood".into()),
            other if other.swap_bytes() <= 3 => return Err("its numbers are big-endian".into()),
            other => {
                return Err(format!("its version is {other}, of which 2 and 3 are understood"));
            }
        }
        let (tensors, remarks) = (self.u64()?, self.u64()?);
        let mut kept = BTreeMap::new();
        let mut shapes = BTreeMap::new();
        for _ in 0..remarks {
            let key = self.text()?;
            let kind = self.u32()?;
            if let Some(tensor) = key.strip_prefix(SHAPE_REMARK) {
                shapes.insert(tensor.to_owned(), self.sizes(kind)?);
            } else if let Some(value) = self.value(kind, 0)? {
                kept.insert(key, value);
            }
        }
        let mut listed = Vec::new();
        for _ in 0..tensors {
            listed.push(self.listed()?);
        }
        let alignment = match kept.get(ALIGNMENT_REMARK) {
            Some(text) => text.parse::<u64>().ok().filter(|&bytes| (1..=1 << 20).contains(&bytes)),
            None => Some(32),
        };
        let alignment = alignment.ok_or("its alignment is not a number of bytes")?;
        let data = self.place.checked_next_multiple_of(alignment).ok_or("it is too long")?;
        let mut entries = BTreeMap::new();
        for tensor in listed {
            let shape = shapes.get(&tensor.name).map(Vec::as_slice);
            let entry = entry(&tensor, shape, data, self.end)
                .map_err(|problem| format!("tensor `{}`: {problem}", tensor.name))?;
            if entries.insert(tensor.name.clone(), entry).is_some() {
                return Err(format!("two tensors are called `{}`", tensor.name));
            }
        }
        Ok(GgufHeader { entries, remarks: kept })
    }

    fn listed(&mut self) -> Parsed<GgufTensor> {
        let name = self.text()?;
        let axes = self.u32()?;
        if axes > MOST_AXES {
            return Err(format!("tensor `{name}` has {axes} axes"));
        }
        let sizes = (0..axes).map(|_| self.u64()).collect::<Parsed<_>>()?;
        Ok(GgufTensor { name, sizes, kind: self.u32()?, offset: self.u64()? })
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.place += N as u64;
        self.reader.read_exact(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Passes over so many bytes.
    fn pass(&mut self, bytes: u64) -> Parsed<()> {
        if bytes > self.end.saturating_sub(self.place) {
            return Err("its header is cut off".into());
        }
        self.place += bytes;
        let passed = std::io::copy(&mut (&mut self.reader).take(bytes), &mut std::io::sink());
        if passed.map_err(cut_off)? == bytes { Ok(()) } else { Err("its header is cut off".into()) }
    }

    /// A text that is kept: names are short.
    pub(super) fn text(&mut self) -> Parsed<String> {
        let length = self.u64()?;
        if length > LONGEST_KEPT {
            return Err(format!("a name is {length} bytes long"));
        }
        let mut text = vec![0; length as usize];
        self.place += length;
        self.reader.read_exact(&mut text).map_err(cut_off)?;
        String::from_utf8(text).map_err(|_| "a name is not UTF-8".to_owned())
    }

    /// The value of a remark where it is a short text or a whole number.
    pub(super) fn value(&mut self, kind: u32, depth: usize) -> Parsed<Option<String>> {
        Ok(match kind {
            0 | 1 | 7 => self.pass(1).map(|()| None)?,
            2 | 3 => self.pass(2).map(|()| None)?,
            4 => Some(self.u32()?.to_string()),
            5 => Some(i32::from_le_bytes(self.bytes()?).to_string()),
            6 => self.pass(4).map(|()| None)?,
            8 => {
                let length = self.u64()?;
                if length > LONGEST_KEPT {
                    return self.pass(length).map(|()| None);
                }
                let mut text = vec![0; length as usize];
                self.place += length;
                self.reader.read_exact(&mut text).map_err(cut_off)?;
                String::from_utf8(text).ok()
            }
            9 => self.array(depth).map(|()| None)?,
            10 => Some(self.u64()?.to_string()),
            11 => Some(i64::from_le_bytes(self.bytes()?).to_string()),
            12 => self.pass(8).map(|()| None)?,
            other => return Err(format!("a remark is of kind {other}, which is not known")),
        })
    }

    /// Passes over an array.
    fn array(&mut self, depth: usize) -> Parsed<()> {
        if depth == DEEPEST {
            return Err("its arrays lie too deep in each other".into());
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        let each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            _ => {
                for _ in 0..count {
                    if kind == 8 {
                        let length = self.u64()?;
                        self.pass(length)?;
                    } else {
                        self.value(kind, depth + 1)?;
                    }
                }
                return Ok(());
            }
        };
        self.pass(count.checked_mul(each).ok_or("an array is too long")?)
    }

    /// A tensor's sizes, kept in an array of numbers.
    fn sizes(&mut self, kind: u32) -> Parsed<Vec<i64>> {
        if kind != 9 {
            return Err("a shape is not an array".into());
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        if count > MOST_AXES.into() {
            return Err(format!("a shape has {count} axes"));
        }
        (0..count)
            .map(|_| match kind {
                4 => self.u32().map(i64::from),
                5 => self.bytes().map(|bytes| i32::from_le_bytes(bytes).into()),
                10 | 11 => self.bytes().map(i64::from_le_bytes),
                _ => Err("a shape is not of whole numbers".into()),
            })
            .collect()
    }
}

fn cut_off(error: std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "its header is cut off".to_owned();
    }
    error.to_string()
}

/// What a tensor of the list is, whose data begin at `data` of `end` bytes.
fn entry(listed: &GgufTensor, shape: Option<&[i64]>, data: u64, end: u64) -> Parsed<TensorEntry> {
    let GgufTensor { sizes, kind, offset, .. } = listed;
    let too_large = || format!("its sizes {sizes:?} are too large");
    let numbers = sizes.iter().try_fold(1u64, |n, &size| n.checked_mul(size));
    let numbers = numbers.filter(|&n| n < 1 << 48).ok_or_else(too_large)?;
    let own: Vec<i64> = sizes.iter().rev().map(|&size| size as i64).collect();
    let product = |shape: &[i64]| {
        shape.iter().try_fold(1i64, |n, &size| n.checked_mul(size).filter(|_| size >= 0))
    };
    let shape = match shape {
        Some(shape) if product(shape) == Some(numbers as i64) => shape.to_vec(),
        Some(shape) => return Err(format!("its shape {shape:?} is not of {numbers} numbers")),
        None => own,
    };
    let stored = stored_kind(*kind);
    let start = data.checked_add(*offset).ok_or_else(too_large)?;
    let bytes = match &stored {
        StoredKind::Plain(kind) => numbers * kind.elt_size_in_bytes() as u64,
        StoredKind::Blocks(format) => {
            let each = format.numbers() as u64;
            let row = sizes.first().copied().unwrap_or(1);
            if !row.is_multiple_of(each) {
                return Err(format!("its rows of {row} are no whole blocks of {each}"));
            }
            numbers / each * format.bytes() as u64
        }
        // How long it is nobody needs to know who does not read it.
        StoredKind::Unreadable(_) => 0,
    };
    let stop = start.checked_add(bytes).filter(|&stop| stop <= end);
    let stop = stop.ok_or_else(|| format!("its {bytes} bytes lie beyond the end"))?;
    Ok(TensorEntry::contiguous(stored, shape, start, stop))
}

/// The kind of a number of ggml's list.
fn stored_kind(kind: u32) -> StoredKind {
    StoredKind::Plain(match kind {
        0 => Kind::Float,
        1 => Kind::Half,
        24 => Kind::Int8,
        25 => Kind::Int16,
        26 => Kind::Int,
        27 => Kind::Int64,
        28 => Kind::Double,
        30 => Kind::BFloat16,
        2 => return StoredKind::Blocks(BlockFormat::Q4_0),
        3 => return StoredKind::Blocks(BlockFormat::Q4_1),
        6 => return StoredKind::Blocks(BlockFormat::Q5_0),
        7 => return StoredKind::Blocks(BlockFormat::Q5_1),
        8 => return StoredKind::Blocks(BlockFormat::Q8_0),
        12 => return StoredKind::Blocks(BlockFormat::Q4_K),
        13 => return StoredKind::Blocks(BlockFormat::Q5_K),
        14 => return StoredKind::Blocks(BlockFormat::Q6_K),
        other => return StoredKind::Unreadable(unreadable(other)),
    })
}

/// What a format that is not read is called.
fn unreadable(kind: u32) -> String {
    const NAMES: [(u32, &str); 18] = [
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
        (41, "Q1_0"),
    ];
    match NAMES.iter().find(|(number, _)| *number == kind) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("GGUF kind {kind}"),
    }
}
