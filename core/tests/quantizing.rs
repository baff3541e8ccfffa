//! Matrices brought into fewer bits; and transformers whose blocks are kept so: what they compute has the
//! bits of one that was multiplied out when it was loaded, wherever its blocks lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod small;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use small::{data, latent};
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::blocks::{BlockPlacement, BlockStore};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::plan::ModelSizes;
use wan_alpha_core::shim::LiveBytes;
use wan_alpha_core::train::{StepRng, init};
use wan_alpha_core::weights::{
    BlockFormat, BlockStorage, ModelFiles, Network, QuantizedForm, StoredKind, Strengths,
    TensorFile, TensorSet, Weights, is_block_matrix, keeps_float32, quantize,
};

fn normal(purpose: &str, shape: &[i64]) -> Tensor {
    StepRng::new(8, 0).normal(Device::cpu(), purpose, shape).unwrap()
}

#[test]
fn q8_0_is_written_as_its_own_package_writes_it() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stored_formats/q8_0.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let numbers = file.read(Device::cpu(), "numbers").unwrap();
    let form = QuantizedForm::Blocks(BlockFormat::Q8_0);
    let made = quantize(Device::cpu(), &numbers, form).unwrap();
    let expected = file.read(Device::cpu(), "blocks").unwrap();
    assert_eq!(Tensor::from_slice(&made.codes), expected.view([-1]));
    assert!(made.scales.is_empty());
}

#[test]
fn what_is_told_to_be_lost_is_what_is_lost() {
    let matrix = normal("matrix", &[70, 512]) * 0.05;
    for (form, most) in [
        (QuantizedForm::Fp8, 0.03),
        (QuantizedForm::Blocks(BlockFormat::Q8_0), 0.007),
        (QuantizedForm::Blocks(BlockFormat::Q5_K), 0.04),
        (QuantizedForm::Blocks(BlockFormat::Q4_K), 0.08),
    ] {
        let made = quantize(Device::cpu(), &matrix, form).unwrap();
        let back = match form {
            QuantizedForm::Fp8 => {
                let codes = Tensor::from_slice(&made.codes).view_dtype(Kind::Float8e4m3fn);
                codes.view([70, 512]).to_kind(Kind::Float)
                    * Tensor::from_slice(&made.scales).unsqueeze(1)
            }
            QuantizedForm::Blocks(format) => {
                let mut numbers = vec![0f32; 70 * 512];
                format.dequantize(&made.codes, &mut numbers);
                Tensor::from_slice(&numbers).view([70, 512])
            }
        };
        let lost: Tensor = &back - &matrix;
        let relative = (lost.square().sum(Kind::Double) / matrix.square().sum(Kind::Double)).sqrt();
        let relative = relative.double_value(&[]);
        assert!((made.error.relative() / relative - 1.0).abs() < 1e-4, "{form:?}");
        assert!((made.error.most - lost.abs().max().double_value(&[])).abs() < 1e-6, "{form:?}");
        assert!(relative < most && relative > most / 4.0, "{form:?}: {relative}");
    }
    let narrow = normal("narrow", &[3, 48]);
    let error = quantize(Device::cpu(), &narrow, QuantizedForm::Blocks(BlockFormat::Q4_K));
    assert!(
        error.unwrap_err().to_string().contains("rows of 48 numbers are no whole blocks of 256")
    );
    let form = QuantizedForm::Blocks(BlockFormat::Q4_K);
    let fallen = |width| form.for_rows_of(width);
    assert_eq!(fallen(512), Some(form));
    assert_eq!(fallen(96), Some(QuantizedForm::Blocks(BlockFormat::Q8_0)));
    assert_eq!(fallen(48), None);
}

/// Of a transformer whose rows are whole blocks of every format.
fn config() -> DitConfig {
    DitConfig {
        dim: 256,
        heads: 4,
        layers: 6,
        ffn: 512,
        freq_dim: 32,
        text_dim: 24,
        in_channels: 16,
        image: None,
        out_channels: 16,
        text_length: 8,
        eps: 1e-6,
    }
}

/// A tensor as it is stored, and its bytes.
struct Stored {
    name: String,
    shape: Vec<i64>,
    stored: StoredKind,
    bytes: Vec<u8>,
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    tensor.contiguous().view([-1]).view_dtype(Kind::Uint8).try_into().unwrap()
}

