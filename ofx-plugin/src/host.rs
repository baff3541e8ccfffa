//! The host: its suites behind safe types.
//!
//! [`Host`] is a copy of a few pointers, taken at the beginning of an action; [`Effect`],
//! [`Properties`] and [`ParameterHandle`] are what the host lends for that action. The pointers are kept
//! in atomics rather than behind a lock: actions come on several threads and into one another.

#![allow(unsafe_code)]

mod call;
mod draw;
mod effect;
mod gl;
mod image;
mod instance_data;
mod interact;
mod message;
mod parameter;
mod progress;
mod properties;
mod timeline;

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use openfx_sys::{
    OfxDrawSuiteV1, OfxHost, OfxImageEffectSuiteV1, OfxInteractSuiteV1, OfxMessageSuiteV2,
    OfxParameterSuiteV1, OfxProgressSuiteV1, OfxPropertySetStruct, OfxPropertySuiteV1,
    OfxTimeLineSuiteV1,
};

pub(crate) use call::Call;
pub(crate) use effect::{ClipHandle, Effect};
pub(crate) use gl::OpenGl;
pub(crate) use image::{ImageRefusal, InputImage};
pub(crate) use interact::{Interact, KEY_ESCAPE, KEYS_CONTROL, KEYS_SHIFT};
pub(crate) use message::c_text;
pub(crate) use parameter::ParameterHandle;
pub(crate) use properties::Properties;

use crate::names;
use crate::ofx_status::Status;

static HOST: AtomicPtr<OfxHost> = AtomicPtr::new(ptr::null_mut());
static PROPERTY: AtomicPtr<OfxPropertySuiteV1> = AtomicPtr::new(ptr::null_mut());
static EFFECT: AtomicPtr<OfxImageEffectSuiteV1> = AtomicPtr::new(ptr::null_mut());
static PARAMETER: AtomicPtr<OfxParameterSuiteV1> = AtomicPtr::new(ptr::null_mut());
static MESSAGE: AtomicPtr<OfxMessageSuiteV2> = AtomicPtr::new(ptr::null_mut());
static PROGRESS: AtomicPtr<OfxProgressSuiteV1> = AtomicPtr::new(ptr::null_mut());
static TIMELINE: AtomicPtr<OfxTimeLineSuiteV1> = AtomicPtr::new(ptr::null_mut());
static INTERACT: AtomicPtr<OfxInteractSuiteV1> = AtomicPtr::new(ptr::null_mut());
static DRAW: AtomicPtr<OfxDrawSuiteV1> = AtomicPtr::new(ptr::null_mut());

/// The host that loaded us and the suites that it has.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    properties: *mut OfxPropertySetStruct,
    property: &'static OfxPropertySuiteV1,
    effect: &'static OfxImageEffectSuiteV1,
    parameter: &'static OfxParameterSuiteV1,
    message: Option<&'static OfxMessageSuiteV2>,
    progress: Option<&'static OfxProgressSuiteV1>,
    timeline: Option<&'static OfxTimeLineSuiteV1>,
    interact: Option<&'static OfxInteractSuiteV1>,
    draw: Option<&'static OfxDrawSuiteV1>,
}

/// Whose suites were fetched last.
static FETCHED_FROM: AtomicPtr<OfxHost> = AtomicPtr::new(ptr::null_mut());

/// Keeps the host for the actions to come. Hosts do this again after unloading, or with another
/// struct for each plug-in of a bundle: the latest counts. Some do it for each frame, while other
/// threads render: what was fetched stays until it is fetched anew. Calls nothing.
pub(crate) fn set(host: *mut OfxHost) {
    HOST.store(host, Ordering::Release);
}

/// Lets go of what was fetched from the host, which unloads the plug-in; the host itself is kept.
pub(crate) fn forget_suites() {
    FETCHED_FROM.store(ptr::null_mut(), Ordering::Release);
    PROPERTY.store(ptr::null_mut(), Ordering::Release);
    EFFECT.store(ptr::null_mut(), Ordering::Release);
    PARAMETER.store(ptr::null_mut(), Ordering::Release);
    MESSAGE.store(ptr::null_mut(), Ordering::Release);
    PROGRESS.store(ptr::null_mut(), Ordering::Release);
    TIMELINE.store(ptr::null_mut(), Ordering::Release);
    INTERACT.store(ptr::null_mut(), Ordering::Release);
    DRAW.store(ptr::null_mut(), Ordering::Release);
}

