//! Simple statistics of what a subject looks like, wherever it is, however large and of whatever
//! color; and whether kinds can be told apart by them.

use std::collections::BTreeMap;

use wan_alpha_take::frame::OwnedFrame;

/// Rings around the center of alpha, each a quarter of its root mean square radius wide.
const RINGS: usize = 8;
const RING: f64 = 0.25;

/// Alpha and its variation in each ring, lightness in each ring, and seven numbers of the whole.
const COUNT: usize = 3 * RINGS + 7;

/// The statistics of a clip, means over its frames.
pub(in crate::eval) type Features = [f64; COUNT];

/// Sums over the frames with a subject so far.
pub(super) struct KindMeter {
    sums: Features,
    frames: f64,
}

impl Default for KindMeter {
    fn default() -> Self {
        Self { sums: [0.0; COUNT], frames: 0.0 }
    }
}

impl KindMeter {
    pub(super) fn push(&mut self, frame: &OwnedFrame, alpha: &[f32]) {
        if let Some(features) = features(frame, alpha) {
            for (sum, value) in self.sums.iter_mut().zip(features) {
                *sum += value;
            }
            self.frames += 1.0;
        }
    }

    pub(super) fn finish(self) -> Option<Features> {
        (self.frames > 0.0).then(|| self.sums.map(|sum| sum / self.frames))
    }
}

/// `None` of a frame without a subject.
fn features(frame: &OwnedFrame, alpha: &[f32]) -> Option<Features> {
    let shape = SubjectShape::of(frame)?;
    let (radius, light) = (shape.radius(), shape.light);
    let mut found = [0.0; COUNT];
    for (ring, [count, a, aa, seen]) in sums_in_rings(frame, &shape).into_iter().enumerate() {
        let count = f64::max(count, 1.0);
        found[ring] = a / count;
        found[RINGS + ring] = f64::max(aa / count - (a / count).powi(2), 0.0).sqrt();
        found[2 * RINGS + ring] = if a > 0.5 { seen / a - light } else { 0.0 };
    }
    let SubjectShape { mass, squared, xx, yy, xy, skew, .. } = shape;
    let spread = ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt();
    let (edge, texture) = gradients(frame, alpha);
    let whole = [
        squared / mass,
        ((xx + yy - spread).max(0.0) / (xx + yy + spread).max(1e-9)).sqrt(),
        (xx - yy) / (xx + yy).max(1e-9),
        skew / radius.powi(3),
        (edge / radius).ln_1p(),
        (radius * texture / mass).ln_1p(),
        mass / (radius * radius),
    ];
    found[3 * RINGS..].copy_from_slice(&whole);
    Some(found)
}

/// Where the pixels of a frame are, their alpha and their lightness.
fn pixels(frame: &OwnedFrame) -> impl Iterator<Item = (f64, f64, f64, f64)> {
    let width = frame.width;
    frame.pixels().iter().enumerate().map(move |(place, pixel)| {
        let (x, y) = ((place % width) as f64, (place / width) as f64);
        let lightness = f64::from(pixel[0].max(pixel[1]).max(pixel[2]));
        (x, y, f64::from(pixel[3]), lightness)
    })
}

/// Moments of a subject's alpha, in pixels.
struct SubjectShape {
    /// The sum of alpha.
    mass: f64,
    /// The sum of its squares.
    squared: f64,
    /// The middle of alpha.
    x0: f64,
    y0: f64,
    /// Mean lightness, as far as it is seen.
    light: f64,
    /// Second central moments of alpha, across and up.
    xx: f64,
    yy: f64,
    xy: f64,
    /// The third central moment of the rows.
    skew: f64,
}

impl SubjectShape {
    /// `None` of a frame without a subject.
    fn of(frame: &OwnedFrame) -> Option<Self> {
        let (mut mass, mut squared, mut x0, mut y0, mut light) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y, a, l) in pixels(frame) {
            mass += a;
            squared += a * a;
            x0 += a * x;
            y0 += a * y;
            light += a * l;
        }
        // A few pixels have no shape.
        if mass < 4.0 {
            return None;
        }
        (x0, y0, light) = (x0 / mass, y0 / mass, light / mass);
        let (mut xx, mut yy, mut xy, mut skew) = (0.0, 0.0, 0.0, 0.0);
        for (x, y, a, _) in pixels(frame) {
            let (x, y) = (x - x0, y - y0);
            xx += a * x * x / mass;
            yy += a * y * y / mass;
            xy += a * x * y / mass;
            skew += a * y * y * y / mass;
        }
        Some(Self { mass, squared, x0, y0, light, xx, yy, xy, skew })
    }

    /// Root mean square distance of alpha from its middle.
    fn radius(&self) -> f64 {
        (self.xx + self.yy).sqrt().max(0.5)
    }
}

