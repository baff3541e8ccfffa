//! The ellipse fit against the authors' released code, against OpenCV (`fit/opencv.py`), and
//! against what must hold of any fit.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use wan_alpha_take::fit::{Compressor, Coverage, Fit, FitSettings};
use wan_alpha_take::{Ellipse, GridEllipse, Mask};

#[derive(Deserialize)]
struct Golden {
    width: usize,
    height: usize,
    ellipses: Vec<[f64; 5]>,
    enlargements: Vec<u32>,
    coverage_256ths: Vec<Vec<u16>>,
    masks: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Sample {
    width: usize,
    height: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    frames: usize,
    fits: Vec<Option<Found>>,
    every_37th: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Found {
    ellipse: [f64; 5],
    enlargements: u32,
}

const TOLERANCE: f32 = 1e-5;

/// All frames, one below the other.
fn pixels(name: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fit").join(name);
    let mut reader =
        png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(
        (info.color_type, info.bit_depth),
        (png::ColorType::Grayscale, png::BitDepth::Eight)
    );
    bytes.iter().map(|value| f32::from(*value) / 255.0).collect()
}

fn coverage(width: usize, height: usize, alpha: &[f32]) -> Coverage {
    let threshold = FitSettings::default().threshold;
    let mut compressor = Compressor::new(width, height, threshold).unwrap();
    for frame in alpha.chunks(width * height) {
        compressor.push(frame).unwrap();
    }
    compressor.finish().unwrap()
}

/// Angles modulo 180: an ellipse has no front.
fn apart(angle: f64, other: f64) -> f64 {
    let turned = (angle - other).rem_euclid(180.0);
    turned.min(180.0 - turned)
}

fn assert_same(ours: &GridEllipse, [cx, cy, a, b, angle]: [f64; 5]) {
    for (ours, theirs) in [(ours.cx, cx), (ours.cy, cy), (ours.a, a), (ours.b, b)] {
        assert!((ours - theirs).abs() < 1e-9 * theirs.abs().max(1.0), "{ours} {theirs}");
    }
    assert!(apart(ours.angle, angle) < 1e-6, "{} {angle}", ours.angle);
}

fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}

#[test]
fn released_fit_is_reproduced() {
    let golden: Golden = serde_json::from_str(include_str!("data/fit/golden.json")).unwrap();
    let coverage = coverage(golden.width, golden.height, &pixels("golden.png"));
    let [frames, height, width] = coverage.shape();
    assert_eq!(
        (frames, coverage.values().len()),
        (golden.ellipses.len(), golden.coverage_256ths.concat().len())
    );
    for (ours, theirs) in coverage.values().iter().zip(golden.coverage_256ths.concat()) {
        assert_eq!(*ours, f32::from(theirs) / 256.0);
    }
    let fits: Vec<Fit> = coverage.fit(10).into_iter().map(Option::unwrap).collect();
    for (fit, (ellipse, enlargements)) in
        fits.iter().zip(golden.ellipses.iter().zip(golden.enlargements))
    {
        assert_same(&fit.ellipse, *ellipse);
        assert_eq!(fit.enlargements, enlargements);
    }
    let ellipses: Vec<GridEllipse> = fits.iter().map(|fit| fit.ellipse).collect();
    let mask = Mask::of_grid_ellipses(&ellipses, width, height);
    assert!(distance(mask.values(), &golden.masks.concat()) < TOLERANCE);
    // The artist's ellipses lead to the same mask.
    let track: Vec<Ellipse> =
        ellipses.iter().map(|ellipse| ellipse.on_frame(width, height)).collect();
    let mask = Mask::gaussian(&track, width, height);
    assert!(distance(mask.values(), &golden.masks.concat()) < TOLERANCE);
}

#[test]
fn drawn_alphas_are_fitted_as_numpy_and_opencv_do() {
    let sample: Sample = serde_json::from_str(include_str!("data/fit/sample.json")).unwrap();
    let Sample { width, height, cases } = sample;
    let all = pixels("sample.png");
    let mut rest = all.as_slice();
    let mut enlarged = 0;
    for (index, case) in cases.iter().enumerate() {
        let (alpha, after) = rest.split_at(case.frames * width * height);
        rest = after;
        let fits = coverage(width, height, alpha).fit(10);
        assert_eq!(fits.len(), case.fits.len());
        for ((ours, theirs), probes) in fits.iter().zip(&case.fits).zip(&case.every_37th) {
            assert_eq!(
                ours.map(|fit| fit.enlargements),
                theirs.as_ref().map(|found| found.enlargements),
                "case {index}"
            );
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            enlarged += ours.enlargements;
            assert_same(&ours.ellipse, theirs.ellipse);
            let mask = Mask::of_grid_ellipses(&[ours.ellipse], width / 8, height / 8);
            let found: Vec<f32> = mask.values().iter().copied().step_by(37).collect();
            assert!(distance(&found, probes) < TOLERANCE, "case {index}");
        }
    }
    assert!(rest.is_empty() && cases.len() == 64 && enlarged > 64);
}

/// An opaque ellipse in the artist's convention.
fn disc(ellipse: &Ellipse, width: usize, height: usize) -> Vec<f32> {
    let GridEllipse { cx, cy, a, b, angle } = ellipse.on_grid(width, height);
    let (sin, cos) = angle.to_radians().sin_cos();
    let inside = |at: usize| {
        let (x, y) = ((at % width) as f64 - cx, (at / width) as f64 - cy);
        let (along, across) = ((x * cos + y * sin) / (a / 2.0), (y * cos - x * sin) / (b / 2.0));
        if along * along + across * across <= 1.0 { 1.0 } else { 0.0 }
    };
    (0..width * height).map(inside).collect()
}

fn fit_disc(ellipse: &Ellipse, width: usize, height: usize) -> Fit {
    coverage(width, height, &disc(ellipse, width, height)).fit(10)[0].unwrap()
}

/// The golden disc: radii 200 × 150 pixels at (416, 240) in 832 × 480.
#[test]
fn disc_is_fitted_as_released() {
    let ellipse = GridEllipse { cx: 416.0, cy: 240.0, a: 400.0, b: 300.0, angle: 0.0 };
    let fit = fit_disc(&ellipse.on_frame(832, 480), 832, 480).ellipse;
    for (found, expected) in [(fit.cx, 51.560), (fit.cy, 29.539), (fit.a, 49.043), (fit.b, 37.053)]
    {
        assert!((found - expected).abs() < 5.1e-4, "{found} {expected}");
    }
    assert!(apart(fit.angle, -179.90) < 5.1e-3, "{}", fit.angle);
}

prop_compose! {
    /// Well inside the frame, large enough to have a shape in cells, and clearly not round.
    fn any_disc()(
        x in 0.4..0.6, y in 0.42..0.58, a in 0.45..0.7, ratio in 0.4..0.7, angle in -90.0..90.0
    ) -> Ellipse {
        Ellipse { x, y, a, b: a * ratio, angle }
    }
}

const WIDTH: usize = 640;
const HEIGHT: usize = 384;

/// How far the numbers of an ellipse may be off, in cells: its rim is known to about one.
fn assert_close(found: &Fit, expected: &GridEllipse) -> Result<(), TestCaseError> {
    let ellipse = found.ellipse;
    prop_assert!((ellipse.cx - expected.cx).abs() < 0.25, "{ellipse:?} {expected:?}");
    prop_assert!((ellipse.cy - expected.cy).abs() < 0.25, "{ellipse:?} {expected:?}");
    // Cells that are a fifth covered count, so that a shape comes out up to a cell longer.
    let grown = 1.12_f64.powi(found.enlargements as i32);
    prop_assert!(found.enlargements <= 2, "{found:?}");
    for (found, expected) in [(ellipse.a, expected.a), (ellipse.b, expected.b)] {
        prop_assert!((found / grown - expected).abs() < 1.5, "{found} {grown} {expected}");
    }
    prop_assert!(apart(ellipse.angle, expected.angle) < 4.0, "{ellipse:?} {expected:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_ellipse_comes_back(drawn in any_disc()) {
        let found = fit_disc(&drawn, WIDTH, HEIGHT);
        assert_close(&found, &drawn.on_grid(WIDTH / 8, HEIGHT / 8))?;
        let back = found.ellipse.on_frame(WIDTH / 8, HEIGHT / 8);
        prop_assert_eq!(back.rounded().validate(), Ok(()));
        prop_assert!((back.x - drawn.x).abs() < 0.01 && (back.y - drawn.y).abs() < 0.01);
        prop_assert!(apart(back.angle, drawn.angle) < 4.0);
    }

    /// By whole cells a shape moves exactly, and its ellipse with it.
    #[test]
    fn a_moved_shape_has_a_moved_ellipse(drawn in any_disc(), dx in -8_i32..8, dy in -3_i32..3) {
        let shift = |at: f64, cells: i32, all: usize| at + f64::from(cells * 8) / all as f64;
        let moved = Ellipse {
            x: shift(drawn.x, dx, WIDTH), y: shift(drawn.y, -dy, HEIGHT), ..drawn
        };
        let (here, there) = (fit_disc(&drawn, WIDTH, HEIGHT), fit_disc(&moved, WIDTH, HEIGHT));
        let expected = GridEllipse {
            cx: here.ellipse.cx + f64::from(dx), cy: here.ellipse.cy + f64::from(dy), ..here.ellipse
        };
        // Pixels on the rim may fall to the other side by rounding.
        assert_close(&there, &moved.on_grid(WIDTH / 8, HEIGHT / 8))?;
        prop_assert!((there.ellipse.cx - expected.cx).abs() < 0.02);
        prop_assert!((there.ellipse.cy - expected.cy).abs() < 0.02);
        prop_assert!(apart(there.ellipse.angle, expected.angle) < 0.5);
    }

    #[test]
    fn a_turned_shape_has_a_turned_ellipse(drawn in any_disc(), turn in -180.0..180.0) {
        let turned = Ellipse { angle: drawn.angle + turn, ..drawn };
        let (here, there) = (fit_disc(&drawn, WIDTH, HEIGHT), fit_disc(&turned, WIDTH, HEIGHT));
        prop_assert!(apart(there.ellipse.angle, here.ellipse.angle - turn) < 6.0);
        assert_close(&there, &turned.on_grid(WIDTH / 8, HEIGHT / 8))?;
    }

    /// In a frame of twice the size the same artist's ellipse is found.
    #[test]
    fn a_larger_frame_has_a_larger_ellipse(drawn in any_disc()) {
        let found = fit_disc(&drawn, WIDTH * 2, HEIGHT * 2);
        assert_close(&found, &drawn.on_grid(WIDTH / 4, HEIGHT / 4))?;
    }
}
