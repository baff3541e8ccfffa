//! Our side of `cargo xtask bench`: one case, timed each time a line `run` comes in.
//!
//! Cases: `dit-1`, `dit-5`, `decode`; `dit-1-nocache` and `dit-5-nocache` compute the text's keys
//! and values in every pass, as a network without memory does; `train-dit` and `train-vae` are whole
//! steps of training. Weights are random; sizes equal those of `bundle/bench/diffusers_side.py` and
//! `bundle/bench/training_side.py`.

mod training;

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::{Device, LIBTORCH_BUILD};
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::vae::{Decoder, FeatureCache};
use wan_alpha_core::weights::{Network, TensorSet, Weights};

type Error = Box<dyn std::error::Error>;

/// What one run computes.
type Run = Box<dyn FnMut() -> Result<Tensor, Error>>;

/// One case of the benchmark, built and ready to be run.
struct Case {
    run: Run,
    /// Of the result, or of what is trained on.
    shape: Vec<i64>,
    /// Numbers that the case reads, or that it trains.
    parameters: u64,
}

fn main() -> Result<(), Error> {
    use_huge_pages();
    let case = std::env::args().nth(1).unwrap_or_default();
    let threads = std::env::var("OMP_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    tch::set_num_threads(threads);
    tch::manual_seed(7);
    let Case { mut run, shape, parameters } = match case.as_str() {
        "dit-1" => transformer(1, true)?,
        "dit-1-nocache" => transformer(1, false)?,
        "dit-5" => transformer(2, true)?,
        "dit-5-nocache" => transformer(2, false)?,
        "decode" => decoder()?,
        "train-dit" => training::transformer()?,
        "train-vae" => training::autoencoder()?,
        _ => {
            let cases =
                "dit-1 | dit-1-nocache | dit-5 | dit-5-nocache | decode | train-dit | train-vae";
            return Err(format!("usage: bench {cases}").into());
        }
    };
    let result = run()?;
    let ready = json!({
        "shape": shape,
        "parameters": parameters,
        "checksum": result.abs().mean(Kind::Float).double_value(&[]),
        "versions": { "libtorch": LIBTORCH_BUILD },
    });
    let mut out = std::io::stdout();
    writeln!(out, "ready {ready}")?;
    for line in std::io::stdin().lock().lines() {
        if line?.trim() == "run" {
            let begun = Instant::now();
            let _ = run()?;
            writeln!(out, "{}", json!({ "seconds": begun.elapsed().as_secs_f64() }))?;
        }
    }
    Ok(())
}

/// As the command does; see its `main.rs`.
#[allow(unsafe_code)]
fn use_huge_pages() {
    // SAFETY: first statement of main; no other thread exists.
    unsafe { std::env::set_var("THP_MEM_ALLOC_ENABLE", "1") };
}

/// Sizes of a random transformer.
struct Sizes {
    dim: i64,
    ffn: i64,
    text: i64,
    layers: usize,
}

/// A forward pass at 832×480: latent `[1, 16, frames, 60, 104]`.
fn transformer(frames: i64, keep_keys: bool) -> Result<Case, Error> {
    let text = 4096;
    let model = RandomModel::transformer(&Sizes { dim: 1536, ffn: 8960, text, layers: 4 });
    let (weights, parameters) = model.weights(Network::Dit)?;
    let config = DitConfig::infer(&weights, None)?;
    let weights = Weights::new(weights, vec![], Kind::Float, Device::cpu());
    let dit = Dit::load(&weights, config, &Unwatched)?;
    let latent = random(&[1, 16, frames, 60, 104], 1.0);
    let rope = dit.rope([frames, 60, 104])?;
    let context = random(&[512, text], 1.0);
    let mut prompt = dit.prompt(&context)?;
    let shape = latent.size();
    let run = move || {
        let _guard = tch::no_grad_guard();
        if !keep_keys {
            prompt = dit.prompt(&context)?;
        }
        Ok(dit.forward(&latent, &[500.0], &mut prompt, &rope, &Unwatched)?)
    };
    Ok(Case { run: Box::new(run), shape, parameters })
}

/// The full-size decoder (dim 96) at 416×240 and 5 frames, chunk by chunk.
fn decoder() -> Result<Case, Error> {
    let mut model = RandomModel::default();
    model.layer("conv2", &[16, 16, 1, 1, 1]);
    model.layer("decoder.conv1", &[384, 16, 3, 3, 3]);
    model.residual("decoder.middle.0", 384, 384);
    model.tensor("decoder.middle.1.norm.gamma", &[384, 1, 1], 1.0);
    model.layer("decoder.middle.1.to_qkv", &[1152, 384, 1, 1]);
    model.layer("decoder.middle.1.proj", &[384, 384, 1, 1]);
    model.residual("decoder.middle.2", 384, 384);
    let stages = [(384, 384, true), (192, 384, true), (192, 192, false), (96, 96, false)];
    let mut index = 0;
    for (stage, (input, output, in_time)) in stages.into_iter().enumerate() {
        for (i, input) in [input, output, output].into_iter().enumerate() {
            model.residual(&format!("decoder.upsamples.{}", index + i), input, output);
        }
        index += 3;
        if stage < 3 {
            let name = format!("decoder.upsamples.{index}");
            model.layer(&format!("{name}.resample.1"), &[output / 2, output, 3, 3]);
            if in_time {
                model.layer(&format!("{name}.time_conv"), &[2 * output, output, 3, 1, 1]);
            }
            index += 1;
        }
    }
    model.tensor("decoder.head.0.gamma", &[96, 1, 1, 1], 1.0);
    model.layer("decoder.head.2", &[3, 96, 3, 3, 3]);

    let (weights, parameters) = model.weights(Network::Vae)?;
    let weights = Weights::new(weights, vec![], Kind::Float, Device::cpu());
    let decoder = Decoder::load(&weights, &Unwatched)?;
    let latent = random(&[1, 2, 30, 52, 16], 1.0);
    let run = move || {
        let _guard = tch::no_grad_guard();
        let mut cache = FeatureCache::default();
        let chunks = (0..2)
            .map(|k| decoder.forward(&latent.narrow(1, k, 1), &mut cache, &Unwatched))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::cat(&chunks, 1).permute([0, 4, 1, 2, 3]).clamp(-1.0, 1.0))
    };
    Ok(Case { run: Box::new(run), shape: vec![1, 3, 5, 240, 416], parameters })
}

