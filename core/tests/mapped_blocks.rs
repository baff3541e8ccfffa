//! Blocks that the processor uses where the system has their file in its cache: the same bits, without
//! memory of their own; and a file that is written over or cut off meanwhile is an error and not the end.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod small;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use small::{data, latent, small_dit};
use tch::{Kind, Tensor};
use wan_alpha_core::blocks::{BlockPlacement, BlockStore};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::shim::LiveBytes;
use wan_alpha_core::train::{StepRng, init};
use wan_alpha_core::weights::{
    FILLER, ModelFiles, Network, Strengths, TensorSet, Weights, keeps_float32,
};
use wan_alpha_core::{ErrorKind, Result, Unwatched, Watch};

fn normal(purpose: &str, shape: &[i64]) -> Tensor {
    StepRng::new(6, 0).normal(Device::cpu(), purpose, shape).unwrap()
}

fn config() -> DitConfig {
    DitConfig { layers: 5, dim: 96, ffn: 256, ..small_dit() }
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.contiguous().view([-1]).view_dtype(Kind::Uint8).try_into().unwrap()
}

/// A transformer of random numbers in a file that is laid out as merged copies are: blocks at multiples of
/// 4096 bytes, what is in them at multiples of 256. `kept`: the kind of what is computed with in float32.
fn laid_out(path: &Path, kind: Kind, kept: Kind) {
    let set = init::dit(Device::cpu(), &config(), 3).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut block = None;
    for name in set.names() {
        let this = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let alignment = if this == block { 256 } else { 4096 };
        block = this;
        let begin = data.len().next_multiple_of(alignment);
        if begin > data.len() {
            let gap = begin - data.len();
            let entry = serde_json::json!({
                "dtype": "U8", "shape": [gap], "data_offsets": [data.len(), begin],
            });
            header.insert(format!("{FILLER}{}", header.len()), entry);
            data.resize(begin, 0);
        }
        let tensor = set.get(name).unwrap();
        let tensor = &tensor + normal(name, &tensor.size()) * 0.05;
        let kind = if !keeps_float32(name) {
            kind
        } else if name.starts_with("blocks.") {
            Kind::Float
        } else {
            kept
        };
        data.extend(bytes(&tensor.to_kind(kind)));
        let dtype = if kind == Kind::Float { "F32" } else { "BF16" };
        let entry = serde_json::json!({
            "dtype": dtype, "shape": tensor.size(), "data_offsets": [begin, data.len()],
        });
        header.insert(name.to_owned(), entry);
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize((8 + header.len()).next_multiple_of(4096) - 8, b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

fn placement(resident: usize, slots: usize) -> BlockPlacement {
    BlockPlacement { resident, slots, store: BlockStore::File { cached: true }, folder: None }
}

fn open(path: &Path, kind: Kind) -> Weights {
    let set = TensorSet::open(Network::Dit, &[path.to_owned()]).unwrap();
    Weights::new(Arc::new(set), vec![], kind, Device::cpu())
}

struct Laid {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Laid {
    fn out(kind: Kind, kept: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laid-out.safetensors");
        laid_out(&path, kind, kept);
        Self { _folder: folder, path }
    }

    fn mapped(&self, kind: Kind) -> Dit {
        Dit::load_placed(&open(&self.path, kind), config(), &placement(0, 2), &Unwatched).unwrap()
    }
}

#[test]
fn mapped_blocks_give_the_bits_of_those_that_stay_and_take_no_memory() {
    for (kind, kept) in [
        (Kind::BFloat16, Kind::Float),
        (Kind::BFloat16, Kind::BFloat16),
        (Kind::Float, Kind::Float),
    ] {
        let laid = Laid::out(kind, kept);
        let weights = open(&laid.path, kind);
        let expected = latent(&Dit::load(&weights, config(), &Unwatched).unwrap());
        for (resident, slots) in [(0, 1), (0, 2), (2, 2), (1, 3)] {
            let placement = placement(resident, slots);
            let load = || Dit::load_placed(&weights, config(), &placement, &Unwatched);
            let (dit, live) = LiveBytes::of(load).unwrap();
            let said = format!("{dit:?}");
            assert!(said.contains(&format!("mapped: {}", 5 - resident)), "{said}");
            if resident == 0 {
                // What is computed of what the file has otherwise, if there is any.
                assert!(live.left < 20_000, "{kind:?}, {kept:?}: {live:?}");
            }
            for _ in 0..2 {
                assert_eq!(latent(&dit), expected, "{kind:?}, {resident} stay");
            }
        }
    }
}

#[test]
fn what_is_merged_is_mapped_where_it_was_written() {
    let files = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let placement = BlockPlacement { folder: Some(folder.path().to_owned()), ..placement(0, 1) };
    let weights =
        Weights::new(files.dit.clone(), files.adapters.clone(), Kind::Float, Device::cpu());
    let expected = latent(&Dit::load(&weights, config.clone(), &Unwatched).unwrap());
    let dit = Dit::load_placed(&weights, config, &placement, &Unwatched).unwrap();
    assert!(format!("{dit:?}").contains("MappedBlocks"), "{dit:?}");
    assert_eq!(latent(&dit), expected);
}

#[test]
fn a_file_that_is_not_laid_out_for_it_is_read_into_slots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apart.safetensors");
    let set = init::dit(Device::cpu(), &config(), 3).unwrap();
    let tensors: Vec<_> = set
        .names()
        .map(|name| (name.to_owned(), set.get(name).unwrap().to_kind(Kind::Float)))
        .collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let weights = open(&path, Kind::Float);
    let dit = Dit::load_placed(&weights, config(), &placement(0, 2), &Unwatched).unwrap();
    assert!(format!("{dit:?}").contains("Streamed"), "{dit:?}");
    assert_eq!(latent(&dit), latent(&Dit::load(&weights, config(), &Unwatched).unwrap()));
}

/// A velocity; `watch` is asked before every block.
fn velocity(dit: &Dit, watch: &dyn Watch) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let mut prompt = dit.prompt(&normal("prompt", &[5, dit.config().text_dim]))?;
    let rope = dit.rope([2, 4, 6])?;
    dit.forward(&normal("x", &[1, 16, 2, 4, 6]), &[500.0], &mut prompt, &rope, watch)
}

/// Does something to a file before the block of a pass that is reached then.
struct Meanwhile<'a> {
    at: usize,
    asked: AtomicUsize,
    does: &'a (dyn Fn() + Sync),
}

impl Watch for Meanwhile<'_> {
    fn go_on(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) == self.at {
            (self.does)();
        }
        true
    }
}

