//! A frame between two frames of a take.

#![forbid(unsafe_code)]

use half::f16;

use super::source::Source;

/// What lies between two frames of one size, `part` of the way from the first to the second, 0 to 1:
/// straight, display-referred values. Colors count by their alpha, so that what is transparent in one
/// frame lends the other no color. Where the sizes differ it is the first one.
#[must_use]
pub fn blend(first: Source<'_>, second: Source<'_>, part: f32) -> Vec<f16> {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let is_alike = first.size() == second.size();
    let rows = usize::try_from(first.size()[1]).unwrap_or(0);
    let mut blended = Vec::new();
    for row in 0..rows {
        let before = first.row(row);
        let after = if is_alike { second.row(row) } else { before };
        for (before, after) in before.iter().zip(after) {
            blended.extend(
                between(before.map(f16::to_f32), after.map(f16::to_f32), part).map(f16::from_f32),
            );
        }
    }
    blended
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

    fn frame(pixels: &[[f32; 4]]) -> Vec<f16> {
        pixels.iter().flatten().map(|value| f16::from_f32(*value)).collect()
    }

    #[test]
    fn colors_count_by_their_alpha() {
        let first = frame(&[[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.0], [0.2, 0.2, 0.2, 0.5]]);
        let second = frame(&[[0.0, 1.0, 0.0, 0.0], [0.1, 0.1, 0.1, 0.0], [0.6, 0.6, 0.6, 0.5]]);
        let source = |frame| Source::new(frame, [3, 1]).unwrap();
        let [first, second] = [&first, &second].map(|frame| source(frame));
        let quarter = blend(first, second, 0.25);
        let expected = [1.0, 0.0, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.5];
        for (found, expected) in quarter.iter().zip(expected) {
            assert!((found.to_f32() - expected).abs() < 1e-3, "{quarter:?}");
        }
        for (part, whole) in [(0.0, first), (1.0, second)] {
            let alphas = |values: &[f16]| [values[3], values[7], values[11]];
            assert_eq!(
                alphas(&blend(first, second, part)),
                [0, 1, 2].map(|at| whole.row(0)[at][3])
            );
        }
    }
}
