//! What a file says of its color, in whichever of its ways, and what is made of that.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use super::color_space::{ColorSpace, Primaries, TransferCurve, of_interop_id};

/// A tag of a file, as it is named in messages, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColorTag {
    /// `cICP 9/16`, `colorInteropID lin_ap1_scene`.
    pub(super) words: String,
    pub(super) meaning: TagMeaning,
    /// Another tag of the same file that says otherwise, in words.
    pub(super) contradicted_by: Option<String>,
}

/// What a tag means here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TagMeaning {
    Known(ColorSpace),
    /// Colors brighter than white, by a curve of this name.
    HighDynamicRange(&'static str),
    /// Nothing that is known here.
    Unknown,
}

impl ColorTag {
    pub(super) fn new(words: impl Into<String>, meaning: TagMeaning) -> Self {
        Self { words: words.into(), meaning, contradicted_by: None }
    }

    pub(super) fn known(words: impl Into<String>, space: Option<ColorSpace>) -> Self {
        Self::new(words, space.map_or(TagMeaning::Unknown, TagMeaning::Known))
    }

    /// Two numbers of ITU-T H.273, as PNG and ICC have them. None where they say nothing.
    pub(super) fn of_code_points(chunk: &str, primaries: u8, transfer: u8) -> Option<Self> {
        const UNSPECIFIED: u8 = 2;
        if primaries == UNSPECIFIED && transfer == UNSPECIFIED {
            return None;
        }
        let words = format!("{chunk} {primaries}/{transfer}");
        let rec_709 = 1;
        let primaries = if primaries == UNSPECIFIED { rec_709 } else { primaries };
        let curve = match transfer {
            1 | 6 | 7 | 11 | 12 | 14 | 15 => TransferCurve::Power(TransferCurve::REC_709),
            UNSPECIFIED | 13 => TransferCurve::Srgb,
            4 => TransferCurve::Power(2.2),
            5 => TransferCurve::Power(2.8),
            8 => TransferCurve::Linear,
            16 => return Some(Self::new(words, TagMeaning::HighDynamicRange("PQ"))),
            18 => return Some(Self::new(words, TagMeaning::HighDynamicRange("HLG"))),
            _ => return Some(Self::new(words, TagMeaning::Unknown)),
        };
        let known =
            Primaries::of_code_point(primaries).and_then(|known| ColorSpace::new(curve, known));
        Some(Self::known(words, known))
    }

    /// The Color Interop Forum's name for a space, as EXR has it; None where it says nothing.
    pub(super) fn of_interop_id(id: &str) -> Option<Self> {
        let words = format!("colorInteropID {id}");
        let meaning = match id {
            "" | "unknown" => return None,
            _ if id.starts_with("pq_") => TagMeaning::HighDynamicRange("PQ"),
            _ if id.starts_with("hlg_") => TagMeaning::HighDynamicRange("HLG"),
            _ if id.starts_with("srgbe_") => TagMeaning::HighDynamicRange("extended sRGB"),
            _ => of_interop_id(id).map_or(TagMeaning::Unknown, TagMeaning::Known),
        };
        Some(Self::new(words, meaning))
    }

    /// Of several tags the first that means something here, with the first other that says otherwise.
    pub(super) fn first_known(tags: Vec<Self>) -> Option<Self> {
        let known = tags.iter().position(|tag| tag.meaning != TagMeaning::Unknown).unwrap_or(0);
        let mut tag = tags.get(known)?.clone();
        let others = tags.into_iter().enumerate().filter(|(place, _)| *place != known);
        let other =
            others.map(|(_, other)| other).find(|other| match (&tag.meaning, &other.meaning) {
                // Which curve it is only one of them says.
                (TagMeaning::Known(space), TagMeaning::Known(other)) => {
                    !space.has_primaries_of(other)
                }
                _ => true,
            });
        tag.contradicted_by = other.map(|other| other.words);
        Some(tag)
    }

