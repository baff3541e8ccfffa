//! A reference model taken apart into its tensors, to be written again in another form.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::TensorFile;

use super::reference::Case;

/// Tensors of a file by their names.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// Where the parts of a reference model are, below its folder.
pub(crate) const DIT: &str = "diffusion_pytorch_model";
pub(crate) const TEXT: &str = "models_t5_umt5-xxl-enc-bf16.pth";
pub(crate) const VAE: &str = "Wan2.1_VAE.pth";
pub(crate) const DECODERS: &str = "decoder.bin";
pub(crate) const DORA: &str = "wan-alpha-dora.safetensors";
pub(crate) const DISTILL: &str = "lightx2v_lora.safetensors";
pub(crate) const CLIP: &str = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";
pub(crate) const MERGE: &str = "Wan-Alpha-v2-VAE.bin";
pub(crate) const TOKENIZER: &str = "google/umt5-xxl/tokenizer.json";

/// Writes the training case's merge block, which is as wide as the reference models' autoencoder.
pub(crate) fn write_merge_block(file: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/training");
    let golden = TensorFile::open(&data.join("training-golden.safetensors")).unwrap();
    let block: Vec<_> = golden
        .names()
        .filter_map(|name| {
            let own = format!("middle.{}", name.strip_prefix("weights.merge.")?);
            Some((own, golden.read(Device::cpu(), name).unwrap()))
        })
        .collect();
    Tensor::write_safetensors(&block, file).unwrap();
}

/// All tensors of a model, under their original names.
pub(crate) struct Parts {
    pub(crate) config: Value,
    pub(crate) dit: Tensors,
    pub(crate) text: Tensors,
    pub(crate) vae: Tensors,
    pub(crate) decoders: Tensors,
    pub(crate) dora: Tensors,
    pub(crate) distill: Tensors,
    /// Of an image-to-video model.
    pub(crate) of_images: Option<OfImages>,
    tokenizer: PathBuf,
}

/// What only an image-to-video model has besides.
pub(crate) struct OfImages {
    pub(crate) image_encoder: Tensors,
    pub(crate) merge: Tensors,
}

impl Parts {
    pub(crate) fn of(case: &Case) -> Self {
        let model = case.model();
        let part = |name: &str| read(&model.join(name));
        let config = fs::read(model.join("config.json")).unwrap();
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            dit: shards(&model).iter().flat_map(|shard| read(shard)).collect(),
            text: part(TEXT),
            vae: part(VAE),
            decoders: part(DECODERS),
            dora: part(DORA),
            distill: part(DISTILL),
            of_images: model
                .join(CLIP)
                .is_file()
                .then(|| OfImages { image_encoder: part(CLIP), merge: part(MERGE) }),
            tokenizer: model.join(TOKENIZER),
        }
    }

    /// Brings every tensor to the numbers that bfloat16 has, and to `kind`.
    pub(crate) fn round(&mut self, kind: Kind) {
        let all = [
            &mut self.dit,
            &mut self.text,
            &mut self.vae,
            &mut self.decoders,
            &mut self.dora,
            &mut self.distill,
        ];
        for tensor in all.into_iter().flat_map(BTreeMap::values_mut) {
            *tensor = tensor.to_kind(Kind::BFloat16).to_kind(kind);
        }
    }

    /// Copies the reference model's tokenizer to this path.
    pub(crate) fn write_tokenizer(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&self.tokenizer, path).unwrap();
    }

    /// Writes every part as one file under its original names.
    pub(crate) fn write_single_files(&self, folder: &Path) {
        write(&folder.join("wan2.1_t2v.safetensors"), &self.dit);
        write_json(&folder.join("config.json"), &self.config);
        write(&folder.join("umt5.safetensors"), &self.text);
        write(&folder.join("vae.safetensors"), &self.vae);
        write(&folder.join("decoder_lora.safetensors"), &self.decoders);
        write(&folder.join("dora.safetensors"), &self.dora);
        write(&folder.join("distill.safetensors"), &self.distill);
        self.write_tokenizer(&folder.join("tokenizer.json"));
    }
}

/// A reference model that a test may damage.
pub(crate) struct Copy(TempDir);

impl Copy {
    pub(crate) fn of(case: &str) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&Case::named(case).model(), copy.path());
        Self(copy)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn remove(self, name: &str) -> Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    pub(crate) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// Changes the tensors of a safetensors file.
    pub(crate) fn change(self, name: &str, change: impl FnOnce(&mut Tensors)) -> Self {
        let mut tensors = read(&self.path(name));
        change(&mut tensors);
        write(&self.path(name), &tensors);
        self
    }

    /// The shard of the transformer that holds a tensor: its name in the folder.
    pub(crate) fn shard_of(&self, tensor: &str) -> String {
        let shards = shards(self.folder());
        let holds = |path: &&PathBuf| TensorFile::open(path).unwrap().entry(tensor).is_some();
        let shard = shards.iter().find(holds).unwrap_or_else(|| panic!("no {tensor}"));
        shard.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// The transformer's shards: their names in the folder.
    pub(crate) fn shards(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        shards(self.folder()).into_iter().map(name).collect()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn shards(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_shard = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(DIT) && name.ends_with(".safetensors")
    };
    let mut shards: Vec<_> = paths.filter(is_shard).collect();
    shards.sort();
    shards
}

/// Every tensor of a file.
pub(crate) fn read(path: &Path) -> Tensors {
    let file = TensorFile::open(path).unwrap();
    file.names().map(|name| (name.to_owned(), file.read(Device::cpu(), name).unwrap())).collect()
}

/// Writes one safetensors file.
pub(crate) fn write(path: &Path, tensors: &Tensors) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let list: Vec<_> = tensors.iter().map(|(name, tensor)| (name, tensor.contiguous())).collect();
    Tensor::write_safetensors(&list, path).unwrap();
}

/// Writes `stem-0000i-of-0000n.safetensors` and the index that belongs to them.
pub(crate) fn write_sharded(folder: &Path, stem: &str, tensors: &Tensors, count: usize) {
    let mut weight_map = serde_json::Map::new();
    let size = tensors.len().div_ceil(count);
    let names: Vec<&String> = tensors.keys().collect();
    for (index, names) in names.chunks(size).enumerate() {
        let file = format!("{stem}-{:05}-of-{count:05}.safetensors", index + 1);
        let shard = names.iter().map(|&name| (name.clone(), tensors[name].shallow_clone()));
        write(&folder.join(&file), &shard.collect());
        weight_map.extend(names.iter().map(|&name| (name.clone(), json!(file))));
    }
    let index = json!({ "metadata": { "total_size": 0 }, "weight_map": weight_map });
    write_json(&folder.join(format!("{stem}.safetensors.index.json")), &index);
}

pub(crate) fn write_json(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}
