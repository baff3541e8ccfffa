//! Trainings of seconds: losses fall, gradients add up, a run taken up again goes on as it would
//! have, and what a run leaves is what this program loads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    BaseVae, BaseVaeSettings, Beside, Bidirectional, DORA_TARGETS, Draws, Judge, LatentBatch,
    Losses, MergeStart, Optimiser, OptimiserSettings, Origin, Placement, RgbaClips, RgbaVae,
    RgbaVaeSettings, Task, Texts, Trained, Transformer, TransformerSettings, Umt5Config, VaeConfig,
    init, write_safetensors,
};
use wan_alpha_core::vae::{
    Corner, Encoder, FeatureCache, LATENT_MEAN, LATENT_STD, RgbaDecoder, hard_render,
};
use wan_alpha_core::weights::{
    Decoders, EncoderFiles, MemorySet, ModelFiles, Network, Strengths, TensorFile, TensorSet,
};
use wan_alpha_core::{Error, Unwatched};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

fn small_dit() -> DitConfig {
    DitConfig {
        dim: 48,
        heads: 4,
        layers: 2,
        ffn: 96,
        freq_dim: 32,
        text_dim: 24,
        in_channels: 16,
        out_channels: 16,
        text_length: 8,
        eps: 1e-6,
    }
}

fn small_text() -> Umt5Config {
    Umt5Config { vocabulary: 60, dim: 24, attention: 24, heads: 3, ffn: 40, layers: 2 }
}

const VAE: Origin<VaeConfig> = Origin::Nothing { config: VaeConfig { dim: 4 }, seed: 1 };

fn base_vae(settings: BaseVaeSettings) -> BaseVae {
    BaseVae::new(&VAE, settings, None, Placement::CPU).unwrap()
}

/// A bright ball moving over a dark ground, `[b, t, h, w, 3]`, with its alpha.
fn clips(count: i64, frames: i64, size: i64) -> RgbaClips {
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
        let (colour, alpha): (Vec<_>, Vec<_>) = (0..frames).map(frame).unzip();
        (Tensor::stack(&colour, 0), Tensor::stack(&alpha, 0))
    };
    let (colour, alpha): (Vec<_>, Vec<_>) = (0..count).map(clip).unzip();
    RgbaClips { colour: Tensor::stack(&colour, 0), alpha: Tensor::stack(&alpha, 0) }
}

fn latents(count: i64) -> LatentBatch {
    let normal = |purpose: &str, shape: &[i64]| Draws::new(9, 0).normal(purpose, shape).unwrap();
    LatentBatch {
        latents: normal("latents", &[count, 16, 2, 4, 6]),
        masks: Some(normal("masks", &[count, 2, 4, 6]).sigmoid()),
        texts: Texts::Tokens((0..count).map(|i| vec![5 + i, 7, 1]).collect()),
    }
}

fn contexts(count: i64) -> LatentBatch {
    let context = |i: i64| Draws::new(8, 0).normal(&format!("{i}"), &[3 + i, 24]).unwrap();
    LatentBatch { texts: Texts::Contexts((0..count).map(context).collect()), ..latents(count) }
}

fn whole(recompute: bool) -> Transformer {
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
        Transformer::new(&origin, small_dit(), Some(&text), settings, 2, Placement::CPU).unwrap();
    wake(&mut task);
    task
}

fn dora(recompute: bool, placement: Placement) -> Transformer {
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
    let mut task = Transformer::new(&origin, config, None, settings, 2, placement).unwrap();
    wake(&mut task);
    task
}

/// Moves every parameter away from where it begins: a head or an adapter of zeros would let no
/// gradient past.
fn wake<T: Task>(task: &mut T) {
    let _guard = tch::no_grad_guard();
    for (name, tensor) in task.parameters().iter() {
        let noise = Draws::new(4, 0).normal(name, &tensor.size()).unwrap() * 0.05;
        let _ = tensor.shallow_clone().g_add_(&noise.to_kind(tensor.kind()));
    }
}

