//! How a clip changes: VBench's temporal flickering, and smoothness without its network.

use wan_alpha_take::frame::OwnedFrame;

use super::interpolation::{LumaPlane, motion_between};

/// A frame over white in 0 to 255, as whole numbers: what VBench reads from a video file.
struct ShownFrame {
    rgb: Vec<[f32; 3]>,
    alpha: Vec<f32>,
    luma: LumaPlane,
}

impl ShownFrame {
    fn of(frame: &OwnedFrame, alpha: Vec<f32>) -> Self {
        let rgb: Vec<[f32; 3]> = frame
            .pixels()
            .iter()
            .map(|&[r, g, b, a]| [r, g, b].map(|c| ((c * a + 1.0 - a) * 255.0).round()))
            .collect();
        // Alpha belongs to what moves: a white subject over white would else be nothing.
        let seen = |([r, g, b], a): (&[f32; 3], &f32)| 0.299 * r + 0.587 * g + 0.114 * b + 64.0 * a;
        let values = rgb.iter().zip(&alpha).map(seen).collect();
        let luma = LumaPlane { width: frame.width, height: frame.height, values };
        Self { rgb, alpha, luma }
    }
}

/// Sums over the frames so far.
#[derive(Default)]
pub(super) struct MotionMeter {
    /// The last two frames, the older first.
    before: Vec<ShownFrame>,
    change: f64,
    changes: usize,
    error: f64,
    errors: usize,
    alpha_error: f64,
    alpha_seen: f64,
}

impl MotionMeter {
    pub(super) fn push(&mut self, frame: &OwnedFrame, alpha: Vec<f32>) {
        let shown = ShownFrame::of(frame, alpha);
        if let Some(last) = self.before.last() {
            self.change += mean_difference(&last.rgb, &shown.rgb);
            self.changes += 1;
        }
        // VBench foretells every odd frame from its neighbors.
        if let [first, middle] = &self.before[..]
            && frame.index.is_multiple_of(2)
        {
            let motion = motion_between(&first.luma, &shown.luma);
            let halves = |a: [f32; 4], b: [f32; 4]| -> [f32; 4] {
                std::array::from_fn(|channel| (a[channel] + b[channel]) / 2.0)
            };
            let with_alpha = |shown: &ShownFrame, at: usize| {
                let [r, g, b] = shown.rgb[at];
                [r, g, b, shown.alpha[at]]
            };
            let (mut rgb, mut count) = (0.0, 0.0);
            motion.for_each(|at, from, to| {
                let found = halves(with_alpha(first, from), with_alpha(&shown, to));
                let expected = with_alpha(middle, at);
                for channel in 0..3 {
                    // A video file would hold whole numbers here too.
                    rgb += f64::from((found[channel].round() - expected[channel]).abs());
                }
                self.alpha_error += f64::from((found[3] - expected[3]).abs());
                self.alpha_seen += f64::from(found[3].max(expected[3]));
                count += 3.0;
            });
            self.error += rgb / f64::max(count, 1.0);
            self.errors += 1;
        }
        if self.before.len() == 2 {
            self.before.remove(0);
        }
        self.before.push(shown);
    }

    /// VBench's: (255 − mean absolute difference of consecutive frames) / 255.
    pub(super) fn temporal_flickering(&self) -> Option<f64> {
        score(self.change, self.changes)
    }

    /// VBench's formula of motion smoothness, with [`motion_between`] in place of its network.
    pub(super) fn smoothness(&self) -> Option<f64> {
        score(self.error, self.errors)
    }

    /// How far alpha is from what its neighbors and the motion foretell, as a share of alpha.
    pub(super) fn alpha_flicker(&self) -> Option<f64> {
        (self.alpha_seen > 0.0).then(|| self.alpha_error / self.alpha_seen)
    }
}

fn score(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| (255.0 - sum / count as f64) / 255.0)
}

fn mean_difference(a: &[[f32; 3]], b: &[[f32; 3]]) -> f64 {
    let pixel = |(a, b): (&[f32; 3], &[f32; 3])| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum()
    };
    a.iter().zip(b).map(pixel).sum::<f64>() / (3 * a.len().max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, disc, measure};

    #[test]
    fn a_clip_that_stands_still_scores_1_everywhere() {
        let still = measure(
            &clip([5, 40, 32], |_, x, y| [0.3, x as f32 / 40.0, 0.1, y as f32 / 32.0]),
            None,
        );
        assert_eq!((still.temporal_flickering, still.smoothness), (Some(1.0), Some(1.0)));
        assert_eq!(still.alpha_flicker, Some(0.0));
    }

    #[test]
    fn flickering_is_the_mean_difference_over_white() {
        // Every other frame 51 of 255 darker, of half the pixels.
        let level = |t: usize| if t.is_multiple_of(2) { 1.0 } else { 0.8 };
        let frames = clip([5, 32, 32], |t, x, _| {
            let v = if x < 16 { level(t) } else { 0.5 };
            [v, v, v, 1.0]
        });
        let found = measure(&frames, None);
        assert!((found.temporal_flickering.unwrap() - (1.0 - 0.1)).abs() < 1e-9);
        // It is not foretold either.
        assert!((found.smoothness.unwrap() - (1.0 - 0.1)).abs() < 1e-9);
        assert_eq!(found.alpha_flicker, Some(0.0));
        // Under alpha 0 nothing flickers.
        let hidden = clip([5, 32, 32], |t, _, _| [level(t), 0.0, 0.0, 0.0]);
        assert_eq!(measure(&hidden, None).temporal_flickering, Some(1.0));
    }

    #[test]
    fn even_motion_is_smooth_though_it_changes_and_a_jolt_is_not() {
        let at = |places: [f64; 7]| {
            let frames =
                clip([7, 96, 64], |t, x, y| [0.1, 0.2, 0.9, disc(x, y, [places[t], 32.0], 12.0)]);
            measure(&frames, None)
        };
        let even = at([24.0, 28.0, 32.0, 36.0, 40.0, 44.0, 48.0]);
        let jolt = at([24.0, 34.0, 32.0, 42.0, 40.0, 50.0, 48.0]);
        assert!(even.temporal_flickering.unwrap() < 0.99);
        assert_eq!(even.smoothness, Some(1.0));
        assert_eq!(even.alpha_flicker, Some(0.0));
        assert!(jolt.smoothness.unwrap() < 0.985, "{:?}", jolt.smoothness);
        assert!(jolt.alpha_flicker.unwrap() > 0.2, "{:?}", jolt.alpha_flicker);
    }

    #[test]
    fn a_subject_that_changes_a_little_on_its_way_is_not_taken_for_gone() {
        let frames = clip([7, 96, 96], |t, x, y| {
            let radius = 9.0 + 0.4 * (2.0 * t as f64).sin();
            [0.2, 0.7, 0.3, disc(x, y, [20.0 + 5.0 * t as f64, 30.0 + 3.0 * t as f64], radius)]
        });
        let flicker = measure(&frames, None).alpha_flicker.unwrap();
        assert!((0.001..0.12).contains(&flicker), "{flicker}");
    }

    #[test]
    fn alpha_that_comes_and_goes_flickers_wholly() {
        let blink = clip([5, 32, 32], |t, _, _| [0.5, 0.5, 0.5, (t % 2) as f32]);
        assert_eq!(measure(&blink, None).alpha_flicker, Some(1.0));
    }
}
