//! The overlay that a host shows over its viewer: an interact.

use std::any::Any;
use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

use openfx_sys::{OfxInteractHandle, OfxInteractSuiteV1, OfxPropertySetHandle, OfxStatus};
use parking_lot::Mutex;

use super::{Effect, Host, Properties, call_suite, draw};
use crate::names;
use crate::ofx_status::Status;

/// Numbers of keys, as X11 has them.
pub(crate) const KEY_ESCAPE: c_int = openfx_sys::kOfxKey_Escape as c_int;
/// The left and the right Shift key.
pub(crate) const KEYS_SHIFT: [c_int; 2] =
    [openfx_sys::kOfxKey_Shift_L as c_int, openfx_sys::kOfxKey_Shift_R as c_int];

/// The left and the right Control key.
pub(crate) const KEYS_CONTROL: [c_int; 2] =
    [openfx_sys::kOfxKey_Control_L as c_int, openfx_sys::kOfxKey_Control_R as c_int];

/// An entry point, as OpenFX lays it down.
pub(crate) type EntryPoint = unsafe extern "C" fn(
    *const c_char,
    *const c_void,
    OfxPropertySetHandle,
    OfxPropertySetHandle,
) -> OfxStatus;

/// An interact that the host lends for one action. `T` is what it remembers between actions.
pub(crate) struct Interact<'a, T> {
    host: Host,
    suite: &'static OfxInteractSuiteV1,
    handle: OfxInteractHandle,
    arguments: OfxPropertySetHandle,
    lent: PhantomData<&'a T>,
}

impl<T> Clone for Interact<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Interact<'_, T> {}

impl<'a, T: Any + Send> Interact<'a, T> {
    /// # Errors
    /// [`Status::MISSING_HOST_FEATURE`] where the host has no interact suite.
    ///
    /// # Safety
    /// A handle that is not null must be an interact of this host, and a set of arguments one of
    /// its property sets, valid for `'a`.
    pub(crate) unsafe fn new(
        handle: *const c_void,
        arguments: OfxPropertySetHandle,
    ) -> Result<Self, Status> {
        let host = Host::current()?;
        let suite = host.interact.ok_or(Status::MISSING_HOST_FEATURE)?;
        if handle.is_null() {
            return Err(Status::BAD_HANDLE);
        }
        let handle = handle.cast_mut().cast();
        Ok(Self { host, suite, handle, arguments, lent: PhantomData })
    }

    pub(crate) fn properties(self) -> Result<Properties<'a>, Status> {
        let mut properties = ptr::null_mut();
        // SAFETY: the handle is valid for 'a, and so is the property set that belongs to it.
        unsafe {
            call_suite!(self.suite, interactGetPropertySet(self.handle, &raw mut properties))?;
            Properties::new(self.host, properties)
        }
    }

    /// What comes with the action; not every action has something.
    pub(crate) fn arguments(self) -> Result<Properties<'a>, Status> {
        // SAFETY: `new` was promised so.
        unsafe { Properties::new(self.host, self.arguments) }
    }

    /// The node that is being worked on.
    pub(crate) fn effect(self) -> Result<Effect<'a>, Status> {
        let of = |properties: Properties<'a>| properties.pointer(names::EFFECT_INSTANCE);
        let effect = self.arguments().and_then(of).or_else(|_| self.properties().and_then(of))?;
        // SAFETY: this property of an interact, and of the arguments of its actions, is an instance
        // of this host that outlives the action.
        unsafe { Effect::new(self.host, effect) }
    }

    /// Asks for the overlay to be drawn again, now or later.
    pub(crate) fn redraw(self) {
        // SAFETY: the handle is valid for 'a. Where this draws before it returns, it comes in as an
        // action of its own; nothing is held here.
        let _ = unsafe { call_suite!(self.suite, interactRedraw(self.handle)) };
    }

    /// The canvas on which the Draw Suite is to draw in this action.
    pub(crate) fn draw_suite(self) -> Option<draw::DrawSuiteCanvas<'a>> {
        let context = self.arguments().and_then(|it| it.pointer(names::DRAW_CONTEXT)).ok()?;
        // SAFETY: this property of the arguments is a context of this host's Draw Suite, valid
        // during the action.
        unsafe { draw::DrawSuiteCanvas::new(self.host, context) }
    }

    /// Gives what an interact remembers to the host to keep.
    pub(crate) fn attach(self, memory: T) -> Result<(), Status> {
        self.properties()?.attach(Mutex::new(memory))
    }

    /// Looks at what the interact remembers, and may change it. The lock is for hosts that call
    /// from several threads, which OpenFX rules out; it is never waited for, and nothing that
    /// `change` can reach calls the host.
    pub(crate) fn remember<R>(self, change: impl FnOnce(&mut T) -> R) -> Result<R, Status> {
        // SAFETY: these are the properties of an interact of this plug-in, whose instance data only
        // `attach` and `detach` set; the host destroys an interact, which is when `detach` is called,
        // after every other action on it, and 'a is one of these actions.
        let memory: &Mutex<T> = unsafe { self.properties()?.attached() }?;
        // Whatever state a panic leaves is one that the next event can start from.
        let mut memory = memory.try_lock().ok_or(Status::REPLY_DEFAULT)?;
        Ok(change(&mut memory))
    }

    /// Takes back what the interact remembered, on destruction.
    pub(crate) fn detach(self) -> Result<(), Status> {
        // SAFETY: as above; the host destroys an interact after every other action on it, so that
        // nobody uses its data any more.
        unsafe { self.properties()?.detach::<Mutex<T>>() }.map(drop)
    }
}

impl Effect<'_> {
    /// While describing: the overlay's entry points, for drawing by OpenGL and by the Draw Suite.
    /// A host without interacts has no overlay, and one without the suite only the first.
    pub(crate) fn offer_overlay(self, opengl: EntryPoint, draw_suite: EntryPoint) {
        let (host, Ok(properties)) = (self.host(), self.properties()) else { return };
        if host.interact.is_none() {
            return;
        }
        let _ = properties.set_pointer(names::OVERLAY_V1, opengl as *mut c_void);
        if host.draw.is_some() {
            let _ = properties.set_pointer(names::OVERLAY_V2, draw_suite as *mut c_void);
        }
    }
}
