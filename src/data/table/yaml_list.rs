//! Tables as a list in YAML: an entry for each row, a key for each column.
//!
//! A part of YAML, since a table needs no more: one document, a list of flat mappings; values are plain,
//! in quotation marks, in a block (`|` or `>`), or a list of such words on one line (`[a, b]`) or below
//! each other. Everything else that YAML has (anchors, tags, mappings within mappings, several documents)
//! is refused with its line, never read as something else. Numbers and `true` stay the text that they
//! are, so that `0.50` is what the flag of that name is given; `null`, `~` and nothing are no value.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::csv_text::Fields;

/// A line with something on it.
#[derive(Clone, Copy)]
struct YamlLine<'a> {
    /// From 1, as editors count.
    number: usize,
    /// Blanks that it begins with.
    indent: usize,
    /// Without those, and without blanks at its end.
    text: &'a str,
}

/// The rows of a text and their lines, from 1 as editors count.
pub(super) fn read(text: &str) -> Result<Vec<(usize, Fields)>> {
    let all: Vec<YamlLine<'_>> =
        text.lines().enumerate().map(|(at, text)| line(at, text)).collect();
    let mut reader = YamlReader { lines: &all, at: 0 };
    let mut rows = Vec::new();
    if reader.peek().is_some_and(|line| line.text == "---") {
        reader.at += 1;
    }
    while let Some(first) = reader.peek() {
        if first.text == "..." {
            reader.at += 1;
            ensure!(reader.peek().is_none(), "line {}: it holds several documents", first.number);
            break;
        }
        let row = reader.row(first).with_context(|| format!("line {}", first.number))?;
        rows.push((first.number, row));
    }
    Ok(rows)
}

fn line(at: usize, text: &str) -> YamlLine<'_> {
    let trimmed = text.trim_start_matches(' ');
    YamlLine { number: at + 1, indent: text.len() - trimmed.len(), text: trimmed.trim_end() }
}

struct YamlReader<'a> {
    lines: &'a [YamlLine<'a>],
    at: usize,
}

