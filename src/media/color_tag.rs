//! What a file says of its color, in whichever of its ways, and what is made of that.

use anyhow::{Result, bail};

use super::color_space::{ColorSpace, Primaries, TransferCurve, of_interop_id};

/// A tag of a file, as it is named in messages, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColorTag {
    /// `cICP 9/16`, `colorInteropID lin_ap1_scene`.
    pub(super) words: String,
    pub(super) meaning: TagMeaning,
    /// What speaks against taking it at its word, to be said after it: another tag of the same file, or
    /// what it leaves open.
    pub(super) doubt: Option<String>,
}

/// What a tag means here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TagMeaning {
    Known(ColorSpace),
    /// Colors brighter than white, by a curve of this name.
    HighDynamicRange(&'static str),
    /// Nothing that is known here.
    Unknown,
    /// Nothing that can be meant: it would leave no picture, or says nothing at all.
    Senseless,
    /// Something that is damaged.
    Unreadable,
}

impl TagMeaning {
    const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_) | Self::HighDynamicRange(_))
    }
}

impl ColorTag {
    pub(super) fn new(words: impl Into<String>, meaning: TagMeaning) -> Self {
        Self { words: words.into(), meaning, doubt: None }
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
        let doubt = match (primaries, transfer) {
            (UNSPECIFIED, _) => Some("which leaves its primaries open".to_owned()),
            (_, UNSPECIFIED) => Some("which leaves its curve open".to_owned()),
            _ => None,
        };
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
        Some(Self { doubt, ..Self::known(words, known) })
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
        let (known, others) = Self::known_and_others(tags)?;
        let differs = |other: &(usize, Self)| match (&known.meaning, &other.1.meaning) {
            // Which curve it is only one of them says.
            (TagMeaning::Known(space), TagMeaning::Known(other)) => !space.has_primaries_of(other),
            _ => true,
        };
        let other = others.into_iter().find(differs);
        Some(known.beside(other.map(|(_, other)| other)))
    }

    /// Of several tags the first that means something here; that those after it count less is their
    /// format's rule, those before it are told.
    pub(super) fn highest_known(tags: Vec<Self>) -> Option<Self> {
        let place = tags.iter().position(|tag| tag.meaning.is_known()).unwrap_or(0);
        let (known, others) = Self::known_and_others(tags)?;
        let before = others.into_iter().find(|(other, _)| *other < place);
        Some(known.beside(before.map(|(_, other)| other)))
    }

    /// The first that means something here, else the first, and the others by their places.
    fn known_and_others(tags: Vec<Self>) -> Option<(Self, Vec<(usize, Self)>)> {
        let place = tags.iter().position(|tag| tag.meaning.is_known()).unwrap_or(0);
        let mut tags: Vec<_> = tags.into_iter().enumerate().collect();
        (place < tags.len()).then(|| (tags.remove(place).1, tags))
    }

    fn beside(self, other: Option<Self>) -> Self {
        let doubt = other.map(|other| match other.meaning {
            TagMeaning::Unreadable => format!("but its {} cannot be read", other.words),
            _ => format!("but also {}", other.words),
        });
        Self { doubt: doubt.or(self.doubt), ..self }
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
        let space = ColorSpace::new(curve, &primaries);
        Self::new(words, space.map_or(TagMeaning::Senseless, TagMeaning::Known))
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
    let Some(ColorTag { words, meaning, doubt }) = tag else {
        return Ok((usual, None));
    };
    let taken = |why: &str| {
        format!(
            "{why}: its color is read as {usual}; write it as sRGB or linear Rec.709, or say --color"
        )
    };
    match meaning {
        TagMeaning::Known(space) => {
            let doubted = doubt.as_ref().map(|doubt| {
                format!("it says {words}, {doubt}: it is read as {space}; --color says otherwise")
            });
            Ok((space.clone(), doubted))
        }
        TagMeaning::Unknown => {
            let warning = taken(&format!("it says {words}, which is not known here"));
            Ok((usual, Some(warning)))
        }
        TagMeaning::Senseless => {
            let warning = taken(&format!("it says {words}, which cannot be meant"));
            Ok((usual, Some(warning)))
        }
        TagMeaning::Unreadable => {
            let warning = taken(&format!("its {words} cannot be read"));
            Ok((usual, Some(warning)))
        }
        TagMeaning::HighDynamicRange(curve) => bail!(
            "its color is {curve} ({words}), of high dynamic range, which the model does not know: \
             bring it to sRGB (PNG) or linear Rec.709 (EXR), or say with --color what it is"
        ),
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
        let open = tag(2, 13).unwrap();
        let (space, warning) = resolve(Some(&open), usual(), None).unwrap();
        assert!(space == usual() && warning.unwrap().contains("leaves its primaries open"));
    }

    #[test]
    fn of_several_tags_the_first_that_means_something_counts_and_what_it_passes_over_is_told() {
        let unread = || ColorTag::new("ICC profile", TagMeaning::Unreadable);
        let tag =
            |primaries, transfer| ColorTag::of_code_points("cICP", primaries, transfer).unwrap();
        let p3 = ColorTag::highest_known(vec![unread(), tag(12, 13), tag(1, 9)]).unwrap();
        let said = resolve(Some(&p3), ColorSpace::srgb(), None).unwrap().1.unwrap();
        assert!(said.contains("cICP 12/13, but its ICC profile cannot be read"), "{said}");
        let silent = ColorTag::highest_known(vec![tag(12, 13), tag(1, 9), unread()]).unwrap();
        assert_eq!(silent.doubt, None);
        let told = ColorTag::first_known(vec![tag(12, 13), tag(1, 9)]).unwrap();
        assert_eq!(told.doubt.as_deref(), Some("but also cICP 1/9"));
        let nothing = ColorTag::highest_known(vec![unread()]).unwrap();
        let said = resolve(Some(&nothing), ColorSpace::srgb(), None).unwrap().1.unwrap();
        assert!(
            said.contains("its ICC profile cannot be read: its color is read as sRGB"),
            "{said}"
        );
        assert_eq!(ColorTag::highest_known(Vec::new()), None);
    }
}
