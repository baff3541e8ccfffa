//! What it does when something has changed or a button is pressed.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::Ordering;

use openfx_sys::*;

use crate::entry::{FAILED, OK, REPLY_DEFAULT};
use crate::ofx::{Props, Suites, call};
use crate::picture::PRESSES;

pub(crate) fn changed(suites: &Suites, effect: OfxImageEffectHandle, told: Props) -> c_int {
    let name = suites.text(told, c"OfxPropName");
    let reason = suites.text(told, c"OfxPropChangeReason");
    let mischief = suites.mischief(effect);
    match name.to_str().unwrap_or_default() {
        "level" if mischief == "write in undo" => {
            in_edit(suites, effect, || suites.set_int_param(effect, c"count", 5))
        }
        "count" if mischief == "endless change" => {
            let count = suites.int_param(effect, c"count");
            suites.set_int_param(effect, c"count", count + 1)
        }
        "go" if reason.as_c_str() == c"OfxChangeUserEdited" => go(suites, effect, told, mischief),
        "work" => work(suites, effect),
        "ask" => ask(suites, effect),
        _ => REPLY_DEFAULT,
    }
}

fn in_edit(suites: &Suites, effect: OfxImageEffectHandle, work: impl FnOnce() -> c_int) -> c_int {
    let set = suites.param_set(effect);
    call!(suites.parameter, paramEditBegin(set, c"An edit".as_ptr()));
    let status = work();
    call!(suites.parameter, paramEditEnd(set));
    status
}

/// The button: the mischief that is asked for, or what a good plug-in does.
fn go(suites: &Suites, effect: OfxImageEffectHandle, told: Props, mischief: &str) -> c_int {
    let done = with_properties(suites, effect, mischief)
        .or_else(|| with_parameters(suites, effect, mischief))
        .or_else(|| with_what_is_lent(suites, effect, mischief));
    done.unwrap_or_else(|| {
        PRESSES.fetch_add(1, Ordering::Relaxed);
        good(suites, effect, told)
    })
}

/// Mischief with a status or with properties; `None` where another is asked for.
fn with_properties(suites: &Suites, effect: OfxImageEffectHandle, mischief: &str) -> Option<c_int> {
    let own = suites.effect_properties(effect);
    match mischief {
        "unknown status" => return Some(42),
        "no handle" => {
            let nobody: OfxImageEffectHandle = ptr::without_provenance_mut(0x1234);
            suites.effect_properties(nobody);
        }
        "null place" => {
            let name = c"OfxPropIsInteractive".as_ptr();
            call!(suites.property, propGetInt(own, name, 0, ptr::null_mut()));
        }
        "wrong type" => {
            suites.double(own, c"OfxPropIsInteractive", 0);
        }
        "index beyond" => {
            suites.set_text(own, c"OfxImageEffectPropClipPreferencesSlaveParam", 5, c"level");
        }
        "read only" => {
            suites.set_int(own, c"OfxPropIsInteractive", 0, 1);
        }
        _ => return None,
    }
    Some(OK)
}

/// Mischief with parameters; `None` where another is asked for.
fn with_parameters(suites: &Suites, effect: OfxImageEffectHandle, mischief: &str) -> Option<c_int> {
    match mischief {
        "dangling string" => return Some(dangle(suites, effect)),
        "not UTF-8" => {
            suites.set_text_param(effect, c"status", c"\xff\xfe");
        }
        "edit left open" => {
            let set = suites.param_set(effect);
            call!(suites.parameter, paramEditBegin(set, c"Left open".as_ptr()));
        }
        "define late" => {
            let set = suites.param_set(effect);
            let (kind, id) = (c"OfxParamTypeInteger".as_ptr(), c"late".as_ptr());
            call!(suites.parameter, paramDefine(set, kind, id, ptr::null_mut()));
        }
        _ => return None,
    }
    Some(OK)
}

