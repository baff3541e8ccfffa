//! The C boundary: three exported functions, the plug-in's struct, and its entry point.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use openfx_sys::{
    OfxHost, OfxPlugin, OfxPropertySetHandle, OfxStatus, kOfxImageEffectPluginApiVersion,
};

use crate::actions::{self, Action};
use crate::host::{self, Call};
use crate::ofx_status::{Status, guarded};
use crate::{IDENTIFIER, names};

/// Hosts get it as a pointer to mutable memory, so it is in such memory; nobody changes it.
struct Plugin(UnsafeCell<OfxPlugin>);

// SAFETY: the struct holds static strings, numbers and functions, and nobody here writes to it.
unsafe impl Sync for Plugin {}

static PLUGIN: Plugin = Plugin(UnsafeCell::new(OfxPlugin {
    pluginApi: names::API.as_ptr(),
    apiVersion: kOfxImageEffectPluginApiVersion as c_int,
    pluginIdentifier: IDENTIFIER.as_ptr(),
    pluginVersionMajor: 1,
    pluginVersionMinor: 0,
    setHost: Some(set_host),
    mainEntry: Some(main_entry),
}));

/// How many plug-ins there are: one.
#[unsafe(no_mangle)]
pub extern "C" fn OfxGetNumberOfPlugins() -> c_int {
    1
}

/// The plug-in of that number, or null.
#[unsafe(no_mangle)]
pub extern "C" fn OfxGetPlugin(nth: c_int) -> *mut OfxPlugin {
    if nth == 0 { PLUGIN.0.get() } else { ptr::null_mut() }
}

/// Newer hosts introduce themselves before they ask for plug-ins.
#[unsafe(no_mangle)]
pub extern "C" fn OfxSetHost(host: *const OfxHost) -> OfxStatus {
    guarded(|| {
        host::set(host.cast_mut());
        if host.is_null() { Err(Status::FAILED) } else { Ok(Status::OK) }
    })
}

unsafe extern "C" fn set_host(host: *mut OfxHost) {
    guarded(|| {
        host::set(host);
        Ok(Status::OK)
    });
}

unsafe extern "C" fn main_entry(
    action: *const c_char,
    handle: *const c_void,
    in_arguments: OfxPropertySetHandle,
    out_arguments: OfxPropertySetHandle,
) -> OfxStatus {
    guarded(|| {
        if action.is_null() {
            return Err(Status::FAILED);
        }
        // SAFETY: the host names the action with a C string that outlasts this call or at least
        // every call of ours to the host; `Action` is made from it at once.
        let action = Action::named(unsafe { CStr::from_ptr(action) });
        // SAFETY: the host gives handles that are null or valid for this action.
        let call = unsafe { Call::new(handle, in_arguments, out_arguments) };
        actions::answer(action, call)
    })
}
