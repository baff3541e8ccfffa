//! Ellipse and mask against what the authors' released code computes (`data/extract.py`).

use serde::Deserialize;
use wan_alpha_take::{Ellipse, GridEllipse, Mask};

#[derive(Deserialize)]
struct Golden {
    masks: Vec<Case>,
    fits: Fits,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    width: usize,
    height: usize,
    track: Vec<Ellipse>,
    on_grid: Vec<[f64; 5]>,
    mask: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Fits {
    width: usize,
    height: usize,
    ellipses: Vec<[f64; 5]>,
    middle_row: Vec<Vec<f32>>,
}

/// One unit in the last place of a float32 just below 1: room for another platform's sine.
const TOLERANCE: f32 = 6e-8;

fn golden() -> serde_json::Result<Golden> {
    serde_json::from_str(include_str!("data/masks.json"))
}

fn distance(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(l, r)| (l - r).abs()).fold(0.0, f32::max)
}

#[test]
fn ellipses_reach_the_grid_to_the_last_digit() {
    for case in golden().unwrap().masks {
        assert_eq!(case.track.len(), case.on_grid.len());
        for (ellipse, &[cx, cy, a, b, angle]) in case.track.iter().zip(&case.on_grid) {
            let expected = GridEllipse { cx, cy, a, b, angle };
            assert_eq!(ellipse.on_grid(case.width, case.height), expected, "{}", case.case);
        }
    }
}

#[test]
fn masks_of_drawn_ellipses_agree() {
    for case in golden().unwrap().masks {
        let mask = Mask::gaussian(&case.track, case.width, case.height);
        let error = distance(mask.values(), &case.mask.concat());
        assert!(error <= TOLERANCE, "{}: {error:e}", case.case);
    }
}

#[test]
fn masks_of_fitted_ellipses_agree() {
    let Fits { width, height, ellipses, middle_row } = golden().unwrap().fits;
    assert_eq!(ellipses.len(), middle_row.len());
    for (&[cx, cy, a, b, angle], expected) in ellipses.iter().zip(&middle_row) {
        let ellipse = GridEllipse { cx, cy, a, b, angle };
        let mask = Mask::of_grid_ellipses(&[ellipse], width, height);
        let row = &mask.values()[height / 2 * width..][..width];
        let error = distance(row, expected);
        assert!(error <= TOLERANCE, "{error:e}");
    }
}
