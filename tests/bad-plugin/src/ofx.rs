//! The way to the host.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use openfx_sys::*;

/// Calls a function of a suite; one that is null answers that the host lacks a feature.
macro_rules! call {
    ($suite:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $suite.$function {
            // SAFETY: the host gives functions that it stands by; what they are given is, good or
            // bad, what this plug-in wants to give.
            Some(function) => unsafe { function($($argument),*) },
            None => 4,
        }
    };
}
pub(crate) use call;

pub(crate) type Props = OfxPropertySetHandle;

/// What the host has.
#[derive(Clone, Copy)]
pub(crate) struct Suites {
    pub(crate) property: &'static OfxPropertySuiteV1,
    pub(crate) effect: &'static OfxImageEffectSuiteV1,
    pub(crate) parameter: &'static OfxParameterSuiteV1,
    pub(crate) memory: Option<&'static OfxMemorySuiteV1>,
    pub(crate) threads: Option<&'static OfxMultiThreadSuiteV1>,
    pub(crate) message: Option<&'static OfxMessageSuiteV2>,
    pub(crate) progress: Option<&'static OfxProgressSuiteV1>,
    pub(crate) timeline: Option<&'static OfxTimeLineSuiteV1>,
    pub(crate) interact: Option<&'static OfxInteractSuiteV1>,
    pub(crate) draw: Option<&'static OfxDrawSuiteV1>,
}

static HOST: AtomicPtr<OfxHost> = AtomicPtr::new(ptr::null_mut());
static SUITES: Mutex<Option<Suites>> = Mutex::new(None);

pub(crate) fn set_host(host: *mut OfxHost) {
    HOST.store(host, Ordering::Release);
}

pub(crate) fn fetch<T>(name: &CStr, version: c_int) -> Option<&'static T> {
    // SAFETY: the host keeps its struct and its suites while the plug-in is loaded, and a suite of
    // that name and version is of that type.
    unsafe {
        let host = HOST.load(Ordering::Acquire).as_ref()?;
        let suite = host.fetchSuite?(host.host, name.as_ptr(), version);
        suite.cast::<T>().as_ref()
    }
}

pub(crate) fn load() -> Option<()> {
    let suites = Suites {
        property: fetch(c"OfxPropertySuite", 1)?,
        effect: fetch(c"OfxImageEffectSuite", 1)?,
        parameter: fetch(c"OfxParameterSuite", 1)?,
        memory: fetch(c"OfxMemorySuite", 1),
        threads: fetch(c"OfxMultiThreadSuite", 1),
        message: fetch(c"OfxMessageSuite", 2),
        progress: fetch(c"OfxProgressSuite", 1),
        timeline: fetch(c"OfxTimeLineSuite", 1),
        interact: fetch(c"OfxInteractSuite", 1),
        draw: fetch(c"OfxDrawSuite", 1),
    };
    *SUITES.lock().ok()? = Some(suites);
    Some(())
}

pub(crate) fn suites() -> Option<Suites> {
    SUITES.lock().ok().and_then(|suites| *suites)
}

impl Suites {
    pub(crate) fn set_text(&self, set: Props, name: &CStr, at: c_int, value: &CStr) -> c_int {
        call!(self.property, propSetString(set, name.as_ptr(), at, value.as_ptr()))
    }

    pub(crate) fn set_int(&self, set: Props, name: &CStr, at: c_int, value: c_int) -> c_int {
        call!(self.property, propSetInt(set, name.as_ptr(), at, value))
    }

    pub(crate) fn set_doubles(&self, set: Props, name: &CStr, values: &[f64]) -> c_int {
        let count = values.len() as c_int;
        call!(self.property, propSetDoubleN(set, name.as_ptr(), count, values.as_ptr()))
    }

    pub(crate) fn int(&self, set: Props, name: &CStr, at: c_int) -> c_int {
        let mut value = 0;
        call!(self.property, propGetInt(set, name.as_ptr(), at, &raw mut value));
        value
    }

