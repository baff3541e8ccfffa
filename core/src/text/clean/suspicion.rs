//! Whether text looks like UTF-8 that was decoded wrongly.
//!
//! Such text is full of sequences that decode: an accented letter, then one to three marks. Some
//! of them occur in clean text too (`É…`, `É’`), so every sequence is judged by whether its
//! characters stand next to each other, and to their neighbors, in real text. Where that is a
//! matter of taste, the answer is ftfy's.

use super::misread::{byte, sequence};

/// What a character looks like to a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// White space of any kind.
    Gap,
    /// A digit from 0 to 9.
    Digit,
    /// A punctuation mark of ASCII.
    Sign,
    /// A lower-case letter without an accent.
    Lower,
    /// An upper-case letter without an accent.
    Upper,
    /// An accented lower-case letter.
    Small,
    /// An accented upper-case letter.
    Capital,
    /// A control character of the C1 set.
    Control,
    /// A sign of currency.
    Currency,
    /// What stands before a word: opening quotes, `¿`, `•`.
    Opening,
    /// What stands behind a word: closing quotes, `™`.
    Closing,
    /// What stands anywhere: dashes, `’`, `…`, `°`.
    Anywhere,
    /// Raised digits and fractions, `±`, `µ`.
    Number,
    /// Marks of sections and paragraphs: `§` and `¶`.
    Section,
    /// What hardly occurs beside a letter: `¤`, `†`, `¨`.
    Odd,
    /// The end of the text, and everything else.
    Other,
}
use Look::{
    Anywhere, Capital, Closing, Control, Currency, Digit, Gap, Lower, Number, Odd, Opening, Other,
    Section, Sign, Small, Upper,
};

/// Whether `chars` hold a sequence that hardly occurs in clean text.
pub(super) fn is_suspicious(chars: &[char]) -> bool {
    (0..chars.len()).any(|at| {
        byte(chars[at]).is_some_and(|byte| byte >= 0xc2)
            && sequence(&chars[at..])
                .is_some_and(|found| is_unlikely(chars, at, &chars[at..at + found.length]))
    })
}

/// Whether the sequence at `at` is unlikely in clean text.
fn is_unlikely(chars: &[char], at: usize, sequence: &[char]) -> bool {
    let (before, after) = (&chars[..at], &chars[at + sequence.len()..]);
    let unlikely = match *sequence {
        [lead, ' '] => matches!(lead, 'Â' | 'Ã') && ends_word(before),
        [lead, mark] => pair(look(before.last()), lead, mark, look(after.first())),
        [lead, first, second] => {
            triple(lead, first, look(Some(&second)), look(after.first()))
                || ends(second, look(after.first()))
        }
        _ => true,
    };
    unlikely || is_unlikely_before(sequence, after)
}

/// Whether `before` ends in a word without a capital, perhaps with a space behind it, or is empty.
/// Only there is an `Ã` before a space an `à`: `Ã` is a letter of capitals too (`MAÇÃ`).
fn ends_word(before: &[char]) -> bool {
    let word = before.strip_suffix(&[' ']).unwrap_or(before);
    word.last().map_or(before.is_empty(), |c| look(Some(c)) == Lower)
}

/// An accented letter before one mark.
fn pair(before: Look, lead: char, mark: char, after: Look) -> bool {
    let kind = look(Some(&mark));
    let starts = matches!(before, Lower | Gap);
    let ends = ends(mark, after);
    let in_word = is_letter(after) || after == Digit;
    match lead {
        _ if kind == Control => true,
        // They begin most of what is decoded wrongly: Latin, Greek and Cyrillic letters.
        'Â' | 'Ã' | 'Î' | 'Ð' => match mark {
            '…' | '’' | 'Ž' | '?' => false,
            '¥' => starts,
            'Œ' => ends,
            _ => true,
        },
        // The end of a word in capitals.
        'Æ' | 'Ø' if matches!(before, Small | Capital) => ends,
        'Þ' if kind == Odd => matches!(before, Lower | Upper),
        // They begin scripts whose text shows in other ways that it is decoded wrongly.
        'Ò'..='Ö' | 'Ù'..='Û' | 'Þ' => ends,
        '×' => matches!(kind, Small | Capital | Opening | Odd) || matches!(mark, '²' | '³'),
        'ß' => match kind {
            Currency | Odd | Capital => true,
            Opening | Closing => in_word,
            _ => ends,
        },
        _ => match kind {
            Odd | Number | Section => true,
            Currency => starts,
            Opening => before == Lower || in_word,
            Closing => in_word,
            Small | Capital => ends,
            _ => mark == '°',
        },
    }
}

