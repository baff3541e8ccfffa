//! Weights: files of tensors, the names they go by, adapters, and lazy access to all of it.
//!
//! Nothing in a weights file can run: safetensors are data, and pickles go through a reader that
//! builds tensors only ([`file`]). A file is mapped and a tensor is read when a layer asks for it;
//! adapters are merged into it at that moment, in float32, so that loading needs one tensor's
//! memory beyond the resident model.

mod adapter;
mod encoder;
mod file;
mod fingerprint;
mod found;
mod names;
mod parts;
mod pickle;
mod set;

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

pub use adapter::{Adapter, AdapterKind};
pub use encoder::EncoderFiles;
pub use file::{Entry, TensorFile, read_bare_tensor};
pub use parts::{Decoders, MERGED, ModelFiles, Strengths};
pub use set::{Network, TensorSet};

use crate::{Error, Result};

/// A network's weights as its layers see them: a prefix into a [`TensorSet`], the adapters to
/// merge, and the kind and device to deliver on.
#[derive(Clone, Debug)]
pub struct Weights {
    set: Arc<TensorSet>,
    adapters: Arc<[Adapter]>,
    prefix: String,
    kind: Kind,
    device: Device,
}

impl Weights {
    /// Weights at the root of a network; `adapters` are merged in the order given.
    pub fn new(
        set: Arc<TensorSet>,
        adapters: impl Into<Arc<[Adapter]>>,
        kind: Kind,
        device: Device,
    ) -> Self {
        Self { set, adapters: adapters.into(), prefix: String::new(), kind, device }
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

    /// Where tensors are delivered.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.set.contains(&self.name(name))
    }

    /// A tensor's sizes.
    ///
    /// # Errors
    /// It is missing.
    pub fn shape(&self, name: &str) -> Result<&[i64]> {
        self.set.shape(&self.name(name))
    }

    /// A tensor of exactly `shape`, adapters merged, in the working kind.
    ///
    /// # Errors
    /// It is missing, of another shape, or not finite; or memory runs out.
    pub fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.get_as(name, shape, self.kind)
    }

    /// Like [`Weights::get`], in float32: norms, modulation, time embedding and head.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn get_f32(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.get_as(name, shape, Kind::Float)
    }

    /// Rows of a matrix in the working kind; adapters do not apply to it.
    ///
    /// # Errors
    /// It is missing or not finite, or a row is out of range.
    pub fn rows(&self, name: &str, rows: &[i64]) -> Result<Tensor> {
        let name = self.name(name);
        let tensor = self.set.read_rows(&name, rows)?;
        if !is_finite(&tensor)? {
            return Err(self.not_finite(&name)?);
        }
        Ok(tensor.f_to_device(self.device)?.f_to_kind(self.kind)?)
    }

    fn get_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor> {
        let name = self.name(name);
        let (entry, path, raw) = self.set.find(&name)?;
        if entry.shape != shape {
            return Err(Error::Tensor {
                path: path.to_owned(),
                name: raw.to_owned(),
                expected: format!("{shape:?}"),
                found: format!("{:?}", entry.shape),
            });
        }
        let mut tensor = self.set.read(&name)?;
        if self.adapters.iter().any(|adapter| adapter.changes(&name)) {
            tensor = tensor.f_to_kind(Kind::Float)?;
            for adapter in &*self.adapters {
                tensor = adapter.merge(&name, tensor)?;
            }
        }
        if !is_finite(&tensor)? {
            return Err(self.not_finite(&name)?);
        }
        Ok(tensor.f_to_kind(kind)?.f_to_device(self.device)?)
    }

    /// The file that brought numbers which are not finite: the network's own, or the first adapter
    /// after which they are there.
    fn not_finite(&self, name: &str) -> Result<Error> {
        let (_, mut path, raw) = self.set.find(name)?;
        let mut tensor = self.set.read(name)?.f_to_kind(Kind::Float)?;
        for adapter in self.adapters.iter().filter(|adapter| adapter.changes(name)) {
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

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Whether every element is finite. One cheap pass decides nearly always: a finite sum has finite
/// terms.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.f_sum(Kind::Float)?.f_double_value(&[])?.is_finite() {
        return Ok(true);
    }
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}
