//! What is wrong with an alpha: haze where nothing should be, holes, and a wrong color at its edge.

use wan_alpha_take::Ellipse;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::report::{AlphaSums, PixelShare};

use crate::silhouette::inner_alpha;

/// From this on a pixel is opaque, and as far above 0 it is no longer transparent.
const OPAQUE: f32 = 0.95;
const TRACE: f32 = 0.05;

/// Opaque pixels within this many pixels say what color an edge should have.
const NEIGHBORHOOD: usize = 4;

/// As near to the edge of a subject as this share of its deepest pixel, nothing is said of its inside.
const ERODED: f64 = 0.3;

/// Sums over the frames so far.
#[derive(Default)]
pub(super) struct AlphaMeter {
    sums: AlphaSums,
    soft: PixelShare,
    halo: PixelShare,
    inner: PixelShare,
}

impl AlphaMeter {
    pub(super) fn push(&mut self, frame: &OwnedFrame, alpha: &[f32], asked: Option<&Ellipse>) {
        self.sums.push(alpha, frame.width, asked);
        for value in alpha.iter().filter(|value| **value > TRACE) {
            self.soft.add(f64::from(u8::from(*value < OPAQUE)), 1.0);
        }
        if let Some([sum, count]) = inner_alpha(alpha, frame.width, ERODED) {
            self.inner.add(sum, count);
        }
        self.look_for_halo(frame, alpha);
    }

    /// Mean alpha of what is seen, away from its edges.
    pub(super) fn inner(&self) -> Option<f64> {
        self.inner.value()
    }

    /// What a take's report has too: coverage, leak and holes.
    pub(super) fn sums(&self) -> &AlphaSums {
        &self.sums
    }

    /// Of the pixels that show anything, the share that is not opaque.
    pub(super) fn soft(&self) -> Option<f64> {
        self.soft.value()
    }

    /// How far the color of soft edges is from that of the opaque pixels beside them, weighted by
    /// their alpha: what is left there of another background.
    pub(super) fn halo(&self) -> Option<f64> {
        self.halo.value()
    }

    fn look_for_halo(&mut self, frame: &OwnedFrame, alpha: &[f32]) {
        let sums = OpaqueSums::of(frame);
        for (place, pixel) in frame.pixels().iter().enumerate() {
            let value = alpha[place];
            if !(TRACE..OPAQUE).contains(&value) {
                continue;
            }
            let (x, y) = (place % frame.width, place / frame.width);
            if let Some(color) = sums.mean_around(x, y) {
                let difference =
                    |channel: usize| (f64::from(pixel[channel]) - color[channel]).abs();
                let value = f64::from(value);
                self.halo.add(value * (0..3).map(difference).sum::<f64>() / 3.0, value);
            }
        }
    }
}

/// Sums of color and number of opaque pixels, above and left of each place.
struct OpaqueSums {
    width: usize,
    height: usize,
    /// (width + 1) × (height + 1)
    sums: Vec<[f64; 4]>,
}

impl OpaqueSums {
    fn of(frame: &OwnedFrame) -> Self {
        let (width, height) = (frame.width, frame.height);
        let mut sums = vec![[0.0; 4]; (width + 1) * (height + 1)];
        for (place, &[r, g, b, a]) in frame.pixels().iter().enumerate() {
            let here = if a >= OPAQUE { [r, g, b, 1.0].map(f64::from) } else { [0.0; 4] };
            let at = (place / width + 1) * (width + 1) + place % width + 1;
            let [left, above, both] = [at - 1, at - width - 1, at - width - 2].map(|at| sums[at]);
            sums[at] = std::array::from_fn(|i| here[i] + left[i] + above[i] - both[i]);
        }
        Self { width, height, sums }
    }

