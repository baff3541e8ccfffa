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

/// How much steeper a picture is from one column to the next than another of its size, at the most, as a
/// mean over each column's pixels.
fn steepest_seam(tiled: &[Vec<f32>], whole: &[Vec<f32>], width: usize) -> f64 {
    let steps = |rgba: &[f32], x: usize| -> f64 {
        let rows = rgba.chunks_exact(4 * width);
        let count = rows.len() as f64;
        let step = |row: &[f32]| f64::from(row[4 * x] - row[4 * (x - 1)]).abs();
        rows.map(step).sum::<f64>() / count
    };
    let pictures = tiled.iter().zip(whole);
    let seams = pictures
        .flat_map(|(tiled, whole)| (1..width).map(move |x| steps(tiled, x) - steps(whole, x)));
    seams.fold(0.0, f64::max)
}

#[test]
fn tiles_leave_no_seam_in_an_even_gray() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resources/draft-model");
    let decoders = decoders(model);
    // One cell for all of the film: what the decoder makes of it is even, but for the frame's own edge.
    let cell = StepRng::new(7, 0).normal(Device::cpu(), "gray", &[16, 1, 1, 1]).unwrap();
    let latent = (cell * 0.5).expand([16, 2, 8, 104], false).contiguous();
    let whole = decode(&decoders, &latent, &WHOLE);
    let tiled = decode(&decoders, &latent, &DecodeWay { tiled: true, ..WHOLE });
    let seam = steepest_seam(&tiled, &whole, 832);
    println!("the steepest seam is {:.4} of 255", 255.0 * seam);
    // Half a step of eight bits is seen by nobody.
    assert!(seam < 0.5 / 255.0, "{:.3} of 255", 255.0 * seam);
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
    }
}

#[test]
fn the_draft_models_decoders_are_near_in_bfloat16() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resources/draft-model");
    let decoders = decoders(model);
    // Small: a processor without instructions for bfloat16 takes a hundred times as long.
    let latent = latent(2, 8, 8);
    let way = DecodeWay { kind: Kind::BFloat16, together: false, ..WHOLE };
    let narrow = psnr(&decode(&decoders, &latent, &way), &decode(&decoders, &latent, &WHOLE));
    println!("in bfloat16: {narrow:.1} dB");
    assert!(narrow >= 35.0, "{narrow:.1} dB");
}
