//! Structural similarity (Wang et al. 2004), of one plane.
//!
//! The window is a Gaussian of 11 × 11 with σ 1.5, variances are of the population, K₁ = 0.01,
//! K₂ = 0.03, the range is 1, and only windows that lie wholly within the picture count: what
//! scikit-image computes with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` and
//! torchmetrics by default. The mean over channels is the caller's.

use crate::{Error, Result};

/// Side of the window, and the least side of a picture.
pub const WINDOW: usize = 11;

const SIGMA: f64 = 1.5;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// The similarity of two planes of `width` columns with values in [0, 1], row by row; 1 where they
/// are equal.
///
/// # Errors
/// They are of different sizes, or smaller than a window.
pub fn ssim(found: &[f32], expected: &[f32], width: usize) -> Result<f64> {
    let height = expected.len() / width.max(1);
    if found.len() != expected.len() || width * height != expected.len() {
        return Err(Error::Input(format!(
            "pictures of {} and {} pixels in rows of {width} cannot be compared",
            found.len(),
            expected.len()
        )));
    }
    if width < WINDOW || height < WINDOW {
        return Err(Error::Input(format!(
            "a picture of {width} × {height} has no SSIM: its window is {WINDOW} × {WINDOW}"
        )));
    }
    let taps = taps();
    let columns = width - WINDOW + 1;
    // Sums over each row's windows: x, y, x², y², xy; of the last eleven rows.
    let mut rows: Vec<Vec<[f64; 5]>> = Vec::with_capacity(WINDOW);
    let mut sum = 0.0;
    for y in 0..height {
        let row = (&found[y * width..][..width], &expected[y * width..][..width]);
        let line = along(row, &taps, columns);
        if rows.len() == WINDOW {
            rows.rotate_left(1);
            rows[WINDOW - 1] = line;
        } else {
            rows.push(line);
        }
        if rows.len() == WINDOW {
            sum += (0..columns).map(|x| similarity(down(&rows, &taps, x))).sum::<f64>();
        }
    }
    Ok(sum / (columns * (height - WINDOW + 1)) as f64)
}

fn taps() -> [f64; WINDOW] {
    let bell = |place: usize| {
        let distance = place as f64 - (WINDOW / 2) as f64;
        (-0.5 * (distance / SIGMA).powi(2)).exp()
    };
    let taps: [f64; WINDOW] = std::array::from_fn(bell);
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

fn along(
    (found, expected): (&[f32], &[f32]),
    taps: &[f64; WINDOW],
    columns: usize,
) -> Vec<[f64; 5]> {
    let pairs: Vec<(f64, f64)> =
        found.iter().zip(expected).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
    let window = |start: usize| {
        let mut sums = [0.0; 5];
        for (tap, (x, y)) in taps.iter().zip(&pairs[start..]) {
            for (sum, value) in sums.iter_mut().zip([*x, *y, x * x, y * y, x * y]) {
                *sum += tap * value;
            }
        }
        sums
    };
    (0..columns).map(window).collect()
}

fn down(rows: &[Vec<[f64; 5]>], taps: &[f64; WINDOW], column: usize) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for (tap, row) in taps.iter().zip(rows) {
        for (sum, value) in sums.iter_mut().zip(row[column]) {
            *sum += tap * value;
        }
    }
    sums
}

fn similarity([x, y, xx, yy, xy]: [f64; 5]) -> f64 {
    let (x_variance, y_variance, covariance) = (xx - x * x, yy - y * y, xy - x * y);
    (2.0 * x * y + C1) * (2.0 * covariance + C2)
        / ((x * x + y * y + C1) * (x_variance + y_variance + C2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_are_similar_to_1_and_flat_ones_by_their_means() {
        let picture: Vec<f32> = (0..13 * 12).map(|i| (i * 37 % 100) as f32 / 100.0).collect();
        assert!((ssim(&picture, &picture, 13).unwrap() - 1.0).abs() < 1e-12);
        let flat = |value: f32| vec![value; 11 * 11];
        let expected = (2.0 * 0.25 * 0.75 + C1) / (0.25 * 0.25 + 0.75 * 0.75 + C1);
        assert!((ssim(&flat(0.25), &flat(0.75), 11).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let text = ssim(&[0.0; 100], &[0.0; 100], 10).unwrap_err().to_string();
        assert!(text.contains("10 × 10") && text.contains("11 × 11"), "{text}");
        let text = ssim(&[0.0; 121], &[0.0; 132], 11).unwrap_err().to_string();
        assert!(text.contains("121 and 132"), "{text}");
    }
}