impl<'a> YamlReader<'a> {
    /// The next line that is neither empty nor a comment.
    fn peek(&mut self) -> Option<YamlLine<'a>> {
        while let Some(line) = self.lines.get(self.at) {
            if !line.text.is_empty() && !line.text.starts_with('#') {
                return Some(*line);
            }
            self.at += 1;
        }
        None
    }

    /// The entry that begins with the dash of a line.
    fn row(&mut self, first: YamlLine<'a>) -> Result<Fields> {
        ensure!(
            first.indent == 0 && (first.text == "-" || first.text.starts_with("- ")),
            "expected `- ` and the first column of a row at the beginning of the line, found `{}`",
            first.text
        );
        self.at += 1;
        let mut fields = Fields::new();
        let inner = first.text[1..].trim_start_matches(' ');
        if !inner.is_empty() && !inner.starts_with('#') {
            let indent = first.text.len() - inner.len();
            self.cell(YamlLine { indent, text: inner, ..first }, &mut fields)?;
        }
        let mut indent = (!fields.is_empty()).then(|| first.text.len() - inner.len());
        while let Some(next) = self.peek().filter(|line| line.indent > 0) {
            let expected = *indent.get_or_insert(next.indent);
            ensure!(
                next.indent == expected,
                "line {}: it begins after {} blanks: expected {expected}, as the columns of its row do",
                next.number,
                next.indent
            );
            self.at += 1;
            self.cell(next, &mut fields).with_context(|| format!("line {}", next.number))?;
        }
        ensure!(!fields.is_empty(), "the row has no columns");
        Ok(fields)
    }

    /// A column and its value; the line has been taken.
    fn cell(&mut self, line: YamlLine<'a>, fields: &mut Fields) -> Result<()> {
        let (name, value) = split_key(line.text)?;
        let value = match value {
            "" => self.words_below(line.indent)?,
            _ if value.starts_with(['|', '>']) => Value::String(self.block(line.indent, value)?),
            _ if value.starts_with('[') => Value::Array(flow_list(value)?),
            _ => scalar(value)?,
        };
        ensure!(fields.insert(name.clone(), value).is_none(), "the column {name} stands twice");
        Ok(())
    }

    /// A list of words, each with its dash, or nothing.
    fn words_below(&mut self, indent: usize) -> Result<Value> {
        let mut words = Vec::new();
        while let Some(next) = self.peek().filter(|line| line.indent > indent) {
            let word = next.text.strip_prefix("- ").with_context(|| {
                format!(
                    "line {}: expected `- ` and a word, since a row has no mappings in it",
                    next.number
                )
            })?;
            self.at += 1;
            words.push(scalar(word.trim()).with_context(|| format!("line {}", next.number))?);
        }
        Ok(if words.is_empty() { Value::Null } else { Value::Array(words) })
    }

    /// The lines of a block, further right than its column: kept with `|`, joined with `>`.
    fn block(&mut self, indent: usize, header: &str) -> Result<String> {
        let style = without_comment(header);
        ensure!(
            ["|", "|-", ">", ">-"].contains(&style),
            "a block begins with |, |-, > or >-, found `{style}`"
        );
        let mut lines = Vec::new();
        let mut own = None;
        while let Some(line) = self.lines.get(self.at) {
            if !line.text.is_empty() && line.indent <= indent {
                break;
            }
            self.at += 1;
            let own = *own.get_or_insert(line.indent.max(indent + 1));
            ensure!(
                line.text.is_empty() || line.indent >= own,
                "line {}: less far right than its block",
                line.number
            );
            lines.push(format!("{:1$}{2}", "", line.indent.saturating_sub(own), line.text));
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        // The line end that YAML keeps without a minus is none of a prompt's.
        Ok(if style.starts_with('|') { lines.join("\n") } else { folded(&lines) })
    }
}

/// Lines joined by blanks; an empty one is a line end.
fn folded(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, _) => text.push('\n'),
            (false, true) => text.push_str(line),
            (false, false) => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    text
}

/// `name: value`; the name may be in quotation marks.
fn split_key(text: &str) -> Result<(String, &str)> {
    let (name, rest) = if text.starts_with(['"', '\'']) {
        let (name, rest) = quoted(text)?;
        (name, rest.trim_start())
    } else {
        let end = text.find(": ").or_else(|| text.ends_with(':').then(|| text.len() - 1));
        let end = end.with_context(|| format!("expected `column: value`, found `{text}`"))?;
        (text[..end].trim_end().to_owned(), &text[end..])
    };
    let value = rest.strip_prefix(':').context("expected a colon after the column's name")?;
    ensure!(
        !name.is_empty() && !name.starts_with(['?', '&', '*', '!', '<']),
        "`{name}` is no column"
    );
    let value = value.trim_start();
    Ok((name, if value.starts_with('#') { "" } else { value }))
}

/// One word or sentence.
fn scalar(text: &str) -> Result<Value> {
    if text.starts_with(['"', '\'']) {
        let (value, rest) = quoted(text)?;
        ensure!(
            without_comment(rest).is_empty(),
            "`{}` stands after the closing mark",
            rest.trim()
        );
        return Ok(Value::String(value));
    }
    let text = without_comment(text);
    if let Some(first) = text.chars().next().filter(|first| "&*!{}[]%@`|>?,".contains(*first)) {
        bail!("a value that begins with `{first}` has to stand in quotation marks: '{text}'");
    }
    ensure!(
        !text.contains(": ") && !text.ends_with(':') && !text.starts_with("- "),
        "`{text}` has a colon or a dash that would begin something: put it into quotation marks"
    );
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        text => Value::String(text.to_owned()),
    })
}

