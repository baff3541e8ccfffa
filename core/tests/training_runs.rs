//! Trainings of seconds: losses fall, gradients add up, a run taken up again goes on as it would
//! have, and what a run leaves is what this program loads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod small;

use std::path::{Path, PathBuf};

use small::{contexts, data, dora, gradients, latents, one_step, same, train, whole, write};
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    ComputeOptions, LatentBatch, Optimizer, OptimizerSettings, StepRng, Task, Texts, Umt5Config,
    VaeConfig, init, write_safetensors,
};
use wan_alpha_core::weights::{MemorySet, ModelFiles, Network, Strengths, TensorFile, TensorSet};

#[test]
fn recomputed_gradients_are_the_plain_ones() {
    let (mut plain, mut again) = (whole(false), whole(true));
    let batch = latents(2);
    let (losses, expected) = gradients(&mut plain, &batch, &[1.0]);
    let (others, found) = gradients(&mut again, &batch, &[1.0]);
    assert_eq!(losses, others);
    same(&plain, &found, &expected, 1e-6);

    let (mut plain, mut again) =
        (dora(false, ComputeOptions::cpu()), dora(true, ComputeOptions::cpu()));
    let batch = contexts(2);
    let (losses, expected) = gradients(&mut plain, &batch, &[1.0]);
    let (others, found) = gradients(&mut again, &batch, &[1.0]);
    assert_eq!(losses, others);
    same(&plain, &found, &expected, 1e-6);
    // A run in bfloat16 computes coarsely and keeps its parameters in float32.
    let compute = ComputeOptions { kind: Kind::BFloat16, device: Device::cpu() };
    let (coarse, found) = gradients(&mut dora(true, compute), &batch, &[1.0]);
    let ratio = coarse.total() / losses.total();
    assert!(ratio != 1.0 && (ratio - 1.0).abs() < 0.02, "{ratio}");
    assert!(found.iter().all(|gradient| gradient.kind() == Kind::Float));
}

#[test]
fn batches_of_one_step_add_up() {
    let mut task = dora(false, ComputeOptions::cpu());
    let batch = contexts(1);
    let (_, once) = gradients(&mut task, &batch, &[1.0]);
    let (_, twice) = gradients(&mut task, &batch, &[0.25, 0.75]);
    same(&task, &twice, &once, 1e-5);
}

#[test]
fn a_transformer_and_its_text_encoder_learn_from_nothing() {
    let mut task = whole(true);
    let batch = latents(4);
    let before = task.parameters().get("text.token_embedding.weight").unwrap().copy();
    let held_out = StepRng::new(77, 1);
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

#[test]
fn a_run_taken_up_again_goes_on_bit_for_bit() {
    let settings = OptimizerSettings {
        rate: 1e-3,
        ema: Some(0.9),
        clip: Some(1.0),
        ..OptimizerSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let batch = latents(2);
    let mut task = whole(false);
    let mut optimizer = Optimizer::new(settings, task.parameters()).unwrap();
    for step in 1..=3 {
        one_step(&mut task, &mut optimizer, &batch, step);
    }
    let state = optimizer.state(task.parameters()).unwrap();
    write_safetensors(&path, &state, &[("run".to_owned(), "x".to_owned())].into()).unwrap();
    let unbroken: Vec<_> =
        (4..=6).map(|step| one_step(&mut task, &mut optimizer, &batch, step)).collect();

    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.metadata("run"), Some("x"));
    let mut task = whole(false);
    let mut optimizer = Optimizer::new(settings, task.parameters()).unwrap();
    let read = |name: &str| file.entry(name).map(|_| file.read(Device::cpu(), name)).transpose();
    optimizer.restore(task.parameters(), read).unwrap();
    assert_eq!(optimizer.step(), 3);
    let resumed: Vec<_> =
        (4..=6).map(|step| one_step(&mut task, &mut optimizer, &batch, step)).collect();
    assert_eq!(resumed, unbroken);
    // Another network's state is refused.
    let other = dora(false, ComputeOptions::cpu());
    let mut optimizer = Optimizer::new(settings, other.parameters()).unwrap();
    assert!(optimizer.restore(other.parameters(), read).is_err());
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
    compare(Network::Dit, &paths, &init::dit(Device::cpu(), &config, 0).unwrap());
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
    compare(Network::Umt5, &paths, &init::umt5(Device::cpu(), &config, 0).unwrap());
    let vae = [model.join("Wan2.1_VAE.pth")];
    let set = TensorSet::open(Network::Vae, &vae).unwrap();
    let dim = set.shape("encoder.conv1.weight").unwrap()[0];
    compare(Network::Vae, &vae, &init::vae(Device::cpu(), &VaeConfig { dim }, 0).unwrap());
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
            Device::cpu(),
        );
        wan_alpha_core::dit::Dit::load(&weights, config, &Unwatched).unwrap()
    };

    // A DoRA in the place of the released one.
    let task = dora(false, ComputeOptions::cpu());
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
    let other = dora(false, ComputeOptions::cpu());
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
        wan_alpha_core::weights::Weights::new(files.text, vec![], Kind::Float, Device::cpu());
    let text = wan_alpha_core::text::Umt5::new(weights).unwrap();
    let tokens = [4i64, 9, 1];
    let found = text.encode(&[&tokens], &Unwatched).unwrap();
    let expected = task.text().unwrap().encode(&[&tokens], &Unwatched).unwrap();
    assert_eq!(found, expected);
}
