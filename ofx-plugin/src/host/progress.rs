//! A progress bar that the artist may cancel, on the main thread. Not every host has one.

use std::ffi::{CStr, c_void};

use openfx_sys::{OfxProgressSuiteV1, OfxStatus};

use super::{Effect, call_suite};
use crate::ofx_status::Status;

/// A progress bar; it goes away when this is dropped.
pub(crate) struct ProgressBar {
    suite: &'static OfxProgressSuiteV1,
    handle: *mut c_void,
}

impl Effect<'_> {
    /// Shows a progress bar, if the host has one.
    pub(crate) fn progress(self, label: &CStr) -> Option<ProgressBar> {
        let suite = self.host().progress?;
        let handle: *mut c_void = self.raw().cast();
        // SAFETY: the handle is valid during the action, the label until the call returns.
        unsafe { call_suite!(suite, progressStart(handle, label.as_ptr())) }.ok()?;
        Some(ProgressBar { suite, handle })
    }
}

impl ProgressBar {
    /// Moves the bar, 0 to 1. False when the artist has cancelled.
    pub(crate) fn update(&self, fraction: f64) -> bool {
        // SAFETY: the bar is shown during the action that began it, so that the handle is valid.
        let status: Option<OfxStatus> =
            self.suite.progressUpdate.map(|update| unsafe { update(self.handle, fraction) });
        status.is_none_or(|status| Status::of(status) != Status::REPLY_NO)
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        // SAFETY: as above.
        let _ = unsafe { call_suite!(self.suite, progressEnd(self.handle)) };
    }
}
