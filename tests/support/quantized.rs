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