impl Host {
    /// The host, its suites fetched where they are not yet.
    ///
    /// # Errors
    /// [`Status::MISSING_HOST_FEATURE`] where a required suite is absent.
    pub(crate) fn current() -> Result<Self, Status> {
        let pointer = HOST.load(Ordering::Acquire);
        // SAFETY: OpenFX keeps the struct given to setHost valid while the binary is loaded, and
        // nobody writes to it; null is refused here.
        let host = unsafe { pointer.as_ref() }.ok_or(Status::MISSING_HOST_FEATURE)?;
        if FETCHED_FROM.load(Ordering::Acquire) != pointer {
            fetch_suites(host);
            FETCHED_FROM.store(pointer, Ordering::Release);
        }
        // SAFETY: `fetch_suites` puts suites of these very types there, and by OpenFX they stay as
        // they are while the binary is loaded.
        let (property, effect, parameter, message, progress, timeline, interact, draw) = unsafe {
            (
                PROPERTY.load(Ordering::Acquire).as_ref(),
                EFFECT.load(Ordering::Acquire).as_ref(),
                PARAMETER.load(Ordering::Acquire).as_ref(),
                MESSAGE.load(Ordering::Acquire).as_ref(),
                PROGRESS.load(Ordering::Acquire).as_ref(),
                TIMELINE.load(Ordering::Acquire).as_ref(),
                INTERACT.load(Ordering::Acquire).as_ref(),
                DRAW.load(Ordering::Acquire).as_ref(),
            )
        };
        Ok(Self {
            properties: host.host,
            property: property.ok_or(Status::MISSING_HOST_FEATURE)?,
            effect: effect.ok_or(Status::MISSING_HOST_FEATURE)?,
            parameter: parameter.ok_or(Status::MISSING_HOST_FEATURE)?,
            message,
            progress,
            timeline,
            interact,
            draw,
        })
    }

    /// Whether this host says that it runs without an artist.
    pub(crate) fn is_background(&self) -> bool {
        self.properties()
            .and_then(|properties| properties.int(names::IS_BACKGROUND))
            .is_ok_and(|background| background == 1)
    }

    /// Whether this host lets parameters be set in changes and in events of an overlay alone: Nuke from
    /// 17 on, and a Nuke that does not say which one it is.
    pub(crate) fn sets_in_changes_only(&self) -> bool {
        let version = || self.properties()?.int_at(names::VERSION, 0);
        self.name().starts_with("uk.co.thefoundry.") && version().map_or(true, |major| major >= 17)
    }

    /// The name that the host gives itself, such as `uk.co.thefoundry.nuke`.
    pub(crate) fn name(&self) -> String {
        self.properties().and_then(|properties| properties.text(names::NAME, 0)).unwrap_or_default()
    }

    /// What the host says about itself.
    pub(crate) fn properties(&self) -> Result<Properties<'_>, Status> {
        // SAFETY: the host's own property set is valid while the binary is loaded.
        unsafe { Properties::new(*self, self.properties) }
    }
}

/// Fetches every suite that is used. Threads that do so at the same time fetch the same.
fn fetch_suites(host: &OfxHost) {
    let Some(fetch) = host.fetchSuite else { return };
    let suite = |name: &CStr, version: c_int| {
        // SAFETY: this is the host's own function with the host's own handle and a static name.
        unsafe { fetch(host.host, name.as_ptr(), version) }.cast_mut()
    };
    EFFECT.store(suite(names::SUITE_EFFECT, 1).cast(), Ordering::Release);
    PARAMETER.store(suite(names::SUITE_PARAMETER, 1).cast(), Ordering::Release);
    MESSAGE.store(suite(names::SUITE_MESSAGE, 2).cast(), Ordering::Release);
    PROGRESS.store(suite(names::SUITE_PROGRESS, 1).cast(), Ordering::Release);
    TIMELINE.store(suite(names::SUITE_TIMELINE, 1).cast(), Ordering::Release);
    INTERACT.store(suite(names::SUITE_INTERACT, 1).cast(), Ordering::Release);
    DRAW.store(suite(names::SUITE_DRAW, 1).cast(), Ordering::Release);
    PROPERTY.store(suite(names::SUITE_PROPERTY, 1).cast(), Ordering::Release);
}

/// Calls a function of a suite, which the host may have left null.
macro_rules! call_suite {
    ($suite:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $suite.$function {
            Some(function) => $crate::ofx_status::Status::of(function($($argument),*)).ok(),
            None => Err($crate::ofx_status::Status::MISSING_HOST_FEATURE),
        }
    };
}
use call_suite;
