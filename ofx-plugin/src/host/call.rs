//! What comes with an action.

use std::ffi::c_void;
use std::marker::PhantomData;

use openfx_sys::OfxPropertySetHandle;

use super::{Effect, Host, Properties};
use crate::ofx_status::Status;

/// The handles that the host lends for one action.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    effect: *const c_void,
    arguments: OfxPropertySetHandle,
    reply: OfxPropertySetHandle,
    lent: PhantomData<&'a ()>,
}

impl<'a> Call<'a> {
    /// # Safety
    /// Each handle must be null or what OpenFX lays down for the action, valid for `'a`.
    pub(crate) unsafe fn new(
        effect: *const c_void,
        arguments: OfxPropertySetHandle,
        reply: OfxPropertySetHandle,
    ) -> Self {
        Self { effect, arguments, reply, lent: PhantomData }
    }

    pub(crate) fn effect(self) -> Result<Effect<'a>, Status> {
        // SAFETY: `new` was promised so.
        unsafe { Effect::new(Host::current()?, self.effect) }
    }

    pub(crate) fn arguments(self) -> Result<Properties<'a>, Status> {
        // SAFETY: `new` was promised so.
        unsafe { Properties::new(Host::current()?, self.arguments) }
    }

    /// Where the answer goes.
    pub(crate) fn reply(self) -> Result<Properties<'a>, Status> {
        // SAFETY: `new` was promised so.
        unsafe { Properties::new(Host::current()?, self.reply) }
    }
}
