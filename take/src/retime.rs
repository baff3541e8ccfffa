//! A take on a timeline of another rate: one rule for the node and for files that are exported.
//!
//! Frame `t` of the timeline lies at `t · take rate / timeline rate` of the take. What shows there is the
//! nearest frame of the take, or a blend of the two around it; or the take is not converted at all, and
//! each of its frames is one of the timeline.

use half::f16;

/// What shows between two frames of a take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateConversion {
    /// The nearer one; halfway, the later one.
    #[default]
    Nearest,
    /// A blend of the two.
    Blend,
    /// Nothing does: each frame of the take is one of the timeline, and plays as fast as that is.
    FrameForFrame,
}

/// Which frames of a take show: one, or two and how far it is from the first to the second, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShownFrames {
    /// This one, as it is.
    One(u32),
    /// What lies between these two.
    Between(u32, u32, f32),
}

/// How a whole take becomes frames of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retime {
    /// Frames per second of the timeline.
    pub rate: u32,
    /// What shows between two frames of the take.
    pub conversion: RateConversion,
}

impl Retime {
    /// How many frames of the timeline a take of `frames` at `take_rate` a second covers: from its first
    /// frame to its last. At least 1.
    #[must_use]
    pub fn frames(self, frames: u32, take_rate: u32) -> u32 {
        let last = f64::from(frames.saturating_sub(1)) / self.pace(take_rate);
        // `as` saturates.
        (last.round() as u32).saturating_add(1)
    }

    /// What shows on frame `at` of those.
    #[must_use]
    pub fn shown(self, at: u32, frames: u32, take_rate: u32) -> ShownFrames {
        let last = frames.saturating_sub(1);
        let exact = (f64::from(at) * self.pace(take_rate)).min(f64::from(last));
        let part = (exact - exact.floor()) as f32;
        if self.conversion != RateConversion::Blend || part == 0.0 {
            return ShownFrames::One(((exact + 0.5).floor() as u32).min(last));
        }
        let before = exact.floor() as u32;
        ShownFrames::Between(before, before.saturating_add(1).min(last), part)
    }

    /// Frames of the take in one of the timeline.
    fn pace(self, take_rate: u32) -> f64 {
        match self.conversion {
            RateConversion::FrameForFrame => 1.0,
            _ => f64::from(take_rate) / f64::from(self.rate.max(1)),
        }
    }
}

/// What lies between two frames of one size, `part` of the way from the first to the second, 0 to 1:
/// straight, display-referred RGBA. Colors count by their alpha, so that what is transparent in one
/// frame lends the other no color. As long as the shorter one.
#[must_use]
pub fn blend(first: &[f16], second: &[f16], part: f32) -> Vec<f16> {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let (first, second) = (first.as_chunks::<4>().0, second.as_chunks::<4>().0);
    let pixels = first.iter().zip(second).map(|(before, after)| {
        between(before.map(f16::to_f32), after.map(f16::to_f32), part).map(f16::from_f32)
    });
    pixels.flatten().collect()
}

fn between(before: [f32; 4], after: [f32; 4], part: f32) -> [f32; 4] {
    let weights = [before[3] * (1.0 - part), after[3] * part];
    let alpha = weights[0] + weights[1];
    if alpha.is_nan() || alpha <= 0.0 {
        return [0.0; 4];
    }
    let color =
        |channel: usize| (before[channel] * weights[0] + after[channel] * weights[1]) / alpha;
    [color(0), color(1), color(2), alpha]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(rate: u32, conversion: RateConversion, frames: u32) -> Vec<ShownFrames> {
        let retime = Retime { rate, conversion };
        (0..retime.frames(frames, 16)).map(|at| retime.shown(at, frames, 16)).collect()
    }

    #[test]
    fn the_usual_timelines_show_what_is_stated() {
        use ShownFrames::{Between, One};
        let nearest = |rate| all(rate, RateConversion::Nearest, 9);
        assert_eq!(nearest(24), [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8].map(One));
        assert_eq!(nearest(25)[..8], [0, 1, 1, 2, 3, 3, 4, 4].map(One));
        assert_eq!(nearest(30)[..8], [0, 1, 1, 2, 2, 3, 3, 4].map(One));
        assert_eq!(nearest(16), (0..9).map(One).collect::<Vec<_>>());
        let blended = all(32, RateConversion::Blend, 3);
        assert_eq!(blended, [One(0), Between(0, 1, 0.5), One(1), Between(1, 2, 0.5), One(2)]);
        let one_each = all(24, RateConversion::FrameForFrame, 5);
        assert_eq!(one_each, (0..5).map(One).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_frame_is_the_last_of_the_take_at_every_rate() {
        for (rate, frames) in [(24, 81), (25, 81), (30, 81), (60, 5), (1, 81), (240, 1)] {
            for conversion in [RateConversion::Nearest, RateConversion::Blend] {
                let shown = all(rate, conversion, frames);
                let last = match shown.last().unwrap() {
                    ShownFrames::One(last) | ShownFrames::Between(_, last, _) => *last,
                };
                assert_eq!((shown[0], last), (ShownFrames::One(0), frames - 1), "{rate}");
            }
        }
        let counts = [24, 25, 30].map(|rate| all(rate, RateConversion::Nearest, 81).len());
        assert_eq!(counts, [121, 126, 151]);
    }

    #[test]
    fn colors_count_by_their_alpha() {
        let frame = |pixels: [[f32; 4]; 3]| {
            pixels.as_flattened().iter().map(|value| f16::from_f32(*value)).collect::<Vec<_>>()
        };
        let first = frame([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.0], [0.2, 0.2, 0.2, 0.5]]);
        let second = frame([[0.0, 1.0, 0.0, 0.0], [0.1, 0.1, 0.1, 0.0], [0.6, 0.6, 0.6, 0.5]]);
        let quarter = blend(&first, &second, 0.25);
        let expected = [1.0, 0.0, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.5];
        for (found, expected) in quarter.iter().zip(expected) {
            assert!((found.to_f32() - expected).abs() < 1e-3, "{quarter:?}");
        }
        for (part, whole) in [(0.0, &first), (1.0, &second), (f32::NAN, &first)] {
            let alphas = |values: &[f16]| [values[3], values[7], values[11]];
            assert_eq!(alphas(&blend(&first, &second, part)), alphas(whole));
        }
    }
}
