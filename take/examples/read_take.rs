//! How long reading a take takes, beside reading the same bytes: `cargo run --release -p
//! wan-alpha-take --example read_take [FOLDER]`, one line of JSON, milliseconds for all frames.
//!
//! The takes are of 832 × 480 × 81 and lie in the system's page cache, so that the processor counts
//! and not the disk. All take turns, and the best of the rounds is given: whatever else the machine
//! does only adds to it.
//!
//! - `plain` reads frame by frame into one buffer, `plain_fresh` into new memory for each, as
//!   whoever hands frames on has to.
//! - `take` is a store that has been in use, and so reads into memory of frames it lets go;
//!   `take_fresh` is a new store, which asks the system for its 128 MB first.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use half::f16;
use serde_json::json;
use wan_alpha_take::store::{Description, Store, Take};
use wan_alpha_take::{
    DecodeTiling, Ellipse, Fingerprint, Precision, Solver, TakeKey, TakeRequest, frames,
};

const ROUNDS: usize = 25;
const FRAMES: u32 = 81;
const WIDTH: u32 = 832;
const HEIGHT: u32 = 480;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let new_store = || Store::new([folder.path().to_owned()]);
    let [key, other] = [write(&new_store(), 1)?, write(&new_store(), 2)?];
    let path = folder.path().join(format!("{key}.take"));
    let store = new_store();

    let in_order: Vec<u32> = (0..FRAMES).collect();
    // 37 and 81 have no common divisor: each frame once.
    let at_random: Vec<u32> = (0..FRAMES).map(|frame| (frame * 37 + 11) % FRAMES).collect();
    let mut times: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (name, order) in [("in_order", &in_order), ("at_random", &at_random)] {
            let mut time = |what: &str, work: &mut dyn FnMut() -> Result<(), Failure>| {
                let start = Instant::now();
                work()?;
                let name = format!("{what}_{name}");
                let best = times.entry(name).or_insert(f64::INFINITY);
                *best = best.min(start.elapsed().as_secs_f64() * 1e3);
                Ok::<(), Failure>(())
            };
            time("plain", &mut || plain(&path, order, false))?;
            time("plain_fresh", &mut || plain(&path, order, true))?;
            // Fills the store's memory with something else.
            read(&store, &other, order)?;
            time("take", &mut || read(&store, &key, order))?;
            time("take_fresh", &mut || read(&new_store(), &key, order))?;
            time("open", &mut || opened(&store, &key).map(drop))?;
        }
    }
    let mut report = json!({ "width": WIDTH, "height": HEIGHT, "frames": FRAMES });
    for order in ["in_order", "at_random"] {
        for (take, plain) in [("take", "plain"), ("take_fresh", "plain_fresh")] {
            let ratio = times[&format!("{take}_{order}")] / times[&format!("{plain}_{order}")];
            report[format!("{take}_{order}_ratio")] = json!(ratio);
        }
    }
    report["milliseconds"] = json!(times);
    println!("{report}");
    Ok(())
}

fn opened(store: &Store, key: &TakeKey) -> Result<Take, Failure> {
    store.find(key).take.ok_or_else(|| "the take has gone".into())
}

fn read(store: &Store, key: &TakeKey, order: &[u32]) -> Result<(), Failure> {
    let take = opened(store, key)?;
    for &frame in order {
        black_box(&*take.frame(frame)?);
    }
    Ok(())
}

/// Reads the same number of bytes at the same kind of places.
fn plain(path: &Path, order: &[u32], fresh: bool) -> Result<(), Failure> {
    let file = File::open(path)?;
    let mut buffer = vec![0_u8; (WIDTH * HEIGHT * 8) as usize];
    for &frame in order {
        if fresh {
            buffer = vec![0_u8; buffer.len()];
        }
        let at = u64::from(frame) * buffer.len() as u64;
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut buffer, at)?;
        #[cfg(windows)]
        std::os::windows::fs::FileExt::seek_read(&file, &mut buffer, at)?;
        black_box(&buffer);
    }
    Ok(())
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
        version: TakeRequest::VERSION,
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
    };
    Ok(Description::new(&request, "cpu")?)
}
