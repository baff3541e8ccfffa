//! Characters that are replaced one by one.

use unicode_normalization::UnicodeNormalization;

use super::misread;

/// `text` with straight quotes, letters for ligatures and for the digraphs of old code pages, the
/// usual width, `\n` as the one line break, and windows-1252 for C1 controls.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let broken = text.replace("\r\n", "\n");
    for c in broken.chars().map(misread::without_c1) {
        match c {
            'ʼ' | '‘'..='‛' => out.push('\''),
            '“'..='‟' => out.push('"'),
            '\r' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            'ŉ' => out.push_str("'n"),
            // Their compatibility form would lose the long s.
            'ﬅ' => out.push_str("ſt"),
            _ if is_ligature(c) || is_odd_width(c) => out.extend([c].into_iter().nfkc()),
            _ => out.push(c),
        }
    }
    out
}

/// Ligatures and digraphs of Latin letters; not æ and œ, which are letters.
fn is_ligature(c: char) -> bool {
    matches!(c, 'Ĳ' | 'ĳ' | 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ' | 'ﬀ'..='ﬆ')
}

/// Full-width Latin, half-width Japanese and Korean, and the space of their width.
fn is_odd_width(c: char) -> bool {
    matches!(c, '\u{3000}' | '\u{ff01}'..='\u{ffef}')
}

/// Characters that mean nothing in a prompt: controls other than white space, the byte order
/// mark, outdated marks of Unicode.
pub(super) fn is_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}
