//! Finding the parts of a model in a folder or among several files, by their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter::{self, Adapter, AdapterKind, FileKind};
use super::file::TensorFile;
use super::set::{Network, TensorSet};
use crate::{Error, Result, Watch};

/// How deep below a given folder parts are looked for (`text_encoder/`, `google/umt5-xxl/`).
const DEPTH: usize = 4;

/// How strongly the adapters are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strengths {
    /// The transparency DoRA's ratio; 0 leaves it out.
    pub dora: f64,
    /// The step-distillation LoRA's strength; 0 leaves it out.
    pub distill: f64,
}

impl Default for Strengths {
    fn default() -> Self {
        Self { dora: 1.0, distill: 1.0 }
    }
}

/// Where the two decoders come from.
#[derive(Debug)]
pub enum Decoders {
    /// One autoencoder and a LoRA for each decoder.
    Adapted {
        /// The base autoencoder.
        base: Arc<TensorSet>,
        /// Makes it decode colour.
        colour: Adapter,
        /// Makes it decode alpha.
        alpha: Adapter,
    },
    /// Two complete autoencoders, LoRAs merged.
    Complete {
        /// Decodes colour.
        colour: Arc<TensorSet>,
        /// Decodes alpha.
        alpha: Arc<TensorSet>,
    },
}

/// The parts of a model that makes RGBA video from text.
#[derive(Debug)]
pub struct ModelFiles {
    /// The diffusion transformer.
    pub dit: Arc<TensorSet>,
    /// Its `config.json`, where there is one.
    pub config: Option<PathBuf>,
    /// The transparency DoRA and the step-distillation LoRA, in the order they are merged.
    pub adapters: Vec<Adapter>,
    /// The umT5 text encoder.
    pub text: Arc<TensorSet>,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The two decoders.
    pub decoders: Decoders,
}

impl ModelFiles {
    /// Recognises the parts among `paths` (folders are searched) and checks that they fit
    /// together. Reads headers only.
    ///
    /// # Errors
    /// A part is missing ([`Error::Incomplete`]), has two candidates ([`Error::Ambiguous`]), is
    /// damaged, or belongs to another model.
    pub fn find(paths: &[PathBuf], strengths: Strengths, watch: &dyn Watch) -> Result<Self> {
        let found = Found::among(paths)?;
        for path in &found.unknown {
            watch.warn(&format!("{}: no part of the model, left alone", path.display()));
        }
        let Found { dits, texts, vaes, doras, distills, decoders, tokenizers, mut configs, .. } =
            found;

        let mut missing = Vec::new();
        let dit = single("diffusion transformer", dits)?;
        if dit.is_none() {
            missing.push("diffusion transformer (diffusion_pytorch_model*.safetensors)");
        }
        let text = single("text encoder", texts)?;
        if text.is_none() {
            missing.push("text encoder (models_t5_umt5-xxl-enc-bf16.pth)");
        }
        let tokenizer = single_tokenizer(tokenizers)?;
        if tokenizer.is_none() {
            missing.push("tokenizer (google/umt5-xxl/tokenizer.json)");
        }
        let decoders = find_decoders(vaes, decoders, &mut missing)?;
        let (Some(dit), Some(text), Some(tokenizer), Some(decoders)) =
            (dit, text, tokenizer, decoders)
        else {
            return Err(Error::Incomplete {
                missing: missing.into_iter().map(str::to_owned).collect(),
                searched: paths.to_vec(),
            });
        };

        let config = dit.config().or_else(|| configs.pop());
        let dit = Arc::new(TensorSet::new(dit.files, Network::Dit)?);
        let text = Arc::new(TensorSet::new(text.files, Network::Umt5)?);
        for set in [&dit, &text] {
            warn_foreign(set, watch);
        }
        let mut adapters = Vec::new();
        match single("transparency DoRA", doras)? {
            Some(dora) if strengths.dora != 0.0 => {
                adapters.push(open(AdapterKind::Dora, dora, strengths.dora, &dit)?);
            }
            Some(_) => {}
            None if merged(&dit, AdapterKind::Dora) => {}
            None => watch.warn(
                "no transparency DoRA among the files: unless it is merged into the transformer \
                 already, backgrounds will not be transparent",
            ),
        }
        if let Some(distill) = single("step-distillation LoRA", distills)?
            && strengths.distill != 0.0
        {
            adapters.push(open(AdapterKind::Distill, distill, strengths.distill, &dit)?);
        }
        for adapter in &adapters {
            warn_unmatched(adapter, watch);
            if let Some((name, scale)) = adapter.scaled()? {
                watch.warn(&format!(
                    "{}: its alpha scales `{name}` by {scale}, which the authors' loader ignores",
                    adapter.path().display()
                ));
            }
        }
        Ok(Self { dit, config, adapters, text, tokenizer, decoders })
    }

