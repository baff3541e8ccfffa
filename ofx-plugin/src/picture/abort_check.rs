//! Asking the host whether it still wants the picture.

#![forbid(unsafe_code)]

/// Pixels of work between two questions: a fraction of a millisecond.
const PIXELS_BETWEEN: usize = 1 << 15;

/// The host no longer wants the picture.
pub(super) struct Aborted;

/// Asks the host once for so many pixels of work.
pub(super) struct AbortCheck<'a> {
    keep_going: &'a dyn Fn() -> bool,
    pixels_since: usize,
}

impl<'a> AbortCheck<'a> {
    pub(super) fn new(keep_going: &'a dyn Fn() -> bool) -> Self {
        Self { keep_going, pixels_since: PIXELS_BETWEEN }
    }

    /// To be called before so many pixels are worked on.
    pub(super) fn tick(&mut self, pixels: usize) -> Result<(), Aborted> {
        self.pixels_since = self.pixels_since.saturating_add(pixels);
        if self.pixels_since < PIXELS_BETWEEN {
            return Ok(());
        }
        self.pixels_since = 0;
        if (self.keep_going)() { Ok(()) } else { Err(Aborted) }
    }
}
