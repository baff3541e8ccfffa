//! The list of released files, and what they are for together: data, read from TOML.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The list that comes along.
const OURS: &str = include_str!("releases.toml");

/// Released files, and uses that need several of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Releases {
    #[serde(rename = "use")]
    pub(super) uses: Vec<ModelUse>,
    #[serde(rename = "file")]
    pub(super) files: Vec<ReleasedFile>,
}

/// What somebody wants to do, and the files that it takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelUse {
    pub(super) name: String,
    pub(super) what: String,
    /// Keys of files.
    pub(super) files: Vec<String>,
    /// What `model add` is given of the folder that they were fetched into; nothing where they are no
    /// whole model.
    pub(super) add: Vec<PathBuf>,
}

/// One file as it lies on the hub.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleasedFile {
    pub(super) key: String,
    pub(super) what: String,
    /// `owner/name` on the hub.
    pub(super) repository: String,
    /// Where it lies in the repository.
    pub(super) path: String,
    /// Its exact size.
    pub(super) bytes: Option<u64>,
    /// Its size as far as it is known.
    pub(super) about_bytes: Option<u64>,
    /// The hash of its content, in lower-case hexadecimal.
    pub(super) sha256: Option<String>,
    pub(super) license: String,
    /// It is an index: what the files that it names, which lie beside it, take together.
    pub(super) shards_about_bytes: Option<u64>,
    /// Members of a JSON file, by which it is told from others of its name.
    #[serde(default)]
    pub(super) must_say: Map<String, Value>,
}

impl Releases {
    /// The list that comes along, or one of the user's own in the same form.
    pub(super) fn read(own: Option<&Path>) -> Result<Self> {
        let Some(path) = own else {
            return Self::parse(OURS).context("the list of released files that comes along");
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the list {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("the list {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text)?;
        let mut places = BTreeSet::new();
        for file in &list.files {
            file.check()?;
            ensure!(
                places.insert(file.place()),
                "two files would lie at {}",
                file.place().display()
            );
        }
        for one in &list.uses {
            list.files_of(one)?;
        }
        Ok(list)
    }

    /// A use by its name.
    pub(super) fn named(&self, name: &str) -> Result<&ModelUse> {
        let found = self.uses.iter().find(|one| one.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.uses.iter().map(|one| one.name.as_str()).collect();
            anyhow!("`{name}` is no use that is listed: expected one of {}", names.join(", "))
        })
    }

    /// The files of a use, in its order.
    pub(super) fn files_of(&self, one: &ModelUse) -> Result<Vec<&ReleasedFile>> {
        let file = |key: &String| {
            let found = self.files.iter().find(|file| file.key == *key);
            found.ok_or_else(|| {
                anyhow!("the use {} names the file {key}, which is not listed", one.name)
            })
        };
        one.files.iter().map(file).collect()
    }
}

impl ReleasedFile {
    /// Its address on a hub.
    pub(super) fn address(&self, hub: &str) -> String {
        format!("{hub}/{}/resolve/main/{}", self.repository, self.path)
    }

    /// Where it lies below the folder that models are fetched into: in a folder of its repository.
    pub(super) fn place(&self) -> PathBuf {
        let name = self.repository.rsplit('/').next().unwrap_or(&self.repository);
        Path::new(name).join(&self.path)
    }

    /// Bytes of it, and of what it names; exact only where [`Self::is_exact`].
    pub(super) fn size(&self) -> Option<u64> {
        let own = self.bytes.or(self.about_bytes);
        match (own, self.shards_about_bytes) {
            (None, None) => None,
            (own, shards) => Some(own.unwrap_or(0) + shards.unwrap_or(0)),
        }
    }

    /// Whether its size is known to the byte.
    pub(super) fn is_exact(&self) -> bool {
        self.bytes.is_some() && self.shards_about_bytes.is_none()
    }

    /// A file that an index names, which lies beside it. Its size and hash are not known.
    pub(super) fn shard(&self, name: &str) -> Result<Self> {
        let path = match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        };
        let shard = Self {
            path,
            bytes: None,
            about_bytes: None,
            sha256: None,
            shards_about_bytes: None,
            must_say: Map::new(),
            ..self.clone()
        };
        shard.check().with_context(|| format!("the index {} names a file", self.path))?;
        Ok(shard)
    }

    /// Names come from lists and from the network: they never leave the folder they are meant for.
    fn check(&self) -> Result<()> {
        let Self { key, repository, path, .. } = self;
        let plain = |text: &str| {
            let letters = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
            !text.is_empty()
                && text.chars().all(letters)
                && Path::new(text).components().all(|part| matches!(part, Component::Normal(_)))
        };
        ensure!(
            plain(repository) && repository.split('/').count() == 2,
            "{key}: the repository `{repository}` must be OWNER/NAME"
        );
        ensure!(
            plain(path),
            "{key}: the path `{path}` must name a file by letters, digits and - _ . + /"
        );
        if let Some(hash) = &self.sha256 {
            let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            ensure!(
                hash.len() == 64 && hash.chars().all(hexadecimal),
                "{key}: sha256 `{hash}` must have 64 digits of 0 to 9 and a to f"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_comes_along_is_whole() {
        let list = Releases::read(None).unwrap();
        for one in &list.uses {
            assert!(!list.files_of(one).unwrap().is_empty());
        }
        for file in &list.files {
            let used = list.uses.iter().any(|one| one.files.contains(&file.key));
            assert!(used, "{} is for nothing", file.key);
        }
        let four = list.named("v2-4-step").unwrap();
        let bytes: u64 = list.files_of(four).unwrap().iter().filter_map(|file| file.size()).sum();
        assert!((69_900_000_000..70_300_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_documents_name_the_same_files_and_repositories() {
        let page = include_str!("../../../docs/models-and-memory.md");
        let list = Releases::read(None).unwrap();
        for file in list.files_of(list.named("v2-4-step").unwrap()).unwrap() {
            // The index stands for its shards there.
            let name = file.path.rsplit('/').next().unwrap();
            let named = file.shards_about_bytes.is_some() || page.contains(name);
            assert!(named && page.contains(&file.repository), "{}", file.key);
        }
        for one in &list.uses {
            assert!(page.contains(&format!("`{}`", one.name)), "{} is not in the page", one.name);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let list = Releases::read(None).unwrap();
        let index = list.files.iter().find(|file| file.shards_about_bytes.is_some()).unwrap();
        let shard = index.shard("diffusion_pytorch_model-00001-of-00006.safetensors").unwrap();
        assert!(shard.place().starts_with("Wan2.1-T2V-14B"));
        for name in ["../x", "/etc/passwd", "a b", "", "a/../../b", "x?y"] {
            assert!(index.shard(name).is_err(), "{name}");
        }
        let text = OURS.replacen("Wan-AI/Wan2.1-T2V-14B", "Wan-AI/..", 1);
        assert!(format!("{:#}", Releases::parse(&text).unwrap_err()).contains("OWNER/NAME"));
        let text = OURS.replacen("sha256 = \"7", "sha256 = \"X", 1);
        assert!(format!("{:#}", Releases::parse(&text).unwrap_err()).contains("64 digits"));
        let text = OURS.replacen("\"dora-v2\"", "\"dora-v9\"", 1);
        assert!(format!("{:#}", Releases::parse(&text).unwrap_err()).contains("dora-v9"));
    }
}
