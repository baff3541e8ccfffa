//! What a model was made for: sizes, lengths and words, as its record says them. All of it is
//! optional, and nothing is refused by it: whoever asks for something else is warned.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::counted::counted;
use crate::frames::STRIDE;

/// Widths and heights are multiples of this many pixels.
const STEP: u32 = 16;

/// The longest sides that are searched for a size that fits.
const LONGEST: u32 = 4096;

/// How much more the shape of a frame counts than its area, where a size that fits is looked for.
const SHAPE_COUNTS: f64 = 6.0;

/// The longest run of unknown characters that is quoted.
const QUOTED: usize = 24;

/// What a model was made for. What it does not say is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MadeFor {
    /// The least and the most pixels of width and height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixels: Option<[u32; 2]>,
    /// The least and the most take frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<[u32; 2]>,
    /// What it draws, as the end of a sentence: `balls and rings in nine colors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draws: Option<String>,
    /// The words that a prompt may have without a remark, in small letters with spaces between: those
    /// it was trained on, and such as say nothing of a picture. None where it reads any word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl MadeFor {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    /// Whether frames of this size are among those it was made for, as far as is said.
    #[must_use]
    pub fn fits_size(&self, width: u32, height: u32) -> bool {
        range(self.pixels).is_none_or(|[least, most]| {
            [width, height].iter().all(|side| (least..=most).contains(side))
        })
    }

    /// Whether it was made for so many frames, as far as is said.
    #[must_use]
    pub fn fits_frames(&self, frames: u32) -> bool {
        range(self.frames).is_none_or(|[least, most]| (least..=most).contains(&frames))
    }

    /// The size that comes nearest to this one, in shape first and then in area, of those that it was
    /// made for; this one where it fits.
    #[must_use]
    pub fn nearest_size(&self, width: u32, height: u32) -> [u32; 2] {
        let Some([least, most]) = range(self.pixels).filter(|_| !self.fits_size(width, height))
        else {
            return [width, height];
        };
        let sides = || (least.div_ceil(STEP)..=most.min(LONGEST) / STEP).map(|n| n * STEP);
        let (aspect, area) = (ratio(width, height), f64::from(width) * f64::from(height));
        let distance = |&[w, h]: &[u32; 2]| {
            let shape = (ratio(w, h) / aspect).ln().abs();
            let size = (f64::from(w) * f64::from(h) / area).ln().abs();
            SHAPE_COUNTS * shape + size
        };
        sides()
            .flat_map(|w| sides().map(move |h| [w, h]))
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .unwrap_or([width, height])
    }

    /// The number of frames that comes nearest, 4n+1, of those that it was made for; this one where it
    /// fits.
    #[must_use]
    pub fn nearest_frames(&self, frames: u32) -> u32 {
        let Some([least, most]) = range(self.frames) else { return frames };
        let up = |frames: u32| frames.saturating_sub(1).div_ceil(STRIDE) * STRIDE + 1;
        let down = |frames: u32| frames.saturating_sub(1) / STRIDE * STRIDE + 1;
        if frames < least { up(least).min(down(most)) } else { frames.min(down(most)) }
    }

    /// Its sizes and lengths in words, such as `64 to 128 pixels, 17 frames`; none where neither is
    /// said.
    #[must_use]
    pub fn sizes_in_words(&self) -> Option<String> {
        let words = [(range(self.pixels), "pixel"), (range(self.frames), "frame")]
            .into_iter()
            .filter_map(|(range, unit)| range.map(|range| in_words(range, unit)));
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The words of a prompt that are not among its own, each once, in their order and as they are
    /// written. None where it reads any word.
    #[must_use]
    pub fn unknown_words(&self, prompt: &str) -> Vec<String> {
        let Some(known) = &self.words else { return Vec::new() };
        let known: HashSet<&str> = known.split_whitespace().collect();
        let mut named = HashSet::new();
        let letter = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’');
        prompt
            .split(|c| !letter(c))
            .map(|word| word.trim_matches(['\'', '’']))
            .filter(|word| word.chars().any(char::is_alphabetic))
            .filter(|word| {
                let small = word.to_lowercase();
                !is_known(&small, &known) && named.insert(small)
            })
            .map(shortened)
            .collect()
    }
}

