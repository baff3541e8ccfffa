//! A reference model's weights in 8 bits, and the same numbers multiplied out beforehand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use wan_alpha_core::tch::{Kind, Tensor};

use super::model::Tensors;

/// How a file spells what it quantizes.
#[derive(Clone, Copy)]
pub(crate) struct Spelling {
    pub(crate) kind: Kind,
    /// What stands after the module for its scales.
    pub(crate) scale: &'static str,
    /// One scale for each row, or one for all.
    pub(crate) by_row: bool,
}

/// The tensors with those quantized that `which` names, and the numbers that these stand for.
pub(crate) fn quantized(
    tensors: &Tensors,
    spelling: Spelling,
    which: impl Fn(&str) -> bool,
) -> (Tensors, Tensors) {
    let (mut stored, mut meant) = (Tensors::new(), Tensors::new());
    for (key, tensor) in tensors {
        let module = key.strip_suffix(".weight").filter(|_| tensor.dim() == 2 && which(key));
        let Some(module) = module else {
            stored.insert(key.clone(), tensor.shallow_clone());
            meant.insert(key.clone(), tensor.shallow_clone());
            continue;
        };
        let top = match spelling.kind {
            Kind::Int8 => 127.0,
            Kind::Float8e5m2 => 57344.0,
            _ => 448.0,
        };
        let largest =
            if spelling.by_row { tensor.abs().amax([1i64], true) } else { tensor.abs().max() };
        let scale: Tensor = largest / top;
        let scaled = tensor / &scale;
        let scaled = if spelling.kind == Kind::Int8 { scaled.round() } else { scaled };
        let narrow = scaled.to_kind(spelling.kind);
        meant.insert(key.clone(), narrow.to_kind(Kind::Float) * &scale);
        stored.insert(key.clone(), narrow);
        stored.insert(format!("{module}.{}", spelling.scale), scale);
    }
    assert!(stored.len() > tensors.len(), "nothing was quantized");
    (stored, meant)
}

/// Writes a safetensors file of whatever kinds.
pub(crate) fn write(path: &Path, tensors: &Tensors) {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (key, tensor) in tensors {
        let dtype = match tensor.kind() {
            Kind::Float => "F32",
            Kind::BFloat16 => "BF16",
            Kind::Int8 => "I8",
            Kind::Float8e4m3fn => "F8_E4M3",
            Kind::Float8e5m2 => "F8_E5M2",
            other => panic!("{other:?} is not written"),
        };
        let flat = tensor.contiguous().view([-1]).view_dtype(Kind::Uint8);
        let start = data.len();
        data.extend(Vec::<u8>::try_from(flat).unwrap());
        let entry = json!({
            "dtype": dtype, "shape": tensor.size(), "data_offsets": [start, data.len()],
        });
        header.insert(key.clone(), entry);
    }
    let mut header = serde_json::to_vec(&Value::Object(header)).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], &header, &data].concat()).unwrap();
}

/// Writes a transformer as LightX2V's converter does: a file for each block, and one for the rest.
pub(crate) fn write_by_block(folder: &Path, tensors: &Tensors) {
    let mut files: BTreeMap<String, Tensors> = BTreeMap::new();
    for (key, tensor) in tensors {
        let block = key.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let file = block.map_or("non_block".to_owned(), |block| format!("block_{block}"));
        files.entry(file).or_default().insert(key.clone(), tensor.shallow_clone());
    }
    for (file, tensors) in files {
        write(&folder.join(format!("{file}.safetensors")), &tensors);
    }
}

/// Writes a GGUF file as llama.cpp's tools do: matrices whose rows are whole blocks of 32 in Q8_0, the
/// rest in float32. The numbers that these stand for.
pub(crate) fn write_gguf(path: &Path, architecture: &str, tensors: &Tensors) -> Tensors {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let mut header = b"GGUF".to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(1u64.to_le_bytes());
    text(&mut header, "general.architecture");
    header.extend(8u32.to_le_bytes());
    text(&mut header, architecture);
    let (mut data, mut meant) = (Vec::<u8>::new(), Tensors::new());
    for (key, tensor) in tensors {
        let size = tensor.size();
        text(&mut header, key);
        header.extend((size.len() as u32).to_le_bytes());
        size.iter().rev().for_each(|&size| header.extend((size as u64).to_le_bytes()));
        let numbers: Vec<f32> = tensor.contiguous().view([-1]).try_into().unwrap();
        let in_blocks = size.len() == 2 && size[1] % 32 == 0;
        header.extend(if in_blocks { 8u32 } else { 0 }.to_le_bytes());
        data.resize(data.len().next_multiple_of(32), 0);
        header.extend((data.len() as u64).to_le_bytes());
        if in_blocks {
            let blocks = numbers.chunks(32).map(q8_0);
            let (bytes, numbers): (Vec<_>, Vec<_>) = blocks.unzip();
            data.extend(bytes.concat());
            let numbers = Tensor::from_slice(&numbers.concat()).view(&size[..]);
            meant.insert(key.clone(), numbers);
        } else {
            data.extend(bytemuck::cast_slice::<f32, u8>(&numbers));
            meant.insert(key.clone(), tensor.shallow_clone());
        }
    }
    header.resize(header.len().next_multiple_of(32), 0);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [header, data].concat()).unwrap();
    meant
}

/// A block of Q8_0, and the numbers that it stands for.
fn q8_0(numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let largest = numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
    let half = Tensor::from_slice(&[largest / 127.0]).to_kind(Kind::Half);
    let scale = half.to_kind(Kind::Float).double_value(&[0]) as f32;
    let mut bytes: Vec<u8> = half.view_dtype(Kind::Uint8).try_into().unwrap();
    let whole =
        numbers.iter().map(|number| (number / scale.max(1e-30)).round().clamp(-127.0, 127.0));
    let whole: Vec<f32> = whole.collect();
    bytes.extend(whole.iter().map(|&number| number as i8 as u8));
    (bytes, whole.iter().map(|number| number * scale).collect())
}

/// A text encoder's tensor as llama.cpp calls it.
pub(crate) fn text_encoder_in_llama_cpp(key: &str) -> Option<String> {
    const IN_A_BLOCK: [(&str, &str); 10] = [
        ("norm1.", "attn_norm."),
        ("attn.q.", "attn_q."),
        ("attn.k.", "attn_k."),
        ("attn.v.", "attn_v."),
        ("attn.o.", "attn_o."),
        ("pos_embedding.embedding.", "attn_rel_b."),
        ("norm2.", "ffn_norm."),
        ("ffn.gate.0.", "ffn_gate."),
        ("ffn.fc1.", "ffn_up."),
        ("ffn.fc2.", "ffn_down."),
    ];
    match key {
        "token_embedding.weight" => Some("token_embd.weight".to_owned()),
        "norm.weight" => Some("enc.output_norm.weight".to_owned()),
        _ => {
            let (index, rest) = key.strip_prefix("blocks.")?.split_once('.')?;
            let (from, to) = IN_A_BLOCK.iter().find(|(from, _)| rest.starts_with(from))?;
            Some(format!("enc.blk.{index}.{to}{}", &rest[from.len()..]))
        }
    }
}