/// Mischief with images, progress, memory and mutexes; `None` where another is asked for.
fn with_what_is_lent(
    suites: &Suites,
    effect: OfxImageEffectHandle,
    mischief: &str,
) -> Option<c_int> {
    match mischief {
        "image in a change" => {
            let (clip, mut image) = (suites.clip(effect, c"Output"), ptr::null_mut());
            call!(suites.effect, clipGetImage(clip, 0.0, ptr::null(), &raw mut image));
        }
        "progress without start" => {
            if let Some(progress) = suites.progress {
                call!(progress, progressUpdate(effect.cast(), 0.5));
            }
        }
        "free twice" => {
            if let Some(memory) = suites.memory {
                let mut piece = ptr::null_mut();
                call!(memory, memoryAlloc(effect.cast(), 64, &raw mut piece));
                call!(memory, memoryFree(piece));
                call!(memory, memoryFree(piece));
            }
        }
        "unlock twice" => {
            if let Some(threads) = suites.threads {
                let mut mutex = ptr::null_mut();
                call!(threads, mutexCreate(&raw mut mutex, 1));
                call!(threads, mutexUnLock(mutex));
                call!(threads, mutexUnLock(mutex));
                call!(threads, mutexDestroy(mutex));
            }
        }
        _ => return None,
    }
    Some(OK)
}

/// Keeps the pointer of a string over another call, and gives it back.
fn dangle(suites: &Suites, effect: OfxImageEffectHandle) -> c_int {
    let text = suites.param(effect, c"text");
    let status = suites.param(effect, c"status");
    let mut kept: *mut std::ffi::c_char = ptr::null_mut();
    call!(suites.parameter, paramGetValue(text, &raw mut kept));
    suites.effect_properties(effect);
    // Read, as it were, before it is given: its bytes are copied at the wrong time.
    // SAFETY: the host keeps spoiled strings allocated for this very test.
    let copied = unsafe { CStr::from_ptr(kept) }.to_owned();
    call!(suites.parameter, paramSetValue(status, copied.as_ptr()));
    OK
}

/// As it should be: two writes in one edit, a status, and where in time it happened.
fn good(suites: &Suites, effect: OfxImageEffectHandle, told: Props) -> c_int {
    let time = suites.double(told, c"OfxPropTime", 0);
    let status = in_edit(suites, effect, || {
        let count = suites.int_param(effect, c"count");
        suites.set_int_param(effect, c"count", count + 1);
        let level = suites.param(effect, c"level");
        call!(suites.parameter, paramSetValueAtTime(level, time, 0.75))
    });
    suites.set_text_param(effect, c"status", c"gone");
    status
}

/// Modal work, until it is done or cancelled.
fn work(suites: &Suites, effect: OfxImageEffectHandle) -> c_int {
    let Some(progress) = suites.progress else { return FAILED };
    let handle = effect.cast();
    call!(progress, progressStart(handle, c"Working".as_ptr()));
    let cancelled =
        (0..10).any(|step| call!(progress, progressUpdate(handle, f64::from(step) / 10.0)) != OK);
    call!(progress, progressEnd(handle));
    suites.set_text_param(effect, c"status", if cancelled { c"cancelled" } else { c"worked" });
    OK
}

/// A question, and where in time the artist is.
fn ask(suites: &Suites, effect: OfxImageEffectHandle) -> c_int {
    let Some(message) = suites.message else { return FAILED };
    let question = c"OfxMessageQuestion".as_ptr();
    let (id, format, words) = (c"really".as_ptr(), c"%s, %d %%?".as_ptr(), c"Sure".as_ptr());
    let number: c_int = 100;
    let answer = call!(message, message(effect.cast(), question, id, format, words, number));
    suites.set_text_param(effect, c"status", if answer == 12 { c"yes" } else { c"no" });
    let mut time = 0.0;
    if let Some(timeline) = suites.timeline {
        call!(timeline, getTime(effect.cast(), &raw mut time));
    }
    suites.set_int_param(effect, c"count", time as c_int);
    OK
}
