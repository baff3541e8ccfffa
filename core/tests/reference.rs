//! Every part of the model against what the authors' code computes (`tests/data`, its README says
//! what each tensor is): float32, on the CPU.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::sampler::Sampler;
use wan_alpha_core::text::{Tokenizer, Umt5};
use wan_alpha_core::vae::{Decoder, FeatureCache, Film, LATENT_MEAN, LATENT_STD, RgbaDecoder};
use wan_alpha_core::weights::{
    AdapterKind, Decoders, ModelFiles, Strengths, TensorFile, Weights, read_bare_tensor,
};
use wan_alpha_core::{Unwatched, noise};
use wan_alpha_take::{Mask, Solver};

const CASES: [&str; 3] = ["t2v", "t2v-guided", "t2v-euler"];

struct Case {
    name: &'static str,
    folder: PathBuf,
    golden: TensorFile,
    settings: serde_json::Value,
    files: ModelFiles,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        CASES.into_iter().map(|name| {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name);
            let settings = std::fs::read_to_string(folder.join("golden.json")).unwrap();
            let files = ModelFiles::find(&[folder.join("model")], Strengths::default(), &Unwatched)
                .unwrap();
            Self {
                name,
                golden: TensorFile::open(&folder.join("golden.safetensors")).unwrap(),
                settings: serde_json::from_str(&settings).unwrap(),
                files,
                folder,
            }
        })
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.golden.read(Device::cpu(), name).unwrap()
    }

    fn number(&self, name: &str) -> f64 {
        self.settings[name].as_f64().unwrap()
    }

    /// Maximal absolute error over maximal absolute value.
    #[track_caller]
    fn close(&self, name: &str, found: &Tensor, tolerance: f64) {
        let expected = self.tensor(name);
        assert_eq!(found.size(), expected.size(), "{}: {name}", self.name);
        let error = relative_error(found, &expected);
        assert!(error <= tolerance, "{}: {name}: relative error {error:e}", self.name);
    }

    fn base_decoder(&self, kind: Kind) -> Decoder {
        let Decoders::Adapted { base, .. } = &self.files.decoders else { panic!("no LoRA") };
        let weights = Weights::new(Arc::clone(base), vec![], kind, Device::cpu());
        Decoder::load(&weights, &Unwatched).unwrap()
    }

    fn dit(&self, adapters: usize) -> Dit {
        let adapters = self.files.adapters[..adapters].to_vec();
        let weights = Weights::new(self.files.dit.clone(), adapters, Kind::Float, Device::cpu());
        let config = DitConfig::infer(&self.files.dit, self.files.config.as_deref()).unwrap();
        Dit::load(&weights, config, &Unwatched).unwrap()
    }
}

fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    let max = |x: Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
    max(found - expected) / max(expected.shallow_clone())
}

#[test]
fn tokens_and_context() {
    for case in Case::all() {
        let tokenizer = Tokenizer::open(&case.files.tokenizer).unwrap();
        let weights = Weights::new(case.files.text.clone(), vec![], Kind::Float, Device::cpu());
        let encoder = Umt5::new(weights).unwrap();
        for (prompt, ids, context) in [
            ("prompt", "token_ids", "context"),
            ("negative_prompt", "negative_token_ids", "negative_context"),
        ] {
            let tokens = tokenizer.encode(case.settings[prompt].as_str().unwrap()).unwrap();
            let mut padded = tokens.ids.clone();
            padded.resize(512, 0);
            assert_eq!(padded, Vec::<i64>::try_from(case.tensor(ids)).unwrap(), "{ids}");
            let encoded = encoder.encode(&[&tokens.ids], &Unwatched).unwrap();
            case.close(context, &encoded[0], 1e-5);
        }
        assert!(case.files.text.unused().is_empty(), "{:?}", case.files.text.unused());
    }
}

