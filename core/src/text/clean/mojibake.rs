//! UTF-8 that was read as windows-1252 or latin-1, once or several times ("mojibake").
//!
//! A line that is suspicious is decoded as a whole; if something in it does not decode, only those
//! runs are that are suspicious by themselves. No-break spaces that became spaces are restored (`Ã`
//! and a space are `à`). A character of which a byte is lost becomes U+FFFD, if the whole line
//! decodes.
//!
//! # What ftfy repairs and this does not
//! - Other code pages: windows-1250, 1251, 1253, 1254 and 1257, ISO 8859-2, MacRoman, cp437. What
//!   they have in common with windows-1252 is repaired.
//! - UTF-8 with surrogates (CESU-8), or with two bytes for NUL (Java).
//!
//! # Where the two differ otherwise
//! - In lines that are broken in part, ftfy takes the other code pages into account: a capital and
//!   a space (`É `), or a space within a Chinese character, keep it from repairing what follows.
//!   Here that is repaired.
//! - `là¹ ` stays French; ftfy makes it Thai.

use super::misread::{byte, sequence};
use super::suspicion::is_suspicious;

/// Rounds of wrong decoding that are undone.
const ROUNDS: usize = 16;

/// `line` as it was before it was decoded wrongly, as often as that happened.
pub(super) fn repaired(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    for _ in 0..ROUNDS {
        if !is_suspicious(&chars) {
            break;
        }
        let Some(next) = whole(&chars).or_else(|| parts(&chars)) else {
            break;
        };
        chars = next;
    }
    chars.into_iter().collect()
}

/// Every character decoded; `None` if one beyond ASCII is left over.
fn whole(chars: &[char]) -> Option<Vec<char>> {
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_ascii() {
            out.push(c);
            at += 1;
        } else if let Some(sequence) = sequence(&chars[at..]) {
            sequence.write(&mut out);
            at += sequence.length;
        } else if c == char::REPLACEMENT_CHARACTER {
            out.push(c);
            at += 1;
        } else {
            return None;
        }
    }
    Some(out)
}

/// The runs of sequences that are suspicious by themselves decoded; `None` if there is none.
fn parts(chars: &[char]) -> Option<Vec<char>> {
    let mut out = Vec::with_capacity(chars.len());
    let mut changed = false;
    let mut at = 0;
    while at < chars.len() {
        let starts = at == 0 || !is_mark(chars[at - 1]);
        let length = if starts { run(&chars[at..]) } else { 0 };
        let (part, rest) = chars[at..].split_at(length);
        match whole(part).filter(|_| is_suspicious(part)) {
            Some(decoded) => {
                out.extend(decoded);
                changed = true;
            }
            None => out.extend(part),
        }
        // What follows a run starts none.
        out.extend(rest.first());
        at += length + 1;
    }
    changed.then_some(out)
}

/// Whether `c` is what a sequence ends in and text hardly has before a word: a sequence behind it
/// is the rest of something else.
fn is_mark(c: char) -> bool {
    byte(c).is_some_and(|byte| (0x80..0xc0).contains(&byte)) && !"‚„…‘’“”•–—".contains(c)
}

/// Characters of the sequences that `chars` starts with. Between clean characters, one of which a
/// byte is lost is too doubtful.
fn run(chars: &[char]) -> usize {
    let mut length = 0;
    while let Some(sequence) = sequence(&chars[length..]).filter(|sequence| !sequence.lost) {
        length += sequence.length;
    }
    length
}