/// A random transformer, its blocks' matrices in a form; and the same multiplied out, float32. Blocks need
/// not be alike: of some the last matrix is in `other`.
fn random(form: QuantizedForm, other: QuantizedForm) -> (Vec<Stored>, Vec<(String, Tensor)>) {
    let set = init::dit(Device::cpu(), &config(), 3).unwrap();
    let (mut stored, mut meant) = (Vec::new(), Vec::new());
    for name in set.names() {
        let tensor = set.get(name).unwrap();
        let shape = tensor.size();
        let tensor = &tensor + normal(name, &shape) * 0.05;
        if !is_block_matrix(name, &shape) {
            let kind = if keeps_float32(name) { Kind::Float } else { Kind::BFloat16 };
            let tensor = tensor.to_kind(kind);
            let bytes = bytes_of(&tensor);
            stored.push(Stored {
                name: name.to_owned(),
                shape,
                stored: StoredKind::Plain(kind),
                bytes,
            });
            meant.push((name.to_owned(), tensor.to_kind(Kind::Float)));
            continue;
        }
        let odd = name.starts_with("blocks.1.") || name.starts_with("blocks.4.");
        let form = if odd && name.ends_with("ffn.2.weight") { other } else { form };
        let made = quantize(Device::cpu(), &tensor, form).unwrap();
        let numbers = match form {
            QuantizedForm::Blocks(format) => {
                let mut numbers = vec![0f32; tensor.numel()];
                format.dequantize(&made.codes, &mut numbers);
                Tensor::from_slice(&numbers).view(&shape[..])
            }
            QuantizedForm::Fp8 => {
                let codes = Tensor::from_slice(&made.codes).view_dtype(Kind::Float8e4m3fn);
                let scales = Tensor::from_slice(&made.scales).unsqueeze(1);
                let scale = Stored {
                    name: format!("{name}_scale"),
                    shape: scales.size(),
                    stored: StoredKind::Plain(Kind::Float),
                    bytes: bytes_of(&scales),
                };
                stored.push(scale);
                codes.view(&shape[..]).to_kind(Kind::Float) * scales
            }
        };
        let (name, bytes) = (name.to_owned(), made.codes);
        meant.push((name.clone(), numbers));
        stored.push(Stored { name, shape, stored: form.stored(), bytes });
    }
    (stored, meant)
}

/// Writes a safetensors file.
fn write_safetensors(path: &Path, tensors: &[Stored]) {
    fn view(stored: &Stored) -> safetensors::tensor::TensorView<'_> {
        let dtype = match stored.stored {
            StoredKind::Plain(Kind::BFloat16) => safetensors::Dtype::BF16,
            StoredKind::Plain(Kind::Float8e4m3fn) => safetensors::Dtype::F8_E4M3,
            _ => safetensors::Dtype::F32,
        };
        let shape = stored.shape.iter().map(|&size| size as usize).collect();
        safetensors::tensor::TensorView::new(dtype, shape, &stored.bytes).unwrap()
    }
    let views = tensors.iter().map(|stored| (stored.name.clone(), view(stored)));
    safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, path).unwrap();
}