#[test]
fn velocities_of_base_dora_and_merged_weights() {
    for case in Case::all() {
        let latent = case.tensor("dit.probe.latent").unsqueeze(0);
        let timestep = case.tensor("dit.probe.timestep").double_value(&[0]);
        let size = latent.size();
        for (adapters, name) in
            [(0, "dit.base.velocity"), (1, "dit.dora.velocity"), (2, "dit.merged.velocity")]
        {
            let dit = case.dit(adapters);
            let rope = dit.rope([size[2], size[3], size[4]]).unwrap();
            let mut prompt = dit.prompt(&case.tensor("context")).unwrap();
            // Twice: the second pass uses the keys and values kept from the first.
            for _ in 0..2 {
                let velocity =
                    dit.forward(&latent, &[timestep], &mut prompt, &rope, &Unwatched).unwrap();
                case.close(name, &velocity.squeeze_dim(0), 1e-5);
            }
        }
        assert!(case.files.dit.unused().is_empty(), "{:?}", case.files.dit.unused());
    }
}

#[test]
fn bfloat16_stays_near_float32() {
    for case in Case::all() {
        let adapters = case.files.adapters.clone();
        let weights = Weights::new(case.files.dit.clone(), adapters, Kind::BFloat16, Device::cpu());
        let config = DitConfig::infer(&case.files.dit, case.files.config.as_deref()).unwrap();
        let dit = Dit::load(&weights, config, &Unwatched).unwrap();
        let latent = case.tensor("dit.probe.latent").unsqueeze(0);
        let size = latent.size();
        let rope = dit.rope([size[2], size[3], size[4]]).unwrap();
        let mut prompt = dit.prompt(&case.tensor("context")).unwrap();
        let timestep = case.tensor("dit.probe.timestep").double_value(&[0]);
        let velocity = dit.forward(&latent, &[timestep], &mut prompt, &rope, &Unwatched).unwrap();
        assert_eq!(velocity.kind(), Kind::Float);
        // bfloat16 has 8 bits: 0.4 % in each product, over a few layers.
        let error = relative_error(&velocity.squeeze_dim(0), &case.tensor("dit.merged.velocity"));
        assert!(error < 3e-2 && error > 1e-5, "{}: {error:e}", case.name);
    }
}

#[test]
fn merged_weights() {
    for case in Case::all() {
        let mut compared = 0;
        for name in case.golden.names() {
            let (stage, adapters) = match name {
                _ if name.ends_with("velocity") => continue,
                _ if name.starts_with("dit.dora.") => ("dit.dora.", 1),
                _ if name.starts_with("dit.merged.") => ("dit.merged.", 2),
                _ => continue,
            };
            let adapters = case.files.adapters[..adapters].to_vec();
            let weights =
                Weights::new(case.files.dit.clone(), adapters, Kind::Float, Device::cpu());
            let tensor = &name[stage.len()..];
            let shape = weights.shape(tensor).unwrap().to_vec();
            case.close(name, &weights.get(tensor, &shape).unwrap(), 1e-5);
            compared += 1;
        }
        assert!(compared >= 6, "{compared}");
    }
}

#[test]
fn the_adapters_are_found_in_the_order_of_release() {
    for case in Case::all() {
        let kinds: Vec<_> = case.files.adapters.iter().map(|adapter| adapter.kind()).collect();
        assert_eq!(kinds, [AdapterKind::Dora, AdapterKind::Distill]);
        assert_eq!(case.files.preset().preset.name, "wan-alpha");
    }
}

#[test]
fn noise_mask_file_and_shift() {
    for case in Case::all() {
        let golden = case.tensor("noise");
        let drawn = noise::draw(Device::cpu(), case.number("seed") as u32, &golden.size()).unwrap();
        case.close("noise", &drawn, 1e-6);
        let shift = vec![case.number("mu"); golden.size()[1] as usize];
        let shifted = noise::shift_mean(&drawn, &case.tensor("mask"), &shift).unwrap();
        case.close("noise.shifted", &shifted, 1e-6);

        let (size, values) = read_bare_tensor(&case.folder.join("gauss_mask")).unwrap();
        let shape: Vec<usize> = size.iter().map(|&size| size as usize).collect();
        let mask = Mask::new(values, [shape[0], shape[1], shape[2]]).unwrap();
        let size = golden.size();
        let resized = noise::mask_on_grid(Device::cpu(), &mask, size[2], size[3]).unwrap();
        case.close("mask_file.resized", &resized, 1e-5);
    }
}

