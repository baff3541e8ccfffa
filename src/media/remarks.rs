//! What is to be said of pictures that were read, each thing once.

use std::collections::BTreeSet;
use std::path::Path;

use super::color_space::ColorSpace;

/// What is to be said of the pictures of a clip, each thing once, with the file that it was first
/// found in.
#[derive(Clone, Debug, Default)]
pub(crate) struct PictureRemarks {
    known: BTreeSet<String>,
    lines: Vec<String>,
    /// The color space that the first picture was read in.
    space: Option<ColorSpace>,
}

impl PictureRemarks {
    /// Keeps what is new.
    pub(crate) fn add(&mut self, file: &Path, words: impl Into<String>) {
        let words = words.into();
        if !self.known.contains(&words) {
            self.lines.push(format!("{}: {words}", file.display()));
            self.known.insert(words);
        }
    }

    /// Says where a picture is read in another space than the first: a clip is mostly of one.
    pub(super) fn compare_space(&mut self, file: &Path, space: &ColorSpace) {
        let first = self.space.get_or_insert_with(|| space.clone());
        if first != space {
            let words = format!("it is read as {space}, the first frame of its clip as {first}");
            self.add(file, words);
        }
    }

    /// All of it, in the order in which it was found.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Pixels that are not square, by how much wider than high they are, as `tag` has it. None of square ones,
/// and of what is no such number.
pub(super) fn about_pixel_aspect(aspect: f64, tag: &str) -> Option<String> {
    /// Nobody sees less, and nobody means more.
    const MEANT: std::ops::RangeInclusive<f64> = 0.05..=20.0;
    const SQUARE: std::ops::RangeInclusive<f64> = 0.995..=1.005;
    (MEANT.contains(&aspect) && !SQUARE.contains(&aspect)).then(|| {
        format!(
            "its pixels are {aspect:.3} times as wide as high ({tag}), but are taken for square ones, as \
             the model has them: resize it first, or all will be narrow or wide"
        )
    })
}

/// What is to be done about numbers above 1 where 1 is the most: `most` is the largest, and whole numbers
/// are of a kind that has no others.
pub(super) fn scale_remedy(most: f32, is_whole: bool) -> String {
    /// Above it nobody has meant 1.
    const ROUNDED: f32 = 2.0;
    let white = if most > 255.0 { 65535 } else { 255 };
    if is_whole {
        format!(
            "it is of whole numbers (UINT): divide it by what its white is ({white}), and write it as half or \
             float"
        )
    } else if most > ROUNDED {
        format!("divide it by what its white is ({white}), or clamp it")
    } else {
        "clamp it".to_owned()
    }
}

/// A layer that is asked of a file which can have none.
pub(super) fn about_layer(named: Option<&str>) -> Option<String> {
    named.map(|named| {
        format!(
            "it is read whole, and the layer `{named}` that was asked for is not looked for: of what is read \
             here EXR alone has layers"
        )
    })
}

/// A picture that is to be turned or mirrored before it is shown, as EXIF counts the eight ways.
pub(super) fn about_orientation(exif: &[u8]) -> Option<String> {
    let way = orientation(exif).filter(|way| (2..=8).contains(way))?;
    Some(format!(
        "it is to be turned or mirrored when it is shown (EXIF orientation {way}), which is not done: its \
         pixels are taken as they lie"
    ))
}

/// The value of the tag Orientation in the first directory of EXIF data, which are a TIFF file.
fn orientation(exif: &[u8]) -> Option<u16> {
    const TAG: u16 = 0x0112;
    const ENTRY: usize = 12;
    let big = match exif.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let number = |place: usize| -> Option<u16> {
        let pair: [u8; 2] = exif.get(place..place.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let halves = [number(4)?, number(6)?].map(usize::from);
    let directory = if big { halves[0] << 16 | halves[1] } else { halves[1] << 16 | halves[0] };
    let entries = usize::from(number(directory)?);
    let mut places = (0..entries).map(|entry| directory + 2 + ENTRY * entry);
    let place = places.find(|place| number(*place) == Some(TAG))?;
    number(place + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_with_its_first_file() {
        let mut remarks = PictureRemarks::default();
        for file in ["a.png", "b.png"] {
            remarks.add(Path::new(file), "it is odd");
        }
        assert_eq!(remarks.lines(), ["a.png: it is odd"]);
    }

    #[test]
    fn a_space_that_changes_within_a_clip_is_told() {
        let mut remarks = PictureRemarks::default();
        let spaces = [ColorSpace::srgb(), ColorSpace::srgb(), ColorSpace::linear_rec_709()];
        for (place, space) in spaces.iter().enumerate() {
            remarks.compare_space(Path::new(&format!("{place}.png")), space);
        }
        let told = "2.png: it is read as linear Rec.709, the first frame of its clip as sRGB";
        assert_eq!(remarks.lines(), [told]);
    }

    #[test]
    fn square_and_senseless_pixels_are_not_told() {
        for aspect in [1.0, 1.001, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(about_pixel_aspect(aspect, "x"), None, "{aspect}");
        }
        assert!(about_pixel_aspect(2.0, "SAR 2:1").is_some_and(|words| words.contains("SAR 2:1")));
    }

    #[test]
    fn orientation_is_found_in_either_byte_order() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
        for exif in [&little[..], &big[..]] {
            assert!(about_orientation(exif).unwrap().contains("orientation 6"));
            for end in 0..exif.len() {
                let _ = about_orientation(&exif[..end]);
            }
        }
        assert_eq!(about_orientation(b"MM\0*\xff\xff\xff\xff\0"), None);
    }
}
