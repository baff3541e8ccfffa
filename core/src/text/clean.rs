//! The cleaning every prompt went through when the model was trained.

/// Repairs mis-decoded text (ftfy's repairs), resolves HTML entities twice, and brings every run
/// of white space to one space. Letter case stays.
pub fn clean(prompt: &str) -> String {
    let repaired = plsfix::fix_text(&without_terminal_escapes(prompt), None);
    let once = htmlize::unescape(repaired.as_str());
    let twice = htmlize::unescape(once.as_ref());
    twice.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `text` without `ESC [ digits letter`: ftfy removes the whole sequence, `plsfix` the ESC only.
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
}
