//! `wan-alpha model merge`: base and adapters as one file, tensor by tensor.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::{MERGED, ModelFiles, Strengths, Weights};
use wan_alpha_core::{Stage, Watch};
use wan_alpha_take::{Fingerprint, Precision};

use super::{Chosen, explain};
use crate::exit::{Exit, OrExit};

/// Writes the transformer with its adapters merged, original names, to `out`.
///
/// One tensor is in memory at a time. The file's metadata keep the fingerprint of the sources.
pub(super) fn run(
    chosen: &Chosen,
    out: &Path,
    dtype: Option<Precision>,
    watch: &dyn Watch,
) -> Result<()> {
    let files = ModelFiles::find(&chosen.paths, Strengths::default(), watch).map_err(explain)?;
    ensure!(!files.adapters.is_empty(), "{} has no adapters to merge", chosen.name);
    let kind = if dtype == Some(Precision::F32) { Kind::Float } else { Kind::BFloat16 };
    let fingerprint = match chosen.fingerprint {
        Some(known) => known,
        None => files.fingerprint(watch).map_err(explain)?,
    };

    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write {}", out.display()))
        .or_exit(Exit::BadInput)?;
    let explain_io = || format!("cannot write {}", out.display());
    write(&files, kind, fingerprint, file.as_file(), watch).with_context(explain_io)?;
    file.as_file().sync_all().with_context(explain_io)?;
    file.persist(out).with_context(explain_io)?;
    Ok(())
}

fn write(
    files: &ModelFiles,
    kind: Kind,
    fingerprint: Fingerprint,
    file: &File,
    watch: &dyn Watch,
) -> Result<()> {
    let names: Vec<&str> = files.dit.names().filter(|name| !name.contains('#')).collect();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let header = header(files, &names, kind, fingerprint)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;

    let weights = Weights::new(files.dit.clone(), files.adapters.clone(), kind, Device::cpu());
    for (done, name) in names.iter().enumerate() {
        if !watch.go_on() {
            return Err(anyhow!("cancelled while merging")).or_exit(Exit::Cancelled);
        }
        let tensor = weights.get(name, files.dit.shape(name)?).map_err(explain)?;
        out.write_all(&bytes(&tensor)?)?;
        watch.progress(Stage::Load, done + 1, names.len());
    }
    out.flush()?;
    Ok(())
}

/// A safetensors header: known before any tensor is merged, since shapes do not change.
fn header(
    files: &ModelFiles,
    names: &[&str],
    kind: Kind,
    fingerprint: Fingerprint,
) -> Result<Vec<u8>> {
    let dtype = if kind == Kind::Float { "F32" } else { "BF16" };
    let adapters: Vec<_> = files.adapters.iter().map(|adapter| adapter.kind().name()).collect();
    let mut entries = Map::new();
    entries.insert(
        "__metadata__".to_owned(),
        json!({
            "format": "pt",
            "wan-alpha.source": fingerprint,
            (MERGED): adapters.join(","),
        }),
    );
    let mut offset = 0;
    for name in names {
        let shape = files.dit.shape(name)?;
        let length = shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        let entry =
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, offset + length] });
        entries.insert((*name).to_owned(), entry);
        offset += length;
    }
    let mut header = serde_json::to_vec(&Value::Object(entries))?;
    // Data begin at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