/// What stands before a comment.
fn without_comment(text: &str) -> &str {
    let text = if text.starts_with('#') { "" } else { text };
    text.find(" #").map_or(text, |end| &text[..end]).trim_end()
}

/// `[a, "b, c"]`.
fn flow_list(text: &str) -> Result<Vec<Value>> {
    let mut rest = text[1..].trim_start();
    let mut words = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            ensure!(without_comment(after).trim().is_empty(), "`{after}` stands after the list");
            return Ok(words);
        }
        let word;
        if rest.starts_with(['"', '\'']) {
            let (value, after) = quoted(rest)?;
            (word, rest) = (Value::String(value), after.trim_start());
        } else {
            let end = rest.find([',', ']']).context("the list is not closed on its line by `]`")?;
            (word, rest) = (scalar(rest[..end].trim())?, &rest[end..]);
        }
        words.push(word);
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.starts_with(']') => rest,
            None => bail!("expected `,` or `]` in a list, found `{rest}`"),
        };
    }
}

/// The text between quotation marks, and what stands after them.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mark = text.chars().next().unwrap_or('"');
    let mut value = String::new();
    let mut rest = text[1..].char_indices();
    while let Some((at, letter)) = rest.next() {
        let after = &text[1 + at + letter.len_utf8()..];
        match letter {
            '\'' if mark == '\'' && after.starts_with('\'') => {
                rest.next();
                value.push('\'');
            }
            '\\' if mark == '"' => {
                let (_, code) = rest.next().context("a backslash at the end of a line")?;
                value.push(match code {
                    'n' => '\n',
                    't' => '\t',
                    '"' | '\\' | '/' => code,
                    _ => {
                        bail!("`\\{code}` is none of \\n, \\t, \\\", \\\\: write the letter itself")
                    }
                });
            }
            _ if letter == mark => return Ok((value, after)),
            _ => value.push(letter),
        }
    }
    bail!("a quotation mark is not closed on its line: {text}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_read_as_yaml_has_them() {
        let text = "---\n# shots\n- name: a  # first\n  prompt: \"A \\\"red\\\" ball: big\"\n  seed: 007\n  \
                    lora: [x, 'y: 1', z:0.5]\n\n-\n    name: 'it''s'\n    prompt: >-\n      one\n      two\n\n      \
                    three\n    negative: |\n      a\n        b\n    lora:\n      - p\n      - \"q\"\n    mu:\n    shift: ~\n...\n";
        let rows = read(text).unwrap();
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 8]);
        let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row.into()).collect();
        assert_eq!(
            rows,
            [
                json!({"name": "a", "prompt": "A \"red\" ball: big", "seed": "007",
                    "lora": ["x", "y: 1", "z:0.5"]}),
                json!({"name": "it's", "prompt": "one two\nthree", "negative": "a\n  b",
                    "lora": ["p", "q"], "mu": null, "shift": null}),
            ]
        );
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_line() {
        for (text, words) in [
            ("prompt: a\n", "line 1: expected `- `"),
            ("- a: 1\n  a: 2\n", "line 2: the column a stands twice"),
            ("- a: *b\n", "begins with `*`"),
            ("- a: {b: 1}\n", "begins with `{`"),
            ("- a:\n    b: 1\n", "line 2: expected `- ` and a word"),
            ("- a: \"x\n", "not closed"),
            ("- a: [x, y\n", "not closed on its line by `]`"),
            ("- a: x: y\n", "quotation marks"),
            ("- a: 1\n   b: 2\n", "line 2: it begins after 3 blanks: expected 2"),
            ("- <<: *base\n", "`<<` is no column"),
            ("- a: 1\n...\n- b: 2\n", "several documents"),
            ("- a: \"\\x41\"\n", "`\\x` is none of"),
            ("-\n- a: 1\n", "the row has no columns"),
        ] {
            let said = format!("{:#}", read(text).unwrap_err());
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
