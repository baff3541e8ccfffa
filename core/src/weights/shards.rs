//! Files that are one part together: which belong together by their names, and whether all are there.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::TensorFile;
use crate::{Error, Result};

/// How the files of a group are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Numbering {
    /// `NAME-00002-of-00009`
    OfCount,
    /// `NAME_part2`
    Parts,
    /// `block_2`, and `non_block` for what stands around the blocks.
    Blocks,
}

/// What the names of files that belong together have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShardGroup {
    folder: PathBuf,
    stem: String,
    numbering: Numbering,
}

impl ShardGroup {
    /// The group of a file; none where its name is that of a whole part.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let numbered = || {
            let (rest, count) = stem.rsplit_once("-of-")?;
            let (name, index) = rest.rsplit_once('-')?;
            let number = |text: &str| text.len() == 5 && digits(text);
            (number(index) && number(count)).then_some((name, Numbering::OfCount))
        };
        let part = || {
            let (name, index) = stem.rsplit_once("_part")?;
            (digits(index) && !name.is_empty()).then_some((name, Numbering::Parts))
        };
        let block = || {
            let index = stem.strip_prefix("block_");
            (stem == "non_block" || index.is_some_and(digits))
                .then_some(("block", Numbering::Blocks))
        };
        let (stem, numbering) = numbered().or_else(part).or_else(block)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Some(Self { folder, stem: stem.to_owned(), numbering })
    }

    /// Whether every file is there that the names, or the index where there is one, promise.
    ///
    /// # Errors
    /// One is missing, or is not what the index says.
    pub(super) fn check(&self, files: &[Arc<TensorFile>]) -> Result<()> {
        let names: BTreeSet<_> =
            files.iter().filter_map(|file| file.path().file_name()?.to_str()).collect();
        match self.numbering {
            Numbering::OfCount => {
                let index = self.folder.join(format!("{}.safetensors.index.json", self.stem));
                if index.is_file() {
                    return check_index(&index, &self.stem, files);
                }
                self.check_count(&names)
            }
            Numbering::Parts => {
                let name = |number: u32| format!("{}_part{number}", self.stem);
                let first = numbers(&names, &format!("{}_part", self.stem)).first().copied();
                self.check_numbers(
                    &names,
                    &format!("{}_part", self.stem),
                    first.unwrap_or(0).min(1),
                    name,
                )
            }
            Numbering::Blocks => {
                let has = |stem: &str| names.iter().any(|name| name.starts_with(stem));
                if !has("non_block.") {
                    let problem = "has files block_….safetensors without their non_block.safetensors, \
                                   which holds what stands around the blocks; fetch it";
                    return Err(Error::file(&self.folder, problem));
                }
                self.check_numbers(&names, "block_", 0, |number| format!("block_{number}"))
            }
        }
    }

    fn check_count(&self, names: &BTreeSet<&str>) -> Result<()> {
        let count = names
            .first()
            .and_then(|name| name.rsplit_once("-of-")?.1.get(..5)?.parse::<usize>().ok())
            .unwrap_or(0);
        if count == names.len() {
            return Ok(());
        }
        Err(Error::file(
            &self.folder,
            format!(
                "{} of the {count} files {}-….safetensors are here; fetch the others",
                names.len(),
                self.stem
            ),
        ))
    }

    /// Whether no number is left out from `from` to the last that is there.
    fn check_numbers(
        &self,
        names: &BTreeSet<&str>,
        prefix: &str,
        from: u32,
        name: impl Fn(u32) -> String,
    ) -> Result<()> {
        let there = numbers(names, prefix);
        let last = there.last().copied().unwrap_or(from);
        let Some(lost) = (from..last).find(|number| !there.contains(number)) else { return Ok(()) };
        let problem = format!(
            "has {} files {prefix}… up to {}, but no {}.safetensors; fetch it",
            there.len(),
            name(last),
            name(lost)
        );
        Err(Error::file(&self.folder, problem))
    }
}

/// The numbers after `prefix` in names of files.
fn numbers(names: &BTreeSet<&str>, prefix: &str) -> BTreeSet<u32> {
    let number = |name: &&str| name.strip_prefix(prefix)?.split('.').next()?.parse().ok();
    names.iter().filter_map(number).collect()
}

fn check_index(index: &Path, stem: &str, files: &[Arc<TensorFile>]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = fs::read_to_string(index).map_err(Error::io("read", index))?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|error| Error::file(index, format!("not a safetensors index: {error}")))?;
    for (key, shard) in &parsed.weight_map {
        let file = files
            .iter()
            .find(|file| file.path().file_name().is_some_and(|name| name == shard.as_str()))
            .ok_or_else(|| {
                Error::file(index, format!("lists {shard}, which is missing; fetch it"))
            })?;
        if file.entry(key).is_none() {
            return Err(Error::file(
                file.path(),
                format!(
                    "lacks `{key}`, which {stem}.safetensors.index.json says it holds; fetch both again"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str) -> Option<(String, Numbering)> {
        ShardGroup::of(Path::new(path)).map(|group| (group.stem, group.numbering))
    }

    #[test]
    fn shards_are_grouped_by_folder_and_name() {
        let stem = |name: &str, numbering| Some((name.to_owned(), numbering));
        for (path, expected) in [
            (
                "m/diffusion_pytorch_model-00002-of-00009.safetensors",
                stem("diffusion_pytorch_model", Numbering::OfCount),
            ),
            ("m/epoch-13-1500.safetensors", None),
            ("m/a-2-of-9.safetensors", None),
            ("m/wan_part2.safetensors", stem("wan", Numbering::Parts)),
            ("m/wan_partial.safetensors", None),
            ("m/block_11.safetensors", stem("block", Numbering::Blocks)),
            ("m/non_block.safetensors", stem("block", Numbering::Blocks)),
            ("m/block.safetensors", None),
        ] {
            assert_eq!(group(path), expected, "{path}");
        }
    }
}
