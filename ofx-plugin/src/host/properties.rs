//! Sets of properties.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

use openfx_sys::OfxPropertySetHandle;

use super::{Host, call_suite};
use crate::ofx_status::Status;

/// A property set that the host lends for one action.
#[derive(Clone, Copy)]
pub(crate) struct Properties<'a> {
    host: Host,
    handle: OfxPropertySetHandle,
    lent: PhantomData<&'a ()>,
}

/// What a property is set to.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Int(c_int),
    Double(f64),
    Text(&'static CStr),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&'static CStr> for Value {
    fn from(value: &'static CStr) -> Self {
        Self::Text(value)
    }
}

impl<'a> Properties<'a> {
    /// # Safety
    /// A handle that is not null must be a property set of this host, valid for `'a`.
    pub(super) unsafe fn new(host: Host, handle: OfxPropertySetHandle) -> Result<Self, Status> {
        if handle.is_null() {
            return Err(Status::BAD_HANDLE);
        }
        Ok(Self { host, handle, lent: PhantomData })
    }

    /// Sets a property that every host knows.
    pub(crate) fn set(self, name: &'static CStr, value: impl Into<Value>) -> Result<(), Status> {
        self.set_at(name, 0, value)
    }

    /// Sets one dimension of a property that every host knows.
    pub(crate) fn set_at(
        self,
        name: &'static CStr,
        index: usize,
        value: impl Into<Value>,
    ) -> Result<(), Status> {
        let (suite, handle, name) = (self.host.property, self.handle, name.as_ptr());
        let index = c_int::try_from(index).map_err(|_| Status::FAILED)?;
        // SAFETY: the handle is valid for 'a; name and text are static C strings.
        unsafe {
            match value.into() {
                Value::Int(value) => call_suite!(suite, propSetInt(handle, name, index, value)),
                Value::Double(value) => {
                    call_suite!(suite, propSetDouble(handle, name, index, value))
                }
                Value::Text(value) => {
                    call_suite!(suite, propSetString(handle, name, index, value.as_ptr()))
                }
            }
        }
    }

    /// Sets a property that not every host knows; a refusal changes nothing for us.
    pub(crate) fn set_optional(self, name: &'static CStr, value: impl Into<Value>) {
        let _ = self.set(name, value);
    }

    /// Sets every dimension of a property.
    pub(crate) fn set_all<V: Into<Value>>(
        self,
        name: &'static CStr,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), Status> {
        values
            .into_iter()
            .enumerate()
            .try_for_each(|(index, value)| self.set_at(name, index, value))
    }

    pub(crate) fn int(self, name: &'static CStr) -> Result<i32, Status> {
        self.int_at(name, 0)
    }

    /// One dimension of a property that holds whole numbers.
    pub(crate) fn int_at(self, name: &'static CStr, index: usize) -> Result<i32, Status> {
        let index = c_int::try_from(index).map_err(|_| Status::FAILED)?;
        let (mut value, suite): (c_int, _) = (0, self.host.property);
        // SAFETY: the handle is valid for 'a, the name static, the value ours.
        unsafe {
            call_suite!(suite, propGetInt(self.handle, name.as_ptr(), index, &raw mut value))?;
        }
        Ok(value)
    }

    pub(crate) fn double(self, name: &'static CStr, index: usize) -> Result<f64, Status> {
        let index = c_int::try_from(index).map_err(|_| Status::FAILED)?;
        let (mut value, suite) = (0.0, self.host.property);
        // SAFETY: the handle is valid for 'a, the name static, the value ours.
        unsafe {
            call_suite!(suite, propGetDouble(self.handle, name.as_ptr(), index, &raw mut value))?;
        }
        Ok(value)
    }

    /// A copy: the host's own string is gone with the next call. Null counts as empty.
    pub(crate) fn text(self, name: &'static CStr, index: usize) -> Result<String, Status> {
        let index = c_int::try_from(index).map_err(|_| Status::FAILED)?;
        let (mut value, suite) = (ptr::null_mut::<c_char>(), self.host.property);
        // SAFETY: the handle is valid for 'a, the name static, the value ours. What the host puts
        // there is null or a C string that lasts until the next call, and it is copied before.
        unsafe {
            call_suite!(suite, propGetString(self.handle, name.as_ptr(), index, &raw mut value))?;
            if value.is_null() {
                return Ok(String::new());
            }
            Ok(CStr::from_ptr(value).to_string_lossy().into_owned())
        }
    }

    /// Every value of a text property; none where the host does not know it.
    pub(crate) fn texts(self, name: &'static CStr) -> Vec<String> {
        let mut count: c_int = 0;
        // SAFETY: the handle is valid for 'a, the name static, the count ours.
        let counted = unsafe {
            let suite = self.host.property;
            call_suite!(suite, propGetDimension(self.handle, name.as_ptr(), &raw mut count))
        };
        let count = counted.ok().and_then(|()| usize::try_from(count).ok()).unwrap_or(0);
        (0..count).filter_map(|index| self.text(name, index).ok()).collect()
    }

    pub(super) fn pointer(self, name: &'static CStr) -> Result<*mut c_void, Status> {
        let (mut value, suite) = (ptr::null_mut(), self.host.property);
        // SAFETY: the handle is valid for 'a, the name static, the value ours.
        unsafe {
            call_suite!(suite, propGetPointer(self.handle, name.as_ptr(), 0, &raw mut value))?;
        }
        Ok(value)
    }

    pub(super) fn set_pointer(self, name: &'static CStr, value: *mut c_void) -> Result<(), Status> {
        let suite = self.host.property;
        // SAFETY: the handle is valid for 'a, the name static; the host only keeps the pointer.
        unsafe { call_suite!(suite, propSetPointer(self.handle, name.as_ptr(), 0, value)) }
    }
}
