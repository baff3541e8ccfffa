//! ICC profiles, as far as a picture for the model may have one: three primaries and a curve, or a
//! curve for gray. Everything else is told as unknown.

use moxcms::{ColorProfile, DataColorSpace, ProfileText, ToneReprCurve};

use super::color_space::{ColorSpace, TransferCurve, of_d50_colorants};
use super::color_tag::{ColorTag, TagMeaning};

/// What a profile says.
pub(super) fn tag_of(bytes: &[u8]) -> Option<ColorTag> {
    let Ok(profile) = ColorProfile::new_from_slice(bytes) else {
        return Some(ColorTag::new("ICC profile", TagMeaning::Unreadable));
    };
    let name = name_of(&profile);
    let words = format!("ICC profile “{name}”");
    if let Some(cicp) = &profile.cicp {
        let codes = (cicp.color_primaries as u8, cicp.transfer_characteristics as u8);
        if let Some(tag) = ColorTag::of_code_points(&words, codes.0, codes.1) {
            return Some(tag);
        }
    }
    Some(ColorTag::new(words, meaning(&profile, &name).unwrap_or(TagMeaning::Unknown)))
}

fn meaning(profile: &ColorProfile, name: &str) -> Option<TagMeaning> {
    if profile.pcs != DataColorSpace::Xyz {
        return None;
    }
    let (curve, matrix) = match profile.color_space {
        DataColorSpace::Gray => (curve(profile.gray_trc.as_ref()?)?, None),
        DataColorSpace::Rgb => {
            let curves = [&profile.red_trc, &profile.green_trc, &profile.blue_trc];
            let [red, green, blue] = curves.map(|trc| curve(trc.as_ref()?));
            let (red, green, blue) = (red?, green?, blue?);
            if !(red.is_near(&green) && red.is_near(&blue)) {
                return None;
            }
            let colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
            let rows = [
                colorants.map(|color| color.x),
                colorants.map(|color| color.y),
                colorants.map(|color| color.z),
            ];
            (red, Some(of_d50_colorants(rows)?))
        }
        _ => return None,
    };
    if let Some(brighter) = high_dynamic_range(&curve) {
        return Some(TagMeaning::HighDynamicRange(brighter));
    }
    if !(curve.is_plausible() && matrix.is_none_or(|_| has_white_of_d50(profile))) {
        return Some(TagMeaning::Senseless);
    }
    let space = ColorSpace::measured(&format!("“{name}”"), curve.simplified(), matrix);
    Some(TagMeaning::Known(space))
}

/// Whether red, green and blue together are the white that profiles are connected by.
fn has_white_of_d50(profile: &ColorProfile) -> bool {
    const D50: [f64; 3] = [0.9642, 1.0, 0.8249];
    /// More than any rounding, less than another white.
    const NEAR: f64 = 0.08;
    let colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
    let sum = |part: fn(&moxcms::Xyzd) -> f64| colorants.iter().map(part).sum::<f64>();
    let white = [sum(|color| color.x), sum(|color| color.y), sum(|color| color.z)];
    white.iter().zip(D50).all(|(found, white)| (found - white).abs() < NEAR)
}

/// A curve that is that of PQ or HLG, brought to 0 … 1.
fn high_dynamic_range(curve: &TransferCurve) -> Option<&'static str> {
    const SAMPLES: usize = 1025;
    let of = |light: fn(f32) -> f32| {
        let value = |place: usize| light(place as f32 / (SAMPLES - 1) as f32);
        TransferCurve::Table((0..SAMPLES).map(value).collect())
    };
    let known = [("PQ", of(pq)), ("HLG", of(hlg))];
    known.into_iter().find_map(|(name, table)| curve.is_near(&table).then_some(name))
}

/// SMPTE ST 2084, 1 for 10,000 candelas per square meter.
fn pq(value: f32) -> f32 {
    let root = value.powf(1.0 / 78.84375);
    ((root - 0.8359375).max(0.0) / (18.851_563 - 18.6875 * root)).powf(1.0 / 0.159_301_76)
}

/// The inverse of the camera's curve of ARIB STD-B67.
fn hlg(value: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 1.0 - 4.0 * A;
    const C: f32 = 0.559_910_7;
    if value <= 0.5 { value * value / 3.0 } else { (((value - C) / A).exp() + B) / 12.0 }
}

fn curve(trc: &ToneReprCurve) -> Option<TransferCurve> {
    Some(match trc {
        ToneReprCurve::Lut(values) => match values.as_slice() {
            [] => TransferCurve::Linear,
            // A power with 8 bits behind the point.
            [power] => TransferCurve::Power(f32::from(*power) / 256.0),
            values => TransferCurve::Table(
                values.iter().map(|value| f32::from(*value) / 65535.0).collect(),
            ),
        },
        ToneReprCurve::Parametric(parameters) => {
            if !parameters.iter().all(|value| value.is_finite()) {
                return None;
            }
            match *parameters.as_slice() {
                [g] => TransferCurve::Power(g),
                [g, a, b] => TransferCurve::Parametric([g, a, b, 0.0, -b / a, 0.0, 0.0]),
                [g, a, b, c] => TransferCurve::Parametric([g, a, b, 0.0, -b / a, c, c]),
                [g, a, b, c, d] => TransferCurve::Parametric([g, a, b, c, d, 0.0, 0.0]),
                [g, a, b, c, d, e, f] => TransferCurve::Parametric([g, a, b, c, d, e, f]),
                _ => return None,
            }
        }
    })
}

fn name_of(profile: &ColorProfile) -> String {
    let text = match &profile.description {
        Some(ProfileText::PlainString(text)) => text.clone(),
        Some(ProfileText::Localizable(texts)) => {
            texts.first().map(|text| text.value.clone()).unwrap_or_default()
        }
        Some(ProfileText::Description(text)) => text.ascii_string.clone(),
        None => String::new(),
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if text.trim().is_empty() { "without a name".to_owned() } else { text.trim().to_owned() }
}