#[test]
fn sampling_step_by_step() {
    for case in Case::all() {
        let dit = case.dit(2);
        let steps = case.number("steps") as usize;
        let solver: Solver = case.settings["solver"].as_str().unwrap().parse().unwrap();
        let shift = 5.0;
        let mut sampler = Sampler::new(solver, steps, shift);
        let as_tensor = |values: &[f64]| Tensor::from_slice(values).to_kind(Kind::Float);
        case.close("timesteps", &as_tensor(sampler.schedule().timesteps()), 1e-6);
        case.close("sigmas", &as_tensor(sampler.schedule().levels()), 1e-6);

        let guidance = case.number("guide");
        let mut x = case.tensor("noise.shifted").unsqueeze(0);
        let size = x.size();
        let rope = dit.rope([size[2], size[3], size[4]]).unwrap();
        let mut prompt = dit.prompt(&case.tensor("context")).unwrap();
        let mut negative = dit.prompt(&case.tensor("negative_context")).unwrap();
        for step in 0..steps {
            let t = [sampler.timestep().unwrap()];
            let mut v = dit.forward(&x, &t, &mut prompt, &rope, &Unwatched).unwrap();
            if guidance != 1.0 {
                let without = dit.forward(&x, &t, &mut negative, &rope, &Unwatched).unwrap();
                v = &without + (v - &without) * guidance;
            }
            x = sampler.step(&x, &v, None).unwrap();
            case.close(&format!("latent.step{step}"), &x.squeeze_dim(0), 1e-4);
        }
        assert_eq!(sampler.timestep(), None);
    }
}

#[test]
fn decoded_videos_in_chunks_and_in_one_piece() {
    for case in Case::all() {
        let decoder = RgbaDecoder::load(&case.files.decoders, Device::cpu(), &Unwatched).unwrap();
        let latent = case.tensor("latent.final");
        let whole = decoder.decode(&latent, &mut Film::default(), &Unwatched).unwrap();
        let videos = |frames: &Tensor| frames.permute([3, 0, 1, 2]);
        case.close("video.fgr", &videos(&whole.color), 1e-4);
        case.close("video.pha", &videos(&whole.alpha), 1e-4);
        case.close("video.rgba", &videos(&whole.rgba().unwrap()), 1e-4);

        let count = latent.size()[1];
        for chunk in [1, 2, 3] {
            let mut film = Film::default();
            let mut color = Vec::new();
            let mut alpha = Vec::new();
            let mut k = 0;
            while k < count {
                let frames = chunk.min(count - k);
                let part = latent.narrow(1, k, frames);
                let decoded = decoder.decode(&part, &mut film, &Unwatched).unwrap();
                color.push(decoded.color);
                alpha.push(decoded.alpha);
                k += frames;
            }
            for (chunks, whole) in [(color, &whole.color), (alpha, &whole.alpha)] {
                let error = relative_error(&Tensor::cat(&chunks, 0), whole);
                assert!(error < 2e-5, "{}: chunks of {chunk}: {error:e}", case.name);
            }
        }
    }
}

#[test]
fn chunks_equal_one_piece_beyond_the_rounding_of_float32() {
    // The norms of a tiny random decoder amplify rounding; in float64 only the arithmetic counts.
    for case in Case::all() {
        let decoder = case.base_decoder(Kind::Double);
        let latent = case.tensor("latent.final").permute([1, 2, 3, 0]).unsqueeze(0);
        let latent = latent.to_kind(Kind::Double);
        let decode = |part: &Tensor, cache: &mut FeatureCache| {
            decoder.forward(part, cache, &Unwatched).unwrap()
        };
        let whole = decode(&latent, &mut FeatureCache::default());
        let mut cache = FeatureCache::default();
        let chunks: Vec<_> =
            (0..latent.size()[1]).map(|k| decode(&latent.narrow(1, k, 1), &mut cache)).collect();
        let error = relative_error(&Tensor::cat(&chunks, 1), &whole);
        assert!(error < 1e-12, "{}: {error:e}", case.name);
    }
}

#[test]
fn the_base_decoder() {
    for case in Case::all() {
        let decoder = case.base_decoder(Kind::Float);
        let latent = case.tensor("latent.final").permute([1, 2, 3, 0]).unsqueeze(0);
        let latent = latent * Tensor::from_slice(&LATENT_STD) + Tensor::from_slice(&LATENT_MEAN);
        let frames = decoder.forward(&latent, &mut FeatureCache::default(), &Unwatched).unwrap();
        case.close("video.base", &frames.squeeze_dim(0).permute([3, 0, 1, 2]), 1e-4);
    }
}
