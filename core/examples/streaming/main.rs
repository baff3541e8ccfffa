//! Our side of `cargo xtask bench streaming`: one velocity of a transformer of the 14B model's shapes, in a
//! process of its own.
//!
//! | call | does |
//! |---|---|
//! | `streaming make FILE BLOCKS` | writes a transformer of so many blocks with random weights in bfloat16 |
//! | `streaming quantize FILE TO` | writes the same with the blocks' matrices in Q4_K |
//! | `streaming run FILE RESIDENT SLOTS` | computes a velocity of 256×144 with 5 frames twice, so many blocks staying; SLOTS 0: all stay |
//! | `streaming read FILE` | reads the file once, past the system's cache |
//!
//! The answer is one line of JSON.

#[allow(dead_code, reason = "the example that measures loading asks for more")]
#[path = "../load/peak.rs"]
mod peak;

mod model;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::blocks::{BlockPlacement, BlockStore};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::shim::{KEPT_MEMORY, keep_freed_memory};
use wan_alpha_core::weights::{Network, TensorSet, Weights};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    keep_freed_memory(KEPT_MEMORY)?;
    let threads = std::env::var("OMP_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    tch::set_num_threads(threads);
    tch::manual_seed(7);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match words[..] {
        ["make", file, blocks] => model::make(Path::new(file), blocks.parse()?)?,
        ["quantize", from, to] => model::quantize(Path::new(from), Path::new(to))?,
        ["run", file, resident, slots] => run(Path::new(file), resident.parse()?, slots.parse()?)?,
        ["read", file] => read(Path::new(file))?,
        _ => {
            return Err("usage: streaming make FILE BLOCKS | streaming quantize FILE TO | \
                        streaming run FILE RESIDENT SLOTS | streaming read FILE"
                .into());
        }
    };
    println!("{answer}");
    Ok(())
}

fn run(file: &Path, resident: usize, slots: usize) -> Result<Value, Error> {
    let _guard = tch::no_grad_guard();
    let set = Arc::new(TensorSet::open(Network::Dit, &[file.to_owned()])?);
    let config = DitConfig::infer(&set, None)?;
    let placement = if slots == 0 {
        BlockPlacement::RESIDENT
    } else {
        let store = BlockStore::File { cached: file.metadata()?.len() < 8 << 30 };
        BlockPlacement { resident, slots, store, folder: None }
    };
    let watch = peak::Watch::begin()?;
    let begun = Instant::now();
    let weights = Weights::new(set, vec![], Kind::BFloat16, Device::cpu());
    let dit = Dit::load_placed(&weights, config, &placement, &Unwatched)?;
    let loaded = begun.elapsed().as_secs_f64();
    let latent = Tensor::randn([1, 16, 2, 18, 32], (Kind::Float, tch::Device::Cpu));
    let context = Tensor::randn([20, 4096], (Kind::Float, tch::Device::Cpu));
    let rope = dit.rope([2, 18, 32])?;
    let mut prompt = dit.prompt(&context)?;
    let mut seconds = Vec::new();
    let mut mean = 0.0;
    for _ in 0..2 {
        prompt.forget();
        let begun = Instant::now();
        let velocity = dit.forward(&latent, &[500.0], &mut prompt, &rope, &Unwatched)?;
        seconds.push(begun.elapsed().as_secs_f64());
        mean = velocity.abs().mean(Kind::Float).double_value(&[]);
    }
    let memory = watch.end()?;
    Ok(json!({
        "load_seconds": loaded,
        "seconds": seconds,
        "peak_anonymous": memory.peak,
        "mean": mean,
    }))
}

fn read(file: &Path) -> Result<Value, Error> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let mut open = File::options();
    let mut source = open.read(true).custom_flags(libc::O_DIRECT).open(file)?;
    // Aligned as such reads want it.
    let mut memory = vec![0u8; (8 << 20) + 4096];
    let first = memory.as_ptr().align_offset(4096);
    let buffer = &mut memory[first..first + (8 << 20)];
    let (mut bytes, begun) = (0u64, Instant::now());
    loop {
        match source.read(buffer)? {
            0 => break,
            count => bytes += count as u64,
        }
    }
    Ok(json!({ "bytes": bytes, "seconds": begun.elapsed().as_secs_f64() }))
}