    /// Every file of the model, each once, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let sets = match &self.decoders {
            Decoders::Adapted { base, .. } => vec![&self.dit, &self.text, base],
            Decoders::Complete { colour, alpha } => vec![&self.dit, &self.text, colour, alpha],
        };
        let decoders = match &self.decoders {
            Decoders::Adapted { colour, .. } => Some(colour),
            Decoders::Complete { .. } => None,
        };
        let adapters = self.adapters.iter().chain(decoders).map(Adapter::path);
        let files = sets.into_iter().flat_map(|set| set.paths()).chain(adapters);
        let others = self.config.iter().chain([&self.tokenizer]).map(PathBuf::as_path);
        let unique: BTreeSet<_> = files.chain(others).map(Path::to_owned).collect();
        unique.into_iter().collect()
    }

    /// Whether a step-distillation LoRA will be merged: 4 steps without guidance are then enough.
    pub fn is_distilled(&self) -> bool {
        self.adapters.iter().any(|adapter| adapter.kind() == AdapterKind::Distill)
            || merged(&self.dit, AdapterKind::Distill)
    }
}

/// The remark in a merged transformer's header that lists the adapters merged into it.
pub const MERGED: &str = "wan-alpha.merged";

fn merged(dit: &TensorSet, kind: AdapterKind) -> bool {
    dit.metadata(MERGED).is_some_and(|list| list.split(',').any(|one| one == kind.name()))
}

/// One or several files that together are one part.
#[derive(Debug)]
struct Candidate {
    files: Vec<Arc<TensorFile>>,
}

impl Candidate {
    fn path(&self) -> PathBuf {
        self.files.first().map(|file| file.path().to_owned()).unwrap_or_default()
    }

    /// The `config.json` beside the files.
    fn config(&self) -> Option<PathBuf> {
        let config = self.path().parent()?.join("config.json");
        config.is_file().then_some(config)
    }

