//! A decoder as wide as the released one's narrowest level, where convolutions on the CPU are
//! Winograd's: the reference models are too narrow to reach them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::train::{StepRng, VaeConfig, init};
use wan_alpha_core::vae::{Decoder, FeatureCache};
use wan_alpha_core::weights::{MemorySet, Weights};

/// Two latent frames of 64×64 pixels, decoded chunk by chunk.
fn decode(decoder: &Decoder, latent: &Tensor) -> Tensor {
    let mut cache = FeatureCache::default();
    let chunk = |k| decoder.forward(&latent.narrow(1, k, 1), &mut cache, &Unwatched).unwrap();
    Tensor::cat(&(0..2).map(chunk).collect::<Vec<_>>(), 1)
}

#[test]
fn what_is_computed_without_gradients_is_what_is_computed_with_them() {
    let device = Device::cpu();
    let small = init::vae(device, &VaeConfig { dim: 64 }, 3).unwrap();
    // An autoencoder that begins adds nothing in its residual blocks.
    let mut awake = MemorySet::default();
    for name in small.names() {
        let noise = StepRng::new(4, 0).normal(device, name, small.shape(name).unwrap()).unwrap();
        awake.insert(name, small.get(name).unwrap() + noise * 0.02);
    }
    let decoder = Decoder::load(&Weights::in_memory(awake.into(), Kind::Float, device), &Unwatched);
    let decoder = decoder.unwrap();
    let latent = StepRng::new(5, 0).normal(device, "latent", &[1, 2, 8, 8, 16]).unwrap();
    // Gradients keep the plain convolutions.
    let plain = decode(&decoder, &latent.set_requires_grad(true)).detach();
    let fast = {
        let _guard = tch::no_grad_guard();
        decode(&decoder, &latent)
    };
    assert_eq!(fast.size(), plain.size());
    let error = (&fast - &plain).abs().max().double_value(&[]);
    let scale = plain.abs().max().double_value(&[]);
    assert!(scale > 0.1 && error < 1e-4 * scale, "{error} of {scale}");
    assert!(error > 0.0, "both are the same path: nothing is compared");
}
