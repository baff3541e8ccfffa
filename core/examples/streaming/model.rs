//! The random transformer: the released layout at its full width, of as many blocks as are asked for, laid
//! out as the program lays out what it merges.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use wan_alpha_core::device;
use wan_alpha_core::weights::{
    BlockFormat, FILLER, QuantizedForm, TensorFile, is_block_matrix, quantize as quantized,
};

use super::Error;

const DIM: i64 = 5120;
const FFN: i64 = 13_824;
const TEXT: i64 = 4096;
/// Where blocks and their tensors begin.
const BLOCK_ALIGNMENT: usize = 4096;
const PART_ALIGNMENT: usize = 256;

/// Every tensor, in the order of names.
fn layout(blocks: usize) -> Vec<(String, Vec<i64>)> {
    let mut tensors = Vec::new();
    let mut layer = |name: &str, shape: &[i64]| {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), shape[..1].to_vec()));
    };
    layer("patch_embedding", &[DIM, 16, 1, 2, 2]);
    layer("time_embedding.0", &[DIM, 256]);
    layer("time_embedding.2", &[DIM, DIM]);
    layer("time_projection.1", &[6 * DIM, DIM]);
    layer("text_embedding.0", &[DIM, TEXT]);
    layer("text_embedding.2", &[DIM, DIM]);
    layer("head.head", &[64, DIM]);
    for block in 0..blocks {
        for attention in ["self_attn", "cross_attn"] {
            for part in ["q", "k", "v", "o"] {
                layer(&format!("blocks.{block}.{attention}.{part}"), &[DIM, DIM]);
            }
        }
        layer(&format!("blocks.{block}.ffn.0"), &[FFN, DIM]);
        layer(&format!("blocks.{block}.ffn.2"), &[DIM, FFN]);
        layer(&format!("blocks.{block}.norm3"), &[DIM]);
    }
    tensors.push(("head.modulation".to_owned(), vec![1, 2, DIM]));
    for block in 0..blocks {
        for attention in ["self_attn", "cross_attn"] {
            for norm in ["norm_q", "norm_k"] {
                tensors.push((format!("blocks.{block}.{attention}.{norm}.weight"), vec![DIM]));
            }
        }
        tensors.push((format!("blocks.{block}.modulation"), vec![1, 6, DIM]));
    }
    tensors.sort();
    tensors
}

fn is_float32(name: &str) -> bool {
    ["time_", "head.", "norm3", "modulation"].iter().any(|part| name.contains(part))
}

/// Of a normal distribution, as many as the largest tensor has and some more, of which each tensor has a part from another place on.
struct NormalNumbers(Tensor);

impl NormalNumbers {
    fn new() -> Self {
        Self(Tensor::randn([6 * DIM * DIM + 100_000], (Kind::Float, Device::Cpu)))
    }

    fn of(&self, index: usize, shape: &[i64]) -> Result<Tensor, Error> {
        let count: i64 = shape.iter().product();
        let inputs: i64 = shape[1..].iter().product();
        let scale = if shape.len() == 1 { 0.02 } else { (inputs as f64).powf(-0.5) };
        let from = index as i64 * 7919 % (self.0.numel() as i64 - count);
        Ok(self.0.f_narrow(0, from, count)?.f_mul_scalar(scale)?.f_view(shape)?)
    }
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    Ok(tensor.f_contiguous()?.f_view([-1])?.f_view_dtype(Kind::Uint8)?.try_into()?)
}

pub(super) fn make(path: &Path, blocks: usize) -> Result<Value, Error> {
    let tensors = layout(blocks);
    let mut header = Map::new();
    // Fillers before tensors, in bytes.
    let mut gaps = Vec::new();
    let (mut end, mut block) = (0usize, None);
    for (name, shape) in &tensors {
        let this = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let alignment = match this {
            None => 1,
            this if this == block => PART_ALIGNMENT,
            _ => BLOCK_ALIGNMENT,
        };
        block = this;
        let begin = end.next_multiple_of(alignment);
        if begin > end {
            let entry =
                json!({ "dtype": "U8", "shape": [begin - end], "data_offsets": [end, begin] });
            header.insert(format!("{FILLER}{}", gaps.len()), entry);
        }
        gaps.push(begin - end);
        let (dtype, size) = if is_float32(name) { ("F32", 4) } else { ("BF16", 2) };
        end = begin + shape.iter().product::<i64>() as usize * size;
        header.insert(
            name.clone(),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] }),
        );
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    header.resize((8 + header.len()).next_multiple_of(BLOCK_ALIGNMENT) - 8, b' ');
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let numbers = NormalNumbers::new();
    for (index, ((name, shape), gap)) in tensors.iter().zip(gaps).enumerate() {
        file.write_all(&vec![0; gap])?;
        let tensor = numbers.of(index, shape)?;
        let kind = if is_float32(name) { Kind::Float } else { Kind::BFloat16 };
        file.write_all(&bytes(&tensor.f_to_kind(kind)?)?)?;
    }
    finish(file)
}

/// The same file with the blocks' matrices in Q4_K, as GGUF.
pub(super) fn quantize(from: &Path, to: &Path) -> Result<Value, Error> {
    let (source, cpu) = (TensorFile::open(from)?, device::Device::cpu());
    let names: Vec<&str> = source.names().filter(|name| !name.starts_with(FILLER)).collect();
    let mut head = b"GGUF".to_vec();
    head.extend(3u32.to_le_bytes());
    head.extend((names.len() as u64).to_le_bytes());
    head.extend(1u64.to_le_bytes());
    let text = |head: &mut Vec<u8>, text: &str| {
        head.extend((text.len() as u64).to_le_bytes());
        head.extend(text.as_bytes());
    };
    text(&mut head, "general.alignment");
    head.extend(4u32.to_le_bytes());
    head.extend((PART_ALIGNMENT as u32).to_le_bytes());
    let mut end = 0usize;
    for &name in &names {
        let entry = source.entry(name).ok_or("a tensor is gone")?;
        text(&mut head, name);
        head.extend((entry.shape.len() as u32).to_le_bytes());
        entry.shape.iter().rev().for_each(|size| head.extend(size.to_le_bytes()));
        let kind: u32 = match entry.kind {
            _ if is_block_matrix(name, &entry.shape) => 12,
            Kind::Float => 0,
            _ => 30,
        };
        head.extend(kind.to_le_bytes());
        head.extend((end as u64).to_le_bytes());
        let numbers = entry.shape.iter().product::<i64>() as usize;
        let size = match kind {
            12 => numbers / 256 * 144,
            0 => numbers * 4,
            _ => numbers * 2,
        };
        end = (end + size).next_multiple_of(PART_ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(PART_ALIGNMENT), 0);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(to)?);
    file.write_all(&head)?;
    for &name in &names {
        let tensor = source.read(cpu, name)?;
        let mut data = if is_block_matrix(name, &tensor.size()) {
            let matrix = tensor.f_to_kind(Kind::Float)?;
            quantized(cpu, &matrix, QuantizedForm::Blocks(BlockFormat::Q4_K))?.codes
        } else {
            bytes(&tensor)?
        };
        data.resize(data.len().next_multiple_of(PART_ALIGNMENT), 0);
        file.write_all(&data)?;
    }
    finish(file)
}

/// Pages can only be left out once they are on the disk.
fn finish(file: BufWriter<File>) -> Result<Value, Error> {
    let file = file.into_inner()?;
    file.sync_all()?;
    Ok(json!({ "bytes": file.metadata()?.len() }))
}
