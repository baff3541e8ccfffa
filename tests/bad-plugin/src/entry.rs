//! The C boundary: as many plug-ins as there are ways of being bad from the start, and a good one.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use openfx_sys::*;

use crate::ofx::{self, Suites, call};
use crate::{BAD_FROM_THE_START, changed, describe, overlay, picture};

pub(crate) const OK: c_int = 0;
pub(crate) const FAILED: c_int = 1;
pub(crate) const MISSING_FEATURE: c_int = 4;
pub(crate) const REPLY_DEFAULT: c_int = 14;

type Main = unsafe extern "C" fn(
    *const c_char,
    *const c_void,
    OfxPropertySetHandle,
    OfxPropertySetHandle,
) -> OfxStatus;

struct Plugins(Vec<UnsafeCell<OfxPlugin>>);

// SAFETY: the structs hold leaked strings, numbers and functions, and nobody here writes to them.
unsafe impl Sync for Plugins {}
// SAFETY: as above.
unsafe impl Send for Plugins {}

static PLUGINS: OnceLock<Plugins> = OnceLock::new();

/// One entry point for each way of being bad: C gives it no other way to know which it is.
macro_rules! entries {
    ($($name:ident = $nth:literal),+ $(,)?) => {
        $(unsafe extern "C" fn $name(
            action: *const c_char,
            handle: *const c_void,
            told: OfxPropertySetHandle,
            reply: OfxPropertySetHandle,
        ) -> OfxStatus {
            main_entry($nth, action, handle, told, reply)
        })+
        const ENTRIES: &[Main] = &[$($name),+];
    };
}
entries! {
    e0 = 0, e1 = 1, e2 = 2, e3 = 3, e4 = 4, e5 = 5, e6 = 6, e7 = 7, e8 = 8, e9 = 9, e10 = 10,
    e11 = 11, e12 = 12, e13 = 13,
}

unsafe extern "C" fn set_host(host: *mut OfxHost) {
    ofx::set_host(host);
}

unsafe extern "C" fn set_host_badly(host: *mut OfxHost) {
    ofx::set_host(host);
    let _: Option<&OfxPropertySuiteV1> = ofx::fetch(c"OfxPropertySuite", 1);
}

fn plugins() -> &'static Plugins {
    PLUGINS.get_or_init(|| {
        let make = |(nth, entry): (usize, &Main)| {
            let identifier = format!("org.wanalpha.test.bad{nth}");
            let identifier = CString::new(identifier).unwrap_or_default();
            let set_host = if bad(nth) == "calls in setHost" { set_host_badly } else { set_host };
            UnsafeCell::new(OfxPlugin {
                pluginApi: c"OfxImageEffectPluginAPI".as_ptr(),
                apiVersion: 1,
                pluginIdentifier: identifier.into_raw(),
                pluginVersionMajor: 1,
                pluginVersionMinor: 0,
                setHost: Some(set_host),
                mainEntry: Some(*entry),
            })
        };
        Plugins(ENTRIES.iter().enumerate().map(make).collect())
    })
}

/// How the plug-in of that number is bad from the start.
fn bad(nth: usize) -> &'static str {
    let bad = nth.checked_sub(1).and_then(|nth| BAD_FROM_THE_START.get(nth));
    bad.copied().unwrap_or("not")
}

#[unsafe(no_mangle)]
pub extern "C" fn OfxGetNumberOfPlugins() -> c_int {
    plugins().0.len() as c_int
}

#[unsafe(no_mangle)]
pub extern "C" fn OfxGetPlugin(nth: c_int) -> *mut OfxPlugin {
    let plugin = usize::try_from(nth).ok().and_then(|nth| plugins().0.get(nth));
    plugin.map_or(ptr::null_mut(), UnsafeCell::get)
}

fn main_entry(
    nth: usize,
    action: *const c_char,
    handle: *const c_void,
    told: OfxPropertySetHandle,
    reply: OfxPropertySetHandle,
) -> OfxStatus {
    if action.is_null() {
        return FAILED;
    }
    // SAFETY: the host names the action with a C string.
    let action = unsafe { CStr::from_ptr(action) }.to_owned();
    let action = action.to_str().unwrap_or_default();
    let effect: OfxImageEffectHandle = handle.cast_mut().cast();
    if action == "OfxActionLoad" {
        return load(bad(nth));
    }
    let Some(suites) = ofx::suites() else { return FAILED };
    match action {
        "OfxActionUnload" => OK,
        "OfxActionDescribe" => describe::describe(&suites, effect, bad(nth)),
        "OfxImageEffectActionDescribeInContext" => {
            describe::in_context(&suites, effect, told, bad(nth))
        }
        "OfxActionCreateInstance" if bad(nth) == "default for CreateInstance" => REPLY_DEFAULT,
        "OfxActionCreateInstance" => create(&suites, effect),
        "OfxActionDestroyInstance" => OK,
        "OfxActionInstanceChanged" => changed::changed(&suites, effect, told),
        "OfxImageEffectActionGetClipPreferences" => picture::preferences(&suites, effect, reply),
        "OfxImageEffectActionGetRegionOfDefinition" => picture::region(&suites, effect, reply),
        "OfxImageEffectActionIsIdentity" => picture::identity(&suites, effect, reply),
        "OfxImageEffectActionRender" => picture::render(&suites, effect, told),
        _ => REPLY_DEFAULT,
    }
}

fn load(bad: &str) -> c_int {
    match bad {
        "unknown status for Load" => return 77,
        "refuses" => return MISSING_FEATURE,
        "needs what no host has" => {
            let needed: Option<&OfxPropertySuiteV1> = ofx::fetch(c"OfxSuiteOfTheFuture", 1);
            return if needed.is_some() { OK } else { MISSING_FEATURE };
        }
        _ => {}
    }
    if ofx::load().is_none() {
        return MISSING_FEATURE;
    }
    match bad {
        "leaves a file open" => {
            // Wherever it runs, there is the program.
            std::mem::forget(std::env::current_exe().and_then(std::fs::File::open));
        }
        "crashes without progress"
            if ofx::suites().is_some_and(|suites| suites.progress.is_none()) =>
        {
            std::process::abort();
        }
        _ => {}
    }
    if bad == "keeps memory"
        && let Some(memory) = ofx::suites().and_then(|suites| suites.memory)
    {
        let mut kept = ptr::null_mut();
        call!(memory, memoryAlloc(ptr::null_mut(), 100, &raw mut kept));
    }
    OK
}

fn create(suites: &Suites, effect: OfxImageEffectHandle) -> c_int {
    if suites.mischief(effect) == "set in create" {
        suites.set_int_param(effect, c"count", 7);
    }
    OK
}

/// The entry point of the overlay.
pub(crate) unsafe extern "C" fn overlay_entry(
    action: *const c_char,
    handle: *const c_void,
    told: OfxPropertySetHandle,
    _reply: OfxPropertySetHandle,
) -> OfxStatus {
    // SAFETY: the host names the action with a C string.
    let action = unsafe { CStr::from_ptr(action) }.to_owned();
    let Some(suites) = ofx::suites() else { return FAILED };
    let action = action.to_str().unwrap_or_default();
    overlay::act(&suites, action, handle.cast_mut().cast(), told)
}
