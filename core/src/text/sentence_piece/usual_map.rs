//! What stands in for a map of characters that a file leaves out: SentencePiece's usual one, `nmt_nfkc`.
//!
//! Pieces are learned from texts that have gone through the map. So a letter that a piece has is one that
//! the map leaves as it is, whatever the usual one does with it.
//!
//! The characters are those that differ between `sentencepiece` 0.2.1's `nmt_nfkc` and Unicode's NFKC
//! (`core/tests/text/sentence_piece.py` prints them).

use std::collections::HashSet;

use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NFKC, NormalizerWrapper, Replace};

use super::ParsedModel;

/// Characters that are left out: controls.
const LEFT_OUT: [(u32, u32); 6] =
    [(0x01, 0x08), (0x0b, 0x0b), (0x0e, 0x1f), (0x7f, 0x7f), (0x8f, 0x8f), (0x9f, 0x9f)];
/// Characters that become a blank.
const BLANKS: [u32; 14] = [
    0x09, 0x0a, 0x0c, 0x0d, 0x1680, 0x200b, 0x200c, 0x200e, 0x200f, 0x2028, 0x2029, SIGN, 0xfeff,
    0xfffd,
];
/// `▁`, which stands for a blank in pieces.
const SIGN: u32 = 0x2581;
/// The wide tilde, which NFKC makes narrow and the usual map does not.
const WIDE_TILDE: &str = "\u{ff5e}";
/// Stands for it while NFKC is applied: a code point that is in no text, by Unicode's own rule.
const NO_CHARACTER: &str = "\u{fdd0}";

/// The steps that do what the usual map does, but to letters that `pieces` have.
///
/// # Errors
/// None that can happen: the patterns are ours.
pub(super) fn steps<'a>(
    pieces: impl Iterator<Item = &'a str>,
) -> ParsedModel<Vec<NormalizerWrapper>> {
    let kept: HashSet<char> = pieces.flat_map(str::chars).collect();
    let is_mapped = |code: &u32| {
        *code == SIGN || char::from_u32(*code).is_some_and(|letter| !kept.contains(&letter))
    };
    let controls = LEFT_OUT.iter().flat_map(|(first, last)| *first..=*last);
    let mut steps = Vec::new();
    for (codes, by) in [
        (controls.filter(is_mapped).collect::<Vec<_>>(), ""),
        (BLANKS.into_iter().filter(is_mapped).collect(), " "),
    ] {
        if !codes.is_empty() {
            let class: String = codes.iter().map(|code| format!("\\x{{{code:x}}}")).collect();
            steps.push(replaced(ReplacePattern::Regex(format!("[{class}]")), by)?);
        }
    }
    // Full-width letters and signs are in every East Asian text: where a piece has one, nothing made them
    // narrow.
    if !kept.iter().any(|letter| ('\u{ff01}'..='\u{ff5d}').contains(letter)) {
        steps.push(replaced(ReplacePattern::String(WIDE_TILDE.to_owned()), NO_CHARACTER)?);
        steps.push(NFKC.into());
        steps.push(replaced(ReplacePattern::String(NO_CHARACTER.to_owned()), WIDE_TILDE)?);
    }
    Ok(steps)
}

fn replaced(pattern: ReplacePattern, by: &str) -> ParsedModel<NormalizerWrapper> {
    Ok(Replace::new(pattern, by).map_err(|error| error.to_string())?.into())
}
