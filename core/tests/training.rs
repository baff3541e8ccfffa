//! Losses against what the authors' code computes (`tests/data/training`), and gradients against
//! finite differences in float64.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::linear::Linear;
use wan_alpha_core::noise::shift_mean_batch;
use wan_alpha_core::train::losses::{self, bidirectional};
use wan_alpha_core::train::{
    Bidirectional, Flow, TimeRounding, Vgg, region_mask, write_safetensors,
};
use wan_alpha_core::vae::{Corner, hard_render, soft_render};
use wan_alpha_core::weights::{LowRank, MemorySet, Network, TensorFile, TensorSet, Weights};

const DOUBLE: (Kind, tch::Device) = (Kind::Double, tch::Device::Cpu);

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// The largest difference beside the largest number.
#[track_caller]
fn close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{name}");
    let max = |x: Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
    let error = max(found - expected) / max(expected.shallow_clone());
    println!("{name}: {error:.1e}");
    assert!(error <= tolerance, "{name}: relative error {error:e}");
}

/// What the authors' code computes in the training case.
struct Golden {
    file: TensorFile,
    settings: serde_json::Value,
}

impl Golden {
    fn new() -> Self {
        let text = std::fs::read_to_string(data("training/training-golden.json")).unwrap();
        Self {
            file: TensorFile::open(&data("training/training-golden.safetensors")).unwrap(),
            settings: serde_json::from_str(&text).unwrap(),
        }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.read(Device::cpu(), name).unwrap()
    }

    /// `[1, c, t, h, w]` → `[1, t, h, w, c]`
    fn clip(&self, name: &str) -> Tensor {
        self.tensor(name).permute([0, 2, 3, 4, 1]).contiguous()
    }

    fn corner(&self, which: &str) -> Corner {
        let index = self.settings["colour"][which].as_u64().unwrap() as usize;
        Corner::all().nth(index).unwrap()
    }

    #[track_caller]
    fn loss(&self, name: &str, found: &Tensor) {
        let expected = self.tensor(&format!("loss.{name}")).squeeze();
        close(name, found, &expected, 1e-5);
        let written = self.settings["losses"][name].as_f64().unwrap();
        assert!((found.double_value(&[]) / written - 1.0).abs() < 1e-5, "{name}");
    }
}

#[test]
fn reconstruction_losses_of_three_modalities() {
    let golden = Golden::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vgg16.safetensors");
    let weights: Vec<_> = golden
        .file
        .names()
        .filter_map(|name| {
            Some((name.strip_prefix("weights.vgg.")?.to_owned(), golden.tensor(name)))
        })
        .collect();
    assert_eq!(weights.len(), 8);
    write_safetensors(&path, &weights, &Default::default()).unwrap();
    let vgg = Vgg::open(&path, Kind::Float, Device::cpu()).unwrap();

    let (color, alpha) = (golden.clip("video.fgr"), golden.clip("video.pha"));
    let (y_color, y_alpha) = (golden.clip("recon.fgr"), golden.clip("recon.pha"));
    let seen = hard_render(&color, &alpha, golden.corner("encode")).unwrap();
    assert_eq!(seen, golden.clip("render.encode"));
    let (hard, soft) = (golden.corner("hard"), golden.corner("soft"));
    let pairs = [
        ("hard", hard_render(&y_color, &y_alpha, hard), hard_render(&color, &alpha, hard)),
        ("soft", soft_render(&y_color, &y_alpha, soft), soft_render(&color, &alpha, soft)),
        ("alpha", Ok(y_alpha), Ok(alpha)),
    ];
    for (modality, x, y) in pairs {
        let (x, y) = (x.unwrap(), y.unwrap());
        golden.loss(&format!("l1.{modality}"), &losses::l1(&x, &y).unwrap());
        golden.loss(&format!("edge.{modality}"), &losses::edge(&x, &y).unwrap());
        golden.loss(&format!("perceptual.{modality}"), &vgg.loss(&x, &y).unwrap());
    }
}

