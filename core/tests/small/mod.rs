//! Small networks, batches for them, and what trainings of seconds are made of.

// Each test uses its part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::generate::sampling::{Contexts, SamplingNoise, SamplingOptions, sample};
use wan_alpha_core::train::{
    AuxiliaryNetworks, BaseVae, BaseVaeSettings, ComputeOptions, DORA_TARGETS, FrozenDit,
    LatentBatch, Losses, Optimizer, OptimizerSettings, Origin, RgbaClips, RgbaVae, RgbaVaeSettings,
    StepRng, Task, Texts, Trained, Transformer, TransformerSettings, Umt5Config, VaeConfig, init,
};
use wan_alpha_core::weights::{MemorySet, ModelFiles, Network, Strengths, TensorSet};
use wan_alpha_take::Solver;

pub(crate) const FLOAT: (Kind, tch::Device) = (Kind::Float, tch::Device::Cpu);

pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

pub(crate) fn small_dit() -> DitConfig {
    DitConfig {
        dim: 48,
        heads: 4,
        layers: 2,
        ffn: 96,
        freq_dim: 32,
        text_dim: 24,
        in_channels: 16,
        image: None,
        out_channels: 16,
        text_length: 8,
        eps: 1e-6,
    }
}

/// A latent of two steps with guidance.
pub(crate) fn latent(dit: &Dit) -> Tensor {
    let _guard = tch::no_grad_guard();
    let normal = |purpose: &str, shape: &[i64]| {
        StepRng::new(6, 0).normal(Device::cpu(), purpose, shape).unwrap()
    };
    let width = dit.config().text_dim;
    let context = |purpose: &str| normal(purpose, &[5, width]);
    let negative = Some(context("negative"));
    let contexts = Contexts { prompt: context("prompt"), negative, image: None };
    let options = SamplingOptions { solver: Solver::UniPc, steps: 2, shift: 5.0, guidance: 3.0 };
    let mut noise = SamplingNoise { first: normal("noise", &[16, 2, 4, 6]), fresh: None };
    sample(dit, &contexts, &mut noise, &options, None, &Unwatched).unwrap()
}

pub(crate) fn small_text() -> Umt5Config {
    Umt5Config { vocabulary: 60, dim: 24, attention: 24, heads: 3, ffn: 40, layers: 2 }
}

pub(crate) const VAE: Origin<VaeConfig> = Origin::Nothing { config: VaeConfig { dim: 4 }, seed: 1 };

pub(crate) fn base_vae(settings: BaseVaeSettings) -> BaseVae {
    BaseVae::new(&VAE, settings, None, ComputeOptions::cpu()).unwrap()
}

/// A bright ball moving over a dark ground, `[b, t, h, w, 3]`, with its alpha.
pub(crate) fn clips(count: i64, frames: i64, size: i64) -> RgbaClips {
    let axis = Tensor::arange(size, FLOAT) / size as f64 * 2.0 - 1.0;
    let clip = |b: i64| {
        let frame = |t: i64| {
            let (x, y) = (0.4 * (b as f64).sin() + 0.05 * t as f64, 0.3 * (b as f64).cos());
            let radius = (&axis - x).square() + (&axis - y).square().unsqueeze(1);
            // Full inside, a soft border, nothing outside.
            let alpha: Tensor = (radius.sqrt() * -8.0 + 4.0).clamp(0.0, 1.0) * 2.0 - 1.0;
            let shade = [0.9 - 0.3 * b as f64, 0.2, -0.5].map(|c| &radius * 0.2 + c);
            (Tensor::stack(&shade, 2).clamp(-1.0, 1.0), alpha.unsqueeze(2))
        };
        let (color, alpha): (Vec<_>, Vec<_>) = (0..frames).map(frame).unzip();
        (Tensor::stack(&color, 0), Tensor::stack(&alpha, 0))
    };
    let (color, alpha): (Vec<_>, Vec<_>) = (0..count).map(clip).unzip();
    RgbaClips { color: Tensor::stack(&color, 0), alpha: Tensor::stack(&alpha, 0) }
}

pub(crate) fn latents(count: i64) -> LatentBatch {
    let normal = |purpose: &str, shape: &[i64]| {
        StepRng::new(9, 0).normal(Device::cpu(), purpose, shape).unwrap()
    };
    LatentBatch {
        latents: normal("latents", &[count, 16, 2, 4, 6]),
        masks: Some(normal("masks", &[count, 2, 4, 6]).sigmoid()),
        texts: Texts::Tokens((0..count).map(|i| vec![5 + i, 7, 1]).collect()),
        images: None,
    }
}

pub(crate) fn contexts(count: i64) -> LatentBatch {
    let context =
        |i: i64| StepRng::new(8, 0).normal(Device::cpu(), &format!("{i}"), &[3 + i, 24]).unwrap();
    LatentBatch { texts: Texts::Contexts((0..count).map(context).collect()), ..latents(count) }
}

