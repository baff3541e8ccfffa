//! How long the image encoder of an image-to-video model takes. `compare.py` beside this calls it, and
//! computes the same by transformers:
//!
//! ```sh
//! image_encoder FILE FEATURES
//! ```
//!
//! FILE holds the encoder. What it makes of a gradient of 832 × 480 goes to FEATURES (safetensors); the
//! answer is seconds, those of reading the weights among them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::image_encoder::ImageEncoder;
use wan_alpha_core::shim::{KEPT_MEMORY, keep_freed_memory};
use wan_alpha_core::weights::{Network, TensorSet};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    use_huge_pages();
    keep_freed_memory(KEPT_MEMORY)?;
    let threads = std::env::var("OMP_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    tch::set_num_threads(threads);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, features] = &words[..] else {
        return Err("usage: image_encoder FILE FEATURES".into());
    };
    let set = Arc::new(TensorSet::open(Network::Clip, &[file.into()])?);
    let ramp = |n: i64| Tensor::linspace(-1.0, 1.0, n, (Kind::Float, Device::Cpu));
    let image = Tensor::stack(
        &[
            ramp(832).view([1, 832]).expand([480, 832], false),
            ramp(480).view([480, 1]).expand([480, 832], false),
            (ramp(832).view([1, 832]) * ramp(480).view([480, 1])).expand([480, 832], false),
        ],
        0,
    );
    let begun = Instant::now();
    let encoder = ImageEncoder::new(set, wan_alpha_core::device::Device::cpu())?;
    let made = encoder.encode(&image.unsqueeze(0), &Unwatched)?;
    let seconds = begun.elapsed().as_secs_f64();
    let tensors = [("input", &made.input), ("feature", &made.feature)];
    Tensor::write_safetensors(&tensors, Path::new(features))?;
    println!("{seconds:.3}");
    Ok(())
}

/// As the command does; see its `main.rs`.
#[allow(unsafe_code)]
fn use_huge_pages() {
    // SAFETY: first statement of main; no other thread exists.
    unsafe { std::env::set_var("THP_MEM_ALLOC_ENABLE", "1") };
}
