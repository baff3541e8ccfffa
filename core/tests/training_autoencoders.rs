//! Trainings of autoencoders, of seconds: they learn, their latents are brought to scale, and what
//! they leave is what this program loads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod small;

use small::{FLOAT, VAE, base_vae, clips, data, gradients, rgba_vae, train, wake, write};
use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::train::{
    AuxiliaryNetworks, BaseVae, BaseVaeSettings, Bidirectional, ComputeOptions, HardAlpha, Losses,
    MergeStart, RgbaClips, RgbaVae, RgbaVaeSettings, StepRng, Task,
};
use wan_alpha_core::vae::{
    Corner, Encoder, FeatureCache, LATENT_MEAN, LATENT_STD, RgbaDecoder, hard_render,
};
use wan_alpha_core::weights::{Decoders, EncoderFiles, MemorySet, Network, TensorFile, TensorSet};
use wan_alpha_core::{Error, Unwatched};

#[test]
fn a_base_autoencoder_learns_and_its_latents_are_brought_to_the_released_scale() {
    let batch = clips(2, 5, 32).color;
    let mut task = base_vae(BaseVaeSettings::default());
    let losses = train(&mut task, &batch, 3e-3, 12);
    let (first, last) = (&losses[0], &losses[11]);
    println!("{first:?}\n{last:?}");
    assert!(last.get("l1").unwrap() < 0.7 * first.get("l1").unwrap());
    assert_eq!(last.0.len(), 4);

    let still = batch.narrow(1, 0, 1);
    assert!(task.step(&still, &StepRng::new(1, 99), 1.0, &Unwatched).is_ok());

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
    let mut task = rgba_vae(settings, false, ComputeOptions::cpu());
    assert_eq!(task.export().unwrap().len(), 2);
    let batch = clips(2, 5, 32);
    // LoRAs that count, and a merge block that has learned something.
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
    let loaded =
        RgbaVae::new(&base, settings, AuxiliaryNetworks::default(), 6, ComputeOptions::cpu())
            .unwrap();
    loaded.start_from(&file).unwrap();
    let again = loaded.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert!(error(&after.0, &again.0) < 1e-6 && error(&after.1, &again.1) < 1e-6);
    let error = task.calibrate(&mean, &Tensor::zeros([16], FLOAT)).unwrap_err().to_string();
    assert!(error.contains("constant"), "{error}");
}

/// Latents become what a map makes of them, and what is decoded stays.
#[test]
fn merged_latents_are_mapped_without_a_change_of_what_is_decoded() {
    let settings = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let mut task = rgba_vae(settings, false, ComputeOptions::cpu());
    let batch = clips(2, 5, 32);
    train(&mut task, &batch, 1e-2, 4);
    let before = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    let latents = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let rng = StepRng::new(4, 1);
    let matrix =
        Tensor::eye(16, FLOAT) + rng.normal(Device::cpu(), "matrix", &[16, 16]).unwrap() * 0.1;
    let offset = rng.normal(Device::cpu(), "offset", &[16]).unwrap();
    task.map_latents(&matrix, &offset).unwrap();
    let error = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
    let wanted = latents.matmul(&matrix.tr()) + &offset;
    let mapped = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert!(error(&mapped, &wanted) < 1e-4, "{}", error(&mapped, &wanted));
    let after = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert!(error(&before.0, &after.0) < 1e-3 && error(&before.1, &after.1) < 1e-3);
    assert_eq!(task.export().unwrap().len(), 3);

    let error = task.map_latents(&Tensor::zeros([16, 16], FLOAT), &offset).unwrap_err();
    assert!(error.to_string().contains("two channels"), "{error}");
    let unharmed = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert_eq!(unharmed.0, after.0);
}

/// The merged latent is at first the base's own of what its encoder sees; with rendering that is
/// color over the background, and without it color as it is.
#[test]
fn a_merge_block_may_begin_by_passing_color_on() {
    let batch = clips(1, 5, 32);
    let settings =
        RgbaVaeSettings { rank: 2, merge: MergeStart::Color, ..RgbaVaeSettings::default() };
    let task = rgba_vae(settings, false, ComputeOptions::cpu());
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let set = TensorSet::open(Network::Vae, &[folder.path().join("Wan2.1_VAE.pth")]).unwrap();
    let weights = MemorySet::read_all(&set, Kind::Float, Device::cpu()).unwrap();
    let weights =
        wan_alpha_core::weights::Weights::in_memory(weights.into(), Kind::Float, Device::cpu());
    let encoder = Encoder::load(&weights, &Unwatched).unwrap();
    let own = |frames: &Tensor| {
        encoder.forward(frames, &mut FeatureCache::default(), &Unwatched).unwrap()
    };
    let error = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
    let merged = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let alpha = batch.alpha.expand_as(&batch.color);
    let seen = own(&hard_render(&batch.color, &alpha, Corner::WHITE).unwrap());
    assert!(error(&merged, &seen) < 1e-5 * seen.abs().max().double_value(&[]));

    let plain = RgbaVaeSettings { rendering: false, l2: 1.0, ..settings };
    let task = rgba_vae(plain, false, ComputeOptions::cpu());
    let merged = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let seen = own(&batch.color);
    assert!(error(&merged, &seen) < 1e-5 * seen.abs().max().double_value(&[]));
    let losses = task.evaluate(&batch, &StepRng::new(3, 1), &Unwatched).unwrap();
    let names: Vec<_> = losses.0.iter().map(|loss| loss.name).collect();
    let expected = ["l1.colour", "l2.colour", "edge.colour", "l1.alpha", "l2.alpha", "edge.alpha"];
    assert_eq!(names, expected);
}

