//! What the files of a take are called: `rgba.0000.exr`, or as a person says.

use std::fmt;
use std::str::FromStr;

/// The name of frames, without their ending: what stands before and after the number, which has a least
/// number of digits and begins somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameNames {
    before: String,
    digits: usize,
    after: String,
    /// The number of the first frame.
    pub(crate) start: u32,
}

/// The most digits that a number is filled up to.
pub(crate) const MOST_DIGITS: usize = 9;
/// The longest name that file systems have is 255 bytes; numbers and endings follow.
const LONGEST: usize = 200;

impl Default for FrameNames {
    fn default() -> Self {
        Self { before: "rgba.".to_owned(), digits: 4, after: String::new(), start: 0 }
    }
}

/// A text that cannot be the name of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` cannot be the name of frames: {why}; expected for example shot.#### or shot_%04d"
)]
pub(crate) struct FrameNameError {
    found: String,
    why: &'static str,
}

impl FromStr for FrameNames {
    type Err = FrameNameError;

    /// `shot.####`, `shot_%04d`, or a name alone, which gets `.####`.
    fn from_str(text: &str) -> Result<Self, FrameNameError> {
        let wrong = |why| Err(FrameNameError { found: text.to_owned(), why });
        if text.is_empty() || text.len() > LONGEST {
            return wrong("it is empty, or longer than 200 bytes");
        }
        if text.starts_with('.') {
            return wrong("a name that begins with a dot is hidden");
        }
        if text.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c)) {
            return wrong("it has a character that file systems have not in names");
        }
        let mut hashes = text.match_indices('#').map(|(place, _)| place);
        let place = match (hashes.next(), text.find('%')) {
            (None, None) => None,
            (Some(first), None) => {
                let count = text[first..].bytes().take_while(|byte| *byte == b'#').count();
                Some((first, count, count))
            }
            (None, Some(first)) => {
                let digits = text[first + 1..].split('d').next().unwrap_or_default();
                let number = digits.strip_prefix('0').and_then(|digits| digits.parse().ok());
                let Some(number) = number else {
                    return wrong("of printf's forms %04d and its like are known");
                };
                Some((first, number, digits.len() + 2))
            }
            (Some(_), Some(_)) => return wrong("it has two places for the number"),
        };
        let Some((first, digits, length)) = place else {
            return Ok(Self { before: format!("{text}."), ..Self::default() });
        };
        let (before, after) = (&text[..first], &text[first + length..]);
        if after.contains(['#', '%']) {
            return wrong("it has two places for the number");
        }
        if !(1..=MOST_DIGITS).contains(&digits) {
            return wrong("the number has 1 to 9 digits");
        }
        Ok(Self { before: before.to_owned(), digits, after: after.to_owned(), start: 0 })
    }
}

impl fmt::Display for FrameNames {
    /// As a pattern: `rgba.####`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}{}", self.before, "#".repeat(self.digits), self.after)
    }
}

impl FrameNames {
    /// The same names with another number of digits, from another first frame.
    pub(crate) fn counting(self, digits: Option<usize>, start: u32) -> Self {
        Self { digits: digits.unwrap_or(self.digits), start, ..self }
    }

    /// Whether both call frames the same, wherever they begin.
    pub(super) fn is_named_like(&self, other: &Self) -> bool {
        let parts = |names: &Self| (names.before.clone(), names.digits, names.after.clone());
        parts(self) == parts(other)
    }

    /// The name of a take's frame, counted from 0.
    pub(super) fn frame(&self, index: usize, extension: &str) -> String {
        let Self { before, digits, after, start } = self;
        format!("{before}{:0digits$}{after}.{extension}", *start as usize + index)
    }

    /// The name of a movie: that of the frames without the number.
    pub(super) fn movie(&self, extension: &str) -> String {
        let divides = |c: char| ".-_ ".contains(c);
        let stem = self.before.trim_end_matches(divides);
        let stem = if stem.is_empty() { "rgba" } else { stem };
        format!("{stem}{}.{extension}", self.after)
    }

    /// The frame of a take that a file of this name would be, whatever the take's length.
    pub(super) fn index_of(&self, name: &str, extension: &str) -> Option<usize> {
        let number = self.number_of(name, extension)?;
        number.checked_sub(self.start as usize)
    }

    /// Whether a file of this name is a frame, of whatever number.
    pub(super) fn is_frame(&self, name: &str, extension: &str) -> bool {
        self.number_of(name, extension).is_some()
    }

    fn number_of(&self, name: &str, extension: &str) -> Option<usize> {
        let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
        let number = stem.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let is_number = number.len() >= self.digits && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| number.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_patterns_with_a_place_for_the_number() {
        for (text, pattern, frame, movie) in [
            ("rgba", "rgba.####", "rgba.1003.exr", "rgba.mov"),
            ("shot_%05d", "shot_#####", "shot_01003.exr", "shot.mov"),
            ("a.###.left", "a.###.left", "a.1003.left.exr", "a.left.mov"),
            ("##", "##", "1003.exr", "rgba.mov"),
        ] {
            let names = text.parse::<FrameNames>().unwrap().counting(None, 1001);
            assert_eq!(names.to_string(), pattern);
            assert_eq!(names.frame(2, "exr"), frame);
            assert_eq!(names.movie("mov"), movie);
            assert_eq!(names.index_of(frame, "exr"), Some(2));
            assert_eq!(names.index_of(frame, "png"), None);
        }
        let names = FrameNames::default().counting(Some(6), 7);
        assert_eq!(names.frame(0, "png"), "rgba.000007.png");
        assert!(
            names.is_frame("rgba.000000.png", "png")
                && names.index_of("rgba.000000.png", "png").is_none()
        );
        assert!(!names.is_frame("rgba.0001.png", "png"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_in_words() {
        for (text, word) in [
            ("", "empty"),
            (".hidden", "hidden"),
            ("a/b", "file systems"),
            ("a.##.##", "two places"),
            ("a.#.%04d", "two places"),
            ("a%d", "%04d"),
            ("a%4x", "%04d"),
            ("a##########", "1 to 9 digits"),
        ] {
            let said = text.parse::<FrameNames>().unwrap_err().to_string();
            assert!(said.contains(word) && said.contains("shot.####"), "{said}");
        }
    }
}