#[test]
fn the_region_mask_is_exact() {
    let golden = Golden::new();
    let alpha = golden.clip("video.pha").select(-1, 0);
    let mask = region_mask(&alpha).unwrap();
    assert_eq!(mask, golden.tensor("region.mask"));
    let values: Vec<f32> = mask.view([-1]).try_into().unwrap();
    assert!([-1.0, 0.0, 1.0].iter().all(|value| values.contains(value)), "{values:?}");
}

#[test]
fn flow_matching_as_released() {
    let golden = Golden::new();
    let flow = Flow::new(TimeRounding::None).unwrap();
    close("sigmas", &Tensor::from_slice(flow.sigmas()), &golden.tensor("flow.sigmas"), 1e-7);
    let timesteps = Tensor::from_slice(flow.timesteps());
    close("timesteps", &timesteps, &golden.tensor("flow.timesteps"), 1e-7);
    close("weights", &Tensor::from_slice(flow.weights()), &golden.tensor("flow.weights"), 1e-6);
    let time = flow.at(golden.settings["flow.step"].as_u64().unwrap() as usize);
    let weight = Tensor::from_slice(&[time.weight as f32]);
    close("weight", &weight, &golden.tensor("flow.weight"), 1e-5);

    let (latent, noise) = (golden.tensor("latent.merged"), golden.tensor("flow.noise"));
    let noisy = time.noisy(&latent, &noise).unwrap();
    close("noisy", &noisy, &golden.tensor("flow.noisy"), 1e-6);
    let target = &noise - &latent;
    close("target", &target, &golden.tensor("flow.target"), 1e-6);
    let mask = golden.tensor("region.mask");
    let prediction = golden.tensor("flow.prediction");
    let loss = |form| bidirectional(&prediction, &target, &mask, time.weight, form).unwrap();
    golden.loss("bidirectional", &loss(Bidirectional::Released));

    // The paper's equation 3 and its bounded form, written out.
    let error = (&prediction - &target).square() * time.weight;
    let mask = mask.unsqueeze(1);
    close("paper", &loss(Bidirectional::Paper), &(&error * &mask).mean(Kind::Float), 1e-6);
    let clamped = error.clamp(0.0, 1.0) * mask;
    close("clamped", &loss(Bidirectional::Clamped), &clamped.mean(Kind::Float), 1e-6);

    let masks = golden.tensor("mean_shift.mask").unsqueeze(0);
    let raised = shift_mean_batch(&noise, &masks, 0.05).unwrap();
    close("raised", &raised, &golden.tensor("mean_shift.noise"), 1e-7);
    let target = raised - latent;
    golden.loss("dit", &losses::velocity(&prediction, &target, &[time.weight]).unwrap());
}

#[test]
fn a_batch_counts_each_clip_with_the_weight_of_its_time() {
    let (x, y) = (Tensor::randn([2, 16, 1, 2, 2], DOUBLE), Tensor::randn([2, 16, 1, 2, 2], DOUBLE));
    let mse = |i: i64| (x.get(i) - y.get(i)).square().mean(Kind::Double).double_value(&[]);
    let found = losses::velocity(&x, &y, &[0.5, 2.0]).unwrap().double_value(&[]);
    assert!((found - (0.5 * mse(0) + 2.0 * mse(1)) / 2.0).abs() < 1e-12);
}

#[test]
fn the_divergence_from_the_prior_is_that_of_two_normal_distributions() {
    let (mean, std) = (Tensor::randn([16], DOUBLE), Tensor::rand([16], DOUBLE) + 0.5);
    let same = Tensor::cat(&[&mean, &(std.log() * 2.0)], 0).view([1, 1, 1, 1, 32]);
    let at = |moments: &Tensor| losses::divergence(moments, &mean, &std).unwrap().double_value(&[]);
    assert!(at(&same).abs() < 1e-12);
    // KL(N(m + d, s²) ‖ N(m, s²)) = d²/2s²; KL(N(m, (ks)²) ‖ N(m, s²)) = (k² − 1)/2 − ln k.
    let moved = Tensor::cat(&[&mean + 0.3, std.log() * 2.0], 0).view([1, 1, 1, 1, 32]);
    let expected = (std.square().reciprocal() * 0.045).mean(Kind::Double).double_value(&[]);
    assert!((at(&moved) - expected).abs() < 1e-12);
    let wider = Tensor::cat(&[mean.shallow_clone(), (&std * 2.0).log() * 2.0], 0);
    let expected = 1.5 - 2f64.ln();
    assert!((at(&wider.view([1, 1, 1, 1, 32])) - expected).abs() < 1e-12);
}

