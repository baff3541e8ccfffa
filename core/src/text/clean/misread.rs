//! Characters that were read as windows-1252 or latin-1 where UTF-8 was meant: the bytes that they
//! stand for, and the character that those bytes are.

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
    pub(super) lost: bool,
}

/// A C1 control as the windows-1252 character that was meant.
pub(super) fn without_c1(c: char) -> char {
    match u32::from(c) {
        code @ 0x80..=0x9f => WINDOWS[code as usize - 0x80],
        _ => c,
    }
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
    /// Appends the characters that were meant.
    pub(super) fn write(&self, out: &mut Vec<char>) {
        out.push(self.meant);
        out.extend(self.keeps_space.then_some(' '));
    }
}