/// Per ring around the middle of alpha: pixels, alpha, alpha², lightness seen.
fn sums_in_rings(frame: &OwnedFrame, shape: &SubjectShape) -> [[f64; 4]; RINGS] {
    let radius = shape.radius();
    let mut rings = [[0.0; 4]; RINGS];
    for (x, y, a, l) in pixels(frame) {
        let ring = ((x - shape.x0).hypot(y - shape.y0) / radius / RING) as usize;
        if let Some(sums) = rings.get_mut(ring) {
            for (sum, value) in sums.iter_mut().zip([1.0, a, a * a, a * l]) {
                *sum += value;
            }
        }
    }
    rings
}

/// Sums of the steepness of alpha, and of that of lightness where it is seen.
fn gradients(frame: &OwnedFrame, alpha: &[f32]) -> (f64, f64) {
    let (pixels, width) = (frame.pixels(), frame.width);
    let light = |at: usize| f64::from(pixels[at][0].max(pixels[at][1]).max(pixels[at][2]));
    let (mut edge, mut texture) = (0.0, 0.0);
    for y in 1..frame.height {
        for x in 1..width {
            let at = y * width + x;
            let [a, left, above] = [at, at - 1, at - width].map(|at| f64::from(alpha[at]));
            edge += (a - left).hypot(a - above);
            let here = light(at);
            texture += a * left * above * (here - light(at - 1)).hypot(here - light(at - width));
        }
    }
    (edge, texture)
}

/// For each clip the kind of the clip nearest to it, itself left out; statistics are brought to the
/// same spread first. `None` of a clip without statistics.
pub(in crate::eval) fn told_apart<'a>(
    clips: &[(Option<Features>, &'a str)],
) -> Vec<Option<&'a str>> {
    let known: Vec<&Features> =
        clips.iter().filter_map(|(features, _)| features.as_ref()).collect();
    let count = known.len().max(1) as f64;
    let scales: Vec<f64> = (0..COUNT)
        .map(|place| {
            let mean = known.iter().map(|features| features[place]).sum::<f64>() / count;
            let squared = known.iter().map(|features| (features[place] - mean).powi(2));
            (squared.sum::<f64>() / count).sqrt().max(1e-9)
        })
        .collect();
    let distance = |a: &Features, b: &Features| -> f64 {
        let each = a.iter().zip(b).zip(&scales);
        each.map(|((a, b), scale)| ((a - b) / scale).powi(2)).sum()
    };
    let nearest = |place: usize| {
        let own = clips[place].0.as_ref()?;
        let others = clips.iter().enumerate().filter(|(other, _)| *other != place);
        let measured =
            others.filter_map(|(_, (other, kind))| Some((distance(own, other.as_ref()?), *kind)));
        measured.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, kind)| kind)
    };
    (0..clips.len()).map(nearest).collect()
}

/// How often each kind was taken for each other.
pub(in crate::eval) fn confusion<'a>(
    kinds: &[&'a str],
    nearest: &[Option<&'a str>],
) -> BTreeMap<&'a str, BTreeMap<&'a str, usize>> {
    let mut counts = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (kind, nearest) in kinds.iter().zip(nearest) {
        *counts.entry(*kind).or_default().entry(nearest.unwrap_or("nothing")).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, measure};
    use super::*;

    /// A ball, a ring or a haze of some size, place and color.
    fn draw(kind: &str, number: usize) -> Option<Features> {
        let radius = 12.0 + 3.0 * number as f64;
        let center = [36.0 + 5.0 * number as f64, 60.0 - 4.0 * number as f64];
        let frames = clip([1, 96, 96], |_, x, y| {
            let far = (x as f64 - center[0]).hypot(y as f64 - center[1]) / radius;
            let alpha = match kind {
                "ball" => f64::from(u8::from(far <= 1.0)),
                "ring" => f64::from(u8::from((0.6..=1.0).contains(&far))),
                _ => 0.7 * (-far * far * 2.0).exp(),
            };
            let tone = [0.9, 0.2 * number as f32, 0.1];
            [tone[0], tone[1], tone[2], alpha as f32]
        });
        measure(&frames, None).features
    }

    #[test]
    fn kinds_are_told_apart_whatever_their_size_place_and_color() {
        let kinds = ["ball", "ring", "haze"];
        let clips: Vec<_> = kinds
            .into_iter()
            .flat_map(|kind| (0..4).map(move |number| (draw(kind, number), kind)))
            .collect();
        let nearest = told_apart(&clips);
        assert!(clips.iter().zip(&nearest).all(|((_, kind), found)| *found == Some(kind)));
        // What does not look like its label is not told apart by it.
        let mut mixed = clips.clone();
        mixed[0].1 = "ring";
        assert_eq!(told_apart(&mixed)[0], Some("ball"));
        let names: Vec<&str> = mixed.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(confusion(&names, &told_apart(&mixed))["ring"]["ball"], 1);
    }

    #[test]
    fn an_empty_clip_is_near_nothing() {
        let ball = draw("ball", 0);
        assert_eq!(told_apart(&[(None, "ball"), (ball, "ball")]), [None, None]);
    }
}
