//! A safetensors file written tensor by tensor, so that one tensor is in memory at a time.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use wan_alpha_core::Watch;
use wan_alpha_core::tch::{Kind, Tensor};

use crate::exit::{Exit, OrExit};

/// Where a file's tensors begin is a multiple of this.
pub(super) const DATA_ALIGNMENT: usize = 4096;

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub(super) struct TensorHead {
    /// The name in the file.
    pub(super) name: String,
    /// A float of 8 to 32 bits; uint8 of what only fills.
    pub(super) kind: Kind,
    pub(super) shape: Vec<i64>,
}

impl TensorHead {
    /// How many bytes it has in the file.
    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<i64>() as usize * self.kind.elt_size_in_bytes()
    }
}

/// The file's header, its length before it, known before any tensor is read.
pub(super) fn header(heads: &[TensorHead], remarks: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let mut entries = Map::new();
    let mut about: BTreeMap<&str, &str> = BTreeMap::from([("format", "pt")]);
    about.extend(remarks.iter().map(|(name, value)| (*name, value.as_str())));
    entries.insert("__metadata__".to_owned(), json!(about));
    let mut offset = 0;
    for head in heads {
        let dtype = match head.kind {
            Kind::Float => "F32",
            Kind::Half => "F16",
            Kind::BFloat16 => "BF16",
            Kind::Float8e4m3fn => "F8_E4M3",
            Kind::Uint8 => "U8",
            other => return Err(anyhow!("tensors of kind {other:?} are not written to files")),
        };
        let end = offset + head.bytes();
        let entry = json!({ "dtype": dtype, "shape": head.shape, "data_offsets": [offset, end] });
        entries.insert(head.name.clone(), entry);
        offset = end;
    }
    let mut header = serde_json::to_vec(&Value::Object(entries))?;
    // Data begin at a multiple of what files are read past the system's cache by.
    header.resize((8 + header.len()).next_multiple_of(DATA_ALIGNMENT) - 8, b' ');
    let mut whole = (header.len() as u64).to_le_bytes().to_vec();
    whole.extend(header);
    Ok(whole)
}

/// Writes `out`, whole or not at all; `read` is asked for each tensor in order, of exactly the kind
/// and shape of its head. `about` says what is being done, and is told of it.
pub(super) fn write(
    out: &Path,
    heads: &[TensorHead],
    remarks: &BTreeMap<&str, String>,
    about: (&str, &dyn Watch),
    read: &dyn Fn(usize) -> Result<Tensor>,
) -> Result<()> {
    write_bytes(out, &header(heads, remarks)?, heads.len(), about, &|index| raw(&read(index)?))
}

/// Writes `out`, whole or not at all: a header, and `count` pieces that `piece` is asked for in order.
pub(super) fn write_bytes(
    out: &Path,
    header: &[u8],
    count: usize,
    (verb, watch): (&str, &dyn Watch),
    piece: &dyn Fn(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let explain = || format!("cannot write {}", out.display());
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    remove_unfinished(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // As the user's mask has it: models are shared, and temporary files are closed to others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file: NamedTempFile =
        builder.tempfile_in(folder).with_context(explain).or_exit(Exit::BadInput)?;
    // Held as long as somebody writes: others leave it alone.
    let _ = file.as_file().try_lock();
    let fill = |file: &File| -> Result<()> {
        let mut bytes = BufWriter::with_capacity(1 << 20, file);
        bytes.write_all(header)?;
        for index in 0..count {
            if !watch.go_on() {
                return Err(anyhow!("cancelled while {verb}")).or_exit(Exit::Cancelled);
            }
            bytes.write_all(&piece(index)?)?;
            watch.writes(verb, index + 1, count);
        }
        Ok(bytes.flush()?)
    };
    fill(file.as_file()).with_context(explain)?;
    file.as_file().sync_all().with_context(explain)?;
    file.persist(out).with_context(explain)?;
    Ok(())
}

/// How the name of a file begins that is still being written.
const UNFINISHED: &str = "unfinished-model-file-";

/// Removes what those have left behind in a folder who were killed while they wrote.
pub(super) fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let path = entry.path();
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            match fs::remove_file(&path) {
                Ok(()) => log::info!("{}, left behind unfinished, is removed", path.display()),
                Err(error) => log::info!("{} cannot be removed: {error}", path.display()),
            }
        }
    }
}

/// The bytes of a tensor's numbers in their order.
pub(super) fn raw(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
