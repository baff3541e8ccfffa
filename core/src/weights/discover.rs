//! What lies in a folder: files of tensors, recognized by their keys and grouped into shards.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::adapter_keys::{FileKind, recognize};
use super::candidate::Candidate;
use super::distillation::{check_generation, evidence};
use super::file::TensorFile;
use super::folder::{self, Listed};
use super::network::Network;
use super::passed_over::PassedOver;
use super::shards::ShardGroup;
use super::tokenizer_file;
use crate::Result;

/// What writers of GGUF put a patch embedding into, whose five axes their tools do not know.
const SIDE_FILE: &str = "fix_5d_tensors_wan.safetensors";
const PATCH: &str = "patch_embedding.weight";

/// Everything recognized among the given paths.
#[derive(Default)]
pub(super) struct Found {
    pub(super) dits: Vec<Candidate>,
    pub(super) texts: Vec<Candidate>,
    pub(super) vaes: Vec<Candidate>,
    pub(super) doras: Vec<Candidate>,
    pub(super) distills: Vec<Candidate>,
    /// LoRAs that nothing says to be step distillation.
    pub(super) loras: Vec<Candidate>,
    pub(super) decoders: Vec<Candidate>,
    /// With a merge block; a training checkpoint has the decoder LoRAs as well.
    pub(super) merges: Vec<Candidate>,
    /// Image encoders, with whatever else of CLIP lies in their files.
    pub(super) image_encoders: Vec<Candidate>,
    pub(super) tokenizers: Vec<PathBuf>,
    /// Tokenizers as SentencePiece writes them.
    pub(super) sentence_pieces: Vec<PathBuf>,
    /// Named by themselves; a folder's are found beside its transformer.
    pub(super) configs: Vec<PathBuf>,
    pub(super) unknown: Vec<PathBuf>,
    /// Found in a folder, and no files of tensors that can be read.
    pub(super) passed_over: Vec<PassedOver>,
}

impl Found {
    /// Recognizes what is among `paths`.
    ///
    /// # Errors
    /// A file that was named, or that others need, cannot be read.
    pub(super) fn among(paths: &[PathBuf]) -> Result<Self> {
        let mut found = Self::default();
        let mut sharded: BTreeMap<ShardGroup, Vec<Arc<TensorFile>>> = BTreeMap::new();
        for Listed { path, named } in folder::files(paths)? {
            if path.file_name() == Some(OsStr::new(folder::TOKENIZER)) {
                found.tokenizers.push(path);
                continue;
            }
            if path.extension() == Some(OsStr::new("model")) {
                found.sentence_pieces.push(path);
                continue;
            }
            if path.extension() == Some(OsStr::new("json")) {
                found.configs.extend(path.ends_with("config.json").then_some(path));
                continue;
            }
            let file = TensorFile::open(&path).and_then(of_this_generation);
            let file = match file {
                Ok(file) => Arc::new(file),
                Err(error) if named => return Err(error),
                Err(error) => {
                    found.passed_over.push(PassedOver { path, error });
                    continue;
                }
            };
            match ShardGroup::of(&path) {
                Some(group) => sharded.entry(group).or_default().push(file),
                None => found.place(vec![file]),
            }
        }
        for (group, files) in sharded {
            if is_known(&files)
                && let Err(error) = group.check(&files)
            {
                // What is missing may be there and torn, which says more.
                let torn = |file: &PassedOver| ShardGroup::of(&file.path).as_ref() == Some(&group);
                let torn = found.passed_over.iter().position(torn);
                return Err(torn.map_or(error, |index| found.passed_over.swap_remove(index).error));
            }
            found.place(files);
        }
        found.join_side_file()?;
        Ok(found)
    }

