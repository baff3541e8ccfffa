//! What straight, display-referred values from 0 to 1 cannot hold of the pictures that were read, counted
//! and told.

use wan_alpha_take::counted::{counted, verb};

use crate::media::reading::{ROUNDING, is_in_range};

/// What was changed or left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PictureLosses {
    /// Values that were brought into \[0, 1\], the least and the most of them.
    clipped: u64,
    least: f32,
    most: f32,
    /// Pixels that have light where alpha is 0, and the most of it.
    unseen: u64,
    brightest: f32,
    /// Pixels that hold no number where alpha is 0, and the first of them in words.
    no_numbers: u64,
    first: Option<String>,
}

impl PictureLosses {
    /// Brings a value into \[0, 1\]; rounding is not counted.
    pub(super) fn clip(&mut self, value: &mut f32) {
        if !is_in_range(*value) {
            self.clipped += 1;
            self.least = self.least.min(*value);
            self.most = self.most.max(*value);
        }
        *value = value.clamp(0.0, 1.0);
    }

    /// Counts light of a transparent pixel, unless it is what compression leaves.
    pub(super) fn leave_out(&mut self, light: impl Iterator<Item = f32>) {
        let most = light.fold(0.0_f32, |most, value| most.max(value.abs()));
        if most > ROUNDING {
            self.unseen += 1;
            self.brightest = self.brightest.max(most);
        }
    }

    /// Counts a transparent pixel that holds no number.
    pub(super) fn hide_number(&mut self, words: impl FnOnce() -> String) {
        self.no_numbers += 1;
        self.first.get_or_insert_with(words);
    }

    /// What happened, a sentence for each kind.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { clipped, least, most, unseen, brightest, no_numbers, first } = self;
        let clipped = (*clipped > 0).then(|| {
            format!(
                "{} of the clip, from {least} to {most} on display, {} clipped to 0 and 1, which is all the \
                 model knows",
                counted(*clipped, "value"),
                verb(*clipped, "was", "were")
            )
        });
        let unseen = (*unseen > 0).then(|| {
            format!(
                "{} of the clip {} light where alpha is 0, up to {brightest} (a glow, or light that is \
                 added): no straight picture holds that, and it is left out; give it an alpha",
                counted(*unseen, "pixel"),
                verb(*unseen, "has", "have")
            )
        });
        let no_numbers = first.as_ref().map(|first| {
            format!(
                "{} of the clip {} no number where alpha is 0, and {} taken for black: {first}",
                counted(*no_numbers, "pixel"),
                verb(*no_numbers, "holds", "hold"),
                verb(*no_numbers, "is", "are")
            )
        });
        clipped.into_iter().chain(unseen).chain(no_numbers).collect()
    }

    /// Adds those of another frame.
    pub(super) fn add(&mut self, other: Self) {
        self.clipped += other.clipped;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.unseen += other.unseen;
        self.brightest = self.brightest.max(other.brightest);
        self.no_numbers += other.no_numbers;
        self.first = self.first.take().or(other.first);
    }
}