/// Latents stay, and with them what a transformer has learned of them; what is left is whole.
#[test]
fn where_the_merge_block_is_frozen_the_decoders_alone_learn() {
    let batch = clips(1, 5, 32);
    let folder = tempfile::tempdir().unwrap();
    let settings = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let mut before = rgba_vae(settings, false, ComputeOptions::cpu());
    wake(&mut before);
    write(&before, folder.path());
    let checkpoint = TensorFile::open(&folder.path().join("Wan-Alpha-VAE.bin")).unwrap();

    let frozen = RgbaVaeSettings { freeze_merge: true, ..settings };
    let mut task = rgba_vae(frozen, true, ComputeOptions::cpu());
    task.start_from(&checkpoint).unwrap();
    assert!(task.parameters().iter().all(|(name, _)| name.starts_with("vae_")));
    let latent = |task: &RgbaVae| task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let frames = |task: &RgbaVae| task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert_eq!((latent(&task), frames(&task)), (latent(&before), frames(&before)));
    let steps = train(&mut task, &batch, 1e-2, 10);
    assert_eq!(latent(&task), latent(&before));
    assert!(steps[9].get("l1.alpha").unwrap() < 0.9 * steps[0].get("l1.alpha").unwrap());

    let folder = tempfile::tempdir().unwrap();
    write(&task, folder.path());
    let left = TensorFile::open(&folder.path().join("Wan-Alpha-VAE.bin")).unwrap();
    assert_eq!(left.names().collect::<Vec<_>>(), checkpoint.names().collect::<Vec<_>>());
    for name in left.names() {
        let same = left.read(Device::cpu(), name).unwrap()
            == checkpoint.read(Device::cpu(), name).unwrap();
        assert_eq!(same, name.starts_with("middle."), "{name}");
    }
}

/// Of an empty clip no color is seen. By its own alpha, which is not quite 0, what is found has one
/// all the same.
#[test]
fn color_may_be_compared_only_where_the_true_clip_has_one() {
    let batch = clips(1, 5, 32);
    let empty = RgbaClips { alpha: batch.alpha.full_like(-1.0), color: batch.color };
    let hard = |hard| {
        let settings = RgbaVaeSettings { rank: 2, hard, ..RgbaVaeSettings::default() };
        let task = rgba_vae(settings, false, ComputeOptions::cpu());
        let losses = task.evaluate(&empty, &StepRng::new(3, 1), &Unwatched).unwrap();
        losses.get("l1.hard").unwrap()
    };
    assert_eq!(hard(HardAlpha::Truth), 0.0);
    assert!(hard(HardAlpha::Own) > 0.1);
}

