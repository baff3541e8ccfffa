//! The overlay's entry points: one for each way of drawing, since the action does not say which.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};

use openfx_sys::{OfxPropertySetHandle, OfxStatus};

use crate::host::Interact;
use crate::ofx_status::{ActionResult, Status, guarded};
use crate::overlay::{self, DrawMethod, InteractAction};

pub(crate) unsafe extern "C" fn overlay_by_opengl(
    action: *const c_char,
    handle: *const c_void,
    in_arguments: OfxPropertySetHandle,
    _out_arguments: OfxPropertySetHandle,
) -> OfxStatus {
    // SAFETY: the host names an action and gives the handles that belong to it.
    guarded(|| unsafe { overlay(action, handle, in_arguments, DrawMethod::OpenGl) })
}

pub(crate) unsafe extern "C" fn overlay_by_draw_suite(
    action: *const c_char,
    handle: *const c_void,
    in_arguments: OfxPropertySetHandle,
    _out_arguments: OfxPropertySetHandle,
) -> OfxStatus {
    // SAFETY: as above.
    guarded(|| unsafe { overlay(action, handle, in_arguments, DrawMethod::DrawSuite) })
}

/// # Safety
/// The action must be null or a C string, the handles null or valid for it.
unsafe fn overlay(
    action: *const c_char,
    handle: *const c_void,
    arguments: OfxPropertySetHandle,
    method: DrawMethod,
) -> ActionResult {
    if action.is_null() {
        return Err(Status::FAILED);
    }
    // SAFETY: promised by the caller; `InteractAction` is made from the name at once.
    let action = InteractAction::named(unsafe { CStr::from_ptr(action) });
    // SAFETY: promised by the caller.
    let interact = unsafe { Interact::new(handle, arguments) }?;
    overlay::answer(action, interact, method)
}
