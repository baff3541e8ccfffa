//! Several seeds in one word: `1..8`, `3,5,9`, or both.

use std::collections::BTreeSet;
use std::str::FromStr;

/// Seeds of takes that are looked at beside each other, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedList(pub(crate) Vec<u32>);

impl SeedList {
    /// The most takes that one picture has room for.
    pub(crate) const MOST: usize = 64;
}

impl FromStr for SeedList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let (first, last) = range(part.trim())?;
            if first > last {
                return Err(format!(
                    "the range {first}..{last} is empty: its first seed is above its last; expected for \
                     example {last}..{first}"
                ));
            }
            // Not all of them: a range may be of four thousand millions.
            seeds.extend((first..=last).take(Self::MOST + 1));
            if seeds.len() > Self::MOST {
                return Err(format!(
                    "there are more than {} seeds: expected 1 to {0}, such as 1..8 or 3,5,9",
                    Self::MOST
                ));
            }
        }
        let mut seen = BTreeSet::new();
        match seeds.iter().find(|seed| !seen.insert(**seed)) {
            Some(twice) => Err(format!("the seed {twice} stands twice: expected each once")),
            None => Ok(Self(seeds)),
        }
    }
}

/// `A..B` with both ends, or one seed.
fn range(part: &str) -> Result<(u32, u32), String> {
    let seed = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().map_err(|_| {
            if is_number {
                format!("the seed {text} is too large: expected 0 to {} at most", u32::MAX)
            } else if text.starts_with('-') {
                format!(
                    "`{text}` is below 0: expected seeds of 0 to {}, such as 1..8 or 3,5,9",
                    u32::MAX
                )
            } else {
                format!(
                    "`{text}` is no seed: expected whole numbers, 0 to {}, such as 1..8 or 3,5,9",
                    u32::MAX
                )
            }
        })
    };
    match part.split_once("..") {
        Some((first, last)) => Ok((seed(first)?, seed(last)?)),
        None => seed(part).map(|seed| (seed, seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_both_ends_and_stand_beside_single_seeds() {
        for (text, seeds) in [
            ("7", vec![7]),
            ("1..4", vec![1, 2, 3, 4]),
            ("9, 1..3,4294967295", vec![9, 1, 2, 3, u32::MAX]),
            ("5..5", vec![5]),
        ] {
            assert_eq!(text.parse(), Ok(SeedList(seeds)), "{text}");
        }
        assert_eq!("0..63".parse::<SeedList>().unwrap().0.len(), SeedList::MOST);
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_is_expected() {
        for (text, words) in [
            ("", "`` is no seed"),
            ("1..", "`` is no seed"),
            ("1,,2", "`` is no seed"),
            ("1..=4", "`=4` is no seed"),
            ("-1", "`-1` is below 0: expected seeds of 0 to 4294967295"),
            ("1..-3", "`-3` is below 0"),
            ("4294967296", "the seed 4294967296 is too large: expected 0 to 4294967295"),
            ("99999999999999999999", "the seed 99999999999999999999 is too large"),
            ("5..3", "the range 5..3 is empty"),
            ("0..64", "more than 64 seeds"),
            ("0..4294967295", "more than 64 seeds"),
            ("1..60,61..70", "more than 64 seeds"),
            ("1,2..4,3", "the seed 3 stands twice"),
        ] {
            let said = text.parse::<SeedList>().unwrap_err();
            assert!(said.contains(words), "{text}: `{words}` is not in: {said}");
        }
    }
}