/// Writes a GGUF file, as short as one can be.
fn write_gguf(path: &Path, tensors: &[Stored]) {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(0u64.to_le_bytes());
    let mut data = Vec::new();
    for Stored { name, shape, stored, bytes } in tensors {
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|size| file.extend(size.to_le_bytes()));
        let kind: u32 = match stored {
            StoredKind::Plain(Kind::BFloat16) => 30,
            StoredKind::Blocks(BlockFormat::Q8_0) => 8,
            StoredKind::Blocks(BlockFormat::Q4_K) => 12,
            StoredKind::Blocks(BlockFormat::Q5_K) => 13,
            _ => 0,
        };
        file.extend(kind.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// Ways in which blocks may lie: all stay, some, none; in memory and in files.
fn placements(layers: usize, folder: &Path) -> Vec<BlockPlacement> {
    let (cached, past) = (BlockStore::File { cached: true }, BlockStore::File { cached: false });
    let coming = [(BlockStore::Paged, layers / 2, 2), (cached, 0, 1), (past, 1, 2)];
    let coming = coming.map(|(store, resident, slots)| {
        let folder = Some(folder.to_owned());
        BlockPlacement { resident, slots, store, folder }
    });
    [BlockPlacement::RESIDENT].into_iter().chain(coming).collect()
}

/// That `kept` computes the latent of `meant` with every placement.
fn same_as(meant: &Weights, kept: &Weights, config: &DitConfig, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let expected = latent(&Dit::load(meant, config.clone(), &Unwatched).unwrap());
    for placement in placements(config.layers, folder.path()) {
        let dit = Dit::load_placed(kept, config.clone(), &placement, &Unwatched).unwrap();
        assert_eq!(latent(&dit), expected, "{what} {:?} {placement:?}", kept.kind());
    }
}

fn open(path: PathBuf) -> Arc<TensorSet> {
    Arc::new(TensorSet::open(Network::Dit, &[path]).unwrap())
}

#[test]
fn blocks_that_stay_quantized_compute_what_blocks_multiplied_out_do() {
    let [q8, q5, q4] =
        [BlockFormat::Q8_0, BlockFormat::Q5_K, BlockFormat::Q4_K].map(QuantizedForm::Blocks);
    for (form, other) in [(q4, q5), (q5, q8), (q8, q8), (QuantizedForm::Fp8, QuantizedForm::Fp8)] {
        let folder = tempfile::tempdir().unwrap();
        let (stored, meant) = random(form, other);
        let path = |name: &str| folder.path().join(name);
        Tensor::write_safetensors(&meant, path("meant.safetensors")).unwrap();
        let file = if form == QuantizedForm::Fp8 {
            write_safetensors(&path("kept.safetensors"), &stored);
            path("kept.safetensors")
        } else {
            write_gguf(&path("kept.gguf"), &stored);
            path("kept.gguf")
        };
        let (meant, kept) = (open(path("meant.safetensors")), open(file));
        for kind in [Kind::Float, Kind::BFloat16] {
            let of = |set: &Arc<TensorSet>| Weights::new(set.clone(), vec![], kind, Device::cpu());
            same_as(&of(&meant), &of(&kept), &config(), &format!("{form:?}"));
        }
        assert!(kept.unused().is_empty(), "{:?}", kept.unused());
    }
}

/// The transformer of a model, its blocks' matrices as e4m3 with a scale for each row; and the same multiplied
/// out, float32.
fn quantized(from: &ModelFiles) -> (Vec<Stored>, Vec<(String, Tensor)>) {
    let (mut stored, mut meant) = (Vec::new(), Vec::new());
    for name in from.dit.names() {
        let tensor = from.dit.read(Device::cpu(), name).unwrap().to_kind(Kind::Float);
        let (name, shape) = (name.to_owned(), tensor.size());
        let float = StoredKind::Plain(Kind::Float);
        if !is_block_matrix(&name, &shape) {
            let bytes = bytes_of(&tensor);
            stored.push(Stored { name: name.clone(), shape, stored: float, bytes });
            meant.push((name, tensor));
            continue;
        }
        let made = quantize(Device::cpu(), &tensor, QuantizedForm::Fp8).unwrap();
        let scales = Tensor::from_slice(&made.scales).unsqueeze(1);
        let codes = Tensor::from_slice(&made.codes).view_dtype(Kind::Float8e4m3fn);
        meant.push((name.clone(), codes.view(&shape[..]).to_kind(Kind::Float) * &scales));
        let (scale, scale_shape) = (format!("{name}_scale"), scales.size());
        let bytes = bytes_of(&scales);
        stored.push(Stored { name: scale, shape: scale_shape, stored: float, bytes });
        let kind = QuantizedForm::Fp8.stored();
        stored.push(Stored { name, shape, stored: kind, bytes: made.codes });
    }
    (stored, meant)
}

/// Copies a model but for its transformer.
fn copy_without_transformer(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            copy_without_transformer(&path, &to.join(name));
        } else if !name.starts_with("diffusion_pytorch_model") {
            std::fs::write(to.join(name), std::fs::read(&path).unwrap()).unwrap();
        }
    }
}

