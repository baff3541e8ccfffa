//! A film decoded by one decoder after the other, in tiles and in bfloat16, beside the whole.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod frames;
mod small;

use std::path::PathBuf;

use frames::Frames;
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{DecodeWay, decode_by};
use wan_alpha_core::train::StepRng;
use wan_alpha_core::weights::{Decoders, ModelFiles, Strengths};

fn decoders(model: PathBuf) -> Decoders {
    ModelFiles::find(&[model], Strengths::default(), &Unwatched).unwrap().decoders
}

fn decode(decoders: &Decoders, latent: &Tensor, way: &DecodeWay) -> Vec<Vec<f32>> {
    let mut frames = Frames::default();
    decode_by(decoders, Device::cpu(), latent, way, &mut frames, &Unwatched).unwrap();
    frames.0
}

/// 10·log₁₀(1 / mean square) of numbers from 0 to 1.
fn psnr(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len());
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
        sum += f64::from(a - b).powi(2);
        count += 1;
    }
    -10.0 * (sum / f64::from(count)).log10()
}

const WHOLE: DecodeWay =
    DecodeWay { kind: Kind::Float, together: true, tiled: false, folder: None };

/// A latent as a model would make it: smooth, and of deviation 1.
fn latent(frames: i64, height: i64, width: i64) -> Tensor {
    let coarse = StepRng::new(5, 0)
        .normal(Device::cpu(), "coarse", &[16, frames, height / 4, width / 4])
        .unwrap();
    coarse.upsample_bilinear2d([height, width], false, None, None)
}

#[test]
fn one_after_the_other_gives_the_bits_of_both_together() {
    for model in ["t2v/model", "t2v-euler/model"] {
        let decoders = decoders(small::data(model));
        let latent = latent(3, 8, 12);
        let expected = decode(&decoders, &latent, &WHOLE);
        let folder = tempfile::tempdir().unwrap();
        for folder in [None, Some(folder.path().to_owned())] {
            let way = DecodeWay { together: false, folder, ..WHOLE };
            assert!(decode(&decoders, &latent, &way) == expected, "{model}");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn tiles_of_the_draft_models_autoencoder_agree_with_the_whole() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resources/draft-model");
    let decoders = decoders(model);
    // Two tiles across and one down, and two down.
    for (height, width) in [(16, 48), (64, 16)] {
        let latent = latent(2, height, width);
        let expected = decode(&decoders, &latent, &WHOLE);
        let way = DecodeWay { tiled: true, ..WHOLE };
        let tiled = psnr(&decode(&decoders, &latent, &way), &expected);
        println!("{width}×{height} cells in tiles: {tiled:.1} dB");
        assert!(tiled >= 50.0, "{tiled:.1} dB");
        let way = DecodeWay { kind: Kind::BFloat16, together: false, ..WHOLE };
        let narrow = psnr(&decode(&decoders, &latent, &way), &expected);
        println!("in bfloat16: {narrow:.1} dB");
        assert!(narrow >= 35.0, "{narrow:.1} dB");
    }
}
