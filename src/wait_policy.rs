//! Threads that wait give their processor away soon: the policy of every process of ours that computes.
//!
//! The threads of libgomp, with which libtorch computes, spin while they wait for one another. Beside
//! other work that costs a multiple of the work itself, since what is waited for has no processor
//! meanwhile; asleep at once they wake too late where nothing else is to do. Three thousand looks, some
//! microseconds, are between: a draft take on two cores took 0.97 times as long as with threads that
//! spin where nothing else ran (asleep at once: 1.16 times), and beside two busy loops 0.91 times as long
//! as with threads that sleep at once, 1.02 times at nice 10 (medians of 4 to 6, in turns). libgomp asks
//! for `GOMP_SPINCOUNT` once, in its constructor: before `main`, and after libc
//! has taken the environment as the system handed it over, so that what is set earlier is lost
//! (`.preinit_array` comes before libc, `.init_array` after libgomp). So the question is answered where
//! it is asked: this program has a `getenv` of its own, which every library in the process finds before
//! libc's. It says what libc's says, and that count where the user has said nothing; `OMP_WAIT_POLICY` and
//! `GOMP_SPINCOUNT` of the user count (`tests/threads.rs`). It costs nothing, and nothing that this
//! program starts inherits it.
//!
//! Other systems have another OpenMP, and no such variable.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;

/// What is asked for once, and what is answered where the user has said nothing.
const ANSWER: (&CStr, &CStr) = (c"GOMP_SPINCOUNT", c"3000");
/// The user's word on the same; where there is one, nothing is answered.
const POLICY: &CStr = c"OMP_WAIT_POLICY";

unsafe extern "C" {
    /// libc's list of `NAME=value`, which ends with a null pointer; null before there is one.
    static mut environ: *const *const c_char;
}

/// As libc's: the value of a variable of the environment, null where it is not set.
///
/// # Safety
/// `name` ends with 0, and nobody changes the environment meanwhile, as with libc's own.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    // SAFETY: the caller's promise.
    let (value, policy) = unsafe { (set(name), set(POLICY)) };
    if value.is_null() && policy.is_null() && name == ANSWER.0 {
        return ANSWER.1.as_ptr();
    }
    value
}

/// The value of a variable that is set, else null.
///
/// # Safety
/// Nobody changes the environment meanwhile.
unsafe fn set(name: &CStr) -> *const c_char {
    // SAFETY: libc's own variable, which nobody changes meanwhile by the caller's promise.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: the list goes on until its null pointer.
        let text = unsafe { *entry };
        if text.is_null() {
            break;
        }
        // SAFETY: entries are texts that end with 0.
        let text = unsafe { CStr::from_ptr(text) }.to_bytes();
        if let Some(value) =
            text.strip_prefix(name.to_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        {
            return value.as_ptr().cast();
        }
        // SAFETY: this entry was not the last.
        entry = unsafe { entry.add(1) };
    }
    ptr::null()
}
