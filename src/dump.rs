//! `--dump`: every intermediate tensor of a take in one safetensors file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::NamedTempFile;
use wan_alpha_core::tch::{Device, Tensor};

use crate::exit::{Exit, OrExit};
use crate::media::atomic_file;
use crate::write_lock::WriteLock;

/// Tensors on their way to a file, which appears whole or not at all.
pub(crate) struct Dump {
    path: PathBuf,
    file: NamedTempFile,
    tensors: Vec<(String, Tensor)>,
    /// Against others that write the same file.
    lock: WriteLock,
}

impl Dump {
    /// Finds out early whether the file can be written.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = atomic_file::begin(path)
            .map_err(|problem| anyhow!("cannot write the dump {}: {problem}", path.display()))
            .or_exit(Exit::BadInput)?;
        let lock = WriteLock::of_file(path)?;
        Ok(Self { path: path.to_owned(), file, tensors: Vec::new(), lock })
    }

    pub(crate) fn add(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        // A copy: the caller may go on to change what it showed.
        let tensor = tensor.f_to_device_(Device::Cpu, tensor.kind(), false, true)?;
        self.tensors.push((name.to_owned(), tensor.f_contiguous()?));
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        let Self { path, file, tensors, lock: _lock } = self;
        let explain = || format!("cannot write the dump {}", path.display());
        Tensor::write_safetensors(&tensors, file.path()).with_context(explain)?;
        file.as_file().sync_all().with_context(explain)?;
        file.persist(&path).with_context(explain)?;
        Ok(())
    }
}
