//! A DoRA on an image-to-video transformer: what its latents begin with counts, and gets gradients where
//! it should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::image_condition::{
    ConditionImages, ConditionParts, FirstFrameConditions, ImageCondition,
};
use wan_alpha_core::train::{
    ComputeOptions, LatentBatch, Origin, StepRng, Task, Texts, Trained, Transformer,
    TransformerSettings,
};
use wan_alpha_core::weights::{ModelFiles, Strengths, find_transformer};
use wan_alpha_take::StillImage;

fn folder(case: &str) -> Vec<PathBuf> {
    vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(case).join("model")]
}

fn random(purpose: &str, shape: &[i64]) -> Tensor {
    StepRng::new(5, 0).normal(Device::cpu(), purpose, shape).unwrap()
}

fn task(case: &str, targets: &[&str], recompute: bool) -> Transformer {
    let (set, config) = find_transformer(&folder(case)).unwrap();
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    let trained = Trained::Dora { rank: 2, targets };
    let settings = TransformerSettings { trained, recompute, ..TransformerSettings::default() };
    let compute = ComputeOptions { kind: Kind::Double, device: Device::cpu() };
    Transformer::new(&Origin::Files(set), config, None, settings, 1, compute).unwrap()
}

/// Two latents, each with an image of its own.
fn batch(task: &Transformer) -> LatentBatch {
    let config = task.config();
    let features = config.image.as_ref().unwrap().features;
    let image = |i: i64| ImageCondition {
        feature: random(&format!("feature {i}"), &[1, 17, features]),
        channels: random(&format!("channels {i}"), &[20, 2, 4, 6]),
    };
    let context = |i: i64| random(&format!("context {i}"), &[3 + i, config.text_dim]);
    LatentBatch {
        latents: random("latents", &[2, 16, 2, 4, 6]),
        masks: Some(random("masks", &[2, 2, 4, 6]).sigmoid()),
        texts: Texts::Contexts((0..2).map(context).collect()),
        images: Some((0..2).map(image).collect()),
    }
}

fn loss(task: &Transformer, batch: &LatentBatch) -> f64 {
    task.evaluate(batch, &StepRng::new(1, 1), &Unwatched).unwrap().0[0].value
}

#[test]
fn a_latent_s_loss_depends_on_its_own_image() {
    let task = task("i2v", &["q", "k", "v", "o"], false);
    let whole = batch(&task);
    let reference = loss(&task, &whole);
    for part in ["feature", "channels"] {
        let mut other = batch(&task);
        let images = other.images.as_mut().unwrap();
        match part {
            "feature" => images[1].feature = random("other", &images[1].feature.size()),
            _ => images[1].channels = random("other", &images[1].channels.size()),
        }
        assert_ne!(loss(&task, &other), reference, "{part}");
    }
    // Exchanged, each latent has the image of the other.
    let mut exchanged = batch(&task);
    exchanged.images.as_mut().unwrap().reverse();
    assert_ne!(loss(&task, &exchanged), reference);
    let without = LatentBatch { images: None, ..batch(&task) };
    let error = task.evaluate(&without, &StepRng::new(1, 1), &Unwatched).unwrap_err().to_string();
    assert!(error.contains("needs an image"), "{error}");
}

#[test]
fn gradients_are_those_of_finite_differences_on_keys_of_an_image_too() {
    for case in ["i2v", "i2v-guided"] {
        let task = task(case, &["q", "k_img", "v_img", "ffn.0"], false);
        let again = self::task(case, &["q", "k_img", "v_img", "ffn.0"], true);
        let batch = batch(&task);
        let rng = StepRng::new(1, 1);
        for task in [&task, &again] {
            task.step(&batch, &rng, 1.0, &Unwatched).unwrap();
        }
        let mut seen = 0;
        for (name, parameter) in task.parameters().iter() {
            // B is 0 at first, so that A has no gradient.
            if name.contains("lora_A") || !name.contains("blocks.0.cross_attn") {
                continue;
            }
            let gradient = parameter.grad().view([-1]).double_value(&[0]);
            let recomputed = again.parameters().iter().find(|(other, _)| *other == name).unwrap().1;
            let recomputed = recomputed.grad().view([-1]).double_value(&[0]);
            assert!(
                (recomputed - gradient).abs() <= 1e-12 + 1e-9 * gradient.abs(),
                "{case} {name}"
            );
            seen += usize::from(gradient.abs() > 1e-9);
            // The length of a row, which B changes too, counts as a constant, as in PEFT.
            if name.contains("lora_B") {
                continue;
            }
            let step = 1e-6;
            let moved = |by: f64| {
                let _guard = tch::no_grad_guard();
                let _ = parameter.view([-1]).narrow(0, 0, 1).g_add_scalar_(by);
            };
            moved(step);
            let above = loss(&task, &batch);
            moved(-2.0 * step);
            let below = loss(&task, &batch);
            moved(step);
            let expected = (above - below) / (2.0 * step);
            let near = |found: f64| (found - expected).abs() < 1e-6 + 1e-4 * expected.abs();
            assert!(near(gradient), "{case} {name}: {gradient} for {expected}");
        }
        assert!(seen >= 6, "{seen}");
    }
}

#[test]
fn what_training_gives_of_a_first_frame_is_what_a_take_is_made_with() {
    let files = ModelFiles::find(&folder("i2v"), Strengths::default(), &Unwatched).unwrap();
    let (image_encoder, encoder) =
        (files.image_encoder.as_ref().unwrap(), files.encoder.as_ref().unwrap());
    let pixel = |i: usize| if i % 7 < 3 { [0.9, 0.2, 0.4, 1.0] } else { [0.3, 0.8, 0.1, 0.0] };
    let image = StillImage::new(48, 32, (0..48 * 32).flat_map(pixel).collect()).unwrap();
    let conditions =
        FirstFrameConditions::load(image_encoder, encoder, Device::cpu(), &Unwatched).unwrap();
    let found = conditions.of(&image, 9, &Unwatched).unwrap();
    let parts = ConditionParts { image_encoder, encoder, sees_last: false, device: Device::cpu() };
    let images = ConditionImages { first: &image, last: None };
    let quiet = |_: &str, _: &Tensor| Ok(());
    let expected = ImageCondition::new(images, 9, &parts, quiet, &Unwatched).unwrap();
    assert_eq!(found.feature, expected.feature);
    assert_eq!(found.channels, expected.channels);
}

#[test]
fn a_whole_image_to_video_transformer_is_not_trained() {
    let (set, config) = find_transformer(&folder("i2v")).unwrap();
    let settings =
        TransformerSettings { trained: Trained::Whole, ..TransformerSettings::default() };
    let made =
        Transformer::new(&Origin::Files(set), config, None, settings, 1, ComputeOptions::cpu());
    let error = made.unwrap_err().to_string();
    assert!(error.contains("kind = \"dora\""), "{error}");
}
