//! An effect: its description while it is being described, one node of a project afterwards.

use std::any::Any;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use openfx_sys::{OfxImageClipHandle, OfxImageEffectHandle, OfxParamSetHandle, OfxRectD, OfxTime};

use super::{Host, Properties, call_suite};
use crate::ofx_status::Status;

/// An effect that the host lends for one action.
#[derive(Clone, Copy)]
pub(crate) struct Effect<'a> {
    host: Host,
    handle: OfxImageEffectHandle,
    lent: PhantomData<&'a ()>,
}

/// A clip of an instance, valid as long as that.
#[derive(Clone, Copy)]
pub(crate) struct ClipHandle(pub(super) OfxImageClipHandle);

// SAFETY: the handle is never followed here, only given back to the host, whose suites may be called
// from every thread that it runs an action on.
unsafe impl Send for ClipHandle {}
// SAFETY: as above; nothing changes through a shared reference.
unsafe impl Sync for ClipHandle {}

impl<'a> Effect<'a> {
    /// # Safety
    /// A handle that is not null must be an effect of this host, valid for `'a`.
    pub(crate) unsafe fn new(host: Host, handle: *const c_void) -> Result<Self, Status> {
        if handle.is_null() {
            return Err(Status::BAD_HANDLE);
        }
        Ok(Self { host, handle: handle.cast_mut().cast(), lent: PhantomData })
    }

    pub(crate) fn host(self) -> Host {
        self.host
    }

    pub(crate) fn properties(self) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the handle is valid for 'a, and so is the property set that belongs to it.
        unsafe {
            call_suite!(self.host.effect, getPropertySet(self.handle, &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// Defines a clip, while describing in a context.
    pub(crate) fn define_clip(self, name: &'static CStr) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the handle is valid for 'a, and so is the clip's property set; the name is
        // static.
        unsafe {
            call_suite!(
                self.host.effect,
                clipDefine(self.handle, name.as_ptr(), &raw mut properties)
            )?;
            Properties::new(self.host, properties)
        }
    }

    /// Defines a parameter, while describing in a context; `kind` is one of the types of OpenFX.
    pub(crate) fn define_parameter(
        self,
        kind: &'static CStr,
        id: &'static CStr,
    ) -> Result<Properties<'a>, Status> {
        let (set, suite) = (self.parameter_set()?, self.host.parameter);
        let mut properties = ptr::null_mut();
        // SAFETY: the parameter set is valid for 'a, and so is the property set; the names are
        // static.
        unsafe {
            call_suite!(suite, paramDefine(set, kind.as_ptr(), id.as_ptr(), &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// The clip of an instance that has this name.
    pub(crate) fn clip(self, name: &'static CStr) -> Result<ClipHandle, Status> {
        let (mut clip, suite) = (ptr::null_mut(), self.host.effect);
        // SAFETY: the handle is valid for 'a, the name static; the property set is not asked for.
        unsafe {
            let name = name.as_ptr();
            call_suite!(suite, clipGetHandle(self.handle, name, &raw mut clip, ptr::null_mut()))?;
        }
        if clip.is_null() { Err(Status::BAD_HANDLE) } else { Ok(ClipHandle(clip)) }
    }

    pub(crate) fn clip_properties(self, clip: ClipHandle) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the clip belongs to this effect's instance, which outlives 'a.
        unsafe {
            call_suite!(self.host.effect, clipGetPropertySet(clip.0, &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// The region of definition of a clip: left, bottom, right, top in canonical coordinates.
    pub(crate) fn clip_region(self, clip: ClipHandle, time: OfxTime) -> Result<[f64; 4], Status> {
        let mut region = OfxRectD { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 };
        // SAFETY: the clip belongs to this effect's instance, which outlives 'a; the region is
        // ours.
        unsafe {
            call_suite!(
                self.host.effect,
                clipGetRegionOfDefinition(clip.0, time, &raw mut region)
            )?;
        }
        Ok([region.x1, region.y1, region.x2, region.y2])
    }

    /// Several changes as one step of undo. The host hears of its end however `changes` ends.
    pub(crate) fn as_one_edit(
        self,
        name: &'static CStr,
        changes: impl FnOnce() -> Result<(), Status>,
    ) -> Result<(), Status> {
        let (set, suite) = (self.parameter_set()?, self.host.parameter);
        // SAFETY: the parameter set is valid for 'a and the name static.
        let begun = unsafe { call_suite!(suite, paramEditBegin(set, name.as_ptr())) };
        let changed = changes();
        if begun.is_ok() {
            // SAFETY: as above; this ends what was begun.
            let _ = unsafe { call_suite!(suite, paramEditEnd(set)) };
        }
        changed
    }

    /// Gives the instance's own data to the host to keep.
    pub(crate) fn attach<T: Any + Send + Sync>(self, instance: T) -> Result<(), Status> {
        self.properties()?.attach(instance)
    }

    /// The instance's own data, as `attach` was given it. Shared: a render may look while the main
    /// thread does.
    pub(crate) fn instance<T: Any>(self) -> Result<&'a T, Status> {
        // SAFETY: these are the properties of an effect of this plug-in, whose instance data only
        // `attach` and `detach` set; the host destroys an instance, which is when `detach` is called,
        // after every other action on it, and 'a is one of these actions. The one action in which the
        // host may do so earlier, since it handles events of the artist, holds the instance.
        unsafe { self.properties()?.attached() }
    }

    /// The same, to be kept by an action in which the host may destroy the instance.
    pub(crate) fn held_instance<T: Any + Send + Sync>(self) -> Result<Arc<T>, Status> {
        // SAFETY: as above; instances are destroyed on the main thread, on which this is called.
        unsafe { self.properties()?.held() }
    }

    /// Takes the instance's own data back, on destruction.
    pub(crate) fn detach<T: Any + Send + Sync>(self) -> Result<Option<Arc<T>>, Status> {
        // SAFETY: as above; the host destroys an instance after every other action on it, so that
        // nobody uses its data any more but who holds it.
        unsafe { self.properties()?.detach() }
    }

    pub(super) fn raw(self) -> OfxImageEffectHandle {
        self.handle
    }

    pub(super) fn parameter_set(self) -> Result<OfxParamSetHandle, Status> {
        let mut set = ptr::null_mut();
        // SAFETY: the handle is valid for 'a.
        unsafe { call_suite!(self.host.effect, getParamSet(self.handle, &raw mut set))? };
        if set.is_null() { Err(Status::BAD_HANDLE) } else { Ok(set) }
    }
}
