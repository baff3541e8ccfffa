//! How the time of a check is shared out.

use std::time::{Duration, Instant};

/// Kept back for stopping the engine, removing what was made, and writing the page.
const CLOSING: Duration = Duration::from_secs(12);

/// The time that the whole check has, counted from when it began.
pub(super) struct Budget {
    begun: Instant,
    whole: Duration,
}

impl Budget {
    pub(super) fn begin(whole: Duration) -> Self {
        Self::begun_at(Instant::now(), whole)
    }

    fn begun_at(begun: Instant, whole: Duration) -> Self {
        Self { begun, whole }
    }

    /// What is left for parts.
    pub(super) fn left(&self) -> Duration {
        self.left_at(Instant::now())
    }

    fn left_at(&self, now: Instant) -> Duration {
        self.whole.saturating_sub(now.saturating_duration_since(self.begun) + CLOSING)
    }

    /// The time that a part gets which wants `most` at most and can do nothing in less than `least`;
    /// nothing where too little is left.
    pub(super) fn share(&self, least: Duration, most: Duration) -> Option<Duration> {
        Self::share_of(self.left(), least, most)
    }

    fn share_of(left: Duration, least: Duration, most: Duration) -> Option<Duration> {
        (left >= least).then(|| left.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn closing_is_never_spent_on_parts() {
        let begun = Instant::now();
        let budget = Budget::begun_at(begun, seconds(60));
        assert_eq!(budget.left_at(begun), seconds(60) - CLOSING);
        assert_eq!(budget.left_at(begun + seconds(40)), seconds(20) - CLOSING);
        assert_eq!(budget.left_at(begun + seconds(50)), Duration::ZERO);
        assert_eq!(budget.left_at(begun + seconds(500)), Duration::ZERO);
        assert_eq!(Budget::begun_at(begun, seconds(3)).left_at(begun), Duration::ZERO);
    }

    #[test]
    fn a_part_gets_what_it_wants_what_is_left_or_nothing() {
        let share = |left| Budget::share_of(seconds(left), seconds(10), seconds(30));
        assert_eq!(share(100), Some(seconds(30)));
        assert_eq!(share(30), Some(seconds(30)));
        assert_eq!(share(12), Some(seconds(12)));
        assert_eq!(share(9), None);
    }
}
