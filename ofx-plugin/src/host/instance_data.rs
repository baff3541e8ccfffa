//! Data of ours that a host keeps with an effect or an overlay: its instance data.
//!
//! What is kept is boxed twice: the outer box makes the pointer a thin one, as hosts keep it, and what
//! is in it knows the type of the data, so that asking for another type is refused. That is counted, so
//! that an action during which the host takes the data away can hold on to it.

use std::any::Any;
use std::ptr;
use std::sync::Arc;

use super::Properties;
use crate::names;
use crate::ofx_status::Status;

/// What the pointer that a host keeps points to.
type InstanceData = Arc<dyn Any + Send + Sync>;

impl<'a> Properties<'a> {
    /// Gives data to the host to keep until [`detach`](Self::detach).
    pub(super) fn attach<T: Any + Send + Sync>(self, data: T) -> Result<(), Status> {
        let data: InstanceData = Arc::new(data);
        let pointer = Box::into_raw(Box::new(data));
        self.set_pointer(names::INSTANCE_DATA, pointer.cast()).inspect_err(|_| {
            // SAFETY: the pointer comes from the box above and the host did not take it.
            drop(unsafe { Box::from_raw(pointer) });
        })
    }

    /// The data that [`attach`](Self::attach) gave. Shared: several threads may look at it.
    ///
    /// # Errors
    /// [`Status::BAD_HANDLE`] where there is none, or none of this type.
    ///
    /// # Safety
    /// The property set must be that of an effect's instance or of an interact of this plug-in, so
    /// that its instance data is null or what `attach` put there; and nobody may call `detach` on it
    /// within `'a`, unless what [`held`](Self::held) gave is kept for as long.
    pub(super) unsafe fn attached<T: Any>(self) -> Result<&'a T, Status> {
        let pointer = self.pointer(names::INSTANCE_DATA)?.cast::<InstanceData>();
        // SAFETY: as the caller promises, the pointer is null or `attach` made it from a box of this
        // type, which lasts for 'a. `attach` takes only data that threads may share, and nobody has a
        // mutable reference to the box.
        let data = unsafe { pointer.as_ref() }.ok_or(Status::BAD_HANDLE)?;
        data.downcast_ref().ok_or(Status::BAD_HANDLE)
    }

    /// The same data, which stays for as long as this is held, whatever the host does meanwhile.
    ///
    /// # Errors
    /// As those of `attached`.
    ///
    /// # Safety
    /// The property set as for [`attached`](Self::attached), and nobody may call `detach` at the same
    /// time.
    pub(super) unsafe fn held<T: Any + Send + Sync>(self) -> Result<Arc<T>, Status> {
        let pointer = self.pointer(names::INSTANCE_DATA)?.cast::<InstanceData>();
        // SAFETY: as the caller promises, the pointer is null or `attach` made it from a box of this
        // type, which is there at this moment.
        let data = unsafe { pointer.as_ref() }.ok_or(Status::BAD_HANDLE)?;
        data.clone().downcast().map_err(|_| Status::BAD_HANDLE)
    }

    /// Takes the data back from the host; none where there is none, or none of this type.
    ///
    /// # Safety
    /// As for [`attached`](Self::attached); and no reference that `attached` gave may be in use any
    /// more, unless what `held` gave is kept.
    pub(super) unsafe fn detach<T: Any + Send + Sync>(self) -> Result<Option<Arc<T>>, Status> {
        let pointer = self.pointer(names::INSTANCE_DATA)?.cast::<InstanceData>();
        if pointer.is_null() {
            return Ok(None);
        }
        self.set_pointer(names::INSTANCE_DATA, ptr::null_mut())?;
        // SAFETY: as the caller promises, `attach` made this pointer from a box of this type and
        // nobody uses what is in it; the property no longer holds the pointer, so that this happens
        // once.
        let data = unsafe { Box::from_raw(pointer) };
        Ok((*data).downcast().ok())
    }
}
