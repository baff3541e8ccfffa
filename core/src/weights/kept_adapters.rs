//! What adapters have beside blocks that stay quantized, once it has been read: as their files store it, on the
//! device that merges it pass by pass.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;
use tch::{Device, Tensor};

use super::file::TensorFile;
use super::held_tensor::Held;
use crate::Result;

/// Tensors of adapters by file and name there; each is read when it is asked for first.
#[derive(Debug, Default)]
pub(super) struct KeptAdapters(Mutex<BTreeMap<(PathBuf, String), Held>>);

impl KeptAdapters {
    /// A tensor of an adapter's file in the kind that it is stored in, on a device.
    ///
    /// # Errors
    /// It cannot be read, or memory runs out.
    pub(super) fn read(&self, file: &TensorFile, name: &str, device: Device) -> Result<Tensor> {
        let key = (file.path().to_owned(), name.to_owned());
        if let Some(known) = self.0.lock().get(&key) {
            return Ok(known.tensor());
        }
        let tensor = file.read_as_stored(name)?.f_to_device(device)?;
        self.0.lock().insert(key, Held::new(tensor.shallow_clone()));
        Ok(tensor)
    }
}
