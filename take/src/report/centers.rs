//! Whether a subject is where it was asked to be, by the centers of ellipses.

use crate::ellipse::Ellipse;

/// An asked ellipse moves if its center does by this much, in frame heights.
const MOVES: f64 = 0.05;

/// Fewer places than this are no way.
const WAY: usize = 3;

/// Asked and found centers beside each other. `None` where there is nothing to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CenterMatch {
    /// Mean distance of the centers, in frame heights.
    pub distance: Option<f64>,
    /// Correlation over time of asked and found center, −1 to 1, of an ellipse that moves.
    pub follows: Option<f64>,
    /// Mean centers over time, asked and found: fractions of the frame, y up.
    pub means: Option<[[f64; 2]; 2]>,
}

impl CenterMatch {
    /// Of the asked and the found ellipse of each latent frame in which there is a subject, in order;
    /// frames are `width` × `height` pixels.
    #[must_use]
    pub fn of(
        pairs: impl IntoIterator<Item = (Ellipse, Ellipse)>,
        [width, height]: [usize; 2],
    ) -> Self {
        let aspect = width as f64 / height.max(1) as f64;
        let at = |ellipse: &Ellipse| [ellipse.x * aspect, ellipse.y];
        let (wanted, got): (Vec<_>, Vec<_>) =
            pairs.into_iter().map(|(asked, found)| (at(&asked), at(&found))).unzip();
        let distances = wanted.iter().zip(&got).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
        let on_frame = |[x, y]: [f64; 2]| [x / aspect, y];
        Self {
            distance: mean(distances),
            follows: follows(&wanted, &got),
            means: middle(&wanted).zip(middle(&got)).map(|(a, b)| [on_frame(a), on_frame(b)]),
        }
    }
}

/// Σ a·f / √(Σ|a|² Σ|f|²) of the ways of the two from their means.
fn follows(asked: &[[f64; 2]], found: &[[f64; 2]]) -> Option<f64> {
    let way = |axis: usize| {
        let places = asked.iter().map(|place| place[axis]);
        places.clone().fold(f64::MIN, f64::max) - places.fold(f64::MAX, f64::min)
    };
    if asked.len() < WAY || way(0).hypot(way(1)) < MOVES {
        return None;
    }
    let (a, f) = (middle(asked)?, middle(found)?);
    let (mut both, mut asked_alone, mut found_alone) = (0.0, 0.0, 0.0);
    for (asked, found) in asked.iter().zip(found) {
        for axis in 0..2 {
            let (asked, found) = (asked[axis] - a[axis], found[axis] - f[axis]);
            both += asked * found;
            asked_alone += asked * asked;
            found_alone += found * found;
        }
    }
    // What does not move at all does not follow.
    Some(if found_alone > 0.0 { both / (asked_alone * found_alone).sqrt() } else { 0.0 })
}

fn middle(places: &[[f64; 2]]) -> Option<[f64; 2]> {
    let axis = |axis: usize| mean(places.iter().map(|place| place[axis]));
    Some([axis(0)?, axis(1)?])
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