    pub(crate) fn ints<const N: usize>(&self, set: Props, name: &CStr) -> [c_int; N] {
        let mut values = [0; N];
        call!(self.property, propGetIntN(set, name.as_ptr(), N as c_int, values.as_mut_ptr()));
        values
    }

    pub(crate) fn double(&self, set: Props, name: &CStr, at: c_int) -> f64 {
        let mut value = 0.0;
        call!(self.property, propGetDouble(set, name.as_ptr(), at, &raw mut value));
        value
    }

    pub(crate) fn pointer(&self, set: Props, name: &CStr) -> *mut c_void {
        let mut value = ptr::null_mut();
        call!(self.property, propGetPointer(set, name.as_ptr(), 0, &raw mut value));
        value
    }

    /// A text property, copied at once; empty where there is none.
    pub(crate) fn text(&self, set: Props, name: &CStr) -> CString {
        let mut value: *mut c_char = ptr::null_mut();
        call!(self.property, propGetString(set, name.as_ptr(), 0, &raw mut value));
        if value.is_null() {
            return CString::default();
        }
        // SAFETY: the host gives a C string that is good until the next call.
        unsafe { CStr::from_ptr(value) }.to_owned()
    }

    pub(crate) fn effect_properties(&self, effect: OfxImageEffectHandle) -> Props {
        let mut set = ptr::null_mut();
        call!(self.effect, getPropertySet(effect, &raw mut set));
        set
    }

    pub(crate) fn param_set(&self, effect: OfxImageEffectHandle) -> OfxParamSetHandle {
        let mut set = ptr::null_mut();
        call!(self.effect, getParamSet(effect, &raw mut set));
        set
    }

    pub(crate) fn param(&self, effect: OfxImageEffectHandle, id: &CStr) -> OfxParamHandle {
        let mut param = ptr::null_mut();
        let set = self.param_set(effect);
        let nothing = ptr::null_mut();
        call!(self.parameter, paramGetHandle(set, id.as_ptr(), &raw mut param, nothing));
        param
    }

    pub(crate) fn clip(&self, effect: OfxImageEffectHandle, name: &CStr) -> OfxImageClipHandle {
        let mut clip = ptr::null_mut();
        let nothing = ptr::null_mut();
        call!(self.effect, clipGetHandle(effect, name.as_ptr(), &raw mut clip, nothing));
        clip
    }

    /// Of a parameter that does not change with time.
    pub(crate) fn int_param(&self, effect: OfxImageEffectHandle, id: &CStr) -> c_int {
        let mut value: c_int = 0;
        let param = self.param(effect, id);
        call!(self.parameter, paramGetValueAtTime(param, 0.0, &raw mut value));
        value
    }

    pub(crate) fn double_param(&self, effect: OfxImageEffectHandle, id: &CStr, time: f64) -> f64 {
        let mut value: f64 = 0.0;
        let param = self.param(effect, id);
        call!(self.parameter, paramGetValueAtTime(param, time, &raw mut value));
        value
    }

    pub(crate) fn set_text_param(
        &self,
        effect: OfxImageEffectHandle,
        id: &CStr,
        text: &CStr,
    ) -> c_int {
        let param = self.param(effect, id);
        call!(self.parameter, paramSetValue(param, text.as_ptr()))
    }

    pub(crate) fn set_int_param(
        &self,
        effect: OfxImageEffectHandle,
        id: &CStr,
        value: c_int,
    ) -> c_int {
        let param = self.param(effect, id);
        call!(self.parameter, paramSetValue(param, value))
    }

    /// Which rule to break.
    pub(crate) fn mischief(&self, effect: OfxImageEffectHandle) -> &'static str {
        let chosen = usize::try_from(self.int_param(effect, c"mischief")).unwrap_or(0);
        crate::MISCHIEFS.get(chosen).copied().unwrap_or("none")
    }
}
