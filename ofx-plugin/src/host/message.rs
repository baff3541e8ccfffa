//! Messages that stay on the node until they are cleared. Not every host has them.

use std::ffi::{CStr, CString};

use super::{Effect, ask};
use crate::names;

impl Effect<'_> {
    /// Tells the artist that the node cannot go on, and why.
    pub(crate) fn show_error(self, id: &'static CStr, text: &str) {
        self.show(names::MESSAGE_ERROR, id, text);
    }

    /// Tells whoever looks that the node went on, and without what.
    pub(crate) fn show_warning(self, id: &'static CStr, text: &str) {
        self.show(names::MESSAGE_WARNING, id, text);
    }

    fn show(self, kind: &'static CStr, id: &'static CStr, text: &str) {
        let Some(suite) = self.host().message else { return };
        let (handle, kind, text) = (self.raw().cast(), kind.as_ptr(), c_text(text));
        // SAFETY: the handle is valid during the action, every string until the call returns, and
        // the format takes the one string that follows it.
        let _ = unsafe {
            ask!(
                suite,
                setPersistentMessage(handle, kind, id.as_ptr(), c"%s".as_ptr(), text.as_ptr())
            )
        };
    }

    /// Tells the artist something now, on the main thread.
    pub(crate) fn tell(self, text: &str) {
        let Some(suite) = self.host().message else { return };
        let text = c_text(text);
        let (handle, kind) = (self.raw().cast(), names::MESSAGE_MESSAGE.as_ptr());
        // SAFETY: as above.
        let _ = unsafe {
            ask!(suite, message(handle, kind, c"".as_ptr(), c"%s".as_ptr(), text.as_ptr()))
        };
    }

    /// Takes the message away. Nuke does not render again before that.
    pub(crate) fn clear_error(self) {
        let Some(suite) = self.host().message else { return };
        // SAFETY: the handle is valid during the action.
        let _ = unsafe { ask!(suite, clearPersistentMessage(self.raw().cast())) };
    }
}

/// A C string of any text.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
