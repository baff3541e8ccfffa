//! The tensors of one network under their original names, whichever files hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tch::{Kind, Tensor};
use wan_alpha_take::counted::counted;

use super::file::TensorFile;
use super::marks::{KeyRole, SCALE};
use super::network::Network;
use super::quantization::{Places, Quantized, scale_layouts};
use super::scale::{ScaleLayout, WeightScale};
use super::stored_kind::{StoredKind, TensorEntry};
use super::stored_weight::StoredWeight;
use crate::device::Device;
use crate::{Error, Result};

/// One network's tensors: original name to file and the name there.
#[derive(Debug)]
pub struct TensorSet {
    files: Vec<Arc<TensorFile>>,
    tensors: Places,
    /// How the scales of each weight that has some are laid out.
    scales: BTreeMap<String, ScaleLayout>,
    /// Names in the files that are not of this network.
    foreign: Vec<(PathBuf, String)>,
    used: Mutex<BTreeSet<String>>,
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
    /// Two tensors of one name, or a weight whose scale would not be applied.
    pub(crate) fn new(files: Vec<Arc<TensorFile>>, network: Network) -> Result<Self> {
        let is_there = |key: &str| files.iter().any(|file| file.entry(key).is_some());
        let mut gathered = Gathered::default();
        for (index, file) in files.iter().enumerate() {
            for key in file.names() {
                let role = KeyRole::of(network, key, is_there);
                gathered.put(&files, role, index, key)?;
            }
        }
        let Gathered { places: tensors, foreign, quantized } = gathered;
        let scales = scale_layouts(network, &files, &tensors, &quantized)?;
        Ok(Self { files, tensors, scales, foreign, used: Mutex::default() })
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

    /// The names of the network's tensors below a prefix, scales not among them.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.under(prefix).map(|(name, _, _)| name).filter(|name| !name.ends_with(SCALE))
    }

    /// How the scales of a tensor lie, where it has some.
    pub(super) fn scale_layout(&self, name: &str) -> Option<ScaleLayout> {
        self.scales.get(name).copied()
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

    /// A copy of a tensor as stored; a quantized weight multiplied out, as float32.
    ///
    /// # Errors
    /// The tensor is missing or memory runs out.
    pub fn read(&self, _opened: Device, name: &str) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let stored = self.stored(name)?;
        let kind = read_kind(stored.kind());
        let tensor = Tensor::f_empty(stored.shape(), (kind, tch::Device::Cpu))?;
        stored.dequantize_into(&mut tensor.f_view(stored.matrix())?)?;
        Ok(tensor)
    }

