//! Asking the host whether it still wants the picture.

#![forbid(unsafe_code)]

/// Pixels of work between two questions: a fraction of a millisecond.
const BETWEEN: usize = 1 << 15;

/// The host no longer wants it.
pub(super) struct Aborted;

pub(super) struct AbortCheck<'a> {
    go_on: &'a dyn Fn() -> bool,
    spent: usize,
}

impl<'a> AbortCheck<'a> {
    pub(super) fn new(go_on: &'a dyn Fn() -> bool) -> Self {
        Self { go_on, spent: BETWEEN }
    }

    /// To be called before so many pixels are worked on.
    pub(super) fn tick(&mut self, pixels: usize) -> Result<(), Aborted> {
        self.spent = self.spent.saturating_add(pixels);
        if self.spent < BETWEEN {
            return Ok(());
        }
        self.spent = 0;
        if (self.go_on)() { Ok(()) } else { Err(Aborted) }
    }
}
