//! Files that a run leaves, in the formats that this program and the authors' code load.

#![forbid(unsafe_code)]

mod archive;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use tch::{Device, Kind, Tensor};

use super::parameters::Parameters;
use crate::dit::DitConfig;
use crate::{Error, Result};

/// One file of a result.
#[derive(Debug)]
pub struct Export {
    /// The name that the released file has.
    pub file: &'static str,
    /// What is in it.
    pub content: Content,
}

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// Tensors by name, as safetensors.
    Safetensors(Vec<(String, Tensor)>),
    /// Tensors, as `torch.save` writes a dictionary of them.
    Pickle(Vec<(String, Tensor)>),
    /// Text, written as it is.
    Text(String),
}

impl Export {
    /// Writes the file into `folder`, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written to, or the disk is full.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(self.file);
        match &self.content {
            Content::Safetensors(tensors) => write_safetensors(&path, tensors, &BTreeMap::new()),
            Content::Pickle(tensors) => write_pickle(&path, tensors),
            Content::Text(text) => whole(&path, |file| {
                file.write_all(text.as_bytes()).map_err(Error::io("write", &path))
            }),
        }
    }
}

/// Writes a dictionary of tensors as `torch.save` does, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write_pickle(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    whole(path, |file| archive::write(file, path, tensors))
}

/// Writes tensors as safetensors with remarks in the header, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let held = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, tensor.size(), dtype(tensor.kind())?, bytes(tensor)?)))
        .collect::<Result<Vec<_>>>()?;
    let views = held
        .iter()
        .map(|(name, size, dtype, bytes)| {
            let shape = size.iter().map(|&size| size as usize).collect();
            Ok((*name, TensorView::new(*dtype, shape, bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
    let metadata = (!metadata.is_empty())
        .then(|| metadata.clone().into_iter().collect::<std::collections::HashMap<_, _>>());
    whole(path, |file| {
        let serialized = safetensors::serialize(views, metadata)
            .map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
        file.write_all(&serialized).map_err(Error::io("write", path))
    })
}

fn dtype(kind: Kind) -> Result<safetensors::Dtype> {
    Ok(match kind {
        Kind::Float => safetensors::Dtype::F32,
        Kind::Double => safetensors::Dtype::F64,
        Kind::BFloat16 => safetensors::Dtype::BF16,
        Kind::Half => safetensors::Dtype::F16,
        Kind::Int64 => safetensors::Dtype::I64,
        other => {
            return Err(Error::Input(format!(
                "tensors of kind {other:?} are not written to files"
            )));
        }
    })
}

/// A tensor's numbers in order, little-endian as every supported machine has them.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// Writes beside `path` first, then renames.
fn whole(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(Error::io("write", path))?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    set_mode(file.as_file()).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// Temporary files are for their owner only; results are as other files are.
#[cfg(unix)]
fn set_mode(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_mode(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// The parameters whose names begin with `prefix`, without it; on the CPU, in memory of their own.
pub(super) fn stripped(parameters: &Parameters, prefix: &str) -> Result<Vec<(String, Tensor)>> {
    let all = parameters.snapshot()?;
    let strip =
        |(name, tensor): (String, Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor));
    Ok(all.into_iter().filter_map(strip).collect())
}

/// As the released models have it.
pub(super) fn config_json(config: &DitConfig) -> String {
    let DitConfig {
        dim,
        heads,
        layers,
        ffn,
        freq_dim,
        in_channels,
        out_channels,
        text_length,
        eps,
        ..
    } = config;
    let json = serde_json::json!({
        "_class_name": "WanModel",
        "model_type": "t2v",
        "dim": dim,
        "ffn_dim": ffn,
        "freq_dim": freq_dim,
        "in_dim": in_channels,
        "out_dim": out_channels,
        "num_heads": heads,
        "num_layers": layers,
        "text_len": text_length,
        "eps": eps,
    });
    format!("{json:#}\n")
}