/// Whether a word seems to end in `œ`.
fn ends(mark: char, after: Look) -> bool {
    matches!(mark, 'œ' | 'Œ') && matches!(after, Gap | Digit | Sign)
}

/// An accented lower-case letter before two marks.
fn triple(lead: char, first: char, second: Look, after: Look) -> bool {
    // Thai and scripts of India.
    let indic = lead == 'à' && matches!(first, '²' | 'µ' | '¹' | '¼' | '½' | '¾');
    if first == 'œ' || indic && second != Gap {
        return true;
    }
    match (look(Some(&first)), second) {
        (Control | Currency | Odd | Capital, _) | (_, Control) => true,
        (Opening, Odd | Capital | Small | Number) => true,
        (Closing, Currency | Opening | Odd | Capital | Small | Number) => true,
        (Small, Currency | Capital | Odd) => true,
        (Small, Opening | Closing) => is_letter(after),
        (Number, Opening | Odd | Capital | Small) => true,
        (Section, Odd) => true,
        _ => false,
    }
}

/// Whether the end of a sequence is unlikely before `after`, the letter that begins another one.
fn is_unlikely_before(sequence: &[char], after: &[char]) -> bool {
    let (Some(&lead), Some(&mark)) = (sequence.first(), sequence.last()) else { return false };
    match after.first() {
        // Arabic: every other character begins with one of the two.
        Some('Ø' | 'Ù') => {
            matches!(lead, 'Ø' | 'Ù') && !matches!(mark, '§' | '¶' | 'Ž' | 'š' | 'ž')
        }
        next if look(next) == Small => {
            matches!(look(Some(&mark)), Currency | Odd | Closing | Number)
        }
        _ => false,
    }
}

/// Whether it is a letter, with or without an accent.
fn is_letter(look: Look) -> bool {
    matches!(look, Lower | Upper | Small | Capital)
}

/// How `c` looks; `None` is the end of the text.
fn look(c: Option<&char>) -> Look {
    let Some(c) = c else { return Other };
    match *c {
        ' ' | '\t' | '\n' => Gap,
        'a'..='z' => Lower,
        'A'..='Z' => Upper,
        '0'..='9' => Digit,
        '!'..='\u{7f}' => Sign,
        '\u{80}'..='\u{9f}' => Control,
        'ß'..='ÿ' | 'š' | 'œ' | 'ž' => Small,
        'À'..='Ö' | 'Ø'..='Þ' | 'Š' | 'Œ' | 'Ž' | 'Ÿ' => Capital,
        '€' | '¢' | '£' | '¥' => Currency,
        '‚' | '„' | '‹' | '‘' | '“' | '•' | '¡' | '©' | '«' | '¿' => Opening,
        '”' | '™' | '›' | '®' | '»' => Closing,
        '…' | '’' | '–' | '—' | '\u{a0}' | '\u{ad}' | '°' | '´' | '·' => Anywhere,
        '±' | '²' | '³' | 'µ' | '¹' | '¼' | '½' | '¾' => Number,
        '§' | '¶' => Section,
        'ƒ' | '†' | '‡' | 'ˆ' | '‰' | '˜' | '¤' | '¦' | '¨' | 'ª' | '¬' | '¯' | '¸' | 'º' => {
            Odd
        }
        _ if c.is_lowercase() => Small,
        _ if c.is_uppercase() => Capital,
        _ => Other,
    }
}