/// A model of random numbers in the released layout.
#[derive(Default)]
struct RandomModel {
    tensors: Vec<(String, Tensor)>,
}

impl RandomModel {
    fn transformer(sizes: &Sizes) -> Self {
        let Sizes { dim, ffn, text, layers } = *sizes;
        let mut model = Self::default();
        model.layer("patch_embedding", &[dim, 16, 1, 2, 2]);
        model.layer("time_embedding.0", &[dim, 256]);
        model.layer("time_embedding.2", &[dim, dim]);
        model.layer("time_projection.1", &[6 * dim, dim]);
        model.layer("text_embedding.0", &[dim, text]);
        model.layer("text_embedding.2", &[dim, dim]);
        model.layer("head.head", &[64, dim]);
        model.tensor("head.modulation", &[1, 2, dim], 0.02);
        for i in 0..layers {
            for attention in ["self_attn", "cross_attn"] {
                for part in ["q", "k", "v", "o"] {
                    model.layer(&format!("blocks.{i}.{attention}.{part}"), &[dim, dim]);
                }
                for norm in ["norm_q", "norm_k"] {
                    model.tensor(&format!("blocks.{i}.{attention}.{norm}.weight"), &[dim], 1.0);
                }
            }
            model.layer(&format!("blocks.{i}.ffn.0"), &[ffn, dim]);
            model.layer(&format!("blocks.{i}.ffn.2"), &[dim, ffn]);
            model.tensor(&format!("blocks.{i}.norm3.weight"), &[dim], 1.0);
            model.tensor(&format!("blocks.{i}.norm3.bias"), &[dim], 0.02);
            model.tensor(&format!("blocks.{i}.modulation"), &[1, 6, dim], 0.02);
        }
        model
    }

    fn tensor(&mut self, name: &str, shape: &[i64], scale: f64) {
        self.tensors.push((name.to_owned(), random(shape, scale)));
    }

    /// A weight and a bias of a scale that keeps activations near 1.
    fn layer(&mut self, name: &str, shape: &[i64]) {
        let inputs: i64 = shape[1..].iter().product();
        self.tensor(&format!("{name}.weight"), shape, (inputs as f64).powf(-0.5));
        self.tensor(&format!("{name}.bias"), &shape[..1], 0.02);
    }

    fn residual(&mut self, name: &str, input: i64, output: i64) {
        self.tensor(&format!("{name}.residual.0.gamma"), &[input, 1, 1, 1], 1.0);
        self.layer(&format!("{name}.residual.2"), &[output, input, 3, 3, 3]);
        self.tensor(&format!("{name}.residual.3.gamma"), &[output, 1, 1, 1], 1.0);
        self.layer(&format!("{name}.residual.6"), &[output, output, 3, 3, 3]);
        if input != output {
            self.layer(&format!("{name}.shortcut"), &[output, input, 1, 1, 1]);
        }
    }

    /// Through a file, as every model comes; with the number of parameters.
    fn weights(self, network: Network) -> Result<(Arc<TensorSet>, u64), Error> {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
        Tensor::write_safetensors(&self.tensors, file.path())?;
        let set = TensorSet::open(network, &[file.path().to_owned()])?;
        let parameters = set.parameters();
        Ok((Arc::new(set), parameters))
    }
}

fn random(shape: &[i64], scale: f64) -> Tensor {
    Tensor::randn(shape, (Kind::Float, tch::Device::Cpu)) * scale
}
