//! The tensors of one network under their original names, whichever files hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tch::{Kind, Tensor};

use super::file::{TensorEntry, TensorFile};
use super::names;
use super::shared_bytes::{Lent, matrix_of};
use crate::device::Device;
use crate::{Error, Result};

/// One network's tensors: original name to file and the name there.
#[derive(Debug)]
pub struct TensorSet {
    files: Vec<Arc<TensorFile>>,
    tensors: BTreeMap<String, (usize, String)>,
    /// Names in the files that are not of this network.
    foreign: Vec<(PathBuf, String)>,
    used: Mutex<BTreeSet<String>>,
}

/// Appended to the name of a quantized weight for that of its scale.
pub(super) const SCALE: &str = "#scale";

fn is_quantized(kind: Kind) -> bool {
    matches!(kind, Kind::Float8e4m3fn | Kind::Float8e5m2)
}

/// Keys that tools leave in a network's file, and that are no tensors of it: the mark of quantized
/// weights, the scale of quantized inputs, an embedded tokenizer.
fn is_remark(key: &str) -> bool {
    key == "scaled_fp8" || key == "spiece_model" || key.ends_with(".scale_input")
}

/// The networks that are read by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The diffusion transformer, `blocks.*` and what stands around them.
    Dit,
    /// The text encoder, umT5 without its decoder.
    Umt5,
    /// The video autoencoder, `encoder.*` and `decoder.*`.
    Vae,
    /// The merge block of an RGBA autoencoder.
    Merge,
    /// The model that scores pictures.
    Clip,
}

impl Network {
    /// The original name of a tensor of this network.
    pub(crate) fn original(self, key: &str) -> Option<String> {
        let name = match self {
            Self::Dit => names::dit,
            Self::Umt5 => names::umt5,
            Self::Vae => names::vae,
            Self::Merge => names::merge,
            Self::Clip => names::clip,
        };
        let scaled =
            key.strip_suffix(".scale_weight").or_else(|| key.strip_suffix(".weight_scale"));
        match scaled {
            Some(module) => name(&format!("{module}.weight")).map(|weight| weight + SCALE),
            None => name(key),
        }
    }
}

impl TensorSet {
    /// Opens files that are known to hold one network.
    ///
    /// # Errors
    /// As [`TensorFile::open`]; also where two tensors have one name.
    pub fn open(network: Network, paths: &[PathBuf]) -> Result<Self> {
        let files = paths.iter().map(|path| TensorFile::open(path).map(Arc::new));
        Self::new(files.collect::<Result<_>>()?, network)
    }

    /// Gathers the tensors of `files` whose names `original` recognizes.
    ///
    /// # Errors
    /// Two tensors of one name.
    pub(crate) fn new(files: Vec<Arc<TensorFile>>, network: Network) -> Result<Self> {
        let mut tensors: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut foreign = Vec::new();
        for (index, file) in files.iter().enumerate() {
            for raw in file.names() {
                let Some(name) = network.original(raw) else {
                    if !is_remark(raw) {
                        foreign.push((file.path().to_owned(), raw.to_owned()));
                    }
                    continue;
                };
                // Hugging Face stores the tied embedding under two names.
                let tied = raw == "encoder.embed_tokens.weight" && tensors.contains_key(&name);
                if tied {
                    continue;
                }
                if let Some((other, _)) = tensors.insert(name.clone(), (index, raw.to_owned()))
                    && raw != "shared.weight"
                {
                    return Err(Error::Ambiguous {
                        part: format!("tensor `{name}`"),
                        candidates: vec![files[other].path().to_owned(), file.path().to_owned()],
                    });
                }
            }
        }
        Ok(Self { files, tensors, foreign, used: Mutex::default() })
    }

