//! Blocks that come and go compute what blocks that stay compute, to the bit, from wherever they come;
//! reading and computing overlap; and what goes wrong on either side ends both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod small;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use small::{FLOAT, data, latent, small_dit};
use tch::{Kind, Tensor};
use wan_alpha_core::blocks::{BlockPlacement, BlockSource, BlockStore, SlabSource, Streamed};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::train::{StepRng, init};
use wan_alpha_core::weights::{ModelFiles, Network, Strengths, TensorSet, Weights};
use wan_alpha_core::{Error, ErrorKind, Result, Unwatched};

fn normal(purpose: &str, shape: &[i64]) -> Tensor {
    StepRng::new(6, 0).normal(Device::cpu(), purpose, shape).unwrap()
}

/// Every way in which blocks may lie.
fn placements(layers: usize, folder: &Path) -> Vec<BlockPlacement> {
    let stores =
        [BlockStore::Paged, BlockStore::File { cached: true }, BlockStore::File { cached: false }];
    let mut all = Vec::new();
    for store in stores {
        for slots in 1..=3 {
            for resident in 0..layers {
                let folder = Some(folder.to_owned());
                all.push(BlockPlacement { resident, slots, store, folder });
            }
        }
    }
    all
}

/// Latents of a transformer with each placement are those of one that is in memory whole.
fn same_with_every_placement(weights: &Weights, config: &DitConfig) {
    let folder = tempfile::tempdir().unwrap();
    let expected = latent(&Dit::load(weights, config.clone(), &Unwatched).unwrap());
    for placement in placements(config.layers, folder.path()) {
        let dit = Dit::load_placed(weights, config.clone(), &placement, &Unwatched).unwrap();
        // Twice: slots then hold what the take before has left.
        for _ in 0..2 {
            assert_eq!(latent(&dit), expected, "{:?} {placement:?}", weights.kind());
        }
    }
    // Files of blocks have no names, and are gone with those who read them.
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// A transformer of random numbers in a file of one kind.
fn random_model(folder: &Path, config: &DitConfig, kind: Kind) -> Arc<TensorSet> {
    let set = init::dit(Device::cpu(), config, 3).unwrap();
    let tensors: Vec<(String, Tensor)> = set
        .names()
        .map(|name| {
            let tensor = set.get(name).unwrap();
            let kept = wan_alpha_core::weights::keeps_float32(name);
            let tensor = &tensor + normal(name, &tensor.size()) * 0.05;
            (name.to_owned(), tensor.to_kind(if kept { Kind::Float } else { kind }))
        })
        .collect();
    let path = folder.join("random.safetensors");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    Arc::new(TensorSet::open(Network::Dit, &[path]).unwrap())
}

#[test]
fn the_same_bits_for_every_split_and_source_with_adapters() {
    for name in ["t2v/model", "t2v-euler/model"] {
        let files = ModelFiles::find(&[data(name)], Strengths::default(), &Unwatched).unwrap();
        assert!(!files.adapters.is_empty());
        let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
        for kind in [Kind::Float, Kind::BFloat16] {
            let weights =
                Weights::new(files.dit.clone(), files.adapters.clone(), kind, Device::cpu());
            same_with_every_placement(&weights, &config);
        }
    }
}

#[test]
fn the_same_bits_for_every_split_straight_from_the_models_file() {
    let config = DitConfig { layers: 7, ..small_dit() };
    for kind in [Kind::Float, Kind::BFloat16] {
        let folder = tempfile::tempdir().unwrap();
        let set = random_model(folder.path(), &config, kind);
        let weights = |kind| Weights::new(set.clone(), vec![], kind, Device::cpu());
        same_with_every_placement(&weights(kind), &config);
        // No folder is needed where the file has the blocks as they are computed with.
        let placement = BlockPlacement {
            resident: 2,
            slots: 2,
            store: BlockStore::File { cached: true },
            folder: None,
        };
        Dit::load_placed(&weights(kind), config.clone(), &placement, &Unwatched).unwrap();
        let other = if kind == Kind::Float { Kind::BFloat16 } else { Kind::Float };
        let error =
            Dit::load_placed(&weights(other), config.clone(), &placement, &Unwatched).unwrap_err();
        // No adapters are merged here: a merged copy would help nobody.
        let error = error.to_string();
        assert!(error.contains("(--dtype)") && !error.contains("--keep-merged"), "{error}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_without_room_for_the_blocks_that_come_is_refused_before_anything_is_read() {
    // Nothing can be written there, and the system says that nothing is free.
    let folder = Some("/proc/self/blocks".into());
    let store = BlockStore::File { cached: true };
    let placement = BlockPlacement { resident: 0, slots: 1, store, folder };
    let files = ModelFiles::find(&[data("t2v/model")], Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    let (dit, adapters) = (files.dit.clone(), files.adapters.clone());
    let adapted = Weights::new(dit, adapters, Kind::Float, Device::cpu());
    let said = Dit::check_room(&adapted, &config, &placement).unwrap_err().to_string();
    assert!(said.starts_with("/proc/self/blocks: the blocks of the model"), "{said}");
    assert!(said.contains(" are needed, 0.0 GB are free; make room"), "{said}");
    assert!(said.contains("--keep-merged") && !said.contains("--dtype"), "{said}");
    // Blocks that stay, and those that files have as they are computed with, need none.
    Dit::check_room(&adapted, &config, &BlockPlacement::RESIDENT).unwrap();
    let config = DitConfig { layers: 7, ..small_dit() };
    let model = tempfile::tempdir().unwrap();
    let set = random_model(model.path(), &config, Kind::Float);
    let weights = |kind| Weights::new(set.clone(), vec![], kind, Device::cpu());
    Dit::check_room(&weights(Kind::Float), &config, &placement).unwrap();
    let said = Dit::check_room(&weights(Kind::BFloat16), &config, &placement).unwrap_err();
    assert!(said.to_string().contains("(--dtype)"), "{said}");
}

#[test]
fn numbers_that_are_not_finite_are_told_with_file_and_name() {
    let config = DitConfig { layers: 7, ..small_dit() };
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path(), &config, Kind::Float);
    let path = folder.path().join("random.safetensors");
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    for (name, tensor) in &mut tensors {
        if name == "blocks.4.ffn.0.weight" {
            let _ = tensor.get(3).get(1).fill_(f64::NAN);
        }
    }
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let set = Arc::new(TensorSet::open(Network::Dit, &[path]).unwrap());
    let weights = Weights::new(set, vec![], Kind::Float, Device::cpu());
    let placement = BlockPlacement {
        resident: 0,
        slots: 2,
        store: BlockStore::File { cached: true },
        folder: None,
    };
    let dit = Dit::load_placed(&weights, config, &placement, &Unwatched).unwrap();
    let _guard = tch::no_grad_guard();
    let mut prompt = dit.prompt(&normal("prompt", &[5, dit.config().text_dim])).unwrap();
    let (x, rope) = (normal("x", &[1, 16, 2, 4, 6]), dit.rope([2, 4, 6]).unwrap());
    let error = dit.forward(&x, &[500.0], &mut prompt, &rope, &Unwatched).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelIncomplete);
    let error = error.to_string();
    assert!(error.contains("blocks.4.ffn.0.weight") && error.contains("random.safet"), "{error}");
}

const NUMBERS: i64 = 64;

/// Block `index` of a pretended network holds its index, many times.
#[derive(Debug)]
struct Numbers(Tensor);

impl Numbers {
    /// Its number, if it is all of one.
    fn value(&self) -> Option<f64> {
        let (least, most) = (self.0.min().double_value(&[]), self.0.max().double_value(&[]));
        (least == most).then_some(least)
    }
}

/// A source whose blocks take time, which fills a slot with NaN first.
#[derive(Debug)]
struct Slow {
    read_time: Duration,
    /// How long all of it has taken: a thread may sleep for longer than it was told.
    took: Arc<Mutex<Duration>>,
    begun: Arc<Progress>,
    /// Blocks that fail, once each.
    failing: Arc<Mutex<Vec<usize>>>,
}

/// How many blocks the reader has begun with.
#[derive(Debug, Default)]
struct Progress(Mutex<usize>, Condvar);

impl Progress {
    /// Waits until the reader has begun with so many; whether it has within half a minute.
    fn reaches(&self, count: usize) -> bool {
        let mut begun = self.0.lock();
        let end = Instant::now() + Duration::from_secs(30);
        while *begun < count {
            if self.1.wait_until(&mut begun, end).timed_out() {
                return false;
            }
        }
        true
    }
}

impl SlabSource for Slow {
    fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
        assert_eq!((from, into.len()), (0, NUMBERS as usize * 4));
        *self.begun.0.lock() += 1;
        self.begun.1.notify_all();
        into.fill(0xff);
        let began = Instant::now();
        thread::sleep(self.read_time);
        *self.took.lock() += began.elapsed();
        let mut failing = self.failing.lock();
        if let Some(place) = failing.iter().position(|&failing| failing == block) {
            failing.remove(place);
            return Err(Error::Input(format!("block {block} is torn")));
        }
        for number in into.chunks_exact_mut(4) {
            number.copy_from_slice(&(block as f32).to_le_bytes());
        }
        Ok(())
    }
}

struct Pretended {
    blocks: Streamed<Numbers>,
    took: Arc<Mutex<Duration>>,
    begun: Arc<Progress>,
    failing: Arc<Mutex<Vec<usize>>>,
}

/// A network of which every block comes, into so many slots.
fn pretended(count: usize, slots: usize, read_time: Duration) -> Pretended {
    let (begun, failing) = (Arc::<Progress>::default(), Arc::<Mutex<Vec<usize>>>::default());
    let took = Arc::<Mutex<Duration>>::default();
    let (begun_there, failing_there) = (begun.clone(), failing.clone());
    let source = Slow { read_time, took: took.clone(), begun: begun_there, failing: failing_there };
    let slots = (0..slots).map(|_| {
        let memory = Tensor::zeros([NUMBERS * 4], (Kind::Uint8, tch::Device::Cpu));
        let block = Numbers(memory.view_dtype(Kind::Float));
        (memory, block)
    });
    let resident = (0..count).map(|_| None).collect();
    let blocks = Streamed::new(resident, slots.collect(), Box::new(source)).unwrap();
    Pretended { blocks, took, begun, failing }
}

#[test]
fn while_a_block_is_used_those_after_it_are_read() {
    for slots in [2, 3] {
        let Pretended { blocks, begun, .. } = pretended(6, slots, Duration::ZERO);
        for (used, block) in (0..6).chain(0..6).chain(0..6).enumerate() {
            blocks
                .with(block, &mut |numbers| {
                    // As many as there are other slots, before this one is given back.
                    assert!(begun.reaches(used + slots), "{slots} slots, block {used}");
                    assert_eq!(numbers.value(), Some(block as f64));
                    Ok(())
                })
                .unwrap();
        }
    }
}

#[test]
fn a_pass_takes_as_long_as_the_slower_of_reading_and_computing() {
    const BLOCKS: usize = 24;
    let [short, long] = [4, 12].map(Duration::from_millis);
    for (read_time, compute_time) in [(long, long), (short, long), (long, short)] {
        // A machine with other work may be slow, but not at each of five tries.
        let within = |_| {
            let Pretended { blocks, took, .. } = pretended(BLOCKS, 2, read_time);
            let begun = Instant::now();
            let mut computing = Duration::ZERO;
            for block in 0..BLOCKS {
                blocks
                    .with(block, &mut |_| {
                        let began = Instant::now();
                        thread::sleep(compute_time);
                        computing += began.elapsed();
                        Ok(())
                    })
                    .unwrap();
            }
            let reading = *took.lock();
            let most = reading.max(computing).mul_f64(1.1) + 2 * read_time.max(compute_time);
            begun.elapsed() <= most
        };
        assert!((0..5).any(within), "{read_time:?} to read, {compute_time:?} to compute");
    }
}

#[test]
fn a_slot_is_never_filled_while_it_is_used() {
    for slots in [1, 2, 3] {
        let Pretended { blocks, .. } = pretended(9, slots, Duration::from_micros(200));
        for block in (0..9).chain([4, 5, 1, 8, 0]).chain(0..9) {
            blocks
                .with(block, &mut |numbers| {
                    for _ in 0..5 {
                        assert_eq!(numbers.value(), Some(block as f64), "{slots} slots");
                        thread::sleep(Duration::from_micros(300));
                    }
                    Ok(())
                })
                .unwrap();
        }
    }
}

#[test]
fn a_read_that_fails_is_told_at_its_block_and_the_next_pass_goes_on() {
    let Pretended { blocks, failing, .. } = pretended(11, 2, Duration::ZERO);
    let pass = || {
        (0..11).try_for_each(|block| {
            blocks.with(block, &mut |numbers| {
                assert_eq!(numbers.value(), Some(block as f64));
                Ok(())
            })
        })
    };
    for torn in [3, 0, 10, 7, 1, 1, 9, 5, 2, 6] {
        failing.lock().push(torn);
        // What was read ahead in the pass before is whole, and the failure comes a pass later then.
        let failed = (0..2).find_map(|_| pass().err()).unwrap();
        assert_eq!(failed.to_string(), format!("block {torn} is torn"));
        assert!(failing.lock().is_empty());
        pass().unwrap();
    }
}

#[test]
fn who_stops_in_the_middle_leaves_nothing_waiting() {
    static READERS: AtomicUsize = AtomicUsize::new(0);
    #[derive(Debug)]
    struct Counted(Slow);
    impl SlabSource for Counted {
        fn read(&mut self, block: usize, from: usize, into: &mut [u8]) -> Result<()> {
            self.0.read(block, from, into)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            READERS.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let given_up = AtomicBool::new(false);
    for stop_at in 0..6 {
        READERS.fetch_add(1, Ordering::SeqCst);
        let source = Counted(Slow {
            read_time: Duration::from_millis(2),
            took: Arc::default(),
            begun: Arc::default(),
            failing: Arc::default(),
        });
        let memory = Tensor::zeros([NUMBERS * 4], (Kind::Uint8, tch::Device::Cpu));
        let slots = vec![(memory.shallow_clone(), Numbers(memory.view_dtype(Kind::Float)))];
        let resident = (0..6).map(|_| None).collect();
        let blocks = Streamed::new(resident, slots, Box::new(source)).unwrap();
        let error = (0..6)
            .try_for_each(|block| {
                blocks.with(block, &mut |_| {
                    given_up.store(block == stop_at, Ordering::SeqCst);
                    if block == stop_at { Err(Error::Input("enough".into())) } else { Ok(()) }
                })
            })
            .unwrap_err();
        assert_eq!(error.to_string(), "enough");
        assert!(given_up.load(Ordering::SeqCst));
        // Again from the first: a slot that was given up is used.
        blocks
            .with(0, &mut |numbers| {
                assert_eq!(numbers.value(), Some(0.0));
                Ok(())
            })
            .unwrap();
        drop(blocks);
        assert_eq!(READERS.load(Ordering::SeqCst), 0);
    }
    let _ = FLOAT;
}