    fn mean_around(&self, x: usize, y: usize) -> Option<[f64; 3]> {
        let range = |place: usize, size: usize| {
            (place.saturating_sub(NEIGHBORHOOD), (place + NEIGHBORHOOD + 1).min(size))
        };
        let ((left, right), (top, bottom)) = (range(x, self.width), range(y, self.height));
        let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
        let corners = [at(right, bottom), at(left, top), at(left, bottom), at(right, top)];
        let [all, both, below, beside] = corners;
        let sum: [f64; 4] = std::array::from_fn(|i| all[i] + both[i] - below[i] - beside[i]);
        (sum[3] > 0.5).then(|| [0, 1, 2].map(|channel| sum[channel] / sum[3]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, disc, measure};
    use super::*;
    use wan_alpha_take::report::contains;

    const RED: [f32; 3] = [0.8, 0.1, 0.1];

    fn with_alpha([r, g, b]: [f32; 3], alpha: f32) -> [f32; 4] {
        [r, g, b, alpha]
    }

    #[test]
    fn a_leak_is_the_mean_of_what_lies_outside_twice_the_ellipse() {
        // Radius 8 around the middle of 64 × 64; outside radius 16 a haze of 0.25.
        let ellipse = Ellipse { x: 0.5, y: 0.5, a: 0.25, b: 0.25, angle: 30.0 };
        let frames = clip([1, 64, 64], |_, x, y| {
            let inner = disc(x, y, [31.5, 31.5], 16.0);
            with_alpha(RED, if inner > 0.0 { 1.0 } else { 0.25 })
        });
        let found = measure(&frames, Some(vec![ellipse]));
        assert!((found.leak.unwrap() - 0.25).abs() < 1e-6);
        assert!((found.coverage - (0.25 + 0.75 * 812.0 / 4096.0)).abs() < 2e-3);
        assert!((found.soft.unwrap() - (1.0 - 812.0 / 4096.0)).abs() < 2e-3);
        // Without an ellipse nobody knows.
        assert_eq!(measure(&frames, None).leak, None);
    }

    #[test]
    fn a_turned_ellipse_leaks_where_it_is_not() {
        // Twice as long as wide, upright once it is turned by 90 degrees.
        let wide = Ellipse { x: 0.25, y: 0.75, a: 0.4, b: 0.1, angle: 90.0 };
        let grid = wide.on_grid(64, 64);
        assert!(
            contains(&grid, 15.5, 15.5 + 12.0, 1.0) && !contains(&grid, 15.5 + 12.0, 15.5, 1.0)
        );
        assert!(contains(&grid, 15.5 + 6.0, 15.5, 2.0) && !contains(&grid, 15.5 + 6.0, 15.5, 1.0));
    }

    #[test]
    fn a_hole_is_what_the_silhouette_encloses_and_a_bay_is_not() {
        let square = |inner: fn(usize, usize) -> bool| {
            let frames = clip([2, 32, 32], move |_, x, y| {
                let inside = (4..28).contains(&x) && (4..28).contains(&y);
                with_alpha(RED, if inside && !inner(x, y) { 1.0 } else { 0.0 })
            });
            measure(&frames, None).holes
        };
        assert_eq!(square(|_, _| false), Some(0.0));
        assert_eq!(square(|x, y| x < 16 && (10..22).contains(&y)), Some(0.0));
        let hole = square(|x, y| (10..16).contains(&x) && (10..18).contains(&y)).unwrap();
        assert!((hole - 48.0 / 576.0).abs() < 1e-12);
        // Smoke has no silhouette to have holes in.
        let smoke = clip([1, 32, 32], |_, _, _| with_alpha(RED, 0.3));
        assert_eq!(measure(&smoke, None).holes, None);
    }

    #[test]
    fn a_halo_is_another_color_at_the_edge() {
        let edged = |rim: [f32; 3]| {
            let frames = clip([1, 64, 64], |_, x, y| {
                if disc(x, y, [32.0, 32.0], 16.0) > 0.0 {
                    with_alpha(RED, 1.0)
                } else if disc(x, y, [32.0, 32.0], 18.0) > 0.0 {
                    with_alpha(rim, 0.5)
                } else {
                    [0.0; 4]
                }
            });
            measure(&frames, None).halo.unwrap()
        };
        assert!(edged(RED) < 1e-6);
        // White instead of red: 0.2, 0.9 and 0.9 apart.
        assert!((edged([1.0; 3]) - 2.0 / 3.0).abs() < 1e-6);
    }
}
