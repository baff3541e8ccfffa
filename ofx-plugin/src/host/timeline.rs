//! The host's timeline. Not every host has one.

use super::{Effect, call_suite};

impl Effect<'_> {
    /// The first and last frame of the project, outside rendering.
    pub(crate) fn timeline_bounds(self) -> Option<[f64; 2]> {
        let suite = self.host().timeline?;
        let [mut first, mut last] = [0.0_f64; 2];
        let handle = self.raw().cast();
        // SAFETY: the handle is valid during the action, and the places are ours.
        let status =
            unsafe { call_suite!(suite, getTimeBounds(handle, &raw mut first, &raw mut last)) };
        (status.is_ok() && first.is_finite() && last >= first).then_some([first, last])
    }
}
