//! What comes from the plug-in through C, made into Rust and checked; and the macro by which suites
//! define their functions.
//!
//! All that is assumed of a plug-in is what no host can check: a pointer that is not null leads to
//! what OpenFX says it does.

#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use openfx_sys::{OfxPointD, OfxRGBAColourF, OfxRectD};

use crate::doing;
use crate::host::HostState;
use crate::rules::Rule;
use crate::status::Status;
use crate::{lent, registry};

/// How a function of a suite answers.
pub(crate) type Answer = Result<(), Status>;

/// A value made of a C argument.
pub(crate) trait Received<C>: Sized {
    /// # Safety
    /// A pointer that is not null leads to what OpenFX says.
    unsafe fn received(given: C) -> Result<Self, Status>;
}

/// An object that plug-ins hold handles of.
pub(crate) trait Handled: Any + Send + Sync {
    /// What to call it in faults.
    const WHAT: &'static str;
    fn host(&self) -> Option<Arc<HostState>>;
}

/// What a handle leads to; a fault where it does not, or where the thread is none of the host's.
pub(crate) fn behind<T: Handled>(handle: usize) -> Result<Arc<T>, Status> {
    let object: Arc<T> = registry::find(handle).map_err(|lost| {
        doing::fault(Rule::LiveHandle, format!("a handle of {} {}", T::WHAT, lost.words()));
        Status::ERR_BAD_HANDLE
    })?;
    if doing::now().is_none() {
        if let Some(host) = object.host() {
            let words = format!("a suite is called on a thread of the plug-in's, with {}", T::WHAT);
            doing::note_stranger(&host, words);
        }
        return Err(Status::FAILED);
    }
    Ok(object)
}

impl<T: Handled, H> Received<*mut H> for Arc<T> {
    unsafe fn received(given: *mut H) -> Result<Self, Status> {
        behind(given.addr())
    }
}

/// A string, copied at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Received<*const c_char> for Text {
    unsafe fn received(given: *const c_char) -> Result<Self, Status> {
        if given.is_null() {
            doing::fault(Rule::NotNull, "a string is null".to_owned());
            return Err(Status::ERR_VALUE);
        }
        // SAFETY: the caller promises a C string.
        let bytes = unsafe { CStr::from_ptr(given) }.to_bytes();
        if lent::is_spoiled(given, bytes) {
            let words = "a string of the host is used after another call to the host".to_owned();
            doing::fault(Rule::DanglingString, words);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.as_bytes() != bytes {
            doing::fault(Rule::Utf8, format!("{text:?} is not UTF-8"));
        }
        Ok(Self(text))
    }
}

/// A string that may be null, which reads as empty.
pub(crate) struct OptionalText(pub(crate) String);

impl Received<*const c_char> for OptionalText {
    unsafe fn received(given: *const c_char) -> Result<Self, Status> {
        if given.is_null() {
            return Ok(Self(String::new()));
        }
        // SAFETY: as promised by the caller.
        unsafe { Text::received(given) }.map(|text| Self(text.0))
    }
}

/// Where an answer goes.
pub(crate) struct Place<T>(*mut T);

impl<T> Place<T> {
    pub(crate) fn put(&self, value: T) {
        // SAFETY: `received` was promised a place for one value and it is not null.
        unsafe { self.0.write(value) };
    }
}

impl<T> Received<*mut T> for Place<T> {
    unsafe fn received(given: *mut T) -> Result<Self, Status> {
        if given.is_null() {
            doing::fault(Rule::NotNull, "the place for an answer is null".to_owned());
            return Err(Status::ERR_VALUE);
        }
        Ok(Self(given))
    }
}

/// Where an answer goes that may not be wanted.
pub(crate) struct OptionalPlace<T>(*mut T);

impl<T> OptionalPlace<T> {
    pub(crate) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: `received` was promised a place for one value, and it is not null here.
            unsafe { self.0.write(value) };
        }
    }
}

impl<T> Received<*mut T> for OptionalPlace<T> {
    unsafe fn received(given: *mut T) -> Result<Self, Status> {
        Ok(Self(given))
    }
}

