//! An effect: its description while it is being described, one node of a project afterwards.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;

use openfx_sys::{OfxImageClipHandle, OfxImageEffectHandle, OfxParamSetHandle, OfxRectD, OfxTime};

use super::{Host, Parameter, Properties, ask};
use crate::instance::Instance;
use crate::names;
use crate::status::Status;

/// An effect that the host lends for one action.
#[derive(Clone, Copy)]
pub(crate) struct Effect<'a> {
    host: Host,
    handle: OfxImageEffectHandle,
    lent: PhantomData<&'a ()>,
}

/// A clip of an instance, valid as long as that.
#[derive(Clone, Copy)]
pub(crate) struct Clip(pub(super) OfxImageClipHandle);

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
            ask!(self.host.effect, getPropertySet(self.handle, &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// While describing in a context.
    pub(crate) fn define_clip(self, name: &'static CStr) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the handle is valid for 'a, and so is the clip's property set; the name is
        // static.
        unsafe {
            ask!(self.host.effect, clipDefine(self.handle, name.as_ptr(), &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// While describing in a context; `kind` is one of the types of OpenFX.
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
            ask!(suite, paramDefine(set, kind.as_ptr(), id.as_ptr(), &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// A clip of an instance.
    pub(crate) fn clip(self, name: &'static CStr) -> Result<Clip, Status> {
        let (mut clip, suite) = (ptr::null_mut(), self.host.effect);
        // SAFETY: the handle is valid for 'a, the name static; the property set is not asked for.
        unsafe {
            let name = name.as_ptr();
            ask!(suite, clipGetHandle(self.handle, name, &raw mut clip, ptr::null_mut()))?;
        }
        if clip.is_null() { Err(Status::BAD_HANDLE) } else { Ok(Clip(clip)) }
    }

    pub(crate) fn clip_properties(self, clip: Clip) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the clip belongs to this effect's instance, which outlives 'a.
        unsafe {
            ask!(self.host.effect, clipGetPropertySet(clip.0, &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// Left, bottom, right, top in canonical coordinates.
    pub(crate) fn clip_region(self, clip: Clip, time: OfxTime) -> Result<[f64; 4], Status> {
        let mut region = OfxRectD { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 };
        // SAFETY: the clip belongs to this effect's instance, which outlives 'a; the region is
        // ours.
        unsafe {
            ask!(self.host.effect, clipGetRegionOfDefinition(clip.0, time, &raw mut region))?;
        }
        Ok([region.x1, region.y1, region.x2, region.y2])
    }

    /// A parameter of an instance.
    pub(crate) fn parameter(self, id: &'static CStr) -> Result<Parameter, Status> {
        let (set, suite) = (self.parameter_set()?, self.host.parameter);
        let mut parameter = ptr::null_mut();
        // SAFETY: the parameter set is valid for 'a, the id static; the property set is not asked
        // for.
        unsafe {
            let id = id.as_ptr();
            ask!(suite, paramGetHandle(set, id, &raw mut parameter, ptr::null_mut()))?;
        }
        Parameter::new(parameter)
    }

    /// Several changes as one step of undo. The host hears of its end however `changes` ends.
    pub(crate) fn as_one_edit(
        self,
        name: &'static CStr,
        changes: impl FnOnce() -> Result<(), Status>,
    ) -> Result<(), Status> {
        let (set, suite) = (self.parameter_set()?, self.host.parameter);
        // SAFETY: the parameter set is valid for 'a and the name static.
        let begun = unsafe { ask!(suite, paramEditBegin(set, name.as_ptr())) };
        let changed = changes();
        if begun.is_ok() {
            // SAFETY: as above; this ends what was begun.
            let _ = unsafe { ask!(suite, paramEditEnd(set)) };
        }
        changed
    }

    /// Gives the instance's own data to the host to keep.
    pub(crate) fn attach(self, instance: Instance) -> Result<(), Status> {
        let properties = self.properties()?;
        let instance = Box::into_raw(Box::new(instance));
        properties.set_pointer(names::INSTANCE_DATA, instance.cast()).inspect_err(|_| {
            // SAFETY: the pointer comes from the box above and the host did not take it.
            drop(unsafe { Box::from_raw(instance) });
        })
    }

    /// The instance's own data. Shared: a render may look while the main thread does.
    pub(crate) fn instance(self) -> Result<&'a Instance, Status> {
        let instance = self.properties()?.pointer(names::INSTANCE_DATA)?.cast::<Instance>();
        // SAFETY: this property of an instance is null or holds what `attach` put there: handles
        // that nobody changes and data behind locks, so that threads may share it. It lasts until
        // the host destroys the instance, after every other action on it.
        unsafe { instance.as_ref() }.ok_or(Status::BAD_HANDLE)
    }

    /// Takes the instance's own data back, on destruction.
    pub(crate) fn detach(self) -> Result<Option<Instance>, Status> {
        let properties = self.properties()?;
        let instance = properties.pointer(names::INSTANCE_DATA)?.cast::<Instance>();
        if instance.is_null() {
            return Ok(None);
        }
        properties.set_pointer(names::INSTANCE_DATA, ptr::null_mut())?;
        // SAFETY: `attach` made this pointer from a box; the host destroys an instance once,
        // after every other action on it, and the property no longer holds the pointer.
        Ok(Some(*unsafe { Box::from_raw(instance) }))
    }

    pub(super) fn raw(self) -> OfxImageEffectHandle {
        self.handle
    }

    fn parameter_set(self) -> Result<OfxParamSetHandle, Status> {
        let mut set = ptr::null_mut();
        // SAFETY: the handle is valid for 'a.
        unsafe { ask!(self.host.effect, getParamSet(self.handle, &raw mut set))? };
        if set.is_null() { Err(Status::BAD_HANDLE) } else { Ok(set) }
    }
}
