//! What the numbers of a picture mean as colors, and the way from there to what the model speaks:
//! display-referred sRGB.
//!
//! A space is a curve and a matrix: stored value to light, and that light to light of Rec.709 with
//! the white of D65 (Bradford's adaptation, as OpenColorIO's configurations have it). sRGB is left
//! as it stands, bit for bit; linear Rec.709 takes the project's one transfer.

mod curve;
mod primaries;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use wan_alpha_take::color::to_display;

pub(super) use curve::TransferCurve;
pub(super) use primaries::{Matrix, Primaries, of_d50_colorants};

/// A color space with a name for messages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColorSpace {
    name: String,
    curve: TransferCurve,
    /// Linear light to that of Rec.709; None where it is that.
    to_rec_709: Option<[[f32; 3]; 3]>,
}

/// The spaces that have a name on the command line: this name, that of the Color Interop Forum, and
/// the one for people.
const NAMED: [(&str, &str, &str); 10] = [
    ("srgb", "srgb_rec709_scene", "sRGB"),
    ("linear", "lin_rec709_scene", "linear Rec.709"),
    ("rec709", "g24_rec709_display", "Rec.709 with gamma 2.4"),
    ("display-p3", "srgb_p3d65_display", "Display P3"),
    ("linear-p3", "lin_p3d65_scene", "linear P3-D65"),
    ("rec2020", "g24_rec2020_display", "Rec.2020 with gamma 2.4"),
    ("linear-rec2020", "lin_rec2020_scene", "linear Rec.2020"),
    ("acescg", "lin_ap1_scene", "ACEScg"),
    ("aces2065-1", "lin_ap0_scene", "ACES2065-1"),
    ("adobe-rgb", "g22_adobergb_scene", "Adobe RGB (1998)"),
];

/// A name of a color space that stands for none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no color space that is known here: expected srgb, linear, rec709, display-p3, \
     linear-p3, rec2020, linear-rec2020, acescg, aces2065-1 or adobe-rgb, or a name of the Color \
     Interop Forum such as lin_ap1_scene"
)]
pub(crate) struct UnknownColorSpace {
    found: String,
}

impl ColorSpace {
    /// What the model speaks.
    pub(crate) fn srgb() -> Self {
        Self { name: "sRGB".to_owned(), curve: TransferCurve::Srgb, to_rec_709: None }
    }

    /// What this program writes EXR in.
    pub(crate) fn linear_rec_709() -> Self {
        Self { name: "linear Rec.709".to_owned(), curve: TransferCurve::Linear, to_rec_709: None }
    }

    /// A space of known parts, called by its usual name where it has one.
    pub(super) fn new(curve: TransferCurve, primaries: &Primaries) -> Option<Self> {
        let name = format!("{curve}_{}", primaries.id);
        let named = NAMED.iter().find(|(_, id, _)| id.starts_with(&name));
        let name = named.map_or_else(
            || format!("{} with {}", primaries.name, curve.in_words()),
            |(_, _, words)| (*words).to_owned(),
        );
        let to_rec_709 = if primaries.is_rec_709() { None } else { Some(primaries.to_rec_709()?) };
        Some(Self { name, curve, to_rec_709: to_rec_709.map(single) })
    }

    /// A space that its own numbers describe; `matrix` is from its light to that of Rec.709. One that
    /// is nearly a known space is that.
    pub(super) fn measured(name: &str, curve: TransferCurve, matrix: Option<Matrix>) -> Self {
        let to_rec_709 = match matrix {
            None => None,
            Some(matrix) => match Primaries::nearest(&matrix) {
                Some(known) => {
                    if let Some(space) = Self::new(curve.clone(), known) {
                        return space;
                    }
                    Some(single(matrix))
                }
                None => Some(single(matrix)),
            },
        };
        Self { name: name.to_owned(), curve, to_rec_709 }
    }

    /// Whether two spaces have the same primaries and white.
    pub(super) fn has_primaries_of(&self, other: &Self) -> bool {
        self.to_rec_709 == other.to_rec_709
    }

