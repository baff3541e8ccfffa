//! The suites: tables of functions, each in a file of its own.
//!
//! One set of tables per host, so that each host can lack what it likes. They never move: the same
//! question gets the same pointer, as OpenFX wants it.

#![allow(unsafe_code)]

mod draw;
mod effect;
mod interact;
pub(crate) mod memory;
mod message;
pub(crate) mod multithread;
mod parameter;
mod progress;
mod property;
mod timeline;
pub(crate) mod variable;

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use openfx_sys::{
    OfxDrawSuiteV1, OfxHost, OfxImageEffectSuiteV1, OfxInteractSuiteV1, OfxMemorySuiteV1,
    OfxMessageSuiteV1, OfxMessageSuiteV2, OfxMultiThreadSuiteV1, OfxParameterSuiteV1,
    OfxProgressSuiteV1, OfxProgressSuiteV2, OfxPropertySetHandle, OfxPropertySuiteV1,
    OfxTimeLineSuiteV1,
};

use crate::boundary::{Received, Text, behind};
use crate::profile::Profile;
use crate::properties::PropertySet;
use crate::{doing, lent};

/// Every suite, and the struct that leads to them.
pub(crate) struct Suites {
    property: OfxPropertySuiteV1,
    effect: OfxImageEffectSuiteV1,
    parameter: OfxParameterSuiteV1,
    memory: OfxMemorySuiteV1,
    multithread: OfxMultiThreadSuiteV1,
    message1: OfxMessageSuiteV1,
    message2: OfxMessageSuiteV2,
    progress1: OfxProgressSuiteV1,
    progress2: OfxProgressSuiteV2,
    timeline: OfxTimeLineSuiteV1,
    interact: OfxInteractSuiteV1,
    draw: OfxDrawSuiteV1,
    lacking: Vec<(String, i32)>,
    /// A box that is leaked on purpose: plug-ins keep the pointer for as long as they like.
    host: AtomicPtr<OfxHost>,
}

impl Suites {
    pub(crate) fn new(profile: &Profile) -> Self {
        let nulls = |suite: &str| -> Vec<String> {
            let of_suite = profile.null_functions.iter().filter(|(name, _)| name == suite);
            of_suite.map(|(_, function)| function.clone()).collect()
        };
        Self {
            property: property::suite(&nulls("OfxPropertySuite")),
            effect: effect::suite(&nulls("OfxImageEffectSuite")),
            parameter: parameter::suite(&nulls("OfxParameterSuite")),
            memory: memory::suite(&nulls("OfxMemorySuite")),
            multithread: multithread::suite(&nulls("OfxMultiThreadSuite")),
            message1: message::first(&nulls("OfxMessageSuite")),
            message2: message::second(&nulls("OfxMessageSuite")),
            progress1: progress::first(&nulls("OfxProgressSuite")),
            progress2: progress::second(&nulls("OfxProgressSuite")),
            timeline: timeline::suite(&nulls("OfxTimeLineSuite")),
            interact: interact::suite(&nulls("OfxInteractSuite")),
            draw: draw::suite(&nulls("OfxDrawSuite")),
            lacking: profile.lacks_suites.clone(),
            host: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Makes the struct that plug-ins are given, with the host's own properties.
    pub(crate) fn introduce(&self, properties: usize) {
        let host =
            OfxHost { host: ptr::without_provenance_mut(properties), fetchSuite: Some(fetch) };
        self.host.store(Box::into_raw(Box::new(host)), Ordering::Release);
    }

    pub(crate) fn c_host(&self) -> *mut OfxHost {
        self.host.load(Ordering::Acquire)
    }

    pub(crate) fn has(&self, name: &str, version: i32) -> bool {
        !self.find(name, version).is_null()
    }

    fn find(&self, name: &str, version: c_int) -> *const c_void {
        fn table<T>(suite: &T) -> *const c_void {
            ptr::from_ref(suite).cast()
        }
        if self.lacking.iter().any(|(lacks, which)| lacks == name && *which == version) {
            return ptr::null();
        }
        match (name, version) {
            ("OfxPropertySuite", 1) => table(&self.property),
            ("OfxImageEffectSuite", 1) => table(&self.effect),
            ("OfxParameterSuite", 1) => table(&self.parameter),
            ("OfxMemorySuite", 1) => table(&self.memory),
            ("OfxMultiThreadSuite", 1) => table(&self.multithread),
            ("OfxMessageSuite", 1) => table(&self.message1),
            ("OfxMessageSuite", 2) => table(&self.message2),
            ("OfxProgressSuite", 1) => table(&self.progress1),
            ("OfxProgressSuite", 2) => table(&self.progress2),
            ("OfxTimeLineSuite", 1) => table(&self.timeline),
            ("OfxInteractSuite", 1) => table(&self.interact),
            ("OfxDrawSuite", 1) => table(&self.draw),
            _ => ptr::null(),
        }
    }
}

unsafe extern "C" fn fetch(
    host: OfxPropertySetHandle,
    name: *const c_char,
    version: c_int,
) -> *const c_void {
    lent::spoil();
    doing::note_call("fetchSuite");
    let found = catch_unwind(AssertUnwindSafe(|| {
        let host = behind::<PropertySet>(host.addr()).ok()?.host()?;
        // SAFETY: the plug-in gives a C string or null.
        let name = unsafe { Text::received(name) }.ok()?;
        Some(host.suites.find(&name, version))
    }));
    found.ok().flatten().unwrap_or(ptr::null())
}
