//! A stored tensor as a matrix, read row by row from its file or from memory, where what is quantized
//! is multiplied out.
#![allow(unsafe_code)]

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::block_tensors::dequantized;
use super::eight_bits;
use super::file_bytes::FileBytes;
use super::held_tensor::Held;
use super::scale::WeightScale;
use super::stored_kind::{BlockFormat, StoredKind, TensorEntry};
use crate::{Error, Result};

/// Memory that a thread keeps between reads; more of it is given back.
const KEPT: usize = 1 << 23;

thread_local! {
    /// Bytes on their way to another kind. Words of 64 bits, so that any number is aligned in it.
    static BUFFER: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A tensor as stored, seen as a matrix `[shape[0], …]`; quantized or not, its rows come out as numbers.
#[derive(Debug)]
pub struct StoredWeight<'a> {
    source: NumbersSource<'a>,
    stored: StoredKind,
    shape: Vec<i64>,
    bytes: u64,
    scale: Option<WeightScale>,
}

#[derive(Debug)]
enum NumbersSource<'a> {
    /// In order in a file, from a place on.
    File(&'a FileBytes, u64),
    /// In order in memory.
    Memory(Vec<u8>),
    /// In order in memory that somebody else keeps.
    Lent(&'a [u8]),
    /// In order in the memory of a device: uint8 `[bytes]`.
    OnDevice(Held),
    /// A view whose numbers did not lie in order, put in order: `[rows, width]`.
    Ordered(Held),
}

impl<'a> StoredWeight<'a> {
    /// A tensor where it lies in a file.
    ///
    /// # Errors
    /// Its numbers cannot be read, or memory runs out.
    pub(super) fn in_file(file: &'a FileBytes, entry: &TensorEntry, name: &str) -> Result<Self> {
        if let StoredKind::Unreadable(_) = &entry.stored {
            return Err(Error::Tensor {
                path: file.path().to_owned(),
                name: name.to_owned(),
                expected: "numbers that can be read".into(),
                found: entry.stored.to_string(),
            });
        }
        let source = match &entry.strides {
            None => NumbersSource::File(file, entry.start),
            Some(strides) => NumbersSource::Ordered(Held::new(ordered(file, entry, strides)?)),
        };
        Ok(Self {
            source,
            stored: entry.stored.clone(),
            shape: entry.shape.clone(),
            bytes: entry.bytes(),
            scale: None,
        })
    }

    /// A tensor whose bytes lie in memory of the host.
    pub(super) fn in_memory(bytes: &'a [u8], stored: &StoredKind, shape: &[i64]) -> Self {
        Self::from_source(NumbersSource::Lent(bytes), bytes.len(), stored, shape)
    }

    /// A tensor whose bytes lie in memory of a device, uint8 `[bytes]`: its rows come out there.
    pub(super) fn on_device(bytes: Tensor, stored: &StoredKind, shape: &[i64]) -> Self {
        let count = bytes.numel();
        Self::from_source(NumbersSource::OnDevice(Held::new(bytes)), count, stored, shape)
    }

    fn from_source(
        source: NumbersSource<'a>,
        bytes: usize,
        stored: &StoredKind,
        shape: &[i64],
    ) -> Self {
        let (stored, shape) = (stored.clone(), shape.to_vec());
        Self { source, stored, shape, bytes: bytes as u64, scale: None }
    }

    /// The same with the scales that its numbers are to be multiplied by.
    pub(super) fn scaled(self, scale: Option<WeightScale>) -> Self {
        Self { scale, ..self }
    }

    /// The same, for rows on `device`.
    pub(super) fn for_device(mut self, device: Device) -> Result<Self> {
        self.scale = self.scale.map(|scale| scale.to(device)).transpose()?;
        Ok(self)
    }

    /// The same, its bytes copied into memory as they are stored: it no longer needs its file.
    ///
    /// # Errors
    /// The file has changed or cannot be read, or memory runs out.
    pub fn keep(self) -> Result<StoredWeight<'static>> {
        let Self { source, stored, shape, bytes, scale } = self;
        let source = match source {
            NumbersSource::File(file, start) => {
                NumbersSource::Memory(file.read(start, start + bytes)?)
            }
            NumbersSource::Memory(memory) => NumbersSource::Memory(memory),
            NumbersSource::Lent(memory) => NumbersSource::Memory(memory.to_vec()),
            NumbersSource::OnDevice(memory) => NumbersSource::OnDevice(memory),
            NumbersSource::Ordered(matrix) => NumbersSource::Ordered(matrix),
        };
        Ok(StoredWeight { source, stored, shape, bytes, scale })
    }

    /// Copies its bytes as they are stored, in the order of its numbers, into `to`: uint8 `[bytes]`.
    ///
    /// # Errors
    /// As [`StoredWeight::rows_into`]; or `to` is of another size.
    pub(super) fn copy_to(&self, to: &mut Tensor) -> Result<()> {
        if let NumbersSource::Ordered(matrix) = &self.source {
            to.f_copy_(&matrix.tensor().f_view_dtype(Kind::Uint8)?.f_view([-1])?)?;
            return Ok(());
        }
        let bytes = self.stored.bytes_of(self.shape.iter().product::<i64>() as usize);
        match memory_of(to, bytes) {
            Some(to) => self.bytes_into(0, to),
            None => {
                let mut read = vec![0; bytes];
                self.bytes_into(0, &mut read)?;
                to.f_copy_(&Tensor::f_from_slice(&read)?)?;
                Ok(())
            }
        }
    }

    /// What its numbers are stored as.
    pub fn kind(&self) -> &StoredKind {
        &self.stored
    }

    /// Bytes that it takes as stored, its scales not counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sizes of the tensor's axes.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Rows and width of the matrix.
    pub fn matrix(&self) -> [i64; 2] {
        matrix_of(&self.shape)
    }

    /// Whether its numbers come out by arithmetic, which is float32.
    pub(super) fn is_computed(&self) -> bool {
        self.scale.is_some() || matches!(self.stored, StoredKind::Blocks(_))
    }

    /// Multiplies all of it out into `scratch`, float32 `[rows, width]`.
    ///
    /// # Errors
    /// As [`StoredWeight::rows_into`].
    pub fn dequantize_into(&self, scratch: &mut Tensor) -> Result<()> {
        self.rows_into(0, self.matrix()[0], scratch)
    }

    /// Puts `count` rows from `first` on into `to`, `[count, width]`, scales multiplied in. `to` may be
    /// of another kind and elsewhere; float32 where numbers come out by arithmetic.
    ///
    /// # Errors
    /// The file has changed or cannot be read, or memory runs out.
    pub fn rows_into(&self, first: i64, count: i64, to: &mut Tensor) -> Result<()> {
        let width = self.matrix()[1];
        if count * width == 0 {
            return Ok(());
        }
        match (&self.source, &self.stored) {
            (NumbersSource::Ordered(matrix), _) => {
                to.f_copy_(&matrix.tensor().f_narrow(0, first, count)?)?;
            }
            (_, StoredKind::Blocks(format)) => {
                self.blocks_into(*format, (first * width) as usize, (count * width) as usize, to)?;
            }
            (_, kind) => self.plain_into(kind.read_as(), first * width, [count, width], to)?,
        }
        match &self.scale {
            Some(scale) => scale.multiply(first, to),
            None => Ok(()),
        }
    }

    /// The same where it takes no way through a tensor of float32: GGUF's blocks, and numbers of 8 bits
    /// with a scale for each row, on their way to bfloat16 on the CPU. Otherwise nothing is done, and the
    /// answer is no.
    ///
    /// # Errors
    /// As [`StoredWeight::rows_into`].
    pub(super) fn rows_into_bfloat16(
        &self,
        first: i64,
        count: i64,
        to: &mut Tensor,
    ) -> Result<bool> {
        let width = self.matrix()[1];
        let (first_number, numbers) = ((first * width) as usize, (count * width) as usize);
        let elsewhere =
            matches!(self.source, NumbersSource::Ordered(_) | NumbersSource::OnDevice(_));
        if elsewhere || to.kind() != Kind::BFloat16 {
            return Ok(false);
        }
        let Some(memory) = memory_of(to, numbers * 2) else { return Ok(false) };
        let Ok(to) = bytemuck::try_cast_slice_mut::<u8, u16>(memory) else { return Ok(false) };
        match (&self.stored, &self.scale) {
            (StoredKind::Plain(kind), Some(scale)) => {
                let (Some(table), Some(scales)) =
                    (eight_bits::numbers(*kind), scale.of_rows(first, count)?)
                else {
                    return Ok(false);
                };
                self.with_bytes(first_number as u64, numbers, |codes| {
                    eight_bits::bfloat16_into(&table, &scales, width as usize, codes, to);
                })?;
            }
            (StoredKind::Blocks(format), None) => {
                let each = format.numbers();
                if !first_number.is_multiple_of(each) || !numbers.is_multiple_of(each) {
                    return Ok(false);
                }
                let begin = first_number / each * format.bytes();
                self.with_bytes(begin as u64, numbers / each * format.bytes(), |blocks| {
                    format.dequantize_to_bfloat16(blocks, to);
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Numbers that are stored each by itself.
    fn plain_into(&self, kind: Kind, first: i64, shape: [i64; 2], to: &mut Tensor) -> Result<()> {
        let size = kind.elt_size_in_bytes();
        let start = first as u64 * size as u64;
        let bytes = (shape[0] * shape[1]) as usize * size;
        if let NumbersSource::OnDevice(memory) = &self.source {
            let memory = memory.tensor().f_narrow(0, start as i64, bytes as i64)?;
            to.f_copy_(&memory.f_view_dtype(kind)?.f_view(shape)?)?;
            return Ok(());
        }
        // Of truth values not any byte is one.
        if kind != Kind::Bool
            && to.kind() == kind
            && let Some(memory) = memory_of(to, bytes)
        {
            return self.bytes_into(start, memory);
        }
        with_buffer(bytes, |buffer| {
            self.bytes_into(start, buffer)?;
            let kind = if kind == Kind::Bool { Kind::Uint8 } else { kind };
            // SAFETY: the buffer holds exactly the numbers of the shape, aligned, and any bytes are
            // numbers. The tensor is copied from and dropped before the buffer is used again.
            let numbers =
                unsafe { Tensor::f_from_blob(buffer.as_ptr(), &shape, &[], kind, Device::Cpu) }?;
            to.f_copy_(&numbers)?;
            Ok(())
        })
    }

    /// Numbers in blocks, `count` of them from `first` on; neither need be at the edge of a block.
    fn blocks_into(
        &self,
        format: BlockFormat,
        first: usize,
        count: usize,
        to: &mut Tensor,
    ) -> Result<()> {
        let (each, size) = (format.numbers(), format.bytes());
        let (begin, end) = (first / each, (first + count).div_ceil(each));
        if let NumbersSource::OnDevice(memory) = &self.source {
            let bytes = ((end - begin) * size) as i64;
            let memory = memory.tensor().f_narrow(0, (begin * size) as i64, bytes)?;
            let numbers = dequantized(format, &memory.f_view([-1, size as i64])?)?.f_view([-1])?;
            let numbers = numbers.f_narrow(0, (first - begin * each) as i64, count as i64)?;
            to.f_copy_(&numbers.f_view(&to.size()[..])?)?;
            return Ok(());
        }
        self.with_bytes((begin * size) as u64, (end - begin) * size, |buffer| {
            let aligned = first.is_multiple_of(each) && count.is_multiple_of(each);
            if aligned
                && to.kind() == Kind::Float
                && let Some(memory) = memory_of(to, count * 4)
                && let Ok(numbers) = bytemuck::try_cast_slice_mut(memory)
            {
                format.dequantize(buffer, numbers);
                return Ok(());
            }
            let mut numbers = vec![0f32; (end - begin) * each];
            format.dequantize(buffer, &mut numbers);
            let numbers = Tensor::f_from_slice(&numbers[first - begin * each..][..count])?;
            to.f_copy_(&numbers.f_view(&to.size()[..])?)?;
            Ok(())
        })?
    }

    /// Lends `count` bytes of what is stored, from `start` on; those of a file by this thread's buffer.
    fn with_bytes<T>(&self, start: u64, count: usize, work: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match &self.source {
            NumbersSource::Memory(memory) => part_of(memory, start, count).map(work),
            NumbersSource::Lent(memory) => part_of(memory, start, count).map(work),
            _ => with_buffer(count, |buffer| {
                self.bytes_into(start, buffer)?;
                Ok(work(buffer))
            }),
        }
    }

    /// Fills `into` with what is stored from `start` on.
    fn bytes_into(&self, start: u64, into: &mut [u8]) -> Result<()> {
        match &self.source {
            NumbersSource::File(file, begin) => file.read_into(begin + start, into),
            NumbersSource::Memory(memory) => {
                into.copy_from_slice(part_of(memory, start, into.len())?);
                Ok(())
            }
            NumbersSource::Lent(memory) => {
                into.copy_from_slice(part_of(memory, start, into.len())?);
                Ok(())
            }
            NumbersSource::OnDevice(memory) => {
                let memory = memory.tensor().f_narrow(0, start as i64, into.len() as i64)?;
                into.copy_from_slice(&Vec::<u8>::try_from(memory)?);
                Ok(())
            }
            NumbersSource::Ordered(_) => Err(Error::Input("an ordered matrix has no bytes".into())),
        }
    }
}

fn part_of(memory: &[u8], start: u64, count: usize) -> Result<&[u8]> {
    let start = usize::try_from(start).ok();
    let there = start.and_then(|start| memory.get(start..start.checked_add(count)?));
    there.ok_or_else(|| Error::Input("a row lies outside its matrix".into()))
}

/// The bytes of a uint8 tensor that lies in order in memory of the host; nothing where it lies elsewhere.
pub(super) fn memory_in(tensor: &Tensor) -> Option<&[u8]> {
    if tensor.device() != Device::Cpu || tensor.kind() != Kind::Uint8 || !tensor.is_contiguous() {
        return None;
    }
    if tensor.numel() == 0 {
        return Some(&[]);
    }
    // SAFETY: a contiguous tensor of bytes on the CPU has them from its pointer on and lives as long as the
    // borrow; a block's memory is written to by nobody while the block is used.
    Some(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) })
}

/// Rows and width of a tensor as a matrix: a kernel is `[out, in·taps]`, a vector a column.
pub(super) fn matrix_of(shape: &[i64]) -> [i64; 2] {
    let (rows, rest) = shape.split_first().map_or((1, shape), |(&rows, rest)| (rows, rest));
    [rows, rest.iter().product()]
}

/// A view's numbers, which do not lie in order, as a matrix in memory.
fn ordered(file: &FileBytes, entry: &TensorEntry, strides: &[i64]) -> Result<Tensor> {
    let kind = entry.kind;
    let bytes = file.read(entry.start, entry.end)?;
    let flat = [(bytes.len() / kind.elt_size_in_bytes()) as i64];
    let storage = Tensor::f_from_data_size(&bytes, &flat, kind)?;
    let view = storage.f_as_strided(&entry.shape, strides, 0)?;
    let ordered = Tensor::f_empty(&entry.shape, (kind, Device::Cpu))?;
    ordered.shallow_clone().f_copy_(&view)?;
    Ok(ordered.f_view(matrix_of(&entry.shape))?)
}

/// The memory of a tensor that lies in order on the CPU and has exactly so many bytes.
fn memory_of(tensor: &mut Tensor, bytes: usize) -> Option<&mut [u8]> {
    let holds = tensor.numel() * tensor.kind().elt_size_in_bytes();
    if tensor.device() != Device::Cpu || !tensor.is_contiguous() || holds != bytes {
        return None;
    }
    // SAFETY: a contiguous tensor on the CPU has these bytes from its pointer on, the slice lives no
    // longer than the borrow of it, and whoever delivers a tensor alone writes to it.
    Some(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), bytes) })
}

