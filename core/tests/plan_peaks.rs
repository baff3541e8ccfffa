//! What a stage is said to hold, beside what it holds: counted by libtorch's allocators, for models of
//! three widths.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::{Device, processor_has_bfloat16};
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::generate::sampling::{Contexts, SamplingNoise, SamplingOptions, sample};
use wan_alpha_core::generate::{DecodeWay, FrameSink, SinkError, decode_by};
use wan_alpha_core::plan::{
    ModelSizes, TakeSizes, condition_peak, decode_peak, sample_peak, text_peak,
};
use wan_alpha_core::shim::LiveBytes;
use wan_alpha_core::text::Umt5;
use wan_alpha_core::train::{StepRng, Umt5Config, VaeConfig, init};
use wan_alpha_core::vae::{Corner, RgbaEncoder, RgbaFilm};
use wan_alpha_core::weights::{Decoders, EncoderFiles, MemorySet, Network, TensorSet, Weights};
use wan_alpha_take::Solver;
use wan_alpha_take::frame::Frame;

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
        widened: 0,
        maps_blocks: false,
        mapped: 0,
        number: 4,
        dim: 0,
        ffn: 0,
        heads: 1,
        text_length: 512,
        text_block: 0,
        text_heads: 1,
        text_dim: 64,
        text_ffn: 0,
        adapters: 0,
        decoder: 0,
        decoder_dim: 96,
        encoder: 0,
        image_layer: 0,
        image_tokens: 0,
        is_card: false,
    }
}

const TAKE: TakeSizes = TakeSizes {
    width: 832,
    height: 480,
    frames: 5,
    guided: false,
    tiled: false,
    decode_number: 4,
    images: 0,
};

/// What a processor computes in without imitating it, which takes minutes.
fn kinds() -> Vec<Kind> {
    if processor_has_bfloat16() {
        vec![Kind::BFloat16, Kind::Float]
    } else {
        println!("bfloat16 is left out: this processor imitates it");
        vec![Kind::Float]
    }
}

/// What was held and said, of each case.
#[derive(Default)]
struct Compared {
    lines: Vec<String>,
    worst: f64,
}

impl Compared {
    fn add(&mut self, found: i64, said: u64, what: &str) {
        let off = said as f64 / found as f64 - 1.0;
        let line = format!("{what}: {found} held, {said} said, {:+.1} %", 100.0 * off);
        println!("{line}");
        self.lines.push(line);
        self.worst = self.worst.max(off.abs());
    }
}

impl Drop for Compared {
    fn drop(&mut self) {
        assert!(self.worst <= 0.03 || std::thread::panicking(), "{}", self.lines.join("\n"));
    }
}

