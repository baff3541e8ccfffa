//! What a stage is said to hold, beside what it holds: counted by libtorch's allocators, for models of
//! three widths.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::generate::sampling::{Contexts, SamplingNoise, SamplingOptions, sample};
use wan_alpha_core::plan::{ModelSizes, TakeSizes, decode_peak, sample_peak};
use wan_alpha_core::shim::LiveBytes;
use wan_alpha_core::train::{StepRng, VaeConfig, init};
use wan_alpha_core::vae::{Decoder, FeatureCache};
use wan_alpha_core::weights::{MemorySet, Weights};
use wan_alpha_take::Solver;

fn normal(purpose: &str, shape: &[i64]) -> Tensor {
    StepRng::new(6, 0).normal(Device::cpu(), purpose, shape).unwrap()
}

/// The sizes of a model of which the test has one part only.
fn sizes() -> ModelSizes {
    ModelSizes {
        layers: 1,
        block: 0,
        form: 0,
        fixed: 0,
        number: 4,
        dim: 0,
        ffn: 0,
        heads: 1,
        text_length: 512,
        text_block: 0,
        text_heads: 1,
        text_dim: 64,
        text_ffn: 0,
        decoder: 0,
        decoder_dim: 96,
        is_card: false,
    }
}

const TAKE: TakeSizes =
    TakeSizes { width: 832, height: 480, frames: 5, guided: false, tiled: false, decode_number: 4 };

/// What was held and said, of each case.
#[derive(Default)]
struct Compared {
    lines: Vec<String>,
    worst: f64,
}

impl Compared {
    fn add(&mut self, found: i64, said: u64, what: &str) {
        let off = said as f64 / found as f64 - 1.0;
        self.lines.push(format!("{what}: {found} held, {said} said, {:+.1} %", 100.0 * off));
        self.worst = self.worst.max(off.abs());
    }
}

impl Drop for Compared {
    fn drop(&mut self) {
        println!("{}", self.lines.join("\n"));
        assert!(self.worst <= 0.03 || std::thread::panicking(), "{}", self.lines.join("\n"));
    }
}

#[test]
fn sampling_holds_what_was_said() {
    let _guard = tch::no_grad_guard();
    let mut compared = Compared::default();
    for (dim, heads, ffn) in [(512, 4, 1376), (768, 6, 2080), (1024, 8, 2768)] {
        for kind in [Kind::BFloat16, Kind::Float] {
            let config = DitConfig {
                dim,
                heads,
                layers: 2,
                ffn,
                freq_dim: 64,
                text_dim: 64,
                in_channels: 16,
                image: None,
                out_channels: 16,
                text_length: 512,
                eps: 1e-6,
            };
            let set = Arc::new(
                init::dit(Device::cpu(), &config, 3).unwrap().to(kind, Device::cpu()).unwrap(),
            );
            let weights = Weights::in_memory(set, kind, Device::cpu());
            let dit = Dit::load(&weights, config.clone(), &Unwatched).unwrap();
            // Weights live already: they are not counted here.
            let model = ModelSizes {
                layers: 2,
                number: kind.elt_size_in_bytes() as u64,
                dim: dim as u64,
                ffn: ffn as u64,
                heads: heads as u64,
                ..sizes()
            };
            let prompt = normal("context", &[20, 64]);
            let contexts = Contexts { prompt, negative: None, image: None };
            let first = normal("latent", &[16, 2, 60, 104]);
            let mut noise = SamplingNoise { first, fresh: None };
            let options =
                SamplingOptions { solver: Solver::UniPc, steps: 3, shift: 5.0, guidance: 1.0 };
            let sampled = || sample(&dit, &contexts, &mut noise, &options, None, &Unwatched);
            let (_, live) = LiveBytes::of(sampled).unwrap();
            let said = sample_peak(&model, &TAKE, 0, true);
            compared.add(live.peak, said, &format!("sampling, {dim} wide, {kind:?}"));
        }
    }
}

#[test]
fn decoding_holds_what_was_said() {
    let _guard = tch::no_grad_guard();
    let mut compared = Compared::default();
    let take = TakeSizes { width: 320, height: 192, frames: 9, ..TAKE };
    for dim in [64, 96, 128] {
        let set = init::vae(Device::cpu(), &VaeConfig { dim }, 3).unwrap();
        let mut only = MemorySet::default();
        let mut bytes = 0;
        for name in set.names() {
            if name.starts_with("decoder.") || name.starts_with("conv2.") {
                only.insert(name, set.get(name).unwrap());
                bytes += 4 * set.get(name).unwrap().numel() as u64;
            }
        }
        let model = ModelSizes { decoder_dim: dim as u64, decoder: bytes, ..sizes() };
        let weights = Weights::in_memory(only.into(), Kind::Float, Device::cpu());
        let decoder = Decoder::load(&weights, &Unwatched).unwrap();
        let latent = normal("latent", &[1, 3, 24, 40, 16]);
        let (_, live) = LiveBytes::of(|| {
            let mut cache = FeatureCache::default();
            for k in 0..3 {
                drop(decoder.forward(&latent.narrow(1, k, 1), &mut cache, &Unwatched)?);
            }
            Ok(())
        })
        .unwrap();
        let said = decode_peak(&model, &take, false);
        // Weights live already.
        compared.add(live.peak + bytes as i64, said, &format!("decoding, {dim} channels"));
    }
}
