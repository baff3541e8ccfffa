//! Base and adapters as one file, tensor by tensor: `wan-alpha model merge`, and the copy that
//! `wan-alpha model add --keep-merged` keeps beside a model's record.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::{
    FILLER, MERGED, MERGED_NUMERICS, MERGED_PRESET, MERGED_SOURCE, ModelFiles, Strengths, Weights,
    keeps_float32,
};
use wan_alpha_take::models::{MergedCopy, PartFile};
use wan_alpha_take::{Fingerprint, NUMERICS, Precision};

use super::Chosen;
use super::tensor_stream::{self, TensorHead};
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::probe_file;
use crate::own_inputs::refuse_input;
use crate::write_lock::WriteLock;

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
    let _lock = WriteLock::of_file(out)?;
    let kind = kind_of(dtype.unwrap_or(Precision::Bf16));
    let source = match chosen.fingerprint {
        Some(known) => known,
        None => files.fingerprint(watch)?,
    };
    Merging { files: &files, kind, float32_kind: kind, source, aligned: false }.write(out, watch)
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
        let kind = kind_of(precision);
        Merging { files, kind, float32_kind: Kind::Float, source, aligned: true }
    }

    /// How many bytes the file will have.
    pub(super) fn bytes(&self) -> Result<u64> {
        let merging = self.merging();
        let heads = merging.heads()?;
        let header = tensor_stream::header(&heads, &merging.remarks())?.len() as u64;
        Ok(header + heads.iter().map(|head| head.bytes() as u64).sum::<u64>())
    }

    /// Writes it into a record's folder.
    pub(super) fn write(&self, folder: &Path, watch: &dyn Watch) -> Result<MergedCopy> {
        let name = MergedCopy::file_name(self.precision);
        let path = folder.join(name);
        self.merging().write(&path, watch)?;
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
    /// Each block of the transformer begins where files are read past the system's cache, and its tensors
    /// where they lie in memory: a block that comes and goes is one read then. Other programs, which know
    /// no fillers, need it otherwise.
    aligned: bool,
}

impl Merging<'_> {
    /// Writes the file, whole or not at all.
    fn write(&self, out: &Path, watch: &dyn Watch) -> Result<()> {
        let Self { files, kind, .. } = *self;
        let weights = Weights::new(files.dit.clone(), files.adapters.clone(), kind, Device::cpu());
        let heads = self.heads()?;
        let read = |index: usize| -> Result<Tensor> {
            let TensorHead { name, kind, shape } = &heads[index];
            if *kind == Kind::Uint8 {
                return Ok(Device::cpu().zeros(shape, Kind::Uint8)?);
            }
            Ok(if *kind == self.kind {
                weights.get(name, shape)?
            } else {
                weights.get_float32(name, shape)?
            })
        };
        tensor_stream::write(out, &heads, &self.remarks(), ("merging", watch), &read)
    }

    /// Every tensor; shapes do not change by merging.
    fn heads(&self) -> Result<Vec<TensorHead>> {
        let names = self.files.dit.names().filter(|name| !name.contains('#'));
        let heads: Result<Vec<_>> = names
            .map(|name| {
                let kind = if keeps_float32(name) { self.float32_kind } else { self.kind };
                let shape = self.files.dit.shape(name)?.to_vec();
                Ok(TensorHead { name: name.to_owned(), kind, shape })
            })
            .collect();
        if self.aligned { heads.map(with_fillers) } else { heads }
    }

    /// What the file says of itself.
    fn remarks(&self) -> BTreeMap<&'static str, String> {
        let mut remarks = merged_remarks(self.files);
        remarks.insert(MERGED_SOURCE, self.source.to_string());
        remarks.insert(MERGED_NUMERICS, NUMERICS.to_string());
        remarks
    }
}

/// What a transformer with the adapters of `files` merged says of itself: which those are, and how it is
/// sampled.
pub(super) fn merged_remarks(files: &ModelFiles) -> BTreeMap<&'static str, String> {
    let adapters = files.adapters.iter().map(|adapter| adapter.kind().name());
    let known = files.dit.metadata(MERGED).filter(|list| !list.is_empty());
    let adapters: Vec<_> = known.into_iter().chain(adapters).collect();
    BTreeMap::from([
        (MERGED_PRESET, files.preset().preset.name.to_owned()),
        (MERGED, adapters.join(",")),
    ])
}

/// Where a tensor of a block begins, from where the block does.
const PART_ALIGNMENT: usize = 256;

/// The same tensors, with fillers between them so that blocks and their tensors begin where they should.
pub(super) fn with_fillers(heads: Vec<TensorHead>) -> Vec<TensorHead> {
    let mut filled = Vec::with_capacity(heads.len());
    let (mut end, mut block) = (0usize, None);
    for head in heads {
        let this = head.name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let alignment = match this {
            None => 1,
            this if this == block.as_deref() => PART_ALIGNMENT,
            _ => tensor_stream::DATA_ALIGNMENT,
        };
        block = this.map(str::to_owned);
        let begin = end.next_multiple_of(alignment);
        if begin > end {
            let shape = vec![(begin - end) as i64];
            let name = format!("{FILLER}{}", filled.len());
            filled.push(TensorHead { name, kind: Kind::Uint8, shape });
        }
        end = begin + head.bytes();
        filled.push(head);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_tensors_begin_where_memory_and_disks_want_them() {
        let head = |name: &str, count: i64| TensorHead {
            name: name.to_owned(),
            kind: Kind::BFloat16,
            shape: vec![count],
        };
        let heads = vec![
            head("blocks.0.a", 5),
            head("blocks.0.b", 128),
            head("blocks.0.c", 3),
            head("blocks.1.a", 5),
            head("head", 7),
        ];
        let filled = with_fillers(heads);
        let mut place = 0;
        let mut places = Vec::new();
        for head in &filled {
            if !head.name.starts_with(FILLER) {
                places.push((head.name.as_str(), place));
            }
            place += head.bytes();
        }
        let expected = [
            ("blocks.0.a", 0),
            ("blocks.0.b", 256),
            ("blocks.0.c", 512),
            ("blocks.1.a", 4096),
            ("head", 4106),
        ];
        assert_eq!(places, expected);
    }
}
