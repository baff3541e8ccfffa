//! How long reading a take takes, beside plainly reading the same bytes: `cargo run --release -p
//! wan-alpha-take --example read_take [FOLDER]`, one line of JSON, seconds for all frames, round by
//! round. `cargo xtask bench store` judges it.
//!
//! The takes are of 832 × 480 × 81 and lie in the system's page cache, so that the processor counts
//! and not the disk. The plain side does all that the store has to do for whoever is handed a frame,
//! except verifying it: it reads in pieces of the same size, gives every frame memory of its own,
//! keeps the latest 128 MB of frames, and uses the memory of those it lets go again. Reading into
//! one buffer over and over would leave nothing to hand on, and would find that buffer in the
//! processor's cache each time.
//!
//! Both sides are measured `new`, when their 128 MB come from the system as they go, and `used`,
//! when they are full of another take's frames; system and allocator are the larger part of the
//! former.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use half::f16;
use serde_json::json;
use wan_alpha_take::store::{Description, Store};
use wan_alpha_take::{
    DecodePrecision, DecodeTiling, Ellipse, Fingerprint, Precision, Solver, TakeKey, TakeRequest,
    frames,
};

const ROUNDS: usize = 15;
const FRAMES: u32 = 81;
const WIDTH: u32 = 832;
const HEIGHT: u32 = 480;
/// Bytes of a frame of half-float RGBA.
const FRAME: usize = (WIDTH * HEIGHT * 8) as usize;
/// Bytes that the store reads in one go.
const PIECE: usize = 256 << 10;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let store = || Store::new([folder.path().to_owned()]);
    let [take, other] = [write(&store(), 1)?, write(&store(), 2)?];
    let path = |key: &TakeKey| folder.path().join(format!("{key}.take"));

    let in_order: Vec<u32> = (0..FRAMES).collect();
    // 37 and 81 have no common divisor: each frame once.
    let at_random: Vec<u32> = (0..FRAMES).map(|frame| (frame * 37 + 11) % FRAMES).collect();
    let mut pairs: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    let (used_store, mut used_plain) = (store(), Plain::default());
    // The first round is not counted.
    for round in 0..=ROUNDS {
        for (name, order) in [("in_order", &in_order), ("at_random", &at_random)] {
            let (new_store, mut new_plain) = (store(), Plain::default());
            let new = [
                seconds(|| read(&new_store, &take, order))?,
                seconds(|| new_plain.read(path(&take), order))?,
            ];
            drop((new_store, new_plain));
            read(&used_store, &other, order)?;
            used_plain.read(path(&other), order)?;
            let used = [
                seconds(|| read(&used_store, &take, order))?,
                seconds(|| used_plain.read(path(&take), order))?,
            ];
            if round > 0 {
                pairs.entry(format!("new_{name}")).or_default().push(new);
                pairs.entry(format!("used_{name}")).or_default().push(used);
            }
        }
    }
    let shape = [FRAMES, HEIGHT, WIDTH, 4];
    println!("{}", json!({ "shape": shape, "seconds_ours_and_other": pairs }));
    Ok(())
}

fn seconds(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn read(store: &Store, key: &TakeKey, order: &[u32]) -> Result<(), Failure> {
    let take = store.find(key).take.ok_or("the take has gone")?;
    for &frame in order {
        black_box(&*take.frame(frame)?);
    }
    Ok(())
}

/// The plain side: the frames it read last, the latest at the end.
#[derive(Default)]
struct Plain {
    kept: VecDeque<Vec<u8>>,
}

impl Plain {
    /// Reads as many bytes at the same kind of places; the header is not told from the frames.
    fn read(&mut self, path: PathBuf, order: &[u32]) -> Result<(), Failure> {
        let file = File::open(path)?;
        for &frame in order {
            let full = self.kept.len() == Store::CACHE_BYTES / FRAME;
            let oldest = if full { self.kept.pop_front() } else { None };
            let mut pixels = oldest.unwrap_or_else(|| vec![0; FRAME]);
            let mut at = u64::from(frame) * FRAME as u64;
            for piece in pixels.chunks_mut(PIECE) {
                #[cfg(unix)]
                std::os::unix::fs::FileExt::read_exact_at(&file, piece, at)?;
                #[cfg(windows)]
                std::os::windows::fs::FileExt::seek_read(&file, piece, at)?;
                at += piece.len() as u64;
            }
            self.kept.push_back(black_box(pixels));
        }
        Ok(())
    }
}

fn write(store: &Store, seed: u32) -> Result<TakeKey, Failure> {
    let description = description(seed)?;
    let values = description.frame_values();
    let mut writer = store.create(description)?;
    for frame in 0..FRAMES as usize {
        let value = |at: usize| f16::from_f32(((at * 31 + frame * 7) % 1021) as f32 / 1020.0);
        writer.frame(&(0..values).map(value).collect::<Vec<_>>())?;
    }
    Ok(writer.publish()?.take.description().key)
}

fn description(seed: u32) -> Result<Description, Failure> {
    let latent = frames::latent_frames(FRAMES)?;
    let request = TakeRequest {
        version: 1,
        numerics: 1,
        prompt: "The background is transparent. Smoke.".to_owned(),
        negative_prompt: None,
        seed,
        frames: FRAMES,
        width: WIDTH,
        height: HEIGHT,
        take_rate: TakeRequest::TAKE_RATE,
        ellipse: vec![Ellipse::default(); latent],
        mask: None,
        mu: vec![0.05; latent],
        mu_scale: 1.0,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::F32,
        decode_tiling: DecodeTiling::Whole,
        model: "none".to_owned(),
        model_fingerprint: Some(Fingerprint([1; 32])),
        first_image: None,
        loras: Vec::new(),
        decode_precision: DecodePrecision::F32,
        last_image: None,
        first_image_name: None,
        last_image_name: None,
    };
    Ok(Description::new(&request, "cpu")?)
}