#[test]
fn a_file_that_is_cut_off_or_written_over_is_an_error_and_not_the_end() {
    let kind = Kind::BFloat16;
    let cut = |path: &Path, bytes: u64| {
        OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
    };
    for bytes in [0, 5000, 300_000] {
        for at in 0..5 {
            let laid = Laid::out(kind, Kind::Float);
            let dit = laid.mapped(kind);
            let expected = velocity(&dit, &Unwatched).unwrap();
            let does = || cut(&laid.path, bytes);
            let watch = Meanwhile { at, asked: AtomicUsize::new(0), does: &does };
            let error = velocity(&dit, &watch).unwrap_err();
            assert!(error.to_string().contains("has changed since"), "{error}");
            // For as long as it is so, and for a file that is as it was: it may have lost more.
            assert!(velocity(&dit, &Unwatched).is_err());
            laid_out(&laid.path, kind, Kind::Float);
            let error = velocity(&dit, &Unwatched).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelIncomplete, "{error}");
            assert_eq!(velocity(&laid.mapped(kind), &Unwatched).unwrap(), expected);
        }
    }
    let laid = Laid::out(kind, Kind::Float);
    let dit = laid.mapped(kind);
    drop(velocity(&dit, &Unwatched).unwrap());
    let whole = std::fs::read(&laid.path).unwrap();
    std::fs::write(&laid.path, whole).unwrap();
    let error = velocity(&dit, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("has changed since"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_told_with_file_and_name() {
    let laid = Laid::out(Kind::Float, Kind::Float);
    let set = TensorSet::open(Network::Dit, std::slice::from_ref(&laid.path)).unwrap();
    let mut file = std::fs::read(&laid.path).unwrap();
    let numbers = set.read(Device::cpu(), "blocks.3.ffn.0.weight").unwrap();
    let found = bytes(&numbers);
    let place = file.windows(found.len()).position(|window| window == found).unwrap();
    file[place + 400..place + 404].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&laid.path, file).unwrap();
    let error = velocity(&laid.mapped(Kind::Float), &Unwatched).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelIncomplete);
    let error = error.to_string();
    assert!(error.contains("blocks.3.ffn.0.weight") && error.contains("laid-out"), "{error}");
}