/// Decoders learn from latents with noise, and are measured without; where none is asked for, a step
/// sees what is measured.
#[test]
fn noise_on_latents_is_for_learning_alone_and_losses_of_the_strides_are_told_apart() {
    let batch = clips(1, 5, 32);
    let plain = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let of = |settings| {
        let mut task = rgba_vae(settings, false, ComputeOptions::cpu());
        wake(&mut task);
        let rng = StepRng::new(3, 1);
        let measured = task.evaluate(&batch, &rng, &Unwatched).unwrap();
        (measured, task.step(&batch, &rng, 1.0, &Unwatched).unwrap())
    };
    let (measured, learned) = of(plain);
    assert!((measured.total() - learned.total()).abs() < 1e-6, "{measured:?} {learned:?}");
    assert_eq!(measured.get("phases.alpha"), None);
    let (same, noisy) = of(RgbaVaeSettings { latent_noise: 0.5, ..plain });
    assert_eq!(same, measured);
    let alpha = |losses: &Losses| losses.get("l1.alpha").unwrap();
    assert_ne!(alpha(&noisy), alpha(&measured));
    let (strides, _) = of(RgbaVaeSettings { phases: 1.0, borders: 1.0, ..plain });
    for name in ["phases.hard", "phases.soft", "phases.alpha", "borders.soft", "borders.alpha"] {
        assert!(strides.get(name).unwrap() > 0.0, "{name}");
    }
    assert!(strides.total() > measured.total());
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
    let coarse = ComputeOptions { kind: Kind::BFloat16, device: Device::cpu() };
    let batch = clips(2, 5, 32);
    let base = |compute| BaseVae::new(&VAE, BaseVaeSettings::default(), None, compute).unwrap();
    compare(base(ComputeOptions::cpu()), base(coarse), &batch.color);
    let settings = RgbaVaeSettings { rank: 2, ..RgbaVaeSettings::default() };
    let rgba = |compute| rgba_vae(settings, true, compute);
    compare(rgba(ComputeOptions::cpu()), rgba(coarse), &batch);
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
    let compute = ComputeOptions { kind: Kind::Double, device: Device::cpu() };
    let batch = clips(2, 5, 16);
    let name = "middle.block.head.2.weight";
    let find = |task: &RgbaVae| {
        task.step(&batch, &StepRng::new(3, 1), 1.0, &Unwatched).unwrap();
        task.parameters().get(name).unwrap().grad().copy()
    };
    let plain = rgba_vae(settings, true, compute);
    let gradient = find(&plain);
    let recomputed =
        find(&rgba_vae(RgbaVaeSettings { recompute: true, ..settings }, true, compute));
    let norm = gradient.norm().double_value(&[]);
    let error = (&recomputed - &gradient).norm().double_value(&[]);
    assert!(norm > 0.0 && error < 1e-12 * norm, "{error:e} of {norm:e}");

    let parameter = plain.parameters().get(name).unwrap();
    let start = parameter.copy();
    for seed in 0..3 {
        let direction =
            StepRng::new(seed, 0).normal(Device::cpu(), "direction", &start.size()).unwrap();
        let direction = direction.to_kind(Kind::Double);
        let at = |h: f64| {
            plain.parameters().set(name, &(&start + &direction * h).detach()).unwrap();
            let losses = plain.evaluate(&batch, &StepRng::new(3, 1), &Unwatched).unwrap();
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
    let mut task = rgba_vae(settings, true, ComputeOptions::cpu());
    let held_out = StepRng::new(77, 1);
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
fn a_batch_with_nan_stops_the_step_and_names_the_loss() {
    let task = base_vae(BaseVaeSettings::default());
    let batch = clips(1, 1, 16).color * f64::NAN;
    let error = task.step(&batch, &StepRng::new(1, 1), 1.0, &Unwatched).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("`l1`"), "{error}");
}

#[test]
fn what_an_rgba_run_leaves_is_what_this_program_loads() {
    let folder = tempfile::tempdir().unwrap();
    write(&base_vae(BaseVaeSettings::default()), folder.path());
    let settings = RgbaVaeSettings { rank: 3, ..RgbaVaeSettings::default() };
    let mut task = rgba_vae(settings, false, ComputeOptions::cpu());
    wake(&mut task);
    write(&task, folder.path());

    let loras = TensorFile::open(&folder.path().join("decoder.bin")).unwrap();
    let released = TensorFile::open(&data("t2v/model/decoder.bin")).unwrap();
    assert_eq!(loras.names().collect::<Vec<_>>(), released.names().collect::<Vec<_>>());

    let paths = [folder.path().to_owned()];
    let batch = clips(1, 5, 32);
    let latent = task.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    let (color, alpha) = task.reconstruct(&batch, Corner::WHITE, &Unwatched).unwrap();
    let _guard = tch::no_grad_guard();
    let files = EncoderFiles::find(&paths).unwrap();
    let encoder =
        wan_alpha_core::vae::RgbaEncoder::load(&files, Kind::Float, Device::cpu(), &Unwatched);
    let rgba = Tensor::cat(&[&batch.color, &batch.alpha], -1).squeeze_dim(0) * 0.5 + 0.5;
    let encoded =
        encoder.unwrap().encode(&rgba, Corner::WHITE, &mut Default::default(), &Unwatched);
    let encoded = encoded.unwrap();
    let error = |x: &Tensor, y: &Tensor| {
        (x - y).abs().max().double_value(&[]) / y.abs().max().double_value(&[])
    };
    let expected = latent.permute([0, 4, 1, 2, 3]).squeeze_dim(0);
    assert!(error(&encoded.merged, &expected) < 1e-5);
    let decoders = Decoders::find(&paths).unwrap();
    let decoder = RgbaDecoder::load(&decoders, Device::cpu(), &Unwatched).unwrap();
    let latent = encoded.normalized().unwrap();
    let frames = decoder.decode(&latent, &mut Default::default(), &Unwatched).unwrap();
    assert!(error(&frames.color, &color.squeeze_dim(0).clamp(-1.0, 1.0)) < 1e-4);
    assert!(error(&frames.alpha, &alpha.squeeze_dim(0).clamp(-1.0, 1.0)) < 1e-4);

    // The checkpoint is where another run can begin.
    let other = rgba_vae(settings, false, ComputeOptions::cpu());
    let checkpoint = TensorFile::open(&folder.path().join("Wan-Alpha-VAE.bin")).unwrap();
    other.start_from(&checkpoint).unwrap();
    let again = other.encode(&batch, Corner::WHITE, &Unwatched).unwrap();
    assert_eq!(again, task.encode(&batch, Corner::WHITE, &Unwatched).unwrap());
}