    /// What the file's name says of a complete autoencoder: nothing else tells the two apart.
    fn channel(&self) -> Channel {
        let path = self.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        // The product's own name says nothing.
        let name =
            ["wan_alpha", "wan-alpha", "wanalpha"].iter().fold(name, |n, own| n.replace(own, ""));
        if name.contains("rgb") || name.contains("fgr") {
            Channel::Colour
        } else if name.contains("pha") {
            Channel::Alpha
        } else {
            Channel::Base
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Base,
    Colour,
    Alpha,
}

/// Everything recognised among the given paths.
#[derive(Default)]
struct Found {
    dits: Vec<Candidate>,
    texts: Vec<Candidate>,
    vaes: Vec<Candidate>,
    doras: Vec<Candidate>,
    distills: Vec<Candidate>,
    decoders: Vec<Candidate>,
    tokenizers: Vec<PathBuf>,
    /// Named by themselves; a folder's are found beside its transformer.
    configs: Vec<PathBuf>,
    unknown: Vec<PathBuf>,
}

impl Found {
    fn among(paths: &[PathBuf]) -> Result<Self> {
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
        let list = match adapter::recognise(&keys) {
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

fn single(part: &str, mut candidates: Vec<Candidate>) -> Result<Option<Candidate>> {
    if candidates.len() > 1 {
        return Err(Error::Ambiguous {
            part: part.to_owned(),
            candidates: candidates.iter().map(Candidate::path).collect(),
        });
    }
    Ok(candidates.pop())
}

/// Image-to-video folders bring a second tokenizer; umT5's folder is named for it.
fn single_tokenizer(mut candidates: Vec<PathBuf>) -> Result<Option<PathBuf>> {
    if candidates.len() > 1 {
        let umt5 = |path: &PathBuf| {
            path.parent().is_some_and(|folder| folder.to_string_lossy().contains("umt5"))
        };
        let named: Vec<_> = candidates.iter().filter(|path| umt5(path)).cloned().collect();
        if named.len() != 1 {
            return Err(Error::Ambiguous { part: "tokenizer".into(), candidates });
        }
        candidates = named;
    }
    Ok(candidates.pop())
}

fn find_decoders(
    vaes: Vec<Candidate>,
    loras: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Decoders>> {
    let (mut base, mut colour, mut alpha) = (Vec::new(), Vec::new(), Vec::new());
    for vae in vaes {
        match vae.channel() {
            Channel::Base => base.push(vae),
            Channel::Colour => colour.push(vae),
            Channel::Alpha => alpha.push(vae),
        }
    }
    let complete = !colour.is_empty() || !alpha.is_empty();
    if complete && !loras.is_empty() {
        let all = loras.iter().chain(&colour).chain(&alpha);
        return Err(Error::Ambiguous {
            part: "RGBA decoders".into(),
            candidates: all.map(Candidate::path).collect(),
        });
    }
    let set = |vae: Candidate| TensorSet::new(vae.files, Network::Vae).map(Arc::new);
    if complete {
        return match (single("colour autoencoder", colour)?, single("alpha autoencoder", alpha)?) {
            (Some(colour), Some(alpha)) => {
                Ok(Some(Decoders::Complete { colour: set(colour)?, alpha: set(alpha)? }))
            }
            (colour, _) => {
                missing.push(if colour.is_none() {
                    "colour autoencoder (…rgb_channel.safetensors)"
                } else {
                    "alpha autoencoder (…alpha_channel.safetensors)"
                });
                Ok(None)
            }
        };
    }
    let base = single("autoencoder", base)?;
    let lora = single("decoder LoRA", loras)?;
    if base.is_none() {
        missing.push("autoencoder (Wan2.1_VAE.pth)");
    }
    if lora.is_none() {
        missing.push("decoder LoRAs (decoder.bin)");
    }
    let (Some(base), Some(lora)) = (base, lora) else {
        return Ok(None);
    };
    let base = set(base)?;
    let open = |kind| {
        let [file] = &lora.files[..] else {
            return Err(Error::file(&lora.path(), "an adapter in several files is not understood"));
        };
        Adapter::open(kind, file.clone(), 1.0, &base)
    };
    let (colour, alpha) = (open(AdapterKind::ColourDecoder)?, open(AdapterKind::AlphaDecoder)?);
    Ok(Some(Decoders::Adapted { base, colour, alpha }))
}

fn open(
    kind: AdapterKind,
    candidate: Candidate,
    strength: f64,
    base: &TensorSet,
) -> Result<Adapter> {
    let path = candidate.path();
    let mut files = candidate.files;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Adapter::open(kind, file, strength, base),
        _ => Err(Error::file(&path, "an adapter in several files is not understood")),
    }
}

fn warn_foreign(set: &TensorSet, watch: &dyn Watch) {
    if let Some((path, key)) = set.foreign().first() {
        watch.warn(&format!(
            "{}: {} keys are not of this network, the first is `{key}`; they are left alone",
            path.display(),
            set.foreign().len()
        ));
    }
}

fn warn_unmatched(adapter: &Adapter, watch: &dyn Watch) {
    if let Some(key) = adapter.unmatched().first() {
        watch.warn(&format!(
            "{}: {} keys match nothing in this model (of {} tensors it changes), the first is `{key}`",
            adapter.path().display(),
            adapter.unmatched().len(),
            adapter.targets()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_autoencoder_says_its_channel_in_its_name() {
        let channel = |name: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
            Candidate { files: vec![Arc::new(TensorFile::open(&path).unwrap())] }.channel()
        };
        assert!(
            channel("wan_alpha_2.1_vae_rgb_channel.safetensors.safetensors") == Channel::Colour
        );
        assert!(channel("wan_alpha_2.1_vae_alpha_channel.safetensors") == Channel::Alpha);
        assert!(channel("Wan-Alpha-vae_pha.safetensors") == Channel::Alpha);
        assert!(channel("Wan2.1_VAE.safetensors") == Channel::Base);
    }

    #[test]
    fn shards_are_grouped_by_folder_and_name() {
        let stem = shard_stem(Path::new("m/diffusion_pytorch_model-00002-of-00009.safetensors"));
        assert_eq!(stem, Some((PathBuf::from("m"), "diffusion_pytorch_model".into())));
        assert_eq!(shard_stem(Path::new("m/epoch-13-1500.safetensors")), None);
        assert_eq!(shard_stem(Path::new("m/a-2-of-9.safetensors")), None);
    }
}