/// Compares the gradient of `f` at `x` along a few directions with finite differences.
#[track_caller]
fn check_gradient(name: &str, x: &Tensor, f: &dyn Fn(&Tensor) -> Tensor) {
    let leaf = x.detach().set_requires_grad(true);
    f(&leaf).backward();
    check_along(name, x, &leaf.grad(), f);
}

#[track_caller]
fn check_along(name: &str, x: &Tensor, gradient: &Tensor, f: &dyn Fn(&Tensor) -> Tensor) {
    let _guard = tch::no_grad_guard();
    tch::manual_seed(5);
    for _ in 0..3 {
        let direction = Tensor::randn(x.size(), DOUBLE);
        let direction = &direction / direction.norm();
        let h = 1e-5;
        let at = |h: f64| f(&(x + &direction * h)).double_value(&[]);
        let numeric = (at(h) - at(-h)) / (2.0 * h);
        let exact = (gradient * &direction).sum(Kind::Double).double_value(&[]);
        let scale = gradient.norm().double_value(&[]) / (x.numel() as f64).sqrt();
        println!("{name}: {exact:e} {numeric:e}");
        assert!(scale > 0.0, "{name}: no gradient at all");
        assert!((exact - numeric).abs() < 1e-5 * scale, "{name}: {exact:e} by {numeric:e}");
    }
}

/// A small transformer of the reference data in float64.
fn transformer() -> (Dit, i64) {
    let paths = |name: &str| data("t2v-euler/model").join(name);
    let files: Vec<_> = (1..=5)
        .map(|i| paths(&format!("diffusion_pytorch_model-0000{i}-of-00005.safetensors")))
        .collect();
    let set = TensorSet::open(Network::Dit, &files).unwrap();
    let mut config = DitConfig::infer(&set, Some(&paths("config.json"))).unwrap();
    config.text_length = 8;
    let memory = MemorySet::read_all(&set, Kind::Double, Device::cpu()).unwrap();
    let weights = Weights::in_memory(Arc::new(memory), Kind::Double, Device::cpu());
    let width = config.text_dim;
    (Dit::load(&weights, config, &Unwatched).unwrap(), width)
}

#[test]
fn the_bidirectional_loss_sends_exact_gradients_through_the_noisy_latent_and_the_target() {
    let (dit, width) = transformer();
    tch::manual_seed(3);
    let latent = Tensor::randn([2, 16, 2, 4, 6], DOUBLE);
    let noise = Tensor::randn([2, 16, 2, 4, 6], DOUBLE);
    let context = Tensor::randn([3, width], DOUBLE);
    let mask =
        Tensor::randint_low(-1, 2, [2, 2, 2, 3], DOUBLE).repeat_interleave_self_int(2, 2, None);
    let mask = mask.repeat_interleave_self_int(2, 3, None);
    let time = Flow::new(TimeRounding::None).unwrap().at(700);
    let rope = dit.rope([2, 4, 6]).unwrap();
    let velocity = |x: &Tensor| {
        let mut prompt = dit.prompt(&context).unwrap();
        let noisy = time.noisy(x, &noise).unwrap();
        dit.forward(&noisy, &[time.timestep; 2], &mut prompt, &rope, &Unwatched).unwrap()
    };
    // Small enough that no number comes near the clamp at 1.
    let weight = 1e-3;
    for form in [Bidirectional::Released, Bidirectional::Paper, Bidirectional::Clamped] {
        let loss =
            |v: &Tensor, target: &Tensor| bidirectional(v, target, &mask, weight, form).unwrap();
        let name = format!("{form:?}");
        let target = &noise - &latent;
        let v = velocity(&latent).detach();
        let largest = ((&v - &target).square() * weight).max().double_value(&[]);
        assert!(largest < 0.9, "{largest}");
        check_gradient(&format!("{name} x_t"), &latent, &|x| loss(&velocity(x), &target));
        check_gradient(&format!("{name} target"), &latent, &|x| loss(&v, &(&noise - x)));
        check_gradient(&name, &latent, &|x| loss(&velocity(x), &(&noise - x)));
    }
    // What the released form clamps has no gradient: transparent cells learn nothing from it.
    let x = latent.detach().set_requires_grad(true);
    let loss = bidirectional(
        &velocity(&latent).detach(),
        &(&noise - &x),
        &mask,
        weight,
        Bidirectional::Released,
    );
    loss.unwrap().backward();
    let outside = mask.le(0.0).unsqueeze(1).expand_as(&latent);
    assert_eq!(x.grad().masked_select(&outside).abs().max().double_value(&[]), 0.0);
}