    /// The files that the tensors lie in.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path())
    }

    /// A remark in the header of any of the files.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.files.iter().find_map(|file| file.metadata(key))
    }

    /// Original names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether the network has a tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's description and where it lies: file and the name there.
    ///
    /// # Errors
    /// The tensor is missing.
    pub fn find(&self, name: &str) -> Result<(&TensorEntry, &Path, &str)> {
        let (file, raw) = self.locate(name)?;
        let entry = file.entry(raw).ok_or_else(|| self.missing(name))?;
        Ok((entry, file.path(), raw))
    }

    /// A tensor's sizes.
    ///
    /// # Errors
    /// The tensor is missing.
    pub fn shape(&self, name: &str) -> Result<&[i64]> {
        self.find(name).map(|(entry, _, _)| &entry.shape[..])
    }

    /// A copy of a tensor as stored; a quantized weight is multiplied by its scale, as float32.
    ///
    /// # Errors
    /// The tensor is missing or memory runs out.
    pub fn read(&self, opened: Device, name: &str) -> Result<Tensor> {
        let (file, raw) = self.locate(name)?;
        let tensor = file.read(opened, raw)?;
        self.mark(name);
        if !is_quantized(tensor.kind()) {
            return Ok(tensor);
        }
        let tensor = tensor.f_to_kind(Kind::Float)?;
        let Some(scale) = self.scale(name)? else { return Ok(tensor) };
        let matrix = tensor.f_view(matrix_of(&tensor.size()))?;
        Ok(matrix.f_mul(&scale)?.f_view_as(&tensor)?)
    }

    /// A tensor where it lies, and the scale of a quantized one: `[1, 1]`, or `[out, 1]`, float32.
    ///
    /// # Errors
    /// As [`TensorSet::read`].
    pub(super) fn lend(&self, name: &str) -> Result<(Lent<'_>, Option<Tensor>)> {
        let (file, raw) = self.locate(name)?;
        let lent = file.lend(raw)?;
        self.mark(name);
        let quantized = file.entry(raw).is_some_and(|entry| is_quantized(entry.kind));
        let scale = if quantized { self.scale(name)? } else { None };
        Ok((lent, scale))
    }

    fn scale(&self, name: &str) -> Result<Option<Tensor>> {
        let name = format!("{name}{SCALE}");
        if !self.contains(&name) {
            return Ok(None);
        }
        let (file, raw) = self.locate(&name)?;
        self.mark(&name);
        Ok(Some(file.read_as(raw, Kind::Float)?.f_reshape([-1, 1])?))
    }

    /// What lies under a prefix: files, and the names there.
    pub(super) fn under(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (&str, &Arc<TensorFile>, &str)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let tensors = self.tensors.range::<str, _>(from);
        let tensors = tensors.take_while(move |(name, _)| name.starts_with(prefix));
        tensors.map(|(name, (file, raw))| (&**name, &self.files[*file], &**raw))
    }

    /// Some rows of a matrix, as stored.
    ///
    /// # Errors
    /// The tensor is missing, or a row is out of range.
    pub fn read_rows(&self, opened: Device, name: &str, rows: &[i64]) -> Result<Tensor> {
        let (file, raw) = self.locate(name)?;
        self.mark(name);
        if file.entry(raw).is_some_and(|entry| entry.kind == Kind::Float8e4m3fn) {
            return Ok(self.read(opened, name)?.f_index_select(0, &opened.tensor(rows)?)?);
        }
        file.read_rows(opened, raw, rows)
    }

    /// Tensors of this network that nothing has read.
    pub fn unused(&self) -> Vec<&str> {
        let used = self.used.lock();
        self.names().filter(|name| !used.contains(*name)).collect()
    }

    /// Names in the files that are not of this network.
    pub fn foreign(&self) -> &[(PathBuf, String)] {
        &self.foreign
    }

    /// Number of elements of all tensors: the network's parameters.
    pub fn parameters(&self) -> u64 {
        self.names()
            .filter_map(|name| self.shape(name).ok())
            .map(|shape| shape.iter().product::<i64>() as u64)
            .sum()
    }

    fn mark(&self, name: &str) {
        self.used.lock().insert(name.to_owned());
    }

    pub(super) fn locate(&self, name: &str) -> Result<(&Arc<TensorFile>, &str)> {
        let (index, raw) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        Ok((&self.files[*index], raw))
    }

    fn missing(&self, name: &str) -> Error {
        let path = self.files.first().map(|file| file.path().to_owned()).unwrap_or_default();
        let others = match self.files.len() {
            0 | 1 => String::new(),
            count => format!(", nor have the {} other files of this part", count - 1),
        };
        Error::File {
            path,
            problem: format!(
                "has no tensor `{name}`{others}; the model is cut short, or of another kind"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    #[test]
    fn a_quantized_weight_is_multiplied_by_its_scale() {
        let folder = tempfile::tempdir().unwrap();
        let weight = crate::noise::unseeded([4, 3], (Kind::Float, tch::Device::Cpu));
        let (per_tensor, per_row) =
            (Tensor::from(0.5f32), Tensor::from_slice(&[1f32, 2., 3., 4.]).view([4, 1]));
        for (name, scale) in [("scale_weight", per_tensor), ("weight_scale", per_row)] {
            let path = folder.path().join(format!("{name}.safetensors"));
            let quantized = weight.to_kind(Kind::Float8e4m3fn);
            let expected = quantized.to_kind(Kind::Float) * &scale;
            // The command's own writer of safetensors does not know fp8; this one does.
            let bytes: Vec<u8> = quantized.view_dtype(Kind::Uint8).view([-1]).try_into().unwrap();
            let scale_bytes: Vec<u8> = Vec::<f32>::try_from(scale.view([-1]))
                .unwrap()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            let shape = scale.size().iter().map(|&size| size as usize).collect();
            let views = [
                (
                    "blocks.0.ffn.0.weight".to_owned(),
                    view(safetensors::Dtype::F8_E4M3, vec![4, 3], &bytes),
                ),
                (
                    format!("blocks.0.ffn.0.{name}"),
                    view(safetensors::Dtype::F32, shape, &scale_bytes),
                ),
                ("scaled_fp8".to_owned(), view(safetensors::Dtype::F32, vec![0], &[])),
            ];
            safetensors::serialize_to_file(views, None, &path).unwrap();
            let set = TensorSet::open(Network::Dit, &[path]).unwrap();
            assert!(set.foreign().is_empty());
            assert_eq!(
                set.read(Device::cpu(), "blocks.0.ffn.0.weight").unwrap(),
                expected,
                "{name}"
            );
            let weights = Weights::new(Arc::new(set), [], Kind::BFloat16, Device::cpu());
            let delivered = weights.get("blocks.0.ffn.0.weight", &[4, 3]).unwrap();
            assert_eq!(delivered, expected.to_kind(Kind::BFloat16), "{name}");
        }
    }

    fn view(
        dtype: safetensors::Dtype,
        shape: Vec<usize>,
        bytes: &[u8],
    ) -> safetensors::tensor::TensorView<'_> {
        safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap()
    }
}