    /// The same colors with values in which Rec.709's curve is taken for sRGB's, as displays of
    /// movies do: only other primaries change anything.
    pub(super) fn kept_on_rec_709_display(self) -> Self {
        let curve = match self.curve {
            TransferCurve::Power(power) if power == TransferCurve::REC_709 => {
                TransferCurve::Display
            }
            other => other,
        };
        Self { curve, ..self }
    }

    /// The matrix between RGB and YUV in the standard for movies of this space, as ffmpeg calls it; None
    /// where no standard for movies has it.
    pub(super) fn movie_matrix(&self) -> Option<&'static str> {
        let movie = |primaries: &str| {
            let curve = TransferCurve::Power(TransferCurve::REC_709);
            Primaries::of_id(primaries).and_then(|primaries| Self::new(curve, primaries))
        };
        if movie("rec709").is_some_and(|space| space == *self) {
            return Some("bt709");
        }
        movie("rec2020").filter(|space| space.has_primaries_of(self)).map(|_| "bt2020nc")
    }

    /// Whether values of both are shown alike, bit for bit.
    pub(super) fn shows_as(&self, other: &Self) -> bool {
        let kept = |space: &Self| {
            let curves = [TransferCurve::Srgb, TransferCurve::Display];
            space.to_rec_709.is_none() && curves.contains(&space.curve)
        };
        self == other || (kept(self) && kept(other))
    }

    /// A straight color of this space as the display-referred one of sRGB, not clipped.
    pub(super) fn to_srgb(&self, color: [f32; 3]) -> [f32; 3] {
        if self.to_rec_709.is_none()
            && matches!(self.curve, TransferCurve::Srgb | TransferCurve::Display)
        {
            return color;
        }
        let light = color.map(|value| self.curve.to_light(value));
        let light = match &self.to_rec_709 {
            None => light,
            Some(rows) => rows.map(|row| row[0] * light[0] + row[1] * light[1] + row[2] * light[2]),
        };
        match self.curve {
            TransferCurve::Display => light.map(TransferCurve::from_light_of_display),
            _ => light.map(display_of),
        }
    }
}

impl fmt::Display for ColorSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl FromStr for ColorSpace {
    type Err = UnknownColorSpace;

    fn from_str(text: &str) -> Result<Self, UnknownColorSpace> {
        let plain = text.to_ascii_lowercase();
        let id =
            NAMED.iter().find(|(name, ..)| *name == plain).map_or(plain.as_str(), |(_, id, _)| id);
        of_interop_id(id).ok_or_else(|| UnknownColorSpace { found: text.to_owned() })
    }
}

/// `CURVE_PRIMARIES_scene` or `…_display`, as the Color Interop Forum spells spaces that are not of
/// high dynamic range.
pub(super) fn of_interop_id(id: &str) -> Option<ColorSpace> {
    let (space, _) = id.rsplit_once('_').filter(|(_, kind)| ["scene", "display"].contains(kind))?;
    let (curve, primaries) = space.split_once('_')?;
    ColorSpace::new(TransferCurve::of_id(curve)?, Primaries::of_id(primaries)?)
}

/// [`to_display`], looked up where light is a half float from 2⁻¹⁴ to 1, as it is in most of an EXR file:
/// the curve costs more than all else of reading one.
fn display_of(light: f32) -> f32 {
    /// 2⁻¹⁴ as bits: the least half float that is not subnormal.
    const LEAST: u32 = 0x3880_0000;
    /// 1 as bits.
    const ONE: u32 = 0x3f80_0000;
    /// Bits of a float's fraction that a half float has not.
    const MORE: u32 = 13;
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let bits = light.to_bits();
    if !(LEAST..=ONE).contains(&bits) || bits.trailing_zeros() < MORE {
        return to_display(light);
    }
    let table = TABLE.get_or_init(|| {
        let halves = (LEAST >> MORE)..=(ONE >> MORE);
        halves.map(|half| to_display(f32::from_bits(half << MORE))).collect()
    });
    let place = ((bits - LEAST) >> MORE) as usize;
    table.get(place).copied().unwrap_or_else(|| to_display(light))
}

