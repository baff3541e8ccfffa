//! Random draws that are pure functions of a run's seed, of what they are for and of where they are
//! made: a resumed run draws what an unbroken one would have drawn, in whatever order.
//!
//! BLAKE3's output, which is the same on every machine and in every version.

/// An endless stream of numbers.
pub(crate) struct DataRng(blake3::OutputReader);

impl DataRng {
    /// `purpose` tells draws of one place apart; `at` is the place, such as a step and a row.
    pub(crate) fn new(seed: u64, purpose: &str, at: &[u64]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("wan-alpha-ofx draw 1");
        hasher.update(&seed.to_le_bytes());
        for number in at {
            hasher.update(&number.to_le_bytes());
        }
        // Last, since it is the only part of no fixed length.
        hasher.update(purpose.as_bytes());
        Self(hasher.finalize_xof())
    }

    /// The next 64 random bits, as a number.
    pub(crate) fn bits(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The next number x with 0 ≤ x < 1, each equally likely.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// The next number x with low ≤ x < high, each equally likely.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// 0 ≤ n < count; 0 if there is nothing to choose.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// One of some values, each equally likely.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, of: &[T; N]) -> T {
        const { assert!(N > 0) };
        of[self.below(N)]
    }

    /// Whether something of this probability happens.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_purpose_and_place_each_matter_and_nothing_else_does() {
        let first = |seed, purpose, at: &[u64]| DataRng::new(seed, purpose, at).bits();
        assert_eq!(first(1, "crop", &[2, 3]), first(1, "crop", &[2, 3]));
        // Pinned: a run that is resumed by a later version must go on as it was.
        assert_eq!(first(1, "crop", &[2, 3]), PINNED);
        let others = [
            first(2, "crop", &[2, 3]),
            first(1, "noise", &[2, 3]),
            first(1, "crop", &[3, 2]),
            first(1, "crop", &[2]),
        ];
        assert!(others.iter().all(|other| *other != PINNED), "{others:x?}");
    }

    const PINNED: u64 = 2_120_699_365_430_344_261;

    #[test]
    fn numbers_are_spread_over_their_ranges() {
        let mut draw = DataRng::new(7, "test", &[]);
        let (mut sum, mut counts) = (0.0, [0; 5]);
        for _ in 0..5000 {
            let x = draw.between(-1.0, 3.0);
            assert!((-1.0..3.0).contains(&x));
            sum += x;
            counts[draw.below(5)] += 1;
        }
        assert!((sum / 5000.0 - 1.0).abs() < 0.07, "{sum}");
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(draw.below(0), 0);
    }
}
