//! Parameters of an instance.

use std::ffi::{CStr, c_int};
use std::ptr;

use openfx_sys::OfxParamHandle;

use super::{Effect, Properties, ask};
use crate::status::Status;

/// A parameter of an instance, valid as long as that.
#[derive(Clone, Copy)]
pub(crate) struct Parameter(OfxParamHandle);

impl Parameter {
    pub(super) fn new(handle: OfxParamHandle) -> Result<Self, Status> {
        if handle.is_null() { Err(Status::BAD_HANDLE) } else { Ok(Self(handle)) }
    }

    pub(crate) fn properties(self, of: Effect<'_>) -> Result<Properties<'_>, Status> {
        let (mut properties, host) = (ptr::null_mut(), of.host());
        // SAFETY: the parameter belongs to the instance of this effect, which outlives the action.
        unsafe {
            ask!(host.parameter, paramGetPropertySet(self.0, &raw mut properties))?;
            Properties::new(host, properties)
        }
    }

    /// Of a whole number or a choice, outside rendering.
    pub(crate) fn int(self, of: Effect<'_>) -> Result<i32, Status> {
        let mut value: c_int = 0;
        // SAFETY: as above; the type of the value is the one that OpenFX gives these parameters.
        unsafe { ask!(of.host().parameter, paramGetValue(self.0, &raw mut value))? };
        Ok(value)
    }

    /// Of a whole number, in an action that may change parameters.
    pub(crate) fn set_int(self, of: Effect<'_>, value: i32) -> Result<(), Status> {
        let value: c_int = value;
        // SAFETY: as above.
        unsafe { ask!(of.host().parameter, paramSetValue(self.0, value)) }
    }

    /// Of a text, in an action that may change parameters.
    pub(crate) fn set_text(self, of: Effect<'_>, value: &CStr) -> Result<(), Status> {
        // SAFETY: as above; the host copies the text before it returns.
        unsafe { ask!(of.host().parameter, paramSetValue(self.0, value.as_ptr())) }
    }
}
