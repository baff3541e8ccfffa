//! From the values of a file to light.

use std::fmt;
use std::sync::Arc;

use wan_alpha_take::color::to_linear;

/// What a stored value means as light.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TransferCurve {
    /// That of IEC 61966-2-1.
    Srgb,
    /// Light itself.
    Linear,
    /// A power; below 0 mirrored.
    Power(f32),
    /// A power of 2.4 that comes back as it went: values for a display of Rec.709 that are shown as
    /// those of sRGB.
    Display,
    /// Evenly spaced values of the curve, from 0 to 1.
    Table(Arc<[f32]>),
    /// ICC's parametric curve of kind 4: power, a, b, c, d, e, f.
    Parametric([f32; 7]),
}

/// Curves that are nowhere further apart than this are taken for the same.
const SAME: f32 = 1.5e-3;

impl TransferCurve {
    /// The power of displays of Rec.709 and Rec.2020 (ITU-R BT.1886).
    pub(crate) const REC_709: f32 = 2.4;

    /// The curve that the Color Interop Forum calls so.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        Some(match id {
            "lin" => Self::Linear,
            "srgb" => Self::Srgb,
            "g18" => Self::Power(1.8),
            "g22" => Self::Power(2.2),
            "g24" => Self::Power(2.4),
            "g26" => Self::Power(2.6),
            _ => return None,
        })
    }

    /// The curve of PNG's gAMA: the power by which light was stored.
    pub(crate) fn of_png_gamma(gamma: f32) -> Self {
        let power = 1.0 / gamma;
        let plain =
            [1.0, 1.8, 2.2, 2.4, 2.6].into_iter().find(|plain| (power - plain).abs() < 1e-3);
        match plain {
            Some(1.0) => Self::Linear,
            Some(plain) => Self::Power(plain),
            None => Self::Power(power),
        }
    }

    /// Itself, or the plain curve that it is within what a file rounds to.
    pub(crate) fn simplified(self) -> Self {
        let plain =
            [Self::Srgb, Self::Linear, Self::Power(2.2), Self::Power(2.4), Self::Power(1.8)];
        plain.into_iter().find(|plain| self.is_near(plain)).unwrap_or(self)
    }

    /// Whether two curves are the same as far as anybody sees.
    pub(crate) fn is_near(&self, other: &Self) -> bool {
        (0..=256).all(|step| {
            let value = step as f32 / 256.0;
            (self.to_light(value) - other.to_light(value)).abs() < SAME
        })
    }

    /// Whether a picture can have been stored so: it goes from black to white, never down, and leaves the
    /// middle between the two (gamma 0.75 to 4.6).
    pub(crate) fn is_plausible(&self) -> bool {
        const MIDDLE: std::ops::RangeInclusive<f32> = 0.04..=0.6;
        const STEPS: usize = 256;
        let light = |step: usize| self.to_light(step as f32 / STEPS as f32);
        light(0).abs() < 0.05
            && (light(STEPS) - 1.0).abs() < 0.05
            && MIDDLE.contains(&light(STEPS / 2))
            && (0..STEPS).all(|step| light(step + 1) >= light(step) - SAME)
    }

    /// Light of a stored value.
    pub(super) fn to_light(&self, value: f32) -> f32 {
        let powered = |power: f32| value.abs().powf(power).copysign(value);
        match self {
            Self::Srgb => to_linear(value),
            Self::Linear => value,
            Self::Power(power) => powered(*power),
            Self::Display => powered(Self::REC_709),
            Self::Table(table) => between(table, value),
            Self::Parametric([g, a, b, c, d, e, f]) => {
                if value >= *d {
                    (a * value + b).max(0.0).powf(*g) + e
                } else {
                    c * value + f
                }
            }
        }
    }

    /// The stored value of light on a display of Rec.709.
    pub(super) fn from_light_of_display(light: f32) -> f32 {
        light.abs().powf(1.0 / Self::REC_709).copysign(light)
    }

    /// What it is, after "with".
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Srgb => "the curve of sRGB".to_owned(),
            Self::Linear => "linear light".to_owned(),
            Self::Power(power) => format!("gamma {power}"),
            Self::Display => "gamma 2.4".to_owned(),
            Self::Table(_) | Self::Parametric(_) => "a curve of its own".to_owned(),
        }
    }
}

/// As the Color Interop Forum has it, where it has it.
impl fmt::Display for TransferCurve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Srgb => formatter.write_str("srgb"),
            Self::Linear => formatter.write_str("lin"),
            Self::Power(power) => write!(formatter, "g{:.0}", power * 10.0),
            Self::Display => formatter.write_str("g24"),
            Self::Table(_) | Self::Parametric(_) => formatter.write_str("own"),
        }
    }
}

fn between(table: &[f32], value: f32) -> f32 {
    let last = table.len().saturating_sub(1);
    let place = value.clamp(0.0, 1.0) * last as f32;
    let below = (place as usize).min(last);
    let (Some(low), Some(high)) = (table.get(below), table.get((below + 1).min(last))) else {
        return value;
    };
    low + (high - low) * (place - below as f32)
}
