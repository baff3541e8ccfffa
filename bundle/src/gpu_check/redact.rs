//! Takes out of what is written whatever tells whose machine it was.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Names of people and machines this short would take ordinary words apart.
const SHORTEST: usize = 2;
/// Groups of a UUID, in hex digits.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// What must not be seen, and what stands in its place.
#[derive(Debug, Default)]
pub(super) struct Redact {
    /// Longest first: a home may lie within a named folder.
    paths: Vec<(String, &'static str)>,
    words: Vec<(String, &'static str)>,
}

impl Redact {
    /// For this machine and this user; `folders` are further folders with the names for them.
    pub(super) fn here(folders: &[(&Path, &'static str)]) -> Self {
        let home = env::var_os("HOME").map(PathBuf::from);
        let users = ["USER", "LOGNAME", "SUDO_USER"].map(|name| env::var(name).ok());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let users = users.into_iter().flatten();
        let words = users.map(|user| (user, "USER")).chain([(host, "HOST")]);
        let home = home.as_deref().map(|home| (home, "~"));
        Self::of(folders.iter().copied().chain(home), words)
    }

    fn of<'a>(
        paths: impl IntoIterator<Item = (&'a Path, &'static str)>,
        words: impl IntoIterator<Item = (String, &'static str)>,
    ) -> Self {
        let spelled = |(path, name): (&Path, _)| (path.to_string_lossy().into_owned(), name);
        let mut paths: Vec<_> = paths
            .into_iter()
            .map(spelled)
            .map(|(path, name)| (path.trim_end_matches('/').to_owned(), name))
            .filter(|(path, _)| !path.is_empty())
            .collect();
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let words: Vec<_> = words.into_iter().filter(|(word, _)| word.len() >= SHORTEST).collect();
        Self { paths, words }
    }

    /// The text without them.
    pub(super) fn text(&self, text: &str) -> String {
        let text = self.paths.iter().fold(text.to_owned(), |text, (path, name)| {
            replace(&text, path, name, |next| !next.is_alphanumeric())
        });
        let text = self.words.iter().fold(text, |text, (word, name)| {
            replace(&text, word, name, |next| !next.is_alphanumeric() && next != '_')
        });
        without_uuids(&text)
    }

    /// A value in which every text is without them.
    pub(super) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(values) => values.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => {
                let pair = |(key, value): (&String, &Value)| (self.text(key), self.value(value));
                Value::Object(map.iter().map(pair).collect())
            }
            other => other.clone(),
        }
    }
}

/// Replaces `what` wherever it stands between characters that end a name.
fn replace(text: &str, what: &str, by: &str, ends: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(what) {
        let (before, found) = rest.split_at(at);
        let after = &found[what.len()..];
        let whole = before.chars().next_back().or(out.chars().next_back()).is_none_or(ends)
            && after.chars().next().is_none_or(ends);
        out.push_str(before);
        out.push_str(if whole { by } else { what });
        rest = after;
    }
    out + rest
}

fn without_uuids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = after_uuid(rest).filter(|_| !ends_in_hex(&out)) {
            out.push_str("UUID");
            rest = after;
        } else {
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    out
}

fn ends_in_hex(text: &str) -> bool {
    text.chars().next_back().is_some_and(|last| last.is_ascii_hexdigit())
}

/// What follows, where the text begins with a UUID.
fn after_uuid(text: &str) -> Option<&str> {
    let mut rest = text;
    for (index, digits) in UUID.into_iter().enumerate() {
        rest = if index == 0 { rest } else { rest.strip_prefix('-')? };
        let (group, after) = rest.split_at_checked(digits)?;
        rest = group.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(after)?;
    }
    (!rest.starts_with(|next: char| next.is_ascii_hexdigit())).then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planted() -> Redact {
        let paths = [(Path::new("/home/ada/"), "~"), (Path::new("/home/ada/shots"), "CHECKOUT")];
        Redact::of(paths, [("ada".to_owned(), "USER"), ("babbage-07".to_owned(), "HOST")])
    }

    #[test]
    fn whose_machine_it_was_is_not_told() {
        let redact = planted();
        for (text, expected) in [
            ("/home/ada/.cache/x", "~/.cache/x"),
            ("/home/ada/shots/target/a", "CHECKOUT/target/a"),
            ("/home/ada", "~"),
            ("/home/adam/x", "/home/adam/x"),
            ("file /srv/ada/x of ada: denied", "file /srv/USER/x of USER: denied"),
            ("ada@babbage-07:3", "USER@HOST:3"),
            ("an Ada card, adaptive, sm_ada", "an Ada card, adaptive, sm_ada"),
            ("GPU-4b7c1f2a-9d3e-4f5a-8b6c-0123456789ab is busy", "GPU-UUID is busy"),
            ("MIG-4B7C1F2A-9D3E-4F5A-8B6C-0123456789AB/1", "MIG-UUID/1"),
            ("4b7c1f2a-9d3e-4f5a-8b6c-0123456789ab", "UUID"),
            (
                "not one: 4b7c1f2a-9d3e-4f5a-8b6c-0123456789abc",
                "not one: 4b7c1f2a-9d3e-4f5a-8b6c-0123456789abc",
            ),
        ] {
            assert_eq!(redact.text(text), expected);
        }
    }

    #[test]
    fn every_text_of_a_value_is_looked_at_and_numbers_stay() {
        let value = json!({ "a": ["ada", 7, { "/home/ada/b": "babbage-07" }], "b": 1.5 });
        let expected = json!({ "a": ["USER", 7, { "~/b": "HOST" }], "b": 1.5 });
        assert_eq!(planted().value(&value), expected);
    }

    #[test]
    fn this_machine_is_known() {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let redact = Redact::here(&[]);
        assert_eq!(redact.text(&format!("on {host}.")), "on HOST.");
        if let Some(home) = env::var_os("HOME").filter(|home| home.len() > 1) {
            let text = format!("{}/models", Path::new(&home).display());
            assert_eq!(redact.text(&text), "~/models");
        }
    }
}
