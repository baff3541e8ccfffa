//! Base and adapters as one file, tensor by tensor: `wan-alpha model merge`, and the copy that
//! `wan-alpha model add --keep-merged` keeps beside a model's record.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::{
    MERGED, MERGED_NUMERICS, MERGED_SOURCE, ModelFiles, Strengths, Weights, keeps_float32,
};
use wan_alpha_core::{Stage, Watch};
use wan_alpha_take::models::{MergedCopy, PartFile};
use wan_alpha_take::{Fingerprint, NUMERICS, Precision};

use super::Chosen;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::probe_file;
use crate::own_inputs::refuse_input;

/// Writes the transformer with its adapters merged, original names, to `out`.
///
/// One tensor is in memory at a time. The file's metadata keep the fingerprint of the sources.
pub(super) fn run(
    chosen: &Chosen,
    out: &Path,
    dtype: Option<Precision>,
    watch: &dyn Watch,
) -> Result<()> {
    let files = ModelFiles::find(&chosen.paths, Strengths::default(), watch)?;
    if files.adapters.is_empty() {
        return Err(anyhow!("{} has no adapters to merge", chosen.name)).or_exit(Exit::BadInput);
    }
    refuse_input("--out", out, &files.paths())?;
    probe_file(out).or_exit(Exit::BadInput)?;
    let kind = kind_of(dtype.unwrap_or(Precision::Bf16));
    let source = match chosen.fingerprint {
        Some(known) => known,
        None => files.fingerprint(watch)?,
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    Merging { files: &files, kind, float32_kind: kind, source }.write(
        folder.unwrap_or(Path::new(".")),
        out,
        watch,
    )
}

/// The copy of a model that is kept beside its record: every tensor in the kind it is computed with,
/// so that its bits are those that merging while loading gives.
pub(super) struct Keeping<'a> {
    pub(super) files: &'a ModelFiles,
    pub(super) source: Fingerprint,
    pub(super) precision: Precision,
}

impl Keeping<'_> {
    fn merging(&self) -> Merging<'_> {
        let Self { files, source, precision } = *self;
        Merging { files, kind: kind_of(precision), float32_kind: Kind::Float, source }
    }

    /// How many bytes the file will have.
    pub(super) fn bytes(&self) -> Result<u64> {
        let merging = self.merging();
        let header = merging.header()?.len() as u64 + 8;
        let tensors = merging.tensors()?.into_iter();
        Ok(header + tensors.map(|(_, _, bytes)| bytes as u64).sum::<u64>())
    }

    /// Writes it into a record's folder.
    pub(super) fn write(&self, folder: &Path, watch: &dyn Watch) -> Result<MergedCopy> {
        let name = MergedCopy::file_name(self.precision);
        let path = folder.join(name);
        self.merging().write(folder, &path, watch)?;
        let file = PartFile { path: name.into(), ..PartFile::of(&path)? };
        Ok(MergedCopy { file, precision: self.precision })
    }
}

fn kind_of(precision: Precision) -> Kind {
    if precision == Precision::F32 { Kind::Float } else { Kind::BFloat16 }
}

/// What is merged, and the kinds it is written in.
struct Merging<'a> {
    files: &'a ModelFiles,
    kind: Kind,
    /// Of what is computed in at least float32.
    float32_kind: Kind,
    source: Fingerprint,
}

impl Merging<'_> {
    /// Writes the file, whole or not at all.
    fn write(&self, folder: &Path, out: &Path, watch: &dyn Watch) -> Result<()> {
        let explain_io = || format!("cannot write {}", out.display());
        remove_unfinished(folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        // As the user's mask has it: models are shared, and temporary files are closed to others.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file: NamedTempFile =
            builder.tempfile_in(folder).with_context(explain_io).or_exit(Exit::BadInput)?;
        // Held as long as somebody writes: others leave it alone.
        let _ = file.as_file().try_lock();
        self.fill(file.as_file(), watch).with_context(explain_io)?;
        file.as_file().sync_all().with_context(explain_io)?;
        file.persist(out).with_context(explain_io)?;
        Ok(())
    }

    fn fill(&self, file: &File, watch: &dyn Watch) -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let header = self.header()?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let Self { files, kind, .. } = *self;
        let weights = Weights::new(files.dit.clone(), files.adapters.clone(), kind, Device::cpu());
        let tensors = self.tensors()?;
        for (done, (name, kind, _)) in tensors.iter().enumerate() {
            if !watch.go_on() {
                return Err(anyhow!("cancelled while merging")).or_exit(Exit::Cancelled);
            }
            let shape = files.dit.shape(name)?;
            let float32 = *kind != self.kind;
            let tensor =
                if float32 { weights.get_float32(name, shape) } else { weights.get(name, shape) };
            out.write_all(&bytes(&tensor?)?)?;
            watch.progress(Stage::Load, done + 1, tensors.len());
        }
        out.flush()?;
        Ok(())
    }

    /// Name, kind and bytes of every tensor.
    fn tensors(&self) -> Result<Vec<(&str, Kind, usize)>> {
        let names = self.files.dit.names().filter(|name| !name.contains('#'));
        names
            .map(|name| {
                let kind = if keeps_float32(name) { self.float32_kind } else { self.kind };
                let numbers = self.files.dit.shape(name)?.iter().product::<i64>() as usize;
                Ok((name, kind, numbers * kind.elt_size_in_bytes()))
            })
            .collect()
    }

    /// A safetensors header: known before any tensor is merged, since shapes do not change.
    fn header(&self) -> Result<Vec<u8>> {
        let adapters = self.files.adapters.iter().map(|adapter| adapter.kind().name());
        let known = self.files.dit.metadata(MERGED).filter(|list| !list.is_empty());
        let adapters: Vec<_> = known.into_iter().chain(adapters).collect();
        let mut entries = Map::new();
        entries.insert(
            "__metadata__".to_owned(),
            json!({
                "format": "pt",
                (MERGED_SOURCE): self.source,
                (MERGED_NUMERICS): NUMERICS.to_string(),
                (MERGED): adapters.join(","),
            }),
        );
        let mut offset = 0;
        for (name, kind, bytes) in self.tensors()? {
            let dtype = if kind == Kind::Float { "F32" } else { "BF16" };
            let (shape, end) = (self.files.dit.shape(name)?, offset + bytes);
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] });
            entries.insert(name.to_owned(), entry);
            offset = end;
        }
        let mut header = serde_json::to_vec(&Value::Object(entries))?;
        // Data begin at a multiple of 8.
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }
}

/// How the name of a file begins that is still being written.
const UNFINISHED: &str = "unfinished-merged-copy-";

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

fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