/// Whether a word is among those that are known or, where words are written without spaces between, is
/// made of nothing else.
fn is_known(word: &str, known: &HashSet<&str>) -> bool {
    if known.contains(word) {
        return true;
    }
    if word.is_ascii() {
        return false;
    }
    // Where a known word may begin.
    let mut begins = vec![false; word.len() + 1];
    begins[0] = true;
    for start in 0..word.len() {
        if !begins[start] {
            continue;
        }
        let Some(rest) = word.get(start..) else { continue };
        for (end, letter) in
            rest.char_indices().map(|(at, letter)| (at + letter.len_utf8(), letter))
        {
            let piece = rest.get(..end).unwrap_or_default();
            // Small pieces of Latin letters would make up anything.
            if !letter.is_ascii() && known.contains(piece) {
                begins[start + end] = true;
            }
        }
    }
    begins[word.len()]
}

/// A range that has anything in it.
fn range(range: Option<[u32; 2]>) -> Option<[u32; 2]> {
    range.filter(|[least, most]| *least <= *most && *most > 0)
}

fn ratio(width: u32, height: u32) -> f64 {
    f64::from(width.max(1)) / f64::from(height.max(1))
}

fn in_words([least, most]: [u32; 2], unit: &str) -> String {
    let most = counted(most, unit);
    if most == counted(least, unit) { most } else { format!("{least} to {most}") }
}

fn shortened(word: &str) -> String {
    match word.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> MadeFor {
        let words = Some("a red ball the".to_owned());
        let draws = Some("balls".to_owned());
        MadeFor { pixels: Some([64, 128]), frames: Some([17, 17]), draws, words }
    }

    #[test]
    fn the_nearest_size_keeps_the_shape_and_then_the_area() {
        for ([width, height], nearest) in [
            ([832, 480], [112, 64]),
            ([480, 832], [64, 112]),
            ([1024, 1024], [128, 128]),
            ([32, 32], [64, 64]),
            ([144, 96], [128, 80]),
            ([96, 96], [96, 96]),
            ([128, 64], [128, 64]),
        ] {
            assert_eq!(small().nearest_size(width, height), nearest, "{width}×{height}");
            assert!(small().fits_size(nearest[0], nearest[1]));
        }
    }

    #[test]
    fn the_nearest_length_is_one_that_takes_have() {
        let of = |range| MadeFor { frames: Some(range), ..MadeFor::default() };
        assert_eq!([81, 17, 1].map(|frames| small().nearest_frames(frames)), [17; 3]);
        assert_eq!(
            [1, 13, 49, 257].map(|frames| of([12, 50]).nearest_frames(frames)),
            [13, 13, 49, 49]
        );
    }

    #[test]
    fn what_is_not_said_or_makes_no_sense_fits_anything() {
        for silent in [
            MadeFor::default(),
            MadeFor { pixels: Some([9, 3]), frames: Some([0, 0]), ..MadeFor::default() },
        ] {
            assert!(silent.fits_size(832, 480) && silent.fits_frames(81));
            assert_eq!(
                (silent.nearest_size(832, 480), silent.nearest_frames(81)),
                ([832, 480], 81)
            );
            assert_eq!(silent.sizes_in_words(), None);
            assert!(silent.unknown_words("a dog").is_empty());
        }
        // No multiple of 16 lies within: there is nothing to offer.
        let odd = MadeFor { pixels: Some([20, 30]), ..MadeFor::default() };
        assert_eq!(odd.nearest_size(64, 64), [64, 64]);
        assert_eq!(small().sizes_in_words().as_deref(), Some("64 to 128 pixels, 17 frames"));
    }

    #[test]
    fn unknown_words_are_named_once_as_they_are_written() {
        for (prompt, unknown) in [
            ("A red ball.", vec![]),
            ("a Dog, the dog and A DOG: 3 red balls", vec!["Dog", "and", "balls"]),
            ("the dog's ‘ball’", vec!["dog's"]),
            ("一个红色的球, a ball", vec!["一个红色的球"]),
            ("12 16:9 …", vec![]),
        ] {
            assert_eq!(small().unknown_words(prompt), unknown, "{prompt}");
        }
        let chinese = MadeFor {
            words: Some("a ball 一个 红色 的 球 小 圆环".to_owned()),
            ..MadeFor::default()
        };
        for (prompt, unknown) in [
            ("一个红色的球，一个小圆环。", vec![]),
            ("一个红色的狗, a ball", vec!["一个红色的狗"]),
            ("小aball", vec!["小aball"]),
        ] {
            assert_eq!(chinese.unknown_words(prompt), unknown, "{prompt}");
        }
        let long = small().unknown_words(&"球".repeat(100));
        assert_eq!(long, [format!("{}…", "球".repeat(24))]);
    }
}
