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

use super::suspicion::is_suspicious;

/// Rounds of wrong decoding that are undone.
const ROUNDS: usize = 16;

/// Characters of windows-1252 for the bytes 0x80 to 0x9f; the five that it leaves open are C1
/// controls, as browsers and most programs read them.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Stands for a byte that is not known; no byte of UTF-8.
const LOST: u8 = 0xff;

/// A character that was read as two to four.
pub(super) struct Sequence {
    /// Characters it was read as.
    pub(super) length: usize,
    /// The character that was meant.
    meant: char,
    /// Whether the last of them is a space of its own too.
    keeps_space: bool,
    /// Whether one of its bytes is not known any more.
    lost: bool,
}

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

/// A C1 control as the windows-1252 character that was meant.
pub(super) fn without_c1(c: char) -> char {
    match u32::from(c) {
        code @ 0x80..=0x9f => WINDOWS[code as usize - 0x80],
        _ => c,
    }
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

/// The sequence that `chars` starts with.
pub(super) fn sequence(chars: &[char]) -> Option<Sequence> {
    let lead = byte(*chars.first()?)?;
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let rest = chars.get(1..length)?;
    let mut bytes = [lead, 0, 0, 0];
    for (at, &c) in (1..).zip(rest) {
        bytes[at] = match c {
            ' ' if takes_space(lead, at) => 0xa0,
            // U+FFFD stands for what could not be decoded.
            char::REPLACEMENT_CHARACTER => LOST,
            '?' if length > 2 || lead <= 0xc3 => LOST,
            _ => byte(c).filter(|byte| (0x80..0xc0).contains(byte))?,
        };
    }
    let lost = bytes.contains(&LOST);
    let count = |wanted: char| rest.iter().filter(|c| **c == wanted).count();
    let meant = match lost {
        true if count(' ') > 0 || count('?') > 1 => return None,
        true => char::REPLACEMENT_CHARACTER,
        false => std::str::from_utf8(&bytes[..length]).ok()?.chars().next()?,
    };
    let keeps_space = lead == 0xc3 && rest == [' '] && !continues_word(&chars[length..]);
    Some(Sequence { length, meant, keeps_space, lost })
}

/// Whether a space may stand for the byte 0xa0 at `at` of a sequence with this first byte: only
/// for characters that are common.
fn takes_space(lead: u8, at: usize) -> bool {
    match lead {
        0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9 | 0xe2 | 0xe3 | 0xf0 => true,
        0xe0 | 0xe1 => at == 2,
        _ => false,
    }
}

/// Whether the word of an à goes on behind it: Portuguese `às`, `àquele`, `àquilo`. Otherwise it
/// is a word, and the space behind it was both.
fn continues_word(rest: &[char]) -> bool {
    let starts = |word: &str| word.chars().enumerate().all(|(at, c)| rest.get(at) == Some(&c));
    [" ", "s ", "quele", "quela", "quilo"].into_iter().any(starts)
}

/// The byte that windows-1252 or latin-1 reads as `c`.
pub(super) fn byte(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0..=0xff => Some(code as u8),
        _ => WINDOWS.iter().position(|known| *known == c).map(|at| at as u8 + 0x80),
    }
}

impl Sequence {
    /// Appends what was meant.
    fn write(&self, out: &mut Vec<char>) {
        out.push(self.meant);
        out.extend(self.keeps_space.then_some(' '));
    }
}
