//! The Rust side of `variable.c`: functions with variable arguments, their arguments collected.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_double, c_int, c_void};
use std::sync::Once;

use openfx_sys::{OfxParamHandle, OfxStatus, OfxTime};

use super::{message, parameter};
use crate::boundary::{OptionalText, Received, Text, behind, served};
use crate::effect::Effect;
use crate::lent::lend;
use crate::params::{Param, Value};
use crate::profile::Formatting;
use crate::properties::Type;
use crate::status::Status;

unsafe extern "C" {
    fn wan_alpha_host_variable(functions: *const Typed);
    fn wan_alpha_host_param_get_value(param: OfxParamHandle, ...) -> OfxStatus;
    fn wan_alpha_host_param_get_value_at_time(
        param: OfxParamHandle,
        time: OfxTime,
        ...
    ) -> OfxStatus;
    fn wan_alpha_host_param_get_derivative(param: OfxParamHandle, time: OfxTime, ...) -> OfxStatus;
    fn wan_alpha_host_param_get_integral(
        param: OfxParamHandle,
        from: OfxTime,
        until: OfxTime,
        ...
    ) -> OfxStatus;
    fn wan_alpha_host_param_set_value(param: OfxParamHandle, ...) -> OfxStatus;
    fn wan_alpha_host_param_set_value_at_time(
        param: OfxParamHandle,
        time: OfxTime,
        ...
    ) -> OfxStatus;
    fn wan_alpha_host_message(
        effect: *mut c_void,
        kind: *const c_char,
        id: *const c_char,
        format: *const c_char,
        ...
    ) -> OfxStatus;
    fn wan_alpha_host_set_persistent_message(
        effect: *mut c_void,
        kind: *const c_char,
        id: *const c_char,
        format: *const c_char,
        ...
    ) -> OfxStatus;
}

/// What C calls `struct value`: a value in each form that an argument may have.
#[repr(C)]
struct Given {
    whole: c_int,
    number: c_double,
    text: *const c_char,
}

/// What C calls `struct typed`: functions with fixed arguments in place of variable ones.
#[repr(C)]
struct Typed {
    layout: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    get: unsafe extern "C" fn(*mut c_void, c_int, c_double, c_double, *const *mut c_void) -> c_int,
    set: unsafe extern "C" fn(*mut c_void, c_int, c_double, *const Given) -> c_int,
    message: unsafe extern "C" fn(
        *mut c_void,
        c_int,
        *const c_char,
        *const c_char,
        *const c_char,
        *const c_char,
    ) -> c_int,
    formatting: unsafe extern "C" fn(*mut c_void) -> c_int,
}

/// How a value is asked for, as in C.
const PLAIN: c_int = 0;
const AT_TIME: c_int = 1;
const DERIVATIVE: c_int = 2;

unsafe extern "C" fn layout(param: *mut c_void, is_set: c_int) -> c_int {
    let mut found = 0;
    let status = served(if is_set == 0 { "paramGetValue" } else { "paramSetValue" }, || {
        let param = behind::<Param>(param.addr())?;
        let kind = match param.kind.of() {
            Type::Int => 1,
            Type::Double => 2,
            _ => 3,
        };
        let count = c_int::try_from(param.kind.count()).map_err(|_| Status::FAILED)?;
        if count == 0 {
            return Err(parameter::has_no_value(&param));
        }
        found = kind << 4 | count;
        Ok(())
    });
    if status == Status::OK.raw() { found } else { -status }
}

unsafe extern "C" fn get(
    param: *mut c_void,
    how: c_int,
    time: c_double,
    until: c_double,
    places: *const *mut c_void,
) -> c_int {
    served("paramGetValue", || {
        let param = behind::<Param>(param.addr())?;
        let value = match how {
            PLAIN => parameter::value(&param, None)?,
            AT_TIME => parameter::value(&param, Some(time))?,
            DERIVATIVE => parameter::derivative(&param, time)?,
            _ => parameter::integral(&param, time, until)?,
        };
        // SAFETY: C gives an array of four, of which the parameter's type decides how many lead to
        // a place of its type.
        unsafe {
            match value {
                Value::Ints(values) => put(&param, places, values),
                Value::Doubles(values) => put(&param, places, values),
                Value::Text(text) => put(&param, places, [lend(&text)]),
            }
        }
    })
}

