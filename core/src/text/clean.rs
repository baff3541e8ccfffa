//! The cleaning every prompt went through when the model was trained: the repairs of ftfy 6.3, HTML
//! entities, white space.
//!
//! The repairs are our own and give what ftfy gives, but for what [`mojibake`] names.
//!
//! Ports `wan/modules/tokenizers.py:12` (`basic_clean`) and 18 (`whitespace_clean`).

mod characters;
mod entities;
mod misread;
mod mojibake;
mod suspicion;

use unicode_normalization::UnicodeNormalization;

/// Passes over a line at most; it needs two or three.
const PASSES: usize = 32;

/// Repairs mis-decoded text (ftfy's repairs), resolves HTML entities twice, and brings every run
/// of white space to one space. Letter case stays.
pub fn clean(prompt: &str) -> String {
    let repaired = repaired(prompt);
    let once = htmlize::unescape(repaired.as_str());
    let twice = htmlize::unescape(once.as_ref());
    twice.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `text` with every line repaired on its own. A `<` anywhere means that the text is HTML, whose
/// entities are not touched before its end.
fn repaired(text: &str) -> String {
    let html = text.contains('<');
    text.split_inclusive('\n').map(|line| repaired_line(line, html)).collect()
}

/// One line, repaired until nothing changes: a repair may bring another fault to light.
fn repaired_line(line: &str, html: bool) -> String {
    let mut text = line.to_owned();
    for _ in 0..PASSES {
        let resolved = if html { text.clone() } else { entities::resolved(&text) };
        let decoded = mojibake::repaired(&resolved);
        let plain = without_terminal_escapes(&characters::plain(&decoded));
        let next: String = plain.chars().filter(|c| !characters::is_control(*c)).nfc().collect();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// `text` without `ESC [ digits letter`, the sequences that color a terminal.
fn without_terminal_escapes(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(after) => kept.push_str(after),
            None => kept.extend(["\u{1b}[", piece]),
        }
    }
    kept
}

/// White space as Python's regular expressions see it: Unicode's, and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::clean;

    // Each expectation is what Python's ftfy 6.3 and html.unescape give.
    #[test]
    fn cleans_as_released() {
        for (prompt, expected) in [
            ("  a\tgray \n squirrel\u{3000}here ", "a gray squirrel here"),
            ("fish &amp;amp; chips &lt;b&gt;", "fish & chips <b>"),
            ("<b>&amp;</b>", "<b>&</b>"),
            ("&eacute;t&eacute &#x41;&#128;", "été A€"),
            ("&nbsp;x", "x"),
            ("sch\u{c3}\u{b6}n", "schön"),
            ("l’humanit\u{c3}\u{a9}", "l'humanité"),
            ("\u{e2}\u{153}\u{201d} No problems", "✔ No problems"),
            ("\u{201c}quoted\u{201d} it\u{2019}s", "\"quoted\" it's"),
            ("ﬁre 一只彩色的鹦鹉，背景透明。", "fire 一只彩色的鹦鹉,背景透明。"),
            ("ｆｕｌｌ", "full"),
            ("KEEP Case", "KEEP Case"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{feff}bom", "bom"),
            ("e\u{301}", "é"),
            ("a\u{2028}b\r\nc", "a b c"),
            ("a\u{1c}b\u{200b}c", "ab\u{200b}c"),
            ("", ""),
        ] {
            assert_eq!(clean(prompt), expected, "{prompt:?}");
        }
    }

    // What `left` and `further` are, and how the file is made: prompts.py beside it.
    #[test]
    fn cleans_as_ftfy() {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/text/prompts.json")).unwrap();
        for (part, rows) in file.as_object().unwrap() {
            let rows = rows.as_array().unwrap();
            let wrong: Vec<_> = rows
                .iter()
                .map(|row| (row[0].as_str().unwrap(), row[1].as_str().unwrap()))
                .filter(|(prompt, expected)| clean(prompt) != *expected)
                .map(|(prompt, expected)| (prompt, expected, clean(prompt)))
                .collect();
            // Of sentences that were damaged by chance, one in two hundred may differ.
            let allowed = if part == "sample" { rows.len() / 200 } else { 0 };
            assert!(wrong.len() <= allowed, "{part}: {wrong:#?}");
        }
    }
}
