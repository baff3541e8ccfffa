//! Numbers of things in words: `1 take`, `2 takes`, and `is` or `are` after them.

use std::fmt::Display;

/// A number and what it is of, in the singular where it is one: `1 latent frame`, `0 copies`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    if count == N::from(1) {
        return format!("{count} {thing}");
    }
    match thing.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {thing}s"),
    }
}

/// `one` of one thing, else `several`: `is` and `are`, `goes` and `go`.
#[must_use]
pub fn verb<'a, N: PartialEq + From<u8>>(count: N, one: &'a str, several: &'a str) -> &'a str {
    if count == N::from(1) { one } else { several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular_and_none_is_plural() {
        assert_eq!(counted(1_usize, "take"), "1 take");
        assert_eq!(counted(0_u32, "take"), "0 takes");
        assert_eq!(counted(2_u64, "latent frame"), "2 latent frames");
        assert_eq!(counted(3_i64, "copy"), "3 copies");
        assert_eq!(counted(3_usize, "key"), "3 keys");
        assert_eq!((verb(1_usize, "is", "are"), verb(0_usize, "is", "are")), ("is", "are"));
    }
}