    /// A tensor where it lies, with the scales of a quantized one: its kind, its bytes, and its rows
    /// multiplied out block by block.
    ///
    /// # Errors
    /// As [`TensorSet::read`].
    pub fn stored(&self, name: &str) -> Result<StoredWeight<'_>> {
        let (file, raw) = self.locate(name)?;
        let stored = file.stored(raw)?;
        self.mark(name);
        Ok(stored.scaled(self.scale(name)?))
    }

    fn scale(&self, name: &str) -> Result<Option<WeightScale>> {
        let Some(layout) = self.scales.get(name) else { return Ok(None) };
        let name = format!("{name}{SCALE}");
        let (file, raw) = self.locate(&name)?;
        self.mark(&name);
        WeightScale::new(&file.read_as(raw, Kind::Float)?, *layout).map(Some)
    }

    /// Whether every file is still what it was when it was opened.
    ///
    /// # Errors
    /// One is not.
    pub fn unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| file.unchanged())
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

    /// Some rows of a matrix, without reading the others: a token embedding is 2 GB, a prompt 512 rows.
    /// As stored; of a quantized matrix multiplied out, as float32.
    ///
    /// # Errors
    /// The tensor is missing or no matrix, or a row is out of range.
    pub fn read_rows(&self, _opened: Device, name: &str, rows: &[i64]) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let stored = self.stored(name)?;
        let (_, path, raw) = self.find(name)?;
        let &[count, width] = stored.shape() else {
            return Err(Error::file(
                path,
                format!("`{raw}` is not a matrix: {:?}", stored.shape()),
            ));
        };
        let kind = read_kind(stored.kind());
        let read = Tensor::f_empty([rows.len() as i64, width], (kind, tch::Device::Cpu))?;
        for (index, &row) in rows.iter().enumerate() {
            if !(0..count).contains(&row) {
                return Err(Error::file(
                    path,
                    format!(
                        "`{raw}` has {}, row {row} was asked for; tokenizer and text encoder are not of one \
                         model",
                        counted(count, "row")
                    ),
                ));
            }
            stored.rows_into(row, 1, &mut read.f_narrow(0, index as i64, 1)?)?;
        }
        Ok(read)
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

    /// Notes that a tensor is used.
    pub(super) fn mark(&self, name: &str) {
        self.used.lock().insert(name.to_owned());
    }

    pub(super) fn locate(&self, name: &str) -> Result<(&Arc<TensorFile>, &str)> {
        let (index, raw) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        Ok((&self.files[*index], raw))
    }

    fn missing(&self, name: &str) -> Error {
        let path = self.files.first().map(|file| file.path().to_owned()).unwrap_or_default();
        if name == "patch_embedding.weight" && self.files.iter().any(|file| file.is_gguf()) {
            let problem = "has no tensor `patch_embedding.weight`, which some writers of GGUF leave out for \
                           its five axes; fetch their fix_5d_tensors_wan.safetensors too, and put it \
                           beside the GGUF file";
            return Error::file(&path, problem);
        }
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

/// The kind that a tensor is read as: float32 where less than 16 bits each or blocks are stored.
fn read_kind(stored: &StoredKind) -> Kind {
    match stored.read_as() {
        Kind::Float8e4m3fn | Kind::Float8e5m2 | Kind::Int8 => Kind::Float,
        kind => kind,
    }
}

/// A network's keys, sorted by what they are.
#[derive(Default)]
struct Gathered {
    places: Places,
    foreign: Vec<(PathBuf, String)>,
    quantized: Quantized,
}

impl Gathered {
    fn put(
        &mut self,
        files: &[Arc<TensorFile>],
        role: KeyRole,
        index: usize,
        key: &str,
    ) -> Result<()> {
        match role {
            KeyRole::Remark => {}
            KeyRole::Foreign => self.foreign.push((files[index].path().to_owned(), key.to_owned())),
            KeyRole::Beside(weight) => {
                self.quantized.beside.push((weight, index, key.to_owned()));
                self.foreign.push((files[index].path().to_owned(), key.to_owned()));
            }
            KeyRole::UnknownMark => self.quantized.unknown.push((index, key.to_owned())),
            KeyRole::FileMark => self.quantized.file_mark = Some((index, key.to_owned())),
            KeyRole::Configuration(weight) => {
                self.quantized.configurations.push((weight, index, key.to_owned()));
            }
            KeyRole::Scale(weight) => self.place(files, weight + SCALE, index, key)?,
            KeyRole::Tensor(name) => self.place(files, name, index, key)?,
        }
        Ok(())
    }

    fn place(
        &mut self,
        files: &[Arc<TensorFile>],
        name: String,
        index: usize,
        key: &str,
    ) -> Result<()> {
        // Hugging Face stores the tied embedding under two names.
        let tied = |key: &str| key.ends_with("encoder.embed_tokens.weight");
        match self.places.get(&name) {
            Some(_) if tied(key) => {}
            Some((other, first)) if !tied(first) => {
                return Err(Error::Ambiguous {
                    part: format!("tensor `{name}`"),
                    candidates: vec![
                        files[*other].path().to_owned(),
                        files[index].path().to_owned(),
                    ],
                    alike: false,
                });
            }
            _ => drop(self.places.insert(name, (index, key.to_owned()))),
        }
        Ok(())
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