fn gradients<T: Task>(task: &mut T, batch: &T::Batch, shares: &[f64]) -> (Losses, Vec<Tensor>) {
    task.parameters_mut().zero_gradients();
    let draws = Draws::new(3, 1);
    let mut losses = Losses::default();
    for &share in shares {
        losses = task.step(batch, &draws, share, &Unwatched).unwrap();
    }
    let gradients = task.parameters().iter().map(|(_, tensor)| tensor.grad().copy()).collect();
    (losses, gradients)
}

#[track_caller]
fn same<T: Task>(task: &T, found: &[Tensor], expected: &[Tensor], tolerance: f64) {
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

fn train<T: Task>(task: &mut T, batch: &T::Batch, rate: f64, steps: u64) -> Vec<Losses> {
    let settings = OptimiserSettings { rate, clip: Some(1.0), ..OptimiserSettings::default() };
    let mut optimiser = Optimiser::new(settings, task.parameters()).unwrap();
    (1..=steps).map(|step| one_step(task, &mut optimiser, batch, step)).collect()
}

fn one_step<T: Task>(
    task: &mut T,
    optimiser: &mut Optimiser,
    batch: &T::Batch,
    step: u64,
) -> Losses {
    let losses = task.step(batch, &Draws::new(1, step), 1.0, &Unwatched).unwrap();
    optimiser.update(task.parameters_mut()).unwrap();
    losses
}

fn write<T: Task>(task: &T, folder: &Path) {
    for export in task.export().unwrap() {
        export.write(folder).unwrap();
    }
}

#[test]
fn recomputed_gradients_are_the_plain_ones() {
    let (mut plain, mut again) = (whole(false), whole(true));
    let batch = latents(2);
    let (losses, expected) = gradients(&mut plain, &batch, &[1.0]);
    let (others, found) = gradients(&mut again, &batch, &[1.0]);
    assert_eq!(losses, others);
    same(&plain, &found, &expected, 1e-6);

    let (mut plain, mut again) = (dora(false, Placement::CPU), dora(true, Placement::CPU));
    let batch = contexts(2);
    let (losses, expected) = gradients(&mut plain, &batch, &[1.0]);
    let (others, found) = gradients(&mut again, &batch, &[1.0]);
    assert_eq!(losses, others);
    same(&plain, &found, &expected, 1e-6);
    // A run in bfloat16 computes coarsely and keeps its parameters in float32.
    let placement = Placement { kind: Kind::BFloat16, device: Device::Cpu };
    let (coarse, found) = gradients(&mut dora(true, placement), &batch, &[1.0]);
    let ratio = coarse.total() / losses.total();
    assert!(ratio != 1.0 && (ratio - 1.0).abs() < 0.02, "{ratio}");
    assert!(found.iter().all(|gradient| gradient.kind() == Kind::Float));
}

#[test]
fn batches_of_one_step_add_up() {
    let mut task = dora(false, Placement::CPU);
    let batch = contexts(1);
    let (_, once) = gradients(&mut task, &batch, &[1.0]);
    let (_, twice) = gradients(&mut task, &batch, &[0.25, 0.75]);
    same(&task, &twice, &once, 1e-5);
}

#[test]
fn a_base_autoencoder_learns_and_its_latents_are_brought_to_the_released_scale() {
    let batch = clips(2, 5, 32).colour;
    let mut task = base_vae(BaseVaeSettings::default());
    let losses = train(&mut task, &batch, 3e-3, 12);
    let (first, last) = (&losses[0], &losses[11]);
    println!("{first:?}\n{last:?}");
    assert!(last.get("l1").unwrap() < 0.7 * first.get("l1").unwrap());
    assert_eq!(last.0.len(), 4);

    let still = batch.narrow(1, 0, 1);
    assert!(task.step(&still, &Draws::new(1, 99), 1.0, &Unwatched).is_ok());

    let before = task.reconstruct(&batch, &Unwatched).unwrap();
    let statistics = |task: &BaseVae| {
        let _guard = tch::no_grad_guard();
        let encoder = task.encoder(&Unwatched).unwrap();
        let moments = encoder.moments(&batch, &mut FeatureCache::default(), &Unwatched).unwrap();
        let mean = moments.narrow(-1, 0, 16).reshape([-1, 16]);
        let deviation = (moments.narrow(-1, 16, 16) * 0.5).exp().reshape([-1, 16]);
        let axis = [0i64];
        let spread = mean.std_dim(&axis[..], true, false);
        let ratio = deviation.mean_dim(&axis[..], false, Kind::Float) / &spread;
        (mean.mean_dim(&axis[..], false, Kind::Float), spread, ratio)
    };
    let (mean, std, ratio) = statistics(&task);
    task.calibrate(&mean, &std).unwrap();
    let (mean, std, ratio_after) = statistics(&task);
    let error = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
    assert!(error(&mean, &Tensor::from_slice(&LATENT_MEAN)) < 1e-3);
    assert!(error(&std, &Tensor::from_slice(&LATENT_STD)) < 1e-3);
    assert!(error(&(ratio_after / ratio), &Tensor::ones([16], FLOAT)) < 1e-3);
    let after = task.reconstruct(&batch, &Unwatched).unwrap();
    assert!(error(&before, &after) < 1e-3, "{}", error(&before, &after));
    let error = task.calibrate(&mean, &Tensor::zeros([16], FLOAT)).unwrap_err().to_string();
    assert!(error.contains("constant"), "{error}");
}

/// Merged latents get the released scale, what is decoded stays, and so does what is loaded from the
/// results, of which the base is then one.
#[test]
fn merged_latents_are_brought_to_scale_without_a_change_of_what_is_decoded() {
    let settings = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let mut task = rgba_vae(settings, false, Placement::CPU);
    assert_eq!(task.export().unwrap().len(), 2);
    let batch = clips(2, 5, 32);
    // LoRAs that count, and a merge block that has learnt something.
    train(&mut task, &batch, 1e-2, 4);
    let latents =
        |task: &RgbaVae| task.encode(&batch, Corner::WHITE, &Unwatched).unwrap().reshape([-1, 16]);
    let (before, at_first) =
        (task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap(), latents(&task));
    let axis = [0i64];
    let statistics =
        |x: &Tensor| (x.mean_dim(&axis[..], false, Kind::Float), x.std_dim(&axis[..], true, false));
    let (mean, std) = statistics(&at_first);
    task.calibrate(&mean, &std).unwrap();
    let (mean, std) = statistics(&latents(&task));
    let error = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
    assert!(error(&mean, &Tensor::from_slice(&LATENT_MEAN)) < 1e-3);
    assert!(error(&std, &Tensor::from_slice(&LATENT_STD)) < 1e-3);
    let after = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert!(error(&before.0, &after.0) < 1e-3 && error(&before.1, &after.1) < 1e-3);

    let folder = tempfile::tempdir().unwrap();
    write(&task, folder.path());
    let base = TensorSet::open(Network::Vae, &[folder.path().join("Wan2.1_VAE.pth")]).unwrap();
    let file = TensorFile::open(&folder.path().join("Wan-Alpha-VAE.bin")).unwrap();
    let loaded = RgbaVae::new(&base, settings, Beside::default(), 6, Placement::CPU).unwrap();
    loaded.start_from(&file).unwrap();
    let again = loaded.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert!(error(&after.0, &again.0) < 1e-6 && error(&after.1, &again.1) < 1e-6);
    let error = task.calibrate(&mean, &Tensor::zeros([16], FLOAT)).unwrap_err().to_string();
    assert!(error.contains("constant"), "{error}");
}

/// The merged latent is at first the base's own of what its encoder sees; with rendering that is
/// colour over the background, and without it colour as it is.
#[test]
fn a_merge_block_may_begin_by_passing_colour_on() {
    let batch = clips(1, 5, 32);
    let settings =
        RgbaVaeSettings { rank: 2, merge: MergeStart::Colour, ..RgbaVaeSettings::default() };
    let task = rgba_vae(settings, false, Placement::CPU);
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let set = TensorSet::open(Network::Vae, &[folder.path().join("Wan2.1_VAE.pth")]).unwrap();
    let weights = MemorySet::read_all(&set, Kind::Float, Device::Cpu).unwrap();
    let weights =
        wan_alpha_core::weights::Weights::in_memory(weights.into(), Kind::Float, Device::Cpu);
    let encoder = Encoder::load(&weights, &Unwatched).unwrap();
    let own = |frames: &Tensor| {
        encoder.forward(frames, &mut FeatureCache::default(), &Unwatched).unwrap()
    };
    let error = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
    let merged = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let alpha = batch.alpha.expand_as(&batch.colour);
    let seen = own(&hard_render(&batch.colour, &alpha, Corner::WHITE).unwrap());
    assert!(error(&merged, &seen) < 1e-5 * seen.abs().max().double_value(&[]));

    let plain = RgbaVaeSettings { rendering: false, l2: 1.0, ..settings };
    let task = rgba_vae(plain, false, Placement::CPU);
    let merged = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let seen = own(&batch.colour);
    assert!(error(&merged, &seen) < 1e-5 * seen.abs().max().double_value(&[]));
    let losses = task.evaluate(&batch, &Draws::new(3, 1), &Unwatched).unwrap();
    let names: Vec<_> = losses.0.iter().map(|loss| loss.name).collect();
    let expected = ["l1.colour", "l2.colour", "edge.colour", "l1.alpha", "l2.alpha", "edge.alpha"];
    assert_eq!(names, expected);
}

/// In bfloat16 a run computes coarsely, and its parameters and gradients are float32.
#[test]
fn autoencoders_train_with_mixed_precision() {
    fn compare<T: Task>(mut fine: T, mut coarse: T, batch: &T::Batch) {
        let (expected, _) = gradients(&mut fine, batch, &[1.0]);
        let (found, each) = gradients(&mut coarse, batch, &[1.0]);
        let ratio = found.total() / expected.total();
        assert!(ratio != 1.0 && (ratio - 1.0).abs() < 0.02, "{ratio}");
        assert!(each.iter().all(|gradient| gradient.kind() == Kind::Float));
        assert!(coarse.parameters().iter().all(|(_, tensor)| tensor.kind() == Kind::Float));
    }
    let coarse = Placement { kind: Kind::BFloat16, device: Device::Cpu };
    let batch = clips(2, 5, 32);
    let base = |placement| BaseVae::new(&VAE, BaseVaeSettings::default(), None, placement).unwrap();
    compare(base(Placement::CPU), base(coarse), &batch.colour);
    let settings = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let rgba = |placement| rgba_vae(settings, true, placement);
    compare(rgba(Placement::CPU), rgba(coarse), &batch);
}

#[test]
fn a_transformer_and_its_text_encoder_learn_from_nothing() {
    let mut task = whole(true);
    let batch = latents(4);
    let before = task.parameters().get("text.token_embedding.weight").unwrap().copy();
    let held_out = Draws::new(77, 1);
    let at_first = task.evaluate(&batch, &held_out, &Unwatched).unwrap();
    assert_eq!(at_first, task.evaluate(&batch, &held_out, &Unwatched).unwrap());
    train(&mut task, &batch, 1e-2, 60);
    let at_last = task.evaluate(&batch, &held_out, &Unwatched).unwrap();
    println!("{} → {}", at_first.total(), at_last.total());
    assert!(at_last.total() < 0.8 * at_first.total());
    let moved = (task.parameters().get("text.token_embedding.weight").unwrap() - before).abs();
    let moved: Vec<f32> = moved.amax([1], false).try_into().unwrap();
    // Tokens of the batch learn; others only decay.
    assert!(moved[7] > 1e-3 && moved[30] < 0.5 * moved[7], "{moved:?}");
    let wrong = LatentBatch { texts: Texts::Tokens(vec![vec![1]]), ..latents(2) };
    assert!(task.step(&wrong, &held_out, 1.0, &Unwatched).is_err());
}

fn rgba_vae(settings: RgbaVaeSettings, judge: bool, placement: Placement) -> RgbaVae {
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let file = folder.path().join("Wan2.1_VAE.pth");
    let base = TensorSet::open(Network::Vae, &[file]).unwrap();
    let judge = judge.then(|| {
        let config = DitConfig { dim: 24, ffn: 32, ..small_dit() };
        let set = init::dit(&config, 5).unwrap().to(placement.kind, Device::Cpu).unwrap();
        let mut awake = MemorySet::default();
        for name in set.names() {
            let tensor = set.get(name).unwrap();
            let noise = Draws::new(4, 0).normal(name, &tensor.size()).unwrap() * 0.1;
            awake.insert(name, &tensor + noise.to_kind(tensor.kind()));
        }
        let weights =
            wan_alpha_core::weights::Weights::in_memory(awake.into(), placement.kind, Device::Cpu);
        let dit = wan_alpha_core::dit::Dit::load(&weights, config, &Unwatched).unwrap();
        Judge { dit, context: Tensor::zeros([1, 24], (placement.kind, Device::Cpu)) }
    });
    let beside = Beside { vgg: None, judge };
    RgbaVae::new(&base, settings, beside, 6, placement).unwrap()
}

#[test]
fn the_bidirectional_loss_reaches_the_merge_block_with_exact_gradients() {
    let settings = RgbaVaeSettings {
        rank: 2,
        l1: 0.0,
        edge: 0.0,
        bidirectional: 0.1,
        form: Bidirectional::Paper,
        ..RgbaVaeSettings::default()
    };
    let placement = Placement { kind: Kind::Double, device: Device::Cpu };
    let batch = clips(2, 5, 16);
    let name = "middle.block.head.2.weight";
    let find = |task: &RgbaVae| {
        task.step(&batch, &Draws::new(3, 1), 1.0, &Unwatched).unwrap();
        task.parameters().get(name).unwrap().grad().copy()
    };
    let plain = rgba_vae(settings, true, placement);
    let gradient = find(&plain);
    let recomputed =
        find(&rgba_vae(RgbaVaeSettings { recompute: true, ..settings }, true, placement));
    let norm = gradient.norm().double_value(&[]);
    let error = (&recomputed - &gradient).norm().double_value(&[]);
    assert!(norm > 0.0 && error < 1e-12 * norm, "{error:e} of {norm:e}");

    let parameter = plain.parameters().get(name).unwrap();
    let start = parameter.copy();
    for seed in 0..3 {
        let direction = Draws::new(seed, 0).normal("direction", &start.size()).unwrap();
        let direction = direction.to_kind(Kind::Double);
        let at = |h: f64| {
            plain.parameters().set(name, &(&start + &direction * h).detach()).unwrap();
            let losses = plain.evaluate(&batch, &Draws::new(3, 1), &Unwatched).unwrap();
            losses.0.iter().map(|loss| loss.weight * loss.value).sum::<f64>()
        };
        let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
        let exact = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
        println!("{exact:e} {numeric:e}");
        assert!((exact - numeric).abs() < 1e-6 * norm, "{exact:e} by {numeric:e}");
    }
}

#[test]
fn an_rgba_autoencoder_learns_beside_a_frozen_transformer() {
    let batch = clips(2, 5, 32);
    let settings = RgbaVaeSettings { rank: 4, recompute: true, ..RgbaVaeSettings::default() };
    let mut task = rgba_vae(settings, true, Placement::CPU);
    let held_out = Draws::new(77, 1);
    let at_first = task.evaluate(&batch, &held_out, &Unwatched).unwrap();
    let names: Vec<_> = at_first.0.iter().map(|loss| loss.name).collect();
    assert_eq!(
        names,
        ["bidirectional", "l1.hard", "edge.hard", "l1.soft", "edge.soft", "l1.alpha", "edge.alpha"]
    );
    let steps = train(&mut task, &batch, 1e-2, 20);
    assert!(steps.iter().all(|losses| losses.0.len() == 7));
    let at_last = task.evaluate(&batch, &held_out, &Unwatched).unwrap();
    println!("{} → {}", at_first.total(), at_last.total());
    assert!(at_last.total() < 0.9 * at_first.total());
}

#[test]
fn a_run_taken_up_again_goes_on_bit_for_bit() {
    let settings = OptimiserSettings {
        rate: 1e-3,
        ema: Some(0.9),
        clip: Some(1.0),
        ..OptimiserSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let batch = latents(2);
    let mut task = whole(false);
    let mut optimiser = Optimiser::new(settings, task.parameters()).unwrap();
    for step in 1..=3 {
        one_step(&mut task, &mut optimiser, &batch, step);
    }
    let state = optimiser.state(task.parameters()).unwrap();
    write_safetensors(&path, &state, &[("run".to_owned(), "x".to_owned())].into()).unwrap();
    let unbroken: Vec<_> =
        (4..=6).map(|step| one_step(&mut task, &mut optimiser, &batch, step)).collect();

    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.metadata("run"), Some("x"));
    let mut task = whole(false);
    let mut optimiser = Optimiser::new(settings, task.parameters()).unwrap();
    let read = |name: &str| file.entry(name).map(|_| file.read(name)).transpose();
    optimiser.restore(task.parameters(), read).unwrap();
    assert_eq!(optimiser.step(), 3);
    let resumed: Vec<_> =
        (4..=6).map(|step| one_step(&mut task, &mut optimiser, &batch, step)).collect();
    assert_eq!(resumed, unbroken);
    // Another network's state is refused.
    let other = dora(false, Placement::CPU);
    let mut optimiser = Optimiser::new(settings, other.parameters()).unwrap();
    assert!(optimiser.restore(other.parameters(), read).is_err());
}

#[test]
fn a_batch_with_nan_stops_the_step_and_names_the_loss() {
    let task = base_vae(BaseVaeSettings::default());
    let batch = clips(1, 1, 16).colour * f64::NAN;
    let error = task.step(&batch, &Draws::new(1, 1), 1.0, &Unwatched).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("`l1`"), "{error}");
}

