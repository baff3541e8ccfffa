//! The image effect, parameter and message suites.
//!
//! Stable Rust cannot define C functions with variable arguments. Those here have the arguments that
//! the plug-in gives them; on Linux on `x86_64` both are passed alike.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr;
use std::rc::Rc;
use std::sync::OnceLock;

use openfx_sys::{
    OfxImageClipHandle, OfxImageEffectHandle, OfxImageEffectSuiteV1, OfxMessageSuiteV2,
    OfxParamHandle, OfxParamSetHandle, OfxParameterSuiteV1, OfxPropertySetHandle, OfxRectD,
    OfxStatus, OfxTime,
};

use super::properties::{self, fault, spoil_lent_string};
use super::{BAD_HANDLE, Clip, Effect, Host, OK, Parameter};

const ERR_EXISTS: OfxStatus = 6;
const ERR_UNKNOWN: OfxStatus = 3;

pub(crate) unsafe extern "C" fn fetch(
    host: OfxPropertySetHandle,
    name: *const c_char,
    version: c_int,
) -> *const c_void {
    spoil_lent_string();
    // SAFETY: the handle points to the first field of a host; the plug-in gives a C string.
    let (host, name) = unsafe { (&*host.cast::<Host>(), text(name)) };
    if host.missing.contains(&name.as_str()) {
        return ptr::null();
    }
    match (name.as_str(), version) {
        ("OfxPropertySuite", 1) => (&raw const properties::SUITE).cast(),
        ("OfxImageEffectSuite", 1) => ptr::from_ref(effects()).cast(),
        ("OfxParameterSuite", 1) => ptr::from_ref(parameters()).cast(),
        ("OfxMessageSuite", 2) => ptr::from_ref(messages()).cast(),
        _ => ptr::null(),
    }
}

/// # Safety
/// A C string.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

/// # Safety
/// Null or a handle of this host, of that type.
unsafe fn behind<'a, T, H>(handle: *mut H) -> Option<&'a T> {
    spoil_lent_string();
    // SAFETY: promised by the caller.
    unsafe { handle.cast::<T>().as_ref() }
}

/// # Safety
/// A place for a handle, or null where it is not asked for.
unsafe fn give<T>(place: *mut *mut T, handle: *mut T) -> OfxStatus {
    // SAFETY: promised by the caller.
    if let Some(place) = unsafe { place.as_mut() } {
        *place = handle;
    }
    OK
}

fn effects() -> &'static OfxImageEffectSuiteV1 {
    unsafe extern "C" fn properties(
        effect: OfxImageEffectHandle,
        place: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a place.
        unsafe {
            behind::<Effect, _>(effect)
                .map_or(BAD_HANDLE, |effect| give(place, effect.properties.handle()))
        }
    }

    /// An effect is its own set of parameters.
    unsafe extern "C" fn parameter_set(
        effect: OfxImageEffectHandle,
        place: *mut OfxParamSetHandle,
    ) -> OfxStatus {
        spoil_lent_string();
        // SAFETY: the plug-in gives a place.
        unsafe { give(place, effect.cast()) }
    }

    unsafe extern "C" fn define_clip(
        effect: OfxImageEffectHandle,
        name: *const c_char,
        place: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a string and a place.
        unsafe {
            let Some(effect) = behind::<Effect, _>(effect) else { return BAD_HANDLE };
            let clip = Rc::new(Clip {
                name: text(name),
                properties: effect.properties.sibling(),
                region: std::cell::Cell::default(),
            });
            let handle = clip.properties.handle();
            effect.clips.borrow_mut().push(clip);
            give(place, handle)
        }
    }

    unsafe extern "C" fn clip(
        effect: OfxImageEffectHandle,
        name: *const c_char,
        place: *mut OfxImageClipHandle,
        set: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a string and a place.
        unsafe {
            let Some(effect) = behind::<Effect, _>(effect) else { return BAD_HANDLE };
            let (clips, name) = (effect.clips.borrow(), text(name));
            let Some(clip) = clips.iter().find(|clip| clip.name == name) else {
                return ERR_UNKNOWN;
            };
            let _ = give(set, clip.properties.handle());
            give(place, ptr::from_ref::<Clip>(clip).cast_mut().cast())
        }
    }

    unsafe extern "C" fn clip_properties(
        clip: OfxImageClipHandle,
        place: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a place.
        unsafe {
            behind::<Clip, _>(clip).map_or(BAD_HANDLE, |clip| give(place, clip.properties.handle()))
        }
    }

    unsafe extern "C" fn clip_region(
        clip: OfxImageClipHandle,
        _: OfxTime,
        place: *mut OfxRectD,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a place.
        unsafe {
            let Some(clip) = behind::<Clip, _>(clip) else { return BAD_HANDLE };
            let [x1, y1, x2, y2] = clip.region.get();
            *place = OfxRectD { x1, y1, x2, y2 };
            OK
        }
    }

    static SUITE: OfxImageEffectSuiteV1 = OfxImageEffectSuiteV1 {
        getPropertySet: Some(properties),
        getParamSet: Some(parameter_set),
        clipDefine: Some(define_clip),
        clipGetHandle: Some(clip),
        clipGetPropertySet: Some(clip_properties),
        clipGetImage: None,
        clipReleaseImage: None,
        clipGetRegionOfDefinition: Some(clip_region),
        abort: None,
        imageMemoryAlloc: None,
        imageMemoryFree: None,
        imageMemoryLock: None,
        imageMemoryUnlock: None,
    };
    &SUITE
}

