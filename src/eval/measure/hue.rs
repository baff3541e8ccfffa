//! The color that a clip mostly has.

use std::str::FromStr;

use wan_alpha_take::frame::OwnedFrame;

const BINS: usize = 72;
const DEGREES: f64 = 360.0 / BINS as f64;

/// Bins to either side that the peak is sought and refined over.
const SPREAD: usize = 3;

/// Below this mean chroma (largest less smallest channel) a clip is white, gray or black.
const COLORLESS: f64 = 0.15;

/// Brighter is white, darker is black.
const WHITE: f64 = 0.7;
const BLACK: f64 = 0.25;

/// The colors that have a name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::eval) struct NamedHue(&'static str);

/// Hues in degrees, each the middle of what goes by its name on displays.
const HUES: [(NamedHue, f64); 8] = [
    (NamedHue("red"), 0.0),
    (NamedHue("orange"), 28.0),
    (NamedHue("yellow"), 53.0),
    (NamedHue("green"), 128.0),
    (NamedHue("cyan"), 185.0),
    (NamedHue("blue"), 229.0),
    (NamedHue("purple"), 274.0),
    (NamedHue("pink"), 329.0),
];

const GRAYS: [NamedHue; 3] = [NamedHue("white"), NamedHue("grey"), NamedHue("black")];

impl NamedHue {
    pub(in crate::eval) fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for NamedHue {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = HUES.iter().map(|(color, _)| *color).chain(GRAYS);
        all.clone().find(|color| color.0 == name).ok_or_else(|| {
            let names: Vec<_> = all.map(|color| color.0).collect();
            anyhow::anyhow!("no color `{name}`: there are {}", names.join(", "))
        })
    }
}

/// What color a clip has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::eval) struct Hue {
    /// The dominant hue in degrees; `None` of a colorless or an empty clip.
    pub(in crate::eval) angle: Option<f64>,
    /// Its name; `None` of an empty clip.
    pub(in crate::eval) color: Option<NamedHue>,
}

/// Sums over the frames so far, weighted by alpha.
pub(super) struct HueMeter {
    /// The chroma in each bin of hue.
    bins: [f64; BINS],
    chroma: f64,
    value: f64,
    alpha: f64,
}

impl Default for HueMeter {
    fn default() -> Self {
        Self { bins: [0.0; BINS], chroma: 0.0, value: 0.0, alpha: 0.0 }
    }
}

impl HueMeter {
    pub(super) fn push(&mut self, frame: &OwnedFrame) {
        for pixel in frame.pixels() {
            let [r, g, b, alpha] = pixel.map(f64::from);
            if alpha <= 0.0 {
                continue;
            }
            let most = r.max(g).max(b);
            let chroma = most - r.min(g).min(b);
            self.alpha += alpha;
            self.value += alpha * most;
            self.chroma += alpha * chroma;
            if chroma > 0.0 {
                let bin = (hue(r, g, b, most, chroma) / DEGREES) as usize % BINS;
                self.bins[bin] += alpha * chroma;
            }
        }
    }

    pub(super) fn finish(self) -> Hue {
        if self.alpha == 0.0 {
            return Hue { angle: None, color: None };
        }
        if self.chroma / self.alpha < COLORLESS {
            let [white, gray, black] = GRAYS;
            let color = match self.value / self.alpha {
                value if value >= WHITE => white,
                value if value <= BLACK => black,
                _ => gray,
            };
            return Hue { angle: None, color: Some(color) };
        }
        let angle = self.peak();
        let apart = |hue: f64| {
            let apart = (angle - hue).rem_euclid(360.0);
            apart.min(360.0 - apart)
        };
        let nearest = HUES.iter().min_by(|a, b| apart(a.1).total_cmp(&apart(b.1)));
        Hue { angle: Some(angle), color: nearest.map(|(color, _)| *color) }
    }

    /// The middle of where most of the chroma is.
    fn peak(&self) -> f64 {
        let around = |bin: usize| {
            (0..=2 * SPREAD).map(move |offset| {
                let distance = offset as f64 - SPREAD as f64;
                (distance, self.bins[(bin + BINS + offset - SPREAD) % BINS])
            })
        };
        let height = |bin: usize| -> f64 {
            let near = (SPREAD + 1) as f64;
            around(bin).map(|(distance, value)| value * (near - distance.abs())).sum()
        };
        let best = (0..BINS).max_by(|a, b| height(*a).total_cmp(&height(*b))).unwrap_or(0);
        let whole: f64 = around(best).map(|(_, value)| value).sum();
        let aside: f64 = around(best).map(|(distance, value)| distance * value).sum();
        let aside = if whole > 0.0 { aside / whole } else { 0.0 };
        ((best as f64 + 0.5 + aside) * DEGREES).rem_euclid(360.0)
    }
}

/// In degrees from red over green to blue.
fn hue(r: f64, g: f64, b: f64, most: f64, chroma: f64) -> f64 {
    let sixth = if most == r {
        ((g - b) / chroma).rem_euclid(6.0)
    } else if most == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    60.0 * sixth
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, disc, measure};
    use super::*;

    fn of([r, g, b]: [f32; 3]) -> Hue {
        // Shaded as a ball is, over what does not count: color under alpha 0.
        let frames = clip([1, 48, 48], |_, x, y| {
            let shade = 0.5 + x as f32 / 96.0;
            match disc(x, y, [24.0, 24.0], 16.0) {
                0.0 => [0.0, 1.0, 0.5, 0.0],
                alpha => [r * shade, g * shade, b * shade, alpha],
            }
        });
        measure(&frames, None).hue
    }

    #[test]
    fn a_shaded_subject_has_the_color_it_is_named_by() {
        for (name, rgb) in [
            ("red", [0.87, 0.09, 0.09]),
            ("orange", [0.96, 0.48, 0.05]),
            ("yellow", [0.97, 0.87, 0.10]),
            ("green", [0.12, 0.70, 0.20]),
            ("cyan", [0.08, 0.80, 0.86]),
            ("blue", [0.12, 0.27, 0.92]),
            ("purple", [0.53, 0.16, 0.82]),
            ("pink", [0.97, 0.40, 0.69]),
            ("white", [0.93, 0.93, 0.94]),
            ("grey", [0.6, 0.6, 0.6]),
            ("black", [0.1, 0.1, 0.1]),
        ] {
            assert_eq!(of(rgb).color, Some(name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn the_hue_is_that_of_the_most_not_the_mean() {
        // Two thirds blue, one third yellow: their mean would be gray.
        let frames =
            clip(
                [1, 30, 30],
                |_, x, _| {
                    if x < 20 { [0.0, 0.0, 1.0, 1.0] } else { [1.0, 1.0, 0.0, 1.0] }
                },
            );
        let found = measure(&frames, None).hue;
        assert!((found.angle.unwrap() - 240.0).abs() < 3.0, "{found:?}");
        // Red lies on both sides of 0.
        let red = of([0.9, 0.1, 0.11]).angle.unwrap();
        assert!(!(3.0..=357.0).contains(&red), "{red}");
    }

    #[test]
    fn a_color_without_a_name_here_is_refused_with_those_that_have_one() {
        let text = "mauve".parse::<NamedHue>().unwrap_err().to_string();
        assert!(text.contains("mauve") && text.contains("orange") && text.contains("grey"));
    }
}
