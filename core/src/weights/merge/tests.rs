use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::weights::{Adapter, AdapterKind, Network, TensorFile, TensorSet, Weights};

fn random(shape: &[i64]) -> Tensor {
    crate::noise::unseeded(shape, (Kind::Float, Device::Cpu))
}

fn write(folder: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let path = folder.join(format!("{name}.safetensors"));
    let mut named = Vec::new();
    for (name, tensor) in tensors {
        named.push((*name, tensor.shallow_clone()));
    }
    Tensor::write_safetensors(&named, &path).unwrap();
    path
}

const NAME: &str = "blocks.0.ffn.0.weight";
const BIAS: &str = "blocks.0.ffn.0.bias";

/// A layer, a DoRA of rank 32 and a LoRA of rank 64 that also changes its bias.
struct Layer {
    _folder: tempfile::TempDir,
    set: Arc<TensorSet>,
    adapters: Vec<Adapter>,
}

impl Layer {
    fn new(out: i64, inner: i64, kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let weight = (random(&[out, inner]) * 0.02).to_kind(kind);
        let base = [(NAME, weight), (BIAS, random(&[out]))];
        let base = write(folder.path(), "base", &base);
        let module = "diffusion_model.blocks.0.ffn.0";
        let named = |tail: &str| format!("{module}{tail}");
        let dora = [
            (named(".lora_A.default.weight"), random(&[32, inner]) * 0.02),
            (named(".lora_B.default.weight"), random(&[out, 32]) * 0.02),
            (named(".lora_magnitude_vector"), random(&[out]).abs() + 0.5),
        ];
        let lora = [
            (named(".lora_down.weight"), random(&[64, inner]) * 0.02),
            (named(".lora_up.weight"), random(&[out, 64]) * 0.02),
            (named(".diff_b"), random(&[out])),
        ];
        let set = Arc::new(TensorSet::open(Network::Dit, &[base]).unwrap());
        let adapters =
            [(AdapterKind::Dora, "dora", &dora, 1.0), (AdapterKind::Distill, "lora", &lora, 0.75)];
        let adapters = adapters.map(|(kind, name, tensors, strength)| {
            let mut named = Vec::new();
            for (name, tensor) in tensors {
                named.push((&**name, tensor.shallow_clone()));
            }
            let file = TensorFile::open(&write(folder.path(), name, &named)).unwrap();
            Adapter::open(kind, Arc::new(file), strength, &set).unwrap()
        });
        Self { _folder: folder, set, adapters: adapters.into() }
    }

    /// As before there were blocks: the whole matrix, operator by operator.
    fn merged(&self, name: &str) -> Tensor {
        let mut tensor =
            self.set.read(crate::device::Device::cpu(), name).unwrap().to_kind(Kind::Float);
        for adapter in &self.adapters {
            tensor = adapter.merge(name, tensor).unwrap();
        }
        tensor
    }

    fn delivered(&self, name: &str, kind: Kind) -> Tensor {
        let weights = Weights::new(
            self.set.clone(),
            self.adapters.clone(),
            kind,
            crate::device::Device::cpu(),
        );
        weights.get(name, self.set.shape(name).unwrap()).unwrap()
    }
}

#[test]
fn blocks_of_rows_give_the_bits_of_the_whole() {
    // Several blocks of each, of 64 rows and of many, with what does not divide.
    for (out, inner) in [(1536, 1536), (1100, 8960), (8960, 1536), (1999, 777), (5, 64), (300, 7)] {
        let layer = Layer::new(out, inner, Kind::Float);
        for name in [NAME, BIAS] {
            let whole = layer.merged(name);
            assert_eq!(layer.delivered(name, Kind::Float), whole, "{out}×{inner} {name}");
            let narrow = whole.to_kind(Kind::BFloat16);
            assert_eq!(layer.delivered(name, Kind::BFloat16), narrow, "{out}×{inner} {name}");
        }
    }
}

#[test]
fn what_a_dora_multiplies_rows_by_is_found_once_where_a_matrix_is_merged_again() {
    let layer = Layer::new(300, 256, Kind::Float);
    let base = |scale: f64| {
        let weight = layer.set.read(crate::device::Device::cpu(), NAME).unwrap();
        weight.to_kind(Kind::Float) * scale
    };
    let merged = |ratios: &mut RowRatios, mut block: Tensor| {
        let merges = layer.adapters.iter();
        let merges =
            merges.filter_map(|adapter| adapter.merging(NAME, Device::Cpu, None).transpose());
        let mut merges = merges.collect::<Result<Vec<_>>>().unwrap();
        let noted = ratios.prepare(NAME, &mut merges).unwrap();
        for merge in &merges {
            merge.apply(0, &mut block).unwrap();
        }
        ratios.keep(noted);
        block
    };
    let expected = layer.merged(NAME);
    let mut ratios = RowRatios::default();
    for _ in 0..2 {
        assert_eq!(merged(&mut ratios, base(1.0)), expected);
    }
    // Of another matrix lengths would be others: they are not looked at again.
    let anew = merged(&mut RowRatios::default(), base(2.0));
    assert_ne!(merged(&mut ratios, base(2.0)), anew);
}

#[test]
fn other_kinds_are_merged_in_float32_too() {
    for kind in [Kind::BFloat16, Kind::Half, Kind::Double] {
        let layer = Layer::new(1000, 1536, kind);
        let expected = layer.merged(NAME).to_kind(Kind::BFloat16);
        assert_eq!(layer.delivered(NAME, Kind::BFloat16), expected, "{kind:?}");
    }
}

#[test]
fn a_matrix_is_cut_into_blocks_of_about_one_size() {
    for (rows, width) in [(1, 1), (63, 9000), (1536, 1536), (13_824, 5120), (5121, 13_824), (7, 1)]
    {
        for device in [Device::Cpu, Device::Cuda(0)] {
            let blocks = Blocks::of(rows, width, device);
            let sizes: Vec<i64> = (0..blocks.count).map(|index| blocks.rows(index).1).collect();
            assert_eq!(sizes.iter().sum::<i64>(), rows);
            let (least, most) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
            assert!(most == blocks.most() && most - least <= 1, "{sizes:?}");
            assert!(blocks.count == 1 || least >= FEWEST_ROWS, "{sizes:?}");
        }
    }
}

#[test]
fn what_is_not_finite_is_said_with_the_file_that_brought_it() {
    for (which, expected) in [("base", "base.safetensors"), ("lora", "lora.safetensors")] {
        let folder = tempfile::tempdir().unwrap();
        let mut weight = random(&[1000, 1536]);
        let mut up = random(&[1000, 2]);
        let spoiled = if which == "base" { &mut weight } else { &mut up };
        let _ = spoiled.get(777).get(1).fill_(f64::NAN);
        let base = write(folder.path(), "base", &[(NAME, weight)]);
        let set = Arc::new(TensorSet::open(Network::Dit, &[base]).unwrap());
        let lora = [
            ("blocks.0.ffn.0.lora_down.weight", random(&[2, 1536])),
            ("blocks.0.ffn.0.lora_up.weight", up),
        ];
        let lora = TensorFile::open(&write(folder.path(), "lora", &lora)).unwrap();
        let lora = Adapter::open(AdapterKind::Distill, Arc::new(lora), 1.0, &set).unwrap();
        let weights = Weights::new(set, vec![lora], Kind::BFloat16, crate::device::Device::cpu());
        let error = weights.get(NAME, &[1000, 1536]).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("NaN"), "{error}");
    }
}
