//! Tensors in memory under their original names, low-rank adapters beside some of them: what a
//! network in training is built from.
//!
//! A network is built again for every step. What its layers then hold are the tensors here, or
//! functions of them (a kernel with its LoRA merged, in another order in memory), so that gradients
//! find their way back.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::held_tensor::Held;
use super::low_rank::LowRank;
use super::marks::SCALE;
use super::set::TensorSet;
use crate::device::Device;
use crate::{Error, Result};

/// One network's tensors, frozen or trained.
#[derive(Debug, Default)]
pub struct MemorySet {
    tensors: BTreeMap<String, Held>,
    adapters: BTreeMap<String, HeldAdapter>,
}

/// Whether a transformer computes with a tensor in at least float32, whatever its matrices are.
pub fn keeps_float32(name: &str) -> bool {
    name.contains("norm3.")
        || name.ends_with("modulation")
        || ["time_embedding.", "time_projection.", "head.head."]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[derive(Debug)]
struct HeldAdapter {
    down: Held,
    up: Held,
    magnitude: Option<Held>,
    scale: f64,
}

impl MemorySet {
    /// Reads those tensors of `set` that `kind_of` gives a kind for, each in that kind.
    ///
    /// # Errors
    /// One is not finite or cannot be read, or memory runs out.
    pub fn read(
        set: &TensorSet,
        kind_of: impl Fn(&str) -> Option<Kind>,
        device: Device,
    ) -> Result<Self> {
        let mut memory = Self::default();
        for name in set.names() {
            let Some(kind) = kind_of(name).filter(|_| !name.ends_with(SCALE)) else { continue };
            let tensor = set.read(device, name)?.f_to_kind(kind)?;
            if !super::is_finite(&tensor)? {
                let (_, path, raw) = set.find(name)?;
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name: raw.to_owned(),
                    expected: "finite numbers".into(),
                    found: "NaN or infinity; the file is damaged, fetch it again".into(),
                });
            }
            memory.insert(name, tensor.f_to_device(device.tch())?);
        }
        Ok(memory)
    }

    /// Everything of a network, in the kinds a run of `kind` computes with.
    ///
    /// # Errors
    /// As [`MemorySet::read`].
    pub fn read_all(set: &TensorSet, kind: Kind, device: Device) -> Result<Self> {
        let of = |name: &str| {
            Some(if keeps_float32(name) { super::at_least_float32(kind) } else { kind })
        };
        Self::read(set, of, device)
    }

    /// The same tensors on `device`, in `kind`.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn to(&self, kind: Kind, device: Device) -> Result<Self> {
        let mut moved = Self::default();
        for name in self.names() {
            let kind = if keeps_float32(name) { super::at_least_float32(kind) } else { kind };
            moved.insert(name, self.get(name)?.f_to_device(device.tch())?.f_to_kind(kind)?);
        }
        Ok(moved)
    }

    /// Puts a tensor in, in the place of one of that name.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), Held::new(tensor));
    }

    /// Puts an adapter beside the tensor `name`. In a [`Linear`](crate::linear::Linear) layer it
    /// stays beside the weight; any other weight is delivered with it merged.
    pub fn adapt(&mut self, name: &str, adapter: LowRank) {
        let LowRank { down, up, magnitude, scale } = adapter;
        let held = HeldAdapter {
            down: Held::new(down),
            up: Held::new(up),
            magnitude: magnitude.map(Held::new),
            scale,
        };
        self.adapters.insert(name.to_owned(), held);
    }

    /// The tensors' names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's sizes.
    ///
    /// # Errors
    /// It is missing.
    pub fn shape(&self, name: &str) -> Result<&[i64]> {
        self.held(name).map(|held| &held.shape[..])
    }

    /// A tensor without its adapter: another handle of the same.
    ///
    /// # Errors
    /// It is missing.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.held(name).map(Held::tensor)
    }

    /// The adapter beside a tensor.
    pub fn adapter(&self, name: &str) -> Option<LowRank> {
        let HeldAdapter { down, up, magnitude, scale } = self.adapters.get(name)?;
        Some(LowRank {
            down: down.tensor(),
            up: up.tensor(),
            magnitude: magnitude.as_ref().map(Held::tensor),
            scale: *scale,
        })
    }

    /// A tensor with its adapter merged, a kernel being treated as a matrix `[out, in·taps]`.
    pub(super) fn merged(&self, name: &str) -> Result<Tensor> {
        let base = self.get(name)?;
        match self.adapter(name) {
            Some(adapter) => adapter.merged(&base),
            None => Ok(base),
        }
    }

    fn held(&self, name: &str) -> Result<&Held> {
        self.tensors.get(name).ok_or_else(|| {
            Error::Input(format!(
                "the network in training has no tensor `{name}`; it is of another kind"
            ))
        })
    }
}
