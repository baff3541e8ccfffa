//! Weights: files of tensors, the names they go by, adapters, and lazy access to all of it.
//!
//! Nothing in a weights file can run: safetensors and GGUF are data, and pickles go through a reader
//! that builds tensors only ([`file`]). A tensor is read when a layer asks for it; what is quantized is
//! multiplied out and adapters are merged into it at that moment, in float32, in blocks of rows on their
//! way from the file to the layer's own memory, so that loading needs little memory beyond the resident
//! model.

mod adapter;
mod adapter_keys;
mod archive;
mod block_encoders;
mod block_files;
mod block_format;
mod block_layout;
mod block_tensors;
mod candidate;
mod clip_names;
mod decoder_files;
mod diffusers_names;
mod discover;
mod distillation;
mod eight_bits;
mod encoder_files;
mod file;
mod file_bytes;
mod fingerprint;
mod folder;
mod found_parts;
mod further_loras;
mod gguf;
mod gguf_vocabulary;
mod held_tensor;
mod image_names;
mod image_parts;
mod kept_adapters;
mod kept_blocks;
mod low_rank;
mod marks;
mod memory;
mod merge;
mod merged;
mod model_files;
mod names;
mod network;
mod no_weights;
mod passed_over;
mod pickle;
mod quantization;
mod quantize;
mod safetensors_header;
mod sampling_preset;
mod scale;
mod set;
mod shards;
mod single_candidate;
mod single_part;
mod stored_kind;
mod stored_weight;
mod successor;
mod tokenizer_file;
mod used_as_stored;
mod wide_vectors;

use std::sync::Arc;

use tch::{Kind, Tensor};

pub use adapter::{Adapter, AdapterKind, LowRankPair};
pub(crate) use block_files::BlockFiles;
pub(crate) use block_layout::{BLOCK_ALIGNMENT, BlockLayout, BlockLayouts};
pub use decoder_files::Decoders;
pub use diffusers_names::{
    diffusers_autoencoder, diffusers_transformer, diffusers_transformer_module,
    hugging_face_text_encoder,
};
pub use distillation::Evidence;
pub use encoder_files::EncoderFiles;
pub use file::{TensorFile, read_bare_tensor};
pub use fingerprint::lora_fingerprint;
pub use found_parts::FoundParts;
pub use further_loras::{FurtherLora, LoraContent, check_lora, lora_content};
pub use gguf_vocabulary::GgufVocabulary;
pub(crate) use kept_blocks::{adapter_bytes, kept_bytes};
pub use low_rank::LowRank;
pub use marks::FILLER;
pub use memory::{MemorySet, keeps_float32};
pub(crate) use merge::RowRatios;
pub use merged::{MERGED_NUMERICS, MERGED_SOURCE, MergedTransformer};
pub use model_files::{MERGED, ModelFiles, Strengths};
pub use network::Network;
pub use quantize::{QuantizationError, QuantizedForm, QuantizedMatrix, is_block_matrix, quantize};
pub use sampling_preset::{MERGED_PRESET, PresetFound};
pub use set::TensorSet;
pub use single_part::{
    find_base_autoencoder, find_image_encoder, find_text_encoder, find_tokenizer, find_transformer,
};
pub use stored_kind::{BlockFormat, StoredKind, TensorEntry};
pub use stored_weight::StoredWeight;
pub use successor::SuccessorCheckpoint;
pub use tokenizer_file::TokenizerContent;
pub(crate) use used_as_stored::{is_mapped, narrow_kind};

use crate::device::Device;
use crate::{Error, Result};
use block_layout::Asked;
use held_tensor::Held;
use kept_adapters::KeptAdapters;
use merge::{Delivery, Scratch};

/// A network's weights as its layers see them: a prefix into where they come from, and the kind
/// and device to deliver on.
#[derive(Clone, Debug)]
pub struct Weights {
    source: Source,
    prefix: String,
    kind: Kind,
    device: Device,
    storage: BlockStorage,
    /// What files have as it is computed with is delivered where they are mapped.
    in_place: bool,
    /// What adapters have beside blocks that stay quantized; none where it is read in each pass.
    kept_adapters: Option<Arc<KeptAdapters>>,
}

/// How the matrices of a transformer's blocks are kept in memory, whatever they are computed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockStorage {
    /// What their files have quantized as there, multiplied out block by block when it is used; the others
    /// as they are computed with.
    #[default]
    AsStored,
    /// Those others as e4m3 with a scale for each row, made when they are loaded.
    Fp8,
}

#[derive(Clone, Debug)]
enum Source {
    /// Files, and the adapters to merge.
    Files { set: Arc<TensorSet>, adapters: Arc<[Adapter]>, scratch: Scratch },
    /// A network in training.
    Memory(Arc<MemorySet>),
    /// One block, whose tensors lie in one piece of memory.
    Block { layout: Arc<BlockLayout>, memory: Arc<Held> },
    /// Nothing is delivered; what is asked for is noted.
    Asked { set: Arc<TensorSet>, asked: Arc<Asked> },
}