/// Linear light of Rec.709 as that of ACEScg.
pub(super) fn to_acescg(light: [f32; 3]) -> [f32; 3] {
    static TO_AP1: OnceLock<Option<[[f32; 3]; 3]>> = OnceLock::new();
    let rows = TO_AP1.get_or_init(|| Primaries::of_id("ap1")?.of_rec_709().map(single));
    let [r, g, b] = light;
    rows.as_ref().map_or(light, |rows| rows.map(|row| row[0] * r + row[1] * g + row[2] * b))
}

fn single(matrix: Matrix) -> [[f32; 3]; 3] {
    matrix.map(|row| row.map(|value| value as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::color::to_linear;

    /// OpenColorIO 2.6.0, cg-config v5: the first column, and a color in the middle.
    #[test]
    fn acescg_is_converted_as_opencolorio_does() {
        let space: ColorSpace = "acescg".parse().unwrap();
        assert_eq!(space.to_string(), "ACEScg");
        let light = |color| space.to_srgb(color).map(to_linear);
        // field's: Rec.709 red in AP1
        let red = light([0.613_10, 0.070_19, 0.020_62]);
        for (found, expected) in red.iter().zip([1.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-4, "{red:?}");
        }
        let gray = light([0.18; 3]);
        assert!(gray.iter().all(|value| (value - 0.18).abs() < 1e-5), "{gray:?}");
    }

    #[test]
    fn srgb_is_left_alone_and_linear_takes_the_one_transfer() {
        let color = [0.1, 0.5, 1.0 / 3.0];
        assert_eq!(ColorSpace::srgb().to_srgb(color), color);
        let linear: ColorSpace = "linear".parse().unwrap();
        assert_eq!(linear, ColorSpace::linear_rec_709());
        assert_eq!(linear.to_srgb(color), color.map(to_display));
        assert_eq!("srgb_rec709_display".parse::<ColorSpace>().unwrap().to_srgb(color), color);
    }

    #[test]
    fn what_is_looked_up_is_what_is_computed() {
        for half in 0..=u16::MAX {
            let light = half::f16::from_bits(half).to_f32();
            assert_eq!(display_of(light).to_bits(), to_display(light).to_bits(), "{light}");
            let near = f32::from_bits(light.to_bits() ^ 1);
            assert_eq!(display_of(near).to_bits(), to_display(near).to_bits(), "{near}");
        }
    }

    #[test]
    fn a_movie_of_rec_709_stays_as_it_is_shown() {
        let space: ColorSpace = "rec709".parse().unwrap();
        assert_ne!(space.to_srgb([0.5; 3]), [0.5; 3]);
        assert_eq!(space.kept_on_rec_709_display().to_srgb([0.5; 3]), [0.5; 3]);
        let wide: ColorSpace = "rec2020".parse().unwrap();
        let gray = wide.kept_on_rec_709_display().to_srgb([0.5; 3]);
        assert!(gray.iter().all(|value| (value - 0.5).abs() < 1e-5), "{gray:?}");
    }

    #[test]
    fn movies_of_rec_709_and_rec_2020_have_a_matrix_by_their_standards() {
        for (name, matrix) in [
            ("rec709", Some("bt709")),
            ("rec2020", Some("bt2020nc")),
            ("linear-rec2020", Some("bt2020nc")),
            ("srgb", None),
            ("linear", None),
            ("display-p3", None),
        ] {
            assert_eq!(name.parse::<ColorSpace>().unwrap().movie_matrix(), matrix, "{name}");
        }
    }

    #[test]
    fn names_are_known_or_refused_in_words() {
        for (name, _, words) in NAMED {
            assert_eq!(name.parse::<ColorSpace>().unwrap().to_string(), words);
        }
        for wrong in ["", "pq", "log_c", "lin_rec709", "pq_rec2020_display", "lin_mars_scene"] {
            let text = wrong.parse::<ColorSpace>().unwrap_err().to_string();
            assert!(text.contains("acescg") && text.contains(wrong), "{text}");
        }
    }
}
