//! The take that a render leaves in the store, beside its files: later commands and nodes find it there.

use wan_alpha_take::TakeRequest;
use wan_alpha_take::frame::Frame;
use wan_alpha_take::store::{Description, Published, Store, StoreError, TakeOutcome, TakeWriter};

use crate::console::Console;

/// A take on its way into the store. Where the store cannot have it, that is said, and the files are
/// written all the same.
pub(super) struct StoreCopy<'a> {
    writer: Option<TakeWriter>,
    store: Option<&'a Store>,
    console: &'a Console<'a>,
}

impl<'a> StoreCopy<'a> {
    /// Begins the take in `store`, if there is one. `class` is what it is
    /// computed on.
    pub(super) fn begin(
        store: Option<&'a Store>,
        request: &TakeRequest,
        class: &str,
        console: &'a Console<'a>,
    ) -> Self {
        let begin = |store: &Store| {
            let about = Description::new(request, class)?;
            // Computed once more for its tensors, it is not written once more.
            let is_there = store.find(&about.key).take.is_some();
            (!is_there).then(|| store.create(about)).transpose()
        };
        let mut copy = Self { writer: None, store, console };
        match store.map(begin).transpose().map(Option::flatten) {
            Ok(writer) => copy.writer = writer,
            Err(error) => copy.give_up(&error),
        }
        copy
    }

    /// Writes the next frame.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        let written = self.writer.as_mut().map(|writer| writer.frame_f32(frame.rgba));
        if let Some(Err(error)) = written {
            self.give_up(&error);
        }
    }

    /// Puts the take into the store and, as whatever makes takes does, makes room there: what one's own
    /// files may fill is `limit` bytes.
    pub(super) fn publish(mut self, outcome: Option<TakeOutcome>, limit: Option<u64>) {
        let Some(mut writer) = self.writer.take() else { return };
        let recorded = outcome.map_or(Ok(()), |outcome| writer.record(outcome));
        match recorded.and_then(|()| writer.publish()) {
            Ok(Published { take, closed, .. }) => {
                if let Some(words) = closed {
                    self.console.caution(words);
                }
                log::info!("the take is {}", take.path().display());
                let trimmed = self.store.map(|store| store.trim(limit));
                for problem in trimmed.iter().flat_map(|trimmed| &trimmed.problems) {
                    log::info!("while making room: {problem}");
                }
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &StoreError) {
        self.writer = None;
        self.console.caution(format!("the take is not kept in the store: {error}"));
    }
}