impl Weights {
    /// Weights at the root of a network; `adapters` are merged in the order given.
    pub fn new(
        set: Arc<TensorSet>,
        adapters: impl Into<Arc<[Adapter]>>,
        kind: Kind,
        device: Device,
    ) -> Self {
        let source = Source::Files { set, adapters: adapters.into(), scratch: Scratch::default() };
        Self::from_source(source, kind, device)
    }

    /// Weights that are in memory on `device`, with gradients where they need one.
    pub fn in_memory(set: Arc<MemorySet>, kind: Kind, device: Device) -> Self {
        Self::from_source(Source::Memory(set), kind, device)
    }

    fn from_source(source: Source, kind: Kind, device: Device) -> Self {
        let (storage, kept_adapters) = (BlockStorage::AsStored, None);
        Self {
            source,
            prefix: String::new(),
            kind,
            device,
            storage,
            in_place: false,
            kept_adapters,
        }
    }

    /// The weights of a submodule.
    #[must_use]
    pub fn sub(&self, module: impl std::fmt::Display) -> Self {
        Self { prefix: self.name(&module.to_string()) + ".", ..self.clone() }
    }

    /// The kind large matrices are delivered in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kind of what is never of less than float32 (norms, modulation, residual stream): float64
    /// where everything is.
    pub fn float32_kind(&self) -> Kind {
        at_least_float32(self.kind)
    }

