//! A progress bar that the artist may cancel, on the main thread. Not every host has one.
//!
//! While it is shown, some hosts handle what the artist does elsewhere: the instance may be destroyed
//! within an update. Its bar is ended with it then, and its handle must not be used again.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use openfx_sys::{OfxProgressSuiteV1, OfxStatus};

use super::{Effect, call_suite};
use crate::ofx_status::Status;

/// A progress bar; it goes away when this is dropped, or with the instance.
pub(crate) struct ProgressBar<'a> {
    suite: &'static OfxProgressSuiteV1,
    handle: *mut c_void,
    /// The instance's word on it, which ending the bar takes back.
    is_shown: &'a AtomicBool,
}

impl Effect<'_> {
    /// Shows a progress bar, if the host has one. `is_shown` is the instance's, which knows so whether
    /// there is a bar to end.
    pub(crate) fn progress<'a>(
        self,
        label: &CStr,
        is_shown: &'a AtomicBool,
    ) -> Option<ProgressBar<'a>> {
        let suite = self.host().progress?;
        let handle: *mut c_void = self.raw().cast();
        // SAFETY: the handle is valid during the action, the label until the call returns.
        unsafe { call_suite!(suite, progressStart(handle, label.as_ptr())) }.ok()?;
        is_shown.store(true, Ordering::Relaxed);
        Some(ProgressBar { suite, handle, is_shown })
    }

    /// Ends the bar that is shown of an instance, which is about to go.
    pub(crate) fn end_progress(self, is_shown: &AtomicBool) {
        let Some(suite) = self.host().progress else { return };
        drop(ProgressBar { suite, handle: self.raw().cast(), is_shown });
    }
}

impl ProgressBar<'_> {
    /// Whether it is still there; else its instance is not either.
    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed)
    }

    /// Moves the bar, 0 to 1. False when the artist has cancelled.
    pub(crate) fn update(&self, fraction: f64) -> bool {
        // SAFETY: the bar is shown during the action that began it, so that the handle is valid; who
        // updates it looks first whether it is still shown.
        let status: Option<OfxStatus> =
            self.suite.progressUpdate.map(|update| unsafe { update(self.handle, fraction) });
        status.is_none_or(|status| Status::of(status) != Status::REPLY_NO)
    }
}

impl Drop for ProgressBar<'_> {
    fn drop(&mut self) {
        if self.is_shown.swap(false, Ordering::Relaxed) {
            // SAFETY: the instance has not gone, or is about to: the handle is valid.
            let _ = unsafe { call_suite!(self.suite, progressEnd(self.handle)) };
        }
    }
}
