//! Calls into the binary.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, with_exposed_provenance_mut};
use std::sync::Arc;

use libloading::Library as Opened;
use openfx_sys::{OfxHost, OfxPlugin, OfxPropertySetHandle, OfxStatus};
use tempfile::TempDir;

use super::Details;
use crate::action::Action;
use crate::doing::{self, Doing};
use crate::host::HostState;
use crate::status::Status;

type Main = unsafe extern "C" fn(
    *const c_char,
    *const c_void,
    OfxPropertySetHandle,
    OfxPropertySetHandle,
) -> OfxStatus;

/// A function that takes actions: a plug-in's, or its overlay's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(Main);

impl Entry {
    /// The one at an address that the plug-in gave for one.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let pointer = with_exposed_provenance_mut::<c_void>(address);
        // SAFETY: an `Option` of a function is null or a function, and the plug-in says that this
        // is one of an entry point; no host can know better.
        unsafe { std::mem::transmute::<*mut c_void, Option<Main>>(pointer) }.map(Self)
    }

    pub(crate) fn address(self) -> usize {
        self.0 as usize
    }

    /// Asks for an action. The name is gone when it returns.
    pub(crate) fn call(
        self,
        action: &str,
        handle: usize,
        arguments: usize,
        reply: usize,
    ) -> Status {
        let name = CString::new(action).unwrap_or_default();
        // SAFETY: the library stays open while there are effects, and handles are numbers that the
        // plug-in can do nothing with but give them back.
        let status = unsafe {
            (self.0)(
                name.as_ptr(),
                ptr::without_provenance(handle),
                ptr::without_provenance_mut(arguments),
                ptr::without_provenance_mut(reply),
            )
        };
        let mut spoilt = name.into_bytes_with_nul();
        spoilt.fill(b'#');
        std::hint::black_box(&spoilt);
        Status::of(status)
    }

    /// With nothing but a name, or not even that.
    pub(crate) fn raw(self, host: &Arc<HostState>, action: Option<&str>) -> Status {
        let doing =
            Arc::new(Doing::new(host, self.address(), Action::named(action.unwrap_or_default())));
        doing::within(&doing, || match action {
            Some(action) => self.call(action, 0, 0, 0),
            None => {
                let null = ptr::null_mut();
                // SAFETY: a plug-in that does not look before it follows a pointer falls here,
                // which is what is tried.
                Status::of(unsafe { (self.0)(ptr::null(), ptr::null(), null, null) })
            }
        })
    }
}

/// A binary that the system has loaded.
pub(crate) struct Library {
    // Closed before the folder goes.
    opened: Opened,
    _folder: TempDir,
}

impl Library {
    pub(crate) fn open(file: &Path, folder: TempDir) -> Result<Self, libloading::Error> {
        // SAFETY: loading runs what the plug-in's authors let it run; that is what a host is for.
        // It is bound late and locally, which is the default here and in hosts.
        let opened = unsafe { Opened::new(file) }?;
        Ok(Self { opened, _folder: folder })
    }

    pub(crate) fn exports(&self, name: &str) -> bool {
        // SAFETY: the symbol is only looked up.
        unsafe { self.opened.get::<*const c_void>(name.as_bytes()) }.is_ok()
    }

    pub(crate) fn count(&self) -> i32 {
        // SAFETY: OpenFX gives the function this signature.
        unsafe {
            let count =
                self.opened.get::<unsafe extern "C" fn() -> c_int>(c"OfxGetNumberOfPlugins");
            count.map_or(0, |count| count())
        }
    }

    /// The struct that describes the plug-in of this number.
    fn plugin(&self, nth: i32) -> *mut OfxPlugin {
        // SAFETY: OpenFX gives the function this signature.
        unsafe {
            let get =
                self.opened.get::<unsafe extern "C" fn(c_int) -> *mut OfxPlugin>(c"OfxGetPlugin");
            get.map_or(ptr::null_mut(), |get| get(nth))
        }
    }

    pub(crate) fn details(&self, nth: i32) -> Option<Details> {
        // SAFETY: OpenFX keeps the struct and its strings valid while the library is open.
        unsafe {
            let plugin = self.plugin(nth).as_ref()?;
            let text = |text: *const c_char| {
                let text = (!text.is_null()).then(|| CStr::from_ptr(text))?;
                Some(text.to_string_lossy().into_owned())
            };
            Some(Details {
                api: text(plugin.pluginApi)?,
                api_version: plugin.apiVersion,
                identifier: text(plugin.pluginIdentifier)?,
                version: [plugin.pluginVersionMajor, plugin.pluginVersionMinor],
            })
        }
    }

    pub(crate) fn entry(&self, nth: i32) -> Option<Entry> {
        // SAFETY: OpenFX keeps the struct valid while the library is open.
        unsafe { self.plugin(nth).as_ref() }?.mainEntry.map(Entry)
    }

    pub(crate) fn set_host(&self, host: &Arc<HostState>, nth: i32) {
        let doing = Arc::new(Doing::new(host, 0, Action::SetHost));
        doing::within(&doing, || {
            // SAFETY: the struct is valid while the library is open; the host outlives it.
            unsafe {
                if let Some(set_host) = self.plugin(nth).as_ref().and_then(|plugin| plugin.setHost)
                {
                    set_host(host.suites.c_host());
                }
            }
        });
    }

    /// `OfxSetHost`, where it is exported.
    pub(crate) fn introduce(&self, host: &Arc<HostState>) {
        let doing = Arc::new(Doing::new(host, 0, Action::SetHost));
        doing::within(&doing, || self.introduce_as(host.suites.c_host()));
    }

    pub(crate) fn introduce_nobody(&self) -> Option<Status> {
        self.introduce_as(ptr::null())
    }

    fn introduce_as(&self, host: *const OfxHost) -> Option<Status> {
        // SAFETY: OpenFX gives the function this signature; the host outlives the library.
        unsafe {
            let introduce =
                self.opened.get::<unsafe extern "C" fn(*const OfxHost) -> OfxStatus>(c"OfxSetHost");
            introduce.ok().map(|introduce| Status::of(introduce(host)))
        }
    }
}