/// Several values one after another; how many comes as another argument.
pub(crate) struct Several<P>(P);

impl<T: Copy> Several<*const T> {
    /// # Safety
    /// As many as the plug-in says there are.
    pub(crate) unsafe fn copied(&self, count: usize) -> Vec<T> {
        // SAFETY: promised by the caller; not null.
        (0..count).map(|at| unsafe { self.0.add(at).read() }).collect()
    }
}

impl<T> Several<*mut T> {
    /// # Safety
    /// As many as the plug-in says there is room for.
    pub(crate) unsafe fn put(&self, values: impl IntoIterator<Item = T>) {
        for (at, value) in values.into_iter().enumerate() {
            // SAFETY: promised by the caller; not null.
            unsafe { self.0.add(at).write(value) };
        }
    }
}

macro_rules! several {
    ($($pointer:tt),+) => {$(
        impl<T> Received<*$pointer T> for Several<*$pointer T> {
            unsafe fn received(given: *$pointer T) -> Result<Self, Status> {
                if given.is_null() {
                    doing::fault(Rule::NotNull, "an array is null".to_owned());
                    return Err(Status::ERR_VALUE);
                }
                Ok(Self(given))
            }
        }
    )+};
}
several!(const, mut);

/// A pointer that the host only keeps.
#[derive(Clone, Copy)]
pub(crate) struct Opaque(pub(crate) usize);

impl Received<*mut c_void> for Opaque {
    unsafe fn received(given: *mut c_void) -> Result<Self, Status> {
        Ok(Self(given.expose_provenance()))
    }
}

macro_rules! as_it_is {
    ($($type:ty),+) => {$(
        impl Received<$type> for $type {
            unsafe fn received(given: $type) -> Result<Self, Status> {
                Ok(given)
            }
        }
    )+};
}
as_it_is!(i32, u32, f32, f64, usize);

macro_rules! behind_pointer {
    ($($type:ty => $rust:ty: |$given:ident| $value:expr;)+) => {$(
        impl Received<*const $type> for Option<$rust> {
            unsafe fn received(given: *const $type) -> Result<Self, Status> {
                // SAFETY: the caller promises a value of this type where it is not null.
                Ok(unsafe { given.as_ref() }.map(|$given| $value))
            }
        }
    )+};
}
behind_pointer! {
    OfxRectD => [f64; 4]: |r| [r.x1, r.y1, r.x2, r.y2];
    OfxPointD => [f64; 2]: |p| [p.x, p.y];
    OfxRGBAColourF => [f32; 4]: |c| [c.r, c.g, c.b, c.a];
}

/// What every function of every suite does around its own work. A panic of the host's must not
/// reach the plug-in.
pub(crate) fn served(function: &'static str, work: impl FnOnce() -> Answer) -> i32 {
    lent::spoil();
    doing::note_call(function);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::OK.raw(),
        Ok(Err(status)) => status.raw(),
        Err(_) => {
            doing::fault(Rule::KnownStatus, format!("the test host itself failed in {function}"));
            Status::FAILED.raw()
        }
    }
}

/// Functions of a suite: C outside, Rust inside.
macro_rules! suite_functions {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $rust:ty as $c:ty),* $(,)?) $body:block)+) => {$(
        $(#[$meta])*
        #[allow(unsafe_code, reason = "C calls it")]
        unsafe extern "C" fn $name($($argument: $c),*) -> openfx_sys::OfxStatus {
            $crate::boundary::served(stringify!($name), || {
                // SAFETY: the plug-in calls with what OpenFX says; the rest is checked.
                $(let $argument = unsafe {
                    <$rust as $crate::boundary::Received<$c>>::received($argument)
                }?;)*
                $body
            })
        }
    )+};
}
pub(crate) use suite_functions;

/// Takes functions out of a suite by name, as careless hosts leave them null.
macro_rules! without {
    ($suite:ident, $without:expr, [$($function:ident),+ $(,)?]) => {
        $(if $without.iter().any(|name| name == stringify!($function)) {
            $suite.$function = None;
        })+
    };
}
pub(crate) use without;
