//! Seeds of noise: what of a number counts, and several in one word: `1..8`, `3,5,9`, or both.

use std::collections::BTreeSet;
use std::str::FromStr;

/// What of a seed counts: the low 32 bits, as torch's generator on the CPU takes them.
pub(super) fn noise_seed(given: u64) -> u32 {
    (given & u64::from(u32::MAX)) as u32
}

/// What to say of a seed of more than 32 bits.
pub(super) fn large_seed_warning(given: u64) -> Option<String> {
    let taken = noise_seed(given);
    (given > u32::MAX.into()).then(|| {
        format!("the seed {given} counts with its low 32 bits, as in torch: {taken} is the same")
    })
}

/// Seeds of takes that are looked at beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedList {
    /// What of each counts, in the order in which they were given.
    pub(crate) seeds: Vec<u32>,
    /// The first that has more than 32 bits.
    large: Option<u64>,
}

impl SeedList {
    /// The most takes that one picture has room for.
    pub(crate) const MOST: usize = 64;

    /// What to say of seeds of more than 32 bits: of the first of them, for all.
    pub(crate) fn warning(&self) -> Option<String> {
        self.large.and_then(large_seed_warning)
    }
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
        let large = seeds.iter().copied().find(|seed| *seed > u32::MAX.into());
        let seeds: Vec<u32> = seeds.into_iter().map(noise_seed).collect();
        let mut seen = BTreeSet::new();
        match seeds.iter().find(|seed| !seen.insert(**seed)) {
            Some(twice) => {
                let bits = if large.is_some() { ", of which the low 32 bits count" } else { "" };
                Err(format!("the seed {twice} stands twice: expected each once{bits}"))
            }
            None => Ok(Self { seeds, large }),
        }
    }
}

/// `A..B` with both ends, or one seed.
fn range(part: &str) -> Result<(u64, u64), String> {
    let seed = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().map_err(|_| {
            if is_number {
                format!("the seed {text} is too large: expected 0 to {} at most", u64::MAX)
            } else if text.starts_with('-') {
                format!(
                    "`{text}` is below 0: expected seeds of 0 to {}, such as 1..8 or 3,5,9",
                    u64::MAX
                )
            } else {
                format!(
                    "`{text}` is no seed: expected whole numbers, 0 to {}, such as 1..8 or 3,5,9",
                    u64::MAX
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
            assert_eq!(text.parse(), Ok(SeedList { seeds, large: None }), "{text}");
        }
        assert_eq!("0..63".parse::<SeedList>().unwrap().seeds.len(), SeedList::MOST);
    }

    #[test]
    fn of_more_than_32_bits_the_low_ones_count_and_that_is_said_of_the_first() {
        let list: SeedList = "7,4294967304..4294967306,18446744073709551615".parse().unwrap();
        assert_eq!(list.seeds, [7, 8, 9, 10, u32::MAX]);
        let said = list.warning().unwrap();
        assert!(said.contains("the seed 4294967304 counts") && said.contains(": 8 is"), "{said}");
        assert_eq!("1..3".parse::<SeedList>().unwrap().warning(), None);
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_is_expected() {
        for (text, words) in [
            ("", "`` is no seed"),
            ("1..", "`` is no seed"),
            ("1,,2", "`` is no seed"),
            ("1..=4", "`=4` is no seed"),
            ("-1", "`-1` is below 0: expected seeds of 0 to 18446744073709551615"),
            ("1..-3", "`-3` is below 0"),
            ("18446744073709551616", "is too large: expected 0 to 18446744073709551615"),
            ("99999999999999999999", "the seed 99999999999999999999 is too large"),
            (
                "0,4294967296",
                "the seed 0 stands twice: expected each once, of which the low 32 bits",
            ),
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
