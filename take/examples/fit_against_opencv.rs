//! Compares the ellipse fit with what `tests/fit/opencv.py cases DIR` has made of drawn alphas:
//!
//! ```text
//! cargo run --release -p wan-alpha-take --example fit_against_opencv DIR
//! ```
//!
//! Fails unless 98 % of the latent frames are enlarged as often, and all masks of those agree.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use wan_alpha_take::Mask;
use wan_alpha_take::fit::{Compressor, Coverage, Fit, FitSettings};

/// Share of frames that must be enlarged as often.
const AGREE: f64 = 0.98;

/// How far masks may differ where they are.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Case {
    width: usize,
    height: usize,
    fits: Vec<Option<Found>>,
}

#[derive(Deserialize)]
struct Found {
    ellipse: [f64; 5],
    enlargements: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("give the folder that opencv.py has written")?;
    let folder = Path::new(&folder);
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(folder.join("cases.json"))?)?;
    let (mut frames, mut agree, mut worst) = (0, 0, 0.0_f32);
    for (index, case) in cases.iter().enumerate() {
        let coverage = coverage(&folder.join(format!("{index:04}.alpha")), case)?;
        let masks = floats(&fs::read(folder.join(format!("{index:04}.masks")))?);
        let [latent, height, width] = coverage.shape();
        if [latent, latent * height * width] != [case.fits.len(), masks.len()] {
            return Err(format!("case {index}: fit has shape {latent} x {height} x {width}").into());
        }
        let ours = coverage.fit(FitSettings::RELEASED.rounds);
        for ((ours, theirs), mask) in
            ours.iter().zip(&case.fits).zip(masks.chunks_exact(height * width))
        {
            frames += 1;
            if ours.map(|fit| fit.enlargements) == theirs.as_ref().map(|found| found.enlargements) {
                agree += 1;
                let difference = difference(ours.as_ref(), mask, width, height);
                worst = worst.max(difference);
                if difference > TOLERANCE {
                    println!("case {index}: masks differ by {difference:e}");
                }
            } else {
                let theirs = theirs.as_ref().map(|found| (found.enlargements, found.ellipse));
                println!("case {index}: ours {ours:?}, theirs {theirs:?}");
            }
        }
    }
    let share = f64::from(agree) / f64::from(frames.max(1));
    println!(
        "{} cases, {frames} latent frames: {agree} enlarged as often ({:.2} %), their masks \
         within {worst:.1e}",
        cases.len(),
        share * 100.0
    );
    if share < AGREE || worst > TOLERANCE {
        return Err(format!("expected {AGREE} and {TOLERANCE:e}").into());
    }
    Ok(())
}

fn coverage(path: &Path, case: &Case) -> Result<Coverage, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let threshold = FitSettings::RELEASED.threshold;
    let mut compressor = Compressor::new(case.width, case.height, threshold)?;
    for frame in bytes.chunks(case.width * case.height) {
        let alpha: Vec<f32> = frame.iter().map(|value| f32::from(*value) / 255.0).collect();
        compressor.push(&alpha)?;
    }
    Ok(compressor.finish()?)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest difference of a cell.
fn difference(fit: Option<&Fit>, theirs: &[f32], width: usize, height: usize) -> f32 {
    let ours = match fit {
        Some(fit) => Mask::of_grid_ellipses(&[fit.ellipse], width, height).values().to_vec(),
        None => vec![0.0; theirs.len()],
    };
    ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}
