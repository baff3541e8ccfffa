//! Property sets.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use openfx_sys::{OfxPropertySetHandle, OfxPropertySuiteV1, OfxStatus};

use super::OK;

const ERR_UNKNOWN: OfxStatus = 3;
const ERR_BAD_INDEX: OfxStatus = 10;
const ERR_VALUE: OfxStatus = 11;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Int(i32),
    Double(f64),
    Text(String),
    Pointer(*mut c_void),
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Points to itself through its handle: never moved while the plug-in has it.
#[derive(Default)]
pub(crate) struct Set {
    values: RefCell<BTreeMap<String, Vec<Value>>>,
    refused: RefCell<BTreeSet<String>>,
}

thread_local! {
    /// The string that was lent last.
    static LENT: RefCell<Box<[u8; 256]>> = RefCell::new(Box::new([0; 256]));
    static FAULTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What every call of the plug-in does to strings that were lent before.
pub(crate) fn spoil_lent_string() {
    LENT.with_borrow_mut(|lent| lent[..255].fill(b'#'));
}

pub(crate) fn fault(text: String) {
    FAULTS.with_borrow_mut(|faults| faults.push(text));
}

pub(crate) fn take_faults() -> Vec<String> {
    FAULTS.take()
}

impl Set {
    pub(crate) fn handle(&self) -> OfxPropertySetHandle {
        ptr::from_ref(self).cast_mut().cast()
    }

    pub(crate) fn put(&self, name: &str, values: impl IntoIterator<Item = Value>) {
        self.values.borrow_mut().insert(name.to_owned(), values.into_iter().collect());
    }

    pub(crate) fn get(&self, name: &str) -> Vec<Value> {
        self.values.borrow().get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Value>> {
        self.values.borrow().clone()
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: Value| match value {
            Value::Text(text) => text,
            other => panic!("{name} is {other:?}"),
        };
        self.get(name).into_iter().map(text).collect()
    }

    pub(crate) fn refuse(&self, names: &[&str]) {
        *self.refused.borrow_mut() = names.iter().map(|&name| name.to_owned()).collect();
    }

    /// Another set of the same host.
    pub(crate) fn sibling(&self) -> Self {
        Self { values: RefCell::default(), refused: self.refused.clone() }
    }

    fn set(&self, name: &str, index: c_int, value: Value) -> OfxStatus {
        if self.refused.borrow().contains(name) {
            return ERR_UNKNOWN;
        }
        let mut all = self.values.borrow_mut();
        let values = all.entry(name.to_owned()).or_default();
        let index = usize::try_from(index).unwrap();
        let same_kind =
            |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(&value);
        if values.first().is_some_and(|first| !same_kind(first)) {
            fault(format!("{name} changes its type to {value:?}"));
            return ERR_VALUE;
        }
        match index.cmp(&values.len()) {
            std::cmp::Ordering::Less => values[index] = value,
            std::cmp::Ordering::Equal => values.push(value),
            std::cmp::Ordering::Greater => {
                fault(format!("{name}[{index}] is set before what comes before it"));
                return ERR_BAD_INDEX;
            }
        }
        OK
    }

    fn value(&self, name: &str, index: c_int) -> Result<Value, OfxStatus> {
        if self.refused.borrow().contains(name) {
            return Err(ERR_UNKNOWN);
        }
        let all = self.values.borrow();
        let values = all.get(name).ok_or(ERR_UNKNOWN)?;
        let value = usize::try_from(index).ok().and_then(|index| values.get(index));
        value.cloned().ok_or(ERR_BAD_INDEX)
    }
}

/// The set behind a handle and the name of a property.
///
/// # Safety
/// The handle must come from [`Set::handle`] of a set that still is there; the name be a C string.
unsafe fn arguments<'a>(set: OfxPropertySetHandle, name: *const c_char) -> (&'a Set, String) {
    spoil_lent_string();
    // SAFETY: promised by the caller.
    unsafe { (&*set.cast::<Set>(), CStr::from_ptr(name).to_str().unwrap().to_owned()) }
}

macro_rules! setter {
    ($function:ident, $type:ty, $value:expr) => {
        unsafe extern "C" fn $function(
            set: OfxPropertySetHandle,
            name: *const c_char,
            index: c_int,
            value: $type,
        ) -> OfxStatus {
            // SAFETY: the plug-in has handles from this host only.
            let (set, name) = unsafe { arguments(set, name) };
            set.set(&name, index, $value(value))
        }
    };
}

setter!(set_int, c_int, Value::Int);
setter!(set_double, f64, Value::Double);
setter!(set_pointer, *mut c_void, Value::Pointer);
setter!(set_text, *const c_char, |value| {
    // SAFETY: the plug-in gives C strings.
    Value::text(unsafe { CStr::from_ptr(value) }.to_str().unwrap())
});

macro_rules! getter {
    ($function:ident, $type:ty, $kind:pat => $value:expr) => {
        unsafe extern "C" fn $function(
            set: OfxPropertySetHandle,
            name: *const c_char,
            index: c_int,
            value: *mut $type,
        ) -> OfxStatus {
            // SAFETY: the plug-in has handles from this host only.
            let (set, name) = unsafe { arguments(set, name) };
            match set.value(&name, index) {
                // SAFETY: the plug-in gives a place for the value.
                Ok($kind) => unsafe {
                    *value = $value;
                    OK
                },
                Ok(other) => {
                    fault(format!("{name} is read as another type than {other:?}"));
                    ERR_VALUE
                }
                Err(status) => status,
            }
        }
    };
}

getter!(get_int, c_int, Value::Int(found) => found);
getter!(get_double, f64, Value::Double(found) => found);
getter!(get_pointer, *mut c_void, Value::Pointer(found) => found);
getter!(get_text, *mut c_char, Value::Text(found) => LENT.with_borrow_mut(|lent| {
    lent[..found.len()].copy_from_slice(found.as_bytes());
    lent[found.len()] = 0;
    lent.as_mut_ptr().cast()
}));

unsafe extern "C" fn dimension(
    set: OfxPropertySetHandle,
    name: *const c_char,
    count: *mut c_int,
) -> OfxStatus {
    // SAFETY: the plug-in has handles from this host only.
    let (set, name) = unsafe { arguments(set, name) };
    if set.refused.borrow().contains(&name) {
        return ERR_UNKNOWN;
    }
    // SAFETY: the plug-in gives a place for the count.
    unsafe { *count = c_int::try_from(set.get(&name).len()).unwrap() };
    OK
}

/// What the plug-in does not use is null, as in careless hosts.
pub(crate) static SUITE: OfxPropertySuiteV1 = OfxPropertySuiteV1 {
    propSetPointer: Some(set_pointer),
    propSetString: Some(set_text),
    propSetDouble: Some(set_double),
    propSetInt: Some(set_int),
    propSetPointerN: None,
    propSetStringN: None,
    propSetDoubleN: None,
    propSetIntN: None,
    propGetPointer: Some(get_pointer),
    propGetString: Some(get_text),
    propGetDouble: Some(get_double),
    propGetInt: Some(get_int),
    propGetPointerN: None,
    propGetStringN: None,
    propGetDoubleN: None,
    propGetIntN: None,
    propReset: None,
    propGetDimension: Some(dimension),
};
