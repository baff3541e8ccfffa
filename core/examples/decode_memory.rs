//! What decoding takes of memory and time with an autoencoder of full size, whose numbers are random:
//! `decode_memory WAY FRAMES [WIDTHxHEIGHT]`, where WAY is `together`, `in-turn`, `tiled`, `bf16` or
//! `bf16-tiled`. Prints seconds by the clock and by the processor's, and the most anonymous and shared memory of
//! the process.
//!
//! The autoencoder is written to `decode_memory.safetensors` in the system's folder for temporary files,
//! unless it is there, and so is what waits while a film is decoded.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{DecodeWay, FrameSink, SinkError, decode_by};
use wan_alpha_core::shim::{KEPT_MEMORY, keep_freed_memory};
use wan_alpha_core::train::{StepRng, VaeConfig, init};
use wan_alpha_core::weights::{Decoders, Network, TensorSet};
use wan_alpha_core::{Error, Result, Unwatched};
use wan_alpha_take::frame::Frame;

static MOST: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize| arguments.get(index).map_or("", String::as_str);
    let usage = || {
        Error::Input(
            "decode_memory together|in-turn|tiled|bf16|bf16-tiled FRAMES [WIDTHxHEIGHT]".into(),
        )
    };
    let (narrow, tiled) = (word(0).starts_with("bf16"), word(0).ends_with("tiled"));
    if !["together", "in-turn", "tiled", "bf16", "bf16-tiled"].contains(&word(0)) {
        return Err(usage());
    }
    let frames: i64 = word(1).parse().map_err(|_| usage())?;
    let size = if word(2).is_empty() { "832x480" } else { word(2) };
    let sides: Vec<i64> = size.split('x').filter_map(|side| side.parse().ok()).collect();
    let &[width, height] = &sides[..] else { return Err(usage()) };
    keep_freed_memory(KEPT_MEMORY)?;
    let folder = std::env::temp_dir();
    let decoders = decoders(folder.join("decode_memory.safetensors"))?;
    let latent = StepRng::new(5, 0).normal(
        Device::cpu(),
        "latent",
        &[16, (frames - 1) / 4 + 1, height / 8, width / 8],
    )?;
    let way = DecodeWay {
        kind: if narrow { Kind::BFloat16 } else { Kind::Float },
        together: word(0) == "together",
        tiled,
        folder: Some(folder),
    };
    let watching = std::thread::spawn(|| {
        while !ENDED.load(Ordering::Relaxed) {
            MOST.fetch_max(memory(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let before = memory();
    let (begun, worked_before) = (Instant::now(), worked());
    let mut count = Count::default();
    decode_by(&decoders, Device::cpu(), &latent, &way, &mut count, &Unwatched)?;
    let (seconds, worked) = (begun.elapsed().as_secs_f64(), worked() - worked_before);
    ENDED.store(true, Ordering::Relaxed);
    drop(watching.join());
    println!(
        "{} {size} {frames} frames: {seconds:.1} s ({worked:.1} s of processors), {:.3} GB at most ({:.3} before), mean {:.6}",
        word(0),
        MOST.load(Ordering::Relaxed) as f64 / 1e9,
        before as f64 / 1e9,
        count.sum / count.numbers as f64
    );
    Ok(())
}

/// Bytes of anonymous and shared memory of this process.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    1024 * (of("RssAnon:") + of("RssShmem:"))
}

/// Seconds that all threads of this process have computed.
fn worked() -> f64 {
    /// Of `USER_HZ`.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

/// Both decoders of one random autoencoder.
fn decoders(path: PathBuf) -> Result<Decoders> {
    if !path.exists() {
        let small = init::vae(Device::cpu(), &VaeConfig { dim: 96 }, 3)?;
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for name in small.names() {
            let tensor = small.get(name)?;
            // One that begins adds nothing in its residual blocks.
            let noise = StepRng::new(4, 0).normal(Device::cpu(), name, &tensor.size())?;
            tensors.push((name.to_owned(), tensor.f_add(&noise.f_mul_scalar(0.02)?)?));
        }
        Tensor::write_safetensors(&tensors, &path)?;
    }
    let set = Arc::new(TensorSet::open(Network::Vae, &[path])?);
    Ok(Decoders::Complete { color: set.clone(), alpha: set })
}

#[derive(Default)]
struct Count {
    sum: f64,
    numbers: usize,
}

impl FrameSink for Count {
    fn frame(&mut self, frame: Frame<'_>) -> std::result::Result<(), SinkError> {
        self.sum += frame.rgba.iter().map(|&number| f64::from(number)).sum::<f64>();
        self.numbers += frame.rgba.len();
        Ok(())
    }
}
