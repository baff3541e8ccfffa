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
        let (handle, kind, format) = (self.raw().cast(), kind.as_ptr(), format_of(text));
        // SAFETY: the handle is valid during the action, every string until the call returns, and
        // the format asks for no argument.
        let _ = unsafe {
            call_suite!(suite, setPersistentMessage(handle, kind, id.as_ptr(), format.as_ptr()))
        };
    }

    /// Shows a message to the artist at once. For the main thread only.
    pub(crate) fn show_message(self, text: &str) {
        let Some(suite) = self.host().message else { return };
        let (handle, kind) = (self.raw().cast(), names::MESSAGE_MESSAGE.as_ptr());
        let format = format_of(text);
        // SAFETY: as above.
        let _ = unsafe { call_suite!(suite, message(handle, kind, c"".as_ptr(), format.as_ptr())) };
    }

    /// Clears the error or warning on the node. Nuke does not render again before that.
    pub(crate) fn clear_error(self) {
        let Some(suite) = self.host().message else { return };
        // SAFETY: the handle is valid during the action.
        let _ = unsafe { call_suite!(suite, clearPersistentMessage(self.raw().cast())) };
    }
}

/// A text as a format that asks for no argument: Natron loses the arguments, and shows a blank for
/// each string that a format asks for. Hosts that show the format as it is read well, too.
fn format_of(text: &str) -> CString {
    c_text(&text.replace('%', "%%"))
}

/// A C string of any text.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
