//! Messages that stay on the node until they are cleared. Not every host has them.

use std::ffi::CStr;

use super::{Effect, ask};
use crate::names;

impl Effect<'_> {
    /// Tells the artist that the node cannot go on, and why.
    pub(crate) fn show_error(self, id: &'static CStr, text: &CStr) {
        let Some(suite) = self.host().message else { return };
        let (handle, kind) = (self.raw().cast(), names::MESSAGE_ERROR.as_ptr());
        // SAFETY: the handle is valid during the action, every string until the call returns, and
        // the format takes the one string that follows it.
        let _ = unsafe {
            ask!(
                suite,
                setPersistentMessage(handle, kind, id.as_ptr(), c"%s".as_ptr(), text.as_ptr())
            )
        };
    }

    /// Takes the message away. Nuke does not render again before that.
    pub(crate) fn clear_error(self) {
        let Some(suite) = self.host().message else { return };
        // SAFETY: the handle is valid during the action.
        let _ = unsafe { ask!(suite, clearPersistentMessage(self.raw().cast())) };
    }
}
