//! Parameters of an instance.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr;

use openfx_sys::{OfxParamHandle, OfxTime};

use super::{Effect, Properties, call_suite};
use crate::names;
use crate::ofx_status::Status;

/// A parameter of an instance, valid as long as that.
#[derive(Clone, Copy)]
pub(crate) struct ParameterHandle(OfxParamHandle);

// SAFETY: the handle is never followed here, only given back to the host, whose suites may be called
// from every thread that it runs an action on.
unsafe impl Send for ParameterHandle {}
// SAFETY: as above; nothing changes through a shared reference.
unsafe impl Sync for ParameterHandle {}

impl Effect<'_> {
    /// The parameter of an instance that has this id.
    pub(crate) fn parameter(self, id: &'static CStr) -> Result<ParameterHandle, Status> {
        let (set, suite) = (self.parameter_set()?, self.host().parameter);
        let mut parameter = ptr::null_mut();
        // SAFETY: the parameter set is valid during the action, the id static; the property set is
        // not asked for.
        unsafe {
            let id = id.as_ptr();
            call_suite!(suite, paramGetHandle(set, id, &raw mut parameter, ptr::null_mut()))?;
        }
        if parameter.is_null() { Err(Status::BAD_HANDLE) } else { Ok(ParameterHandle(parameter)) }
    }
}

impl ParameterHandle {
    pub(crate) fn properties(self, of: Effect<'_>) -> Result<Properties<'_>, Status> {
        let (mut properties, host) = (ptr::null_mut(), of.host());
        // SAFETY: the parameter belongs to the instance of this effect, which outlives the action.
        unsafe {
            call_suite!(host.parameter, paramGetPropertySet(self.0, &raw mut properties))?;
            Properties::new(host, properties)
        }
    }

    /// The value of a whole number or a choice, outside rendering.
    pub(crate) fn int(self, of: Effect<'_>) -> Result<i32, Status> {
        let mut value: c_int = 0;
        // SAFETY: as above; the type of the value is the one that OpenFX gives these parameters.
        unsafe { call_suite!(of.host().parameter, paramGetValue(self.0, &raw mut value))? };
        Ok(value)
    }

    /// The value of a whole number or a choice, in any action.
    pub(crate) fn int_at(self, of: Effect<'_>, time: OfxTime) -> Result<i32, Status> {
        let mut value: c_int = 0;
        // SAFETY: as above.
        unsafe {
            call_suite!(of.host().parameter, paramGetValueAtTime(self.0, time, &raw mut value))?;
        };
        Ok(value)
    }

    /// The value of a number, in any action.
    pub(crate) fn double_at(self, of: Effect<'_>, time: OfxTime) -> Result<f64, Status> {
        let mut value = 0.0_f64;
        // SAFETY: as above.
        unsafe {
            call_suite!(of.host().parameter, paramGetValueAtTime(self.0, time, &raw mut value))?;
        };
        Ok(value)
    }

    /// The value of a pair of numbers, in any action.
    pub(crate) fn pair_at(self, of: Effect<'_>, time: OfxTime) -> Result<[f64; 2], Status> {
        let [mut x, mut y] = [0.0_f64; 2];
        let suite = of.host().parameter;
        // SAFETY: as above.
        unsafe { call_suite!(suite, paramGetValueAtTime(self.0, time, &raw mut x, &raw mut y))? };
        Ok([x, y])
    }

    /// The value of a text, in any action: a copy, as the host's own is gone with the next call. Null
    /// counts as empty.
    pub(crate) fn text_at(self, of: Effect<'_>, time: OfxTime) -> Result<String, Status> {
        let mut value = ptr::null_mut::<c_char>();
        // SAFETY: as above; what the host puts there is null or a C string that lasts until the
        // next call, and it is copied before.
        unsafe {
            call_suite!(of.host().parameter, paramGetValueAtTime(self.0, time, &raw mut value))?;
            Ok(owned(value))
        }
    }

    /// Sets a whole number, in an action that may change parameters.
    pub(crate) fn set_int(self, of: Effect<'_>, value: i32) -> Result<(), Status> {
        let value: c_int = value;
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramSetValue(self.0, value)) }
    }

    /// Sets a number, in an action that may change parameters.
    pub(crate) fn set_double(self, of: Effect<'_>, value: f64) -> Result<(), Status> {
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramSetValue(self.0, value)) }
    }

    /// Sets a number that is keyframed, at a time.
    pub(crate) fn set_double_at(
        self,
        of: Effect<'_>,
        time: OfxTime,
        value: f64,
    ) -> Result<(), Status> {
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramSetValueAtTime(self.0, time, value)) }
    }

    /// Sets a pair of numbers, in an action that may change parameters.
    pub(crate) fn set_pair(self, of: Effect<'_>, [x, y]: [f64; 2]) -> Result<(), Status> {
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramSetValue(self.0, x, y)) }
    }

    /// Sets a pair of numbers that is keyframed, at a time.
    pub(crate) fn set_pair_at(
        self,
        of: Effect<'_>,
        time: OfxTime,
        [x, y]: [f64; 2],
    ) -> Result<(), Status> {
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramSetValueAtTime(self.0, time, x, y)) }
    }

    /// Sets a text, in an action that may change parameters.
    pub(crate) fn set_text(self, of: Effect<'_>, value: &CStr) -> Result<(), Status> {
        // SAFETY: as above; the host copies the text before it returns.
        unsafe { call_suite!(of.host().parameter, paramSetValue(self.0, value.as_ptr())) }
    }

    /// Whether it has a value of its own at each time. Only hosts that do not say have their keys
    /// counted: some count one where there is none.
    pub(crate) fn is_animated(self, of: Effect<'_>) -> bool {
        let animated =
            self.properties(of).and_then(|properties| properties.int(names::IS_ANIMATING));
        animated.map_or_else(
            |_| self.key_count(of).is_ok_and(|count| count > 0),
            |animated| animated != 0,
        )
    }

    /// The times of the first and the last key; none where there are not two.
    pub(crate) fn key_span(self, of: Effect<'_>) -> Option<[f64; 2]> {
        let last = self.key_count(of).ok()?.checked_sub(1).filter(|last| *last > 0)?;
        let time = |nth: c_uint| self.key_time(of, nth).ok();
        Some([time(0)?, time(last)?])
    }

    /// The host's times of all keys.
    pub(crate) fn key_times(self, of: Effect<'_>) -> Result<Vec<f64>, Status> {
        (0..self.key_count(of)?).map(|nth| self.key_time(of, nth)).collect()
    }

    fn key_time(self, of: Effect<'_>, nth: c_uint) -> Result<f64, Status> {
        let mut time = 0.0;
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramGetKeyTime(self.0, nth, &raw mut time))? };
        Ok(time)
    }

    /// How many keys it has.
    fn key_count(self, of: Effect<'_>) -> Result<c_uint, Status> {
        let mut count: c_uint = 0;
        // SAFETY: as above.
        unsafe { call_suite!(of.host().parameter, paramGetNumKeys(self.0, &raw mut count))? };
        Ok(count)
    }
}

/// # Safety
/// Null or a C string that is valid until this returns.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
