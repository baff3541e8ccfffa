//! A moment as files say it: in UTC, to the second.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in whole seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DateTime(u64);

impl DateTime {
    /// So many seconds after the beginning of 1970, UTC.
    pub(crate) const fn of_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// That of the system's clock; one before 1970 is taken for that.
    pub(crate) fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// `2026-11-30T17:39:28Z`, as XMP has it.
    pub(crate) fn iso_words(self) -> String {
        let ([year, month, day], [hour, minute, second]) = self.parts();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// `2026:11:30 17:39:28`, as EXR's `capDate` has it.
    pub(crate) fn exr_words(self) -> String {
        let ([year, month, day], [hour, minute, second]) = self.parts();
        format!("{year:04}:{month:02}:{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    fn parts(self) -> ([u64; 3], [u64; 3]) {
        const DAY: u64 = 86_400;
        let (mut days, rest) = (self.0 / DAY, self.0 % DAY);
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let february = 28 + u64::from(is_leap(year));
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        ([year, month, days + 1], [rest / 3600, rest / 60 % 60, rest % 60])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside `date -u -d @N +%FT%TZ`.
    #[test]
    fn moments_are_said_as_the_calendar_has_them() {
        for (seconds, words) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_796_060_368, "2026-11-30T17:39:28Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(DateTime::of_seconds(seconds).iso_words(), words);
        }
        assert_eq!(DateTime::of_seconds(1_796_060_368).exr_words(), "2026:11:30 17:39:28");
    }
}
