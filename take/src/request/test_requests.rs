//! Requests for tests.

use proptest::prelude::*;

use super::{
    DecodePrecision, DecodeTiling, LoraSource, MaskSource, Precision, Solver, TakeRequest,
};
use crate::digest::{ContentHash, Fingerprint};
use crate::ellipse::Ellipse;

/// A usual request, accepted as it is.
pub(crate) fn request() -> TakeRequest {
    TakeRequest {
        version: 1,
        numerics: 1,
        prompt: "The background is transparent. A white cat.".to_owned(),
        negative_prompt: None,
        seed: 1,
        frames: 5,
        width: 832,
        height: 480,
        take_rate: 16,
        ellipse: vec![Ellipse::default(); 2],
        mask: None,
        mu: vec![0.05; 2],
        mu_scale: 1.0,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::Bf16,
        decode_tiling: DecodeTiling::Whole,
        model: "wan-alpha-2".to_owned(),
        model_fingerprint: Some(Fingerprint([1; 32])),
        first_image: None,
        loras: Vec::new(),
        decode_precision: DecodePrecision::F32,
        last_image: None,
        first_image_name: None,
        last_image_name: None,
    }
}

prop_compose! {
    fn any_ellipse()(
        x in -2.0..3.0, y in -2.0..3.0, a in 0.002..6.0, b in 0.002..6.0, angle in -1e9..1e9
    ) -> Ellipse {
        Ellipse { x, y, a, b, angle }
    }
}

prop_compose! {
    fn any_lora()(
        name in "[A-Za-z0-9][A-Za-z0-9 ._-]{0,20}", hash in any::<[u8; 32]>(),
        strength in prop_oneof![4 => -10.0..=10.0, 1 => Just(0.0)],
    ) -> LoraSource {
        LoraSource { name, fingerprint: Fingerprint(hash), strength }
    }
}

prop_compose! {
    /// Any request that is acceptable and has a key, blank fields included.
    pub(crate) fn any_request()(
        (prompt, negative_prompt) in ("[^ ].{0,40}", prop::option::of(".{0,40}")),
        (seed, groups, numerics) in (any::<u32>(), 0_u32..=64, any::<u32>()),
        (width, height) in (1_u32..=256, 1_u32..=256),
        ellipse in prop::collection::vec(any_ellipse(), 65),
        mu in prop::collection::vec(prop_oneof![4 => -1.0..=1.0, 1 => Just(0.0)], 65),
        mu_scale in prop_oneof![-10.0..10.0, prop::num::f64::NORMAL, Just(0.0)],
        (steps, shift) in (1_u32..=1000, 0.001..=100.0),
        guidance in prop_oneof![0.0..=30.0, Just(1.0)],
        (dora_strength, distill_strength) in (0.0..=2.0, 0.0..=2.0),
        (solver, bf16) in (0..Solver::ALL.len(), any::<bool>()),
        mask in prop::option::of((1_u32..=16_384, 1_u32..=16_384, any::<[u8; 32]>())),
        loras in prop::collection::vec(any_lora(), 0..3),
        (model, fingerprint) in ("[A-Za-z0-9][A-Za-z0-9 ._-]{0,20}", any::<[u8; 32]>()),
    ) -> TakeRequest {
        let latent_frames = groups as usize + 1;
        TakeRequest {
            numerics,
            prompt: format!("cat {prompt}"),
            negative_prompt,
            seed,
            frames: 4 * groups + 1,
            width: 16 * width,
            height: 16 * height,
            ellipse: ellipse[..latent_frames].to_vec(),
            mask: mask.map(|(height, width, hash)| MaskSource {
                shape: [groups + 1, height, width],
                blake3: ContentHash(hash),
            }),
            mu: mu[..latent_frames].to_vec(),
            mu_scale,
            steps: (steps - 1) % Solver::ALL[solver].most_steps() + 1,
            shift,
            guidance,
            solver: Solver::ALL[solver],
            dora_strength,
            distill_strength,
            precision: if bf16 { Precision::Bf16 } else { Precision::F32 },
            loras,
            model,
            model_fingerprint: Some(Fingerprint(fingerprint)),
            ..request()
        }
    }
}