#[test]
fn tensors_of_new_networks_are_those_of_the_reference_models() {
    let compare = |network, files: &[PathBuf], set: &MemorySet| {
        let expected = TensorSet::open(network, files).unwrap();
        assert_eq!(set.names().collect::<Vec<_>>(), expected.names().collect::<Vec<_>>());
        for name in set.names() {
            assert_eq!(set.shape(name).unwrap(), expected.shape(name).unwrap(), "{name}");
        }
    };
    let model = data("t2v/model");
    let files =
        ModelFiles::find(std::slice::from_ref(&model), Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    let paths: Vec<_> = files.dit.paths().map(Path::to_owned).collect();
    compare(Network::Dit, &paths, &init::dit(&config, 0).unwrap());
    let text = &files.text;
    let rows = |name: &str| text.shape(name).unwrap().to_vec();
    let config = Umt5Config {
        vocabulary: rows("token_embedding.weight")[0],
        dim: rows("token_embedding.weight")[1],
        attention: rows("blocks.0.attn.q.weight")[0],
        heads: rows("blocks.0.pos_embedding.embedding.weight")[1],
        ffn: rows("blocks.0.ffn.fc1.weight")[0],
        layers: (0..).take_while(|i| text.contains(&format!("blocks.{i}.norm1.weight"))).count(),
    };
    let paths: Vec<_> = text.paths().map(Path::to_owned).collect();
    compare(Network::Umt5, &paths, &init::umt5(&config, 0).unwrap());
    let vae = [model.join("Wan2.1_VAE.pth")];
    let set = TensorSet::open(Network::Vae, &vae).unwrap();
    let dim = set.shape("encoder.conv1.weight").unwrap()[0];
    compare(Network::Vae, &vae, &init::vae(&VaeConfig { dim }, 0).unwrap());
}

#[test]
fn what_an_rgba_run_leaves_is_what_this_program_loads() {
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let settings = RgbaVaeSettings { rank: 3, ..RgbaVaeSettings::default() };
    let mut task = rgba_vae(settings, false, Placement::CPU);
    wake(&mut task);
    write(&task, folder.path());

    let loras = TensorFile::open(&folder.path().join("decoder.bin")).unwrap();
    let released = TensorFile::open(&data("t2v/model/decoder.bin")).unwrap();
    assert_eq!(loras.names().collect::<Vec<_>>(), released.names().collect::<Vec<_>>());

    let paths = [folder.path().to_owned()];
    let batch = clips(1, 5, 32);
    let latent = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let (colour, alpha) = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    let _guard = tch::no_grad_guard();
    let files = EncoderFiles::find(&paths).unwrap();
    let encoder =
        wan_alpha_core::vae::RgbaEncoder::load(&files, Kind::Float, Device::Cpu, &Unwatched);
    let rgba = Tensor::cat(&[&batch.colour, &batch.alpha], -1).squeeze_dim(0) * 0.5 + 0.5;
    let encoded =
        encoder.unwrap().encode(&rgba, Corner::WHITE, &mut Default::default(), &Unwatched);
    let encoded = encoded.unwrap();
    let error = |x: &Tensor, y: &Tensor| {
        (x - y).abs().max().double_value(&[]) / y.abs().max().double_value(&[])
    };
    let expected = latent.permute([0, 4, 1, 2, 3]).squeeze_dim(0);
    assert!(error(&encoded.merged, &expected) < 1e-5);
    let decoders = Decoders::find(&paths).unwrap();
    let decoder = RgbaDecoder::load(&decoders, Device::Cpu, &Unwatched).unwrap();
    let latent = encoded.normalised().unwrap();
    let frames = decoder.decode(&latent, &mut Default::default(), &Unwatched).unwrap();
    assert!(error(&frames.colour, &colour.squeeze_dim(0).clamp(-1.0, 1.0)) < 1e-4);
    assert!(error(&frames.alpha, &alpha.squeeze_dim(0).clamp(-1.0, 1.0)) < 1e-4);

    // The checkpoint is where another run can begin.
    let other = rgba_vae(settings, false, Placement::CPU);
    let checkpoint = TensorFile::open(&folder.path().join("Wan-Alpha-VAE.bin")).unwrap();
    other.start_from(&checkpoint).unwrap();
    let again = other.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert_eq!(again, task.encode(&batch, Corner::WHITE, &Unwatched).unwrap());
}

#[test]
fn what_a_transformer_run_leaves_is_what_this_program_loads() {
    let folder = tempfile::tempdir().unwrap();
    let batch = contexts(1);
    let Texts::Contexts(texts) = &batch.texts else { panic!("contexts") };
    let velocity = |dit: &wan_alpha_core::dit::Dit| {
        let _guard = tch::no_grad_guard();
        let rope = dit.rope([2, 4, 6]).unwrap();
        let mut prompt = dit.prompt(&texts[0]).unwrap();
        dit.forward(&batch.latents, &[400.0], &mut prompt, &rope, &Unwatched).unwrap()
    };
    let error = |x: &Tensor, y: &Tensor| {
        (x - y).abs().max().double_value(&[]) / y.abs().max().double_value(&[])
    };
    let load = |files: &ModelFiles| {
        let mut config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
        config.text_length = 8;
        let weights = wan_alpha_core::weights::Weights::new(
            std::sync::Arc::clone(&files.dit),
            files.adapters.clone(),
            Kind::Float,
            Device::Cpu,
        );
        wan_alpha_core::dit::Dit::load(&weights, config, &Unwatched).unwrap()
    };

    // A DoRA in the place of the released one.
    let task = dora(false, Placement::CPU);
    write(&task, folder.path());
    let model = data("t2v/model");
    let ours = folder.path().join("wan-alpha-dora.safetensors");
    let released = TensorFile::open(&model.join("wan-alpha-dora.safetensors")).unwrap();
    let names = |file: &TensorFile| file.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&TensorFile::open(&ours).unwrap()), names(&released));
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&model)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            !path.to_string_lossy().contains("lora")
                && !path.ends_with("wan-alpha-dora.safetensors")
        })
        .collect();
    paths.push(ours.clone());
    let files = ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
    assert!(error(&velocity(&load(&files)), &velocity(&task.network().unwrap())) < 1e-4);
    let other = dora(false, Placement::CPU);
    other.start_from(&TensorFile::open(&ours).unwrap()).unwrap();
    assert_eq!(velocity(&other.network().unwrap()), velocity(&task.network().unwrap()));

    // A whole transformer with its text encoder, beside other parts.
    let task = whole(false);
    write(&task, folder.path());
    std::fs::remove_file(&ours).unwrap();
    let mut paths = vec![folder.path().to_owned()];
    paths.extend(["Wan2.1_VAE.pth", "decoder.bin", "google"].map(|name| model.join(name)));
    let files = ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
    assert_eq!(velocity(&load(&files)), velocity(&task.network().unwrap()));
    let weights =
        wan_alpha_core::weights::Weights::new(files.text, vec![], Kind::Float, Device::Cpu);
    let text = wan_alpha_core::text::Umt5::new(weights).unwrap();
    let tokens = [4i64, 9, 1];
    let found = text.encode(&[&tokens], &Unwatched).unwrap();
    let expected = task.text().unwrap().encode(&[&tokens], &Unwatched).unwrap();
    assert_eq!(found, expected);
}