#[test]
fn recomputing_a_frozen_transformer_gives_the_same_gradient_of_its_input() {
    let (dit, width) = transformer();
    tch::manual_seed(4);
    let context = Tensor::randn([3, width], DOUBLE).set_requires_grad(true);
    let latent = Tensor::randn([1, 16, 2, 4, 4], DOUBLE).set_requires_grad(true);
    let rope = dit.rope([2, 4, 4]).unwrap();
    let weights = Tensor::randn([1, 16, 2, 4, 4], DOUBLE);
    let gradients = |recompute: bool| {
        let (mut x, mut c) = (latent.shallow_clone(), context.shallow_clone());
        let noisy = &x * 0.5;
        let mut prompt = dit.prompt(&c).unwrap();
        let loss = |v: &Tensor| (v * &weights).square().sum(Kind::Double);
        let value = if recompute {
            let pass = dit.recomputed(&noisy, &[500.0], &prompt, None, &rope, &Unwatched).unwrap();
            let value = loss(pass.velocity());
            value.backward();
            pass.backward(&Unwatched).unwrap();
            value
        } else {
            let v = dit.forward(&noisy, &[500.0], &mut prompt, &rope, &Unwatched).unwrap();
            let value = loss(&v);
            value.backward();
            value
        };
        let found = (value.detach(), x.grad().copy(), c.grad().copy());
        x.zero_grad();
        c.zero_grad();
        found
    };
    let (plain, again) = (gradients(false), gradients(true));
    assert_eq!(plain.0, again.0);
    close("latent", &again.1, &plain.1, 1e-13);
    close("context", &again.2, &plain.2, 1e-13);
}

#[test]
fn a_dora_sends_exact_gradients_with_its_norm_frozen() {
    tch::manual_seed(6);
    let random = |shape: &[i64]| Tensor::randn(shape, DOUBLE);
    let (x, weight, bias) = (random(&[5, 6]), random(&[7, 6]), random(&[7]));
    let parts = [random(&[2, 6]), random(&[7, 2]), random(&[7])];
    let (scale, out) = (0.5, random(&[5, 7]));
    let [down, up, magnitude] = parts.each_ref().map(|part| part.detach().set_requires_grad(true));
    let adapter = LowRank {
        down: down.shallow_clone(),
        up: up.shallow_clone(),
        magnitude: Some(magnitude.shallow_clone()),
        scale,
    };
    let base = Linear::Plain { weight: weight.copy(), bias: Some(bias.copy()) };
    let layer = Linear::Adapted { base: Box::new(base), adapter };
    let leaf = x.detach().set_requires_grad(true);
    (layer.forward(&leaf).unwrap() * &out).square().sum(Kind::Double).backward();

    let norm = (&weight + parts[1].matmul(&parts[0]) * scale).square().sum_dim_intlist(
        1i64,
        false,
        Kind::Double,
    );
    let norm = norm.sqrt();
    let loss = |x: &Tensor, down: &Tensor, up: &Tensor, magnitude: &Tensor| {
        let merged = (&weight + up.matmul(down) * scale) * (magnitude / &norm).unsqueeze(1);
        (x.linear(&merged, Some(&bias)) * &out).square().sum(Kind::Double)
    };
    let [a, b, m] = &parts;
    check_along("x", &x, &leaf.grad(), &|x| loss(x, a, b, m));
    check_along("A", a, &down.grad(), &|a| loss(&x, a, b, m));
    check_along("B", b, &up.grad(), &|b| loss(&x, a, b, m));
    check_along("magnitude", m, &magnitude.grad(), &|m| loss(&x, a, b, m));
}