/// # Safety
/// As many pointers as there are values, each null or to a place of that type.
unsafe fn put<T>(
    param: &Param,
    places: *const *mut c_void,
    values: impl IntoIterator<Item = T>,
) -> Result<(), Status> {
    for (at, value) in values.into_iter().enumerate() {
        // SAFETY: promised by the caller.
        let place = unsafe { places.add(at).read() }.cast::<T>();
        if place.is_null() {
            return Err(parameter::null_place(param));
        }
        // SAFETY: promised by the caller, and not null.
        unsafe { place.write(value) };
    }
    Ok(())
}

unsafe extern "C" fn set(
    param: *mut c_void,
    how: c_int,
    time: c_double,
    values: *const Given,
) -> c_int {
    served("paramSetValue", || {
        let param = behind::<Param>(param.addr())?;
        // SAFETY: C gives an array of four.
        let given = |at: usize| unsafe { &*values.add(at) };
        let count = param.kind.count();
        let value = match param.kind.of() {
            Type::Int => Value::Ints((0..count).map(|at| given(at).whole).collect()),
            Type::Double => Value::Doubles((0..count).map(|at| given(at).number).collect()),
            // SAFETY: the plug-in gives a C string or null.
            _ => Value::Text(unsafe { Text::received(given(0).text) }?.0),
        };
        parameter::set(&param, value, (how == AT_TIME).then_some(time))
    })
}

unsafe extern "C" fn said(
    effect: *mut c_void,
    is_persistent: c_int,
    kind: *const c_char,
    id: *const c_char,
    format: *const c_char,
    text: *const c_char,
) -> c_int {
    served("message", || {
        let effect = behind::<Effect>(effect.addr())?;
        // SAFETY: the plug-in gives C strings or null; the text is of C's own making.
        let (kind, id, _, text) = unsafe {
            (
                Text::received(kind)?,
                OptionalText::received(id)?,
                Text::received(format)?,
                Text::received(text)?,
            )
        };
        message::said(&effect, is_persistent != 0, &kind, id.0, text.0)
    })
}

/// How the host of an effect puts messages together; as C does where there is no such effect, which
/// `said` finds out.
unsafe extern "C" fn formatting(effect: *mut c_void) -> c_int {
    let effect = behind::<Effect>(effect.addr());
    match effect.map(|effect| effect.host.profile.messages) {
        Ok(Formatting::WithAList) => 1,
        Ok(Formatting::AsGiven) => 2,
        Ok(Formatting::Formatted) | Err(_) => 0,
    }
}

/// Tells C the functions above, once.
fn ready() {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let typed = Typed { layout, get, set, message: said, formatting };
        // SAFETY: the two structs are laid out alike, and C copies this one.
        unsafe { wan_alpha_host_variable(&raw const typed) };
    });
}

pub(super) type GetValue = unsafe extern "C" fn(OfxParamHandle, ...) -> OfxStatus;
pub(super) type GetAtTime = unsafe extern "C" fn(OfxParamHandle, OfxTime, ...) -> OfxStatus;
pub(super) type GetBetween =
    unsafe extern "C" fn(OfxParamHandle, OfxTime, OfxTime, ...) -> OfxStatus;
pub(super) type Say = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const c_char,
    *const c_char,
    ...
) -> OfxStatus;

macro_rules! from_c {
    ($($name:ident: $type:ty = $function:ident;)+) => {
        $(pub(super) fn $name() -> $type {
            ready();
            $function
        })+
    };
}
from_c! {
    get_value: GetValue = wan_alpha_host_param_get_value;
    get_value_at_time: GetAtTime = wan_alpha_host_param_get_value_at_time;
    get_derivative: GetAtTime = wan_alpha_host_param_get_derivative;
    get_integral: GetBetween = wan_alpha_host_param_get_integral;
    set_value: GetValue = wan_alpha_host_param_set_value;
    set_value_at_time: GetAtTime = wan_alpha_host_param_set_value_at_time;
    message: Say = wan_alpha_host_message;
    persistent_message: Say = wan_alpha_host_set_persistent_message;
}