#[test]
fn sampling_holds_what_was_said() {
    let _guard = tch::no_grad_guard();
    let mut compared = Compared::default();
    for (dim, heads, ffn) in [(256, 2, 688), (512, 4, 1376), (1024, 8, 2768)] {
        for kind in kinds() {
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

/// A network in a file, as parts of models are found.
fn in_file(folder: &Path, network: Network, set: &MemorySet) -> Arc<TensorSet> {
    let path = folder.join(format!("{network:?}.safetensors"));
    let tensors: Vec<_> =
        set.names().map(|name| (name.to_owned(), set.get(name).unwrap())).collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    Arc::new(TensorSet::open(network, &[path]).unwrap())
}

/// Bytes of the tensors whose names begin so.
fn bytes(set: &MemorySet, prefixes: &[&str]) -> u64 {
    let wanted = |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    set.names().filter(wanted).map(|name| 4 * set.get(name).unwrap().numel() as u64).sum()
}

#[test]
fn reading_prompts_holds_what_was_said() {
    let _guard = tch::no_grad_guard();
    let mut compared = Compared::default();
    for dim in [256, 384, 512] {
        let (heads, ffn) = (dim / 64, dim * 5 / 2);
        for kind in kinds() {
            let config = Umt5Config { vocabulary: 300, dim, attention: dim, heads, ffn, layers: 3 };
            let set = init::umt5(Device::cpu(), &config, 3).unwrap();
            let set = set.to(kind, Device::cpu()).unwrap();
            let number = kind.elt_size_in_bytes() as u64;
            let model = ModelSizes {
                number,
                text_block: bytes(&set, &["blocks.0."]) / 4 * number,
                text_heads: heads as u64,
                text_dim: dim as u64,
                text_ffn: ffn as u64,
                ..sizes()
            };
            let folder = tempfile::tempdir().unwrap();
            let set = in_file(folder.path(), Network::Umt5, &set);
            let ids: Vec<i64> = (0..512).map(|place| place % 300).collect();
            for slots in [2, 1] {
                let read = || {
                    let weights = Weights::new(set.clone(), vec![], kind, Device::cpu());
                    Umt5::new(weights)?.with_slots(slots).encode(&[&ids, &ids], &Unwatched)
                };
                let (_, live) = LiveBytes::of(read).unwrap();
                let said = text_peak(&model, &TakeSizes { guided: true, ..TAKE }, slots);
                compared.add(live.peak, said, &format!("text, {dim} wide, {kind:?}, {slots}"));
            }
        }
    }
}

#[test]
fn encoding_an_image_holds_what_was_said() {
    let _guard = tch::no_grad_guard();
    let mut compared = Compared::default();
    let take = TakeSizes { width: 320, height: 192, frames: 9, images: 1, ..TAKE };
    for dim in [32, 64, 96] {
        let folder = tempfile::tempdir().unwrap();
        let base = init::vae(Device::cpu(), &VaeConfig { dim }, 3).unwrap();
        let merge = init::merge_block(Device::cpu(), 4 * dim, 3).unwrap();
        let encoder = bytes(&base, &["encoder.", "conv1."]) + bytes(&merge, &["middle."]);
        let model = ModelSizes { decoder_dim: dim as u64, encoder, ..sizes() };
        let files = EncoderFiles {
            base: in_file(folder.path(), Network::Vae, &base),
            merge: in_file(folder.path(), Network::Merge, &merge),
        };
        // A film of an image, and two groups of fillers: what it remembers is all there at the second.
        let encoded = || {
            let encoder = RgbaEncoder::load(&files, Kind::Float, Device::cpu(), &Unwatched)?;
            let mut film = RgbaFilm::default();
            let fillers = Tensor::f_zeros([4, 192, 320, 4], (Kind::Float, tch::Device::Cpu))?;
            for frames in [1, 4, 4] {
                let rgba = fillers.f_narrow(0, 0, frames)?;
                encoder.encode(&rgba, Corner::WHITE, &mut film, &Unwatched)?;
            }
            Ok(())
        };
        let (_, live) = LiveBytes::of(encoded).unwrap();
        let said = condition_peak(&model, &take);
        compared.add(live.peak, said, &format!("encoding, {dim} channels"));
    }
}

/// Frames that nobody wants.
struct Ignored;

impl FrameSink for Ignored {
    fn frame(&mut self, _frame: Frame<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A film that is decoded in some way.
#[derive(Clone, Copy)]
struct Case {
    size: [i64; 2],
    frames: i64,
    together: bool,
    tiled: bool,
}

#[test]
fn decoding_holds_what_was_said() {
    let mut compared = Compared::default();
    let whole = Case { size: [200, 120], frames: 9, together: false, tiled: false };
    // Sides that are no even number of cells; one latent frame, two and more; several tiles.
    let each = [
        whole,
        Case { size: [160, 96], frames: 5, together: true, ..whole },
        Case { size: [320, 64], tiled: true, ..whole },
    ];
    let more = [
        Case { size: [200, 312], frames: 1, ..whole },
        Case { size: [240, 192], frames: 13, ..whole },
        Case { size: [304, 128], frames: 5, tiled: true, ..whole },
    ];
    for dim in [32, 64, 96] {
        let folder = tempfile::tempdir().unwrap();
        let set = init::vae(Device::cpu(), &VaeConfig { dim }, 3).unwrap();
        let decoder = bytes(&set, &["decoder.", "conv2."]);
        let set = in_file(folder.path(), Network::Vae, &set);
        let decoders = Decoders::Complete { color: set.clone(), alpha: set };
        let model = ModelSizes { decoder, decoder_dim: dim as u64, ..sizes() };
        let more = more.iter().filter(|_| dim == 32);
        for &case in each.iter().chain(more) {
            let Case { size: [width, height], frames, together, tiled } = case;
            let latent = normal("latent", &[16, (frames - 1) / 4 + 1, height / 8, width / 8]);
            let folder = Some(folder.path().to_owned());
            let way = DecodeWay { kind: Kind::Float, together, tiled, folder };
            let decoded =
                || decode_by(&decoders, Device::cpu(), &latent, &way, &mut Ignored, &Unwatched);
            let (_, live) = LiveBytes::of(decoded).unwrap();
            let take = TakeSizes::of_latent(&latent, tiled, 4);
            let said = decode_peak(&model, &take, together);
            let way = (together, tiled);
            let what = format!("{dim} channels, {width}×{height}, {frames} frames, {way:?}");
            compared.add(live.peak, said, &what);
        }
    }
}