    /// Where tensors are delivered.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        let name = self.name(name);
        match &self.source {
            Source::Files { set, .. } | Source::Asked { set, .. } => set.contains(&name),
            Source::Memory(set) => set.contains(&name),
            Source::Block { layout, .. } => layout.part(&name).is_ok(),
        }
    }

    /// A tensor's sizes.
    ///
    /// # Errors
    /// It is missing.
    pub fn shape(&self, name: &str) -> Result<&[i64]> {
        let name = self.name(name);
        match &self.source {
            Source::Files { set, .. } | Source::Asked { set, .. } => set.shape(&name),
            Source::Memory(set) => set.shape(&name),
            Source::Block { layout, .. } => layout.part(&name).map(|part| &part.shape[..]),
        }
    }

    /// A tensor of exactly `shape`, adapters merged, in the working kind.
    ///
    /// # Errors
    /// It is missing, of another shape, or not finite; or memory runs out.
    pub fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.get_as(name, shape, self.kind)
    }

    /// Like [`Weights::get`], in [`Weights::float32_kind`]: norms, modulation, time embedding and
    /// head.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn get_float32(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.get_as(name, shape, self.float32_kind())
    }

    /// The same, delivering what its files have as it is computed with where they are mapped, on the CPU.
    /// What is delivered so does not keep its file open: whoever has it keeps the [files](Self::files) too.
    pub(crate) fn in_place(&self) -> Self {
        Self { in_place: !self.device.is_cuda(), ..self.clone() }
    }

    /// The files that it reads.
    pub(crate) fn files(&self) -> Option<&Arc<TensorSet>> {
        match &self.source {
            Source::Files { set, .. } => Some(set),
            _ => None,
        }
    }

    /// Like [`Weights::get_float32`], but in the 16 bits that its file has it in, where nothing changes it:
    /// brought into float32 they are the same numbers.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub(crate) fn get_for_float32(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let narrow = match &self.source {
            Source::Files { set, adapters, .. } => {
                used_as_stored::narrow_kind(set, adapters, &self.name(name))?
            }
            _ => None,
        };
        self.get_as(name, shape, narrow.unwrap_or(self.float32_kind()))
    }

    /// A matrix that a layer keeps an adapter beside, and the adapter.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub(crate) fn get_adapted(
        &self,
        name: &str,
        shape: &[i64],
    ) -> Result<Option<(Tensor, LowRank)>> {
        let Source::Memory(set) = &self.source else { return Ok(None) };
        let name = self.name(name);
        let Some(adapter) = set.adapter(&name) else { return Ok(None) };
        let base = set.get(&name)?;
        check_shape(&name, &base, shape)?;
        Ok(Some((base.f_to_kind(self.kind)?, adapter.to_kind(self.kind)?)))
    }

    /// Rows of a matrix, `[rows, width]`, in the working kind; adapters do not apply to it.
    ///
    /// # Errors
    /// It is missing or not finite, or a row is out of range.
    pub fn rows(&self, name: &str, rows: &[i64]) -> Result<Tensor> {
        let name = self.name(name);
        let set = match &self.source {
            Source::Files { set, .. } => set,
            Source::Memory(set) => {
                let rows = Tensor::f_from_slice(rows)?.f_to_device(self.device.tch())?;
                let tensor = set.get(&name)?.f_index_select(0, &rows)?;
                return Ok(tensor.f_to_kind(self.kind)?);
            }
            Source::Block { .. } | Source::Asked { .. } => {
                return Err(Error::Input("rows are read of a network's files only".into()));
            }
        };
        let tensor = set.read_rows(self.device, &name, rows)?;
        if !is_finite(&tensor)? {
            return Err(not_finite(self.device, set, &[], &name)?);
        }
        Ok(tensor.f_to_device(self.device.tch())?.f_to_kind(self.kind)?)
    }

    fn get_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor> {
        let name = self.name(name);
        let (set, adapters, scratch) = match &self.source {
            Source::Files { set, adapters, scratch } => (set, adapters, scratch),
            Source::Memory(set) => {
                let tensor = set.merged(&name)?;
                check_shape(&name, &tensor, shape)?;
                return Ok(tensor.f_to_kind(kind)?);
            }
            Source::Block { layout, memory } => return layout.part(&name)?.view(&memory.tensor()),
            Source::Asked { set, asked } => {
                set.shape(&name)?;
                return asked.note(&name, kind, shape);
            }
        };
        let (entry, path, raw) = set.find(&name)?;
        if entry.shape != shape {
            return Err(Error::Tensor {
                path: path.to_owned(),
                name: raw.to_owned(),
                expected: format!("{shape:?}"),
                found: format!("{:?}", entry.shape),
            });
        }
        if self.in_place
            && let Some(tensor) = used_as_stored::mapped(set, adapters, &name, kind)?
            && is_finite(&tensor)?
        {
            set.mark(&name);
            return Ok(tensor);
        }
        let stored = set.stored(&name)?;
        let merges = adapters
            .iter()
            .filter_map(|adapter| adapter.merging(&name, self.device.tch(), None).transpose());
        let merges = merges.collect::<Result<_>>()?;
        let delivery = Delivery { stored, merges, kind, device: self.device.tch() };
        match delivery.deliver(scratch)? {
            Some(tensor) => Ok(tensor),
            None => Err(not_finite(self.device, set, adapters, &name)?),
        }
    }

    /// Has the system read every tensor below here, and what adapters change it by, from their
    /// files into its cache, and does not wait: what is computed meanwhile is not held up by the
    /// disk.
    pub(crate) fn read_ahead(&self) {
        let Source::Files { set, adapters, .. } = &self.source else { return };
        let (set, adapters, prefix) = (set.clone(), adapters.clone(), self.prefix.clone());
        let read = move || {
            for (name, file, raw) in set.under(&prefix) {
                file.read_ahead(raw);
                for adapter in &*adapters {
                    adapter.read_ahead(name);
                }
            }
        };
        // The system holds the caller up where its queue is full.
        let thread = std::thread::Builder::new().name("read-ahead".into()).spawn(read);
        if let Err(error) = thread {
            log::debug!("weights are not read ahead: {error}");
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// The kind of what is computed in at least float32 beside tensors of `kind`: float64 where `kind`
/// is that, else float32.
pub(crate) fn at_least_float32(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}

fn check_shape(name: &str, tensor: &Tensor, shape: &[i64]) -> Result<()> {
    if tensor.size() == shape {
        return Ok(());
    }
    Err(Error::Input(format!(
        "the network in training: tensor `{name}`: expected {shape:?}, found {:?}",
        tensor.size()
    )))
}

/// The file that brought numbers which are not finite, or too large for the kind they are wanted in:
/// the network's own, or the first adapter after which they are there.
fn not_finite(opened: Device, set: &TensorSet, adapters: &[Adapter], name: &str) -> Result<Error> {
    let (_, mut path, raw) = set.find(name)?;
    let mut tensor = set.read(opened, name)?.f_to_kind(Kind::Float)?;
    for adapter in adapters.iter().filter(|adapter| adapter.changes(name)) {
        if !is_finite(&tensor)? {
            break;
        }
        tensor = adapter.merge(name, tensor)?;
        path = adapter.path();
    }
    Ok(Error::Tensor {
        path: path.to_owned(),
        name: raw.to_owned(),
        expected: "finite numbers".into(),
        found: "NaN or infinity; the file is damaged, fetch it again".into(),
    })
}

/// Whether every element is finite. One cheap pass decides nearly always: a finite sum has finite
/// terms.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    // Summed as another kind, it would be copied first.
    let kind = match tensor.kind() {
        kind @ (Kind::BFloat16 | Kind::Double) => kind,
        _ => Kind::Float,
    };
    if tensor.f_sum(kind)?.f_double_value(&[])?.is_finite() {
        return Ok(true);
    }
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}