fn parameters() -> &'static OfxParameterSuiteV1 {
    unsafe extern "C" fn define(
        set: OfxParamSetHandle,
        kind: *const c_char,
        id: *const c_char,
        place: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives strings and a place.
        unsafe {
            let Some(effect) = behind::<Effect, _>(set) else { return BAD_HANDLE };
            let (kind, id) = (text(kind), text(id));
            let mut parameters = effect.parameters.borrow_mut();
            if parameters.iter().any(|parameter| parameter.id == id) {
                fault(format!("{id} is defined twice"));
                return ERR_EXISTS;
            }
            let properties = effect.properties.sibling();
            let (int, text) = Default::default();
            let parameter = Rc::new(Parameter { id, kind, properties, int, text });
            let handle = parameter.properties.handle();
            parameters.push(parameter);
            give(place, handle)
        }
    }

    unsafe extern "C" fn handle(
        set: OfxParamSetHandle,
        id: *const c_char,
        place: *mut OfxParamHandle,
        properties: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a string and a place.
        unsafe {
            let Some(effect) = behind::<Effect, _>(set) else { return BAD_HANDLE };
            let (parameters, id) = (effect.parameters.borrow(), text(id));
            let Some(parameter) = parameters.iter().find(|parameter| parameter.id == id) else {
                return ERR_UNKNOWN;
            };
            let _ = give(properties, parameter.properties.handle());
            give(place, ptr::from_ref::<Parameter>(parameter).cast_mut().cast())
        }
    }

    unsafe extern "C" fn properties(
        parameter: OfxParamHandle,
        place: *mut OfxPropertySetHandle,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a place.
        unsafe {
            behind::<Parameter, _>(parameter)
                .map_or(BAD_HANDLE, |parameter| give(place, parameter.properties.handle()))
        }
    }

    unsafe extern "C" fn value(parameter: OfxParamHandle, place: *mut c_int) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a place.
        unsafe {
            let Some(parameter) = behind::<Parameter, _>(parameter) else { return BAD_HANDLE };
            if !matches!(&*parameter.kind, "OfxParamTypeInteger" | "OfxParamTypeChoice") {
                fault(format!("{} is read as a whole number", parameter.id));
            }
            *place = parameter.int.get();
            OK
        }
    }

    /// The one argument is a number or a pointer; both come in the same register.
    unsafe extern "C" fn set_value(parameter: OfxParamHandle, value: usize) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives strings to texts.
        unsafe {
            let Some(parameter) = behind::<Parameter, _>(parameter) else { return BAD_HANDLE };
            match &*parameter.kind {
                "OfxParamTypeInteger" | "OfxParamTypeChoice" => {
                    parameter.int.set(value as u32 as i32);
                }
                "OfxParamTypeString" => {
                    *parameter.text.borrow_mut() = text(value as *const c_char);
                }
                other => fault(format!("{} of type {other} is set", parameter.id)),
            }
            OK
        }
    }

    unsafe extern "C" fn begin(set: OfxParamSetHandle, name: *const c_char) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives a string.
        unsafe {
            let Some(effect) = behind::<Effect, _>(set) else { return BAD_HANDLE };
            effect.open_edits.set(effect.open_edits.get() + 1);
            effect.edits.borrow_mut().push(text(name));
            OK
        }
    }

    unsafe extern "C" fn end(set: OfxParamSetHandle) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only.
        let Some(effect) = (unsafe { behind::<Effect, _>(set) }) else { return BAD_HANDLE };
        effect.open_edits.set(effect.open_edits.get() - 1);
        OK
    }

    static SUITE: OnceLock<OfxParameterSuiteV1> = OnceLock::new();
    SUITE.get_or_init(|| {
        type Variable = unsafe extern "C" fn(OfxParamHandle, ...) -> OfxStatus;
        type Get = unsafe extern "C" fn(OfxParamHandle, *mut c_int) -> OfxStatus;
        type Set = unsafe extern "C" fn(OfxParamHandle, usize) -> OfxStatus;
        // SAFETY: see the head of this module.
        let (value, set_value) =
            unsafe { (transmute::<Get, Variable>(value), transmute::<Set, Variable>(set_value)) };
        OfxParameterSuiteV1 {
            paramDefine: Some(define),
            paramGetHandle: Some(handle),
            paramSetGetPropertySet: None,
            paramGetPropertySet: Some(properties),
            paramGetValue: Some(value),
            paramGetValueAtTime: None,
            paramGetDerivative: None,
            paramGetIntegral: None,
            paramSetValue: Some(set_value),
            paramSetValueAtTime: None,
            paramGetNumKeys: None,
            paramGetKeyTime: None,
            paramGetKeyIndex: None,
            paramDeleteKey: None,
            paramDeleteAllKeys: None,
            paramCopy: None,
            paramEditBegin: Some(begin),
            paramEditEnd: Some(end),
        }
    })
}