    /// Puts the file that has a GGUF transformer's patch embedding to the transformer.
    fn join_side_file(&mut self) -> Result<()> {
        let only_patch = |candidate: &Candidate| {
            candidate.keys().all(|key| {
                Network::Dit.original(key).is_none_or(|name| name.starts_with("patch_embedding."))
            })
        };
        let (sides, mut dits): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.dits).into_iter().partition(only_patch);
        let mut sides = sides.into_iter();
        for dit in &mut dits {
            let lacks = |dit: &Candidate| {
                let has =
                    dit.keys().any(|key| Network::Dit.original(key).as_deref() == Some(PATCH));
                !has && dit.files.iter().any(|file| file.is_gguf())
            };
            if !lacks(dit) {
                continue;
            }
            let beside = dit.path().parent().map(|folder| folder.join(SIDE_FILE));
            match (sides.next(), beside.filter(|path| path.is_file())) {
                (Some(side), _) => dit.files.extend(side.files),
                (None, Some(beside)) => dit.files.push(Arc::new(TensorFile::open(&beside)?)),
                (None, None) => {}
            }
        }
        if dits.is_empty() {
            dits.extend(sides);
        } else {
            self.unknown.extend(sides.map(|side| side.path()));
        }
        self.dits = dits;
        Ok(())
    }

    /// The file that the tokenizer lies in, of whichever form; it may be the text encoder's.
    ///
    /// # Errors
    /// Nothing says which of several is meant.
    pub(super) fn tokenizer(&mut self) -> Result<Option<PathBuf>> {
        let [jsons, sentence_pieces] =
            [std::mem::take(&mut self.tokenizers), std::mem::take(&mut self.sentence_pieces)];
        let texts: Vec<&TensorFile> =
            self.texts.iter().flat_map(|text| &text.files).map(|file| &**file).collect();
        tokenizer_file::choose(jsons, sentence_pieces, &texts)
    }

    fn place(&mut self, files: Vec<Arc<TensorFile>>) {
        let keys: Vec<&str> = files.iter().flat_map(|file| file.names()).collect();
        if keys.iter().any(|key| Network::Merge.original(key).is_some()) {
            self.merges.push(Candidate { files });
            return;
        }
        let list = match recognize(&keys) {
            Some(FileKind::Decoders) => &mut self.decoders,
            Some(FileKind::Dora) => &mut self.doras,
            Some(FileKind::Lora) if files.iter().any(|file| evidence(file).is_some()) => {
                &mut self.distills
            }
            Some(FileKind::Lora) => &mut self.loras,
            None => {
                let count = |network: Network| {
                    keys.iter().filter(|key| network.original(key).is_some()).count()
                };
                let [dit, text, vae] = [Network::Dit, Network::Umt5, Network::Vae].map(count);
                let image = keys.iter().filter(|key| is_of_image_encoder(key)).count();
                if dit == 0 && text == 0 && vae == 0 && image == 0 {
                    self.unknown.extend(files.iter().map(|file| file.path().to_owned()));
                    return;
                } else if image > dit.max(text).max(vae) {
                    &mut self.image_encoders
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

/// Whether a key is of the half of CLIP that sees, its last projection aside.
pub(super) fn is_of_image_encoder(key: &str) -> bool {
    Network::Clip.original(key).is_some_and(|name| name.starts_with("vision_model."))
}

/// The file, unless it is a transformer's or an adapter's of Wan2.2.
fn of_this_generation(file: TensorFile) -> Result<TensorFile> {
    let keys: Vec<&str> = file.names().collect();
    let of_transformer = match recognize(&keys) {
        Some(kind) => kind != FileKind::Decoders,
        None => keys.iter().any(|key| Network::Dit.original(key).is_some()),
    };
    if of_transformer {
        check_generation(&file)?;
    }
    Ok(file)
}

/// Whether files are of any network or adapter that is looked for.
fn is_known(files: &[Arc<TensorFile>]) -> bool {
    let keys: Vec<&str> = files.iter().flat_map(|file| file.names()).collect();
    let networks = [Network::Dit, Network::Umt5, Network::Vae, Network::Merge];
    recognize(&keys).is_some()
        || keys.iter().any(|key| {
            is_of_image_encoder(key)
                || networks.iter().any(|network| network.original(key).is_some())
        })
}