    /// A curve, with the primaries of Rec.709.
    pub(super) fn of_curve(words: impl Into<String>, curve: TransferCurve) -> Self {
        let rec_709 = Primaries::of_id("rec709");
        Self::known(words, rec_709.and_then(|primaries| ColorSpace::new(curve, primaries)))
    }

    /// Chromaticities of red, green, blue and white, by a curve.
    pub(super) fn of_chromaticities(
        words: &str,
        chromaticities: [[f64; 2]; 4],
        curve: TransferCurve,
    ) -> Self {
        let primaries = Primaries::of_chromaticities(chromaticities);
        Self::known(words, ColorSpace::new(curve, &primaries))
    }
}

/// The space that a picture is read in: as a person says, else as its file says, else the `usual` one
/// of its format. Sometimes with a warning.
pub(super) fn resolve(
    tag: Option<&ColorTag>,
    usual: ColorSpace,
    said: Option<&ColorSpace>,
) -> Result<(ColorSpace, Option<String>)> {
    if let Some(said) = said {
        return Ok((said.clone(), None));
    }
    let Some(ColorTag { words, meaning, contradicted_by }) = tag else {
        return Ok((usual, None));
    };
    match meaning {
        TagMeaning::Known(space) => {
            let contradicted = contradicted_by.as_ref().map(|other| {
                format!(
                    "it says {words}, but also {other}: it is read as {space}; --color says \
                     otherwise"
                )
            });
            Ok((space.clone(), contradicted))
        }
        TagMeaning::Unknown => {
            let warning = format!(
                "it says {words}, which is not known here: its color is read as {usual}; write it \
                 as sRGB or linear Rec.709, or say --color"
            );
            Ok((usual, Some(warning)))
        }
        TagMeaning::HighDynamicRange(curve) => bail!(
            "its color is {curve} ({words}), of high dynamic range, which the model does not know: \
             bring it to sRGB (PNG) or linear Rec.709 (EXR), or say with --color what it is"
        ),
    }
}

/// What is to be said of the pictures of a clip, each thing once, with the file that it was first
/// found in.
#[derive(Clone, Debug, Default)]
pub(crate) struct PictureRemarks {
    known: BTreeSet<String>,
    lines: Vec<String>,
}

impl PictureRemarks {
    /// Keeps what is new.
    pub(super) fn add(&mut self, file: &Path, words: String) {
        if self.known.insert(words.clone()) {
            self.lines.push(format!("{}: {words}", file.display()));
        }
    }

    /// All of it, in the order in which it was found.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_obeyed_doubted_or_refused_and_a_person_has_the_last_word() {
        let usual = ColorSpace::srgb;
        let tag = |primaries, transfer| ColorTag::of_code_points("cICP", primaries, transfer);
        let (space, warning) = resolve(tag(12, 13).as_ref(), usual(), None).unwrap();
        assert_eq!((space.to_string().as_str(), warning), ("Display P3", None));
        let (space, warning) = resolve(tag(1, 9).as_ref(), usual(), None).unwrap();
        let warning = warning.unwrap();
        assert!(space == usual() && warning.contains("cICP 1/9") && warning.contains("sRGB"));
        let text = resolve(tag(9, 16).as_ref(), usual(), None).unwrap_err().to_string();
        assert!(text.contains("PQ (cICP 9/16)") && text.contains("--color"), "{text}");
        let said: ColorSpace = "acescg".parse().unwrap();
        assert_eq!(resolve(tag(9, 16).as_ref(), usual(), Some(&said)).unwrap().0, said);
        assert_eq!(tag(2, 2), None);
        assert_eq!(ColorTag::of_interop_id("unknown"), None);
        let mut remarks = PictureRemarks::default();
        for file in ["a.png", "b.png"] {
            remarks.add(Path::new(file), warning.clone());
        }
        assert!(remarks.lines().len() == 1 && remarks.lines()[0].starts_with("a.png: "));
    }
}