fn messages() -> &'static OfxMessageSuiteV2 {
    unsafe extern "C" fn set(
        effect: *mut c_void,
        kind: *const c_char,
        _id: *const c_char,
        format: *const c_char,
        message: *const c_char,
    ) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only, and gives strings.
        unsafe {
            let Some(effect) = behind::<Effect, _>(effect) else { return BAD_HANDLE };
            if text(format) != "%s" || text(kind) != "OfxMessageError" {
                fault(format!("a message of kind {} is formatted {}", text(kind), text(format)));
            }
            *effect.message.borrow_mut() = Some(text(message));
            OK
        }
    }

    unsafe extern "C" fn clear(effect: *mut c_void) -> OfxStatus {
        // SAFETY: the plug-in has handles from this host only.
        let Some(effect) = (unsafe { behind::<Effect, _>(effect) }) else { return BAD_HANDLE };
        *effect.message.borrow_mut() = None;
        OK
    }

    static SUITE: OnceLock<OfxMessageSuiteV2> = OnceLock::new();
    SUITE.get_or_init(|| {
        type Chars = *const c_char;
        type Variable = unsafe extern "C" fn(*mut c_void, Chars, Chars, Chars, ...) -> OfxStatus;
        type Set = unsafe extern "C" fn(*mut c_void, Chars, Chars, Chars, Chars) -> OfxStatus;
        OfxMessageSuiteV2 {
            message: None,
            // SAFETY: see the head of this module.
            setPersistentMessage: Some(unsafe { transmute::<Set, Variable>(set) }),
            clearPersistentMessage: Some(clear),
        }
    })
}
