//! Messages that stay on the node until they are cleared. Not every host has them.

use std::ffi::{CStr, CString};

use super::{Effect, call_suite};
use crate::names;

impl Effect<'_> {
    /// Shows an error on the node until it is cleared.
    pub(crate) fn show_error(self, id: &'static CStr, text: &str) {
        self.set_persistent_message(names::MESSAGE_ERROR, id, text);
    }

    /// Shows a warning on the node until it is cleared.
    pub(crate) fn show_warning(self, id: &'static CStr, text: &str) {
        self.set_persistent_message(names::MESSAGE_WARNING, id, text);
    }

    fn set_persistent_message(self, kind: &'static CStr, id: &'static CStr, text: &str) {
        let Some(suite) = self.host().message else { return };
        let (handle, kind, text) = (self.raw().cast(), kind.as_ptr(), c_text(text));
        // SAFETY: the handle is valid during the action, every string until the call returns, and
        // the format takes the one string that follows it.
        let _ = unsafe {
            call_suite!(
                suite,
                setPersistentMessage(handle, kind, id.as_ptr(), c"%s".as_ptr(), text.as_ptr())
            )
        };
    }

    /// Shows a message to the artist at once. For the main thread only.
    pub(crate) fn show_message(self, text: &str) {
        let Some(suite) = self.host().message else { return };
        let text = c_text(text);
        let (handle, kind) = (self.raw().cast(), names::MESSAGE_MESSAGE.as_ptr());
        // SAFETY: as above.
        let _ = unsafe {
            call_suite!(suite, message(handle, kind, c"".as_ptr(), c"%s".as_ptr(), text.as_ptr()))
        };
    }

    /// Clears the error or warning on the node. Nuke does not render again before that.
    pub(crate) fn clear_error(self) {
        let Some(suite) = self.host().message else { return };
        // SAFETY: the handle is valid during the action.
        let _ = unsafe { call_suite!(suite, clearPersistentMessage(self.raw().cast())) };
    }
}

/// A C string of any text.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