pub(crate) fn whole(recompute: bool) -> Transformer {
    let settings = TransformerSettings {
        trained: Trained::Whole,
        recompute,
        ..TransformerSettings::default()
    };
    let (origin, text) = (
        Origin::Nothing { config: (), seed: 2 },
        Origin::Nothing { config: small_text(), seed: 2 },
    );
    let mut task =
        Transformer::new(&origin, small_dit(), Some(&text), settings, 2, ComputeOptions::cpu())
            .unwrap();
    wake(&mut task);
    task
}

pub(crate) fn dora(recompute: bool, compute: ComputeOptions) -> Transformer {
    let model = data("t2v/model");
    let files = ModelFiles::find(&[model], Strengths::default(), &Unwatched).unwrap();
    let mut config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    config.text_length = 8;
    let settings = TransformerSettings {
        trained: Trained::Dora { rank: 4, targets: DORA_TARGETS.map(str::to_owned).into() },
        recompute,
        ..TransformerSettings::default()
    };
    let origin = Origin::Files(files.dit);
    let mut task = Transformer::new(&origin, config, None, settings, 2, compute).unwrap();
    wake(&mut task);
    task
}

/// Moves every parameter away from where it begins: a head or an adapter of zeros would let no
/// gradient past.
pub(crate) fn wake<T: Task>(task: &mut T) {
    let _guard = tch::no_grad_guard();
    for (name, tensor) in task.parameters().iter() {
        let noise = StepRng::new(4, 0).normal(Device::cpu(), name, &tensor.size()).unwrap() * 0.05;
        let _ = tensor.shallow_clone().g_add_(&noise.to_kind(tensor.kind()));
    }
}

pub(crate) fn gradients<T: Task>(
    task: &mut T,
    batch: &T::Batch,
    loss_scales: &[f64],
) -> (Losses, Vec<Tensor>) {
    task.parameters_mut().zero_gradients();
    let rng = StepRng::new(3, 1);
    let mut losses = Losses::default();
    for &loss_scale in loss_scales {
        losses = task.step(batch, &rng, loss_scale, &Unwatched).unwrap();
    }
    let gradients = task.parameters().iter().map(|(_, tensor)| tensor.grad().copy()).collect();
    (losses, gradients)
}

#[track_caller]
pub(crate) fn same<T: Task>(task: &T, found: &[Tensor], expected: &[Tensor], tolerance: f64) {
    let mut largest: f64 = 0.0;
    for ((name, _), (a, b)) in task.parameters().iter().zip(found.iter().zip(expected)) {
        let size = b.abs().max().double_value(&[]);
        assert!(size > 0.0, "{name} has no gradient");
        let error = (a - b).abs().max().double_value(&[]) / size;
        largest = largest.max(error);
        assert!(error <= tolerance, "{name}: {error:e}");
    }
    println!("{} gradients within {largest:.1e}", found.len());
}

pub(crate) fn train<T: Task>(task: &mut T, batch: &T::Batch, rate: f64, steps: u64) -> Vec<Losses> {
    let settings = OptimizerSettings { rate, clip: Some(1.0), ..OptimizerSettings::default() };
    let mut optimizer = Optimizer::new(settings, task.parameters()).unwrap();
    (1..=steps).map(|step| one_step(task, &mut optimizer, batch, step)).collect()
}

pub(crate) fn one_step<T: Task>(
    task: &mut T,
    optimizer: &mut Optimizer,
    batch: &T::Batch,
    step: u64,
) -> Losses {
    let losses = task.step(batch, &StepRng::new(1, step), 1.0, &Unwatched).unwrap();
    optimizer.update(task.parameters_mut()).unwrap();
    losses
}

pub(crate) fn write<T: Task>(task: &T, folder: &Path) {
    for export in task.export().unwrap() {
        export.write(folder).unwrap();
    }
}

pub(crate) fn rgba_vae(
    settings: RgbaVaeSettings,
    with_frozen_dit: bool,
    compute: ComputeOptions,
) -> RgbaVae {
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let file = folder.path().join("Wan2.1_VAE.pth");
    let base = TensorSet::open(Network::Vae, &[file]).unwrap();
    let frozen_dit = with_frozen_dit.then(|| {
        let config = DitConfig { dim: 24, ffn: 32, ..small_dit() };
        let set = init::dit(Device::cpu(), &config, 5)
            .unwrap()
            .to(compute.kind, wan_alpha_core::device::Device::cpu())
            .unwrap();
        let mut awake = MemorySet::default();
        for name in set.names() {
            let tensor = set.get(name).unwrap();
            let noise =
                StepRng::new(4, 0).normal(Device::cpu(), name, &tensor.size()).unwrap() * 0.1;
            awake.insert(name, &tensor + noise.to_kind(tensor.kind()));
        }
        let weights =
            wan_alpha_core::weights::Weights::in_memory(awake.into(), compute.kind, Device::cpu());
        let dit = wan_alpha_core::dit::Dit::load(&weights, config, &Unwatched).unwrap();
        FrozenDit { dit, context: Tensor::zeros([1, 24], (compute.kind, tch::Device::Cpu)) }
    });
    let auxiliary = AuxiliaryNetworks { vgg: None, frozen_dit };
    RgbaVae::new(&base, settings, auxiliary, 6, compute).unwrap()
}