/// Lends this thread's buffer, of exactly so many bytes.
fn with_buffer<T>(bytes: usize, work: impl FnOnce(&mut [u8]) -> Result<T>) -> Result<T> {
    BUFFER.with_borrow_mut(|buffer| {
        let words = bytes.div_ceil(8);
        if buffer.len() < words {
            buffer.resize(words, 0);
        }
        let worked = work(&mut bytemuck::cast_slice_mut::<u64, u8>(&mut buffer[..words])[..bytes]);
        if buffer.len() * 8 > KEPT {
            *buffer = Vec::new();
        }
        worked
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, FileBytes) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let bytes = FileBytes::open(file.path()).unwrap();
        (file, bytes)
    }

    fn plain(shape: &[i64], start: u64, end: u64) -> TensorEntry {
        TensorEntry::contiguous(StoredKind::Plain(Kind::Float), shape.to_vec(), start, end)
    }

    #[test]
    fn rows_come_out_from_any_place_in_any_kind_from_file_and_memory() {
        let numbers: Vec<f32> = (0..13).map(|n| n as f32).collect();
        let mut bytes = vec![0; 3];
        bytes.extend_from_slice(bytemuck::cast_slice(&numbers));
        let (_kept, file) = file(&bytes);
        let entry = plain(&[3, 2, 2], 3 + 4, 3 + 52);
        let expected = Tensor::from_slice(&numbers[5..13]).view([2, 4]);
        let stored = || StoredWeight::in_file(&file, &entry, "a").unwrap();
        for stored in [stored(), stored().keep().unwrap()] {
            for kind in [Kind::Float, Kind::BFloat16] {
                let mut to = Tensor::zeros([2, 4], (kind, Device::Cpu));
                stored.rows_into(1, 2, &mut to).unwrap();
                assert_eq!(to.to_kind(Kind::Float), expected);
            }
        }
    }

    #[test]
    fn a_view_is_put_in_order() {
        let numbers: Vec<f32> = (0..6).map(|n| n as f32).collect();
        let (_kept, file) = file(bytemuck::cast_slice(&numbers));
        let entry = TensorEntry { strides: Some(vec![1, 3]), ..plain(&[3, 2], 0, 24) };
        let mut to = Tensor::zeros([3, 2], (Kind::BFloat16, Device::Cpu));
        StoredWeight::in_file(&file, &entry, "a").unwrap().rows_into(0, 3, &mut to).unwrap();
        let expected = Tensor::from_slice(&numbers).view([2, 3]).transpose(0, 1);
        assert_eq!(to.to_kind(Kind::Float), expected);
    }

    #[test]
    fn rows_that_are_no_whole_blocks_come_out_of_blocks() {
        // Half float 2.0, then the numbers 0 to 31.
        let block: Vec<u8> = [0x00, 0x40].into_iter().chain(0..32).collect();
        let (_kept, file) = file(&block.repeat(3));
        let stored = StoredKind::Blocks(BlockFormat::Q8_0);
        let entry = TensorEntry::contiguous(stored, vec![6, 4, 4], 0, 102);
        let stored = StoredWeight::in_file(&file, &entry, "a").unwrap();
        let whole: Vec<f32> = (0..96).map(|n| (n % 32 * 2) as f32).collect();
        let whole = Tensor::from_slice(&whole).view([6, 16]);
        for (first, count) in [(0, 6), (2, 2), (1, 3), (5, 1)] {
            let mut to = Tensor::zeros([count, 16], (Kind::Float, Device::Cpu));
            stored.rows_into(first, count, &mut to).unwrap();
            assert_eq!(to, whole.narrow(0, first, count));
        }
    }

    #[test]
    fn a_file_that_is_written_to_or_cut_off_is_an_error_and_not_the_end() {
        let numbers = vec![1f32; 1 << 16];
        let (kept, file) = file(bytemuck::cast_slice(&numbers));
        let entry = plain(&[256, 256], 0, 1 << 18);
        let stored = StoredWeight::in_file(&file, &entry, "a").unwrap();
        let mut to = Tensor::zeros([256, 256], (Kind::Float, Device::Cpu));
        stored.dequantize_into(&mut to).unwrap();
        kept.as_file().set_len(1 << 12).unwrap();
        let error = stored.dequantize_into(&mut to).unwrap_err().to_string();
        assert!(error.contains("has changed since"), "{error}");
    }
}