#[test]
fn adapters_that_are_kept_beside_a_quantized_base_are_read_once() {
    let from = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy_without_transformer(&data("t2v/model"), folder.path());
    write_safetensors(&folder.path().join("kept.safetensors"), &quantized(&from).0);
    let paths = [folder.path().to_owned()];
    let files = ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    let form = (Kind::BFloat16, BlockStorage::AsStored);
    let sizes = ModelSizes::of(&files, &files.dit, &config, form, false).unwrap();
    let all: u64 = files.adapters.iter().map(|a| std::fs::metadata(a.path()).unwrap().len()).sum();
    assert!(sizes.adapters > all / 2 && sizes.adapters < all, "{} of {all}", sizes.adapters);

    let weights =
        || Weights::new(files.dit.clone(), files.adapters.clone(), Kind::BFloat16, Device::cpu());
    let expected = latent(&Dit::load(&weights(), config.clone(), &Unwatched).unwrap());
    let anew = Dit::load(&weights(), config.clone(), &Unwatched).unwrap();
    let kept = Dit::load(&weights().keeping_adapters(), config.clone(), &Unwatched).unwrap();
    assert_eq!(latent(&kept), expected);
    for adapter in &files.adapters {
        std::fs::OpenOptions::new().write(true).open(adapter.path()).unwrap().set_len(0).unwrap();
    }
    assert_eq!(latent(&kept), expected);
    // Where they are not kept, each pass reads them.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| latent(&anew)));
    assert!(read.is_err());
}

#[test]
fn adapters_over_a_quantized_base_are_merged_as_over_one_multiplied_out() {
    let from = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&from.dit, from.config.as_deref()).unwrap();
    let (stored, meant) = quantized(&from);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Tensor::write_safetensors(&meant, path("meant.safetensors")).unwrap();
    write_safetensors(&path("kept.safetensors"), &stored);
    let (meant, kept) = (open(path("meant.safetensors")), open(path("kept.safetensors")));
    assert!(!from.adapters.is_empty());
    for kind in [Kind::Float, Kind::BFloat16] {
        let of = |set: &Arc<TensorSet>| {
            Weights::new(set.clone(), from.adapters.clone(), kind, Device::cpu())
        };
        same_as(&of(&meant), &of(&kept), &config, "with adapters");
        same_as(&of(&meant), &of(&kept).keeping_adapters(), &config, "with adapters kept");
    }
}

#[test]
fn blocks_made_e4m3_are_adapters_merged_and_then_a_scale_for_each_row() {
    let from = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&from.dit, from.config.as_deref()).unwrap();
    let plain = |kind| Weights::new(from.dit.clone(), from.adapters.clone(), kind, Device::cpu());
    let meant: Vec<(String, Tensor)> = from
        .dit
        .names()
        .map(|name| {
            let shape = from.dit.shape(name).unwrap().to_vec();
            let merged = plain(Kind::Float).get(name, &shape).unwrap();
            if !is_block_matrix(name, &shape) {
                return (name.to_owned(), merged);
            }
            let made = quantize(Device::cpu(), &merged, QuantizedForm::Fp8).unwrap();
            let codes = Tensor::from_slice(&made.codes).view_dtype(Kind::Float8e4m3fn);
            let codes = codes.view(&shape[..]).to_kind(Kind::Float);
            (name.to_owned(), codes * Tensor::from_slice(&made.scales).unsqueeze(1))
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meant.safetensors");
    Tensor::write_safetensors(&meant, &path).unwrap();
    let meant = Weights::new(open(path), vec![], Kind::BFloat16, Device::cpu());
    let kept = plain(Kind::BFloat16).storing(BlockStorage::Fp8);
    same_as(&meant, &kept, &config, "made e4m3");
}

#[test]
fn a_quantized_transformer_takes_the_memory_that_its_plan_says() {
    let folder = tempfile::tempdir().unwrap();
    let q4 = QuantizedForm::Blocks(BlockFormat::Q4_K);
    let (stored, _) = random(q4, q4);
    let path = folder.path().join("kept.gguf");
    write_gguf(&path, &stored);
    let set = open(path);
    let from = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let form = (Kind::BFloat16, BlockStorage::AsStored);
    let sizes = ModelSizes::of(&from, &set, &config(), form, false).unwrap();
    assert!(sizes.block * 3 < sizes.form, "{sizes:?}");
    for resident in [usize::MAX, 2] {
        let placement = BlockPlacement {
            resident,
            slots: 2,
            store: BlockStore::File { cached: true },
            folder: None,
        };
        let weights = Weights::new(set.clone(), vec![], Kind::BFloat16, Device::cpu());
        let load = || Dit::load_placed(&weights, config(), &placement, &Unwatched);
        let (dit, live) = LiveBytes::of(load).unwrap();
        let said = sizes.transformer(placement.blocks_in_memory(6)) as f64;
        let off = live.left as f64 / said - 1.0;
        assert!(off.abs() < 0.03, "{resident}: {} held, {said} said", live.left);
        drop(dit);
    }
}
