//! What lies in a folder: files of tensors, recognized by their keys and grouped into shards.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter::{self, FileKind};
use super::file::TensorFile;
use super::set::Network;
use crate::{Error, Result};

/// How deep below a given folder parts are looked for (`text_encoder/`, `google/umt5-xxl/`).
const DEPTH: usize = 4;

/// One or several files that together are one part.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) files: Vec<Arc<TensorFile>>,
}

impl Candidate {
    pub(super) fn path(&self) -> PathBuf {
        self.files.first().map(|file| file.path().to_owned()).unwrap_or_default()
    }

    /// The `config.json` beside the files.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let config = self.path().parent()?.join("config.json");
        config.is_file().then_some(config)
    }

    /// Whether it has decoder LoRAs, whatever else it has.
    pub(super) fn has_decoders(&self) -> bool {
        let keys: Vec<&str> = self.files.iter().flat_map(|file| file.names()).collect();
        adapter::recognize(&keys) == Some(FileKind::Decoders)
    }

    /// What the file's name says of a complete autoencoder: nothing else tells the two apart. In the
    /// layout of Diffusers all files have one name, and the folder's says it.
    pub(super) fn channel(&self) -> Channel {
        let path = self.path();
        let lower =
            |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().to_lowercase();
        let file = lower(path.file_name());
        let folder = lower(path.parent().and_then(Path::file_name));
        let name = if file.starts_with("diffusion_pytorch_model") { folder } else { file };
        // The product's own name says nothing.
        let name =
            ["wan_alpha", "wan-alpha", "wanalpha"].iter().fold(name, |n, own| n.replace(own, ""));
        if name.contains("rgb") || name.contains("fgr") {
            Channel::Color
        } else if name.contains("pha") {
            Channel::Alpha
        } else {
            Channel::Base
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Base,
    Color,
    Alpha,
}

/// Everything recognized among the given paths.
#[derive(Default)]
pub(super) struct Found {
    pub(super) dits: Vec<Candidate>,
    pub(super) texts: Vec<Candidate>,
    pub(super) vaes: Vec<Candidate>,
    pub(super) doras: Vec<Candidate>,
    pub(super) distills: Vec<Candidate>,
    pub(super) decoders: Vec<Candidate>,
    /// With a merge block; a training checkpoint has the decoder LoRAs as well.
    pub(super) merges: Vec<Candidate>,
    pub(super) tokenizers: Vec<PathBuf>,
    /// Named by themselves; a folder's are found beside its transformer.
    pub(super) configs: Vec<PathBuf>,
    pub(super) unknown: Vec<PathBuf>,
}

impl Found {
    pub(super) fn among(paths: &[PathBuf]) -> Result<Self> {
        let mut files = BTreeSet::new();
        for path in paths {
            collect(path, DEPTH, &mut files)?;
        }
        let mut found = Self::default();
        let mut sharded: BTreeMap<(PathBuf, String), Vec<Arc<TensorFile>>> = BTreeMap::new();
        for path in files {
            if path.file_name() == Some(OsStr::new("tokenizer.json")) {
                found.tokenizers.push(path);
                continue;
            }
            if path.extension() == Some(OsStr::new("json")) {
                found.configs.extend(path.ends_with("config.json").then_some(path));
                continue;
            }
            let file = Arc::new(TensorFile::open(&path)?);
            match shard_stem(&path) {
                Some(stem) => sharded.entry(stem).or_default().push(file),
                None => found.place(vec![file]),
            }
        }
        for ((folder, stem), files) in sharded {
            check_shards(&folder, &stem, &files)?;
            found.place(files);
        }
        Ok(found)
    }

    fn place(&mut self, files: Vec<Arc<TensorFile>>) {
        let keys: Vec<&str> = files.iter().flat_map(|file| file.names()).collect();
        if keys.iter().any(|key| Network::Merge.original(key).is_some()) {
            self.merges.push(Candidate { files });
            return;
        }
        let list = match adapter::recognize(&keys) {
            Some(FileKind::Decoders) => &mut self.decoders,
            Some(FileKind::Dora) => &mut self.doras,
            Some(FileKind::Distill) => &mut self.distills,
            None => {
                let count = |network: Network| {
                    keys.iter().filter(|key| network.original(key).is_some()).count()
                };
                let [dit, text, vae] = [Network::Dit, Network::Umt5, Network::Vae].map(count);
                if dit == 0 && text == 0 && vae == 0 {
                    self.unknown.extend(files.iter().map(|file| file.path().to_owned()));
                    return;
                } else if dit >= text && dit >= vae {
                    &mut self.dits
                } else if text >= vae {
                    &mut self.texts
                } else {
                    &mut self.vaes
                }
            }
        };
        list.push(Candidate { files });
    }
}

/// Tensor files and tokenizers in `path`, each by its resolved path so that none counts twice.
fn collect(path: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let kind = fs::metadata(path).map_err(Error::io("open", path))?;
    if !kind.is_dir() {
        files.insert(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(Error::io("list", path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // A dangling link is nobody's part; what it points to is judged, not the link.
        let Ok(kind) = fs::metadata(&path) else {
            continue;
        };
        if kind.is_dir() && depth > 0 && !hidden {
            collect(&path, depth - 1, files)?;
        } else if kind.is_file() && !hidden && is_part(&path) {
            files.insert(path);
        }
    }
    Ok(())
}

fn is_part(path: &Path) -> bool {
    path.file_name() == Some(OsStr::new("tokenizer.json"))
        || path.extension().is_some_and(|kind| {
            ["safetensors", "pth", "bin", "pt", "ckpt"].iter().any(|known| kind == *known)
        })
}

/// Folder and common name of a shard `NAME-00002-of-00009.EXT`.
fn shard_stem(path: &Path) -> Option<(PathBuf, String)> {
    let stem = path.file_stem()?.to_str()?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, index) = rest.rsplit_once('-')?;
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(index) && number(count))
        .then(|| (path.parent().unwrap_or(Path::new("")).to_owned(), name.to_owned()))
}

/// Every shard that the names, or the index where there is one, promise must be there.
fn check_shards(folder: &Path, stem: &str, files: &[Arc<TensorFile>]) -> Result<()> {
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    let present: BTreeSet<_> =
        files.iter().filter_map(|file| file.path().file_name()?.to_str()).collect();
    if !index.is_file() {
        let count = present
            .first()
            .and_then(|name| name.rsplit_once("-of-")?.1.get(..5)?.parse::<usize>().ok())
            .unwrap_or(0);
        if count != present.len() {
            return Err(Error::file(
                folder,
                format!(
                    "{} of the {count} files {stem}-….safetensors are here; fetch the others",
                    present.len()
                ),
            ));
        }
        return Ok(());
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = fs::read_to_string(&index).map_err(Error::io("read", &index))?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|error| Error::file(&index, format!("not a safetensors index: {error}")))?;
    for (key, shard) in &parsed.weight_map {
        let file = files
            .iter()
            .find(|file| file.path().file_name().is_some_and(|name| name == shard.as_str()))
            .ok_or_else(|| {
                Error::file(&index, format!("lists {shard}, which is missing; fetch it"))
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

    #[test]
    fn a_complete_autoencoder_says_its_channel_in_its_name() {
        let channel = |name: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
            Candidate { files: vec![Arc::new(TensorFile::open(&path).unwrap())] }.channel()
        };
        assert!(channel("wan_alpha_2.1_vae_rgb_channel.safetensors.safetensors") == Channel::Color);
        assert!(channel("wan_alpha_2.1_vae_alpha_channel.safetensors") == Channel::Alpha);
        assert!(channel("Wan-Alpha-vae_pha.safetensors") == Channel::Alpha);
        assert!(channel("Wan2.1_VAE.safetensors") == Channel::Base);
        assert!(channel("vae_rgb/diffusion_pytorch_model.safetensors") == Channel::Color);
        assert!(channel("vae_alpha/diffusion_pytorch_model.safetensors") == Channel::Alpha);
        assert!(channel("vae/diffusion_pytorch_model.safetensors") == Channel::Base);
        assert!(channel("rgb/Wan2.1_VAE.safetensors") == Channel::Base);
    }

    #[test]
    fn shards_are_grouped_by_folder_and_name() {
        let stem = shard_stem(Path::new("m/diffusion_pytorch_model-00002-of-00009.safetensors"));
        assert_eq!(stem, Some((PathBuf::from("m"), "diffusion_pytorch_model".into())));
        assert_eq!(shard_stem(Path::new("m/epoch-13-1500.safetensors")), None);
        assert_eq!(shard_stem(Path::new("m/a-2-of-9.safetensors")), None);
    }
}
